"""How different texts are, in figures worked out by hand."""

import math

import numpy as np
import pytest

from synth.diversity import (
    MOST_CHARACTERS,
    PAIRS,
    SAMPLE,
    Figure,
    compression_ratio,
    dispersion,
    distinct,
    diversity,
    effective_number,
    nearest,
    self_bleu,
    similarities,
    vendi,
)

UNKNOWN = Figure(0, None)


def split(*texts: str) -> list[list[str]]:
    return [text.split() for text in texts]


@pytest.mark.parametrize(
    ("texts", "order", "expected"),
    [
        (("a b c", "a b d"), 1, 4 / 6),
        (("a b c", "a b d"), 2, 3 / 4),
        (("a b c", "a b d"), 3, 2 / 2),
        (("a a a a",), 1, 1 / 4),
        (("a b", "a b", "a b"), 2, 1 / 3),
        (("a b",), 3, None),
        ((), 1, None),
    ],
)
def test_distinct_is_the_share_of_different_runs_of_words(
    texts: tuple[str, ...], order: int, expected: float | None
) -> None:
    assert distinct(split(*texts), order) == (expected if expected is None else round(expected, 5))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("a b c d", "a b c d"), 1.0),
        # 8 of 10 words, 6 of 8 pairs, 4 of 6 triples and 2 of 4 runs of four stand in the other
        (("a b c d e", "a b c d f"), (0.8 * 0.75 * (4 / 6) * 0.5) ** 0.25),
        # all runs of the first stand in others; it is held to a length of 6: 18 words for 16
        (("a b c d", "a b c d e f", "a b c d e f"), math.exp(1 - 18 / 16)),
        (("a b c d", "e f g h"), 0.0),
        (("a b c", "a b c"), None),
        (("a b c d e",), None),
        ((), None),
    ],
)
def test_self_bleu_is_bleu_against_all_other_texts(texts: tuple[str, ...], expected: float | None) -> None:
    assert self_bleu(split(*texts)) == (expected if expected is None else pytest.approx(expected, abs=1e-5))


def test_self_bleu_counts_a_word_as_often_as_one_other_text_has_it() -> None:
    # words: "a" twice of four, "b" once of one; in the second one "a" of one, two in the third; pairs "a a" 1 of 3 …
    texts = split("a a a a b", "a b c d e", "a a b c d")
    words, pairs = (2 + 1) + (1 + 1 + 1 + 1 + 0) + (2 + 1 + 1 + 1), (1 + 1) + (1 + 1 + 1 + 0) + (1 + 1 + 1 + 1)
    triples, fours = (0 + 0 + 1) + (1 + 1 + 0) + (1 + 1 + 1), (0 + 0) + (1 + 0) + (0 + 1)
    expected = (words / 15 * pairs / 12 * triples / 9 * fours / 6) ** 0.25
    assert self_bleu(texts) == pytest.approx(expected, abs=1e-5)


def test_the_closest_length_is_the_shorter_of_two_as_near() -> None:
    # lengths 4, 5, 6: each is held to its neighbour, the middle one to the shorter: 5 + 4 + 5 words for 15, no penalty
    assert self_bleu(split("a b c d", "a b c d e", "a b c d e f")) == pytest.approx(
        (14 / 15 * 11 / 12 * 8 / 9 * 5 / 6) ** 0.25, abs=1e-5
    )


def test_compression_is_high_for_texts_that_repeat_each_other() -> None:
    same, different = ["when does it flood"] * 100, [f"{n * n * 7919:x} {n**5 % 9973:x}" for n in range(100)]
    assert (compression_ratio(same) or 0) > 20
    assert (compression_ratio(different) or 9) < 2.5
    assert compression_ratio(["alone"]) is None
    assert compression_ratio([]) is None


