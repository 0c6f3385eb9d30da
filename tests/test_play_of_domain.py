"""122 replies of a writer and their verdicts, all written by hand, go through the whole of `domain`.

What is sound is kept, each planted fault is dropped by the right step, and a negative that is right becomes a positive.
"""

import json
from collections import Counter

import pytest

from synth.runs import RunFolder
from tests.plays import PLAYS, play, reasons

FAULTS = {
    "generate: refusal": 2,
    "generate: truncated_answer": 1,
    "generate: unreadable_answer": 1,
    "exact_dedup: exact_duplicate": 2,
    "near_dedup: near_duplicate": 2,
    "refusal: meta_talk": 1,
    "refusal: placeholder": 1,
    "refusal: points_at_document": 1,
    "language: wrong_script": 2,
    "leakage: leakage": 2,
    "judge: irrelevant": 5,
}
"""What the judge finds: two queries that another document answers, one that none does, two that say nothing."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return RunFolder(play("domain", tmp_path_factory.mktemp("domain")).folder)


def test_each_planted_fault_is_dropped_by_the_right_step_for_the_right_reason(run: RunFolder) -> None:
    planted = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((PLAYS / "domain").glob("faults*.json"))]
    assert sum(map(len, planted)) == sum(FAULTS.values()) == 20
    assert reasons(run) == Counter(FAULTS)


def test_every_sound_reply_becomes_a_row(run: RunFolder) -> None:
    replies = (PLAYS / "domain" / "replies.jsonl").read_text(encoding="utf-8").splitlines()
    assert run.steps[-1].mark["kept"] == len(replies) - sum(FAULTS.values()) == 102


def test_a_negative_that_answers_the_query_becomes_a_positive(run: RunFolder) -> None:
    two = {row.query[:30]: [d.doc_id for d in row.positives] for row in run.steps[-1].kept if len(row.positives) > 1}
    assert two == {
        "I need to know what becomes of": ["en-ferry", "en-lateness"],
        "I'm stuck in traffic with a ca": ["en-lateness", "en-ferry"],
    }


def test_the_rows_are_in_twelve_languages_and_six_scripts(run: RunFolder) -> None:
    languages = Counter(row.language for row in run.steps[-1].kept)
    assert set(languages) == {"en", "de", "es", "ru", "ar", "hi", "zh", "ja", "th", "sw", "tr", "el"}
    assert languages["en"] / languages.total() < 0.2
