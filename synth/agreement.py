"""How far grades agree with a person's verdicts, what that says of all rows, and what can be shown with a guarantee.

    share([Cell(size=900, labels=33, right=32), Cell(size=300, labels=42, right=37)])  ->  0.95 (0.86-0.99)
    p_value([Cell(900, 33, 32), Cell(300, 42, 37)], 0.9)  ->  0.17: 0.90 is not shown

A cell holds rows that are alike: `size` of them in the run, `labels` of them drawn at random and looked at. Labels are
drawn more thickly where the judge is unsure, so every figure weighs each cell by its size.

Intervals of shares are those of Clopper and Pearson (1934); with several cells for the effective number of labels, as
Korn and Graubard (1998) have it for surveys. `p_value` is exact: see there.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
_STEPS = {2: 256, 3: 48}
"""How finely the worst case is looked for, by the number of cells."""
_MOST_OUTCOMES = 20_000
"""Outcomes of three cells (without the last) that are counted one by one; beyond them a bound does."""

Table = NDArray[np.float64]
"""Weights by grade and verdict, (…, grades, verdicts)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval; None where the labels say nothing of it."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """The three figures, to 1e-5."""
        return {name: _told(getattr(self, name)) for name in self.__slots__}

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} ({self.low:.2f}{'-' if self.low >= 0 else ' to '}{self.high:.2f})"


UNKNOWN = Estimate(None)


@dataclass(frozen=True, slots=True)
class Cell:
    """Rows of one kind: how many the run has, how many of them were labelled, and how many of those were right."""

    size: float
    labels: int
    right: int


@dataclass(frozen=True, slots=True)
class Stratum:
    """Labelled rows of one kind, with the judge's word as a guess: `right` and `guess` are float64 (labels,).

    `size` is how many rows of the kind the run has, `mean_guess` the mean of the guess over them.
    """

    size: float
    right: NDArray[np.float64]
    guess: NDArray[np.float64]
    mean_guess: float


def share(cells: Sequence[Cell], confidence: float = CONFIDENCE) -> Estimate:
    """The share of right rows, each cell weighed by its size; cells without a label are left out."""
    seen = [cell for cell in cells if cell.labels and cell.size > 0]
    if not seen:
        return UNKNOWN
    total = sum(cell.size for cell in seen)
    value = sum(cell.size / total * cell.right / cell.labels for cell in seen)
    smooth = sum(cell.size / total * _smooth(cell) for cell in seen)
    spread = sum((cell.size / total) ** 2 * _variance(cell) for cell in seen)
    return clopper_pearson(value, smooth * (1 - smooth) / spread, confidence)


def part(inside: Sequence[Cell], outside: Sequence[Cell], confidence: float = CONFIDENCE) -> Estimate:
    """Of all right rows, the share that lies in the first cells: the recall of a threshold.

    Unknown where rows of a cell are not labelled, or no right one was found.
    """
    both = [[cell for cell in cells if cell.size > 0] for cells in (inside, outside)]
    if not all(cell.labels for cells in both for cell in cells):
        return UNKNOWN
    a, b = (sum(cell.size * cell.right / cell.labels for cell in cells) for cells in both)
    if a + b == 0:
        return UNKNOWN
    if not (both[0] and both[1]):
        return Estimate(float(bool(both[0])), float(bool(both[0])), float(bool(both[0])))
    x, y = (sum(cell.size * _smooth(cell) for cell in cells) for cells in both)
    of_x, of_y = (sum(cell.size**2 * _variance(cell) for cell in cells) for cells in both)
    spread = (y**2 * of_x + x**2 * of_y) / (x + y) ** 4
    smooth = x / (x + y)
    return clopper_pearson(a / (a + b), smooth * (1 - smooth) / spread, confidence)


def _smooth(cell: Cell) -> float:
    """The share of right ones with one right and one wrong label more: no cell is taken to be without any spread."""
    return (cell.right + 1) / (cell.labels + 2)


def _variance(cell: Cell) -> float:
    return _smooth(cell) * (1 - _smooth(cell)) / cell.labels


def clopper_pearson(value: float, labels: float, confidence: float = CONFIDENCE) -> Estimate:
    """The exact interval of a share of `value` among so many labels, which need not be a whole number.

    >>> str(clopper_pearson(0.88, 73))
    '0.88 (0.78-0.94)'
    """
    right, rest = value * labels, (1 - value) * labels
    half = (1 - confidence) / 2
    low = 0.0 if right < 1e-9 else _root(lambda p: beta_cdf(right, rest + 1, p) - half)
    high = 1.0 if rest < 1e-9 else _root(lambda p: beta_cdf(right + 1, rest, p) - (1 - half))
    return Estimate(value, low, high)


def _root(rises: Callable[[float], float], low: float = 0.0, high: float = 1.0, rounds: int = 36) -> float:
    """Where a rising function is 0, by halving."""
    for _ in range(rounds):
        middle = (low + high) / 2
        low, high = (middle, high) if rises(middle) < 0 else (low, middle)
    return (low + high) / 2


def beta_cdf(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22).

    `beta_cdf(k, n - k + 1, p)` is the chance of k or more right ones of n where each is right with chance p.

    >>> round(beta_cdf(9, 2, 0.5), 5), round(11 / 1024, 5)
    (0.01074, 0.01074)
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - beta_cdf(b, a, 1 - x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    return front / _fraction(_terms(a, b, x))


def _terms(a: float, b: float, x: float) -> Iterator[float]:
    yield -(a + b) * x / (a + 1)
    m = 1
    while True:
        yield m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        yield -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        m += 1


def _fraction(terms: Iterator[float]) -> float:
    """1 + t1 / (1 + t2 / (1 + …)), by Lentz's method."""
    value = up = 1.0
    down = 0.0
    for term in terms:
        down = 1 / (_away_from_zero(1 + term * down))
        up = _away_from_zero(1 + term / up)
        value *= up * down
        if abs(up * down - 1) < 1e-14:
            break
    return value


