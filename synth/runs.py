"""A run folder read back: its steps, their rows, and the way one row took.

way(run, find_row(run, "41ab"))  ->  from_corpus made, generate made, judge irrelevant
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from synth.backend import Request
from synth.errors import CorpusError, RecipeError, did_you_mean
from synth.recipe import Recipe, parse
from synth.registry import known
from synth.store import StoredRows, read_dropped, read_json
from synth.types import Dropped, Example
from synth.yaml12 import read_yaml


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
        """The finished steps of the recipe that ran last, in order, as far as each stands on the one before."""
        done: list[DoneStep] = []
        for number, name in enumerate(self._names()):
            folder = self.folder / f"{number:02d}-{name}"
            mark = read_json(folder / "done.json")
            before = done[-1].mark if done else {"key": "", "content": ""}
            if mark is None or mark.get("before") not in {before["key"], before["content"]}:
                break
            done.append(DoneStep(name, folder, mark))
        if not done:
            raise CorpusError(f"{self.folder}: no step of this run is finished yet; the same command again goes on")
        return tuple(done)

    @property
    def left(self) -> list[str]:
        """The names of the steps that are not finished yet."""
        return self._names()[len(self.steps) :]

    def _names(self) -> list[str]:
        plain = read_yaml((self.folder / "recipe.yaml").read_text(encoding="utf-8"), str(self.folder / "recipe.yaml"))
        return [str(step["name"]) for step in plain["steps"]]

    def recipe(self, overrides: Sequence[str] = (), *, shipped_only: bool = False) -> Recipe:
        """The recipe that ran, its paths starting where they did then. Raises RecipeError where it no longer loads.

        `overrides` change it as `--set` does. `shipped_only` refuses one that uses code of its own: nothing of a folder
        that somebody sent is run.
        """
        mark = read_json(self.folder / "marks" / "recipe.json") or {}
        text = (self.folder / "recipe.yaml").read_text(encoding="utf-8")
        if shipped_only:
            _check_shipped(text, Path(mark.get("folder", self.folder)))
        path = Path(mark.get("folder", self.folder), "recipe.yaml")
        return replace(parse(text, path, overrides, limit=mark.get("limit")), name=self.name)

    @property
    def name(self) -> str:
        """The recipe's name, which `recipe.yaml` does not tell."""
        told = (read_json(self.folder / "run.json") or {}).get("recipe")
        return str(told or re.sub(r"-[0-9a-f]{8}\Z", "", self.folder.resolve().name))

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


def _check_shipped(text: str, folder: Path) -> None:
    plain = read_yaml(text, "recipe.yaml")
    parts = {*known("filters"), *known("stages"), *known("backends")}
    models = [*plain.get("backends", {}).values(), *plain.get("embedders", {}).values()]
    entries = [each for entry in (*plain["steps"], *models) for each in (entry if isinstance(entry, list) else [entry])]
    used = [entry["use"] for entry in entries if isinstance(entry, dict)]
    own = [use for use in used if use not in parts or (folder / f"{use}.py").exists()]
    if own:
        raise RecipeError(f"recipe.yaml: {own[0]} is code of the recipe's own")


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
    files = [path for step in run.steps for path in (step.folder / "kept.parquet", step.folder / "dropped.parquet")]
    ids = {row_id for path in files for row_id in StoredRows(path).column("id") if row_id.startswith(begins)}
    if len(ids) != 1:
        found = f"{len(ids)} rows' ids begin" if ids else "no row's id begins"
        raise CorpusError(f"{run.folder}: {found} with {begins!r}; `synth look {run.folder}` shows ids")
    return next(row for path in reversed(files) for row in StoredRows(path).find(ids))


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
        for meta in _metas(step.folder / "kept.parquet", family):
            family.update(json.loads(meta).get("parents", ()) if meta else ())
    return family


def _metas(path: Path, ids: Set[str]) -> list[str]:
    """The `meta` of the rows of these ids, as text; what else the file holds is not read."""
    import pyarrow.parquet as pq

    found = pq.read_table(path, columns=["id", "meta"], filters=[("id", "in", sorted(ids))])
    metas: list[str] = found.column("meta").to_pylist()
    return metas
