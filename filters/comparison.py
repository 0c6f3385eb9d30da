"""Drop rows whose positive does not beat its own negatives, as a model compares them.

    "how high is the Zugspitze?"   its height | the railway up to it     first, and second once they are exchanged: won
    "how high is the Zugspitze?"   the railway | its height              lost: outranked

    - {use: comparison}                                        pairs, each asked twice with the places exchanged
    - {use: comparison, prompt: judge/order, most_negatives: 9}    the list at once, in an order drawn for the row

Pairs: PRP (arXiv 2306.17563). Lists: RankGPT (2304.09542). A model that favours a place contradicts itself when the two
are exchanged, and such a comparison counts as half won.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, ClassVar

from pydantic import Field

from synth.answers import Answer, Reply, Unreadable, ask, sampling_of
from synth.backend import Backend, Request, Sampling
from synth.errors import RecipeError
from synth.prompt import Prompt
from synth.stage import Context, Stage
from synth.types import Dropped, Example

PAIRS = {"first", "second"}
LISTS = {"documents"}
MOST_KEPT = 2000
MOST_SHOWN = 200


class Comparison(Stage):
    """Keep rows whose first positive wins `least` of the comparisons with its own negatives.

    A prompt that reads `first` and `second` compares pairs, two requests a negative; one that reads `documents` orders
    the list, one request a row. The share that was won stands in the positive's `scores["wins"]`, and in a negative's
    whether it beat the positive: 1, 0, or 0.5 where the model contradicts itself. Such a negative may be a false one
    (`false_negatives` mends it). A row without negatives has nothing to be compared with and passes. A row without a
    query or a positive is dropped unasked. Rows whose negatives are right too (bitext, STS lists) are not for this.
    """

    least: float = Field(default=0.5, ge=0, le=1, description="share of the comparisons that the positive must win")
    prompt: str = Field(default="judge/which", description="the prompt: for pairs, or for the list (`judge/order`)")
    backend: str = Field(default="judge", description="the role of the backend that compares")
    most_negatives: int = Field(default=5, ge=1, le=50, description="negatives that are compared, the first ones")
    attempts: int = Field(default=2, ge=1, le=10, description="times asked for an answer that cannot be read")
    sampling: Sampling | None = Field(
        default=None, description="how answers are drawn, where not as the backend says; temperature 0 if neither does"
    )

    version: ClassVar[int] = 1

    def backends_used(self) -> tuple[str, ...]:
        """The judge."""
        return (self.backend,)

    def content_read(self, ctx: Context) -> str:
        """The hash of the prompt's text."""
        return self._prompt(ctx).text_hash

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Each row with what its comparisons came to, kept or dropped, as they end."""
        prompt, backend = self._prompt(ctx), ctx.backend(self.backend)
        out = _Out(self, prompt, ctx)
        for reply in ask(backend, out.requests(rows, self._sampling(backend)), prompt.answer, self.attempts):
            yield from out.settle(reply)
            yield from out.unasked()
        yield from out.unasked()
        if out.bias.total():
            ctx.count("pairs compared both ways", out.bias.total())
            ctx.count("pairs in which the place decided", out.bias[True])

    def fate(
        self, row: Example, outcomes: Sequence[float | None], told: Mapping[str, Any], step: str
    ) -> Example | Dropped:
        """The row with its share of wins, kept or dropped."""
        read = [outcome for outcome in outcomes if outcome is not None]
        wins = round(fmean(read), 5) if read else None
        meta = {**row.meta, step: {"prompt": self.prompt, "wins": wins, **told}}
        if wins is None:
            return Dropped(replace(row, meta=meta), *_unread(told))
        positive = replace(row.positive, scores={**row.positive.scores, "wins": wins})
        beaten = [
            negative
            if outcome is None
            else replace(negative, scores={**negative.scores, "wins": round(1 - outcome, 5)})
            for negative, outcome in zip(row.negatives, outcomes, strict=False)
        ]
        noted = replace(
            row,
            positives=(positive, *row.positives[1:]),
            negatives=(*beaten, *row.negatives[len(beaten) :]),
            meta=meta,
        )
        if wins >= self.least:
            return noted
        return Dropped(noted, "outranked", f"it wins {wins:.0%} of {len(read)} comparisons, least is {self.least:.0%}")

    def _prompt(self, ctx: Context) -> Prompt:
        """The prompt, which reads a pair or a list and returns a winner or an order. Raises RecipeError."""
        prompt = Prompt.load(self.prompt, ctx.source.folder)
        reads, returns = prompt.declared, prompt.header.returns
        pairs = reads >= PAIRS and "winner" in returns and {"first", "second"} <= set(returns["winner"].choices)
        lists = reads >= LISTS and "order" in returns and returns["order"].type == "list"
        more = reads - PAIRS - LISTS - {"query", "instruction", "language"}
        if pairs == lists or more:
            raise RecipeError(
                f"step {ctx.step}: prompt {self.prompt} must read `query`, `first`, `second` and return `winner: "
                "{choices: [first, second, neither]}`, or read `query`, `documents` and return `order: {type: list}`; "
                f"it may read `instruction` and `language` too{f', and not {min(more)!r}' if more else ''}"
            )
        return prompt

    def _sampling(self, backend: Backend) -> Sampling:
        plain = Sampling(temperature=0) if backend.sampling.temperature is None else None
        return sampling_of(backend, self.sampling or plain)


@dataclass(slots=True)
class _Open:
    """A row whose comparisons are not all back; `shown`: its documents' order in each request, 0 the positive."""

    row: Example
    shown: tuple[tuple[int, ...], ...]
    replies: dict[int, Reply] = field(default_factory=dict)


