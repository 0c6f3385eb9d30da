"""A run folder read back: its steps, their rows, and the way one row took.

way(run, find_row(run, "41ab"))  ->  from_corpus made, generate made, judge irrelevant
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from synth.backend import Request
from synth.errors import CorpusError, did_you_mean
from synth.recipe import Recipe, parse
from synth.store import StoredRows, read_dropped, read_json
from synth.types import Dropped, Example


@dataclass(frozen=True)
class DoneStep:
    """A finished step of a run: its name, its folder and its `done.json`."""

    name: str
    folder: Path
    mark: Mapping[str, Any]

    @property
    def kept(self) -> StoredRows:
        """The rows it kept, in the order of their ids."""
        return StoredRows(self.folder / "kept.parquet")

    def dropped(self, ids: Set[str] | None = None) -> Iterator[Dropped]:
        """The rows it dropped, in the order of their ids; only those of `ids` where they are given."""
        return read_dropped(self.folder / "dropped.parquet", ids)


@dataclass(frozen=True)
class RunFolder:
    """A run as it lies on disk; its steps are those that are done."""

    folder: Path

    @cached_property
    def steps(self) -> tuple[DoneStep, ...]:
        """The finished steps, in the order they ran."""
        marks = [(path.parent, read_json(path)) for path in sorted(self.folder.glob("[0-9][0-9]-*/done.json"))]
        return tuple(DoneStep(folder.name[3:], folder, mark) for folder, mark in marks if mark is not None)

    def recipe(self) -> Recipe:
        """The recipe that ran, its paths starting where they did then. Raises RecipeError where it no longer loads."""
        mark = read_json(self.folder / "marks" / "recipe.json") or {}
        text = (self.folder / "recipe.yaml").read_text(encoding="utf-8")
        return parse(text, Path(mark.get("folder", self.folder), "recipe.yaml"), limit=mark.get("limit"))

    def step(self, name: str = "") -> DoneStep:
        """The step of this name, or the last one. Raises CorpusError where it is not there or not done."""
        if not name:
            return self.steps[-1]
        found = next((step for step in self.steps if name in {step.name, step.folder.name}), None)
        if found is None:
            names = [step.name for step in self.steps]
            cure = did_you_mean(name, names) or f"; there are {', '.join(names)}"
            raise CorpusError(f"{self.folder}: no finished step is called {name!r}{cure}")
        return found


def open_run(path: Path) -> RunFolder:
    """The run in this folder, or the latest of the runs in it. Raises CorpusError where there is none."""
    candidates = [path] if _is_run(path) else sorted(filter(_is_run, path.glob("*")), key=_age)
    if not candidates:
        raise CorpusError(f"{path}: no run is here; `synth run RECIPE` makes one, and prints its folder")
    return RunFolder(candidates[-1])


def _is_run(path: Path) -> bool:
    return (path / "recipe.yaml").is_file() and any(path.glob("[0-9][0-9]-*/done.json"))


def _age(path: Path) -> float:
    return (path / "recipe.yaml").stat().st_mtime


@dataclass(frozen=True, slots=True)
class Stop:
    """One step on the way of a row: the row as it left, or why it did not; `asked` where a request is known."""

    step: str
    fate: str
    row: Example
    detail: str = ""
    asked: Request | None = None


def find_row(run: RunFolder, begins: str) -> Example:
    """The row whose id begins so, as it stood last. Raises CorpusError where none or several do."""
    last: dict[str, Example] = {}
    for step in run.steps:
        kept = {row.id: row for row in step.kept if row.id.startswith(begins)}
        gone = {d.example.id: d.example for d in step.dropped() if d.example.id.startswith(begins)}
        last |= gone | kept
    if len(last) != 1:
        found = f"{len(last)} rows' ids begin" if last else "no row's id begins"
        raise CorpusError(f"{run.folder}: {found} with {begins!r}; `synth look {run.folder}` shows ids")
    return next(iter(last.values()))


def way(run: RunFolder, row: Example) -> list[Stop]:
    """Every step that the row or one it was made from passed, in order, and what each did."""
    family = _ancestors(run, row)
    stops: list[Stop] = []
    known: set[str] = set()
    for step in run.steps:
        for kept in step.kept.find(family):
            stops.append(Stop(step.name, "kept" if kept.id in known else "made", kept))
            known.add(kept.id)
        stops.extend(Stop(step.name, d.reason, d.example, d.detail) for d in step.dropped(family))
    for path in sorted(run.folder.glob("dataset/*/*.parquet")):
        place = path.relative_to(run.folder).with_suffix("").as_posix()
        stops.extend(Stop(place, "exported", found) for found in StoredRows(path).find({row.id}))
    return stops


def _ancestors(run: RunFolder, row: Example) -> set[str]:
    """The row's id and those of all it came from."""
    family = {row.id, *row.parents}
    for step in reversed(run.steps):
        for kept in step.kept.find(frozenset(family)):
            family.update(kept.parents)
    return family
