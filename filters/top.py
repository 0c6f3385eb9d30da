"""Keep the best rows by a score that they have: so many, or a share, of all or of each group.

    - {use: top, score: judge, share: 0.3}                   the best 30 % by their grade
    - {use: top, score: generate.logprob, most: 10_000}      the 10,000 whose words the writer found likeliest
    - {use: top, score: cosine, most: 500, by: language}     the best 500 of each language
    - {use: top, score: judge, most: 1, by: parent}          the best of what was written for one row

InPars (arXiv 2202.05144) kept the 10,000 likeliest questions of 100,000, doc2query-- (arXiv 2301.03266) the best 30 %.
"""

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from synth.stage import Context, Stage, replayable
from synth.types import Dropped, Example


class Top(Stage):
    """Keep the `most` best rows, or the best `share` of them, by a score; with `by`, of each language, task or parent.

    A score is one that earlier steps noted on the first positive (`judge`, `cosine`, `bm25`), or, with dots in its
    name, a number in the row's `meta` (`ranks.bm25`). Among equals the smaller id stays. A row without the score is
    dropped as `unscored`: it cannot be told from a bad one; spare such rows with `where:`. By `parent` rows stand
    beside those that the step before them made of the same row: the samples of one prompt, the queries of one document.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"

    score: str = Field(
        default="judge", min_length=1, description="the score: one of the first positive's, or a path into `meta`"
    )
    most: int | None = Field(default=None, ge=1, description="how many stay")
    share: float = Field(default=0.3, gt=0, le=1, description="what share stays, rounded up, unless `most` is given")
    by: Literal["", "language", "task", "parent"] = Field(
        default="", description="the groups that are counted by themselves"
    )
    lowest: bool = Field(default=False, description="low scores are the best, as for ranks")

    @model_validator(mode="after")
    def _has_one_bound(self) -> Self:
        if self.most is not None and "share" in self.model_fields_set:
            raise ValueError("give `most:`, a number of rows, or `share:`, a share of them, and not both")
        return self

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Look at all scores, then judge each row."""
        rows = replayable(rows)
        groups: dict[str, list[tuple[float, str]]] = {}
        for row in rows:
            score = score_of(row, self.score)
            if score is not None:
                groups.setdefault(self._group(row), []).append((score if self.lowest else -score, row.id))
        worst = {group: self._worst(ranked) for group, ranked in groups.items()}
        unscored = 0
        for row in rows:
            score = score_of(row, self.score)
            unscored += score is None
            yield self._fate(row, score, worst.get(self._group(row)), len(groups.get(self._group(row), ())))
        if unscored:
            ctx.warn(f"{ctx.step or 'top'}: {unscored:,} rows have no score {self.score!r} and were dropped")

    def _group(self, row: Example) -> str:
        if self.by == "parent":
            return "+".join(row.parents)
        return str(getattr(row, self.by)) if self.by else ""

    def _worst(self, ranked: list[tuple[float, str]]) -> tuple[float, str]:
        """The last of those that stay."""
        count = self.most if self.most is not None else math.ceil(round(self.share * len(ranked), 6))
        return heapq.nsmallest(max(1, count), ranked)[-1]

    def _fate(
        self, row: Example, score: float | None, worst: tuple[float, str] | None, count: int
    ) -> Example | Dropped:
        if score is None or worst is None:
            return Dropped(row, "unscored", f"it has no score {self.score!r}")
        if (score if self.lowest else -score, row.id) <= worst:
            return row
        last = worst[0] if self.lowest else -worst[0]
        group = f" of {self._group(row)}" if self.by else ""
        return Dropped(
            row, "not_top", f"{self.score} {score:g}; of {count:,} rows{group} the last that stays has {last:g}"
        )


def score_of(row: Example, name: str) -> float | None:
    """A row's score by its name; None where it has none.

    >>> from synth.types import Document
    >>> row = Example(id="r", positives=(Document("x", scores={"judge": 3.0}),), meta={"ranks": {"bm25": 7}})
    >>> score_of(row, "judge"), score_of(row, "ranks.bm25"), score_of(row, "cosine")
    (3.0, 7.0, None)
    """
    value: Any = row.positives[0].scores.get(name) if row.positives else None
    if value is None and "." in name:
        value = row.meta
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return float(value) if is_number else None
