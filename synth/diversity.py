"""How different many short texts are from each other: words, runs of words, repetition, spread.

    diversity(["when does the Nile flood?", "when does the Amazon flood?", "how are violins made?"])
    distinct_1 0.71   distinct_2 0.82   compression 1.14   self_bleu 0.0   vendi 2.55 of 3   dispersion 0.78

All but the last three fall or rise with the number of texts, so runs are compared on samples of the same size: the
first SAMPLE texts count, of those that are compared with each other the first PAIRS. Words are those of `bm25.words`:
pairs of characters where a script puts no spaces. Compare compression within a language: UTF-8 has more bytes for a
Thai letter than for a Latin one, and they compress well.
"""

import math
import zlib
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from synth.bm25 import words
from synth.resemblance import folded, shingles

if TYPE_CHECKING:
    from synth.embedder import Embedder

SAMPLE, PAIRS = 10_000, 1_000
MOST_CHARACTERS = 2_000_000
"""Characters of a sample: of longer texts fewer are looked at."""
COLUMNS_BITS = 13
"""Shingles are told apart by so many bits of their hashes: a matrix of 1,000 texts takes 32 MB."""
_MULTIPLIER = np.uint32(0x85EBCA6B)
_GRAM = 4


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and how many texts or rows it was measured on; None where they are too few to measure it."""

    n: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Diversity:
    """How different texts are. More is more varied, but for `compression` and `self_bleu`.

    distinct_1 to distinct_3: the share of words, pairs and triples of words that are different ones.
    compression: bytes of the texts to those of them compressed. self_bleu: 0 to 1, 1 where each text stands in others.
    vendi: how many texts, wholly different from each other, would be as diverse; at most n. dispersion, nearest: mean
    cosine distance of all pairs, and of each text to its nearest; `by` says of which vectors the last three are.
    """

    distinct_1: Figure
    distinct_2: Figure
    distinct_3: Figure
    compression: Figure
    self_bleu: Figure
    vendi: Figure
    dispersion: Figure
    nearest: Figure
    by: Literal["characters", "embedder"]


def diversity(
    texts: Sequence[str], embedder: "Embedder | None" = None, most: int = SAMPLE, pairs: int = PAIRS
) -> Diversity:
    """The figures of texts, which come in an order drawn fairly: the first `most` count, and `pairs` of those.

    Empty texts count nowhere. An embedder is asked for the vectors of `pairs` queries.
    """
    sample = list(_beginning((text for text in texts if folded(text)), most))
    spoken = [found for found in map(words, sample) if found]
    alike = similarities(sample[:pairs], embedder)
    return Diversity(
        distinct_1=Figure(len(spoken), distinct(spoken, 1)),
        distinct_2=Figure(len(spoken), distinct(spoken, 2)),
        distinct_3=Figure(len(spoken), distinct(spoken, 3)),
        compression=Figure(len(sample), compression_ratio(sample)),
        self_bleu=Figure(len(spoken[:pairs]), self_bleu(spoken[:pairs])),
        vendi=Figure(len(alike), vendi(alike)),
        dispersion=Figure(len(alike), dispersion(alike)),
        nearest=Figure(len(alike), nearest(alike)),
        by="characters" if embedder is None else "embedder",
    )


def _beginning(texts: Iterable[str], most: int) -> Iterator[str]:
    """The first texts, as many as both bounds allow, at least one."""
    room = MOST_CHARACTERS * most // SAMPLE
    for number, text in enumerate(texts):
        if number >= most or (number and len(text) > room):
            return
        room -= len(text)
        yield text


def distinct(texts: Sequence[Sequence[str]], order: int) -> float | None:
    """The share of different ones among all runs of `order` words (distinct-n, Li et al. 2016, 1510.03055).

    >>> distinct([["the", "nile"], ["the", "amazon"]], 1), distinct([["nile"]], 2)
    (0.75, None)
    """
    different: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        different.update(_runs(text, order))
        total += max(0, len(text) - order + 1)
    return round(len(different) / total, 5) if total else None


def _runs(text: Sequence[str], order: int) -> Iterable[tuple[str, ...]]:
    return zip(*(text[start:] for start in range(order)), strict=False)


def compression_ratio(texts: Sequence[str]) -> float | None:
    """Bytes of the texts, a line each, to those that zlib makes of them; None for fewer than two texts.

    Shaib et al. (2024, 2403.00553) found it to say what costlier measures of repetition say.
    """
    if len(texts) < 2:
        return None
    raw = "\n".join(texts).encode("utf-8", "replace")
    return round(len(raw) / len(zlib.compress(raw, 9)), 3)


def self_bleu(texts: Sequence[Sequence[str]]) -> float | None:
    """BLEU-4 of the words of each text against all the others, 0 to 1 (Zhu et al. 2018, 1802.01886).

    Matches and lengths are summed over the texts before the mean, as BLEU does for a corpus, so that queries of three
    words need no smoothing. It takes time in proportion to the words, since what the best of the others has of a run is
    known from the two highest counts; sacrebleu, which says the same, compares each pair. None where no text has four
    words, or there is but one text.
    """
    if len(texts) < 2:
        return None
    matches = [_matched(texts, order) for order in range(1, _GRAM + 1)]
    if not matches[-1][1]:
        return None
    if not all(matched for matched, _ in matches):
        return 0.0
    precision = math.exp(math.fsum(math.log(matched / total) for matched, total in matches) / _GRAM)
    return round(precision * _brevity([len(text) for text in texts]), 5)


def _matched(texts: Sequence[Sequence[str]], order: int) -> tuple[int, int]:
    """How many of the texts' runs of words stand in another text too, each as often as in that, and how many are."""
    counts = [Counter(_runs(text, order)) for text in texts]
    highest: dict[tuple[str, ...], tuple[int, int]] = {}
    for count in counts:
        for run, times in count.items():
            first, second = highest.get(run, (0, 0))
            if times > second:
                highest[run] = (times, first) if times > first else (first, times)
    matched = 0
    for count in counts:
        for run, times in count.items():
            first, second = highest[run]
            matched += min(times, second if times == first else first)
    return matched, sum(count.total() for count in counts)


