"""Which texts repeat a reference: the same words, nearly the same letters, a few words changed, a passage copied.

    known = References(["how long is the river Nile"], Closeness())
    (found,) = known.find(["How long was the river Nile?"])
    found.number, found.how  ->  0, "1 of 6 words differs"

Four looks at each text, from the surest on, each with an index of its own; never are all pairs compared:

- the same words in any case, with any punctuation;
- nearly the same letters: MinHash in bands, then the true Jaccard (`resemblance.py`);
- a few words changed in a short text (`rewordings.py`);
- a passage in common: 13 words in a row (the n-grams of arXiv 2005.14165), or a good share of all (`passages.py`).

A fifth one asks an embedder, for texts that say the same in other words (`Meanings`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synth.passages import Match, Passages, Text
from synth.resemblance import bands, jaccard, keys_of, signatures
from synth.rewordings import LEAST_WORDS, Buckets, Rewordings, distinct

if TYPE_CHECKING:
    from synth.embedder import Embedder

__all__ = ["Closeness", "Match", "Meanings", "References"]

PLACES = 128
"""Length of a MinHash signature."""
PAIRS = 1 << 16
"""Signatures that are compared at once."""
AT_ONCE = 1 << 13
"""References whose vectors are compared at once."""
LEAST_MEAN = 50
"""So many references must there be for their mean to say what they have in common."""


@dataclass(frozen=True, slots=True)
class Closeness:
    """How close is too close.

    `threshold` is a Jaccard of letters; `edits` the most words that may be changed in a short text, 0 for none; `run`
    the least words copied in a row; `share` the least part of a text's runs of eight words that stand elsewhere.
    """

    threshold: float = 0.8
    edits: int = 4
    run: int = 13
    share: float = 0.2


class References:
    """An index of texts that others may not repeat, numbered in the order they are given; of equal ones the first.

    `around` are the texts that will be asked about: which words are rare is learnt from them too (`rewordings.py`).
    """

    def __init__(self, texts: Sequence[str], close: Closeness, around: Iterable[str] = ()) -> None:
        read = list(map(Text.of, texts))
        self._first: dict[str, int] = {}
        for number, each in enumerate(read):
            if each.text:
                self._first.setdefault(each.text, number)
        kept = [read[number] for number in self._first.values()]
        del read
        self._numbers = list(self._first.values())
        self._near = _Near([each.text for each in kept], close.threshold)
        self._rewordings = Rewordings(kept, close.edits, around)
        self._passages = Passages(kept, close.run, close.share)

    def __len__(self) -> int:
        """The number of different references."""
        return len(self._first)

    def find(self, texts: Sequence[str], *, few_words: bool = True) -> list[Match | None]:
        """For each text the reference that it repeats, or None; without `few_words`, changed words are not looked for.

        Several hundred texts at once go quicker than one by one.
        """
        read = list(map(Text.of, texts))
        found = [self._equal(each) for each in read]
        looks = (self._near, self._passages, *((self._rewordings,) if few_words else ()))
        for look in looks if self._first else ():
            left = [place for place, match in enumerate(found) if match is None and read[place].text]
            for place, match in look.find([read[place] for place in left]):
                found[left[place]] = Match(self._numbers[match.number], match.how)
        return found

    def _equal(self, each: Text) -> Match | None:
        number = self._first.get(each.text)
        return None if number is None else Match(number, "the same words")


class _Near:
    """Texts of nearly the same letters."""

    def __init__(self, texts: list[str], threshold: float) -> None:
        self._texts, self._threshold = texts, threshold
        signs = signatures(texts, PLACES)
        self._bytes = signs.astype(np.uint8)
        self._count, self._height = bands(threshold, PLACES)
        self._bands = [Buckets(keys) for keys in self._keys(signs)]

    def find(self, texts: Sequence[Text]) -> Iterator[tuple[int, Match]]:
        """The place of each text that matches, with its match."""
        best: dict[int, tuple[float, int]] = {}
        for one, other in self._hopeful([each.text for each in texts]):
            share = jaccard(texts[one].text, self._texts[other])
            if share >= self._threshold and share > best.get(one, (0.0, 0))[0]:
                best[one] = share, other
        for one, (share, other) in best.items():
            yield one, Match(other, f"{share:.2f} of the letters (Jaccard)")

    def _hopeful(self, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Pairs in a bucket together whose signatures promise enough: the place of a text, a reference."""
        signs = signatures(texts, PLACES)
        pairs = [bucket.pairs(keys) for bucket, keys in zip(self._bands, self._keys(signs), strict=True)]
        ours, theirs = distinct(np.concatenate(pairs, axis=1))
        for start in range(0, len(ours), PAIRS):
            one, other = ours[start : start + PAIRS], theirs[start : start + PAIRS]
            promise = (signs[one].astype(np.uint8) == self._bytes[other]).mean(axis=1)
            hopeful = promise >= self._threshold - 2.0 / np.sqrt(PLACES)
            yield from zip(one[hopeful].tolist(), other[hopeful].tolist(), strict=True)

    def _keys(self, signs: NDArray[np.uint32]) -> Iterator[NDArray[np.uint64]]:
        for band in range(self._count):
            yield keys_of(signs[:, band * self._height : (band + 1) * self._height])


