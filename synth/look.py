"""`synth look`: rows of a run as a person reads them, and the way each took from document to dataset."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.errors import CorpusError
from synth.replay import Replies
from synth.runs import RunFolder, Stop, find_row, open_run, way
from synth.terminal import shown
from synth.turns import turns
from synth.types import Document, Dropped, Example

if TYPE_CHECKING:
    from rich.console import Console

FATES = {"made", "kept", "exported"}
"""What becomes of a row that is not dropped."""
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
        many = f"{len(self.rows)} of {self.total:,} rows" if self.total != 1 else "one row"
        console.print(f"{self.run.folder}, step {self.step}: {many}", soft_wrap=True)
        for row, stops in self.rows:
            console.print()
            for line in _lines(row, stops, self.whole):
                console.print(shown(line), soft_wrap=self.whole)


def look(folder: Path, *, step: str = "", dropped: str = "", row: str = "", most: int = 5) -> Seen:
    """Some rows of a run: what a step kept, or dropped for a reason, or the one row whose id begins so.

    Raises CorpusError where there is no such run, step, reason or row.
    """
    run = open_run(folder)
    if row:
        found = find_row(run, row)
        stops = rehearsed(run, way(run, found))
        return Seen(run, step or run.steps[-1].name, [(found, stops)], 1, whole=True)
    if dropped:
        gone, total = _dropped(run, step, dropped, most)
        return Seen(run, step or "any", [(g.example, way(run, g.example)) for g in gone], total, whole=False)
    chosen = run.step(step)
    rows = list(islice(chosen.kept, most))
    return Seen(run, chosen.name, [(kept, way(run, kept)) for kept in rows], len(chosen.kept), whole=False)


def _dropped(run: RunFolder, step: str, reason: str, most: int) -> tuple[list[Dropped], int]:
    """The first rows dropped for a reason, and how many there are in all."""
    steps = [run.step(step)] if step else run.steps
    counts = [(name, n) for each in steps for name, n in each.mark["dropped"].items()]
    total = sum(n for name, n in counts if reason in {"all", name})
    if not total:
        said = f"there are {', '.join(sorted({name for name, _ in counts}))}" if counts else "nothing was dropped"
        raise CorpusError(f"{run.folder}: nothing was dropped as {reason!r}; {said}")
    return list(islice((d for each in steps for d in each.dropped() if reason in {"all", d.reason}), most)), total


def _lines(row: Example, stops: Sequence[Stop], whole: bool) -> Iterator[str]:
    yield f"id        {row.id}  {row.task}  {row.language}  {' '.join(sorted(row.tags))}".rstrip()
    if row.instruction:
        yield f"instruct  {row.instruction}"
    yield f"query     {row.query}"
    for name, documents in (("positive", row.positives), ("negative", row.negatives)):
        for document in documents:
            yield f"{name}  {_named(document)}"
            yield f"          {_cut(document.full_text, whole)}"
    if not whole:
        yield "way       " + "  ".join(_told(stop) for stop in stops)
        return
    for number, stop in enumerate(stops):
        yield ""
        yield f"-> {_told(stop)}"
        yield from _written(stop, stops[:number])


def _told(stop: Stop) -> str:
    if stop.fate in FATES:
        return f"{stop.step}: {stop.fate}"
    return f"{stop.step}: DROPPED as {stop.fate}" + (f" ({_cut(stop.detail, whole=False)})" if stop.detail else "")


def _written(stop: Stop, before: Sequence[Stop]) -> Iterator[str]:
    """What the step wrote down of the row, and the prompt that it sent."""
    known = before[-1].row.meta if before else {}
    for name, value in sorted(stop.row.meta.items()):
        if known.get(name) != value:
            yield f"   {name}: {json.dumps(value, ensure_ascii=False)}"
    for message in stop.asked.messages if stop.asked else ():
        yield f"   [{message.role}]"
        yield from (f"   | {line}" for line in message.content.splitlines())


def _named(document: Document) -> str:
    scores = " ".join(f"{name}={value:.3f}" for name, value in sorted(document.scores.items()))
    return " ".join(filter(None, (document.doc_id, document.language, document.origin, scores)))


def _cut(text: str, whole: bool) -> str:
    flat = " ".join(text.split())
    return flat if whole or len(flat) <= TEXT else flat[:TEXT] + " …"


def rehearsed(run: RunFolder, stops: Sequence[Stop]) -> list[Stop]:
    """The stops, those that asked a model with the first request as it was sent; nothing is sent now (`turns`)."""
    asked = [next((turn.request for turn in told if turn.request), None) for told in turns(run, stops, Replies())]
    return [replace(stop, asked=request) for stop, request in zip(stops, asked, strict=True)]


def _plain(row: Example) -> dict[str, Any]:
    return {**asdict(row), "tags": sorted(row.tags)}


def _plain_stop(stop: Stop) -> dict[str, Any]:
    asked = [{"role": m.role, "content": m.content} for m in stop.asked.messages] if stop.asked else []
    plain = {"step": stop.step, "id": stop.row.id, "fate": stop.fate, "detail": stop.detail}
    return plain | ({"asked": asked} if asked else {})
