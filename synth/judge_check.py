"""`synth judge-check`: how far a run's judge can be believed, by what people said of some of its pairs.

    keep from  labels  precision         recall            below it, right
    2             294  0.91 (0.88-0.94)  0.92 (0.91-0.94)  0.24 (0.20-0.29)
    3             131  0.94 (0.88-0.97)  0.59 (0.58-0.61)  0.58 (0.54-0.62)

    shown with 95% confidence: from 2 on, at least 0.85 of the positives are right
    --set judge.least=2

What is shown holds for labels drawn at random within each grade, as `synth label` draws them, and looked at once: in at
most 5 of 100 such drawings is a threshold named from which on fewer than `precision` of the run's pairs are right. Who
labels more and looks again takes that chance again. Rows of other documents or another judge are another matter.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median_low
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.agreement import Estimate, exact_agreement, kappa, with_interval
from synth.errors import CorpusError
from synth.judge_figures import GRADES, RIGHT, Graded, Item, Judged, halved, judged
from synth.labels import JUDGE, Kind, Label, Pair, Strata, pairs, read_labels
from synth.runs import RunFolder, open_run
from synth.terminal import shown
from synth.yaml12 import read_yaml

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 80


@dataclass(frozen=True)
class Checked:
    """What a run's judges are worth by a file of labels; the first of `judges` is the one whose threshold is set."""

    run: Path
    labels: Path
    precision: float
    confidence: float
    judges: Sequence[Judged]
    notes: Sequence[str]
    setting: str

    def to_json(self) -> dict[str, Any]:
        """All figures of all judges; `set` is the option to set, None where no threshold can be shown to do."""
        return {
            "run": str(self.run),
            "labels": str(self.labels),
            "precision": self.precision,
            "confidence": self.confidence,
            "judges": [judged.to_json() for judged in self.judges],
            "notes": list(self.notes),
            "set": self.setting or None,
        }

    def print(self, console: "Console") -> None:
        """The first judge whole, the others a line each, and at the end what to set."""
        for line in self.lines():
            console.print(shown(line), soft_wrap=True)

    def lines(self) -> Iterator[str]:
        """What is printed."""
        yield from _main_lines(self.judges[0], self.confidence)
        if len(self.judges) > 1:
            yield ""
            yield f"{'judge':<22}{'labels':>6}  {'kappa, quadratic':<17} {'AUC':<17} right in the run"
        for other in self.judges[1:]:
            name = f"{other.graded.judge} ({other.graded.role})"
            kappa_, auc_ = other.figures["kappa_quadratic"], other.figures["auc"]
            figures = f"{kappa_!s:<17} {auc_!s:<17} {other.figures['right']}"
            yield f"{name[:21]:<22}{len(other.graded.items):>6}  {figures}"
        yield ""
        for text in (*self.notes, self.judges[0].told):
            yield from wrap(text, WIDTH, break_on_hyphens=False)
        if self.setting:
            yield f"--set {self.setting}"


def _main_lines(judged: Judged, confidence: float) -> Iterator[str]:
    graded, figures = judged.graded, judged.figures
    yield f"{graded.judge} on {graded.size:,} {graded.role}s, {len(graded.items)} of them labelled"
    yield ""
    yield f"{'judge says':<12}{'a person says':<25}{'in the run':>11}  right"
    yield f"{'':<11}" + "".join(f"{verdict:>5}" for verdict in range(GRADES))
    for name, counts, size, right in judged.confusion():
        yield f"{name:<11}" + "".join(f"{count:>5}" for count in counts) + f"{size:>16,}  {right}"
    yield ""
    yield f"same verdict     {figures['exact']}"
    yield f"Cohen's kappa    {figures['kappa']}, quadratic weights {figures['kappa_quadratic']}"
    yield f"right or not     kappa {figures['kappa_right']}, AUC {figures['auc']}"
    yield f"rank correlation {figures['spearman']}"
    yield ""
    yield f"{'keep from':<11}{'labels':>6}  {'precision':<17} {'recall':<17} below it, right"
    for each in judged.thresholds:
        of_it = f"{each.precision!s:<17} {each.recall!s:<17} {each.lost}"
        yield f"{each.least:<11g}{each.labels:>6}  {of_it}"
    yield ""
    yield f"right in the run {figures['right']}"
    yield f"of what it kept  {figures['kept']}, of what it dropped {figures['dropped']}"
    yield f"Right: a verdict of 2 or 3. In brackets: {confidence:.0%} intervals. Weighed to the run."


