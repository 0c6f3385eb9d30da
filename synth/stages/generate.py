"""Rows written by a model: a prompt filled in for each row, sent to the writer, the answer read, a child made of it.

    - {use: generate, prompt: grounded/question, per_document: 2}

    "The Nile floods each summer…"  ->  {"query": "when does the Nile burst its banks?"}  ->  a row with that query

What the prompt returns decides what the child gets (`written.py`): a query, an instruction, documents that the model
writes, or values for a later prompt to read: a summary, a persona, a plan. A reply that cannot be used is a dropped
child of its row: no query, and the reply in `meta`. Where a row gets no other, the first of them is the row itself. So
each reply has one fate, and each row that comes in has a child or is dropped.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any, ClassVar, Literal

from pydantic import Field

from synth.answers import Answer, Reply, Unreadable, ask, mean_logprob, sampling_of
from synth.axes import Axes
from synth.backend import Request, Sampling
from synth.exemplars import Exemplars, exemplars
from synth.prompt import Prompt
from synth.stage import Context, Stage
from synth.types import Dropped, Example, child_of, digest_of
from synth.values import OF_DOCUMENTS, check_reads, language_of, values_of
from synth.written import given_names, written_row

MOST_SHOWN = 200
"""How much of an unusable reply stands in the reason, in characters; `meta` has ten times as much."""


class Generate(Stage):
    """Ask the writer `per_document` times for each row, each time under its own draw of the prompt's axes.

    `samples` asks several times for each draw, in the same words; with `keep: best` the one of them stays whose words
    have the highest mean log-probability, by which InPars (arXiv 2202.05144) chose its questions. A child keeps its
    row's language, or has that of the document. `examples` are shown to the writer, those of the row's language first;
    what is taken from a test set is left out where that is measured on.
    """

    version: ClassVar[int] = 3

    prompt: str = Field(default="grounded/question", description="the prompt")
    backend: str = Field(default="writer", description="the role of the backend that writes")
    per_document: int = Field(default=1, ge=1, le=1000, description="draws for each row")
    samples: int = Field(default=1, ge=1, le=100, description="replies for each draw")
    keep: Literal["all", "best"] = Field(
        default="all", description="of a draw's samples keep all, or the one whose words the model found likeliest"
    )
    examples: str = Field(
        default="", description="what the prompt shows as `examples`: a BEIR folder and split, or a JSONL file"
    )
    shots: int = Field(default=4, ge=1, le=50, description="how many examples are shown")
    attempts: int = Field(default=2, ge=1, le=10, description="times asked for an answer that cannot be read")
    sampling: Sampling | None = Field(default=None, description="how replies are drawn, where not as the backend says")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """A child for each reply that can be used, as they come."""
        backend = ctx.backend(self.backend)
        writing = _Writing(self, self._prompt(ctx), ctx)
        requests = writing.requests(rows, sampling_of(backend, self.sampling))
        for reply in ask(backend, requests, writing.prompt.answer, self.attempts):
            yield from writing.settle(reply)
            yield from writing.unasked()
        yield from writing.unasked()

    def backends_used(self) -> tuple[str, ...]:
        """The writer."""
        return (self.backend,)

    def gives(self, ctx: Context) -> Sequence[str]:
        """What the prompt returns that becomes no part of a row."""
        return given_names(self._prompt(ctx).header)

    def shows(self, ctx: Context) -> Sequence[str]:
        """The queries of the examples: of a test set those that are shown, of a file all."""
        found = self._examples(ctx)
        if found is None:
            return ()
        lines = self._chosen(found, "", ctx) if found.is_test_set else found.lines
        return [str(line["query"]) for line in lines]

    def content_read(self, ctx: Context) -> str:
        """The hash of the prompt's text, and of the examples."""
        prompt, found = self._prompt(ctx), self._examples(ctx)
        return prompt.text_hash if found is None else digest_of(prompt.text_hash, found.content)

    def _prompt(self, ctx: Context) -> Prompt:
        """The prompt, which must read nothing but what there is. Raises RecipeError."""
        prompt = Prompt.load(self.prompt, ctx.source.folder)
        given = {*ctx.given, "examples"} if self.examples else ctx.given
        check_reads(prompt.header.reads, given, f"step {ctx.step}: prompt {self.prompt}")
        return prompt

    def _examples(self, ctx: Context) -> Exemplars | None:
        return exemplars(self.examples, ctx.source.folder) if self.examples else None

    def _chosen(self, found: Exemplars, language: str, ctx: Context) -> list[dict[str, Any]]:
        return found.chosen(language, self.shots, partial(ctx.share, "examples"))


@dataclass(slots=True)
class _Open:
    """A row whose replies are still coming, with the value of each of the prompt's axes for each of its draws."""

    row: Example
    axes: tuple[dict[str, str], ...]
    waiting: int
    failed: dict[int, Reply] = field(default_factory=dict)
    held: dict[int, Reply] = field(default_factory=dict)
    has_child: bool = False


