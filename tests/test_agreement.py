"""Shares, intervals, p-values and kappas, beside scipy, scikit-learn and sums done by hand."""

import math
import random
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from synth.agreement import (
    UNKNOWN,
    Cell,
    Stratum,
    auc,
    beta_cdf,
    clopper_pearson,
    exact_agreement,
    kappa,
    labels_needed,
    p_value,
    part,
    prediction_powered,
    share,
    shown,
    spearman,
    weighed,
    with_interval,
)

TABLE = np.array([[20.0, 5, 0, 1], [4, 10, 6, 2], [1, 3, 15, 9], [0, 1, 6, 30]])
"""Grades 0 to 3 of the judge (rows) by verdicts."""


def spelled_out(table: np.ndarray) -> tuple[list[int], list[int], list[float]]:
    """The grade, the verdict and the weight of each cell that is not empty."""
    places = [(g, v) for g, v in product(range(table.shape[0]), range(table.shape[1])) if table[g, v]]
    return [g for g, _ in places], [v for _, v in places], [float(table[place]) for place in places]


def test_the_incomplete_beta_function_is_scipys() -> None:
    from scipy.stats import beta

    drawn = random.Random(1)
    for _ in range(100):
        a, b, x = drawn.uniform(0.1, 400), drawn.uniform(0.1, 400), drawn.random()
        assert beta_cdf(a, b, x) == pytest.approx(beta.cdf(x, a, b), abs=1e-10)
    assert (beta_cdf(2, 3, 0), beta_cdf(2, 3, 1)) == (0, 1)


@pytest.mark.parametrize(("right", "labels"), [(0, 1), (1, 1), (0, 33), (33, 33), (66, 75), (1, 150), (500, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_an_interval_is_that_of_clopper_and_pearson(right: int, labels: int, confidence: float) -> None:
    from scipy.stats import binomtest

    wanted = binomtest(right, labels).proportion_ci(confidence, method="exact")
    found = share([Cell(1000, labels, right)], confidence)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-9)
    assert found.value == right / labels


def test_none_of_ten_leaves_room_by_hand() -> None:
    found = clopper_pearson(0, 10)
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 10))


def test_cells_count_by_their_size() -> None:
    found = share([Cell(900, 30, 30), Cell(100, 40, 20)])
    assert found.value == pytest.approx(0.9 * 1.0 + 0.1 * 0.5)


def test_cells_drawn_alike_are_worth_about_as_much_as_one() -> None:
    apart, together = share([Cell(500, 50, 40), Cell(500, 50, 40)]), share([Cell(1000, 100, 80)])
    assert apart.value == together.value
    assert (apart.low, apart.high) == pytest.approx((together.low, together.high), abs=1e-3)


def test_a_large_cell_with_few_labels_widens_the_interval() -> None:
    even, uneven = share([Cell(500, 50, 45), Cell(500, 50, 45)]), share([Cell(950, 50, 45), Cell(50, 50, 45)])
    assert even.low is not None
    assert uneven.low is not None
    assert uneven.low < even.low - 0.03


def test_a_large_cell_whose_labels_are_all_right_still_leaves_room() -> None:
    found = share([Cell(900, 30, 30), Cell(100, 40, 20)])
    assert found.low is not None
    assert 0.83 < found.low < 0.89
    assert found.high is not None
    assert 0.96 < found.high < 0.99


@pytest.mark.parametrize("cells", [[], [Cell(10, 0, 0)], [Cell(0, 0, 0)]])
def test_nothing_labelled_is_nothing_known(cells: list[Cell]) -> None:
    assert share(cells) == UNKNOWN
    assert p_value(cells, 0.9) == 1
    assert str(share(cells)) == "-"


def test_recall_by_hand() -> None:
    # 100 rows at 0.9 and 300 at 0.2: 90 right ones inside, 60 outside
    assert part([Cell(100, 10, 9)], [Cell(300, 10, 2)]).value == pytest.approx(90 / 150)
    assert part([Cell(100, 10, 9)], []).to_json() == {"value": 1, "low": 1, "high": 1}
    assert part([Cell(100, 10, 0)], [Cell(300, 10, 0)]) == UNKNOWN
    assert part([Cell(100, 10, 9)], [Cell(300, 0, 0)]) == UNKNOWN


@pytest.mark.parametrize(("right", "labels"), [(0, 5), (1, 5), (29, 29), (73, 75), (60, 75)])
def test_with_one_cell_the_p_value_is_the_binomials(right: int, labels: int) -> None:
    from scipy.stats import binomtest

    wanted = binomtest(right, labels, 0.9, alternative="greater").pvalue
    assert p_value([Cell(7, labels, right)], 0.9) == pytest.approx(wanted)