class Meanings:
    """References as an embedder sees them: a text whose cosine with one is `least` or more says the same.

    From all vectors the mean of the references is taken off first (Mu & Viswanath, arXiv 1702.01417), unless those are
    few: many embedders give any two texts a high cosine, and so do questions on one subject. Texts and references of
    fewer than four words are left out: single words are near each other for less.
    """

    def __init__(self, texts: Sequence[str], embedder: "Embedder", least: float) -> None:
        self._embedder, self._least = embedder, least
        self._numbers = [number for number, text in enumerate(texts) if says_enough(text)]
        vectors = embedder.encode([texts[number] for number in self._numbers], kind="query")
        many = len(vectors) >= LEAST_MEAN
        self._mean = vectors.mean(axis=0) if many else np.zeros(embedder.dim, np.float32)
        self._vectors = self._without_mean(vectors)

    def find(self, texts: Sequence[str]) -> list[Match | None]:
        """For each text the reference that is nearest to it in meaning, or None where none is near enough."""
        found: list[Match | None] = [None] * len(texts)
        asked = [place for place, text in enumerate(texts) if says_enough(text)]
        if not self._numbers or not asked:
            return found
        vectors = self._embedder.encode([texts[place] for place in asked], kind="query")
        cosines, nearest = self._nearest(self._without_mean(vectors))
        for place, cosine, number in zip(asked, cosines.tolist(), nearest.tolist(), strict=True):
            if round(cosine, 5) >= self._least:
                found[place] = Match(self._numbers[number], f"cosine {cosine:.3f}")
        return found

    def _without_mean(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        vectors = vectors - self._mean
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return np.asarray(vectors / lengths, np.float32)

    def _nearest(self, vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The highest cosine of each vector with a reference, and with which."""
        best = np.full(len(vectors), -np.inf, np.float32)
        nearest = np.zeros(len(vectors), np.int64)
        for start in range(0, len(self._vectors), AT_ONCE):
            cosines = vectors @ self._vectors[start : start + AT_ONCE].T
            here = cosines.argmax(axis=1)
            values = cosines[np.arange(len(vectors)), here]
            nearest = np.where(values > best, here + start, nearest)
            best = np.maximum(best, values)
        return best, nearest


def says_enough(text: str) -> bool:
    """True for a text of four words or more.

    >>> says_enough("vitamin D"), says_enough("is vitamin D healthy"), says_enough("维生素健康吗")
    (False, True, False)
    """
    return Text.of(text).word_count >= LEAST_WORDS
