"""Exactly so many rows of each cell: of a language, a task, a value that was drawn; more are made where one is short.

    - {use: generate, prompt: grounded/question, per_document: 1}
    - use: near_dedup
    - {use: quota, rows: 500, by: [task, language]}                      500 of each that there is
    - {use: quota, rows: {de: 400, sw: 100}, by: language}               these and no others
    - {use: quota, rows: 200, by: [language, generate.axes.form]}        of each form in each language

What the steps between let through is learned from each round: with 1 draw a document and 210 rows left of 500, the next
one draws 3. The steps from the maker on run again; what was asked before is in the reply store and costs nothing.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from synth.cells import cell_of
from synth.stage import Context, Stage, replayable
from synth.types import Dropped, Example

SPARE = 1.1
"""How much more is asked for than what the last round's share says, since shares vary."""


class Quota(Stage):
    """Keep `rows` of each cell, drawn by the row's id; rows beyond that are dropped as `over_quota`.

    A cell is what `by` names, joined by `/`: `task`, `language`, or a path into a row's `meta` with dots. Where a cell
    is short, the last step before this one that has `per_document` draws more for every document, at most `most_rounds`
    times and up to `most_draws`, as long as the budget lasts; a cell that stays short is told. A language can only be
    filled where there are documents or draws in it: of those that `rows` does not name and nothing is made of, nobody
    knows. Where `generate` has several `samples`, the later ones are asked anew in each round.
    """

    scope: ClassVar[Any] = "set"

    rows: int | dict[str, int] = Field(default=1000, description="rows of each cell, or of each one by its name")
    by: tuple[str, ...] = Field(default=("task", "language"), description="what makes a cell")
    most_rounds: int = Field(default=4, ge=0, le=50, description="how often more is drawn; 0 only cuts")
    most_draws: int = Field(default=50, ge=1, le=1000, description="draws a document beyond which none are asked for")

    @field_validator("by", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("rows")
    @classmethod
    def _above_zero(cls, value: int | dict[str, int]) -> int | dict[str, int]:
        counts = value.values() if isinstance(value, Mapping) else (value,)
        if not counts or min(counts) < 1:
            raise ValueError("give at least 1 row for each cell")
        return value

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Each row, kept or over the quota of its cell."""
        rows = replayable(rows)
        cells: dict[str, list[tuple[float, str]]] = defaultdict(list)
        for row in rows:
            cells[self.cell_of(row)].append((ctx.share(row, "quota"), row.id))
        chosen = {row_id for cell, found in cells.items() for _, row_id in sorted(found)[: self.wanted(cell)]}
        for row in rows:
            cell = self.cell_of(row)
            if row.id in chosen:
                yield row
            else:
                yield Dropped(row, "over_quota", f"{len(cells[cell])} of {cell}, {self.wanted(cell)} wanted")
        for cell, got in self.short({cell: len(found) for cell, found in cells.items()}).items():
            ctx.warn(f"{cell} has {got} of {self.wanted(cell)} rows")

    def cell_of(self, row: Example) -> str:
        """The cell that a row is in.

        >>> Quota(by=("task", "make.form")).cell_of(Example(id="x", task="sts", meta={"make": {"form": "short"}}))
        'sts/short'
        """
        return cell_of(row, self.by)

    def wanted(self, cell: str) -> int:
        """How many rows of a cell are kept."""
        return self.rows.get(cell, 0) if isinstance(self.rows, Mapping) else self.rows

    def short(self, got: Mapping[str, int]) -> dict[str, int]:
        """The cells that have too few rows, with what they have."""
        named = self.rows if isinstance(self.rows, Mapping) else got
        return {cell: got.get(cell, 0) for cell in sorted(named) if got.get(cell, 0) < self.wanted(cell)}

    def draws(self, before: int, got: Mapping[str, int]) -> int:
        """How many draws a document the next round needs, after one with `before` of them gave these rows.

        As many as the cell that is shortest for its quota needs, but at most four times as many at once.

        >>> Quota(rows=500).draws(1, {"a": 210, "b": 900}), Quota(rows={"a": 9}).draws(2, {})
        (3, 8)
        """
        short = self.short(got)
        if not short:
            return before
        factor = max(SPARE * self.wanted(cell) / found if found else math.inf for cell, found in short.items())
        return min(max(math.ceil(before * min(factor, 4.0)), before + 1), max(self.most_draws, before))

    def counts(self, rows: Iterable[Example]) -> Counter[str]:
        """How many rows each cell has."""
        return Counter(self.cell_of(row) for row in rows)
