"""Drop rows whose positive is not found by its own query: a query that other documents answer better teaches wrong.

    query "when does the river flood?"   positive "The Nile floods each summer."   rank 3 of the corpus   kept

Round-trip consistency, as Promptagator (2209.11755) has it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from synth.candidates import Among, grounds
from synth.stage import Context, Stage, in_blocks, replayable
from synth.types import Dropped, Example

if TYPE_CHECKING:
    from synth.ranks import Rank
    from synth.retrieval import Corpus

DEPTH = 100
"""How far a rank is looked for; farther ones are told as DEPTH + 1."""


class Consistency(Stage):
    """Keep rows whose positive ranks within `most_rank` for its own query (Promptagator, 2209.11755).

    The first positive counts *as it will be trained on*: its own text is scored, with the index's statistics, against
    the corpus's documents of other parents; were the uncut document in the race, a sentence cut out of it would always
    find it. A positive that shares no word with its query is found by no BM25. The rank goes into `meta["ranks"]` and
    the score into the positive's. Rows without a query or a positive pass. Cross-lingual rows are left alone, unless
    `where` says otherwise: words cannot find them, a multilingual embedder can. Where documents were written and there
    is no corpus, `among: rows` ranks among all documents of the rows of one task, their negatives with them.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"
    default_where: ClassVar[dict[str, object]] = {"cross_lingual": False}
    fitted: ClassVar[Literal["", "row", "all"]] = "row"

    retriever: Literal["bm25", "dense", "fused"] = Field(
        default="bm25", description="what ranks: words, an embedder, or both by reciprocal rank"
    )
    embedder: str = Field(default="", description="the embedder that dense and fused ask, by its name in the recipe")
    most_rank: int = Field(default=10, ge=1, le=DEPTH, description="worst rank of the positive among the documents")
    among: Among = Field(
        default="corpus",
        description="the documents that it competes with: the corpus, or those of all rows of its task",
    )

    @model_validator(mode="after")
    def _has_embedder(self) -> Self:
        if self.retriever != "bm25" and not self.embedder:
            raise ValueError(f"retriever: {self.retriever} needs an embedder: name one of the recipe's `embedders:`")
        return self

    def embedders_used(self) -> Sequence[str]:
        """The embedder, where it asks one."""
        return [self.embedder] if self.retriever != "bm25" else []

    def reads_corpus(self) -> bool:
        """True where it ranks against the corpus."""
        return self.among == "corpus"

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Rank each row's positive for its own query."""
        rows = replayable(rows)
        for corpus, some in grounds(rows, self.among, ctx):
            if len(corpus):
                yield from self._ranked(some, corpus, ctx)
            else:
                ctx.warn("consistency: the corpus is empty, so every row passed unchecked")
                yield from some

    def _ranked(self, rows: Iterable[Example], corpus: "Corpus", ctx: Context) -> Iterator[Example | Dropped]:
        """The fates of rows whose positives compete with these documents."""
        from synth.ranks import ranked

        embedder = ctx.embedder(self.embedder) if self.embedders_used() else None
        for block in in_blocks(rows):
            for searches, some in corpus.searches_for(block, self.retriever, embedder):
                for row, found in ranked(some, corpus, searches, DEPTH):
                    yield row if found is None else self._fate(row, found)

    def _fate(self, row: Example, found: "Rank") -> Example | Dropped:
        """The row with its rank and score noted, or dropped for them."""
        noted = found.noted(row, self.retriever)
        if found.rank <= self.most_rank:
            return noted
        rank = f"rank {found.rank}" if found.rank <= DEPTH else f"no rank within {DEPTH}"
        return Dropped(noted, "inconsistent", f"{rank}, at most {self.most_rank} expected")