def _away_from_zero(number: float) -> float:
    return number if abs(number) > 1e-300 else 1e-300


def prediction_powered(strata: Sequence[Stratum], confidence: float = CONFIDENCE) -> Estimate:
    """The share of right rows in the whole run: the judge's word on every row, mended by what the labels say of it.

    Prediction-powered inference (Angelopoulos et al. 2023, arXiv 2301.09633) within each stratum, the judge's weight
    chosen by the labels (2311.01453): a judge that knows nothing widens nothing. Where a stratum is one grade, its
    word is the same on all rows of it and what remains is the mean weighed by strata.
    """
    seen = [stratum for stratum in strata if len(stratum.right)]
    total = sum(stratum.size for stratum in seen)
    if not total:
        return UNKNOWN
    weight = _judge_weight(seen)
    value = smooth = spread = 0.0
    for stratum in seen:
        of_all, mean_guess = stratum.size / total, float(stratum.guess.mean())
        lift = weight * (stratum.mean_guess - mean_guess)
        left = np.append(stratum.right, [0.0, 1.0]) - weight * np.append(stratum.guess, [mean_guess, mean_guess])
        value += of_all * (float(stratum.right.mean()) + lift)
        smooth += of_all * (float(np.append(stratum.right, [0.0, 1.0]).mean()) + lift)
        spread += of_all**2 * float(left.var()) / len(stratum.right)
    value, smooth = min(max(value, 0.0), 1.0), min(max(smooth, 0.01), 0.99)
    return clopper_pearson(value, smooth * (1 - smooth) / spread, confidence)


def _judge_weight(strata: Sequence[Stratum]) -> float:
    """The weight of the guess that leaves the least spread, 0 to 1."""
    together = alone = 0.0
    for stratum in strata:
        scale = stratum.size**2 / len(stratum.right)
        guess = stratum.guess - stratum.guess.mean()
        together += scale * float((guess * (stratum.right - stratum.right.mean())).mean())
        alone += scale * float((guess**2).mean())
    return min(max(together / alone, 0.0), 1.0) if alone > 1e-12 else 0.0


def p_value(cells: Sequence[Cell], precision: float) -> float:
    """The largest chance of labels as good as these while at most `precision` of the rows are right.

    Exact for labels drawn at random within each cell. With one cell it is the tail of the binomial (draws without
    replacement stay below it); with two or three the worst case over all shares that weigh up to `precision` is looked
    for on a grid; with more, or many labels, it is Chernoff's bound in its worst case, which is never too small.
    A cell without labels counts as all wrong.
    """
    seen = sorted((cell for cell in cells if cell.labels), key=lambda cell: cell.labels)
    total = sum(cell.size for cell in cells)
    if not seen or not total:
        return 1.0
    sizes = np.array([cell.size / total for cell in seen])
    counts = np.array([cell.labels for cell in seen])
    reached = sum(cell.size / total * cell.right / cell.labels for cell in seen)
    if len(seen) == 1:
        least = min(precision / float(sizes[0]), 1.0)
        return beta_cdf(seen[0].right, seen[0].labels - seen[0].right + 1, least) if seen[0].right else 1.0
    if len(seen) in _STEPS and math.prod(int(n) + 1 for n in counts[:-1]) <= _MOST_OUTCOMES:
        return _worst_on_grid(sizes, counts, reached, precision)
    return _chernoff(sizes, counts, reached, precision)