class _Out:
    """The rows that are out, and the fates of those that are back."""

    def __init__(self, stage: Comparison, prompt: Prompt, ctx: Context) -> None:
        self.bias: Counter[bool] = Counter()
        self._stage, self._prompt, self._ctx = stage, prompt, ctx
        self._lists = prompt.declared >= LISTS
        self._open: dict[str, _Open] = {}
        self._unasked: deque[Example | Dropped] = deque()

    def requests(self, rows: Iterable[Example], sampling: Sampling) -> Iterator[Request]:
        """Those of each row: its list once, or each pair in both orders."""
        for row in rows:
            why = "" if row.query.strip() else "there is no query"
            why = why or ("" if row.positives else "there is no positive to compare")
            if why or not row.negatives:
                self._unasked.append(Dropped(row, "incomparable", why) if why else row)
                continue
            opened = self._open[row.id] = _Open(row, self._orders(row))
            for number, order in enumerate(opened.shown):
                messages = self._prompt.render(self._values(row, order))
                yield Request(id=f"{row.id}:{number}", messages=messages, sampling=sampling, schema=self._prompt.schema)

    def settle(self, reply: Reply) -> Iterator[Example | Dropped]:
        """The fate of a row, with its last reply."""
        name, _, number = reply.completion.request.id.rpartition(":")
        opened = self._open[name]
        opened.replies[int(number)] = reply
        if len(opened.replies) == len(opened.shown):
            del self._open[name]
            replies = [opened.replies[place] for place in range(len(opened.shown))]
            outcomes = self._of_list(opened, replies[0]) if self._lists else self._of_pairs(replies)
            told = {"judges": [_told(each) for each in replies]}
            yield self._stage.fate(opened.row, outcomes, told, self._ctx.step or "comparison")

    def unasked(self) -> Iterator[Example | Dropped]:
        """The fates of rows that nothing is asked about."""
        while self._unasked:
            yield self._unasked.popleft()

    def _orders(self, row: Example) -> tuple[tuple[int, ...], ...]:
        count = min(len(row.negatives), self._stage.most_negatives)
        if not self._lists:
            return tuple(order for n in range(1, count + 1) for order in ((0, n), (n, 0)))
        order = list(range(count + 1))
        self._ctx.rng(row, "order").shuffle(order)
        return (tuple(order),)

    def _values(self, row: Example, order: Sequence[int]) -> dict[str, Any]:
        documents = (row.positive, *row.negatives)
        texts = [documents[number].full_text for number in order]
        numbered = "\n\n".join(f'<document number="{n}">\n{text}\n</document>' for n, text in enumerate(texts, start=1))
        gives = {"query": row.query, "instruction": row.instruction, "language": row.language, "documents": numbered}
        gives |= {"first": texts[0], "second": texts[-1]}
        return {name: gives[name] for name in self._prompt.declared}

    def _of_pairs(self, replies: Sequence[Reply]) -> list[float | None]:
        """For each negative what the two requests about it say: 1 for the positive, 0 against it, 0.5 undecided."""
        outcomes: list[float | None] = []
        for straight, exchanged in zip(replies[::2], replies[1::2], strict=True):
            said = (_field(straight, "winner"), _field(exchanged, "winner"))
            if None in said:
                outcomes.append(None)
                continue
            self.bias[said in {("first", "first"), ("second", "second")}] += 1
            outcomes.append({("first", "second"): 1.0, ("second", "first"): 0.0}.get(said, 0.5))
        return outcomes

    def _of_list(self, opened: _Open, reply: Reply) -> list[float | None]:
        """For each negative: 1 where the positive stands before it."""
        (shown,) = opened.shown
        order = _field(reply, "order")
        if order is None:
            return [None] * (len(shown) - 1)
        places = ranking(order, len(shown))
        rank = {document: places.index(place) for place, document in enumerate(shown)}
        return [float(rank[0] < rank[number]) for number in range(1, len(shown))]


def ranking(order: Sequence[str], count: int) -> list[int]:
    """The places from 0 of `count` documents, best first, as an answer numbers them from 1.

    What it leaves out comes last, as it stood; what it names twice counts once, and what there is not counts nothing.

    >>> ranking(["3", "[1]", "3", "9", "x"], 4)
    [2, 0, 1, 3]
    """
    named = ["".join(letter for letter in name if letter.isdecimal()) for name in order]
    places = [int(name) - 1 for name in named if name and len(name) < 6]
    return list(dict.fromkeys([place for place in places if 0 <= place < count] + list(range(count))))


def _field(reply: Reply, name: str) -> Any:
    return reply.answer.fields[name] if isinstance(reply.answer, Answer) else None


def _told(reply: Reply) -> dict[str, Any]:
    completion = reply.completion
    known = {"model": completion.model, "attempts": reply.attempts, "reply_key": completion.key}
    if isinstance(reply.answer, Unreadable):
        lost = {"unread": reply.answer.reason, "detail": reply.answer.detail}
        return known | lost | {"reply": completion.text[:MOST_KEPT]}
    return known | dict(reply.answer.fields)


def _unread(told: Mapping[str, Any]) -> tuple[str, str]:
    """The reason and detail of a row of whose comparisons none can be read: those of the first that failed."""
    lost = next(each for each in told["judges"] if "unread" in each)
    said = lost["reply"][:MOST_SHOWN]
    return lost["unread"], f"{lost['detail']}: {said}" if said else lost["detail"]