def judge_check(folder: Path, labels: Path, precision: float = 0.9, confidence: float = 0.95) -> Checked:
    """Join labels to the grades of a run's judges and tell how far these can be believed.

    Raises CorpusError where the run has no judge, the file holds a bad line, or none of its labels is of a graded pair.
    """
    run = open_run(folder)
    found = _Found(run, read_labels(labels))
    if not found.grades:
        raise CorpusError(f"{run.folder}: no judge graded any row of this run; add the step `judge` to its recipe")
    graded = list(found.graded())
    if not graded:
        raise CorpusError(
            f"{labels}: none of its labels is of a pair that this run's judge graded; "
            f"`synth label {run.folder}` asks for some"
        )
    judges = [judged(each, precision, confidence) for each in graded]
    first, name = judges[0], _judge_step(run)
    sets = first.chosen is not None and name and (first.graded.judge, first.graded.role) == (JUDGE, "positive")
    setting = f"{name}.least={first.chosen:g}" if sets else ""
    return Checked(run.folder, labels, precision, confidence, judges, list(found.notes()), setting)


def _judge_step(run: RunFolder) -> str:
    """The name of the step that judges; "" where there is none."""
    place = run.folder / "recipe.yaml"
    steps = read_yaml(place.read_text(encoding="utf-8"), str(place)).get("steps", ())
    return next((str(step["name"]) for step in steps if step.get("use") == JUDGE), "")


class _Found:
    """What one reading of a run finds: the labelled pairs, and how many pairs have which grades."""

    def __init__(self, run: RunFolder, labels: Sequence[Label]) -> None:
        self._labels = labels
        self._verdicts = _settled(labels)
        self._drawn_from = {label.pair: label.stratum for label in labels}
        self._pairs = {label.pair for label in labels}
        self._known = {key: label.pair for label in labels for key in _keys(label.row, label.document, label.doc_id)}
        self._known |= {(label.pair, ""): label.pair for label in labels}
        self.grades: Counter[tuple[str, Kind, float, bool]] = Counter()
        self.pairs: dict[str, Pair] = {}
        self.strata = Strata(self._count(pair) for pair in pairs(run))

    def _count(self, pair: Pair) -> Kind:
        kind, kept = Strata.kind(pair), pair.fate == "kept"
        for name, grade in pair.grades.items():
            self.grades[name, kind, round(grade, 5), kept] += 1
        keys = ((pair.id, ""), *_keys(pair.row.id, pair.document.text, pair.document.doc_id))
        known = next((self._known[key] for key in keys if key in self._known), None)
        if known is not None:
            self.pairs.setdefault(known, pair)
        return kind

    def graded(self) -> Iterator[Graded]:
        """Each judge on positives and on negatives, as far as there are labels of what it graded; `judge` first."""
        names = {(name, kind.role) for name, kind, _, _ in self.grades}
        for name, role in sorted(names, key=lambda each: (each[0] != JUDGE, each[1] != "positive", each)):
            known = {p: pair for p, pair in self.pairs.items() if pair.role == role and name in pair.grades}
            items = [
                Item(self._stratum(p), round(pair.grades[name], 5), verdict, pair.fate == "kept")
                for p, pair in known.items()
                if (verdict := self._verdicts.get(p)) is not None
            ]
            if items:
                plain = len({label.weight for label in self._labels if label.pair in known}) == 1
                grades = self._guessed(items) if self._moved and not plain else self._counted(name, role)
                yield Graded(name, role, items, grades, plain)

    @cached_property
    def _moved(self) -> bool:
        """Whether labels were drawn by other grades than this run's: those of another judge, say."""
        return any(self._drawn_from.get(p, "") not in ("", self._here(p)) for p in self.pairs)

    def _here(self, pair: str) -> str:
        return self.strata.name(Strata.kind(self.pairs[pair]))

    def _stratum(self, pair: str) -> str:
        return (self._drawn_from.get(pair, "") if self._moved else "") or self._here(pair)

    def _counted(self, name: str, role: str) -> dict[tuple[str, float, bool], float]:
        found: Counter[tuple[str, float, bool]] = Counter()
        for (judge, kind, grade, kept), count in self.grades.items():
            if (judge, kind.role) == (name, role):
                found[self.strata.name(kind), grade, kept] += count
        return dict(found)

    def _guessed(self, items: Sequence[Item]) -> dict[tuple[str, float, bool], float]:
        """How many pairs have which grades, as far as the labels tell: each stands for its part of its stratum."""
        sizes = {label.stratum: label.of for label in self._labels}
        labelled = Counter(item.stratum for item in items)
        found: dict[tuple[str, float, bool], float] = {}
        for item in items:
            key = (item.stratum, item.grade, item.kept)
            found[key] = found.get(key, 0.0) + (sizes.get(item.stratum, 0) or 1) / labelled[item.stratum]
        return found

    def notes(self) -> Iterator[str]:
        """What a reader should know of the labels, a line each."""
        people = {label.by for label in self._labels}
        if len(people) > 1:
            yield f"{len(people)} people labelled; the median of their verdicts on a pair counts, the lower of two"
        if self._moved:
            yield "the labels were drawn by other grades than this run's: sizes are estimates, and so is what is shown"
        for count, what in (
            (len(self._pairs) - len(self._verdicts), "skipped, and taken to be like the others"),
            (sum(p not in self.pairs for p in self._verdicts), "of rows or documents that this run does not hold"),
            (sum(not self.pairs[p].grades for p in self._verdicts if p in self.pairs), "of pairs that no judge graded"),
            (sum(label.revised and not label.blind for label in self._labels), "changed after the grade was told"),
        ):
            if count:
                yield f"{count} of {len(self._pairs)} labels are {what}"


