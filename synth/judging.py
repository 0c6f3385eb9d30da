"""Asking models for verdicts: one judge, the votes of several, and a second one for those that the first is unsure of.

    backend: [qwen, llama, gemma], vote: median     2, 3, 1  ->  2; a third of the pairs of judges agree: 0.0 here
    backend: cheap, then: strong, unsure: [1, 2]    1        ->  strong is asked too, and its 3 counts

What a prompt returns says what kind of verdict it asks for:

    score: {type: integer, least: 0, most: 3}             a grade (UMBRELA, arXiv 2406.06519)
    two or more numbers with the same bounds              criteria, graded one by one, their mean counts
    answer: {choices: [yes, no]}                          the probability of yes beside no, from the log-probabilities
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice
from statistics import fmean, median
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from synth.answers import Answer, Reply, Unreadable, ask, sampling_of
from synth.backend import Backend, Request, Sampling
from synth.chances import chance_of
from synth.errors import RecipeError, did_you_mean
from synth.prompt import Prompt
from synth.stage import Context, Stage
from synth.types import Document, Example

PAIR = ("query", "document", "title", "instruction", "task", "language")
"""What a prompt about a query and a document may read."""
LIKELY = 5
"""How many words are weighed in the place of a yes or no."""
MOST_SHOWN = 200
ROUND = 2048
"""Cases after which those that need no second judge are handed on."""

Vote = Literal["median", "mean", "majority", "lowest"]


@dataclass(frozen=True, slots=True)
class Scale:
    """What a prompt's verdict is measured in: from `low` to `high`, read from the fields `names` of an answer."""

    kind: Literal["score", "criteria", "yes"]
    low: float
    high: float
    names: tuple[str, ...]

    @property
    def least(self) -> float:
        """What counts as good unless told: two thirds up, 2 of 0 to 3 and 7 of 1 to 10; 0.5 for a probability."""
        return 0.5 if self.kind == "yes" else round(self.low + 2 * (self.high - self.low) / 3, 5)

    @property
    def middle(self) -> tuple[float, float]:
        """Its middle third, both ends with it: 1 to 2 of 0 to 3."""
        third = (self.high - self.low) / 3
        return round(self.low + third, 5), round(self.high - third, 5)

    def share(self, score: float) -> float:
        """A score as 0 to 1."""
        return round((score - self.low) / (self.high - self.low), 5)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one judge said: the score on the prompt's scale, None where none can be read, and that of each criterion."""

    role: str
    reply: Reply
    score: float | None
    criteria: Mapping[str, float]

    def told(self) -> dict[str, Any]:
        """What a row's `meta` keeps of it."""
        completion = self.reply.completion
        known = {"model": completion.model, "attempts": self.reply.attempts, "reply_key": completion.key}
        if isinstance(self.reply.answer, Answer):
            return known | dict(self.reply.answer.fields)
        return known | {"reply": completion.text[: 10 * MOST_SHOWN]}


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to judge: a name of its own, the values of the prompt, and what was said of it so far."""

    id: str
    gives: Mapping[str, Any]
    opinions: tuple[Opinion, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all judges came to. `score` is None where none of them could be read: `reason` and `detail` say why.

    `agreement` is the share of the pairs of judges that gave the same score, None where only one was read.
    """

    case: Case
    prompt: str
    scale: Scale
    score: float | None
    agreement: float | None = None
    apart: float = 0.0
    second: bool = False

    @property
    def opinions(self) -> tuple[Opinion, ...]:
        """Those of the judges, in the order in which they were asked."""
        return self.case.opinions

    @property
    def unread(self) -> Unreadable:
        """Why there is no score."""
        last = self.opinions[-1].reply
        answer, text = last.answer, last.completion.text
        reason = answer.reason if isinstance(answer, Unreadable) else "unreadable_answer"
        detail = answer.detail if isinstance(answer, Unreadable) else ""
        return Unreadable(reason, f"{detail}: {text[:MOST_SHOWN]}" if text else detail)

    @property
    def why(self) -> str:
        """The reason that the judge gave whose word is last; "" where it gave none."""
        answer = self.opinions[-1].reply.answer
        fields = answer.fields if isinstance(answer, Answer) else {}
        return str(fields.get("reason") or fields.get("against") or "")

    def told(self) -> dict[str, Any]:
        """What a row's `meta` keeps: the one judge's words, or each judge's under its role."""
        if len(self.opinions) == 1:
            return {"prompt": self.prompt, **self.opinions[0].told()}
        each = [{"role": o.role, "score": o.score, **o.told()} for o in self.opinions]
        return {"prompt": self.prompt, "agreement": self.agreement, "judges": each}

    def noted(self, document: Document) -> Document:
        """The document with its relevance and the score as `judge`, each criterion's and judge's as `judge_<name>`."""
        if self.score is None:
            return document
        parts = {f"judge_{o.role}": o.score for o in self.opinions if o.score is not None}
        parts = parts if len(self.opinions) > 1 else dict(self.opinions[0].criteria)
        scores = {**document.scores, "judge": self.score, **parts}
        return replace(document, scores=scores, relevance=self.scale.share(self.score))


