"""What labels say of one judge: agreement, thresholds, and which threshold is shown to be precise enough.

    judged(Graded("judge", "positive", items, grades, plain=False), 0.9, 0.95).chosen  ->  2.0

Thresholds are tested one after the other, from the highest that its labels could show anything of down to the lowest,
for the hypothesis that at most `precision` of the pairs from there on are right, by an exact p-value
(`agreement.p_value`); the first that cannot be refuted ends it. This is fixed-sequence testing as Learn then Test has
it (Angelopoulos et al. 2021, arXiv 2110.01052); which are tested follows from numbers of labels, never from verdicts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from synth.agreement import (
    UNKNOWN,
    Cell,
    Estimate,
    Stratum,
    Table,
    auc,
    exact_agreement,
    kappa,
    labels_needed,
    p_value,
    part,
    prediction_powered,
    share,
    shown,
    spearman,
    with_interval,
)
from synth.labels import top_of

GRADES = 4
RIGHT = 2
"""The lowest verdict that is right."""
MOST_GRADES = 12
"""With more different grades than this, thresholds stand at tenths of the scale."""


@dataclass(frozen=True, slots=True)
class Item:
    """A pair that a judge graded and a person too."""

    stratum: str
    grade: float
    verdict: int
    kept: bool

    @property
    def right(self) -> bool:
        """Whether the person took the document for an answer."""
        return self.verdict >= RIGHT


@dataclass(frozen=True)
class Graded:
    """All that is known of one judge on one kind of documents: the labelled pairs, and the grades of all pairs.

    `grades` counts the run's pairs by stratum, grade and whether they were kept. `plain`: the labels are one random
    sample of all of them, whatever the strata.
    """

    judge: str
    role: str
    items: Sequence[Item]
    grades: Mapping[tuple[str, float, bool], float]
    plain: bool

    def cells(self, least: float, most: float = np.inf, kept: bool | None = None) -> list[Cell]:
        """The pairs with a grade from `least` up to but not including `most`, a cell for each stratum."""
        sizes: dict[str, float] = {}
        for (stratum, grade, fate), count in self.grades.items():
            if least <= grade < most and kept in (None, fate):
                name = "" if self.plain else stratum
                sizes[name] = sizes.get(name, 0) + count
        labelled, right = Counter[str](), Counter[str]()
        for item in self.items:
            if least <= item.grade < most and kept in (None, item.kept):
                labelled["" if self.plain else item.stratum] += 1
                right["" if self.plain else item.stratum] += item.right
        return [Cell(size, labelled[name], right[name]) for name, size in sorted(sizes.items())]

    @cached_property
    def size(self) -> int:
        """How many pairs of the run the judge graded."""
        return round(sum(self.grades.values()))

    @cached_property
    def steps(self) -> list[float]:
        """Where a threshold may stand, from the lowest grade up; tenths of the scale where grades are many."""
        found = sorted({grade for _, grade, _ in self.grades})
        if len(found) <= MOST_GRADES:
            return found
        tenth = top_of(found[-1]) / 10
        return [found[0], *(round(n * tenth, 5) for n in range(1, 10) if found[0] < n * tenth <= found[-1])]

    @cached_property
    def tables(self) -> tuple[list[Table], list[float]]:
        """Counts of labels by grade and verdict, (grades, 4), of each stratum; and how many pairs each has."""
        levels = {grade: n for n, grade in enumerate(self.levels)}
        tables: dict[str, Table] = {}
        for item in self.items:
            name = "" if self.plain else item.stratum
            table = tables.setdefault(name, np.zeros((len(levels), GRADES)))
            table[levels[item.grade], item.verdict] += 1
        sizes = dict.fromkeys(sorted(tables), 0.0)
        for (stratum, _, _), count in self.grades.items():
            sizes["" if self.plain else stratum] = sizes.get("" if self.plain else stratum, 0.0) + count
        return [tables[name] for name in sorted(tables)], [sizes[name] for name in sorted(tables)]

    @property
    def levels(self) -> list[float]:
        """The rows of `tables`: 0 to 3 for a judge that grades as people do, else the grades of labelled pairs."""
        return [0.0, 1.0, 2.0, 3.0] if self.as_people else sorted({item.grade for item in self.items})

    @cached_property
    def as_people(self) -> bool:
        """Whether the judge grades as people do here: 0, 1, 2 or 3."""
        return all(grade in (0, 1, 2, 3) for _, grade, _ in self.grades)

    @property
    def usual(self) -> float:
        """The grade from which a judge is mostly believed: two thirds up its scale, 2 of 3; 0.5 of a probability."""
        top = top_of(max(grade for _, grade, _ in self.grades))
        return 0.5 if top == 1 else 2 * top / 3

    def strata(self) -> Iterator[Stratum]:
        """The labelled pairs of each stratum, with the judge's grade as a guess from 0 to 1."""
        top = top_of(max(grade for _, grade, _ in self.grades))
        for name in sorted({"" if self.plain else item.stratum for item in self.items}):
            items = [item for item in self.items if self.plain or item.stratum == name]
            every = {key: n for key, n in self.grades.items() if self.plain or key[0] == name}
            size = sum(every.values())
            mean = sum(grade * n for (_, grade, _), n in every.items()) / size / top
            right = np.array([item.right for item in items], dtype=np.float64)
            yield Stratum(size, right, np.array([item.grade / top for item in items]), mean)


