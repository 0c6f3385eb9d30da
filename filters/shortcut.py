"""Ask whether a trick tells positives from negatives without understanding: a model would learn that and no more.

    longer: the longer document is the positive in 93% of pairs (from 91% to 95% at 95 %), at most 70% expected
    source: a classifier that never sees the query tells the positive in 88% of pairs (from 85% to 91% at 95 %), at
            most 70% expected: the word 'notably' stands in 2% of positives and 93% of negatives

NLI sets were solved from the hypothesis alone (Gururangan et al. 2018, arXiv 1803.02324; Poliak et al. 2018,
1805.01042), and negatives that a model wrote are told by their style (CausalNeg, arXiv 2606.01304).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from synth.errors import RecipeError, need
from synth.stage import Context, Stage, replayable
from synth.types import Dropped, Example

if TYPE_CHECKING:
    from synth.shortcuts import Gauge, Measure, Reading, Shortcuts, Telling

ROUNDS = 20
"""Cuts at most; after each the classifier learns anew."""
LEAST_GAIN = 0.005
"""A cut that brings a measure down by less drops rows for nothing, and is taken back."""
UNSEEN = {"overlap", "bm25_first"}
"""What says nothing where other rows' positives stand in for negatives: of honest pairs words tell those as well."""

Key = tuple[float, float, float]


class Shortcut(Stage):
    """Measure the tricks of `synth/shortcuts.py` over the rows, and warn, drop rows or stop where one works too well.

    Rows count that have a query, a positive and negatives; the others pass, as do all where fewer than 30 count. A
    bound is exceeded where the value is above it at 95 %, rows of one document taken for one; the bounds as they come
    are above what BM25-mined negatives show for human questions. With `then: cap` the rows go that give a trick away
    most, until it is within its bound or `least_kept` is reached; where going does not help, none go. Positives that
    share fewer words with their query than the negatives do are no trick here: hard questions are so.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"

    then: Literal["warn", "cap", "stop"] = Field(
        default="warn", description="what to do of a trick that works: tell, drop rows that give it away, end the run"
    )
    most_length_auc: float = Field(
        default=0.7, ge=0.5, le=1, description="share of pairs in which the longer, or the shorter, is the positive"
    )
    most_overlap_auc: float = Field(
        default=0.97, ge=0.5, le=1, description="share of pairs in which the positive has more of the query's words"
    )
    most_copied: float = Field(
        default=0.25, ge=0, le=1, description="share of queries of six words or more that stand in the positive wholly"
    )
    most_bm25_first: float = Field(
        default=0.97, ge=0, le=1, description="share of rows whose positive BM25 puts before all its negatives"
    )
    most_bm25_easy: float | None = Field(
        default=None, ge=0, le=1, description="share of rows whose positive BM25 finds first in the corpus, if set"
    )
    most_off_topic: float = Field(
        default=0.25, ge=0, le=1, description="share of pairs in which another row's document is nearer than a negative"
    )
    most_source_auc: float = Field(
        default=0.7, ge=0.5, le=1, description="share of pairs that a classifier tells without the query"
    )
    most_written_auc: float = Field(
        default=0.8, ge=0.5, le=1, description="the same for written negatives alone, where others are among them"
    )
    most_blind: float = Field(
        default=0.35, ge=0, le=1, description="nDCG@10 without the query: 0 is chance, 1 all positives first"
    )
    least_kept: float = Field(
        default=0.5, ge=0, le=1, description="share of the rows that `cap` keeps whatever is left"
    )
    most_rows: int = Field(default=5_000, ge=100, description="rows that are measured, drawn by their ids")

    def reads_corpus(self) -> bool:
        """Only where BM25's first places in it are bounded."""
        return self.most_bm25_easy is not None

    def content_read(self, ctx: Context) -> str:
        """Nothing; raises MissingExtra, before anything runs, where what its classifier needs is not installed."""
        need("sklearn", "train", "shortcut")
        return super().content_read(ctx)

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Measure, then warn, drop or stop. A RecipeError that names the tricks where it stops."""
        need("sklearn", "train", "shortcut")
        from synth.shortcuts import Gauge

        rows = replayable(rows)
        gauge = Gauge(rows, ctx.corpus if self.reads_corpus() else None, ctx.seed, self.most_rows)
        found = gauge.found
        self._tell(found, ctx, len(rows))
        over = self._over(found)
        if over and self.then == "stop":
            tricks = "; ".join(_line(each, bound, found.telling) for each, bound in over)
            raise RecipeError(
                f"step {ctx.step or 'shortcut'}: {tricks}; mend the rows, or set `then: warn` or `then: cap`"
            )
        for each, bound in over:
            ctx.warn(_line(each, bound, found.telling))
        yield from self._capped(rows, gauge, ctx) if over and self.then == "cap" else rows

    def _tell(self, found: "Shortcuts", ctx: Context, count: int) -> None:
        """Say what could not be measured."""
        if count and not found.measures:
            ctx.warn(f"only {found.rows} rows could be measured, too few to tell tricks from chance; all rows passed")
        elif found.drawn:
            ctx.warn("too few rows have negatives: other rows' positives stood in for them, and they tell little")

    def bounds(self) -> dict[str, float]:
        """The bound of each measure by its name."""
        plain = ("copied", "bm25_first", "bm25_easy", "off_topic", "blind")
        given = {name: getattr(self, f"most_{name}") for name in plain}
        given |= {name: getattr(self, f"most_{name}_auc") for name in ("overlap", "source", "written")}
        given |= dict.fromkeys(("longer", "shorter"), self.most_length_auc)
        return {name: bound for name, bound in given.items() if bound is not None}

    def _over(self, found: "Shortcuts") -> "list[tuple[Measure, float]]":
        """The measures that exceed their bounds, worst first."""
        bounds = {name: b for name, b in self.bounds().items() if not (found.drawn and name in UNSEEN)}
        over = [(m, bounds[m.name]) for m in found.measures if m.name in bounds and m.exceeds(bounds[m.name])]
        return sorted(over, key=lambda each: each[1] - each[0].value)

    def _capped(self, rows: Iterable[Example], gauge: "Gauge", ctx: Context) -> Iterator[Example | Dropped]:
        """The rows, without those that give tricks away most."""
        cuts, measured = self._cuts(gauge, ctx), {row.id for row in gauge.rows}
        leaving = {row_id: cut.detail for cut in cuts for row_id in cut.gone}
        for row in rows:
            detail = leaving.get(row.id, "")
            if row.id not in measured:
                detail = next((cut.detail for cut in cuts if cut.takes(row, ctx)), "")
            yield Dropped(row, "shortcut", detail) if detail else row

    def _cuts(self, gauge: "Gauge", ctx: Context) -> "list[_Cut]":
        """What to drop of the measured rows, in turns: the worst trick, until all are within bounds or hopeless."""
        from synth.shortcuts import LEAST_ROWS

        cuts: list[_Cut] = []
        hopeless: set[str] = set()
        floor = max(math.ceil(round(self.least_kept * len(gauge.rows), 6)), LEAST_ROWS)
        for _ in range(ROUNDS):
            worst = next((each for each in self._over(gauge.found) if each[0].name not in hopeless), None)
            if worst is None:
                break
            cut = _cut(gauge, *worst, ctx, len(gauge.rows) - floor)
            left = gauge.without(cut.gone)
            if cut.gone and _value(left.found, cut.name) <= worst[0].value - LEAST_GAIN:
                gauge, cuts = left, [*cuts, cut]
            else:
                hopeless.add(cut.name)
        for each, bound in self._over(gauge.found):
            line = _line(each, bound, gauge.found.telling)
            ctx.warn(f"still so: {line}; dropping more rows does not help, or is not allowed")
        return cuts


def _line(measure: "Measure", bound: float, telling: "Sequence[Telling]" = ()) -> str:
    """The trick, its bound, and for a classifier the words that tell most."""
    words = [each.said for each in telling[:2]] if measure.name in {"source", "written", "blind"} else []
    told = f": {', '.join(words)}" if words else ""
    return f"{measure.name}: {measure.said}, at most {bound:.0%} expected{told}"


def _value(found: "Shortcuts", name: str) -> float:
    """How well a trick works; infinity where that cannot be measured any more."""
    return max((each.value for each in found.measures if each.name == name), default=math.inf)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Rows to drop for one trick: those of `gone`, and of others those whose key is that of `bar` or higher."""

    gauge: "Gauge"
    name: str
    bar: Key
    gone: frozenset[str]
    detail: str

    def takes(self, row: Example, ctx: Context) -> bool:
        """True for a row that was not measured and gives the trick away as much as those that go."""
        reading = self.gauge.read(row, self.name)
        return bool(self.gone) and reading is not None and _key(reading, ctx.share(row.id)) >= self.bar


