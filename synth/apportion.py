"""Whole numbers out of shares: how many rows each part gets, so that all of them together are exactly as many as asked.

apportioned([3, 1, 1], 7)                                  ->  [4, 2, 1]
allocated([90, 9, 1], 50, [1, 1, 1])                       ->  [40, 9, 1]     more than there is, nobody gets
"""

from collections.abc import Sequence
from fractions import Fraction


def apportioned(weights: Sequence[float], total: int) -> list[int]:
    """`total` shared out by weights, by the largest remainder; of equal remainders the earlier part comes first.

    >>> apportioned([1, 1, 1], 2), apportioned([3, 1, 1], 7), apportioned([], 5)
    ([1, 1, 0], [4, 2, 1], [])
    """
    if not weights:
        return []
    exact = [Fraction(weight) for weight in weights]
    scale = total / sum(exact, Fraction(0))
    return _rounded([weight * scale for weight in exact], total)


def _rounded(quotas: Sequence[Fraction], total: int) -> list[int]:
    """Each down to a whole number, and one more for those with the largest remainders until they make `total`."""
    whole = [int(quota) for quota in quotas]
    by_rest = sorted(range(len(quotas)), key=lambda place: (whole[place] - quotas[place], place))
    for place in by_rest[: total - sum(whole)]:
        whole[place] += 1
    return whole


def allocated(counts: Sequence[int], total: int, weights: Sequence[float], least: int = 0) -> list[int]:
    """`total` rows shared out between cells that have `counts`, by weights, each cell at least `least` where it can.

    They make exactly `total`, or all that the cells of a weight above 0 have where that is fewer. What a cell has not,
    the others get by their weights. Where there is too little for everybody's `least`, that is shared out evenly.

    >>> allocated([90, 9, 1], 50, [1, 1, 1]), allocated([90, 9, 1], 50, [0.8, 0.2, 0])
    ([40, 9, 1], [41, 9, 0])
    >>> allocated([1000, 10], 100, [1000**0.3, 10**0.3], least=8), allocated([1000, 10], 100, [99, 1], least=8)
    ([90, 10], [92, 8])
    >>> allocated([5, 5, 5], 4, [9, 1, 1], least=3), allocated([2, 2], 9, [1, 1])
    ([2, 1, 1], [2, 2])
    """
    highest = [count if weight > 0 else 0 for count, weight in zip(counts, weights, strict=True)]
    lowest = [min(least, high) for high in highest]
    total = min(total, sum(highest))
    if sum(lowest) >= total:
        return _between([0] * len(counts), lowest, [1.0] * len(counts), total)
    return _between(lowest, highest, weights, total)


def _between(lowest: Sequence[int], highest: Sequence[int], weights: Sequence[float], total: int) -> list[int]:
    """`total` by weights, each part between its bounds: what would cross a bound is set there, the others share again.

    The bounds on the side where more is crossed are fixed first, so that no part is fixed in vain.
    """
    quotas = [Fraction(0)] * len(weights)
    free = [place for place in range(len(weights)) if highest[place]]
    while free:
        rest = total - sum(quotas, Fraction(0))
        scale = rest / sum((Fraction(weights[place]) for place in free), Fraction(0))
        wanted = {place: scale * Fraction(weights[place]) for place in free}
        bounded = {place: min(max(wanted[place], Fraction(lowest[place])), Fraction(highest[place])) for place in free}
        beyond = sum(bounded.values(), Fraction(0)) - rest
        fixed = [place for place in free if _crosses(bounded[place] - wanted[place], beyond)]
        for place in fixed or free:
            quotas[place] = bounded[place]
        free = [place for place in free if place not in fixed] if fixed else []
    return _rounded(quotas, total)


def _crosses(moved: Fraction, beyond: Fraction) -> bool:
    """True for a part that a bound moves to the side on which more is moved in all; to either where both are equal."""
    return moved != 0 and (beyond == 0 or (moved > 0) == (beyond > 0))
