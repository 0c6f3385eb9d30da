"""How alike texts are by their letters: one form for equal texts, shingles, Jaccard, and near-duplicates among many.

    folded("When does  the NILE flood?!")  ->  "when does the nile flood"
    near_duplicates(["the nile floods in july", "a barge", "The Nile floods in June"], 0.6).of  ->  [-1, -1, 0]

Shingles are runs of four characters of the folded text with a space at both ends, so they need no words and hold for
a query of one word; a Chinese character, a kana and a Korean syllable count as two. Candidates come from MinHash
signatures cut into bands (Broder 1997; Leskovec, Rajaraman & Ullman, ch. 3) with datasketch's permutations and its
choice of bands; each is then verified on the shingles themselves.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

SHINGLE = 4
WINDOWS = 1 << 16
_MULTIPLIER = np.uint32(0x9E3779B1)
_HIDDEN = regex.compile(r"\p{Cf}+")
_BETWEEN = regex.compile(r"[\s\p{Z}\p{Cc}[\p{P}--[#@%&*/\\_]]]+", regex.V1)
_ASCII_BETWEEN = {code: " " for code in range(128) if _BETWEEN.match(chr(code))}
"""The same for `str.translate`, which is ten times as quick where it will do."""
_DENSE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]")
_SPACE = regex.compile(r"[\s\p{Z}\p{Cc}]+")


def folded(text: str) -> str:
    """A text as it counts for equality: NFKC, case folded, spaces and punctuation one space, nothing at the ends.

    Marks that combine with a letter stay, and so do signs that tell words apart (C++, C#, 5 %); a text of nothing but
    punctuation keeps it.

    >>> folded("  Ｗhat’s “C++”?"), folded("¿?"), folded("หน้าที่, ๑")
    ('what s c++', '¿?', 'หน้าที่ ๑')
    """
    if text.isascii():
        plain = text.lower()
        spaced = " ".join(plain.translate(_ASCII_BETWEEN).split())
    else:
        plain = _HIDDEN.sub("", unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()))
        spaced = _BETWEEN.sub(" ", plain).strip()
    return str(spaced or _SPACE.sub(" ", plain).strip())


def jaccard(left: str, right: str) -> float:
    """The share of their shingles that two texts have in common, 0 to 1.

    >>> jaccard("The Nile floods.", "the nile floods"), jaccard("the nile", "a barge")
    (1.0, 0.0)
    """
    ours, theirs = shingles(left), shingles(right)
    shared = len(np.intersect1d(ours, theirs, assume_unique=True))
    return shared / (len(ours) + len(theirs) - shared)


@lru_cache(maxsize=1000)
def shingles(text: str) -> NDArray[np.uint32]:
    """The hashes of a text's shingles, each once, sorted; never none."""
    hashes = np.sort(_hashes(_padded(text)))
    is_new = np.ones(len(hashes), np.bool_)  # np.unique does the same in eight times the time
    np.not_equal(hashes[1:], hashes[:-1], out=is_new[1:])
    return hashes[is_new]


def _padded(text: str) -> str:
    plain = folded(text)
    if not plain.isascii():
        plain = _DENSE.sub(r"\g<0> ", plain)
    return f" {plain} ".ljust(SHINGLE)


def _hashes(padded: str) -> NDArray[np.uint32]:
    """The hash of every run of SHINGLE characters, in their order."""
    points = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), np.uint32)
    runs = len(points) - SHINGLE + 1
    hashes = np.zeros(runs, np.uint32)
    for place in range(SHINGLE):
        hashes = hashes * _MULTIPLIER + points[place : place + runs]
    return hashes


def _mixed(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """MurmurHash3's last step, as datasketch does before it permutes."""
    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))


def signatures(texts: Sequence[str], num_perm: int = 128) -> NDArray[np.uint32]:
    """MinHash signatures, uint32 (n, num_perm), the ones datasketch's MinHash gives for the same shingles."""
    signs = np.empty((len(texts), num_perm), np.uint32)
    factors, terms = _permutations(num_perm)
    for start, padded in _blocks(texts):
        lengths = np.fromiter(map(len, padded), np.int64, len(padded))
        starts = np.cumsum(lengths) - lengths
        mixed = _mixed(_hashes("".join(padded)))
        edges = np.stack([starts, starts + lengths - SHINGLE + 1], axis=1).ravel()[:-1]
        for column in range(num_perm):
            permuted = mixed * factors[column] + terms[column]
            signs[start : start + len(padded), column] = np.minimum.reduceat(permuted, edges)[::2]
    return signs


