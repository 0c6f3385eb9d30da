"""judge-check: labels joined to a run's grades, and what is said of the judge; two people beside each other."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from synth.agreement import Cell, p_value
from synth.errors import CorpusError
from synth.judge_check import Checked, Compared, judge_check, labels_against_labels
from synth.judge_figures import Graded, Item, Judged, judged, p_values
from synth.label import Sitting, label
from synth.labels import append, draw, read_labels
from synth.runs import open_run
from synth.types import Document, Example
from tests.conftest import Synth
from tests.labelled_runs import row, rows_of, say, write_run


def printed(found: Checked | Compared) -> list[str]:
    """What a person sees, line by line."""
    text = StringIO()
    found.print(Console(file=text, width=80, highlight=False, markup=False, emoji=False))
    return text.getvalue().splitlines()


def check(tmp_path: Path, said: Mapping[float, Sequence[int | None]], rest: int = 0, **more: float) -> Checked:
    """A run with so many rows of each grade as have verdicts, and `rest` more of each without."""
    rows = rows_of({grade: len(verdicts) + rest for grade, verdicts in said.items()})
    labelled: list[Example] = []
    verdicts: list[int | None] = []
    for grade, several in said.items():
        labelled += [each for each in rows if each.positive.scores["judge"] == grade][: len(several)]
        verdicts += several
    file = say(tmp_path / "labels.jsonl", labelled, verdicts)
    return judge_check(write_run(tmp_path / "run", rows), file, **more)


def graded(counts: Mapping[float, tuple[int, int, int]], *, plain: bool = False) -> Graded:
    """A judge by grade: pairs of the run, labels, and how many of them are right."""
    items = [
        Item(f"g{grade:g}", grade, 3 if n < right else 0, kept=grade >= 2)
        for grade, (_, labels, right) in counts.items()
        for n in range(labels)
    ]
    sizes = {(f"g{grade:g}", grade, grade >= 2): size for grade, (size, _, _) in counts.items()}
    return Graded("judge", "positive", items, sizes, plain)


RECIPE = """\
# A judge whose grades mean nothing.
corpus: ./corpus
seed: 7
backends: {judge: {use: scripted}}
steps: [{use: from_corpus}, {use: extract, per_document: 4}, {use: judge, name: grader}]
"""


def test_a_run_is_labelled_and_its_judge_checked(
    synth: Synth, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    assert synth("run", "recipe.yaml", "--output", "out").code == 0
    monkeypatch.setattr(sys, "stdin", StringIO("3\n0\n2\n" * 50))
    done = label(tmp_path / "out", None, Sitting(most=12, by="anna"))
    assert (done.asked, done.left) == (12, 0)
    found = judge_check(tmp_path / "out", done.file, precision=0.1)
    assert len(found.judges[0].graded.items) == 12
    assert not found.notes
    assert found.setting.startswith("grader.least=")


# The figures


def test_a_small_check_by_hand(tmp_path: Path) -> None:
    found = check(tmp_path, {0: [0, 0, 1, 3], 1: [1, 1, 2, 0], 2: [2, 2, 0, 3], 3: [3, 3, 3, 2]}).to_json()
    [only] = found["judges"]
    assert only["confusion"] == {"0": [2, 1, 0, 1], "1": [1, 2, 1, 0], "2": [1, 0, 2, 1], "3": [0, 0, 1, 3]}
    assert only["exact"]["value"] == pytest.approx(9 / 16, abs=1e-5)
    # verdicts 0 to 3: 4, 3, 4, 5 of 16; grades 4 each: expected 1/4
    assert only["kappa"]["value"] == pytest.approx((9 / 16 - 1 / 4) / (3 / 4), abs=1e-5)
    # right by grade: 1, 1, 3, 4 of 4; from 2 on 7 of 8, below 2 of 8
    by_least = {each["least"]: each for each in only["thresholds"]}
    assert by_least[2]["precision"]["value"] == pytest.approx(7 / 8)
    assert by_least[2]["recall"]["value"] == pytest.approx(7 / 9, abs=1e-5)
    assert by_least[2]["lost"]["value"] == pytest.approx(2 / 8)
    assert by_least[0]["lost"]["value"] is None
    assert (only["kept"]["value"], only["dropped"]["value"]) == pytest.approx((7 / 8, 2 / 8))
    assert only["right"]["value"] == pytest.approx(9 / 16, abs=0.02)
    # right ones have grades 0 1 2 2 2 3 3 3 3, wrong ones 0 0 0 1 1 1 2
    higher = sum((r > w) + 0.5 * (r == w) for r in (0, 1, 2, 2, 2, 3, 3, 3, 3) for w in (0, 0, 0, 1, 1, 1, 2))
    assert only["auc"]["value"] == pytest.approx(higher / 63, abs=1e-5)
    assert found["set"] is None


def test_a_stratified_sample_is_weighed_back_to_the_run(tmp_path: Path) -> None:
    rows = rows_of({1: 300, 3: 100})
    run = write_run(tmp_path / "run", rows)
    for each in draw(open_run(run), most=60):
        right = each.pair.grade == 3 or int(each.pair.row.positive.text.split()[1]) % 4 == 0
        append(tmp_path / "labels.jsonl", each.label(3 if right else 0))
    drawn = read_labels(tmp_path / "labels.jsonl")
    assert {label.weight for label in drawn} == {9.09091, 3.7037}
    low = [label.verdict == 3 for label in drawn if label.stratum[-1] == "1"]
    [only] = judge_check(run, tmp_path / "labels.jsonl").to_json()["judges"]
    share = 0.75 * sum(low) / len(low)
    assert only["right"]["value"] == pytest.approx(share + 0.25, abs=1e-5)
    assert only["thresholds"][1]["recall"]["value"] == pytest.approx(0.25 / (share + 0.25), abs=1e-5)
    assert only["thresholds"][0]["precision"]["value"] == pytest.approx(share + 0.25, abs=1e-5)


def test_a_plain_sample_of_a_lopsided_run_is_read_as_one(tmp_path: Path) -> None:
    found = check(tmp_path, {0: [0] * 5, 3: [3] * 60}).judges[0]
    assert found.graded.plain
    assert found.thresholds[1].p == pytest.approx(0.9**60)
    assert found.chosen == 3


def test_more_labels_than_one_of_a_grade_in_a_half_labelled_run(tmp_path: Path) -> None:
    found = check(tmp_path, {0: [0] * 4, 3: [3, 3, 3, 0]}, rest=16).to_json()["judges"][0]
    assert (found["pairs"], found["labels"], found["uncovered"]) == (40, 8, 0)


# What is shown


@pytest.mark.parametrize(
    ("counts", "precision", "chosen"),
    [
        ({0: (900, 30, 0), 3: (900, 29, 29)}, 0.9, 3),
        ({0: (900, 30, 0), 3: (900, 28, 28)}, 0.9, None),
        ({0: (900, 30, 0), 3: (900, 60, 59)}, 0.9, 3),
        ({0: (900, 30, 0), 3: (900, 45, 44)}, 0.9, None),
        ({0: (500, 33, 2), 1: (500, 42, 12), 2: (900, 42, 42), 3: (900, 33, 33)}, 0.9, 2),
        ({0: (500, 33, 33), 1: (500, 42, 42), 2: (900, 42, 42), 3: (900, 33, 33)}, 0.9, 0),
        ({0: (500, 33, 2), 1: (500, 42, 42), 2: (900, 42, 42), 3: (900, 33, 33)}, 0.9, 1),
        ({0: (500, 33, 33), 1: (500, 42, 0), 2: (900, 42, 42), 3: (900, 33, 33)}, 0.9, 2),
        ({0: (500, 33, 2), 1: (500, 42, 12), 2: (900, 42, 30), 3: (900, 46, 46)}, 0.9, 3),
        ({0: (500, 33, 2), 1: (500, 42, 12), 2: (900, 42, 30), 3: (900, 46, 46)}, 0.99, None),
        ({0: (500, 33, 2), 1: (500, 42, 12), 2: (900, 42, 30), 3: (900, 46, 46)}, 0.5, 0),
    ],
)
def test_the_threshold_is_the_lowest_that_is_shown(
    counts: dict[float, tuple[int, int, int]], precision: float, chosen: float | None
) -> None:
    assert judged(graded(counts), precision, 0.95).chosen == chosen


def test_thresholds_are_tested_from_the_highest_that_could_be_shown_until_one_is_not() -> None:
    counts = {0.0: (500, 33, 2), 1.0: (500, 42, 12), 2.0: (900, 42, 42), 3.0: (900, 33, 33)}
    tests = p_values(graded(counts), 0.9, 0.95)
    assert list(tests) == [2.0, 1.0]  # 33 labels at 3 could not show it with one of them wrong
    assert tests[2.0] == p_value([Cell(900, 42, 42), Cell(900, 33, 33)], 0.9)
    assert tests[2.0] <= 0.05 < tests[1.0]


def test_which_thresholds_are_tested_first_does_not_depend_on_verdicts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        right = rng.integers(0, [34, 43, 43, 34])
        counts = {float(g): (900, n, int(k)) for g, (n, k) in enumerate(zip((33, 42, 42, 33), right, strict=True))}
        assert next(iter(p_values(graded(counts), 0.9, 0.95))) == 2.0


def test_a_wrong_threshold_is_seldom_named() -> None:
    sizes, drawn, right = (1000, 1500, 5000, 2500), (33, 42, 42, 33), (50, 450, 4350, 2390)
    assert sum(right[2:]) / sum(sizes[2:]) < 0.9 < right[3] / sizes[3]
    rng, false = np.random.default_rng(4), 0
    for _ in range(100):
        found = [int(rng.hypergeometric(k, n - k, m)) for k, n, m in zip(right, sizes, drawn, strict=True)]
        counts = {float(g): each for g, each in enumerate(zip(sizes, drawn, found, strict=True))}
        false += min(p_values(graded(counts), 0.9, 0.95).values()) <= 0.05
    assert false <= 5 + 3 * math.sqrt(100 * 0.05 * 0.95)


def told(counts: dict[float, tuple[int, int, int]], precision: float = 0.9) -> str:
    """The line at the end."""
    return judged(graded(counts), precision, 0.95).told


def test_what_is_not_shown_is_told_with_what_would_help() -> None:
    near = told({0: (500, 30, 1), 3: (900, 73, 69)})
    assert near.startswith(
        "no threshold can be shown to reach 0.9; the best, 3, reaches 0.95 (0.87-0.98) on 73 labels;"
    )
    more = int(near.split("label about ")[1].split()[0])
    assert 20 < more < 120
    assert f"(synth label --most {more + 103}), then look once more" in near
    perfect = told({0: (500, 30, 1), 3: (900, 20, 20)})
    assert int(perfect.split("label about ")[1].split()[0]) > 50  # and not the 9 at 3, or 22 in all, for 29 right ones
    below = told({0: (500, 30, 1), 3: (900, 73, 64)})
    assert "the best, 3, reaches 0.88 (0.78-0.94) on 73 labels: more labels will hardly help" in below
    assert below.endswith("from 3 on at least 0.793 is shown")
    assert told({0: (500, 30, 1), 3: (900, 73, 73)}) == (
        "shown with 95% confidence: from 3 on, at least 0.9 of the positives are right"
    )


# The join


def test_labels_find_their_rows_by_id_by_document_and_by_text(tmp_path: Path) -> None:
    rows = rows_of({3: 4})
    run = write_run(tmp_path / "run", rows)
    ways = (
        {"title": rows[0].positive.title},
        {"document": "another wording", "doc_id": rows[1].positive.doc_id},
        {"title": ""},
        {"id": "made up elsewhere"},
    )
    for each, way in zip(rows, ways, strict=True):
        say(tmp_path / "labels.jsonl", [each], [3], **way)
    assert len(judge_check(run, tmp_path / "labels.jsonl").judges[0].graded.items) == 4


def test_labels_that_cannot_count_are_counted(tmp_path: Path) -> None:
    rows = [*rows_of({0: 3, 3: 3}), row(50)]
    file = say(tmp_path / "labels.jsonl", [*rows, row(999)], [0, 0, None, 3, 3, 3, 2, 1])
    found = judge_check(write_run(tmp_path / "run", rows), file)
    assert list(found.notes) == [
        "1 of 8 labels are skipped, and taken to be like the others",
        "1 of 8 labels are of rows or documents that this run does not hold",
        "1 of 8 labels are of pairs that no judge graded",
    ]
    assert len(found.judges[0].graded.items) == 5


def test_labels_drawn_by_another_judges_grades_keep_their_weights(tmp_path: Path) -> None:
    # anna labelled 20 of 200 graded 0 and 20 of 20 graded 3; another judge turned the grades of half of each round
    rows = rows_of({0: 200, 3: 20})
    file, first = tmp_path / "labels.jsonl", rows[:20] + rows[200:]
    for name, several, verdicts, of in (("0", first[:20], [0] * 10 + [3] * 10, 200), ("3", first[20:], [3] * 20, 20)):
        say(file, several, verdicts, stratum=f"positive judge {name}", of=of, weight=of / 20)
    other = [
        row(number, 3.0 - 3 * (number % 2 == each.positive.scores["judge"] % 2)) for number, each in enumerate(rows)
    ]
    found = judge_check(write_run(tmp_path / "run", other), file)
    assert found.notes[0].startswith("the labels were drawn by other grades than this run's")
    # of the 220 pairs half of the first 200 and all of the last 20 are right
    assert found.judges[0].figures["right"].value == pytest.approx(120 / 220)
    assert found.judges[0].graded.size == 220


def test_the_median_of_several_people_counts(tmp_path: Path) -> None:
    rows = rows_of({0: 2, 3: 2})
    for name, verdicts in (("anna", [0, 0, 3, 3]), ("ben", [0, 1, 2, 3]), ("cleo", [1, 3, 2, 0])):
        say(tmp_path / "labels.jsonl", rows, verdicts, by=name)
    found = judge_check(write_run(tmp_path / "run", rows), tmp_path / "labels.jsonl")
    assert sorted(item.verdict for item in found.judges[0].graded.items) == [0, 1, 2, 3]
    assert found.notes[0].startswith("3 people labelled")


def test_a_verdict_changed_after_the_grade_was_told_is_counted(tmp_path: Path) -> None:
    rows = rows_of({3: 4})
    say(tmp_path / "labels.jsonl", rows, [3, 3, 2, 3])
    say(tmp_path / "labels.jsonl", rows[:2], [0, 2], revised=True, blind=False)
    say(tmp_path / "labels.jsonl", rows[2:3], [1], revised=True, blind=True)
    found = judge_check(write_run(tmp_path / "run", rows), tmp_path / "labels.jsonl")
    assert list(found.notes) == ["2 of 4 labels are changed after the grade was told"]


def test_negatives_and_other_judges_are_checked_beside_it(tmp_path: Path) -> None:
    rows = []
    for number, each in enumerate(rows_of({0: 6, 3: 6})):
        scores = {**each.positive.scores, "judge_strong": float(number % 4), "bm25": 7.0}
        negative = Document(f"wrong {number}", scores={"judge": float(number % 2)})
        rows.append(replace(each, positives=(replace(each.positive, scores=scores),), negatives=(negative,)))
    run = write_run(tmp_path / "run", rows)
    for number, each in enumerate(draw(open_run(run))):
        append(tmp_path / "labels.jsonl", each.label(number % 4))
    found = judge_check(run, tmp_path / "labels.jsonl")
    assert [(each.graded.judge, each.graded.role, len(each.graded.items)) for each in found.judges] == [
        ("judge", "positive", 12),
        ("judge", "negative", 12),
        ("judge_strong", "positive", 12),
    ]
    lines = printed(found)
    assert any(line.startswith("judge (negative) ") for line in lines)
    assert any(line.startswith("judge_strong (positi") for line in lines)


@pytest.mark.parametrize(
    ("grades", "steps"),
    [
        ([0.11, 0.52, 0.93] * 10, [0.11, 0.52, 0.93]),
        ([n / 40 for n in range(41)], [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ([1 + n / 4 for n in range(37)], [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_a_judge_on_another_scale_has_thresholds_and_no_kappa_of_grades(
    tmp_path: Path, grades: list[float], steps: list[float]
) -> None:
    rows = [row(number, grade) for number, grade in enumerate(grades)]
    verdicts = [3 if grade > np.median(grades) else 0 for grade in grades]
    file = say(tmp_path / "labels.jsonl", rows, verdicts)
    [only] = judge_check(write_run(tmp_path / "run", rows, 0.5), file, precision=0.6).to_json()["judges"]
    assert [each["least"] for each in only["thresholds"]] == steps
    assert [only[name]["value"] for name in ("exact", "kappa", "kappa_quadratic")] == [None] * 3
    assert only["auc"]["value"] > 0.8
    assert only["kappa_right"]["value"] > 0.3


# What lies at the edge


@pytest.mark.parametrize(
    "said",
    [
        {3: [3]},
        {0: [0]},
        {3: [3] * 30},
        {0: [3] * 30},
        {3: [0] * 30},
        {10: [0, 1, 2, 3] * 5},
        {0: [2, 2], 1: [2], 2: [2, 2], 3: [2]},
        {0: [0, 0, 0], 3: [3, 3, 3]},
        {0: [3, 3, 3], 3: [0, 0, 0]},
    ],
    ids=str,
)
def test_labels_or_grades_that_are_all_the_same_give_lines_and_nulls(
    tmp_path: Path, said: dict[float, list[int | None]]
) -> None:
    found = check(tmp_path, said, rest=7)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert "NaN" not in text
    lines = printed(found)
    assert max(map(len, lines)) <= 80
    assert not any("nan" in line for line in lines)


def test_grades_that_nobody_labelled_are_counted_against_it(tmp_path: Path) -> None:
    rows = rows_of({0: 10, 2: 50, 3: 100})
    file = say(tmp_path / "labels.jsonl", rows[60:], [3] * 100, weight=2.0)
    say(tmp_path / "labels.jsonl", rows[:1], [0])
    found = judge_check(write_run(tmp_path / "run", rows), file)
    assert found.judges[0].uncovered == 50
    assert found.judges[0].chosen == 3
    assert found.judges[0].thresholds[1].recall.value is None


@pytest.mark.parametrize(
    ("rows", "labels", "said"),
    [
        ([row(0), row(1)], [row(0)], "no judge graded any row of this run; add the step `judge` to its recipe"),
        ([row(0, 3.0)], [row(7)], "none of its labels is of a pair that this run's judge graded; `synth label "),
        ([row(0, 3.0), row(1)], [row(1)], "none of its labels is of a pair that this run's judge graded"),
    ],
)
def test_where_nothing_fits_one_line_says_so(
    tmp_path: Path, rows: list[Example], labels: list[Example], said: str
) -> None:
    file = say(tmp_path / "labels.jsonl", labels, [3])
    with pytest.raises(CorpusError) as caught:
        judge_check(write_run(tmp_path / "run", rows), file)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_skipped_labels_are_as_none(tmp_path: Path) -> None:
    file = say(tmp_path / "labels.jsonl", [row(0, 3.0)], [None])
    with pytest.raises(CorpusError, match="none of its labels"):
        judge_check(write_run(tmp_path / "run", [row(0, 3.0)]), file)


# What is printed


def test_the_last_line_is_what_to_set(tmp_path: Path) -> None:
    rows = rows_of({0: 20, 2: 60, 3: 60})
    file = say(tmp_path / "labels.jsonl", rows, [0] * 20 + [3] * 120)
    found = judge_check(write_run(tmp_path / "run", rows, name="strict"), file, precision=0.95)
    lines = printed(found)
    assert lines[-1] == "--set strict.least=2"
    assert lines[-2] == "shown with 95% confidence: from 2 on, at least 0.95 of the positives are right"
    assert found.to_json()["set"] == "strict.least=2"
    assert max(map(len, lines)) <= 80


def test_the_page_shows_counts_thresholds_and_intervals(tmp_path: Path) -> None:
    lines = printed(check(tmp_path, {0: [0] * 9 + [2], 1: [1] * 8 + [2, 3], 2: [2] * 9 + [0], 3: [3] * 10}, rest=300))
    assert "0              9    0    1    0             310  0.10 (0.00-0.45)" in lines
    assert next(line for line in lines if line.startswith("2  ")).endswith("0.90 (0.55-1.00)")
    assert "judge on 1,240 positives, 40 of them labelled" in lines


# Two people


def test_two_people_are_compared_on_what_both_labelled(tmp_path: Path) -> None:
    rows = rows_of({3: 12})
    one = say(tmp_path / "one.jsonl", rows[:11], [0, 0, 0, 1, 1, 2, 2, 3, 3, 3, None], by="anna")
    other = say(tmp_path / "other.jsonl", rows[:10] + rows[11:], [0, 0, 1, 1, 2, 2, 2, 3, 3, 2, 3], by="ben")
    found = labels_against_labels(one, other)
    assert found.table == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 2, 0], [0, 0, 1, 2]]
    assert found.alone == (0, 1)
    assert found.figures["exact"].value == pytest.approx(0.7)
    # 3 2 2 3 against 2 2 4 2 of 10: expected (6 + 4 + 8 + 6) / 100
    assert found.figures["kappa"].value == pytest.approx((0.7 - 0.24) / 0.76)
    assert found.figures["kappa_right"].value == pytest.approx((0.9 - 0.5) / 0.5)
    assert json.loads(json.dumps(found.to_json()))["both"] == 10
    assert max(len(line) for line in printed(found) if str(tmp_path) not in line) <= 80


def test_two_people_without_a_pair_in_common_are_told(tmp_path: Path) -> None:
    one, other = (say(tmp_path / f"{n}.jsonl", [row(n)], [1]) for n in range(2))
    with pytest.raises(CorpusError, match="no pair has a verdict in both"):
        labels_against_labels(one, other)


def test_two_people_who_always_say_the_same_have_no_kappa(tmp_path: Path) -> None:
    one, other = (say(tmp_path / f"{n}.jsonl", rows_of({3: 3}), [2] * 3) for n in range(2))
    found = labels_against_labels(one, other)
    assert found.figures["kappa"].value is None
    assert found.figures["exact"].value == 1


def test_judges_are_told_whole(tmp_path: Path) -> None:
    found: Judged = check(tmp_path, {0: [0] * 5, 3: [3] * 5}).judges[0]
    assert {"judge", "of", "labels", "pairs", "thresholds", "least", "told", "right", "auc"} <= set(found.to_json())
