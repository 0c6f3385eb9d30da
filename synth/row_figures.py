"""What the steps noted on the rows, summed up: lengths, grades, ranks, where the evidence lies, negatives.

    tally = RowTally()
    for row in rows: tally.add(row)
    tally.grades()["judge"]   ->  Histogram(n=812, mean=2.61, counts={"2": 317, "3": 495})

Rows may come in any order. What was not noted is not measured: it is missing, or None, and never 0.
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from synth.chunks import word_count
from synth.types import Document, Example

DEPTH = 100
"""How far ranks are looked for; what is beyond was not found."""

MARKS = {"least": 0.0, "5%": 0.05, "25%": 0.25, "50%": 0.5, "75%": 0.75, "95%": 0.95, "most": 1.0}
_NO_GRADES = {"score", "attempts", "agreement"}
_FIFTHS = 5
_COUNTED = 20_000
"""Characters whose words are counted; those of a longer text are estimated by them."""


def quantiles(values: Sequence[int]) -> dict[str, int] | None:
    """The least, the most, and what 5, 25, 50, 75 and 95 % of the values do not exceed; None for no values.

    >>> quantiles([4, 1, 3, 2])
    {'least': 1, '5%': 1, '25%': 1, '50%': 2, '75%': 3, '95%': 4, 'most': 4}
    """
    ranked = sorted(values)
    if not ranked:
        return None
    return {name: ranked[max(0, math.ceil(share * len(ranked)) - 1)] for name, share in MARKS.items()}


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long n texts are: quantiles (see `quantiles`) of their words and characters, None where n is 0."""

    n: int
    words: Mapping[str, int] | None
    characters: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Grades of n documents: how many have each; of finer ones, how many lie from each bound up to the next."""

    n: int
    mean: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Where the positives of n rows stand for their own query: shares at rank 1, up to 10, and not within DEPTH.

    `documents` is how many they were ranked among, None where an earlier step noted the ranks.
    """

    n: int
    first: float | None
    ten: float | None
    not_found: float | None
    documents: int | None = None


@dataclass(frozen=True, slots=True)
class Fifths:
    """In which fifth of a longer text something lies, from beginning to end, of n rows for which it is known."""

    n: int
    counts: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Gap:
    """How far the hardest negative of n rows stays below the positive; `above` is the share where it does not."""

    n: int
    mean: float
    median: float
    above: float


@dataclass(frozen=True, slots=True)
class Negatives:
    """The negatives of n rows with a query and a positive.

    `mean` is how many a row has, `none` the share of rows without; `origins` counts them all, `written` is the share
    that a model wrote. `gaps` has a Gap for each score that positive and negatives both carry.
    """

    n: int
    mean: float | None
    none: float | None
    origins: Mapping[str, int]
    written: float | None
    gaps: Mapping[str, Gap]


def share(count: int, of: int) -> float | None:
    """The share that a count is, to five places; None of nothing."""
    return round(count / of, 5) if of else None


def _words(text: str) -> int:
    counted = word_count(text[:_COUNTED])
    return counted if len(text) <= _COUNTED else round(counted * len(text) / _COUNTED)


def _mean(values: Sequence[float]) -> float:
    return round(math.fsum(values) / len(values), 5)


@dataclass(slots=True)
class RowTally:
    """Sums over rows that come one by one."""

    query_words: list[int] = field(default_factory=list)
    query_characters: list[int] = field(default_factory=list)
    positive_words: list[int] = field(default_factory=list)
    positive_characters: list[int] = field(default_factory=list)
    noted: dict[str, Counter[float]] = field(default_factory=dict)
    ranked: dict[str, Counter[int]] = field(default_factory=dict)
    pairs: int = 0
    negatives: Counter[int] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    below: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: Example) -> None:
        """Count a row that was kept."""
        if row.query:
            self.query_words.append(_words(row.query))
            self.query_characters.append(len(row.query))
        if row.positives:
            self.positive_words.append(_words(row.positive.text))
            self.positive_characters.append(len(row.positive.text))
        self.judge(row)
        if row.query and row.positives:
            self._count_negatives(row)

    def judge(self, row: Example) -> None:
        """Count only what judges and searches said of a row: what is known of dropped ones too."""
        for name, grade in _grades(row).items():
            self.noted.setdefault(name, Counter())[grade] += 1
        ranks = row.meta.get("ranks")
        for name, rank in ranks.items() if isinstance(ranks, Mapping) else ():
            if _is_number(rank):
                self.ranked.setdefault(str(name), Counter())[int(rank)] += 1

    def _count_negatives(self, row: Example) -> None:
        self.pairs += 1
        self.negatives[len(row.negatives)] += 1
        self.origins.update(document.origin for document in row.negatives)
        for name, score in row.positive.scores.items():
            rivals = [document.scores[name] for document in row.negatives if name in document.scores]
            if rivals and math.isfinite(score) and all(map(math.isfinite, rivals)):
                self.below.setdefault(name, []).append(score - max(rivals))

    def queries(self) -> Lengths:
        """How long the queries are."""
        return Lengths(len(self.query_words), quantiles(self.query_words), quantiles(self.query_characters))

    def positives(self) -> Lengths:
        """How long the first positives are."""
        return Lengths(len(self.positive_words), quantiles(self.positive_words), quantiles(self.positive_characters))

    def grades(self) -> dict[str, Histogram]:
        """The grades by criterion: `judge`, `judge_<criterion or judge>` and `<step>.<field>` of its verdicts."""
        return {name: histogram(counts) for name, counts in sorted(self.noted.items())}

    def ranks(self) -> dict[str, Ranks]:
        """The ranks that searches noted, by what they are called: bm25, cosine, fused …"""
        return {name: ranks_of(counts) for name, counts in sorted(self.ranked.items())}

    def negative_figures(self) -> Negatives:
        """The negatives."""
        total = self.origins.total()
        return Negatives(
            n=self.pairs,
            mean=share(total, self.pairs),
            none=share(self.negatives[0], self.pairs),
            origins=dict(sorted(self.origins.items())),
            written=share(self.origins["written"], total),
            gaps={name: _gap(values) for name, values in sorted(self.below.items())},
        )


