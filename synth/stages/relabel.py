"""Choose the positive and the negatives of each row anew, by the scores of all its judged documents.

    - {use: relabel, scores: [query_likelihood, relevance]}
    - {use: relabel, scores: teacher, positive: keep, negatives: 7, choose: quantiles}

    a pool of 21: the positive that the query was written for, and 20 that a search found, each with two scores
    ->  positive: the best by both       negatives: the five lowest of the pool that are none of its kin

Gecko (arXiv 2403.20327) fuses query likelihood and relevance by reciprocal rank, takes the best as the positive, which
is another document in about 15 % of rows, and the lowest of 20 neighbours as the negative; so does Gemini Embedding
(2503.07891). Negatives spread over the quantiles of a teacher's scores, for losses that read scores: Beyond Hard
Negatives (2604.04734). Margins below the positive: NV-Retriever (2407.15831).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field, field_validator

from synth.candidates import POOL, resembles
from synth.stage import Context, Stage
from synth.types import Document, Dropped, Example

Choose = Literal["last", "top", "quantiles", "random"]


class Relabel(Stage):
    """Take the best of a row's documents for its positive, and `negatives` of the others for its negatives.

    A row's candidates are its positives and negatives that have all of `scores`; several are fused by reciprocal rank
    (Cormack, SIGIR 2009), so that their scales do not matter, and at a tie the positive stays. Negatives are taken from
    the end of the ranking (`last`), from its beginning (`top`, best with a margin), evenly over it (`quantiles`), or at
    `random`. Never a negative is what was a positive, since the query was written for it; what has the same parent as
    it or as the new one; a near copy of either; and what breaks a margin, which is measured on the first score.

    The chosen documents keep their scores, ranks and origins, the others go, and the row is no `pool` any more. A row
    in which nothing has the scores is dropped as `unscored`, one whose positive scores too low as `no_positive`.
    """

    scores: tuple[str, ...] = Field(
        default=("relevance",), min_length=1, description="the scores that decide, as `score` named them; several fuse"
    )
    positive: Literal["best", "keep"] = Field(
        default="best", description="the best candidate becomes the positive, or the positives stay as they are"
    )
    least: float | None = Field(default=None, description="lowest first score of a positive; none is too low if unset")
    negatives: int = Field(default=5, ge=0, le=1000, description="negatives to choose")
    choose: Choose = Field(default="last", description="where in the ranking they are taken from")
    margin: float | None = Field(
        default=None, ge=0, description="first score by which a negative must stay below the positive; none if unset"
    )
    relative_margin: float | None = Field(
        default=None, ge=0, le=1, description="share of the positive's first score by which a negative stays below it"
    )
    least_negative: float | None = Field(
        default=None, description="lowest first score of a negative; none is too low if unset"
    )
    promote: float | None = Field(
        default=None, description="first score with which further candidates become positives too; none do if unset"
    )
    drop_rest: bool = Field(
        default=True, description="candidates that were not chosen go; else those that may be are negatives, the last"
    )

    @field_validator("scores", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("scores")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(value) or len(set(value)) < len(value):
            raise ValueError("name each score once, as the step `score` calls it")
        return value

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Choose for each row by itself."""
        for row in rows:
            yield self._fate(row, ctx)

    def _fate(self, row: Example, ctx: Context) -> Example | Dropped:
        ranked = _Ranked.of(row, self.scores)
        if not ranked.order:
            return Dropped(row, "unscored", f"no document of it has {' and '.join(self.scores)}")
        positives = self._positives(row, ranked)
        if isinstance(positives, Dropped):
            return positives
        may = self._may(row, ranked, positives)
        taken = places(len(may), self.negatives, self.choose)
        if self.choose == "random":
            taken = sorted(ctx.rng(row, "negatives").sample(range(len(may)), len(taken)))
        chosen = [may[place] for place in taken]
        rest = [] if self.drop_rest else [each for each in may if each not in chosen]
        self._count(row, positives, len(chosen), ctx)
        rank = ranked.order.index(0) + 1 if row.positives and 0 in ranked.order else None
        return replace(
            row,
            positives=tuple(ranked.documents[each] for each in positives),
            negatives=tuple(ranked.documents[each] for each in (*chosen, *rest)),
            tags=row.tags - {POOL},
            meta={**row.meta, ctx.step or "relabel": {"candidates": len(ranked.order), "positive_rank": rank}},
        )

    def _positives(self, row: Example, ranked: "_Ranked") -> list[int] | Dropped:
        """The positives, the first one first; the row, dropped, where it has none that is good enough."""
        name = self.scores[0]
        found = list(range(len(row.positives))) if self.positive == "keep" else ranked.order[:1]
        if not found:
            return Dropped(row, "no_positive", "it has no positive to keep")
        own = ranked.first.get(found[0])
        if own is None and not self.least is self.margin is self.relative_margin is None:
            return Dropped(row, "unscored", f"its positive has no {name} to compare with")
        if own is not None and self.least is not None and own < self.least:
            return Dropped(row, "no_positive", f"{name} {own:g}, least is {self.least:g}")
        bar = math.inf if self.promote is None else self.promote
        more = [each for each in ranked.order if each not in found and ranked.first[each] >= bar]
        return found + more

    def _may(self, row: Example, ranked: "_Ranked", positives: Sequence[int]) -> list[int]:
        """The candidates that may be negatives, best first."""
        right = [*row.positives, *(ranked.documents[each] for each in positives)]
        families = {document.family for document in right if document.family}
        texts = list(dict.fromkeys(document.text for document in right))
        bound = self._bound(ranked.first.get(positives[0]))
        others = (each for each in ranked.order if each >= len(row.positives) and each not in positives)
        floor = -math.inf if self.least_negative is None else self.least_negative
        near = (each for each in others if floor <= ranked.first[each] <= bound)
        return [
            each
            for each in near
            if ranked.documents[each].family not in families and not resembles(ranked.documents[each].text, texts)
        ]

    def _bound(self, own: float | None) -> float:
        """The first score that a negative must not exceed, for a positive of this one."""
        if own is None or self.margin is self.relative_margin is None:
            return math.inf
        return round(min(own - (self.margin or 0), own - (self.relative_margin or 0) * abs(own)), 5)

    def _count(self, row: Example, positives: Sequence[int], negatives: int, ctx: Context) -> None:
        """Tell what has changed; in about 15 % of Gecko's rows the positive did."""
        kept = bool(row.positives) and positives[0] == 0
        ctx.count("positives kept" if kept else "positives changed", 1)
        if self.promote is not None:
            ctx.count("further positives", len(positives) - (len(row.positives) if self.positive == "keep" else 1))
        if negatives < self.negatives:
            ctx.count("rows with too few negatives", 1)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A row's documents, positives first.

    `order` has the places of those that have all the scores, best first; `first` the first score of each that has it.
    """

    documents: tuple[Document, ...]
    order: list[int]
    first: Mapping[int, float]

    @classmethod
    def of(cls, row: Example, names: Sequence[str]) -> "_Ranked":
        """Rank what has all the scores of these names."""
        documents = (*row.positives, *row.negatives)
        known = [_numbers(document.scores) for document in documents]
        first = {place: scores[names[0]] for place, scores in enumerate(known) if names[0] in scores}
        return cls(documents, ranking(known, names), first)


def _numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """The scores that are numbers."""
    return {name: float(value) for name, value in scores.items() if isinstance(value, int | float) and _is_real(value)}


def _is_real(value: float) -> bool:
    return not isinstance(value, bool) and math.isfinite(value)


def ranking(scores: Sequence[Mapping[str, float]], names: Sequence[str]) -> list[int]:
    """The places of what has all these scores, best first; by one score, or by the reciprocal ranks of several.

    Among equals the earlier stands first.

    >>> ranking([{"a": 0.1, "b": 0.9}, {"a": 0.3}, {"a": 0.2, "b": 0.8}, {"a": 0.0, "b": 0.0}], ["a", "b"])
    [0, 2, 3]
    """
    import numpy as np

    from synth.hits import reciprocal_ranks

    known = [place for place, has in enumerate(scores) if has.keys() >= set(names)]
    lists = [sorted(known, key=lambda place: -scores[place][name]) for name in names]
    if len(lists) == 1:
        return lists[0]
    totals = reciprocal_ranks([np.array(each, np.int64) for each in lists])
    return sorted(known, key=lambda place: (-totals[place], place))


def places(count: int, most: int, choose: Choose) -> list[int]:
    """Which of so many that are ranked are taken, at most so many; in their order.

    >>> places(20, 4, "top"), places(20, 4, "last"), places(20, 4, "quantiles"), places(2, 4, "last")
    ([0, 1, 2, 3], [16, 17, 18, 19], [2, 7, 12, 17], [0, 1])
    """
    taken = min(count, most)
    if choose == "quantiles":  # the middle of as many equal parts
        return [(2 * part + 1) * count // (2 * taken) for part in range(taken)]
    first = count - taken if choose == "last" else 0
    return list(range(first, first + taken))
