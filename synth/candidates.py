"""Documents that a search found for a row: how they are searched for, what is noted on them, what is none.

Found(rank=2, score=0.71, document=Document("The Amazon floods …"))
->  Document("The Amazon floods …", origin="mined", scores={"cosine": 0.71}, meta={"rank": 2})
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from synth.stage import Context, Rows
from synth.types import Document, Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synth.retrieval import Corpus, Hits, Retriever

DEPTH = 100
"""The shortest lists that are fused."""
ALIKE = 0.8
"""Two texts that resemble each other so much (Jaccard) are taken for one."""
POOL = "pool"
"""The tag of rows whose negatives are whatever was found, right ones among them, until `relabel` has chosen."""

Kind = Literal["bm25", "dense", "fused"]
Among = Literal["corpus", "rows"]
SCORES: Mapping[Kind, str] = {"bm25": "bm25", "dense": "cosine", "fused": "rrf"}
"""What the score of each kind of search is called."""


@dataclass(frozen=True, slots=True)
class Found:
    """A document, its rank from 1 on, and its score to 1e-5."""

    rank: int
    score: float
    document: Document

    def noted(self, kind: Kind) -> Document:
        """The document as a candidate, with its rank and its score; one that a model wrote stays `written`."""
        scores, meta = {**self.document.scores, SCORES[kind]: self.score}, {**self.document.meta, "rank": self.rank}
        written = self.document.origin == "written"
        return replace(self.document, origin="written" if written else "mined", scores=scores, meta=meta)


def grounds(rows: Rows, among: Among, ctx: Context) -> Iterator[tuple["Corpus", Iterable[Example]]]:
    """What is searched, each with all rows that it is searched for: the corpus, or all documents of one task's rows.

    What a row says of its documents (relevance, scores) is not theirs for another row, and is left out.
    """
    if among == "corpus":
        yield ctx.corpus, rows
        return
    from synth.retrieval import Corpus

    for task in sorted(set(rows.column("task"))):
        found: dict[tuple[str, ...], Document] = {}
        for row in rows:
            for document in (*row.positives, *row.negatives) if row.task == task else ():
                key = (document.doc_id, document.full_text, document.language, document.parent_id, document.origin)
                found.setdefault(key, replace(document, relevance=None, scores={}, meta={}))
        yield Corpus([found[key] for key in sorted(found)]), (row for row in rows if row.task == task)


def hits_of(
    searches: Mapping[str, "Retriever"], queries: Sequence[str], k: int, without: Sequence["NDArray[np.int64]"] = ()
) -> "Hits":
    """The k best documents of each query by one search, or by several whose ranks are fused.

    `without` names positions that are left out, an array for each query.
    """
    from synth.retrieval import fuse

    depth = max(k, DEPTH) if len(searches) > 1 else k
    found = [retriever.search(queries, depth, without=without) for retriever in searches.values()]
    return found[0] if len(found) == 1 else fuse(found, k)


def found_in(hits: "Hits", number: int, corpus: "Corpus", first_rank: int = 1) -> Iterator[Found]:
    """The documents found for one query from a rank on, best first."""
    places, scores = hits.indices[number, first_rank - 1 :].tolist(), hits.scores[number, first_rank - 1 :].tolist()
    for rank, (place, score) in enumerate(zip(places, scores, strict=True), start=first_rank):
        if place < 0:
            return
        yield Found(rank, round(score, 5), corpus.documents[place])


def resembles(text: str, others: Iterable[str]) -> bool:
    """True for a text that is the same or nearly so as one of the others."""
    from synth.resemblance import jaccard

    return any(jaccard(text, other) >= ALIKE for other in others)


class Avoid:
    """What one row gets no more of: texts that resemble one of `alike`, and documents that it `has`."""

    def __init__(self, alike: Iterable[Document], has: Sequence[Document]) -> None:
        self._alike = {document.text for document in alike}
        self._ids = {document.doc_id for document in has}
        self._texts = {document.text for document in has}

    def lets(self, document: Document) -> bool:
        """True for a text that is new to the row and resembles none of those; it is then no longer new."""
        if document.doc_id in self._ids or document.text in self._texts or not document.text.strip():
            return False
        self._texts.add(document.text)
        return not resembles(document.text, self._alike)
