"""Give rows hard negatives out of the corpus: documents that a search takes for the positive.

    query "when does the Nile flood?"   +  negative "The Amazon floods …"   rank 2, cosine 0.71 (the positive: 0.83)

The margins are those of NV-Retriever (2407.15831).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from synth.candidates import Among, Avoid, Kind, found_in, grounds, hits_of
from synth.stage import Context, Rows, Stage, in_blocks, replayable
from synth.types import Document, Dropped, Example

if TYPE_CHECKING:
    from synth.retrieval import Corpus, Retriever


class Mine(Stage):
    """Add the best-ranked documents of the corpus that are no positives, as negatives.

    Never one is: a positive of the row or of another row with the same query, their siblings, a text that is the same
    or nearly so as one of them, a negative the row already has. The margins are NV-Retriever's (2407.15831), which
    found 95 % of the positive's cosine best: they need scores on one scale, so they go with `dense` alone; BM25's
    depend on the length of the query and fused ranks say only an order. Each negative keeps its id, rank and score.
    A row for which too few are found keeps what was found, and the count is told; no row disappears. Rows without a
    query or a positive pass. Where documents were written and there is no corpus, `among: rows` searches all documents
    of the rows of one task; what is found there stays `written`.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"
    fitted: ClassVar[Literal["", "row", "all"]] = "row"

    retriever: Kind = Field(default="bm25", description="what searches: words, an embedder, or both by reciprocal rank")
    embedder: str = Field(default="", description="the embedder that dense and fused ask, by its name in the recipe")
    negatives: int = Field(default=5, ge=1, le=1000, description="negatives to find for each row")
    first_rank: int = Field(default=1, ge=1, description="best rank that counts, positives and siblings left out")
    last_rank: int = Field(default=100, ge=1, le=10_000, description="worst rank that counts")
    among: Among = Field(
        default="corpus", description="what is searched: the corpus, or the documents of all rows of the row's task"
    )
    absolute_margin: float | None = Field(
        default=None,
        ge=0,
        le=2,
        description="cosine by which a negative must stay below the positive; no margin if unset",
    )
    relative_margin: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of the positive's cosine by which a negative must stay below it (0.05); none if unset",
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.retriever != "bm25" and not self.embedder:
            raise ValueError(f"retriever: {self.retriever} needs an embedder: name one of the recipe's `embedders:`")
        if self.last_rank - self.first_rank + 1 < self.negatives:
            window = f"{self.first_rank} to {self.last_rank}"
            raise ValueError(f"last_rank must leave room for {self.negatives} negatives, not only ranks {window}")
        for option in ("absolute_margin", "relative_margin"):
            if self.retriever != "dense" and getattr(self, option) is not None:
                raise ValueError(
                    f"{option} compares cosines: set `retriever: dense`, or leave it out; {self.retriever} "
                    + (
                        "ranks have no scores to compare"
                        if self.retriever == "fused"
                        else "scores have no common scale"
                    )
                )
        return self

    def embedders_used(self) -> Sequence[str]:
        """The embedder, where it asks one."""
        return [self.embedder] if self.retriever != "bm25" else []

    def reads_corpus(self) -> bool:
        """True where it searches the corpus."""
        return self.among == "corpus"

    def finds(self) -> int:
        """The negatives of a row."""
        return self.negatives

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Search for each row's query."""
        rows = replayable(rows)
        answers = _answers(rows)
        found: Counter[int] = Counter()
        for corpus, some in grounds(rows, self.among, ctx):
            for row, mined in self._searched(some, corpus, answers, ctx):
                if mined is not None:
                    found[len(mined)] += 1
                yield replace(row, negatives=(*row.negatives, *(mined or ())))
        short = sum(times for count, times in found.items() if count < self.negatives)
        if short:
            ctx.warn(
                f"{ctx.step or 'mine'}: {short} of {found.total()} rows got fewer than {self.negatives} negatives, "
                f"{found[0]} of them none"
            )

    def _searched(
        self, rows: Iterable[Example], corpus: "Corpus", answers: Mapping[str, Sequence[Document]], ctx: Context
    ) -> Iterator[tuple[Example, list[Document] | None]]:
        """Each row with its negatives; None for one that nothing is searched for."""
        embedder = ctx.embedder(self.embedder) if self.embedders_used() else None
        for block in in_blocks(rows):
            asked = [row for row in block if row.query and row.positives]
            mined: dict[int, list[Document]] = {}
            for searches, some in corpus.searches_for(asked, self.retriever, embedder):
                mined |= zip(map(id, some), self._mined(some, _Ground(corpus, searches, answers)), strict=True)
            yield from ((row, mined.get(id(row))) for row in block)

    def _mined(self, rows: Sequence[Example], ground: "_Ground") -> Iterator[list[Document]]:
        """The negatives of each row."""
        right = [ground.right(row) for row in rows]
        without = [ground.corpus.families(each) for each in right]
        hits = hits_of(ground.searches, [row.query for row in rows], self.last_rank, without)
        bounds = self._bounds(rows, ground)
        for number, row in enumerate(rows):
            avoid = Avoid(right[number], row.negatives)
            found = found_in(hits, number, ground.corpus, self.first_rank)
            fit = (each for each in found if each.score <= bounds[number] and avoid.lets(each.document))
            yield [each.noted(self.retriever) for each in islice(fit, self.negatives)]

    def _bounds(self, rows: Sequence[Example], ground: "_Ground") -> list[float]:
        """The score above which a candidate may be an answer; infinite where there is no margin."""
        if self.absolute_margin is None and self.relative_margin is None:
            return [float("inf")] * len(rows)
        own = ground.searches["cosine"].score([row.query for row in rows], [row.positive for row in rows])
        return [
            min(score - (self.absolute_margin or 0), score - (self.relative_margin or 0) * abs(score)) + 5e-6
            for score in own.tolist()
        ]


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where is mined: the corpus, its retrievers by name, and the positives of each query that several rows have."""

    corpus: "Corpus"
    searches: Mapping[str, "Retriever"]
    answers: Mapping[str, Sequence[Document]]

    def right(self, row: Example) -> list[Document]:
        """All that answers the row's query: its positives, other rows' for that query, and what they were cut from."""
        from synth.resemblance import folded

        told = [*row.positives, *self.answers.get(folded(row.query), ())]
        places = (self.corpus.position.get(document.doc_id, -1) for document in told)
        return [*told, *(self.corpus.documents[place] for place in places if place >= 0)]


def _answers(rows: Rows) -> dict[str, list[Document]]:
    """The positives of each query, as folded, that more than one row has."""
    from synth.resemblance import folded

    times = Counter(map(folded, rows.column("query")))
    repeated = {query: list[Document]() for query, count in times.items() if query and count > 1}
    for row in rows if repeated else ():
        if folded(row.query) in repeated:
            repeated[folded(row.query)].extend(row.positives)
    return repeated
