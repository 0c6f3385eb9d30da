"""Where a text that need not be in the index would stand in a search.

    Rank(rank=3, ranks={"bm25": 3}, scores={"bm25": 11.2})       third of the corpus for its query

A row's positive is often a piece of a document, or written: it is ranked as if it stood in the corpus.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from synth.hits import reciprocal_ranks
from synth.retrieval import Corpus, Retriever
from synth.stage import in_blocks
from synth.types import Document, Example

_ITSELF = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Pair:
    """A query, a document to rank for it, and the positions in the corpus that are out of the race, int64 (m,)."""

    query: str
    document: Document
    without: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rank:
    """`rank` from 1 over all retrievers, by reciprocal rank where there are several; each one's own ranks and scores.

    A rank beyond the depth that was looked at is the depth + 1.
    """

    rank: int
    ranks: Mapping[str, int]
    scores: Mapping[str, float]

    def noted(self, row: Example, name: str) -> Example:
        """The row with the ranks in its `meta`, the overall one under a name, and the scores on its first positive."""
        positive = replace(row.positive, scores={**row.positive.scores, **self.scores})
        known = {**row.meta.get("ranks", {}), **self.ranks, name: self.rank}
        return replace(row, positives=(positive, *row.positives[1:]), meta={**row.meta, "ranks": known})


@dataclass(frozen=True, slots=True)
class _Race:
    """One retriever's lists, int64 (n, depth), and the place, int64 (n,), and score, float32 (n,), of each document."""

    lists: NDArray[np.int64]
    places: NDArray[np.int64]
    scores: NDArray[np.float32]


def ranked(
    rows: Iterable[Example], corpus: Corpus, searches: Mapping[str, Retriever], depth: int
) -> Iterator[tuple[Example, Rank | None]]:
    """Each row with the rank of its first positive for its query; None for a row that lacks either.

    All documents of its positives' families are out of the race.
    """
    for block in in_blocks(rows):
        asked = [row for row in block if row.query and row.positives]
        pairs = [Pair(row.query, row.positive, corpus.families(row.positives)) for row in asked]
        found = dict(zip(map(id, asked), ranks(corpus, searches, pairs, depth), strict=True))
        yield from ((row, found.get(id(row))) for row in block)


def ranks(corpus: Corpus, searches: Mapping[str, Retriever], pairs: Sequence[Pair], depth: int) -> list[Rank]:
    """The rank of each pair's document among the corpus's, its text scored with the index's statistics.

    A document whose score is at the retriever's floor is not found. Ties go by doc_id.
    """
    ids = [document.doc_id for document in corpus.documents]
    earlier = np.array([bisect_left(ids, pair.document.doc_id) for pair in pairs], np.int64)
    races = {name: _race(retriever, pairs, earlier, depth) for name, retriever in searches.items()}
    return [
        Rank(
            _overall([(race.lists[row], int(race.places[row])) for race in races.values()], int(earlier[row])),
            {name: int(race.places[row]) for name, race in races.items()},
            {name: round(float(race.scores[row]), 5) for name, race in races.items()},
        )
        for row in range(len(pairs))
    ]


def _race(retriever: Retriever, pairs: Sequence[Pair], earlier: NDArray[np.int64], depth: int) -> _Race:
    queries = [pair.query for pair in pairs]
    hits = retriever.search(queries, depth, without=[pair.without for pair in pairs])
    scores = retriever.score(queries, [pair.document for pair in pairs])
    ties = (hits.scores == scores[:, None]) & (hits.indices < earlier[:, None])
    places = 1 + ((hits.scores > scores[:, None]) | ties).sum(axis=1)
    return _Race(hits.indices, np.where(scores > retriever.floor, places, depth + 1), scores)


def _overall(races: Sequence[tuple[NDArray[np.int64], int]], earlier: int) -> int:
    """The place in several lists fused, of something that stands in each at a place of its own.

    `earlier` is how many documents of the corpus win a tie.

    >>> _overall([(np.array([4, 9, 2]), 1), (np.array([9, 4, 2]), 2)], 0)
    1
    """
    depth = len(races[0][0])
    if len(races) == 1:
        return races[0][1]
    totals = reciprocal_ranks(
        [np.insert(found, place - 1, _ITSELF) if place <= depth else found for found, place in races]
    )
    own = totals.pop(int(_ITSELF), 0.0)
    ahead = sum(total > own or (total == own and index < earlier) for index, total in totals.items())
    return min(1 + ahead, depth + 1) if own else depth + 1