class _Writing:
    """One run of the stage: which rows are out, and what has come of them."""

    def __init__(self, stage: Generate, prompt: Prompt, ctx: Context) -> None:
        self.prompt = prompt
        self._stage = stage
        self._ctx = ctx
        self._axes = Axes(prompt.header)
        self._examples = stage._examples(ctx)
        self._by_language: dict[str, list[dict[str, Any]]] = {}
        self._open: dict[str, _Open] = {}
        self._unasked: deque[Dropped] = deque()

    def requests(self, rows: Iterable[Example], sampling: Sampling) -> Iterator[Request]:
        """The requests of each row, numbered: the first of each draw, then the second samples, and so on.

        So more `samples` ask for nothing that was asked for before. Those of a draw follow each other, and so may be
        asked for together; those of a row too, since they begin alike and a server reads what they share once.
        """
        schema, draws, samples = self.prompt.schema, self._stage.per_document, self._stage.samples
        weighed = 0 if self._stage.keep == "best" else None
        for row in rows:
            values = self._values(row)
            if isinstance(values, Dropped):
                self._unasked.append(values)
                continue
            axes = tuple(self._axes.drawn(partial(self._share, row, draw)) for draw in range(draws))
            self._open[row.id] = _Open(row, axes, draws * samples)
            for draw in range(draws):
                words = self._axes.words(axes[draw], language_of(row))
                messages = self.prompt.render(values | words, self._order(row, draw))
                for place in range(samples):
                    number = place * draws + draw
                    yield Request(
                        id=f"{row.id}:{number}",
                        messages=messages,
                        sampling=sampling,
                        schema=schema,
                        sample=number,
                        top_logprobs=weighed,
                        more=samples - 1 - place,
                    )

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

    def unasked(self) -> Iterator[Dropped]:
        """The rows that the prompt cannot be filled in for."""
        while self._unasked:
            yield self._unasked.popleft()

    def _values(self, row: Example) -> dict[str, Any] | Dropped:
        """What the prompt reads of a row; the row, dropped, where it has not what is read."""
        reads = self.prompt.header.reads
        if not row.positives and OF_DOCUMENTS.intersection(reads):
            return Dropped(row, "no_document", "the row has no document to write about")
        try:
            values = values_of(row, (name for name in reads if name != "examples" or not self._examples))
        except KeyError as error:
            return Dropped(row, "missing_value", f"no step has given it {error.args[0]!r}, which the prompt reads")
        if self._examples and "examples" in reads:
            language = language_of(row)
            if language not in self._by_language:
                self._by_language[language] = self._stage._chosen(self._examples, language, self._ctx)
            values["examples"] = self._by_language[language]
        return values

    def _order(self, row: Example, draw: int) -> Random | None:
        return self._ctx.rng(row, f"order:{draw}") if self.prompt.is_shuffled else None

    def _share(self, row: Example, draw: int, name: str) -> float:
        return self._ctx.share(row, f"{name}:{draw}")

    def _child(self, opened: _Open, number: int, reply: Reply, answer: Answer) -> Example:
        drawn = opened.axes[number % len(opened.axes)]
        child = written_row(opened.row, self._axes, answer.fields, (self._ctx.step, number), drawn)
        more = {name: answer.fields[name] for name in given_names(self.prompt.header) if name in answer.fields}
        meta = {**child.meta, **self._meta(opened, number, reply, {"answer": more} if more else {})}
        return replace(child, meta=meta)

    def _failures(self, opened: _Open) -> Iterator[Dropped]:
        for place, (number, reply) in enumerate(sorted(opened.failed.items())):
            if isinstance(reply.answer, Unreadable):
                itself = place == 0 and not opened.has_child
                row = opened.row if itself else child_of(opened.row, self._ctx.step, number, "")
                text = reply.completion.text
                meta = self._meta(opened, number, reply, {"reply": text[: 10 * MOST_SHOWN]})
                detail = f"{reply.answer.detail}: {text[:MOST_SHOWN]}" if text else reply.answer.detail
                yield Dropped(replace(row, meta={**row.meta, **meta}), reply.answer.reason, detail)

    def _meta(self, opened: _Open, number: int, reply: Reply, more: Mapping[str, Any]) -> dict[str, Any]:
        """Where a row comes from: the prompt, the draw, the model and what it took, under the name of the step."""
        completion = reply.completion
        told = {
            "prompt": self.prompt.name,
            "draw": number,
            "axes": opened.axes[number % len(opened.axes)],
            "model": completion.model,
            "finish": completion.finish_reason,
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
            "attempts": reply.attempts,
            "reply_key": completion.key,
        }
        if completion.logprobs:
            told["logprob"] = mean_logprob(completion)
        return {self._ctx.step or "generate": {**told, **more}}
