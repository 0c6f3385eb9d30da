"""Short texts that say the same words as a reference but for a few: "how long is the Nile" and "how long was the Nile".

What two texts have in common must tell more than what they have not, by how rare the words are in other texts, and be
no frame that other texts fill in too: "what does radar mean" is no copy of "what does ciao mean". A text that has all
words of the reference and a few more need only be no frame.

Candidates are those that share two words among the rarest of each: of two texts that differ in k words at most, the
k + 2 rarest words of each have two in common (prefix filtering; Chaudhuri et al., doi 10.1109/ICDE.2006.9).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from synth.passages import Match, Text, places

WORDS_AN_EDIT = 3
"""One word may differ for every so many of the reference."""
LEAST_WORDS = 4
"""A reference of fewer is repeated by nothing but its letters."""
MOST_WORDS = 40
"""Texts of more are not compared word by word: their letters and passages tell."""
LEAST_TOLD = 0.65
"""The share of what a text tells that its words in common with the other must carry."""
TELLS_ENOUGH = 18.0
"""Nats. Words in common that tell so much are no mere frame."""
MOST_IN_BUCKET = 200
"""References with one key that are compared; more share no more than a frame."""
_NONE = np.empty(0, np.uint64)


class Buckets:
    """Which numbers have a key, uint64 (n,): their places unless `numbers` are given."""

    def __init__(self, keys: NDArray[np.uint64], numbers: NDArray[np.int64] | None = None) -> None:
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._numbers = (order if numbers is None else numbers[order]).astype(np.int32)

    def pairs(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Every place in `keys` with the numbers that have its key, at most `MOST_IN_BUCKET` each, int64 (2, m)."""
        left = np.searchsorted(self._keys, keys, "left")
        counts = np.minimum(np.searchsorted(self._keys, keys, "right") - left, MOST_IN_BUCKET)
        of = np.repeat(np.arange(len(keys)), counts)
        offsets = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.stack([of, self._numbers[left[of] + offsets].astype(np.int64)])


