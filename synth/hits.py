"""What a search found, and the two rules every search here keeps: scores count to 1e-5, ties go by doc_id.

One query for which two documents were found, with room for a third:

    Hits(indices=[[41, 7, -1]], scores=[[12.3, 9.8, -inf]])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 64


@dataclass(frozen=True, slots=True)
class Hits:
    """Documents for each of n queries, best first.

    `indices` is int64 (n, k), positions in the corpus; `scores` is float32 (n, k). Where fewer than k were found, the
    rest is -1 and -inf.
    """

    indices: NDArray[np.int64]
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indices)


def rounded(scores: NDArray[Any]) -> NDArray[np.float32]:
    """Scores as they decide: float32, to 1e-5, since sums differ in the last bits with batch and threads."""
    return np.round(scores.astype(np.float64), 5).astype(np.float32)


def no_hits(queries: int, k: int) -> Hits:
    """Hits of shape (queries, k) that hold nothing yet."""
    return Hits(np.full((queries, k), -1, np.int64), np.full((queries, k), -np.inf, np.float32))


def best(scores: NDArray[np.float32], k: int, floor: float = -np.inf) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions and rounded scores of the k highest of `scores` (n,) above `floor`; at a tie the lower position first.

    >>> positions, scores = best(np.array([0.1, 0.9, 0.9000001, 0.5], np.float32), 3)
    >>> positions.tolist()
    [1, 2, 3]
    """
    bound = max(_lower_bound(scores, k), floor)
    near = np.flatnonzero(scores >= bound - 2e-5)
    if len(near) > 4 * k:
        kth = np.partition(scores[near], len(near) - k)[len(near) - k]
        near = near[scores[near] >= kth - 2e-5]
    values = rounded(scores[near])
    near, values = near[values > floor], values[values > floor]
    order = np.argsort(-values, kind="stable")[:k]
    return near[order], values[order]


def _lower_bound(scores: NDArray[np.float32], k: int) -> float:
    """A value that at least k scores reach: the k-th of the maxima of blocks, far cheaper than the k-th of all."""
    blocks = len(scores) // BLOCK
    if blocks < k:
        return -np.inf
    maxima = scores[: blocks * BLOCK].reshape(BLOCK, blocks).max(axis=0)  # a third of the time of neighbours' maxima
    return float(np.partition(maxima, blocks - k)[blocks - k])


def fuse(lists: Sequence[Hits], k: int, k0: int = 60) -> Hits:
    """One list out of several by reciprocal rank: each document gets the sum of 1 / (k0 + rank), ranks from 1.

    Cormack, Clarke & Büttcher, SIGIR 2009. The scores say an order and no closeness. Ties go by position.
    """
    fused = no_hits(len(lists[0]), k)
    for row in range(len(fused)):
        totals = reciprocal_ranks([hits.indices[row] for hits in lists], k0)
        order = sorted(totals, key=lambda index: (-totals[index], index))[:k]
        fused.indices[row, : len(order)] = order
        fused.scores[row, : len(order)] = [totals[index] for index in order]
    return fused


def reciprocal_ranks(lists: Sequence[NDArray[np.int64]], k0: int = 60) -> dict[int, float]:
    """The fused score of every position found in `lists` (each (k,), best first, -1 where nothing was found).

    >>> reciprocal_ranks([np.array([4, 9]), np.array([9, -1])], k0=1)
    {4: 0.5, 9: 0.83333333}
    """
    totals: dict[int, float] = {}
    for indices in lists:
        for rank, index in enumerate(indices[indices >= 0].tolist(), start=1):
            totals[index] = totals.get(index, 0.0) + 1.0 / (k0 + rank)
    return {index: round(total, 8) for index, total in totals.items()}