def _permutations(num_perm: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """What datasketch's MinHash multiplies with and adds, uint32 (num_perm,) each; drawn here as there.

    Importing datasketch brings scipy, which costs more than the signatures of a thousand texts.
    """
    dice = np.random.RandomState(1)  # its stream is frozen: NumPy's policy (NEP 19)
    factors = dice.randint(0, 1 << 31, num_perm, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, dice.randint(0, 1 << 32, num_perm, dtype=np.uint32)


def _blocks(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Padded texts in runs of about WINDOWS characters, which fit a processor's cache, each with its first number."""
    start, size, padded = 0, 0, list[str]()
    for text in texts:
        padded.append(_padded(text))
        size += len(padded[-1])
        if size >= WINDOWS:
            yield start, padded
            start, size, padded = start + len(padded), 0, []
    if padded:
        yield start, padded


KNOWN_BANDS = {(0.7, 128): (21, 6), (0.8, 128): (16, 8)}
"""What `bands` gives for the splits and for `near_dedup` as it comes, so that those need not import datasketch."""


@cache
def bands(threshold: float, num_perm: int) -> tuple[int, int]:
    """How many bands of how many rows, by datasketch, with a miss 19 times as bad as a candidate to verify."""
    if (threshold, num_perm) in KNOWN_BANDS:
        return KNOWN_BANDS[threshold, num_perm]
    from datasketch import MinHashLSH  # it brings scipy

    index = MinHashLSH(threshold=min(threshold, 0.95), num_perm=num_perm, weights=(0.05, 0.95))
    return index.b, index.r


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """For each of n texts: `of`, int64 (n,), the earlier text it resembles or -1; `share`, float32 (n,), how much."""

    of: NDArray[np.int64]
    share: NDArray[np.float32]


def near_duplicates(texts: Sequence[str], threshold: float, num_perm: int = 128) -> NearDuplicates:
    """Which texts resemble an earlier one that itself resembles none, by a true Jaccard of at least `threshold`.

    Of several it names the one whose signature is nearest. Empty texts resemble nothing. A pair right at the threshold
    is missed one time in ten to twenty, one 0.05 above it one time in a hundred.
    """
    found = NearDuplicates(np.full(len(texts), -1, np.int64), np.zeros(len(texts), np.float32))
    signs = signatures(texts, num_perm)
    judge = _Judge(texts, signs, threshold)
    kept: dict[int, list[int]] = {}
    for number, buckets in _crowded(signs, *bands(threshold, num_perm)):
        near = sorted({earlier for bucket in buckets for earlier in kept.get(bucket, ())})
        earlier, share = judge.alike(number, near)
        if earlier >= 0:
            found.of[number], found.share[number] = earlier, share
        elif folded(texts[number]):
            for bucket in buckets:
                kept.setdefault(bucket, []).append(number)
    return found


class Growing:
    """Texts that come in turns: each is compared with all that stayed before, and stays itself if it resembles none.

    >>> growing = Growing(0.6)
    >>> growing.twins(["the nile floods in july", "a barge"]), growing.twins(["The Nile floods in June"])
    (['', ''], ['the nile floods in july'])
    """

    def __init__(self, threshold: float, num_perm: int = 128) -> None:
        self._texts: list[str] = []
        self._signs = np.zeros((0, num_perm), np.uint8)
        self._threshold, self._num_perm = threshold, num_perm
        self._buckets: dict[tuple[int, int], list[int]] = {}

    def twins(self, texts: Sequence[str]) -> list[str]:
        """For each text the earlier one that it resembles, "" for one that is new and stays; see `near_duplicates`."""
        first = len(self._texts)
        signs = signatures(texts, self._num_perm)
        self._texts += texts
        self._signs = np.concatenate([self._signs, signs.astype(np.uint8)])
        judge = _Judge(self._texts, self._signs, self._threshold)
        count, height = bands(self._threshold, self._num_perm)
        keys = [keys_of(signs[:, band * height : (band + 1) * height]).tolist() for band in range(count)]
        found = []
        for place in range(len(texts)):
            buckets = [(band, keys[band][place]) for band in range(count)]
            near = sorted({number for bucket in buckets for number in self._buckets.get(bucket, ())})
            earlier, _ = judge.alike(first + place, near)
            found.append(self._texts[earlier] if earlier >= 0 else "")
            if earlier < 0:
                for bucket in buckets:
                    self._buckets.setdefault(bucket, []).append(first + place)
        return found


def _crowded(signs: NDArray[np.uint32], count: int, height: int) -> Iterator[tuple[int, list[int]]]:
    """Every text that shares a bucket with another, in order, with the numbers of those buckets."""
    buckets = np.full((len(signs), count), -1, np.int64)
    for band in range(count):
        keys = keys_of(signs[:, band * height : (band + 1) * height])
        _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        buckets[:, band] = np.where(sizes[group] > 1, group * count + band, -1)
    for number in np.flatnonzero((buckets >= 0).any(axis=1)).tolist():
        yield number, [bucket for bucket in buckets[number].tolist() if bucket >= 0]


def keys_of(signs: NDArray[np.unsignedinteger[Any]]) -> NDArray[np.uint64]:
    """A number for each row of unsigned integers (n, m), uint64 (n,): equal rows have the same, others another."""
    keys = np.zeros(len(signs), np.uint64)
    for column in signs.T:
        keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


class _Judge:
    """Compares one text with its candidates: first what the signatures promise, then the shingles themselves."""

    def __init__(self, texts: Sequence[str], signs: NDArray[np.unsignedinteger[Any]], threshold: float) -> None:
        self._texts, self._bytes = texts, signs.astype(np.uint8, copy=False)
        self._threshold = threshold
        self._hopeless = threshold - 2.0 / np.sqrt(signs.shape[1])

    def alike(self, number: int, near: list[int]) -> tuple[int, float]:
        """The candidate that it resembles and how much; (-1, 0) where it resembles none. `near` is in order."""
        if not near:
            return -1, 0.0
        promise = (self._bytes[near] == self._bytes[number]).mean(axis=1)
        for place in np.argsort(-promise, kind="stable").tolist():
            if promise[place] < self._hopeless:
                break
            share = jaccard(self._texts[number], self._texts[near[place]])
            if share >= self._threshold:
                return near[place], share
        return -1, 0.0