def distinct(pairs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The columns of (2, m), each once, in order."""
    packed = np.unique((pairs[0] << 32) | pairs[1])
    return packed >> 32, packed & 0xFFFFFFFF


class Rewordings:
    """An index of the short ones among references, of which up to `edits` words may be changed.

    `around` are the texts that are going to be asked about, with which the references say how rare words are.
    """

    def __init__(self, texts: Sequence[Text], edits: int, around: Iterable[str] = ()) -> None:
        self._edits = edits
        self._short = {number: each for number, each in enumerate(texts) if edits and _is_short(each)}
        known = {each.text for each in self._short.values()}
        others = {each.text: each.hashes for each in map(Text.of, around if self._short else ())}
        self._around = int(bool(others))
        said = [hashes for text, hashes in others.items() if text not in known]
        self._words = Words([*(each.hashes for each in self._short.values()), *said])
        keys = [self._keys(each) for each in self._short.values()]
        numbers = np.repeat(np.array(list(self._short), np.int64), [len(each) for each in keys])
        self._buckets = Buckets(np.concatenate([*keys, _NONE]), numbers)

    def find(self, texts: Sequence[Text]) -> Iterator[tuple[int, Match]]:
        """The place of each text that matches, with its match."""
        keys = [self._keys(each) if self._short and _is_short(each) else _NONE for each in texts]
        of = np.repeat(np.arange(len(texts)), [len(each) for each in keys])
        pairs = self._buckets.pairs(np.concatenate([*keys, _NONE]))
        best: dict[int, tuple[int, int]] = {}
        for one, other in zip(*map(np.ndarray.tolist, distinct(np.stack([of[pairs[0]], pairs[1]]))), strict=True):
            changed = self._changed(texts[one], self._short[other])
            if changed is not None and changed < best.get(one, (len(texts[one].hashes), 0))[0]:
                best[one] = changed, other
        for one, (changed, other) in best.items():
            count = len(self._short[other].hashes)
            yield one, Match(other, f"{changed} of {count} words {'differs' if changed == 1 else 'differ'}")

    def _keys(self, each: Text) -> NDArray[np.uint64]:
        """A key for each two of a text's rarest words."""
        known = np.unique(each.hashes)
        rarest = known[np.lexsort((known, self._words.counts(known)))][: self._edits * each.scale + 2]
        return np.array([_paired(min(a, b), max(a, b)) for a, b in combinations(rarest.tolist(), 2)], np.uint64)

    def _changed(self, text: Text, reference: Text) -> int | None:
        """How many words are changed; None where those are too many, or tell too much beside the ones in common."""
        count = len(reference.hashes)
        most = min(self._edits * reference.scale, count // WORDS_AN_EDIT if count >= LEAST_WORDS else 0)
        if abs(len(text.hashes) - count) > most:
            return None
        ours, theirs = Counter(text.hashes.tolist()), Counter(reference.hashes.tolist())
        common = ours & theirs
        changed = max(len(text.hashes), count) - common.total()
        return changed if common and changed <= most and self._is_copy(ours, theirs, common) else None

    def _is_copy(self, ours: Counter[int], theirs: Counter[int], common: Counter[int]) -> bool:
        """True where the words in common tell more than the others, and are no frame."""
        told = self._told(common, 1 + self._around)
        if missing := theirs - common:
            others = max(self._told(ours - common, self._around), self._told(missing, 1))
            if told < LEAST_TOLD * (told + others):
                return False
        both = 2 + self._around  # the text, the reference, and one more
        return told >= TELLS_ENOUGH or self._words.holders(_array(common), both + 1) <= both

    def _told(self, counted: Counter[int], own: int) -> float:
        """What words tell, in nats, by the texts other than the `own` ones that they stand in."""
        others = np.maximum(self._words.counts(_array(counted)) - own, 0)
        rarity = np.log((len(self._words) + 1) / (others + 1))
        return float(rarity @ np.fromiter(counted.values(), np.float64, len(counted)))


def _is_short(each: Text) -> bool:
    return LEAST_WORDS - 1 <= len(each.hashes) <= MOST_WORDS * each.scale


def _array(counted: Counter[int]) -> NDArray[np.uint64]:
    return np.fromiter(counted, np.uint64, len(counted))


def _paired(one: int, other: int) -> int:
    return (one * 0x9E3779B97F4A7C15 + (other ^ (one >> 29))) & 0xFFFFFFFFFFFFFFFF


class Words:
    """Which texts hold a word: each text given as the hashes of its words, uint64 (n,)."""

    def __init__(self, texts: Sequence[NDArray[np.uint64]]) -> None:
        said = [np.unique(each) for each in texts]
        holders = np.repeat(np.arange(len(said), dtype=np.int32), [len(each) for each in said])
        hashes = np.concatenate([*said, _NONE])
        order = np.argsort(hashes, kind="stable")
        self._holders = holders[order]
        self._known, self._starts = np.unique(hashes[order], return_index=True)
        self._ends = np.append(self._starts[1:], len(hashes))
        self._total = len(said)

    def __len__(self) -> int:
        """The number of texts."""
        return self._total

    def counts(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """In how many texts each word stands, int64 (n,)."""
        at, known = places(self._known, hashes)
        counts = np.zeros(len(hashes), np.int64)
        counts[known] = self._ends[at[known]] - self._starts[at[known]]
        return counts

    def holders(self, hashes: NDArray[np.uint64], enough: int) -> int:
        """How many texts hold all of one or more words; not looked at further once it is less than `enough`."""
        at, known = places(self._known, hashes)
        if not known.all():
            return 0
        rarest, *others = at[np.argsort(self._ends[at] - self._starts[at], kind="stable")].tolist()
        left = self._holders[self._starts[rarest] : self._ends[rarest]]
        for place in others:
            if len(left) < enough:
                break
            left = left[places(self._holders[self._starts[place] : self._ends[place]], left)[1]]
        return len(left)