def _worst_on_grid(sizes: Table, counts: NDArray[np.int64], reached: float, precision: float) -> float:
    """The largest chance, over shares of the cells on a grid, that the weighed share is `reached` or more."""
    steps = _STEPS[len(sizes)]
    ranges = [_range(size, precision) for size in sizes[:-1]]
    grids = [np.linspace(low, high, steps) for low, high in ranges]
    mesh = np.meshgrid(*grids, indexing="ij")
    rest = precision - sum(size * each for size, each in zip(sizes, mesh, strict=False))
    last = np.clip(rest / sizes[-1], 0.0, 1.0)
    allowed = rest >= -1e-12
    a = sizes / counts
    outcomes = np.meshgrid(*[np.arange(n + 1) for n in counts[:-1]], indexing="ij")
    got = sum(each * scale for each, scale in zip(outcomes, a, strict=False))
    needed = np.clip(np.ceil((reached - got) / a[-1] - 1e-9), 0, counts[-1] + 1).astype(np.int64)
    tails = _tails(int(counts[-1]), last)
    chances = [_chances(int(n), grid) for n, grid in zip(counts, grids, strict=False)]
    places = [n for n in np.ndindex(*[steps] * len(grids)) if allowed[n]]
    return min(max(_chance_at(chances, place, tails[place][needed]) for place in places), 1.0)


def _chance_at(chances: Sequence[Table], place: Sequence[int], tail: Table) -> float:
    """The mean of a tail over the outcomes of one or two cells whose shares stand at a place of their grids."""
    for each, number in zip(chances, place, strict=True):
        tail = each[number] @ tail
    return float(tail)


def _range(size: float, precision: float) -> tuple[float, float]:
    """Between what shares a cell of this size can lie while the whole is at `precision`."""
    return max(0.0, (precision - (1 - size)) / size), min(1.0, precision / size)


def _chances(labels: int, shares: Table) -> Table:
    """The chance of each number of right labels, (…, labels + 1)."""
    k = np.arange(labels + 1)
    ways = np.array([math.lgamma(labels + 1) - math.lgamma(n + 1) - math.lgamma(labels - n + 1) for n in k])
    p = np.clip(shares, 1e-300, 1 - 1e-16)[..., None]
    return np.asarray(np.exp(ways + k * np.log(p) + (labels - k) * np.log1p(-p)))


def _tails(labels: int, shares: Table) -> Table:
    """The chance of so many right labels or more, (…, labels + 2)."""
    chances = _chances(labels, shares)
    return np.concatenate([chances[..., ::-1].cumsum(axis=-1)[..., ::-1], np.zeros((*shares.shape, 1))], axis=-1)


def _chernoff(sizes: Table, counts: NDArray[np.int64], reached: float, precision: float) -> float:
    """Chernoff's bound on the chance that the weighed share is `reached`, for the shares that make it largest."""

    def log_chance(tilt: float) -> float:
        growth = np.expm1(tilt * sizes / counts)
        shares = _worst_shares(sizes, counts, growth, precision)
        return float((counts * np.log1p(shares * growth)).sum()) - tilt * reached

    low, high = 0.0, 300.0 / float((sizes / counts).max())
    for _ in range(60):  # the bound falls, then rises: the third that holds no minimum goes
        first, second = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, second) if log_chance(first) < log_chance(second) else (first, high)
    return min(1.0, math.exp(log_chance((low + high) / 2)))


def _worst_shares(sizes: Table, counts: NDArray[np.int64], growth: Table, precision: float) -> Table:
    """The shares, weighing up to `precision`, under which the exponential moment is largest; it is concave in them."""

    def shares(log_price: float) -> Table:
        return np.asarray(np.clip(counts / (math.exp(log_price) * sizes) - 1 / np.maximum(growth, 1e-300), 0.0, 1.0))

    return shares(_root(lambda price: precision - float((sizes * shares(price)).sum()), -50.0, 50.0, 60))


