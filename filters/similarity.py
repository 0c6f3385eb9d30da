"""Drop rows whose query and positive are far apart to an embedder: a floor of cosine, or a share of the rows.

    "when does the river flood?"   "The Nile floods each summer."    cosine 0.71    kept
    "when does the river flood?"   "Violins are made of spruce."     cosine 0.08    dissimilar

Qwen3-Embedding (arXiv 2506.05176) kept pairs with a cosine above 0.7. What a cosine of 0.7 means differs from one
embedder to another: a share of the rows does not.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from synth.stage import Context, Stage, in_blocks, replayable
from synth.types import Dropped, Example

if TYPE_CHECKING:
    from synth.embedder import Embedder


class Similarity(Stage):
    """Keep rows whose query and first positive have a cosine of `least` or more; with `worst`, all but that share.

    Both may be given, and the stricter one decides. The cosine goes into the positive's `scores["cosine"]`. Rows
    without a query or a positive pass, and count for no share. Cross-lingual rows are left alone, unless `where` says
    otherwise: many embedders know one language. Where the positive is a label rather than a text, a cosine says little.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"
    default_where: ClassVar[dict[str, object]] = {"cross_lingual": False}
    fitted: ClassVar[Literal["", "row", "all"]] = "row"

    embedder: str = Field(description="the embedder that is asked, by its name in the recipe")
    least: float | None = Field(default=None, ge=-1, le=1, description="lowest cosine that is kept")
    worst: float | None = Field(default=None, gt=0, lt=1, description="share of the rows that is dropped, lowest first")

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.least is None and self.worst is None:
            raise ValueError("give `least:`, a cosine, or `worst:`, a share of the rows")
        return self

    def embedders_used(self) -> Sequence[str]:
        """The embedder."""
        return [self.embedder]

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Measure all rows, then judge each."""
        rows = replayable(rows)
        cosines = _cosines(rows, ctx.embedder(self.embedder))
        floor = self._floor(list(cosines.values()))
        for row in rows:
            yield self._fate(row, cosines[row.id], floor) if row.id in cosines else row

    def _floor(self, cosines: Sequence[float]) -> float:
        """The lowest cosine that is kept: those of the worst share lie below it; rows that tie with it stay."""
        least = -1.0 if self.least is None else self.least
        if self.worst is None or not cosines:
            return least
        return max(least, sorted(cosines)[int(self.worst * len(cosines))])

    def _fate(self, row: Example, cosine: float, floor: float) -> Example | Dropped:
        positive = replace(row.positive, scores={**row.positive.scores, "cosine": cosine})
        noted = replace(row, positives=(positive, *row.positives[1:]))
        if cosine >= floor:
            return noted
        return Dropped(noted, "dissimilar", f"cosine {cosine:.3f}, at least {floor:.3f} is kept")


def _cosines(rows: Iterable[Example], embedder: "Embedder") -> dict[str, float]:
    """The cosine of each row's query and first positive, by the row's id."""
    found: dict[str, float] = {}
    for block in in_blocks(row for row in rows if row.query and row.positives):
        for model, some in embedder.for_rows(block):
            queries = model.encode([row.query for row in some], kind="query")
            documents = model.encode([row.positive.full_text for row in some])
            cosines = [round(float(cosine), 5) for cosine in (queries * documents).sum(axis=1)]
            found |= zip([row.id for row in some], cosines, strict=True)
    return found
