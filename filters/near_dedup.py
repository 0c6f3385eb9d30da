"""Drop rows whose query or positive nearly repeats another's.

    "when does the river Nile flood"  ~  "When does the river Nile flood its banks?"      74 %

The row with the smallest id stays, whatever the order they come in.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from pydantic import Field

from synth.stage import Context, Stage, replayable
from synth.types import Dropped, Example


class NearDedup(Stage):
    """Of rows whose `field` is nearly the same, keep the one with the smallest id, and say which that was.

    Alike is the share of common runs of four letters (true Jaccard); candidates are found with MinHash and bands
    (Broder 1997). It needs no words, so any script and a query of one word will do. Rows whose `field` is empty pass.
    Rows tagged `counterfactual` are near-duplicates by design and left alone, unless `where` says otherwise.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"
    default_where: ClassVar[dict[str, object]] = {"without_tag": "counterfactual"}

    field: Literal["query", "positive"] = Field(
        default="query", description="what is compared: the query, or the text of the first positive"
    )
    threshold: float = Field(default=0.8, ge=0.1, le=1, description="share of common letters that makes a duplicate")
    num_perm: int = Field(default=128, ge=16, le=1024, description="length of a signature: more misses fewer")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Compare the texts in the order of their ids, then judge each row."""
        from synth.resemblance import near_duplicates

        rows = replayable(rows)
        ids, texts = rows.column("id"), rows.column(self.field)
        order = sorted(range(len(ids)), key=ids.__getitem__)
        found = near_duplicates([texts[number] for number in order], self.threshold, self.num_perm)
        doubles = {
            order[place]: f"{found.share[place]:.0%} of {ids[order[found.of[place]]]}"
            for place in (found.of >= 0).nonzero()[0].tolist()
        }
        for number, row in enumerate(rows):
            detail = doubles.get(number)
            yield row if detail is None else Dropped(row, "near_duplicate", detail)
