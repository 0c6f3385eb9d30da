"""Whole numbers out of shares: exact, within their bounds, and in proportion where no bound is met."""

import random

import pytest

from synth.apportion import allocated, apportioned


@pytest.mark.parametrize("seed", range(200))
def test_what_is_shared_out_is_exact_and_within_its_bounds(seed: int) -> None:
    dice = random.Random(seed)
    counts = [dice.randrange(0, 10 ** dice.randrange(1, 5)) for _ in range(dice.randrange(1, 12))]
    weights = [dice.choice([0.0, dice.random(), (n + 1) ** 0.3]) for n in counts]
    total, least = dice.randrange(1, 5000), dice.choice([0, 0, 3, 40])
    parts = allocated(counts, total, weights, least)
    open_to = [count if weight else 0 for count, weight in zip(counts, weights, strict=True)]
    assert sum(parts) == min(total, sum(open_to))
    assert all(0 <= part <= most for part, most in zip(parts, open_to, strict=True))
    if sum(min(least, most) for most in open_to) <= total:
        assert all(part >= min(least, most) for part, most in zip(parts, open_to, strict=True))
    free = [(p, w) for p, w, most in zip(parts, weights, open_to, strict=True) if min(least, most) < p < most]
    for part, weight in free:
        for other, its_weight in free:
            assert (part + 1) / weight >= (other - 1) / its_weight  # in proportion, but for rounding


def test_weights_are_shared_out_exactly_and_equal_remainders_go_to_the_first() -> None:
    assert apportioned([0.1] * 3, 10) == [4, 3, 3]
    assert apportioned([1.0] * 5, 2) == [1, 1, 0, 0, 0]
    assert sum(apportioned([1 / n for n in range(1, 100)], 1000)) == 1000


def test_what_is_too_little_for_every_floor_is_shared_out_evenly_among_them() -> None:
    assert allocated([100, 100, 1], 7, [9, 1, 1], least=5) == [3, 3, 1]