@pytest.mark.parametrize(
    ("alike", "score", "apart", "to_nearest"),
    [
        (np.eye(4), 4.0, 1.0, 1.0),
        (np.ones((4, 4)), 1.0, 0.0, 0.0),
        # eigenvalues 2/3 and 1/3; of three pairs one is the same, of three texts two have a twin
        (np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]), 1.89, 0.6667, 0.3333),
        # eigenvalues 3/4 and 1/4
        (np.array([[1.0, 0.5], [0.5, 1.0]]), 1.75, 0.5, 0.5),
        (np.ones((1, 1)), 1.0, None, None),
        (np.zeros((0, 0)), None, None, None),
    ],
)
def test_spread_is_told_by_similarities(
    alike: np.ndarray, score: float | None, apart: float | None, to_nearest: float | None
) -> None:
    assert (vendi(alike), dispersion(alike), nearest(alike)) == (score, apart, to_nearest)


def test_texts_are_compared_by_runs_of_four_characters() -> None:
    # " nil nile ile " against " nil nile iles les ": two of three and four are shared
    alike = similarities(["nile", "niles", "Amazon"])
    assert alike[0].tolist() == pytest.approx([1.0, 2 / math.sqrt(12), 0.0])
    assert similarities([]).shape == (0, 0)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([5, 5, 5, 5], 4.0), ([7], 1.0), ([3, 1], 1.75), ([2, 0, 2], 2.0), ([], None), ([0], None)],
)
def test_the_effective_number_is_that_of_equally_frequent_ones(counts: list[int], expected: float | None) -> None:
    assert effective_number(counts) == expected


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_nothing_is_said_of_no_texts(texts: list[str]) -> None:
    found = diversity(texts)
    assert [found.distinct_1, found.compression, found.self_bleu, found.vendi, found.nearest] == [UNKNOWN] * 5


def test_one_text_is_one_of_one() -> None:
    found = diversity(["when does the Nile flood?"])
    assert (found.distinct_1, found.vendi) == (Figure(1, 1.0), Figure(1, 1.0))
    assert (found.compression, found.self_bleu, found.dispersion) == (Figure(1, None), Figure(1, None), Figure(1, None))


def test_equal_texts_are_as_one() -> None:
    found = diversity(["when does the Nile flood?"] * 10)
    assert (found.distinct_1, found.distinct_3) == (Figure(10, 0.1), Figure(10, 0.1))
    assert (found.self_bleu, found.vendi) == (Figure(10, 1.0), Figure(10, 1.0))
    assert (found.dispersion, found.nearest) == (Figure(10, 0.0), Figure(10, 0.0))


def test_scripts_without_spaces_are_counted_by_pairs_of_characters() -> None:
    found = diversity(["尼罗河", "尼罗河的", "ไนล์"])
    # 尼罗 罗河 | 尼罗 罗河 河的 | ไน นล ล์
    assert (found.distinct_1, found.distinct_2) == (Figure(3, 0.75), Figure(3, 0.8))


def test_texts_of_nothing_but_signs_have_no_words() -> None:
    found = diversity(["???", "when", "!!"])
    assert (found.distinct_1.n, found.vendi.n) == (1, 3)


def test_only_the_first_texts_count() -> None:
    texts = [f"query number {n}" for n in range(50)]
    found = diversity(texts, most=20, pairs=10)
    assert (found.distinct_1.n, found.compression.n, found.self_bleu.n, found.vendi.n) == (20, 20, 10, 10)
    assert found == diversity(texts[:20] * 3, most=20, pairs=10)


def test_of_long_texts_fewer_count() -> None:
    found = diversity(["word " * (MOST_CHARACTERS // 10 // 5)] * 30)
    assert found.distinct_1.n == 10
    assert found.self_bleu.value == 1.0
    assert (SAMPLE, PAIRS) == (10_000, 1_000)


def test_an_embedder_says_what_is_alike() -> None:
    from tests.letters import embedder

    texts = ["nile flood", "flood nile", "amazon basin"]
    found = diversity(texts, embedder(texts))
    assert found.by == "embedder"
    assert found.vendi == Figure(3, pytest.approx(1.89, abs=0.05))
    assert diversity(texts).by == "characters"