def _brevity(lengths: Sequence[int]) -> float:
    """BLEU's penalty: each text is held to the length of the other that is nearest to its own, the shorter of two."""
    ranked = sorted(lengths)
    held = 0
    for length in lengths:
        after = bisect(ranked, length)
        if after > 1 and ranked[after - 2] == length:
            held += length
            continue
        others = ranked[max(0, after - 2) : after - 1] + ranked[after : after + 1]
        held += min(others, key=lambda other: (abs(other - length), other))
    total = sum(lengths)
    return 1.0 if total >= held else math.exp(1 - held / total)


def similarities(texts: Sequence[str], embedder: "Embedder | None" = None) -> NDArray[np.float64]:
    """The cosine of each pair, float64 (n, n): of an embedder's vectors of queries, else of shingles of characters.

    A text for which the embedder has a vector of zeros is left out.
    """
    if not texts:
        return np.zeros((0, 0))
    if embedder is not None:
        vectors = embedder.encode(texts, kind="query").astype(np.float64)
        vectors = vectors[np.linalg.norm(vectors, axis=1) > 0]
        alike: NDArray[np.float64] = vectors @ vectors.T
        return alike
    marks = np.zeros((len(texts), 1 << COLUMNS_BITS), np.float32)
    for row, text in enumerate(texts):
        marks[row, (shingles(text) * _MULTIPLIER) >> np.uint32(32 - COLUMNS_BITS)] = 1
    shared = (marks @ marks.T).astype(np.float64)  # whole numbers: exact in any order of summing
    sizes = np.sqrt(np.diagonal(shared))
    return np.asarray(shared / np.outer(sizes, sizes))


def vendi(alike: NDArray[np.float64]) -> float | None:
    """The Vendi score of a matrix of similarities (n, n): exp of the entropy of the eigenvalues of alike / n.

    Friedman & Dieng (2023, 2210.02410). None where n is 0.

    >>> vendi(np.eye(3)), vendi(np.ones((3, 3)))
    (3.0, 1.0)
    """
    if not len(alike):
        return None
    values = np.linalg.eigvalsh(alike / len(alike))
    values = values[values > 1e-12]
    return round(math.exp(-float((values * np.log(values)).sum())), 2)


def dispersion(alike: NDArray[np.float64]) -> float | None:
    """The mean distance of all pairs (remote-clique, Cox et al. 2021, 2101.06030); None for fewer than two texts.

    >>> dispersion(np.array([[1.0, 0.25], [0.25, 1.0]]))
    0.75
    """
    n = len(alike)
    if n < 2:
        return None
    return round(max(0.0, 1 - float(alike.sum() - np.trace(alike)) / (n * (n - 1))), 4)


def nearest(alike: NDArray[np.float64]) -> float | None:
    """The mean distance of each text to the one nearest to it (Chamfer, ibid.): low where texts have near copies."""
    if len(alike) < 2:
        return None
    others = alike.copy()
    np.fill_diagonal(others, -np.inf)
    return round(max(0.0, 1 - float(others.max(axis=1).mean())), 4)


def effective_number(counts: Iterable[int]) -> float | None:
    """How many kinds, equally frequent, would be as varied: exp of the entropy (Hill 1973); None without any.

    >>> effective_number([5, 5, 5]), effective_number([97, 1, 1, 1]), effective_number([])
    (3.0, 1.18, None)
    """
    there = sorted(count for count in counts if count)
    total = sum(there)
    if not total:
        return None
    return round(math.exp(-math.fsum(count / total * math.log(count / total) for count in there)), 2)
