"""Which vectors lie near an earlier one that stays, against everything compared with everything."""

import numpy as np
import pytest

from synth import neighbours
from synth.neighbours import Clustered, Near, Vectors, embedded, mean_cosine, near_earlier, pair_cosines
from tests.letters import embedder


def unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def scattered(count: int, seed: int, dims: int = 24) -> Vectors:
    """Vectors about a few centres, of which some lie very near each other."""
    dice = np.random.default_rng(seed)
    centres = unit(dice.standard_normal((max(2, count // 12), dims)))
    spread = dice.choice([0.02, 0.07, 0.15], count)[:, None]
    return unit(centres[dice.integers(len(centres), size=count)] + spread * dice.standard_normal((count, dims)))


def one_by_one(cosines: np.ndarray, least: float) -> list[tuple[int, float]]:
    """The same by the rule itself: each against all earlier ones that stay; the nearest, and of equals the first."""
    cosines = np.round(cosines.astype(np.float64), 5)
    stays: list[int] = []
    found: list[tuple[int, float]] = []
    for row in range(len(cosines)):
        near = sorted((-cosines[row, other], other) for other in stays if cosines[row, other] >= least)
        stays.extend([] if near else [row])
        found.append((near[0][1], -near[0][0]) if near else (-1, 0.0))
    return found


def as_pairs(near: Near) -> list[tuple[int, float]]:
    return [(of, pytest.approx(cosine, abs=2e-5)) for of, cosine in zip(near.of.tolist(), near.cosine, strict=True)]


@pytest.fixture(params=[(2048, 8192), (7, 5)], ids=["at once", "in small blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", request.param[0])
    monkeypatch.setattr(neighbours, "COLUMNS", request.param[1])


CLUSTERS = [{}, {"most_exact": 0, "probes": 1000}]
"""One cluster; several, all of which are looked into."""


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("clusters", CLUSTERS)
@pytest.mark.parametrize("seed", range(3))
def test_each_is_compared_with_every_earlier_one_that_stays(seed: int, clusters: dict[str, int]) -> None:
    vectors = scattered(150, seed)
    expected = one_by_one(vectors @ vectors.T, 0.9)
    assert 30 < sum(of >= 0 for of, _ in expected) < 140
    every = Clustered([vectors.copy()], **clusters)
    assert as_pairs(near_earlier([(every, every)], 0.9)) == expected


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("clusters", CLUSTERS)
def test_with_two_parts_both_are_near(clusters: dict[str, int]) -> None:
    ones, others = scattered(150, 5), scattered(150, 6)
    others[::2] = others[0]
    expected = one_by_one(np.minimum(ones @ ones.T, others @ others.T), 0.9)
    assert 5 < sum(of >= 0 for of, _ in expected) < 100
    every = Clustered([ones.copy(), others.copy()], **clusters)
    assert as_pairs(near_earlier([(every, every)], 0.9)) == expected


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("clusters", CLUSTERS)
def test_across_the_ones_are_compared_with_the_others_and_a_row_with_itself(clusters: dict[str, int]) -> None:
    ones, others = scattered(150, 1), scattered(150, 2)
    others[40:100] = ones[:60]
    others[7] = ones[7]
    cosines = np.maximum(ones @ others.T, others @ ones.T)
    itself = pair_cosines(ones, others)
    near_itself = np.flatnonzero(itself >= 0.9).tolist()
    cosines[near_itself], cosines[:, near_itself] = 0, 0
    expected = one_by_one(cosines, 0.9)
    for row in near_itself:
        expected[row] = (row, float(itself[row]))
    assert sum(of >= 0 for of, _ in expected) > 40
    left, right = Clustered([ones.copy()], **clusters), Clustered([others.copy()], **clusters)
    assert as_pairs(near_earlier([(left, right), (right, left)], 0.9, itself)) == expected


def test_a_few_of_many_clusters_find_nearly_all() -> None:
    vectors = scattered(4000, 9, dims=64)
    exact, some = Clustered([vectors.copy()]), Clustered([vectors.copy()], most_exact=0, probes=8)
    every, found = (near_earlier([(each, each)], 0.9).of >= 0 for each in (exact, some))
    assert every.sum() > 1000
    assert (found & every).sum() >= 0.98 * every.sum()
    assert (found & ~every).sum() <= 0.02 * every.sum()  # near one that would itself have gone


@pytest.mark.parametrize("most_exact", [0, 1000])
def test_nothing_one_row_and_all_the_same(most_exact: int) -> None:
    for count, expected in ((0, []), (1, [-1]), (300, [-1] + [0] * 299)):
        same = np.tile(unit(np.ones((1, 8))), (count, 1))
        every = Clustered([same], most_exact)
        assert near_earlier([(every, every)], 1.0).of.tolist() == expected


@pytest.mark.parametrize(("number", "cosine", "kept"), [(7, 0.9, 5), (3, 0.9, 3), (7, 0.91, 7), (3, 0.89, 5)])
def test_the_nearest_is_named_and_of_equals_the_earliest(number: int, cosine: float, kept: int) -> None:
    near = Near(np.array([-1, 5]), np.array([0, 0.9], np.float32))
    near.note(np.array([1]), Near(np.array([number]), np.array([cosine], np.float32)))
    assert near.of.tolist() == [-1, kept]


def test_vectors_of_zeros_are_near_nothing() -> None:
    every = Clustered([np.zeros((5, 3), np.float32)])
    assert near_earlier([(every, every)], 1e-4).of.tolist() == [-1] * 5


def test_a_cosine_that_rounds_to_the_least_is_enough() -> None:
    for cosine, of in ((0.899996, 0), (0.89999, -1)):
        vectors = np.array([[1, 0], [cosine, (1 - cosine**2) ** 0.5]], np.float32)
        every = Clustered([vectors])
        assert near_earlier([(every, every)], 0.9).of.tolist() == [-1, of]


def test_the_mean_cosine_is_that_of_all_pairs_of_two_rows() -> None:
    ones, others = scattered(50, 3), scattered(50, 4)
    for left, right in ((ones, ones), (ones, others)):
        apart = ~np.eye(50, dtype=np.bool_)
        assert mean_cosine(left, right) == pytest.approx(float((left @ right.T)[apart].mean()), abs=2e-5)
    assert mean_cosine(ones[:1], ones[:1]) == mean_cosine(ones[:0], ones[:0]) == 0


def test_texts_are_embedded_in_blocks_and_what_is_no_number_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ENCODED", 3)
    texts = [f"word{n} word{n + 1}" for n in range(8)]
    model = embedder(texts)
    whole = model.encode(texts)
    assert np.allclose(embedded(model, texts, "query"), whole)
    assert embedded(model, [], "query").shape[0] == 0
    model._model[0].embedding.weight.data[:] = np.nan
    assert not embedded(model, texts, "query").any()
