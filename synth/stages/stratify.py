"""So many rows in all, shared out between languages, tasks or other cells: small ones get more than their share.

- {use: stratify, rows: 100000}                                       by language, with the exponent 0.3
- {use: stratify, rows: 100000, alpha: 0.5, least: 200, most: 20000}
- {use: stratify, rows: 5000, by: [task, language]}
- {use: stratify, rows: 1000, shares: {en: 0.4, sw: 0.1, de: 0.5}}    these and no others
- {use: stratify, rows: 40, tag: shown}                               all stay, and 40 of them are tagged

en 90,000   sw 900   yo 90      rows: 1000, alpha: 0.3      ->      en 727   sw 183   yo 90
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from synth.apportion import allocated
from synth.cells import cell_of
from synth.stage import Context, Stage, replayable
from synth.types import Dropped, Example

EXACT = 1e-6
"""How near to 1 the shares of all cells must come together."""


class Stratify(Stage):
    """Keep `rows` rows in all; the seed decides which of each cell, and the others are dropped as `not_sampled`.

    A cell gets its part by the number of its rows to the power of `alpha`: 1 keeps the proportions, 0 makes all cells
    equal, 0.3 is XLM-R's (arXiv 1911.02116). Or by `shares`, and then cells that are not named get none. What a cell
    has not, the others get by their weights, so that exactly `rows` are kept where there are as many. A cell is what
    `by` names, joined by `/`: `task`, `language`, or a path into a row's `meta` with dots. SWIM-IR (arXiv 2311.05800)
    chose its passages in such strata, before anything was written about them. `quota` draws more where a cell is
    short; this only drops. With a `tag` nothing is dropped: the rows that would be kept get it, for `where:` to name.
    """

    scope: ClassVar[Any] = "set"

    rows: int = Field(default=10_000, ge=1, description="rows to keep in all")
    by: tuple[str, ...] = Field(default=("language",), min_length=1, description="what makes a cell")
    alpha: float = Field(default=0.3, ge=0, le=1, description="exponent of a cell's rows that its part goes by")
    least: int = Field(default=0, ge=0, description="rows that a cell keeps at least, where it has as many")
    most: int | None = Field(default=None, ge=1, description="rows that a cell keeps at most")
    shares: dict[str, float] = Field(default={}, description="each cell's share of the rows, in place of `alpha`")
    tag: str = Field(default="", description="a tag for the chosen rows, in place of dropping the others")

    @field_validator("by", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("shares")
    @classmethod
    def _make_one(cls, value: dict[str, float]) -> dict[str, float]:
        total = sum(value.values())
        if value and (min(value.values()) < 0 or not abs(total - 1) <= EXACT):
            raise ValueError(f"the shares of all cells are 0 or more and make 1; these make {total:g}")
        return value

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.most is not None and self.least > self.most:
            raise ValueError(f"least is {self.least} and most is {self.most}; turn them round")
        return self

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Each row, kept or not sampled; cells that have fewer rows than their share are told."""
        rows = replayable(rows)
        cells: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for row in rows:
            cells[cell_of(row, self.by)].append((ctx.share(row), row.id))
        parts = self.parts({cell: len(found) for cell, found in cells.items()})
        chosen = {row_id for cell, found in cells.items() for _, row_id in sorted(found)[: parts[cell]]}
        for row in rows:
            if row.id in chosen:
                yield replace(row, tags=row.tags | {self.tag}) if self.tag else row
            elif self.tag:
                yield row
            else:
                cell = cell_of(row, self.by)
                yield Dropped(row, "not_sampled", f"{parts[cell]} of the {len(cells[cell])} rows of {cell} are kept")
        for cell, share in self.shares.items():
            if parts.get(cell, 0) < int(share * self.rows):
                ctx.warn(f"{cell} has {parts.get(cell, 0)} rows, its share is {share * self.rows:.0f}")

    def parts(self, counts: Mapping[str, int]) -> dict[str, int]:
        """How many rows each cell keeps of those it has.

        >>> Stratify(rows=1000).parts({"en": 90_000, "sw": 900, "yo": 90})
        {'en': 727, 'sw': 183, 'yo': 90}
        >>> Stratify(rows=10, shares={"en": 0.5, "sw": 0.5}).parts({"en": 90, "sw": 2, "yo": 9})
        {'en': 8, 'sw': 2, 'yo': 0}
        """
        cells = sorted(counts)
        there = [min(counts[cell], self.most or counts[cell]) for cell in cells]
        weights = [self.shares.get(cell, 0.0) if self.shares else counts[cell] ** self.alpha for cell in cells]
        return dict(zip(cells, allocated(there, self.rows, weights, self.least), strict=True))
