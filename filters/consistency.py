"""Drop rows whose positive is not found by its own query: a query that other documents answer better teaches wrong.

    query "when does the river flood?"   positive "The Nile floods each summer."   rank 3 of the corpus   kept

Round-trip consistency, as Promptagator (2209.11755) has it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from synth.stage import Context, Stage
from synth.types import Dropped, Example

if TYPE_CHECKING:
    from synth.ranks import Pair, Rank
    from synth.retrieval import Corpus

ROWS = 1024
DEPTH = 100
"""How far a rank is looked for; farther ones are told as DEPTH + 1."""


class Consistency(Stage):
    """Keep rows whose positive ranks within `most_rank` for its own query (Promptagator, 2209.11755).

    The first positive counts *as it will be trained on*: its own text is scored, with the index's statistics, against
    the corpus's documents of other parents; were the uncut document in the race, a sentence cut out of it would always
    find it. A positive that shares no word with its query is found by no BM25. The rank goes into `meta["ranks"]` and
    the score into the positive's. Rows without a query or a positive pass. Cross-lingual rows are left alone, unless
    `where` says otherwise: words cannot find them, a multilingual embedder can.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"
    default_where: ClassVar[dict[str, object]] = {"cross_lingual": False}

    retriever: Literal["bm25", "dense", "fused"] = Field(
        default="bm25", description="what ranks: words, an embedder, or both by reciprocal rank"
    )
    embedder: str = Field(default="", description="the embedder that dense and fused ask, by its name in the recipe")
    most_rank: int = Field(default=10, ge=1, le=DEPTH, description="worst rank of the positive among the corpus")

    @model_validator(mode="after")
    def _has_embedder(self) -> Self:
        if self.retriever != "bm25" and not self.embedder:
            raise ValueError(f"retriever: {self.retriever} needs an embedder: name one of the recipe's `embedders:`")
        return self

    def embedders_used(self) -> Sequence[str]:
        """The embedder, where it asks one."""
        return [self.embedder] if self.retriever != "bm25" else []

    def reads_corpus(self) -> bool:
        """It ranks against the corpus."""
        return True

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Rank each row's positive for its own query."""
        from synth.ranks import ranks

        corpus = ctx.corpus
        if not len(corpus):
            ctx.warn("consistency: the corpus is empty, so every row passed unchecked")
            yield from rows
            return
        searches = corpus.searches(self.retriever, ctx.embedder(self.embedder) if self.embedders_used() else None)
        for block in _blocks(rows):
            asked = [row for row in block if row.query and row.positives]
            found = dict(zip(map(id, asked), ranks(corpus, searches, _pairs(asked, corpus), DEPTH), strict=True))
            yield from (self._fate(row, found[id(row)]) if id(row) in found else row for row in block)

    def _fate(self, row: Example, found: "Rank") -> Example | Dropped:
        """The row with its rank and score noted, or dropped for them."""
        positive = replace(row.positive, scores={**row.positive.scores, **found.scores})
        meta = {**row.meta, "ranks": {**row.meta.get("ranks", {}), **found.ranks, self.retriever: found.rank}}
        noted = replace(row, positives=(positive, *row.positives[1:]), meta=meta)
        if found.rank <= self.most_rank:
            return noted
        rank = f"rank {found.rank}" if found.rank <= DEPTH else f"no rank within {DEPTH}"
        return Dropped(noted, "inconsistent", f"{rank}, at most {self.most_rank} expected")


def _pairs(rows: Sequence[Example], corpus: "Corpus") -> list["Pair"]:
    """Each row's query and first positive, with all documents of its positives' families out of the race."""
    from synth.ranks import Pair

    return [Pair(row.query, row.positive, corpus.families(row.positives)) for row in rows]


def _blocks(rows: Iterable[Example]) -> Iterator[list[Example]]:
    several = iter(rows)
    while block := list(islice(several, ROWS)):
        yield block