def by_force(cells: Sequence[Cell], precision: float, steps: int) -> float:
    """The worst case of the chance of a weighed share as high, by trying shares and adding up outcomes."""
    from scipy.stats import binom

    sizes = [cell.size / sum(c.size for c in cells) for cell in cells]
    reached = sum(s * c.right / c.labels for s, c in zip(sizes, cells, strict=True))
    outcomes = list(product(*(range(cell.labels + 1) for cell in cells)))
    got = np.array([sum(s * k / c.labels for s, k, c in zip(sizes, o, cells, strict=True)) for o in outcomes])
    worst = 0.0
    for first in product(np.linspace(0, 1, steps), repeat=len(cells) - 1):
        last = (precision - sum(s * p for s, p in zip(sizes, first, strict=False))) / sizes[-1]
        if 0 <= last <= 1:
            chances = [
                binom.pmf(np.arange(c.labels + 1), c.labels, p) for c, p in zip(cells, (*first, last), strict=True)
            ]
            joint = np.array([math.prod(each[k] for each, k in zip(chances, o, strict=True)) for o in outcomes])
            worst = max(worst, float(joint[got >= reached - 1e-9].sum()))
    return worst


@pytest.mark.parametrize(
    ("cells", "steps"),
    [
        ([Cell(900, 8, 8), Cell(300, 12, 11)], 201),
        ([Cell(300, 8, 7), Cell(900, 12, 12)], 201),
        ([Cell(500, 10, 10), Cell(500, 10, 9)], 201),
        ([Cell(3, 4, 4), Cell(2, 5, 5), Cell(1, 3, 2)], 31),
    ],
)
def test_with_several_cells_it_is_the_worst_case(cells: list[Cell], steps: int) -> None:
    assert p_value(cells, 0.8) == pytest.approx(by_force(cells, 0.8, steps), rel=0.03)


def test_with_many_cells_or_labels_it_is_a_bound_above_the_worst_case() -> None:
    two = [Cell(2, 40, 38), Cell(1, 40, 40)]
    halves = [Cell(1, 20, 19), Cell(1, 20, 19), Cell(0.5, 20, 20), Cell(0.5, 20, 20)]
    assert p_value(two, 0.9) < p_value(halves, 0.9) < 5 * p_value(two, 0.9)
    thousands = p_value([Cell(2, 4000, 3800), Cell(1, 30_000, 28_500), Cell(1, 3000, 2850)], 0.94)
    assert 0 < thousands < 0.05
    assert p_value([Cell(1, 10, 10)] * 4, 0.9) == pytest.approx(0.9**40, rel=0.01)


def test_a_cell_that_nobody_labelled_counts_as_wrong() -> None:
    assert p_value([Cell(95, 60, 60), Cell(5, 0, 0)], 0.9) == pytest.approx((0.9 / 0.95) ** 60)
    assert p_value([Cell(80, 600, 600), Cell(20, 0, 0)], 0.9) == 1


def test_what_is_shown_is_where_the_p_value_reaches_the_level() -> None:
    cells = [Cell(2, 33, 33), Cell(1, 42, 38)]
    bound = shown(cells)
    assert p_value(cells, bound) <= 0.05 < p_value(cells, bound + 0.005)
    assert shown([Cell(1, 10, 0)]) == 0


def test_how_many_labels_it_takes() -> None:
    assert labels_needed(1.0, 0.9) == math.ceil(math.log(0.05) / math.log(0.9))
    assert labels_needed(0.901, 0.9) is None
    assert labels_needed(0.8, 0.9) is None


def test_agreement_of_a_table_by_hand() -> None:
    # 20 agree on yes, 15 on no, 5 and 10 do not: Cohen's own kind of example; expected 25*30 + 25*20 of 50*50
    table = np.array([[20.0, 5], [10, 15]])
    assert exact_agreement(table) == pytest.approx(0.7)
    assert kappa(table) == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    assert auc(table, right_from=1) == pytest.approx((15 * 20 + 0.5 * (15 * 10 + 5 * 20)) / (20 * 30))


def test_agreement_is_scikit_learns_and_scipys() -> None:
    from scipy.stats import spearmanr
    from sklearn.metrics import cohen_kappa_score, roc_auc_score

    for table in (TABLE, TABLE * np.array([[3.0], [1], [0.5], [8]])):
        grades, verdicts, weights = spelled_out(table)
        assert kappa(table) == pytest.approx(cohen_kappa_score(grades, verdicts, sample_weight=weights))
        wanted = cohen_kappa_score(grades, verdicts, weights="quadratic", sample_weight=weights)
        assert kappa(table, quadratic=True) == pytest.approx(wanted)
        right = [verdict >= 2 for verdict in verdicts]
        assert auc(table) == pytest.approx(roc_auc_score(right, grades, sample_weight=weights))
    grades, verdicts, weights = spelled_out(TABLE)
    each = [(g, v) for g, v, w in zip(grades, verdicts, weights, strict=True) for _ in range(int(w))]
    assert spearman(TABLE) == pytest.approx(spearmanr(*zip(*each, strict=True)).statistic)


def test_a_weight_is_as_many_labels() -> None:
    thrice = weighed([TABLE], [3 * TABLE.sum()])
    assert np.allclose(thrice, 3 * TABLE)
    for measure in (exact_agreement, kappa, spearman, auc):
        assert measure(thrice) == pytest.approx(measure(TABLE))