def _keys(row: str, text: str, doc_id: str) -> list[tuple[str, str]]:
    """By what a pair can be found, besides its id: its row, and the document's text or id."""
    return [(row, f"text {text}"), *([(row, f"id {doc_id}")] if doc_id else [])]


def _settled(labels: Sequence[Label]) -> dict[str, int]:
    """One verdict for each pair that has any."""
    said: dict[str, list[int]] = {}
    for label in labels:
        if label.verdict is not None:
            said.setdefault(label.pair, []).append(label.verdict)
    return {pair: median_low(verdicts) for pair, verdicts in said.items()}


# Two people


@dataclass(frozen=True)
class Compared:
    """Two people's verdicts on the same pairs; `table[i][j]` counts those with verdict i of the first, j of the second.

    `alone` counts the pairs that only the first, and only the second, gave a verdict on.
    """

    files: tuple[Path, Path]
    table: Sequence[Sequence[int]]
    alone: tuple[int, int]
    figures: Mapping[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        """All figures."""
        figures = {name: figure.to_json() for name, figure in self.figures.items()}
        both = sum(map(sum, self.table))
        return {
            "labels": [str(f) for f in self.files],
            "both": both,
            "alone": self.alone,
            "table": self.table,
        } | figures

    def print(self, console: "Console") -> None:
        """The table and the figures."""
        for line in self.lines():
            console.print(shown(line), soft_wrap=True)

    def lines(self) -> Iterator[str]:
        """What is printed."""
        both = sum(map(sum, self.table))
        yield f"{both} pairs with verdicts of both; {self.alone[0]} and {self.alone[1]} of one alone"
        yield from (f"first: {self.files[0]}", f"second: {self.files[1]}", "", f"{'first':<13}second says")
        yield f"{'says':<11}" + "".join(f"{verdict:>5}" for verdict in range(GRADES))
        for verdict, counts in enumerate(self.table):
            yield f"{verdict:<11}" + "".join(f"{count:>5}" for count in counts)
        yield f"same verdict     {self.figures['exact']}"
        yield f"Cohen's kappa    {self.figures['kappa']}, quadratic weights {self.figures['kappa_quadratic']}"
        yield f"right or not     kappa {self.figures['kappa_right']}"


def labels_against_labels(first: Path, second: Path, confidence: float = 0.95) -> Compared:
    """How far two people agree on the pairs that both labelled, in two files.

    Raises CorpusError for a bad line, or where there is no such pair.
    """
    one, other = _settled(read_labels(first)), _settled(read_labels(second))
    both = sorted(one.keys() & other.keys())
    if not both:
        raise CorpusError(f"{first} and {second}: no pair has a verdict in both")
    table = np.zeros((GRADES, GRADES))
    for pair in both:
        table[one[pair], other[pair]] += 1
    measures = {
        "exact": exact_agreement,
        "kappa": kappa,
        "kappa_quadratic": lambda each: kappa(each, quadratic=True),
        "kappa_right": lambda each: kappa(halved(each, [grade >= RIGHT for grade in range(GRADES)])),
    }
    figures = {name: with_interval(each, [table], [len(both)], confidence) for name, each in measures.items()}
    alone = (len(one) - len(both), len(other) - len(both))
    return Compared((first, second), table.astype(int).tolist(), alone, figures)
