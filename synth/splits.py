"""Which rows are set aside for validation: whole groups, never single rows.

Rows are one group if their positives share a parent document, or if their queries or positives are near-duplicates.
Where a group goes is drawn from its own rows and the seed alone: rows in any order give the same split, and one more
row moves no other group. In memory stay the id of each row and about 400 bytes; texts wait in a temporary file.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synth.sketches import Sketches, first_of_equals, joined
from synth.types import Example

SHARE = 0.05
LEAST_GROUPS = 20
"""With fewer groups nothing is set aside: a split of one or two documents would say nothing."""

ALIKE = 0.7
"""The Jaccard similarity from which two texts count as near-duplicates."""

EVALUATION = "evaluation"
"""The tag of rows that are there to measure with: nothing is trained on them."""


def validation_ids(
    rows: Iterable[Example], seed: int = 0, share: float = SHARE, folder: Path | None = None
) -> frozenset[str]:
    """The ids of the rows to validate on: about `share` of them, at least one group where there are 20, else none.

    A group that is larger than the whole share stays in training. `folder` is where texts may lie meanwhile, the
    system's own place for temporary files unless it is given.
    """
    with Sketches(folder) as queries, Sketches(folder) as positives:
        ids, groups = _grouped(rows, queries, positives)
    chosen = _chosen(groups, _draws(ids, groups, seed), share)
    return frozenset(ids[place] for place in np.flatnonzero(chosen[groups]).tolist())


def to_learn(rows: Iterable[Example]) -> Iterator[Example]:
    """The rows to train and to validate on: those with a query, but for those that are there to measure with."""
    return (row for row in rows if row.query and EVALUATION not in row.tags)


def _chosen(groups: NDArray[np.int64], draws: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    """Which numbers are those of groups to validate on: draws below `share`; if that is none, the lowest draw."""
    sizes = np.bincount(groups, minlength=len(groups))
    there = sizes > 0
    if there.sum() < LEAST_GROUPS:
        return np.zeros(len(groups), np.bool_)
    most = max(share * len(groups), sizes[there].min())
    fitting = there & (sizes <= most)
    chosen: NDArray[np.bool_] = fitting & (draws < share)
    if not chosen.any():
        chosen[np.where(fitting, draws, np.inf).argmin()] = True
    return chosen


def _draws(ids: list[str], groups: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """At the number of each group its draw, 0 to 1, which depends on nothing but its lowest id and the seed."""
    draws = np.full(len(ids), np.inf)
    for place in sorted(range(len(ids)), key=ids.__getitem__):
        if draws[groups[place]] == np.inf:
            draws[groups[place]] = _hash(f"{seed}\0{ids[place]}") / 2**64
    return draws


def _hash(text: str) -> int:
    """64 bits that depend on nothing but the text."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _grouped(rows: Iterable[Example], queries: Sketches, positives: Sketches) -> tuple[list[str], NDArray[np.int64]]:
    """The id of each row and the number of its group, which is the place of the group's first row."""
    ids: list[str] = []
    families, members, holders = array("Q"), array("q"), array("q")
    for place, row in enumerate(rows):
        ids.append(row.id)
        queries.add(row.query)
        for document in row.positives:
            positives.add(document.text)
            holders.append(place)
            if document.family:
                families.append(_hash(document.family))
                members.append(place)
    groups = queries.groups(ALIKE)
    groups = _together(groups, positives.groups(ALIKE), np.array(holders, np.int64))
    groups = _together(groups, first_of_equals(np.array(families, np.uint64)), np.array(members, np.int64))
    return ids, groups


def _together(groups: NDArray[np.int64], firsts: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The groups of rows after joining those of like things: thing i is of row places[i] and like thing firsts[i]."""
    return joined(groups, places[firsts], places)
