"""134 replies written by hand go through the whole of `e5`: the sound ones are kept, each planted fault is dropped by
the right step for the right reason. The replies were frozen before any filter saw them (`tests/replies/README.md`)."""

import json
from collections import Counter
from pathlib import Path

import pytest

from synth.runs import RunFolder
from tests.plays import PLAYS, fates, play, reasons

FAULTS = {
    5: "leakage: leakage",
    11: "language: wrong_script",
    17: "short_long: refusal",
    22: "short_long: unreadable_answer",
    29: "long_short: truncated_answer",
    34: "label_leakage: label_leakage",
    40: "long_short: unreadable_answer",
    47: "exact_dedup: exact_duplicate",
    70: "language: wrong_script",
    76: "long_long: refusal",
    83: "sts: unreadable_answer",
    90: "sts: unreadable_answer",
    96: "exact_dedup: exact_duplicate",
    101: "near_dedup: near_duplicate",
    108: "refusal: placeholder",
    115: "bitext: truncated_answer",
}
BRAINSTORMED = 6
"""Replies that hold tasks and no row."""
IDEAS = {"search_tasks: duplicate_idea": 1, "search_tasks: surplus_idea": 1}
"""Of 32 tasks two say what another said; one of the 31 is told by its letters, and 30 were wanted."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(play("e5", tmp_path_factory.mktemp("e5")).folder)


def planted() -> list[int]:
    files = sorted((PLAYS / "e5").glob("faults*.json"))
    return [fault["n"] for file in files for fault in json.loads(Path(file).read_text(encoding="utf-8"))]


def test_each_planted_fault_is_dropped_by_the_right_step_for_the_right_reason(run: RunFolder) -> None:
    assert sorted(planted()) == sorted(FAULTS)
    assert reasons(run) == Counter(FAULTS.values()) + Counter(IDEAS)


def test_every_sound_reply_becomes_a_row(run: RunFolder) -> None:
    replies = (PLAYS / "e5" / "replies.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(replies) == 134 + BRAINSTORMED
    assert run.steps[-1].mark["kept"] == 134 - len(FAULTS)


def test_the_copied_query_and_the_label_are_the_planted_ones(run: RunFolder) -> None:
    told = {f"{step}: {reason}": text for step, reason, _, text in fates(run)}
    assert told["leakage: leakage"].startswith("बरसात में")
    assert told["refusal: placeholder"].startswith("По данным [вставьте")
    assert told["label_leakage: label_leakage"].startswith("Mpendwa mteja")


def test_the_rows_are_of_all_kinds_and_of_many_languages(run: RunFolder) -> None:
    rows = list(run.steps[-1].kept)
    assert {row.task for row in rows} == {"short_long", "long_short", "short_short", "long_long", "sts", "bitext"}
    languages = Counter(row.language for row in rows)
    assert len(languages) == 12
    assert languages["en"] / len(rows) < 0.4
    graded = [row for row in rows if row.task in ("sts", "bitext")]
    assert all(
        row.positives[0].relevance > row.negatives[0].relevance  # type: ignore[operator]  # both are graded
        for row in graded
    )
