"""Top-k over a corpus: BM25, dense, fused.

    corpus = Corpus(documents)
    hits = corpus.bm25().search(["when does the Nile flood?"], k=10)
    corpus.documents[hits.indices[0, 0]].doc_id        "nile"

A corpus sorts its documents by doc_id: a lower position is a smaller doc_id, so ties mean the same in every run.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from synth.bm25 import BM25
from synth.hits import Hits, best, fuse, no_hits, reciprocal_ranks, rounded
from synth.types import Document, Example

if TYPE_CHECKING:
    from synth.embedder import Embedder

__all__ = ["BM25", "Corpus", "Dense", "Hits", "Kind", "Retriever", "cosines", "fuse", "reciprocal_ranks"]

Kind = Literal["bm25", "dense", "fused"]
BLOCK_SCORES = 1 << 25
"""Scores held at once by a dense search: 128 MB."""


class Retriever(Protocol):
    """A search over one corpus. Positions are those of `Corpus.documents`; scores are rounded to 1e-5.

    `floor` is the score at which a document is not found.
    """

    floor: float

    def search(self, queries: Sequence[str], k: int, *, without: Sequence[NDArray[np.int64]] = ()) -> Hits:
        """The k best documents of each query, but those at the positions `without` gives for it (one array a query)."""
        ...

    def score(self, queries: Sequence[str], documents: Sequence[Document]) -> NDArray[np.float32]:
        """The score of each pair, float32 (n,), for documents that need not be in the corpus."""
        ...


class Dense:
    """Cosine over an embedder's vectors. The corpus is embedded once, when made."""

    floor: float = -np.inf

    def __init__(self, documents: Sequence[Document], embedder: "Embedder") -> None:
        self._embedder = embedder
        self._documents = documents
        self._position = {document.doc_id: position for position, document in enumerate(documents)}
        self._asked: tuple[tuple[str, ...], NDArray[np.float32]] = ((), np.zeros((0, embedder.dim), np.float32))
        self._vectors = embedder.encode([document.full_text for document in documents], kind="document")

    def search(self, queries: Sequence[str], k: int, *, without: Sequence[NDArray[np.int64]] = ()) -> Hits:
        """The k nearest documents of each query, but those at the positions `without` gives for it."""
        hits = no_hits(len(queries), k)
        if not len(self._vectors) or not queries:
            return hits
        vectors = self._encoded(queries)
        height = min(len(queries), max(1, BLOCK_SCORES // len(self._vectors)))
        block = np.empty((height, len(self._vectors)), np.float32)  # new memory for each costs as much as the product
        for start in range(0, len(queries), height):
            asked = vectors[start : start + height]
            for row, scores in enumerate(np.matmul(asked, self._vectors.T, out=block[: len(asked)]), start=start):
                if without:
                    scores[without[row]] = -np.inf
                positions, values = best(scores, k)
                hits.indices[row, : len(positions)] = positions
                hits.scores[row, : len(positions)] = values
        return hits

    def score(self, queries: Sequence[str], documents: Sequence[Document]) -> NDArray[np.float32]:
        """The cosine of each pair, float32 (n,)."""
        vectors = np.empty((len(documents), self._vectors.shape[1]), np.float32)
        known = np.array([self._place(document) for document in documents], np.int64)
        vectors[known >= 0] = self._vectors[known[known >= 0]]
        others = np.flatnonzero(known < 0)
        vectors[others] = self._embedder.encode([documents[other].full_text for other in others.tolist()])
        return rounded(np.einsum("ij,ij->i", self._encoded(queries), vectors))

    def _place(self, document: Document) -> int:
        """Where in the index a document with its id and its very text stands; -1 where none does."""
        place = self._position.get(document.doc_id, -1)
        return place if place >= 0 and self._documents[place].full_text == document.full_text else -1

    def _encoded(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """The queries' vectors; those of the last call are kept, since a search and a score often follow each other."""
        key = tuple(queries)
        if self._asked[0] != key:
            self._asked = (key, self._embedder.encode(key, kind="query"))
        return self._asked[1]


class Corpus:
    """Documents that can be searched, sorted by doc_id. Indexes are made when first asked for, and kept."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents: tuple[Document, ...] = tuple(sorted(documents, key=lambda each: (each.doc_id, each.text)))
        self.position: dict[str, int] = {}
        self._families: dict[str, list[int]] = {}
        self._bm25: BM25 | None = None
        self._dense: dict[str, Dense] = {}
        for position, document in enumerate(self.documents):
            if document.doc_id:
                self.position.setdefault(document.doc_id, position)
            if document.family:
                self._families.setdefault(document.family, []).append(position)

    def __len__(self) -> int:
        return len(self.documents)

    def families(self, documents: Sequence[Document]) -> NDArray[np.int64]:
        """The positions of the documents and of all their siblings, int64 (m,), sorted; empty where none is here."""
        found = {position for document in documents for position in self._families.get(document.family, ())}
        found.update(self.position[document.doc_id] for document in documents if document.doc_id in self.position)
        return np.array(sorted(found), np.int64)

    def bm25(self) -> BM25:
        """The index over words."""
        if self._bm25 is None:
            self._bm25 = BM25(self.documents)
        return self._bm25

    def dense(self, embedder: "Embedder") -> Dense:
        """The index over an embedder's vectors."""
        key = embedder.identity()
        if key not in self._dense:
            self._dense[key] = Dense(self.documents, embedder)
        return self._dense[key]

    def searches(self, kind: Kind, embedder: "Embedder | None" = None) -> dict[str, Retriever]:
        """The retrievers of a kind, by what their scores are called: bm25, cosine, or both to be fused."""
        found: dict[str, Retriever] = {}
        if kind != "dense":
            found["bm25"] = self.bm25()
        if embedder is not None and kind != "bm25":
            found["cosine"] = self.dense(embedder)
        return found

    def searches_for(
        self, rows: Iterable[Example], kind: Kind, embedder: "Embedder | None" = None
    ) -> Iterator[tuple[dict[str, Retriever], list[Example]]]:
        """The retrievers of a kind for each of these rows, with all rows that they are for.

        They are the same for all but where `fit` made the embedder: then each fold has an index of its own.
        """
        if embedder is None or kind == "bm25":
            yield self.searches(kind), list(rows)
            return
        for model, some in embedder.for_rows(rows):
            yield self.searches(kind, model), some


def cosines(embedder: "Embedder", pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
    """The cosine of each (query, document), float32 (n,), to 1e-5; a query that stands in several is encoded once."""
    distinct = list(dict.fromkeys(query for query, _ in pairs))
    place = {query: number for number, query in enumerate(distinct)}
    queries = embedder.encode(distinct, kind="query")[[place[query] for query, _ in pairs]]
    return rounded((queries * embedder.encode([document for _, document in pairs])).sum(axis=1))
