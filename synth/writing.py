"""Having a model write: a prompt filled in for rows, the writer asked, its reply made into a row or told as unusable.

What `generate`, which writes rows, and `revise`, which rewrites them, have in common: `Writes` are the options of such
a step, `Writing` is one run of it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import Field

from synth.answers import Answer, Reply, Unreadable, ask, mean_logprob, sampling_of
from synth.axes import Axes
from synth.backend import Message, Request, Sampling
from synth.exemplars import Exemplars, exemplars
from synth.prompt import Prompt
from synth.stage import Context, Stage
from synth.types import Dropped, Example, digest_of
from synth.values import OF_DOCUMENTS, check_reads, first_sample, language_of, values_of, with_draw
from synth.written import given_names, written_row

MOST_SHOWN = 200
"""How much of an unusable reply stands in the reason, in characters; `meta` has ten times as much."""


class Writes(Stage):
    """What every step that has a model write can be told."""

    prompt: str = Field(default="grounded/question", description="the prompt")
    backend: str = Field(default="writer", description="the role of the backend that writes")
    examples: str = Field(
        default="", description="what the prompt shows as `examples`: a BEIR folder and split, or a JSONL file"
    )
    shots: int = Field(default=4, ge=1, le=50, description="how many examples are shown")
    attempts: int = Field(default=2, ge=1, le=10, description="times asked for an answer that cannot be read")
    sampling: Sampling | None = Field(default=None, description="how replies are drawn, where not as the backend says")

    def backends_used(self) -> tuple[str, ...]:
        """The writer."""
        return (self.backend,)

    def gives(self, ctx: Context) -> Sequence[str]:
        """What the prompt returns that becomes no part of a row."""
        return given_names(self.prompt_of(ctx).header)

    def shows(self, ctx: Context) -> Sequence[str]:
        """The queries of the examples: of a test set those that are shown, of a file all."""
        found = self.examples_of(ctx)
        if found is None:
            return ()
        lines = self.shown(found, "", ctx) if found.is_test_set else found.lines
        return [str(line["query"]) for line in lines]

    def content_read(self, ctx: Context) -> str:
        """The hash of the prompt's text, and of the examples."""
        prompt, found = self.prompt_of(ctx), self.examples_of(ctx)
        return prompt.text_hash if found is None else digest_of(prompt.text_hash, found.content)

    def prompt_of(self, ctx: Context) -> Prompt:
        """The prompt, which must read nothing but what there is. Raises RecipeError."""
        prompt = Prompt.load(self.prompt, ctx.source.folder)
        given = {*ctx.given, "examples"} if self.examples else ctx.given
        check_reads(prompt.header.reads, given, f"step {ctx.step}: prompt {self.prompt}")
        return prompt

    def examples_of(self, ctx: Context) -> Exemplars | None:
        """All the examples there are to show; None where none are wanted."""
        return exemplars(self.examples, ctx.source.folder) if self.examples else None

    def shown(self, found: Exemplars, language: str, ctx: Context) -> list[dict[str, Any]]:
        """The examples that are shown for rows in a language."""
        return found.chosen(language, self.shots, partial(ctx.share, "examples"))


class Writing:
    """One run of such a step: its prompt with the axes, and the writer.

    Raises RecipeError where there is no such backend, or where the prompt reads what nothing fills.
    """

    def __init__(self, stage: Writes, ctx: Context) -> None:
        self._backend = ctx.backend(stage.backend)
        self.prompt = stage.prompt_of(ctx)
        self.axes = Axes(self.prompt.header)
        self._stage = stage
        self._ctx = ctx
        self._step = ctx.step or type(stage).__name__.lower()
        self._sampling = sampling_of(self._backend, stage.sampling)
        self._examples = stage.examples_of(ctx)
        self._by_language: dict[str, list[dict[str, Any]]] = {}

    def values(self, row: Example) -> dict[str, Any] | Dropped:
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
                self._by_language[language] = self._stage.shown(self._examples, language, self._ctx)
            values["examples"] = self._by_language[language]
        return values

    def drawn(self, row: Example, draw: int) -> dict[str, str]:
        """The value of each of the prompt's axes for one draw of a row."""
        return self.axes.drawn(lambda name: self._ctx.share(row, f"{name}:{draw}"))

    def messages(
        self, row: Example, draw: int, values: Mapping[str, Any], drawn: Mapping[str, str]
    ) -> tuple[Message, ...]:
        """The prompt, filled in for one draw of a row."""
        order = self._ctx.rng(row, f"order:{draw}") if self.prompt.is_shuffled else None
        return self.prompt.render({**values, **self.axes.words(drawn, language_of(row))}, order)

    def request(self, row: Example, number: int, messages: tuple[Message, ...]) -> Request:
        """The request for the reply of this number that a row gets."""
        return Request(
            id=f"{row.id}:{number}",
            messages=messages,
            sampling=self._sampling,
            schema=self.prompt.schema,
            sample=first_sample(row) + number,
        )

    def replies(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """The writer's replies, as they come; see `ask`."""
        return ask(self._backend, requests, self.prompt.answer, self._stage.attempts)

    def child(self, row: Example, number: int, drawn: Mapping[str, str], reply: Reply, answer: Answer) -> Example:
        """The row that an answer makes of a row."""
        child = with_draw(written_row(row, self.axes, answer.fields, (self._ctx.step, number), drawn), number)
        more = {name: answer.fields[name] for name in given_names(self.prompt.header) if name in answer.fields}
        return self.noted(child, number, drawn, reply, {"answer": more} if more else {})

    def unread(self, row: Example, number: int, drawn: Mapping[str, str], reply: Reply) -> Dropped | None:
        """The row dropped, with the beginning of a reply that cannot be used; None for one that can."""
        answer, text = reply.answer, reply.completion.text
        if not isinstance(answer, Unreadable):
            return None
        noted = self.noted(row, number, drawn, reply, {"reply": text[: 10 * MOST_SHOWN]})
        return Dropped(noted, answer.reason, f"{answer.detail}: {text[:MOST_SHOWN]}" if text else answer.detail)

    def noted(
        self, row: Example, number: int, drawn: Mapping[str, str], reply: Reply, more: Mapping[str, Any]
    ) -> Example:
        """The row with where it comes from in `meta`, under the step's name: the prompt, the draw, what it took."""
        completion = reply.completion
        told = {
            "prompt": self.prompt.name,
            "draw": number,
            "axes": drawn,
            "model": completion.model,
            "finish": completion.finish_reason,
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
            "attempts": reply.attempts,
            "reply_key": completion.key,
        }
        if completion.logprobs:
            told["logprob"] = mean_logprob(completion)
        return replace(row, meta={**row.meta, self._step: {**told, **more}})
