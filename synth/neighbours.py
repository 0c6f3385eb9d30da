"""Which of many vectors lie near an earlier one that stays: exactly, or for very many within the nearest clusters.

    queries = Clustered([vectors])
    near_earlier([(queries, queries)], least=0.9).of.tolist()  ->  [-1, -1, 0]        the third lies near the first

Up to `MOST_EXACT` vectors each is compared with all, block by block. Of more, each is compared with those of the
clusters whose centres are nearest to it, as SemDeDup (arXiv 2303.09540) and inverted files do. In memory are the
vectors, 4 bytes a number (a million of 384: 1.5 GB), and about 0.2 GB beside them, whatever lies near what.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from synth.hits import rounded

if TYPE_CHECKING:
    from synth.embedder import Embedder

Vectors = NDArray[np.float32]

MOST_EXACT = 100_000
ENCODED = 8192
"""Texts that an embedder gets at once: enough for it to sort them by length."""
BLOCK, COLUMNS = 2048, 2048
"""Vectors that are compared at once, and with how many: 16 MB of cosines; what is larger is new memory each time."""
SAMPLE, ROUNDS = 64, 8
"""Vectors for each centre that k-means looks at, and how often."""
STRIPE = 16
"""Columns that are put into another order at once: a line of a processor's cache."""


@dataclass(frozen=True, slots=True)
class Near:
    """For each of n rows: `of`, int64 (n,), the earlier row it lies near or -1; `cosine`, float32 (n,), how near."""

    of: NDArray[np.int64]
    cosine: NDArray[np.float32]

    def note(self, rows: NDArray[np.int64], found: "Near") -> None:
        """Take over for `rows`, (m,), what of the m that were found is nearer, or as near and earlier."""
        of, cosine = self.of[rows], self.cosine[rows]
        better = (of < 0) | (found.cosine > cosine) | ((found.cosine == cosine) & (found.of < of))
        self.of[rows[better]], self.cosine[rows[better]] = found.of[better], found.cosine[better]


def embedded(embedder: "Embedder", texts: Sequence[str], kind: Literal["query", "document"]) -> Vectors:
    """The vectors of texts, asked for in blocks, float32 (n, dim); zeros where the embedder gave no finite numbers."""
    vectors = np.empty((len(texts), embedder.dim if texts else 1), np.float32)
    for start in range(0, len(texts), ENCODED):
        block = embedder.encode(texts[start : start + ENCODED], kind=kind)
        vectors[start : start + ENCODED] = np.where(np.isfinite(block).all(axis=1, keepdims=True), block, 0)
    return vectors


def mean_cosine(ones: Vectors, others: Vectors) -> float:
    """The mean cosine of ones[i] and others[j] over all i other than j, without comparing them; 0 for less than two.

    Both are of unit length or zero, (n, dim), and may be the same.

    >>> vectors = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    >>> round(mean_cosine(vectors, vectors), 3)
    0.333
    """
    count = len(ones)
    if count < 2:
        return 0.0
    both = float(ones.sum(axis=0, dtype=np.float64) @ others.sum(axis=0, dtype=np.float64))
    own = float(np.einsum("ij,ij->", ones, others, dtype=np.float64))
    return round((both - own) / (count * (count - 1)), 5)


def pair_cosines(ones: Vectors, others: Vectors) -> Vectors:
    """The cosine of ones[i] and others[i], to 1e-5, float32 (n,)."""
    return rounded(np.einsum("ij,ij->i", ones, others))


