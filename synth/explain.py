"""`synth explain`: one row's whole life, from the document it began with to where it is, or why it is nowhere.

fate      dropped by judge as irrelevant: judged 1, least is 2: it is about the railway
began as  zugspitze, guide.md:12, de, licence cc-by-4.0
1         from_corpus: made
2         generate: made        what was drawn, the prompt as it was sent, the reply, its tokens, what it cost
…
siblings  f5fe335f82d424670d2a  exported to dataset/retrieval/train
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.backend import Message
from synth.errors import OutputError
from synth.estimate import amount
from synth.kin import Fate, Kin, fates, kin
from synth.replay import Replies, store_of
from synth.runs import DoneStep, RunFolder, Stop, find_row, open_run, way
from synth.terminal import shown
from synth.turns import Turn, row_before, turns
from synth.types import Document, Example

if TYPE_CHECKING:
    from rich.console import Console

TEXT = 600
"""Characters of a document that are shown; a prompt and a reply are shown whole."""
LABEL = 10
"""The width of what stands before each text, in characters."""
MOST = 10
"""Rows of each kind of kin that are shown."""
OF_REPLIES = {"model", "finish", "prompt_tokens", "completion_tokens", "attempts", "reply_key", "reply", "logprob"}
"""What steps write of a reply that is shown itself."""

Line = tuple[str, str]
"""A label and what stands beside it; without a label it goes on."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A stop on a row's way: what changed there, what was asked, and what the step as a whole had sent and found."""

    stop: Stop
    before: Example | None
    turns: Sequence[Turn]
    usage: Mapping[str, float]

    @property
    def came(self) -> str:
        """Where the step's replies came from, as far as its counts tell."""
        sent, stored = self.usage.get("sent", 0), self.usage.get("from_store", 0)
        if not sent and not stored:
            return "asked by an earlier run"
        return "sent by this run" if not stored else "from the store" if not sent else "sent now or from the store"

    def wrote(self) -> dict[str, Any]:
        """What the step wrote into the row's `meta`."""
        known = self.before.meta if self.before else {}
        return {name: value for name, value in self.stop.row.meta.items() if known.get(name) != value}

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        stop = self.stop
        plain: dict[str, Any] = {"step": stop.step, "id": stop.row.id, "fate": stop.fate, "detail": stop.detail}
        plain |= {
            "wrote": self.wrote(),
            "changed": dict(_changed(self.before, stop.row)),
            "asked": [turn.to_json() for turn in self.turns],
        }
        return plain | ({"replies": self.came} if self.turns else {})


