"""Rows that nobody expects: every filter and maker gives each one its fate, or says in one line what is wrong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from synth.registry import find_stage, is_source, known
from synth.stage import RowList
from synth.types import Document, Dropped, Example, row_id
from tests.conftest import RECIPE, Synth
from tests.contracts import Echo, context
from tests.test_architecture import stage_of

FILTERS = sorted(known("filters"))
MAKERS = sorted(name for name in known("stages") if not is_source(name))


def row(number: int, query: str = "when does the river flood?", **changes: object) -> Example:
    text = "The Nile floods each summer, and farmers wait for the water."
    plain = Example(
        id=row_id("odd", number, query),
        query=query,
        positives=(Document(text, doc_id="nile", language="en"),),
        negatives=(Document("Violins are made of spruce.", doc_id="violin", origin="mined"),),
        language="en",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


SETS = {
    "none": [],
    "one": [row(0)],
    "all the same": [row(n) for n in range(60)],
    "no positives": [row(n, f"question {n}", positives=(), negatives=()) for n in range(5)],
    "no queries": [row(n, "") for n in range(5)],
    "no negatives": [row(n, f"question {n}", negatives=()) for n in range(40)],
    "unknown languages": [row(n, f"question {n}", language=code) for n, code in enumerate(["xx", "qqq-Zzzz", "?", ""])],
    "one letter": [row(n, letter, positives=(Document(letter),)) for n, letter in enumerate("a猫!")],
    "half a surrogate": [row(0, "a" + chr(0xD800)), row(1, chr(0xDFFF), positives=(Document(chr(0xD800)),))],
}


@pytest.mark.parametrize("rows", SETS.values(), ids=SETS)
@pytest.mark.parametrize("name", [*FILTERS, *MAKERS])
def test_every_odd_row_has_one_fate(name: str, rows: list[Example]) -> None:
    outcomes = list(stage_of(name).run(RowList(rows), context(name)))
    fates = {(o.example if isinstance(o, Dropped) else o).id for o in outcomes}
    parents = {p for o in outcomes for p in (o.example if isinstance(o, Dropped) else o).parents}
    assert {r.id for r in rows} <= fates | parents
    if name in FILTERS:
        assert len(outcomes) == len(rows)


@pytest.mark.parametrize("prompt", ["judge/relevance", "judge/criteria", "judge/yes_no"])
def test_a_judge_that_always_says_ten_is_told_or_believed_and_nothing_breaks(prompt: str) -> None:
    ten = {"score": 10, "answer": 10, "relevance": 10, "support": 10, "clarity": 10}
    backend = Echo(text=json.dumps(ten))
    stage = find_stage("judge", Path()).model_validate({"prompt": prompt})
    outcomes = list(stage.run([row(n, f"q {n}") for n in range(5)], context("judge", backend=backend)))
    reasons = {o.reason if isinstance(o, Dropped) else "kept" for o in outcomes}
    assert reasons == ({"kept"} if prompt == "judge/criteria" else {"unreadable_answer"})


BAD = [
    ("near_dedup, threshold: 1.5", "threshold: must be less than or equal to 1"),
    ("leakage, most: -1", "most: must be greater than or equal to 0"),
    ("consistency, most_rank: 0", "most_rank: must be greater than or equal to 1"),
    ("judge, least: 11", "least: must be between 0 and 3"),
    ("comparison, least: 2", "least: must be less than or equal to 1"),
    ("shortcut, most_length_auc: 0.2", "most_length_auc: must be greater than or equal to 0.5"),
    ("quota, rows: 0", "rows: give at least 1 row for each cell"),
    ("semantic_dedup, embedder: nobody", "no embedder is called 'nobody'"),
    ("false_negatives, scorer: embedder", "scorer: embedder needs one"),
    ("decontamination, against: [./nowhere]", "nowhere"),
    ("safety, checks: [rude]", "checks"),
    ("language, languages: [klingon-please]", "klingon-please"),
]


@pytest.mark.parametrize(("step", "said"), BAD, ids=[step for step, _ in BAD])
def test_an_option_out_of_bounds_is_one_line(step: str, said: str, synth: Synth, corpus: Path, tmp_path: Path) -> None:
    backends = "backends:\n  judge: {use: scripted}\n"
    text = RECIPE.replace("steps:\n", f"{backends}steps:\n").replace("  - use: near_dedup\n", f"  - {{use: {step}}}\n")
    (tmp_path / "recipe.yaml").write_text(text)
    told = synth("run", "recipe.yaml")
    assert told.code == 2
    [line] = [each for each in told.err.splitlines() if each.startswith("synth:")]
    assert said in line
    assert "Traceback" not in told.err


def test_a_contamination_folder_without_queries_is_one_line(synth: Synth, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    step = "  - {use: decontamination, against: [./empty]}\n"
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("  - use: near_dedup\n", step))
    told = synth("run", "recipe.yaml")
    assert told.code == 2
    assert "empty" in told.err
    assert "Traceback" not in told.err
