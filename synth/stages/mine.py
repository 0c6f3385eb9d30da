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

from synth.stage import Context, Rows, Stage, in_blocks, replayable
from synth.types import Document, Dropped, Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synth.retrieval import Corpus, Hits, Retriever

DEPTH = 100
"""The shortest lists that are fused."""
ALIKE = 0.8
"""A candidate whose text resembles a positive's so much (Jaccard) is no negative."""


class Mine(Stage):
    """Add the best-ranked documents of the corpus that are no positives, as negatives.

    Never one is: a positive of the row or of another row with the same query, their siblings, a text that is the same
    or nearly so as one of them, a negative the row already has. The margins are NV-Retriever's (2407.15831), which
    found 95 % of the positive's cosine best: they need scores on one scale, so they go with `dense` alone; BM25's
    depend on the length of the query and fused ranks say only an order. Each negative keeps its id, rank and score.
    A row for which too few are found keeps what was found, and the count is told; no row disappears. Rows without a
    query or a positive pass.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"

    retriever: Literal["bm25", "dense", "fused"] = Field(
        default="bm25", description="what searches: words, an embedder, or both by reciprocal rank"
    )
    embedder: str = Field(default="", description="the embedder that dense and fused ask, by its name in the recipe")
    negatives: int = Field(default=5, ge=1, le=1000, description="negatives to find for each row")
    first_rank: int = Field(default=1, ge=1, description="best rank that counts, positives and siblings left out")
    last_rank: int = Field(default=100, ge=1, le=10_000, description="worst rank that counts")
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
        """It searches the corpus."""
        return True

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Search the corpus for each row's query."""
        rows = replayable(rows)
        searches = ctx.corpus.searches(self.retriever, ctx.embedder(self.embedder) if self.embedders_used() else None)
        ground = _Ground(ctx.corpus, searches, _answers(rows))
        found: Counter[int] = Counter()
        for block in in_blocks(rows):
            asked = [row for row in block if row.query and row.positives]
            mined = dict(zip(map(id, asked), self._mined(asked, ground), strict=True))
            found.update(map(len, mined.values()))
            yield from (replace(row, negatives=(*row.negatives, *mined.get(id(row), ()))) for row in block)
        short = sum(times for count, times in found.items() if count < self.negatives)
        if short:
            ctx.warn(
                f"{ctx.step or 'mine'}: {short} of {found.total()} rows got fewer than {self.negatives} negatives, "
                f"{found[0]} of them none"
            )

    def _mined(self, rows: Sequence[Example], ground: "_Ground") -> Iterator[list[Document]]:
        """The negatives of each row."""
        right = [ground.right(row) for row in rows]
        hits = self._hits([row.query for row in rows], [ground.corpus.families(each) for each in right], ground)
        bounds = self._bounds(rows, ground)
        for number, row in enumerate(rows):
            fit = self._fit(hits, number, bounds[number], ground.corpus)
            avoid = _Avoid(right[number], row.negatives)
            chosen = islice(((rank, score, each) for rank, score, each in fit if avoid.lets(each)), self.negatives)
            yield [self._negative(*each) for each in chosen]

    def _hits(self, queries: Sequence[str], without: Sequence["NDArray[np.int64]"], ground: "_Ground") -> "Hits":
        """The last_rank best documents of each query, none of them of the families of its positives."""
        from synth.retrieval import fuse

        depth = max(self.last_rank, DEPTH) if len(ground.searches) > 1 else self.last_rank
        found = [retriever.search(queries, depth, without=without) for retriever in ground.searches.values()]
        return found[0] if len(found) == 1 else fuse(found, self.last_rank)

    def _bounds(self, rows: Sequence[Example], ground: "_Ground") -> list[float]:
        """The score above which a candidate may be an answer; infinite where there is no margin."""
        if self.absolute_margin is None and self.relative_margin is None:
            return [float("inf")] * len(rows)
        own = ground.searches["cosine"].score([row.query for row in rows], [row.positive for row in rows])
        return [
            min(score - (self.absolute_margin or 0), score - (self.relative_margin or 0) * abs(score)) + 5e-6
            for score in own.tolist()
        ]

    def _fit(self, hits: "Hits", number: int, bound: float, corpus: "Corpus") -> Iterator[tuple[int, float, Document]]:
        """The documents of the window for one row that score at most `bound`, best first: rank, score, document."""
        window = slice(self.first_rank - 1, self.last_rank)
        found = zip(hits.indices[number, window].tolist(), hits.scores[number, window].tolist(), strict=True)
        for rank, (position, score) in enumerate(found, start=self.first_rank):
            if position < 0:
                return
            if round(score, 5) <= bound:
                yield rank, round(score, 5), corpus.documents[position]

    def _negative(self, rank: int, score: float, document: Document) -> Document:
        name = {"bm25": "bm25", "dense": "cosine", "fused": "rrf"}[self.retriever]
        scores, meta = {**document.scores, name: score}, {**document.meta, "rank": rank}
        return replace(document, origin="mined", scores=scores, meta=meta)


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


class _Avoid:
    """What may not become a negative of one row."""

    def __init__(self, right: Sequence[Document], negatives: Sequence[Document]) -> None:
        self._right = {document.text for document in right}
        self._ids = {document.doc_id for document in negatives}
        self._texts = {document.text for document in negatives}

    def lets(self, document: Document) -> bool:
        """True for a text that is new to the row and resembles none of its positives; it is then no longer new."""
        from synth.resemblance import jaccard

        if document.doc_id in self._ids or document.text in self._texts or not document.text.strip():
            return False
        self._texts.add(document.text)
        return all(jaccard(document.text, text) < ALIKE for text in self._right)


def _answers(rows: Rows) -> dict[str, list[Document]]:
    """The positives of each query, as folded, that more than one row has."""
    from synth.resemblance import folded

    times = Counter(map(folded, rows.column("query")))
    repeated = {query: list[Document]() for query, count in times.items() if query and count > 1}
    for row in rows if repeated else ():
        if folded(row.query) in repeated:
            repeated[folded(row.query)].extend(row.positives)
    return repeated