@dataclass(frozen=True, slots=True)
class Threshold:
    """What keeping grades from `least` up would mean. `p` is None where it was not tested.

    `precision`: of what is kept, the share that is right; `recall`: of what is right, the share that is kept;
    `lost`: of what is not kept, the share that is right. `labels`: how many labels have such a grade.
    """

    least: float
    labels: int
    precision: Estimate
    recall: Estimate
    lost: Estimate
    p: float | None
    shown: bool


@dataclass(frozen=True)
class Judged:
    """One judge beside people's verdicts, on the positives or the negatives; `chosen` is the threshold to set, if any.

    `right` is the share of right ones among all pairs the judge graded, `kept` and `dropped` among those that the run
    kept and dropped; `uncovered` counts the pairs of strata of which nobody labelled any.
    """

    graded: Graded
    thresholds: Sequence[Threshold]
    figures: Mapping[str, Estimate]
    chosen: float | None
    told: str

    @property
    def uncovered(self) -> int:
        """Pairs of the run that lie in strata without labels."""
        return round(sum(cell.size for cell in self.graded.cells(-np.inf) if not cell.labels))

    def confusion(self) -> list[tuple[str, list[int], int, Estimate]]:
        """For each grade, or step of the scale: its name, labels by verdict, pairs of the run, share of right ones."""
        found = []
        steps = self.graded.steps
        for low, high in zip(steps, [*steps[1:], np.inf], strict=True):
            items = [item for item in self.graded.items if low <= item.grade < high]
            counts = [sum(item.verdict == verdict for item in items) for verdict in range(GRADES)]
            cells = self.graded.cells(low, high)
            found.append((f"{low:g}", counts, round(sum(cell.size for cell in cells)), share(cells)))
        return found

    def to_json(self) -> dict[str, Any]:
        """All figures."""
        return {
            "judge": self.graded.judge,
            "of": self.graded.role,
            "labels": len(self.graded.items),
            "pairs": self.graded.size,
            "uncovered": self.uncovered,
            "confusion": {name: counts for name, counts, _, _ in self.confusion()},
            **{name: figure.to_json() for name, figure in self.figures.items()},
            "thresholds": [_plain(threshold) for threshold in self.thresholds],
            "least": self.chosen,
            "told": self.told,
        }


def _plain(threshold: Threshold) -> dict[str, Any]:
    estimates = {name: getattr(threshold, name).to_json() for name in ("precision", "recall", "lost")}
    p = None if threshold.p is None else round(threshold.p, 5)
    return {"least": threshold.least, "labels": threshold.labels, **estimates, "p": p, "shown": threshold.shown}


def judged(graded: Graded, precision: float, confidence: float) -> Judged:
    """All figures of a judge, and the lowest threshold that is shown to reach `precision`."""
    tests = p_values(graded, precision, confidence)
    passed = [least for least, p in tests.items() if p <= 1 - confidence]
    thresholds = [_threshold(graded, least, tests.get(least), confidence) for least in graded.steps]
    chosen = min(passed, default=None)
    told = _told(graded, thresholds, precision, confidence)
    return Judged(graded, thresholds, _figures(graded, confidence), chosen, told)


def p_values(graded: Graded, precision: float, confidence: float) -> dict[float, float]:
    """The p-values of the thresholds that are tested, in the order of the tests; the last may have failed.

    The first is the highest whose labels could show the precision although one of them is wrong; where there is none,
    the highest that could if all are right. The lowest, which keeps everything, comes first only if no other could.
    """
    *steps, lowest = graded.steps[::-1]
    for several in (steps, [lowest]):
        for wrong in (1, 0):
            for place, least in enumerate(several):
                if p_value(_all_but(graded.cells(least), wrong), precision) <= 1 - confidence:
                    return _in_turn(graded, [*several[place:], lowest], precision, confidence)
    return {}


