"""Ideas out of a model: tasks, topics, instructions or personas, many small questions, each told what there is already.

    - {use: brainstorm, prompt: e5/tasks_short_long, makes: instruction, per_row: 50}

    a row (a kind of task)   round 1: 2 questions, 40 ideas, 37 new;  round 2: told of them: 40 ideas, 13 more
                             ->  50 rows, each with an instruction of its own

Rounds are fixed: each question sees only what earlier rounds found, so a run that is resumed asks nothing twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from synth.answers import Answer, Reply, Unreadable, ask, sampling_of
from synth.axes import Axes
from synth.backend import Request, Sampling
from synth.errors import RecipeError
from synth.prompt import Prompt
from synth.stage import Context, Stage, replayable
from synth.types import Dropped, Example, child_of
from synth.values import check_reads, language_of, values_of, with_given

OWN_READS = ("known", "wanted")
"""What a prompt may read here beside what a row has: the ideas there are, and how many are asked for."""
MOST_SHOWN = 200
MOST_OF_ONE = 10_000
"""Ideas of one reply that are told apart; the numbers of the next reply begin there."""


class Brainstorm(Stage):
    """Make `per_row` rows of each row, each with an idea of the model's under the name that `makes` says.

    In each round the writer is asked `calls` times for each row that has too few, and told up to `shown` of the ideas
    that the row has by then. An idea that repeats another one of any row, by a share of letters of `most_alike`, is
    dropped as `duplicate_idea`. A row is asked no more when it has enough, when less than `least_novelty` of the last
    round's ideas were new, or after `most_rounds`. `makes: instruction` or `query` becomes that of the row, another
    name is for prompts to read. The prompt returns one list; it may read `known` and `wanted`. E5-mistral (arXiv
    2401.00368) began so, in one call of twenty ideas each; SPEED (2410.18634) found more ideas better than more rows
    for each.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"

    prompt: str = Field(description="the prompt; it must return one list")
    makes: str = Field(default="instruction", description="what an idea is called by the prompts that read it")
    backend: str = Field(default="writer", description="the role of the backend that is asked")
    per_row: int = Field(default=20, ge=1, le=100_000, description="ideas for each row")
    calls: int = Field(default=2, ge=1, le=1000, description="questions for each row in a round")
    per_call: int = Field(default=20, ge=1, le=500, description="ideas that are asked for at once")
    most_rounds: int = Field(default=10, ge=1, le=1000, description="rounds after which a row has what it has")
    least_novelty: float = Field(
        default=0.2, ge=0, le=1, description="share of a round's ideas that must be new for another round"
    )
    most_alike: float = Field(default=0.8, gt=0, le=1, description="share of letters from which two ideas are the same")
    shown: int = Field(default=40, ge=0, le=1000, description="ideas that a question is told of")
    attempts: int = Field(default=2, ge=1, le=10, description="times asked for an answer that cannot be read")
    sampling: Sampling | None = Field(default=None, description="how replies are drawn, where not as the backend says")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Ask round by round; the fates of a round's ideas as the round ends."""
        prompt = self._prompt(ctx)
        storm = _Storm(self, prompt, ctx)
        waiting = [_Row(row) for row in sorted(replayable(rows), key=lambda row: row.id)]
        for number in range(self.most_rounds):
            yield from storm.round(number, waiting)
            waiting = [each for each in waiting if each.goes_on]
        yield from (each.none() for each in waiting if not each.is_settled)
        short = sum(each.found < self.per_row for each in storm.rows)
        if short:
            ctx.warn(f"{short} of {len(storm.rows)} rows got fewer than {self.per_row} ideas")

    def backends_used(self) -> tuple[str, ...]:
        """The writer."""
        return (self.backend,)

    def gives(self, ctx: Context) -> Sequence[str]:
        """The idea."""
        del ctx
        return [self.makes]

    def content_read(self, ctx: Context) -> str:
        """The hash of the prompt's text."""
        return self._prompt(ctx).text_hash

    def _prompt(self, ctx: Context) -> Prompt:
        prompt = Prompt.load(self.prompt, ctx.source.folder)
        place = f"step {ctx.step}: prompt {self.prompt}"
        kinds = [returned.type for returned in prompt.header.returns.values()]
        if kinds != ["list"]:
            raise RecipeError(f"{place} returns {', '.join(prompt.header.returns)}; here it must return one list")
        check_reads(prompt.header.reads, {*ctx.given, *OWN_READS}, place)
        return prompt


@dataclass(slots=True)
class _Row:
    """A row that ideas are wanted for: how many it has, what they are, and whether more are asked for."""

    row: Example
    ideas: list[str] = field(default_factory=list)
    goes_on: bool = True
    is_settled: bool = False
    lacks: str = ""

    @property
    def found(self) -> int:
        """How many ideas it has."""
        return len(self.ideas)

    def none(self) -> Dropped:
        """The row itself, of which nothing came."""
        if self.lacks:
            return Dropped(self.row, "missing_value", f"no step has given it {self.lacks!r}, which the prompt reads")
        return Dropped(self.row, "no_ideas", "the model gave no idea that was new")


