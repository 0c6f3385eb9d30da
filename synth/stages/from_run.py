"""Rows of another run: what one of its steps kept, or what it dropped for a reason.

    - {use: from_run, folder: ./outputs/extract-2b7c9d10}
    - {use: from_run, folder: ./outputs/extract-2b7c9d10, step: judge}
    - {use: from_run, folder: ./outputs/extract-2b7c9d10, step: judge, dropped: irrelevant}

So a dear step is done once and several recipes go on from there, and what was dropped can be mended.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from synth.earlier_rows import adopted, names_given
from synth.errors import CorpusError, did_you_mean
from synth.stage import Context, Stage
from synth.store import StoredRows, content_hash, read_dropped, read_json
from synth.types import Dropped, Example
from synth.yaml12 import read_yaml


class FromRun(Stage):
    """Take over the rows that a step of another run kept, or those that it `dropped` for a reason.

    Rows keep their ids, documents, tags and `meta`, and prompts may read what earlier steps gave them. Only the ids of
    what they were made from move in `meta`, from `parents` to this step's name: those rows are not of this run. Two
    such steps of a recipe must read different rows. A run that is limited takes the first ones by their ids.
    """

    folder: str = Field(min_length=1, description="the run's folder; a path that starts beside the recipe")
    step: str = Field(default="", description="the step whose rows are taken; the last one that is finished if unset")
    dropped: str = Field(default="", description="take what the step dropped for this reason, not what it kept")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Give the rows in the order of their ids. Raises CorpusError where there is no such run, step or reason."""
        del rows
        for row in islice(self._rows(self._step(ctx)), ctx.source.limit):
            yield adopted(row, ctx)

    def gives(self, ctx: Context) -> Sequence[str]:
        """What earlier steps gave to its first rows."""
        return names_given(self._rows(self._step(ctx)))

    def content_read(self, ctx: Context) -> str:
        """The hash of the file of those rows. Raises CorpusError as `run` does."""
        return content_hash(self._step(ctx).file(self.dropped))

    def _rows(self, step: "_Done") -> Iterator[Example]:
        if not self.dropped:
            return iter(StoredRows(step.file("")))
        return (each.example for each in read_dropped(step.file(self.dropped)) if each.reason == self.dropped)

    def _step(self, ctx: Context) -> "_Done":
        done = _finished(ctx.source.path_of(self.folder), self.folder)
        names = [step.name for step in done]
        named = [step for step in done if self.step in ("", step.name, step.folder.name)]
        if not named:
            cure = did_you_mean(self.step, names) or f"; there are {', '.join(names)}"
            raise CorpusError(f"{self.folder}: no finished step is called {self.step!r}{cure}")
        step = named[-1]
        if self.dropped and self.dropped not in step.reasons:
            raise CorpusError(
                f"{self.folder}: {step.name} dropped none as {self.dropped!r}{self._elsewhere(step, done)}"
            )
        if not step.file(self.dropped).is_file():
            raise CorpusError(f"{self.folder}: {step.file(self.dropped).name} of {step.name} is gone; run it again")
        return step

    def _elsewhere(self, step: "_Done", done: Sequence["_Done"]) -> str:
        """Which steps dropped rows for the reason, or else the reasons of this one."""
        others = [other.name for other in done if self.dropped in other.reasons]
        if others:
            return f"; {', '.join(others)} did: set `step: {others[0]}`"
        known = f"; its reasons are {', '.join(step.reasons)}" if step.reasons else "; it dropped nothing"
        return did_you_mean(self.dropped, step.reasons) or known


class _Done(NamedTuple):
    """A finished step of a run: its name, its folder, and how many rows it dropped for each reason."""

    name: str
    folder: Path
    reasons: Mapping[str, int]

    def file(self, reason: str) -> Path:
        """The file of the rows that it kept, or of those that it dropped."""
        return self.folder / ("dropped.parquet" if reason else "kept.parquet")


def _finished(folder: Path, place: str) -> list[_Done]:
    """The finished steps of the recipe that ran last, in order, as far as each stands on the one before."""
    try:
        text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise CorpusError(f"{place}: no run is here; name its folder, as `synth run` prints it") from None
    done: list[_Done] = []
    before: Mapping[str, Any] = {"key": "", "content": ""}
    for number, name in enumerate(_step_names(text, place)):
        here = folder / f"{number:02d}-{name}"
        mark = read_json(here / "done.json")
        if mark is None or mark.get("before") not in {before["key"], before["content"]}:
            break
        done.append(_Done(name, here, mark.get("dropped", {})))
        before = mark
    if not done:
        raise CorpusError(f"{place}: no step of this run is finished yet; run its recipe to the end first")
    return done


def _step_names(text: str, place: str) -> list[str]:
    """The names of a run's steps, whose recipe is written with all of them."""
    plain = read_yaml(text, f"{place}/recipe.yaml")
    steps = plain.get("steps") if isinstance(plain, dict) else None
    named = [step["name"] for step in steps or () if isinstance(step, dict) and "name" in step]
    if not named:
        raise CorpusError(f"{place}: no run is here; its recipe.yaml is not one that `synth run` wrote")
    return list(map(str, named))
