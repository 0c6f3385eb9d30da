"""Which of very many texts belong together, in memory that does not grow with how long they are.

    with Sketches() as texts:
        for text in ("the nile floods in july", "a barge", "The Nile floods in June"): texts.add(text)
        texts.groups(0.6).tolist()  ->  [0, 1, 0]

In memory stay 136 bytes of each: a MinHash signature (`resemblance.py`) shortened to a byte a place (Li & König 2010),
and where the text lies in a file. It is read again when its sketch agrees with another in about as many places as their
shingles would have to, to be compared with that in full.
"""

import tempfile
from array import array
from itertools import count
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from synth.resemblance import bands, jaccard, keys_of, signatures

PLACES = 128
"""Bytes of a sketch."""
WAITING = 1 << 20
"""Characters of texts that are sketched at once."""
PAIRS = 1 << 14
"""Sketches that are compared at once."""


class Sketches:
    """The sketches of texts that come one by one. The texts lie in a temporary file, in `folder` where it is given."""

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed at the end of the `with`
        self._ends = array("q", [0])
        self._waiting: list[str] = []
        self._characters = 0
        self._blocks = [np.empty((0, PLACES), np.uint8)]

    def __enter__(self) -> "Sketches":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, text: str) -> None:
        """Take one more text."""
        self._ends.append(self._ends[-1] + self._file.write(text.encode("utf-8", "surrogatepass")))
        self._waiting.append(text)
        self._characters += len(text)
        if self._characters >= WAITING:
            self._shorten()

    def groups(self, threshold: float) -> NDArray[np.int64]:
        """For each of n texts the first of its group, int64 (n,): what it resembles, what that resembles …

        Texts resemble each other by a true Jaccard of at least `threshold`; empty ones resemble nothing. A pair right
        at the threshold is missed one time in ten to twenty, one 0.1 above it hardly ever.
        """
        self._shorten()
        (signs,) = self._blocks = [np.concatenate(self._blocks)]
        keys = keys_of(signs.view(np.uint64))
        empty = keys == keys_of(signatures([""], PLACES).astype(np.uint8).view(np.uint64))
        own = np.arange(len(signs))
        groups = np.where(empty, own, first_of_equals(keys))
        numbers = own[(groups == own) & ~empty]
        total, height = bands(threshold, PLACES)
        for band in range(total):
            keys = keys_of(signs[numbers, band * height : (band + 1) * height])
            groups = self._joined_in_buckets(groups, numbers, keys, threshold)
        return groups

    def _shorten(self) -> None:
        self._blocks.append(signatures(self._waiting, PLACES).astype(np.uint8))
        self._waiting, self._characters = [], 0

    def _joined_in_buckets(
        self, groups: NDArray[np.int64], numbers: NDArray[np.int64], keys: NDArray[np.uint64], threshold: float
    ) -> NDArray[np.int64]:
        """The groups after all `numbers` of one key have been compared that were not together already."""
        order = np.argsort(keys, kind="stable")
        numbers, keys = numbers[order], keys[order]
        for step in count(1):  # each with the one that stands so many places on
            several = _more_than_one(groups[numbers], keys)  # a bucket that is one group is done, however large it is
            numbers, keys = numbers[several], keys[several]
            mates = np.flatnonzero(keys[step:] == keys[:-step])
            if not len(mates):
                break
            ones, others = numbers[mates], numbers[mates + step]
            apart = groups[ones] != groups[others]
            ones, others = ones[apart], others[apart]
            alike = self._alike(ones, others, threshold)
            groups = joined(groups, ones[alike], others[alike])
        return groups

    def _alike(self, ones: NDArray[np.int64], others: NDArray[np.int64], threshold: float) -> NDArray[np.bool_]:
        """Which pairs are: first by what the sketches promise, then by the shingles themselves."""
        (signs,) = self._blocks
        least = threshold - 1.0 / np.sqrt(PLACES)  # two standard errors
        alike = np.empty(len(ones), np.bool_)
        for start in range(0, len(ones), PAIRS):
            part = slice(start, start + PAIRS)
            alike[part] = (signs[ones[part]] == signs[others[part]]).mean(axis=1) >= least
        for pair in np.flatnonzero(alike).tolist():
            alike[pair] = jaccard(self._text(ones[pair]), self._text(others[pair])) >= threshold
        return alike

    def _text(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        self._file.seek(start)
        return self._file.read(end - start).decode("utf-8", "surrogatepass")


def _more_than_one(groups: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """For each of the sorted keys: does it stand at more than one group?"""
    if not len(keys):
        return np.empty(0, np.bool_)
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    several = np.maximum.reduceat(groups, starts) != np.minimum.reduceat(groups, starts)
    return np.repeat(several, np.diff(np.append(starts, len(keys))))


def joined(groups: NDArray[np.int64], ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups, each named by its lowest number (`groups[n]` is n's), after ones[i] and others[i] came together.

    >>> joined(np.arange(5), np.array([4, 1]), np.array([1, 3])).tolist()
    [0, 1, 2, 1, 1]
    """
    groups = groups.copy()
    while len(ones):
        left, right = groups[ones], groups[others]
        np.minimum.at(groups, np.maximum(left, right), np.minimum(left, right))
        while (groups[groups] != groups).any():
            groups = groups[groups]
        apart = groups[ones] != groups[others]
        ones, others = ones[apart], others[apart]
    return groups


def first_of_equals(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each key the first place where it stands."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    return np.asarray(first[which], np.int64)