@dataclass(frozen=True, slots=True)
class Explained:
    """One row of a run, the way it took, who it belongs with, and what became of it and of them.

    `replies` is where the replies were looked for, or why they could not be; "" where no model was asked for the row.
    """

    run: RunFolder
    row: Example
    passed: Sequence[Passed]
    kin: Kin
    fates: Mapping[str, Fate]
    replies: str

    @property
    def fate(self) -> str:
        """What became of the row, in words."""
        return self._told(self.row.id)

    def began(self) -> list[Document]:
        """The documents it began with: those of the rows that no other row was made into."""
        first = {each.stop.row.id: each.stop.row for each in reversed(self.passed) if not each.stop.row.parents}
        return [document for row in first.values() for document in row.positives]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain data."""
        became = self.fates.get(self.row.id, Fate("", "unknown"))
        return {
            "run": str(self.run.folder),
            "row": {**asdict(self.row), "tags": sorted(self.row.tags)},
            "fate": {**became._asdict(), "dropped": became.is_dropped, "told": self.fate},
            "began": [asdict(document) for document in self.began()],
            "way": [each.to_json() for each in self.passed],
            **{name: self._listed(rows) for name, rows in asdict(self.kin).items()},
            "replies": self.replies,
        }

    def print(self, console: "Console") -> None:
        """All of it as text, within the width of the console."""
        console.print(shown(f"{self.run.folder}, row {self.row.id}"), soft_wrap=True)
        console.print()
        _print(console, self._head())
        for number, each in enumerate(self.passed, 1):
            console.print()
            _print(console, [(str(number), _heading(each)), *_lines(each)])
        console.print()
        _print(console, [*self._kin(), *([("replies", self.replies)] if self.replies else [])])

    def _head(self) -> Iterator[Line]:
        yield "fate", self.fate
        yield "query", self.row.query or "(none)"
        yield "task", ", ".join(filter(None, (self.row.task, self.row.language, *sorted(self.row.tags))))
        if self.row.instruction:
            yield "instruct", self.row.instruction
        for document in self.began():
            yield "began as", _source(document)
            yield "", _cut(document.full_text)
        for name, documents in (("positive", self.row.positives), ("negative", self.row.negatives)):
            for document in documents:
                yield name, _scored(document)
                if document.text not in {each.text for each in self.began()}:
                    yield "", _cut(document.full_text)

    def _kin(self) -> Iterator[Line]:
        for name, rows in asdict(self.kin).items():
            for label, (row_id, query) in zip((name.replace("_", " "), *[""] * MOST), rows.items(), strict=False):
                yield label, f"{row_id}  {self._told(row_id)}"
                if query:
                    yield "", query
            if len(rows) > MOST + 1:
                yield "", f"and {len(rows) - MOST - 1:,} more"

    def _listed(self, rows: Mapping[str, str]) -> list[dict[str, Any]]:
        known = {row_id: self.fates.get(row_id, Fate("", "unknown")) for row_id in rows}
        return [{"id": row_id, "query": query, **known[row_id]._asdict()} for row_id, query in rows.items()]

    def _told(self, row_id: str) -> str:
        found = self.fates.get(row_id)
        if found is None or found.fate != "kept":
            return found.told if found else "unknown"
        why = f"; the run has not gone on to {', '.join(self.run.left)}" if self.run.left else ", and not exported"
        return found.told + why


def explain(folder: Path, begins: str, replies: Path | None = None) -> Explained:
    """One row of a run, the one whose id begins so, and all that is known of it; nothing is sent and nothing written.

    `replies` is the reply store; without it the one beside the run, or that of the working folder. A store that is not
    there or cannot be used is told, and what the rows themselves hold is shown. Raises CorpusError where there is no
    such run, or no such row, or several.
    """
    run = open_run(folder)
    row = find_row(run, begins)
    stops = way(run, row)
    store, told = _opened(replies or store_of(run))
    try:
        asked = turns(run, stops, store)
    finally:
        store.close()
    marks = {step.name: step for step in run.steps}
    passed = [
        Passed(stop, row_before(stop, stops[:number]), asked[number], _usage(marks.get(stop.step)))
        for number, stop in enumerate(stops)
    ]
    found = kin(run, row)
    return Explained(run, row, passed, found, fates(run, found.ids() | {row.id}), told if any(asked) else "")


def _opened(path: Path) -> tuple[Replies, str]:
    """The store at a path, and where it is; an empty one where it cannot be used, and why."""
    try:
        store = Replies(path)
    except OutputError as error:
        return Replies(), str(error)
    return store, str(path) if store.is_there else f"{path}: there is no reply store; name one with --replies"


def _usage(step: DoneStep | None) -> Mapping[str, float]:
    usage: Mapping[str, float] = step.mark["usage"] if step is not None else {}
    return usage


def _heading(each: Passed) -> str:
    stop = each.stop
    if stop.fate in {"made", "kept", "exported"}:
        return f"{stop.step}: {stop.fate}" + (f"  {stop.row.id}" if stop.fate == "made" else "")
    return f"{stop.step}: DROPPED as {stop.fate}" + (f": {stop.detail}" if stop.detail else "")


def _lines(each: Passed) -> Iterator[Line]:
    yield from _changed(each.before, each.stop.row)
    for name, value in each.wrote().items():
        inner = value if isinstance(value, Mapping) and name == each.stop.step else {name: value}
        for label, told in inner.items():
            if not (each.turns and label in OF_REPLIES) and label != "parents":
                yield label, _plain(told)
    known: tuple[Message, ...] = ()
    for number, turn in enumerate(each.turns, 1):
        yield f"asked {number}" if len(each.turns) > 1 else "asked", _spent(turn, each.came)
        messages = turn.request.messages if turn.request else ()
        again = known if known and messages[: len(known)] == known else ()
        if again:
            yield "", "all of the above, and then" if len(messages) > len(again) else "the same again"
        for message in messages[len(again) :]:
            yield message.role, message.content
        known = messages
        yield "reply", turn.reply.text if turn.reply else "(not in the reply store)"


def _spent(turn: Turn, came: str) -> str:
    """The model, what the reply took, and how sure it is that this was what was sent."""
    reply, told = turn.reply, [came] if turn.reply else []
    if reply is not None:
        told.insert(0, reply.model)
        told += [f"{reply.prompt_tokens:,} tokens in, {reply.completion_tokens:,} out"]
        told += [f"{reply.cached_tokens:,} of them cached"] if reply.cached_tokens else []
        told += [amount("usd", turn.usd)] if turn.usd is not None else []
        told += [f"{reply.latency_s:.2g} s"] if reply.latency_s else []
        told += [f"ended by {reply.finish_reason}"] if reply.finish_reason not in ("stop", "") else []
        told += [f"on {turn.day}"] if turn.day else []
    unsure = "the prompt is not known" if turn.request is None else "as it would be asked today"
    told += [] if turn.is_sure and turn.request else [unsure]
    return ", ".join([*told, f"key {turn.key}"] if turn.key else told)


def _changed(before: Example | None, row: Example) -> Iterator[Line]:
    """What a step changed of a row beside `meta`, a line each."""
    for name in ("query", "instruction", "task", "language"):
        old, new = getattr(before, name) if before else "", getattr(row, name)
        if old != new and (before or name == "query"):
            yield name, f"{old} -> {new}" if old else new
    tags = before.tags if before else frozenset()
    if row.tags != tags:
        yield (
            "tags",
            " ".join([*(f"+{tag}" for tag in sorted(row.tags - tags)), *(f"-{t}" for t in sorted(tags - row.tags))]),
        )
    for name in ("positives", "negatives"):
        told = list(_documents(getattr(before, name) if before else (), getattr(row, name)))
        if told and before is not None:
            yield name, "\n".join(told)


def _documents(before: Sequence[Document], after: Sequence[Document]) -> Iterator[str]:
    """The documents that came, went or were scored."""
    old = {(d.doc_id, d.text): d for d in before}
    new = {(d.doc_id, d.text): d for d in after}
    for key, document in new.items():
        if key not in old:
            yield f"+ {_scored(document)}"
        elif (old[key].scores, old[key].relevance) != (document.scores, document.relevance):
            yield _scored(document)
    yield from (f"- {_scored(document)}" for key, document in old.items() if key not in new)


def _scored(document: Document) -> str:
    scores = [f"{name}={value:.5g}" for name, value in sorted(document.scores.items())]
    scores += [f"relevance={document.relevance:.3g}"] if document.relevance is not None else []
    origin = document.origin if document.origin != "corpus" else ""
    return "  ".join(filter(None, (document.doc_id, origin, *scores)))


def _source(document: Document) -> str:
    """Where a document comes from: its id, its place, its language, its licence and what else its source told."""
    meta = dict(document.meta)
    path, line = meta.pop("path", ""), meta.pop("line", "")
    place = f"{path}:{line}" if path and line else path
    of = f"a piece of {document.parent_id}" if document.parent_id else ""
    told = [document.doc_id, place if place != document.doc_id else "", of, document.language]
    return ", ".join(filter(None, [*told, *(f"{name} {_plain(value)}" for name, value in sorted(meta.items()))]))


def _plain(value: object) -> str:
    if isinstance(value, Mapping) and all(isinstance(inner, str | int | float) for inner in value.values()):
        return ", ".join(f"{name}={inner}" for name, inner in value.items()) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT else "".join(islice(text, TEXT)) + " …"


def _print(console: "Console", lines: Iterable[Line]) -> None:
    """Labels and texts in two columns; a text that is longer than a line goes on below itself."""
    from rich.text import Text

    for label, text in lines:
        if len(label) > LABEL:
            label, text = "", f"{label}: {text}"
        beside = Text(shown(text)).wrap(console, max(console.width - LABEL - 1, 20), overflow="fold")
        for number, line in enumerate(beside or [Text()]):
            line.rstrip()
            start = shown(label) if number == 0 else ""
            console.print(Text(f"{start:<{LABEL}} ") + line if line else Text(start), overflow="ignore", crop=False)
