"""`synth look`: rows of a run as a person reads them, and the way each took from document to dataset."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.errors import CorpusError
from synth.runs import RunFolder, Stop, find_row, open_run, way
from synth.types import Document, Dropped, Example

if TYPE_CHECKING:
    from rich.console import Console

TEXT = 300
"""Characters of a document that are shown."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was asked to be shown: rows with the way they took, and how many more there are."""

    run: RunFolder
    step: str
    rows: Sequence[tuple[Example, Sequence[Stop]]]
    total: int
    whole: bool

    def to_json(self) -> dict[str, Any]:
        """The rows, each with its way."""
        rows = [{**_plain(row), "way": [_plain_stop(stop) for stop in stops]} for row, stops in self.rows]
        return {"run": str(self.run.folder), "step": self.step, "total": self.total, "rows": rows}

    def print(self, console: "Console") -> None:
        """The rows as text."""
        console.print(f"{self.run.folder}, step {self.step}: {len(self.rows)} of {self.total:,} rows", soft_wrap=True)
        for row, stops in self.rows:
            console.print()
            for line in _lines(row, stops, self.whole):
                console.print(line, soft_wrap=self.whole)


def look(folder: Path, *, step: str = "", dropped: str = "", row: str = "", most: int = 5) -> Seen:
    """Some rows of a run: what a step kept, or dropped for a reason, or the one row whose id begins so.

    Raises CorpusError where there is no such run, step, reason or row.
    """
    run = open_run(folder)
    if row:
        found = find_row(run, row)
        return Seen(run, step or run.steps[-1].name, [(found, way(run, found))], 1, whole=True)
    if dropped:
        gone = _dropped(run, step, dropped)
        return Seen(run, step or "any", [(g.example, way(run, g.example)) for g in gone[:most]], len(gone), whole=False)
    chosen = run.step(step)
    rows = list(islice(chosen.kept, most))
    return Seen(run, chosen.name, [(kept, way(run, kept)) for kept in rows], len(chosen.kept), whole=False)


def _dropped(run: RunFolder, step: str, reason: str) -> list[Dropped]:
    steps = [run.step(step)] if step else run.steps
    gone = [d for each in steps for d in each.dropped() if reason in {"all", d.reason}]
    if not gone:
        reasons = sorted({name for each in steps for name in each.mark["dropped"]})
        said = f"there are {', '.join(reasons)}" if reasons else "nothing was dropped"
        raise CorpusError(f"{run.folder}: nothing was dropped as {reason!r}; {said}")
    return gone


def _lines(row: Example, stops: Sequence[Stop], whole: bool) -> Iterator[str]:
    yield f"id        {row.id}  {row.task}  {row.language}  {' '.join(sorted(row.tags))}".rstrip()
    if row.instruction:
        yield f"instruct  {row.instruction}"
    yield f"query     {row.query}"
    for name, documents in (("positive", row.positives), ("negative", row.negatives)):
        for document in documents:
            yield f"{name}  {_named(document)}"
            yield f"          {_cut(document.full_text, whole)}"
    yield "way       " + "  ".join(_told(stop) for stop in stops)
    if whole:
        yield from _asked(stops)


def _told(stop: Stop) -> str:
    if stop.fate in {"made", "kept"}:
        return f"{stop.step}: {stop.fate}"
    return f"{stop.step}: DROPPED as {stop.fate}" + (f" ({_cut(stop.detail, whole=False)})" if stop.detail else "")


def _asked(stops: Sequence[Stop]) -> Iterator[str]:
    """What each step wrote down of the row."""
    said: set[str] = set()
    for stop in stops:
        for name, value in sorted(stop.row.meta.items()):
            line = f"meta      {name}: {value}"
            if line not in said:
                said.add(line)
                yield line


def _named(document: Document) -> str:
    scores = " ".join(f"{name}={value:.3f}" for name, value in sorted(document.scores.items()))
    return " ".join(filter(None, (document.doc_id, document.language, document.origin, scores)))


def _cut(text: str, whole: bool) -> str:
    flat = " ".join(text.split())
    return flat if whole or len(flat) <= TEXT else flat[:TEXT] + " …"


def _plain(row: Example) -> dict[str, Any]:
    return {**asdict(row), "tags": sorted(row.tags)}


def _plain_stop(stop: Stop) -> dict[str, str]:
    return {"step": stop.step, "id": stop.row.id, "fate": stop.fate, "detail": stop.detail}
