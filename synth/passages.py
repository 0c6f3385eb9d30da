"""Texts that hold a passage of a reference, or are held by one, however long either is.

    known = Passages([Text.of("The Nile rises in July and floods the fields along both its banks until October …")])
    known.find([Text.of("As is known, the Nile rises in July and floods the fields along both its banks. …")])

A text is its words' hashes. Every run of eight words of the references stands in one sorted array; those of a text are
looked up there. Where a script puts no spaces between words, a word is taken to be two characters of Chinese and
Japanese, or three of Thai, Lao, Khmer, Burmese and Tibetan with their marks.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from synth.resemblance import folded
from synth.sentences import words

GRAM = 8
"""Words of the runs that are looked up."""
LEAST_RUNS = 13
"""So many runs of a text must be found before their share says anything."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_BY_TWO = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_BY_THREE = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")


@dataclass(frozen=True, slots=True)
class Text:
    """A text as it is compared: folded; the hashes of its words, uint64 (n,), good for this process; words to a word.

    `scale` is 1, or the number of characters that make a word of the script that most of the text is in.
    """

    text: str
    hashes: NDArray[np.uint64]
    scale: int

    @classmethod
    def of(cls, text: str) -> "Text":
        """A text taken apart.

        >>> [(each.scale, len(each.hashes)) for each in map(Text.of, ("To be, or not", "今天天气很好"))]
        [(1, 4), (2, 6)]
        """
        plain = folded(text)
        if not plain.isascii():
            plain = plain.replace("\u0131", "i").replace("i\u0307", "i")  # Turkish: capitals tell them apart otherwise
        parts = plain.split() if plain.isascii() else words(plain)
        hashes = np.fromiter(map(hash, parts), np.int64, len(parts)).view(np.uint64)
        return cls(plain, hashes, 1 if plain.isascii() else _scale(plain, len(parts)))

    @property
    def word_count(self) -> float:
        """How many words it has, about."""
        return len(self.hashes) / self.scale


def _scale(text: str, count: int) -> int:
    """Characters to a word where most of a text is in a script without spaces, else 1."""
    for scale, script in ((2, _BY_TWO), (3, _BY_THREE)):
        if script.search(text) and len(script.findall(text)) > count / 2:
            return scale
    return 1


@dataclass(frozen=True, slots=True)
class Match:
    """The number of the reference that a text repeats, and how, in words."""

    number: int
    how: str


class Passages:
    """An index of the runs of words of references.

    A text matches that shares `run` words in a row with them, or a `share` of its runs; that lies in one of them as a
    whole; or that holds one of them as a whole, or that share of it. Texts of fewer than eight words match nothing.
    """

    def __init__(self, texts: Iterable[Text], run: int = 13, share: float = 0.2) -> None:
        self._run, self._share = run, share
        runs = [_runs(each) for each in texts]
        self._sizes = [len(each) for each in runs]
        owners = np.repeat(np.arange(len(runs), dtype=np.int32), self._sizes)
        joined = np.concatenate([*runs, np.empty(0, np.uint64)])
        del runs
        order = np.argsort(joined, kind="stable")
        joined, owners = joined[order], owners[order]
        is_first = np.append(True, joined[1:] != joined[:-1])[: len(joined)]
        self._runs, self._owners = joined[is_first], owners[is_first]

    def find(self, texts: Sequence[Text]) -> Iterator[tuple[int, Match]]:
        """The place of each text that matches, with its match."""
        runs = [_runs(each) for each in texts]
        owners = self._looked_up(np.concatenate([*runs, np.empty(0, np.uint64)]))
        ends = np.cumsum([len(each) for each in runs], dtype=np.int64)
        for place in np.unique(np.searchsorted(ends, np.flatnonzero(owners >= 0), "right")).tolist():
            match = self._judged(owners[ends[place] - len(runs[place]) : ends[place]], texts[place].scale)
            if match is not None:
                yield place, match

    def _looked_up(self, runs: NDArray[np.uint64]) -> NDArray[np.int32]:
        """The first reference that holds each run, -1 for none."""
        owners = np.full(len(runs), -1, np.int32)
        order = np.argsort(runs)  # sorted, they are found several times as fast
        at, known = places(self._runs, runs[order])
        owners[order[known]] = self._owners[at[known]]
        return owners

    def _judged(self, owners: NDArray[np.int32], scale: int) -> Match | None:
        """What a text is told to repeat by the owners of its runs, in their order."""
        start, length = _longest(owners >= 0)
        in_a_row = length // scale + GRAM - 1
        if in_a_row >= self._run or length == len(owners):
            return Match(_most_frequent(owners[start : start + length]), f"{in_a_row} words in a row")
        hits = owners[owners >= 0]
        share = len(hits) / len(owners)
        if len(hits) >= LEAST_RUNS * scale and share >= self._share:
            return Match(_most_frequent(hits), f"{share:.0%} of its runs of {GRAM} words")
        return self._held(hits, scale)

    def _held(self, hits: NDArray[np.int32], scale: int) -> Match | None:
        """A reference of which the text holds all, or a good share."""
        numbers, counts = np.unique(hits, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            share = count / self._sizes[number]
            if share >= 1 or (count >= LEAST_RUNS * scale and share >= self._share):
                return Match(number, f"it holds {min(1, share):.0%} of the runs of {GRAM} words")
        return None


def places(known: NDArray[Any], wanted: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each wanted one stands among the sorted `known`, and whether it does; both (n,)."""
    if not len(known):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return at, known[at] == wanted


def _runs(each: Text) -> NDArray[np.uint64]:
    """The hash of every run of eight words, uint64, in their order."""
    length = GRAM * each.scale
    count = max(0, len(each.hashes) - length + 1)
    runs = np.full(count, each.scale, np.uint64)
    for place in range(length if count else 0):
        runs = runs * _MULTIPLIER + each.hashes[place : place + count]
    return runs


def _longest(hit: NDArray[np.bool_]) -> tuple[int, int]:
    """Where the longest run of True begins, and its length."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], hit.view(np.int8), [0]))))
    starts, ends = edges[::2], edges[1::2]
    best = int(np.argmax(ends - starts))
    return int(starts[best]), int(ends[best] - starts[best])


def _most_frequent(owners: NDArray[np.int32]) -> int:
    """The owner of most; of equals the smallest number."""
    return int(np.bincount(owners).argmax())