class _Storm:
    """One run of the stage: all rows, and all ideas there are."""

    def __init__(self, stage: Brainstorm, prompt: Prompt, ctx: Context) -> None:
        from synth.resemblance import Growing

        self.rows: list[_Row] = []
        self._stage, self._prompt, self._ctx = stage, prompt, ctx
        self._axes = Axes(prompt.header)
        self._all = Growing(stage.most_alike)

    def round(self, number: int, waiting: Sequence[_Row]) -> Iterator[Example | Dropped]:
        """Ask once more for each row that waits; its ideas with their fates, in the order of the questions."""
        if number == 0:
            self.rows = list(waiting)
        backend = self._ctx.backend(self._stage.backend)
        requests = self._requests(number, waiting, sampling_of(backend, self._stage.sampling))
        found = ask(backend, requests, self._prompt.answer, self._stage.attempts)
        replies = {reply.completion.request.id: reply for reply in found}
        for each in waiting:
            calls = range(number * self._stage.calls, (number + 1) * self._stage.calls)
            own = [(call, replies[name]) for call in calls if (name := f"{each.row.id}:{call}") in replies]
            yield from self._settle(each, own)

    def _requests(self, number: int, waiting: Sequence[_Row], sampling: Sampling) -> Iterator[Request]:
        stage = self._stage
        for each in waiting:
            for call in range(number * stage.calls, (number + 1) * stage.calls):
                values = self._values(each, call)
                if values is None:
                    continue
                order = self._ctx.rng(each.row, f"order:{call}") if self._prompt.is_shuffled else None
                messages = self._prompt.render(values, order)
                schema = self._prompt.schema
                yield Request(
                    id=f"{each.row.id}:{call}", messages=messages, sampling=sampling, schema=schema, sample=call
                )

    def _values(self, each: _Row, call: int) -> dict[str, Any] | None:
        """What the prompt reads for one question; None where the row has it not."""
        drawn = self._axes.drawn(lambda name: self._ctx.share(each.row, f"{name}:{call}"))
        words = self._axes.words(drawn, language_of(each.row))
        shown = self._ctx.rng(each.row, f"known:{call}").sample(each.ideas, min(self._stage.shown, each.found))
        own = {"known": shown, "wanted": self._stage.per_call}
        reads = self._prompt.header.reads
        try:
            values = values_of(each.row, (name for name in reads if name not in own))
        except KeyError as error:
            each.lacks = str(error.args[0])
            return None
        return values | {name: own[name] for name in reads if name in own} | words

    def _settle(self, each: _Row, replies: Sequence[tuple[int, Reply]]) -> Iterator[Example | Dropped]:
        """The fates of what a row's questions of one round gave, and whether the row is asked on."""
        told, new = 0, 0
        for call, reply in replies:
            if isinstance(reply.answer, Unreadable):
                yield self._failed(each, call, reply, reply.answer)
                continue
            ideas = self._ideas(reply.answer)
            for place, (idea, twin) in enumerate(zip(ideas, self._all.twins(ideas), strict=True)):
                told += 1
                new += not twin
                outcome = self._outcome(each, call * MOST_OF_ONE + place, idea, twin, reply)
                each.is_settled = True
                yield outcome
        enough = each.found >= self._stage.per_row
        each.goes_on = not enough and told > 0 and new / told >= self._stage.least_novelty
        if not each.is_settled and not each.goes_on:
            each.is_settled = True
            yield each.none()

    def _ideas(self, answer: Answer) -> list[str]:
        (values,) = answer.fields.values()
        return [str(value).strip() for value in values if str(value).strip()]

    def _outcome(self, each: _Row, number: int, idea: str, twin: str, reply: Reply) -> Example | Dropped:
        child = self._child(each.row, number, idea, reply)
        if twin:
            return Dropped(child, "duplicate_idea", f"there is already: {twin[:MOST_SHOWN]}")
        if each.found >= self._stage.per_row:
            return Dropped(child, "surplus_idea", f"{self._stage.per_row} are enough")
        each.ideas.append(idea)
        return child

    def _child(self, row: Example, number: int, idea: str, reply: Reply) -> Example:
        child = replace(child_of(row, self._ctx.step, number, idea), query=row.query)
        child = replace(child, meta={**child.meta, **self._meta(reply, number)})
        makes = self._stage.makes
        if makes == "query":
            return replace(child, query=idea)
        return replace(child, instruction=idea) if makes == "instruction" else with_given(child, {makes: idea})

    def _failed(self, each: _Row, call: int, reply: Reply, answer: Unreadable) -> Dropped:
        """A reply that cannot be read, as a dropped child of its row."""
        text = reply.completion.text
        each.is_settled = True
        child = child_of(each.row, self._ctx.step, call * MOST_OF_ONE, "")
        meta = {**child.meta, **self._meta(reply, call * MOST_OF_ONE), "reply": text[: 10 * MOST_SHOWN]}
        detail = f"{answer.detail}: {text[:MOST_SHOWN]}" if text else answer.detail
        return Dropped(replace(child, query=each.row.query, meta=meta), answer.reason, detail)

    def _meta(self, reply: Reply, number: int) -> dict[str, Any]:
        completion = reply.completion
        told = {
            "prompt": self._prompt.name,
            "draw": number // MOST_OF_ONE,
            "model": completion.model,
            "attempts": reply.attempts,
            "reply_key": completion.key,
        }
        return {self._ctx.step or "brainstorm": told}
