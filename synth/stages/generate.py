"""Rows written by a model: a prompt filled in for each row, sent to the writer, the answer read, a child made of it.

    - {use: generate, prompt: grounded/question, per_document: 2}

    "The Nile floods each summer…"  ->  {"query": "when does the Nile burst its banks?"}  ->  a row with that query

What the prompt returns decides what the child gets (`written.py`): a query, an instruction, documents that the model
writes, or values for a later prompt to read: a summary, a persona, a plan. A reply that cannot be used is a dropped
child of its row: no query, and the reply in `meta`. Where a row gets no other, the first of them is the row itself. So
each reply has one fate, and each row that comes in has a child or is dropped.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from synth.answers import Answer, Reply, mean_logprob
from synth.backend import Request
from synth.stage import Context
from synth.types import Dropped, Example, child_of
from synth.writing import Writes, Writing


class Generate(Writes):
    """Ask the writer `per_document` times for each row, each time under its own draw of the prompt's axes.

    `samples` asks several times for each draw, in the same words; with `keep: best` the one of them stays whose words
    have the highest mean log-probability, by which InPars (arXiv 2202.05144) chose its questions. A child keeps its
    row's language, or has that of the document. `examples` are shown to the writer, those of the row's language first;
    what is taken from a test set is left out where that is measured on. With `keep_row` the row stays beside what is
    made of it: a text and its twin of another label, a query and its rewording.
    """

    version: ClassVar[int] = 3

    per_document: int = Field(default=1, ge=1, le=1000, description="draws for each row")
    samples: int = Field(default=1, ge=1, le=100, description="replies for each draw")
    instruction: str = Field(default="", description="the instruction of rows for which the prompt returns none")
    tags: tuple[str, ...] = Field(default=(), description="tags of the rows that are made, for later steps to spare")
    keep: Literal["all", "best"] = Field(
        default="all", description="of a draw's samples keep all, or the one whose words the model found likeliest"
    )

    keep_row: bool = Field(default=False, description="each row stays, beside what is made of it")

    @field_validator("tags", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """A child for each reply that can be used, as they come."""
        draws = _Draws(self, ctx)
        for reply in draws.writing.replies(draws.requests(rows)):
            yield from draws.settle(reply)
            yield from draws.unasked()
        yield from draws.unasked()


@dataclass(slots=True)
class _Open:
    """A row whose replies are still coming, with the value of each of the prompt's axes for each of its draws."""

    row: Example
    axes: tuple[dict[str, str], ...]
    waiting: int
    failed: dict[int, Reply] = field(default_factory=dict)
    held: dict[int, Reply] = field(default_factory=dict)
    has_child: bool = False

    def drawn(self, number: int) -> dict[str, str]:
        """The values under which the reply of this number was asked for."""
        return self.axes[number % len(self.axes)]


class _Draws:
    """One run of the stage: which rows are out, and what has come of them."""

    def __init__(self, stage: Generate, ctx: Context) -> None:
        self.writing = Writing(stage, ctx)
        self._stage = stage
        self._step = ctx.step
        self._open: dict[str, _Open] = {}
        self._unasked: deque[Example | Dropped] = deque()

    def requests(self, rows: Iterable[Example]) -> Iterator[Request]:
        """The requests of each row, numbered: the first of each draw, then the second samples, and so on.

        So more `samples` ask for nothing that was asked for before. Those of a draw follow each other, and so may be
        asked for together; those of a row too, since they begin alike and a server reads what they share once.
        """
        draws, samples = self._stage.per_document, self._stage.samples
        weighed = 0 if self._stage.keep == "best" else None
        for row in rows:
            values = self.writing.values(row)
            if isinstance(values, Dropped):
                self._unasked.append(row if self._stage.keep_row else values)
                continue
            axes = tuple(self.writing.drawn(row, draw) for draw in range(draws))
            self._open[row.id] = _Open(row, axes, draws * samples)
            for draw in range(draws):
                messages = self.writing.messages(row, draw, values, axes[draw])
                for place in range(samples):
                    asked = self.writing.request(row, place * draws + draw, messages)
                    yield replace(asked, top_logprobs=weighed, more=samples - 1 - place)

    def settle(self, reply: Reply) -> Iterator[Example | Dropped]:
        """The child that a reply makes; with the last reply of a row, also those of its replies that made none."""
        name, _, number = reply.completion.request.id.rpartition(":")
        opened = self._open[name]
        opened.waiting -= 1
        if isinstance(reply.answer, Answer):
            opened.has_child = True
            if self._stage.keep == "best":
                opened.held[int(number)] = reply
            else:
                yield self._child(opened, int(number), reply, reply.answer)
        else:
            opened.failed[int(number)] = reply
        if opened.waiting == 0:
            del self._open[name]
            yield from self._best(opened)
            yield from self._failures(opened)
            if self._stage.keep_row:
                yield opened.row

    def unasked(self) -> Iterator[Example | Dropped]:
        """The rows that the prompt cannot be filled in for."""
        while self._unasked:
            yield self._unasked.popleft()

    def _best(self, opened: _Open) -> Iterator[Example | Dropped]:
        """Of the samples of each draw the likeliest; the others, dropped."""
        draws = self._stage.per_document
        weights = {number: mean_logprob(reply.completion) for number, reply in opened.held.items()}
        for number, reply in sorted(opened.held.items()):
            rivals = [other for other in weights if other % draws == number % draws]
            best = max(rivals, key=lambda other: (weights[other], -other))
            if isinstance(reply.answer, Answer):
                child = self._child(opened, number, reply, reply.answer)
                told = f"mean log-probability {weights[number]:.3f}, the best sample has {weights[best]:.3f}"
                yield child if number == best else Dropped(child, "not_best", told)

    def _child(self, opened: _Open, number: int, reply: Reply, answer: Answer) -> Example:
        child = self.writing.child(opened.row, number, opened.drawn(number), reply, answer)
        instruction = child.instruction or self._stage.instruction
        return replace(child, instruction=instruction, tags=child.tags.union(self._stage.tags))

    def _failures(self, opened: _Open) -> Iterator[Dropped]:
        for place, (number, reply) in enumerate(sorted(opened.failed.items())):
            itself = place == 0 and not opened.has_child and not self._stage.keep_row
            row = opened.row if itself else child_of(opened.row, self._step, number, "")
            dropped = self.writing.unread(row, number, opened.drawn(number), reply)
            if dropped is not None:
                yield dropped
