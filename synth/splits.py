"""Which rows are set aside for validation: whole groups, never single rows.

Rows are one group if their positives share a parent document, or if their queries or positives are near-duplicates.
Where a group goes is drawn from its own rows and the seed alone: rows in any order give the same split, and one more
row moves no other group.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from synth.resemblance import near_duplicates
from synth.types import Example

SHARE = 0.05
LEAST_GROUPS = 20
"""With fewer groups nothing is set aside: a split of one or two documents would say nothing."""

ALIKE = 0.7
"""The Jaccard similarity from which two texts count as near-duplicates."""


def validation_ids(rows: Iterable[Example], seed: int = 0, share: float = SHARE) -> frozenset[str]:
    """The ids of the rows to validate on: about `share` of them, at least one group where there are 20, else none.

    A group that is larger than the whole share stays in training.
    """
    ids, groups = _grouped(rows)
    smallest: dict[int, str] = {}
    for row_id, group in zip(ids, groups, strict=True):
        smallest[group] = min(row_id, smallest.get(group, row_id))
    chosen = _chosen(smallest, Counter(groups), seed, share)
    return frozenset(row_id for row_id, group in zip(ids, groups, strict=True) if group in chosen)


def _chosen(smallest: dict[int, str], sizes: Counter[int], seed: int, share: float) -> set[int]:
    """The groups whose draw is below `share`; if that is none, the one with the lowest draw."""
    if len(smallest) < LEAST_GROUPS:
        return set()
    draw = {group: _draw(key, seed) for group, key in smallest.items()}
    most = max(share * sizes.total(), min(sizes.values()))
    fitting = [group for group in draw if sizes[group] <= most]
    return {group for group in fitting if draw[group] < share} or {min(fitting, key=lambda group: draw[group])}


def _draw(key: str, seed: int) -> float:
    """A number from 0 to 1 that depends on nothing but the key and the seed."""
    digest = hashlib.blake2b(f"{seed}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _grouped(rows: Iterable[Example]) -> tuple[list[str], list[int]]:
    """The id of each row and the number of its group."""
    read = _read(rows)
    joined = _Joined(len(read.ids))
    for one, other in (*read.pairs, *_near(read.queries, read.ids)):
        joined.join(one, other)
    for one, other in _near(read.positives, [read.ids[place] for place in read.places]):
        joined.join(read.places[one], read.places[other])
    return read.ids, [joined.root(place) for place in range(len(read.ids))]


@dataclass(slots=True)
class _Read:
    """What the groups are made of: `places[i]` is the row that `positives[i]` stands in; `pairs` share a parent."""

    ids: list[str]
    queries: list[str]
    positives: list[str]
    places: list[int]
    pairs: list[tuple[int, int]]


def _read(rows: Iterable[Example]) -> _Read:
    read = _Read([], [], [], [], [])
    families: dict[str, int] = {}
    for place, row in enumerate(rows):
        read.ids.append(row.id)
        read.queries.append(row.query)
        for document in row.positives:
            read.positives.append(document.text)
            read.places.append(place)
            if document.family:
                read.pairs.append((families.setdefault(document.family, place), place))
    return read


def _near(texts: Sequence[str], ids: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of texts that are near-duplicates; looked for in the order of `ids`, so that any order gives the same."""
    order = sorted(range(len(texts)), key=lambda number: (ids[number], texts[number]))
    first: dict[str, int] = {}
    for number in order:
        same = first.setdefault(texts[number], number)
        if same != number and texts[number].strip():
            yield same, number
    order = list(first.values())
    found = near_duplicates([texts[number] for number in order], ALIKE, chained=True)
    for one in np.flatnonzero(found.of >= 0).tolist():
        yield order[found.of[one]], order[one]


class _Joined:
    """Places that belong together (union-find)."""

    def __init__(self, places: int) -> None:
        self._up = list(range(places))

    def root(self, place: int) -> int:
        """The lowest place that belongs with it."""
        while self._up[place] != place:
            self._up[place] = place = self._up[self._up[place]]
        return place

    def join(self, one: int, other: int) -> None:
        """Put two places together, with all that belongs to either."""
        low, high = sorted((self.root(one), self.root(other)))
        self._up[high] = low