class Clustered:
    """Vectors of n rows, those of a cluster side by side. The arrays given are put into that order, not copied.

    Each array is float32 (n, dim), of unit length or zero; with several, two rows are as near as their farthest part
    is, and the first array is what is clustered. Up to `most_exact` rows are one cluster.
    """

    def __init__(self, parts: Sequence[Vectors], most_exact: int = MOST_EXACT, probes: int = 8) -> None:
        self._parts = parts
        count = len(parts[0])
        clusters = round(count**0.5) if count > max(most_exact, 1) else 1
        self._probes = min(probes, clusters)
        self._centres = _centres(parts[0], clusters)
        home = _nearest_centre(parts[0], self._centres)
        self._numbers = np.argsort(home, kind="stable")
        self._starts = np.searchsorted(home[self._numbers], np.arange(clusters + 1))
        self._places = np.empty_like(self._numbers)
        self._places[self._numbers] = np.arange(count)
        if clusters > 1:
            _reorder(parts, self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def at(self, numbers: slice) -> list[Vectors]:
        """The vectors of some rows, part by part."""
        return [part[self._places[numbers]] for part in self._parts]

    def nearest(self, asked: Sequence[Vectors], before: int, stays: NDArray[np.bool_], least: float) -> Near:
        """For each vector asked for the nearest row before number `before` that stays, if it is as near as `least`."""
        near = Near(np.full(len(asked[0]), -1, np.int64), np.zeros(len(asked[0]), np.float32))
        for cluster, rows in self._probed(asked[0]):
            begin, end = self._starts[cluster : cluster + 2].tolist()
            end = begin + int(np.searchsorted(self._numbers[begin:end], before))
            own = [part[rows] for part in asked]
            for start in range(begin, end, COLUMNS):
                numbers = self._numbers[start : min(start + COLUMNS, end)]
                if not stays[numbers].any():
                    continue
                cosines = _cosines(own, [part[start : start + len(numbers)] for part in self._parts])
                cosines *= stays[numbers]
                hit = np.flatnonzero(_reach(cosines.max(axis=1), least))
                found = rounded(cosines[hit])
                column = found.argmax(axis=1)
                near.note(rows[hit], Near(numbers[column], found[np.arange(len(hit)), column]))
        return near

    def _probed(self, vectors: Vectors) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """The clusters that are looked into, each with which of the vectors look there."""
        if len(self._centres) == 1:
            yield 0, np.arange(len(vectors))
            return
        places = -(vectors @ self._centres.T)
        chosen = np.argpartition(places, self._probes - 1, axis=1)[:, : self._probes]
        order = np.argsort(chosen, axis=None, kind="stable")
        clusters, starts = np.unique(chosen.ravel()[order], return_index=True)
        yield from zip(clusters.tolist(), np.split(order // self._probes, starts[1:]), strict=True)


def near_earlier(searches: Sequence[tuple[Clustered, Clustered]], least: float, own: Vectors | None = None) -> Near:
    """Which rows lie near an earlier one that itself lies near none, by a cosine of at least `least`.

    Each search looks for a row's vectors of the one among the rows of the other; all are of the same n rows, and one
    that finds something is enough. Of several the nearest is named. A row that in `own`, float32 (n,), has as much to
    itself is named as near itself, and nothing else is near it. Cosines count to 1e-5.
    """
    total = len(searches[0][0])
    near = Near(np.full(total, -1, np.int64), np.zeros(total, np.float32))
    itself = np.zeros(total, np.bool_) if own is None else _reach(own, least)
    stays = ~itself
    for first in range(0, total, BLOCK):
        block = slice(first, min(first + BLOCK, total))
        here = Near(near.of[block], near.cosine[block])
        within = np.full((len(here.of), len(here.of)), -1, np.float32)
        for ours, theirs in searches:
            asked = ours.at(block)
            found = theirs.nearest(asked, first, stays, least)
            rows = np.flatnonzero(found.of >= 0)
            here.note(rows, Near(found.of[rows], found.cosine[rows]))
            np.maximum(within, _cosines(asked, theirs.at(block)), out=within)
        stays[block] &= here.of < 0
        _settle(here, within, first, stays[block], least)
    if own is not None:
        near.of[itself], near.cosine[itself] = np.flatnonzero(itself), rounded(own[itself])
    return near


def _settle(here: Near, within: Vectors, first: int, stays: NDArray[np.bool_], least: float) -> None:
    """Judge the rows of one block by each other, in their order; `within` is (rows, rows), `stays` is changed."""
    reach = np.tril(_reach(within, least), -1)
    for row in np.flatnonzero(reach.any(axis=1)).tolist():
        earlier = np.flatnonzero(reach[row, :row] & stays[:row])
        if len(earlier):
            cosines = rounded(within[row, earlier])
            best = int(cosines.argmax())
            here.note(np.array([row]), Near(np.array([first + earlier[best]]), cosines[best : best + 1]))
            stays[row] = False


def _cosines(ones: Sequence[Vectors], others: Sequence[Vectors]) -> Vectors:
    """Each of the ones with each of the others, (n, m): the lowest of their parts."""
    cosines = ones[0] @ others[0].T
    for one, other in zip(ones[1:], others[1:], strict=True):
        np.minimum(cosines, one @ other.T, out=cosines)
    return np.asarray(cosines, np.float32)


def _reach(cosines: Vectors, least: float) -> NDArray[np.bool_]:
    """Where a cosine, to 1e-5, is `least` or more."""
    return np.asarray(cosines >= np.float32(round(least, 5) - 5e-6))


def _centres(vectors: Vectors, count: int) -> Vectors:
    """Directions near which the vectors lie, float32 (count, dim): spherical k-means over some of them.

    It starts from vectors at equal distances in their order, so nothing is drawn by chance.
    """
    if count == 1:
        return np.zeros((1, vectors.shape[1]), np.float32)
    some = vectors[:: max(1, len(vectors) // (SAMPLE * count))]
    found = some[np.linspace(0, len(some) - 1, count).astype(np.int64)]
    for _ in range(ROUNDS):
        home = _nearest_centre(some, found)
        order = np.argsort(home, kind="stable")
        used, starts = np.unique(home[order], return_index=True)
        sums = np.add.reduceat(some[order], starts, axis=0)
        found[used] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
    return found


def _nearest_centre(vectors: Vectors, centres: Vectors) -> NDArray[np.int64]:
    """The number of the centre that is nearest to each vector, int64 (n,)."""
    home = np.zeros(len(vectors), np.int64)
    for start in range(0, len(vectors) if len(centres) > 1 else 0, BLOCK):
        home[start : start + BLOCK] = (vectors[start : start + BLOCK] @ centres.T).argmax(axis=1)
    return home


def _reorder(parts: Sequence[Vectors], numbers: NDArray[np.int64]) -> None:
    """Put the rows of each array into this order, a few columns at a time."""
    for part in parts:
        for start in range(0, part.shape[1], STRIPE):
            part[:, start : start + STRIPE] = part[numbers, start : start + STRIPE]