def shown(cells: Sequence[Cell], confidence: float = CONFIDENCE) -> float:
    """The largest precision that these labels show with this confidence, to 1e-3 and rounded down."""
    bound = _root(lambda precision: p_value(cells, precision) - (1 - confidence), rounds=10)
    return max(0.0, math.floor((bound - 5e-4) * 1000) / 1000)


def labels_needed(value: float, precision: float, confidence: float = CONFIDENCE, most: int = 20_000) -> int | None:
    """How many labels of which `value` are right would show `precision`; None where `most` would not.

    >>> labels_needed(1.0, 0.9), labels_needed(0.95, 0.9), labels_needed(0.9, 0.9)
    (29, 116, None)
    """
    if value <= precision:
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        right = math.floor(value * middle + 1e-9)
        enough = p_value([Cell(1, middle, right)], precision) <= 1 - confidence
        low, high = (low, middle) if enough else (middle + 1, high)
    return low if low < most else None


def exact_agreement(table: Table) -> Table:
    """The share on the diagonal, (…); NaN for an empty table."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.trace(table, axis1=-2, axis2=-1) / table.sum(axis=(-2, -1)))


def kappa(table: Table, *, quadratic: bool = False) -> Table:
    """Cohen's kappa (1960), or with quadratic weights (1968), (…); NaN where both always say the same one thing."""
    n = table.shape[-1]
    off = np.abs(np.subtract.outer(np.arange(n), np.arange(n))).astype(np.float64)
    cost = off**2 if quadratic else (off > 0).astype(np.float64)
    total = table.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = (table.sum(axis=-1)[..., :, None] * table.sum(axis=-2)[..., None, :] * cost).sum(axis=(-2, -1))
        observed = (table * cost).sum(axis=(-2, -1))
        return np.asarray(1 - observed * total / np.where(expected > 0, expected, np.nan))


def spearman(table: Table) -> Table:
    """The correlation of the ranks, ties sharing theirs, (…); NaN where one side is always the same."""
    total = table.sum(axis=(-2, -1), keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share_of = table / total
        rows, columns = share_of.sum(axis=-1), share_of.sum(axis=-2)
        x, y = (each.cumsum(axis=-1) - each / 2 - 0.5 for each in (rows, columns))
        together = (share_of * x[..., :, None] * y[..., None, :]).sum(axis=(-2, -1))
        alone = (rows * x**2).sum(axis=-1) * (columns * y**2).sum(axis=-1)
        return np.asarray(together / np.sqrt(np.where(alone > 1e-15, alone, np.nan)))


def auc(table: Table, right_from: int = 2) -> Table:
    """The chance that a right row has the higher grade than a wrong one, ties counting half, (…); NaN without both."""
    right, wrong = table[..., right_from:].sum(axis=-1), table[..., :right_from].sum(axis=-1)
    below = wrong.cumsum(axis=-1) - wrong / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = right.sum(axis=-1) * wrong.sum(axis=-1)
        return np.asarray((right * below).sum(axis=-1) / np.where(pairs > 0, pairs, np.nan))


def weighed(tables: Sequence[Table], sizes: Sequence[float]) -> Table:
    """One table of several strata's counts, each weighed by how many rows of the run one label stands for."""
    return np.asarray(sum(table * size / max(table.sum(), 1) for table, size in zip(tables, sizes, strict=True)))


def with_interval(
    measure: Callable[[Table], Table],
    tables: Sequence[Table],
    sizes: Sequence[float],
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Estimate:
    """A measure of the weighed table, with its bootstrap interval: labels drawn again within each stratum."""
    value = float(measure(weighed(tables, sizes)))
    if not math.isfinite(value):
        return UNKNOWN
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = np.zeros((RESAMPLES, *tables[0].shape))
    for table, size in zip(tables, sizes, strict=True):
        count = int(table.sum())
        if count:
            again = rng.multinomial(count, table.ravel() / count, RESAMPLES).reshape(drawn.shape)
            drawn += again * (size / count)
    found = measure(drawn)
    half = (1 - confidence) / 2
    low, high = np.quantile(found[np.isfinite(found)], [half, 1 - half])
    return Estimate(value, float(low), float(high))


def _told(number: float | None) -> float | None:
    return None if number is None else round(number, 5)
