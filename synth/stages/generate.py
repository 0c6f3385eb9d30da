"""Queries written by a model: a prompt filled in for each row, sent to the writer, the answer read, a child made of it.

    - {use: generate, prompt: grounded/question, per_document: 2}

    "The Nile floods each summer…"  ->  {"query": "when does the Nile burst its banks?"}  ->  a row with that query

A reply that cannot be used is a dropped child of its row: no query, and the reply in `meta`. Where a row gets no other,
the first of them is the row itself. So each reply has one fate, and each row that comes in has a child or is dropped.
"""

from bisect import bisect
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, ClassVar, Literal

from pydantic import Field

from synth.answers import Answer, Reply, Unreadable, ask, mean_logprob, sampling_of
from synth.backend import Request, Sampling
from synth.errors import RecipeError, did_you_mean
from synth.prompt import Prompt
from synth.stage import Context, Stage
from synth.types import Document, Dropped, Example, child_of

GIVES = ("document", "title", "language", "instruction", "query", "task")
"""What a prompt may read here: text, title and language of a row's first positive, and the row's own fields."""

MOST_SHOWN = 200
"""How much of an unusable reply stands in the reason, in characters; `meta` has ten times as much."""


class Generate(Stage):
    """Make `per_document` queries for each row, each under its own draw of the prompt's axes.

    `samples` asks several times for each draw, in the same words; with `keep: best` the one of them stays whose words
    have the highest mean log-probability, by which InPars (arXiv 2202.05144) chose its questions. A child keeps its
    row's language, or has that of the document. What the prompt returns beside `query` goes to `meta`.
    """

    version: ClassVar[int] = 2

    prompt: str = Field(default="grounded/question", description="the prompt; it must return a `query`")
    backend: str = Field(default="writer", description="the role of the backend that writes")
    per_document: int = Field(default=1, ge=1, le=1000, description="draws for each row")
    samples: int = Field(default=1, ge=1, le=100, description="replies for each draw")
    keep: Literal["all", "best"] = Field(
        default="all", description="of a draw's samples keep all, or the one whose words the model found likeliest"
    )
    attempts: int = Field(default=2, ge=1, le=10, description="times asked for an answer that cannot be read")
    sampling: Sampling | None = Field(default=None, description="how replies are drawn, where not as the backend says")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """A child for each reply that can be used, as they come."""
        backend = ctx.backend(self.backend)
        writing = _Writing(self, self._prompt(ctx), ctx)
        requests = writing.requests(rows, sampling_of(backend, self.sampling))
        for reply in ask(backend, requests, writing.prompt.answer, self.attempts):
            yield from writing.settle(reply)
            yield from writing.without_document()
        yield from writing.without_document()

    def backends_used(self) -> tuple[str, ...]:
        """The writer."""
        return (self.backend,)

    def content_read(self, ctx: Context) -> str:
        """The hash of the prompt's text."""
        return self._prompt(ctx).text_hash

    def _prompt(self, ctx: Context) -> Prompt:
        """The prompt, which must return a query and read nothing but what there is here. Raises RecipeError."""
        prompt = Prompt.load(self.prompt, ctx.source.folder)
        place = f"step {ctx.step}: prompt {self.prompt}"
        if "query" not in prompt.header.returns:
            raise RecipeError(f"{place} returns {', '.join(prompt.header.returns)}; here it must return `query`")
        for name in prompt.header.reads:
            if name not in GIVES:
                cure = f"{did_you_mean(name, GIVES)}; there are {', '.join(GIVES)}, and its own axes"
                raise RecipeError(f"{place} reads {name!r}, which nothing here fills{cure}")
        return prompt


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
        axes = prompt.header.axes.items()
        self._axes = {name: (list(of), list(accumulate(value.weight for value in of.values()))) for name, of in axes}
        self._open: dict[str, _Open] = {}
        self._without: deque[Example] = deque()

    def requests(self, rows: Iterable[Example], sampling: Sampling) -> Iterator[Request]:
        """The requests of each row, numbered: the first of each draw, then the second samples, and so on.

        So more `samples` ask for nothing that was asked for before. Those of a draw follow each other, and so may be
        asked for together; those of a row too, since they begin alike and a server reads what they share once.
        """
        schema, draws, samples = self.prompt.schema, self._stage.per_document, self._stage.samples
        weighed = 0 if self._stage.keep == "best" else None
        needs_document = {"document", "title"} & set(self.prompt.header.reads)
        for row in rows:
            if needs_document and not row.positives:
                self._without.append(row)
                continue
            axes = tuple(self._drawn(row, draw) for draw in range(draws))
            self._open[row.id] = _Open(row, axes, draws * samples)
            for draw in range(draws):
                messages = self.prompt.render(self._values(row, axes[draw]))
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

    def without_document(self) -> Iterator[Dropped]:
        """The rows that a prompt about a document cannot be filled in for."""
        while self._without:
            yield Dropped(self._without.popleft(), "no_document", "the row has no document to write about")

    def _values(self, row: Example, axes: Mapping[str, str]) -> dict[str, Any]:
        document = row.positives[0] if row.positives else Document("")
        gives = {
            "document": document.text,
            "title": document.title,
            "language": document.language or row.language,
            "instruction": row.instruction,
            "query": row.query,
            "task": row.task,
        }
        drawn = {name: self.prompt.header.axes[name][value].means for name, value in axes.items()}
        return {name: gives[name] for name in self.prompt.header.reads} | drawn

    def _drawn(self, row: Example, draw: int) -> dict[str, str]:
        """The value of each of the prompt's axes for one draw of a row, by weight."""
        return {
            name: values[bisect(weights, self._ctx.share(row, f"{name}:{draw}") * weights[-1], hi=len(values) - 1)]
            for name, (values, weights) in self._axes.items()
        }

    def _child(self, opened: _Open, number: int, reply: Reply, answer: Answer) -> Example:
        row = opened.row
        child = child_of(row, self._ctx.step, number, str(answer.fields["query"]))
        more = {name: value for name, value in answer.fields.items() if name != "query"}
        meta = {**child.meta, **self._meta(opened, number, reply, {"answer": more} if more else {})}
        language = row.language or (row.positives[0].language if row.positives else "")
        return replace(child, language=language, meta=meta)

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