def _cut(gauge: "Gauge", measure: "Measure", bound: float, ctx: Context, most: int) -> _Cut:
    """The fewest rows, those that give the trick away most, without which the mean of the rest is within the bound."""
    keys = {
        row_id: _key(each[measure.name], ctx.share(row_id))
        for row_id, each in gauge.readings.items()
        if measure.name in each
    }
    order = sorted(keys, key=lambda row_id: (keys[row_id], row_id), reverse=True)
    count = surplus([keys[row_id][0] for row_id in order], bound, most)
    bar = keys[order[count - 1]] if count else (math.inf, 0.0, 0.0)
    return _Cut(gauge, measure.name, bar, frozenset(order[:count]), _line(measure, bound))


def _key(reading: "Reading", draw: float) -> Key:
    """What orders rows by how much they give away: solved or not, by how much, and the luck of the draw."""
    return reading.wins, round(reading.gap, 6), draw


def surplus(wins: Sequence[float], bound: float, most: int) -> int:
    """How many of the first of these, highest first, must go for the mean of the others to be within the bound.

    >>> surplus([1, 1, 1, 0.5, 0], 0.5, 5), surplus([1, 1, 1], 0.5, 2), surplus([0.5], 0.5, 1)
    (2, 2, 0)
    """
    total = sum(wins)
    for count, each in enumerate(wins[: max(0, most)]):
        if total <= bound * (len(wins) - count) + 1e-9:
            return count
        total -= each
    return max(0, min(most, len(wins)))