@pytest.mark.parametrize("cell", [(0, 0), (3, 3), (3, 0)])
def test_where_both_always_say_the_same_there_is_nothing_to_measure(cell: tuple[int, int]) -> None:
    table = np.zeros((4, 4))
    table[cell] = 5
    assert with_interval(spearman, [table], [100]) == UNKNOWN
    assert with_interval(auc, [table], [100]) == UNKNOWN
    assert with_interval(kappa, [table], [100]).value == (None if cell[0] == cell[1] else 0)
    assert with_interval(exact_agreement, [table], [100]).value == (cell[0] == cell[1])


def test_the_bootstrap_draws_within_strata_and_always_alike() -> None:
    tables, sizes = [TABLE * (np.arange(4) == grade)[:, None] for grade in range(4)], [500.0, 100, 100, 3000]
    first = with_interval(kappa, tables, sizes)
    assert first == with_interval(kappa, tables, sizes)
    assert first.value == pytest.approx(float(kappa(weighed(tables, sizes))))
    assert first.low is not None
    assert first.high is not None
    assert first.value is not None
    assert first.low < first.value < first.high
    one_counts = with_interval(exact_agreement, tables, [1.0, 1, 1, 10_000])
    assert one_counts.value == pytest.approx(30 / 37, abs=1e-3)
    assert (one_counts.low or 0) > 0.66
    assert (one_counts.high or 1) > 0.9


def test_the_bootstrap_of_kappa_covers_what_is_so() -> None:
    chances = TABLE / TABLE.sum()
    truth, rng, hits = float(kappa(TABLE)), np.random.default_rng(3), 0
    for number in range(100):
        drawn = rng.multinomial(150, chances.ravel()).reshape(4, 4).astype(float)
        found = with_interval(kappa, [drawn], [1], seed=number)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert hits >= 89


def test_where_the_judge_says_one_thing_of_a_stratum_prediction_power_is_the_weighed_mean() -> None:
    strata = [
        Stratum(900, np.array([1.0, 1, 1, 0]), np.full(4, 0.9), 0.9),
        Stratum(100, np.array([0.0, 1]), np.full(2, 0.2), 0.2),
    ]
    found = prediction_powered(strata)
    assert found.value == pytest.approx(0.9 * 0.75 + 0.1 * 0.5)
    assert prediction_powered([]) == UNKNOWN


def test_prediction_power_by_hand() -> None:
    # the judge is right of every label: weight 1, so the labels' mean of 0.5 moves by what the judge says of the rest
    right = np.array([0.0, 1, 0, 1])
    assert prediction_powered([Stratum(1000, right, right, 0.7)]).value == pytest.approx(0.5 + 0.7 - 0.5)


def test_a_judge_that_knows_narrows_the_interval_and_one_that_guesses_does_not_widen_it() -> None:
    rng = np.random.default_rng(0)
    right = (rng.random(150) < 0.6).astype(float)
    knows, guesses = np.clip(right * 0.8 + rng.random(150) * 0.2, 0, 1), rng.random(150)
    plain = share([Cell(5000, 150, int(right.sum()))])
    widths = [
        (found.high or 0) - (found.low or 0)
        for found in (
            plain,
            prediction_powered([Stratum(5000, right, knows, float(knows.mean()))]),
            prediction_powered([Stratum(5000, right, guesses, float(guesses.mean()))]),
        )
    ]
    assert widths[1] < 0.4 * widths[0]
    assert widths[2] == pytest.approx(widths[0], rel=0.05)


SIZES, DRAWN = (1000, 1500, 2500, 5000), (33, 42, 42, 33)


@pytest.mark.parametrize("shares", [(0.05, 0.3, 0.7, 0.999), (0.05, 0.3, 0.999, 0.85)])
def test_intervals_hold_what_is_so_and_nothing_untrue_is_shown(shares: tuple[float, ...]) -> None:
    rng, reps = np.random.default_rng(1), 150
    right = [round(size * share_) for size, share_ in zip(SIZES, shares, strict=True)]
    precise, recalled = sum(right[2:]) / sum(SIZES[2:]), sum(right[2:]) / sum(right)
    level = math.ceil(precise * 1000) / 1000
    false, held, found_again = 0, 0, 0
    for _ in range(reps):
        found = [int(rng.hypergeometric(k, size - k, n)) for k, size, n in zip(right, SIZES, DRAWN, strict=True)]
        cells = [Cell(*each) for each in zip(SIZES, DRAWN, found, strict=True)]
        one, other = share(cells[2:]), part(cells[2:], cells[:2])
        held += (one.low or 0) <= precise <= (one.high or 0)
        found_again += (other.low or 0) <= recalled <= (other.high or 0)
        false += p_value(cells[2:], level) <= 0.05
    slack = 3 * math.sqrt(0.05 * 0.95 * reps)
    assert false <= 0.05 * reps + slack
    assert min(held, found_again) >= 0.95 * reps - slack