def _grades(row: Example) -> dict[str, float]:
    """What judges said of a row's first positive, by criterion: its scores, and the numbers of a verdict in `meta`.

    A verdict is told with its prompt and its model, and one number in it is called `score`.
    """
    if not row.positives:
        return {}
    scores = row.positives[0].scores
    by_judges = {name: value for name, value in scores.items() if name == "judge" or name.startswith("judge_")}
    found = {name: float(value) for name, value in by_judges.items() if _is_number(value)}
    for step, verdict in row.meta.items():
        if isinstance(verdict, Mapping) and {"prompt", "model", "score"} <= verdict.keys():
            numbers = {name: value for name, value in verdict.items() if name not in _NO_GRADES and _is_number(value)}
            found |= {f"{step}.{name}": float(value) for name, value in numbers.items()}
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def histogram(counts: Mapping[float, int]) -> Histogram:
    """Whole grades as they are; others in steps of 1, or of 0.1 where none is above 1. `counts` is not empty.

    >>> histogram({2.0: 3, 3.0: 1}).counts, histogram({0.25: 3, 0.99: 1, 1.0: 1}).counts
    ({'2': 3, '3': 1}, {'0.2': 3, '0.9': 1, '1.0': 1})
    """
    binned: Counter[str] = Counter()
    fine = max(counts) <= 1 and any(grade != int(grade) for grade in counts)
    for grade in sorted(counts):
        name = f"{math.floor(grade * 10 + 1e-9) / 10:.1f}" if fine else f"{math.floor(grade)}"
        binned[name] += counts[grade]
    n = sum(counts.values())
    total = math.fsum(grade * times for grade, times in counts.items())
    return Histogram(n, round(total / n, 5), dict(binned))


def ranks_of(counts: Mapping[int, int], documents: int | None = None) -> Ranks:
    """The shares of ranks, which count from 1.

    >>> ranks_of({1: 5, 7: 3, 101: 2})
    Ranks(n=10, first=0.5, ten=0.8, not_found=0.2, documents=None)
    """
    n = sum(counts.values())
    first, ten, found = (sum(times for rank, times in counts.items() if rank <= most) for most in (1, 10, DEPTH))
    return Ranks(n, share(first, n), share(ten, n), share(n - found, n), documents)


def _gap(below: Sequence[float]) -> Gap:
    above = sum(each <= 0 for each in below)
    return Gap(len(below), _mean(below), round(statistics.median(below), 5), round(above / len(below), 5))


def fifths(places: Iterable[float | None]) -> Fifths:
    """How many places (0 the beginning, 1 the end) lie in each fifth; None is a row for which it is not known.

    >>> fifths([0.0, 0.19, 0.5, 1.0, None])
    Fifths(n=4, counts=(2, 0, 1, 0, 1))
    """
    counts = Counter(min(_FIFTHS - 1, int(place * _FIFTHS)) for place in places if place is not None)
    known = counts.total()
    return Fifths(known, tuple(counts[fifth] for fifth in range(_FIFTHS)) if known else None)


def evidence_place(row: Example, whole: str) -> float | None:
    """Where in a text the evidence for a row's query lies, 0 to 1 by its middle; None where that is not known.

    Evidence is what a writer quoted (`evidence` of its answer), looked for in the first positive, or a query that
    stands word for word in `whole`, the document it was cut from. What stands there twice, or takes more than a fifth
    of the text, has no place.
    """
    quotes = [quote for quote in _quotes(row) if quote.strip()]
    if quotes:
        return _place(quotes[0], row.positives[0].text) if row.positives else None
    return _place(row.query, whole) if row.query else None


def _quotes(row: Example) -> list[str]:
    """The texts that a writer gave as its evidence."""
    found: list[str] = []
    for noted in row.meta.values():
        answer = noted.get("answer") if isinstance(noted, Mapping) else None
        quoted = answer.get("evidence") if isinstance(answer, Mapping) else None
        found.extend([quoted] if isinstance(quoted, str) else map(str, quoted) if isinstance(quoted, list) else ())
    return found


def _place(part: str, text: str) -> float | None:
    """Where the middle of a part lies in a text, 0 to 1."""
    if _FIFTHS * len(part) > len(text):
        return None
    start = text.find(part)
    if start < 0 or text.find(part, start + 1) >= 0:
        return None
    return (start + len(part) / 2) / len(text)


def piece_place(document: Document, pieces: Mapping[str, int]) -> float | None:
    """Where in its parent a piece lies, 0 to 1 by its middle; `pieces` says how many each parent has.

    Pieces are numbered from 0, as in `guide.md#3`. A parent of fewer than five has no fifths.
    """
    parent, _, number = document.doc_id.rpartition("#")
    total = pieces.get(parent, 0)
    if not parent or parent != document.parent_id or not number.isdecimal() or not _FIFTHS <= total > int(number):
        return None
    return (int(number) + 0.5) / total


def pieces_of(documents: Iterable[Document]) -> dict[str, int]:
    """How many pieces each parent was cut into, by the numbers in their ids."""
    found: dict[str, int] = {}
    for document in documents:
        parent, _, number = document.doc_id.rpartition("#")
        if parent and parent == document.parent_id and number.isdecimal():
            found[parent] = max(found.get(parent, 0), int(number) + 1)
    return found