class Panel(Stage):
    """What every step that asks judges can be told."""

    prompt: str = Field(default="judge/relevance", description="the prompt: grades, criteria, or a yes or no")
    backend: str | tuple[str, ...] = Field(
        default="judge", description="the role of the backend that judges; several, and they vote"
    )
    vote: Vote = Field(default="median", description="what several judges' scores come to")
    most_apart: float | None = Field(
        default=None, ge=0, description="largest difference between two judges; what lies farther apart is disputed"
    )
    then: str = Field(default="", description="the role that is asked too where the first are unsure or disagree")
    unsure: tuple[float, float] | None = Field(
        default=None, description="lowest and highest score that are unsure; the middle third of the scale if unset"
    )
    attempts: int = Field(default=2, ge=1, le=10, description="times asked for a verdict that cannot be read")
    sampling: Sampling | None = Field(
        default=None, description="how verdicts are drawn, where not as the backend says; temperature 0 if neither does"
    )

    @field_validator("backend")
    @classmethod
    def _names_each_once(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value or (not isinstance(value, str) and len(set(value)) < len(value)):
            raise ValueError("name at least one role, each once; several samples of one model are roles of their own")
        return value

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.then in self.first:
            raise ValueError(f"then: {self.then} has been asked already; name another role")
        if self.unsure and self.unsure[0] > self.unsure[1]:
            raise ValueError(f"unsure: from {self.unsure[0]:g} to {self.unsure[1]:g}; turn them round")
        if self.unsure and not self.then:
            raise ValueError("unsure: it says when `then:` is asked, which is not set")
        return self

    @property
    def first(self) -> tuple[str, ...]:
        """The roles that judge every case."""
        return (self.backend,) if isinstance(self.backend, str) else self.backend

    def backends_used(self) -> tuple[str, ...]:
        """The judges."""
        return (*self.first, self.then) if self.then else self.first

    def content_read(self, ctx: Context) -> str:
        """The hash of the prompt's text."""
        return self.asked_of(ctx)[0].text_hash

    def asked_of(self, ctx: Context, gives: Sequence[str] = PAIR) -> tuple[Prompt, Scale]:
        """The prompt, which may read what `gives` names, and its scale. Raises RecipeError where it does not suit."""
        prompt = self.prompt_of(ctx, gives)
        return prompt, scale_of(prompt, f"step {ctx.step}: prompt {self.prompt}")

    def prompt_of(self, ctx: Context, gives: Sequence[str]) -> Prompt:
        """The prompt, which may read what `gives` names. Raises RecipeError where it reads something else."""
        prompt = Prompt.load(self.prompt, ctx.source.folder)
        for name in sorted({*prompt.header.reads, *prompt.header.axes}.difference(gives)):
            cure = f"{did_you_mean(name, gives)}; there are {', '.join(gives)}"
            raise RecipeError(f"step {ctx.step}: prompt {self.prompt} reads {name!r}, which nothing here fills{cure}")
        return prompt

    def verdicts(self, cases: Iterable[Case], ctx: Context) -> Iterator[Verdict]:
        """One verdict for each case, as they come; cases are drawn as the judges have room for them."""
        prompt, scale = self.asked_of(ctx)
        for role in self.first:
            cases = self._heard(cases, ctx.backend(role), role, prompt, scale)
        if not self.then:
            yield from (self._verdict(case, scale) for case in cases)
            return
        second = ctx.backend(self.then)
        cases = iter(cases)
        while True:
            sure: deque[Verdict] = deque()
            drawn = _Counted(islice(cases, ROUND))
            for case in self._heard(self._unsure(drawn, sure, scale), second, self.then, prompt, scale):
                yield from _all_of(sure)
                yield self._last_word(case, scale)
            yield from _all_of(sure)
            if drawn.count < ROUND:
                return

    def _heard(
        self, cases: Iterable[Case], backend: Backend, role: str, prompt: Prompt, scale: Scale
    ) -> Iterator[Case]:
        """Each case with what this judge says of it."""
        waiting: dict[str, Case] = {}
        plain = Sampling(temperature=0) if backend.sampling.temperature is None else None
        sampling = sampling_of(backend, self.sampling or plain)
        weighed = LIKELY if scale.kind == "yes" else None

        def requests() -> Iterator[Request]:
            for case in cases:
                waiting[case.id] = case
                messages = prompt.render({name: case.gives[name] for name in prompt.header.reads})
                yield Request(
                    id=case.id, messages=messages, sampling=sampling, schema=prompt.schema, top_logprobs=weighed
                )

        for reply in ask(backend, requests(), prompt.answer, self.attempts):
            case = waiting.pop(reply.completion.request.id)
            yield replace(case, opinions=(*case.opinions, opinion(role, reply, scale)))

    def _unsure(self, cases: Iterable[Case], sure: deque[Verdict], scale: Scale) -> Iterator[Case]:
        """The cases that the second judge is to see; the others' verdicts go to `sure`."""
        low, high = self.unsure or scale.middle
        for case in cases:
            verdict = self._verdict(case, scale)
            disputed = self.most_apart is not None and verdict.apart > self.most_apart
            if disputed or verdict.score is None or low <= verdict.score <= high:
                yield case
            else:
                sure.append(verdict)

    def _verdict(self, case: Case, scale: Scale) -> Verdict:
        scores = [o.score for o in case.opinions if o.score is not None]
        pairs = list(combinations(scores, 2))
        return Verdict(
            case,
            self.prompt,
            scale,
            voted(scores, self.vote) if scores else None,
            round(fmean(one == other for one, other in pairs), 5) if pairs else None,
            max(scores) - min(scores) if scores else 0.0,
        )

    def _last_word(self, case: Case, scale: Scale) -> Verdict:
        """The verdict of a case that the second judge has seen: that one's alone."""
        return replace(self._verdict(case, scale), score=case.opinions[-1].score, apart=0.0, second=True)


class _Counted:
    """An iterator that knows how many it gave."""

    def __init__(self, cases: Iterator[Case]) -> None:
        self._cases = cases
        self.count = 0

    def __iter__(self) -> Iterator[Case]:
        for case in self._cases:
            self.count += 1
            yield case


def _all_of(waiting: deque[Verdict]) -> Iterator[Verdict]:
    while waiting:
        yield waiting.popleft()


def pair_of(row: Example, document: Document) -> dict[str, Any]:
    """What a prompt may read of a query and a document; see `PAIR`."""
    return {
        "query": row.query,
        "document": document.text,
        "title": document.title,
        "instruction": row.instruction,
        "task": row.task,
        "language": row.language,
    }


def scale_of(prompt: Prompt, place: str) -> Scale:
    """What the answers to a prompt are measured in. Raises RecipeError where they hold no verdict."""
    returns = prompt.header.returns
    if "answer" in returns and set(returns["answer"].choices) == {"yes", "no"}:
        return Scale("yes", 0.0, 1.0, ("answer",))
    bounds = {n: (r.least, r.most) for n, r in returns.items() if r.type in ("integer", "number")}
    names = ("score",) if "score" in returns else tuple(bounds)
    found = {bounds.get(name, (None, None)) for name in names}
    low, high = next(iter(found)) if len(found) == 1 else (None, None)
    if low is None or high is None or low >= high:
        raise RecipeError(
            f"{place} must return a verdict: `score: {{type: integer, least: 0, most: 3}}`, several numbers with the "
            "same bounds, or `answer: {choices: [yes, no]}`"
        )
    return Scale("score" if names == ("score",) else "criteria", low, high, names)


def opinion(role: str, reply: Reply, scale: Scale) -> Opinion:
    """What a reply says on a scale."""
    if not isinstance(reply.answer, Answer):
        return Opinion(role, reply, None, {})
    fields = reply.answer.fields
    if scale.kind == "yes":
        return Opinion(role, reply, chance_of(reply.completion, "answer", ("yes", "no"), str(fields["answer"])), {})
    criteria = {name: round(float(fields[name]), 5) for name in scale.names if fields.get(name) is not None}
    score = round(fmean(criteria.values()), 5) if criteria else None
    named = {f"judge_{name}": value for name, value in criteria.items()} if scale.kind == "criteria" else {}
    return Opinion(role, reply, score, named)


def voted(scores: Sequence[float], vote: Vote) -> float:
    """What several scores come to; of several majorities the lowest.

    >>> voted([1, 3, 3, 1], "majority"), voted([1, 3, 2], "median"), voted([0, 3], "mean"), voted([2, 1], "lowest")
    (1, 2, 1.5, 1)
    """
    if vote == "lowest":
        return min(scores)
    if vote == "majority":
        times = Counter(scores)
        return min(times, key=lambda score: (-times[score], score))
    return round(median(scores), 5) if vote == "median" else round(fmean(scores), 5)