def _in_turn(graded: Graded, steps: Sequence[float], precision: float, confidence: float) -> dict[float, float]:
    found = {}
    for least in steps:
        found[least] = p_value(graded.cells(least), precision)
        if found[least] > 1 - confidence:
            break
    return found


def _all_but(cells: Sequence[Cell], wrong: int) -> list[Cell]:
    """The cells as if all labels were right but so many, where one weighs most."""
    heaviest = max((cell for cell in cells if cell.labels), key=lambda cell: cell.size / cell.labels, default=None)
    return [Cell(c.size, c.labels, c.labels - wrong if c is heaviest else c.labels) for c in cells]


def _threshold(graded: Graded, least: float, p: float | None, confidence: float) -> Threshold:
    above, below = graded.cells(least), graded.cells(-np.inf, least)
    return Threshold(
        least=least,
        labels=sum(cell.labels for cell in above),
        precision=share(above, confidence),
        recall=part(above, below, confidence),
        lost=share(below, confidence),
        p=p,
        shown=p is not None and p <= 1 - confidence,
    )


def _figures(graded: Graded, confidence: float) -> dict[str, Estimate]:
    tables, sizes = graded.tables
    usual = [level >= graded.usual for level in graded.levels]

    measures = {
        "exact": exact_agreement,
        "kappa": kappa,
        "kappa_quadratic": lambda table: kappa(table, quadratic=True),
        "kappa_right": lambda table: kappa(halved(table, usual)),
        "spearman": spearman,
        "auc": auc,
    }
    of_grades = {"exact", "kappa", "kappa_quadratic"}
    found = {
        name: with_interval(measure, tables, sizes, confidence)
        if graded.as_people or name not in of_grades
        else UNKNOWN
        for name, measure in measures.items()
    }
    found["right"] = prediction_powered(list(graded.strata()), confidence)
    for fate in ("kept", "dropped"):
        found[fate] = share(graded.cells(-np.inf, kept=fate == "kept"), confidence)
    return found


def _told(graded: Graded, thresholds: Sequence[Threshold], precision: float, confidence: float) -> str:
    """What is shown, or how far it is from that and what would help."""
    passed = [each for each in thresholds if each.shown]
    if passed:
        return (
            f"shown with {confidence:.0%} confidence: from {passed[0].least:g} on, at least {precision:g} of the "
            f"{graded.role}s are right"
        )
    seen = [each for each in thresholds if each.precision.value is not None]
    best = max(seen, key=lambda each: (each.precision.value or 0.0, each.labels))
    first = next((each for each in thresholds[::-1] if each.p is not None), best)
    told = (
        f"no threshold can be shown to reach {precision:g}; the best, {best.least:g}, reaches {best.precision} "
        f"on {best.labels} labels"
    )
    more = _labels_more(graded, best, precision, confidence)
    if more:
        return f"{told}; label about {more:,} more (synth label --most {more + len(graded.items)}), then look once more"
    least = shown(graded.cells(first.least), confidence)
    return f"{told}: more labels will hardly help; from {first.least:g} on at least {least:g} is shown"


def _labels_more(graded: Graded, best: Threshold, precision: float, confidence: float) -> int | None:
    """How many labels more would show it, were the share that is right as it looks now; None where none would."""
    cells = [cell for cell in graded.cells(best.least) if cell.labels]
    total = sum(cell.size for cell in cells)
    worth = 1 / sum((cell.size / total) ** 2 / cell.labels for cell in cells)
    likely = min(best.precision.value or 0.0, 1 - 1 / (worth + 2))
    needed = labels_needed(likely, precision, confidence)
    return None if needed is None else max(1, round((needed / worth - 1) * len(graded.items)))


def halved(table: Table, high: Sequence[bool]) -> Table:
    """A table of two grades, those not in `high` and those in it, by two verdicts: wrong and right, (…, 2, 2)."""
    rows = [table[..., np.array(high) == side, :].sum(axis=-2) for side in (False, True)]
    both = np.stack(rows, axis=-2)
    return np.stack([both[..., :RIGHT].sum(axis=-1), both[..., RIGHT:].sum(axis=-1)], axis=-1)
