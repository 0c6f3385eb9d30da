"""The figures that a pipeline's rows have, out of what it knows."""

import json
from pathlib import Path

import pytest

import synth.run_quality as module
from synth.pipeline import Pipeline
from synth.quality import Quality
from synth.recipe import load
from synth.run_quality import known_by, measure
from synth.store import StoredRows

RECIPE = """\
# Three documents, three queries, two grades.
corpus: ./corpus.jsonl
seed: 7
backends:
  writer: {use: scripted, model: m, replies: replies.jsonl}
  judge: {use: scripted, model: m, replies: replies.jsonl}
steps:
  - use: from_corpus
  - {use: generate, per_document: 1}
  - {use: consistency, most_rank: 1}
  - {use: judge, least: 2}
export: [dataset]
"""
DOCUMENTS = {
    "nile": "The Nile floods the fields of Egypt in July, and the farmers wait for its black mud.",
    "spruce": "Violins are made of spruce that grew slowly on high mountains, cut in a winter month.",
    "barge": "A barge carries grain down the canal to the harbour, where it is weighed and stored dry.",
}
REPLIES = [
    {"when": "Nile", "reply": {"query": "when does the Nile flood?"}},
    {"when": "spruce", "reply": {"query": "what wood are violins made of?"}},
    {"when": "barge", "reply": {"query": "tax forms"}},
    {"when": "does the Nile flood", "reply": {"score": 3, "match": 3}},
    {"when": "what wood are violins", "reply": {"score": 1, "match": 2}},
]


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A pipeline that has run: one row found by no search, one graded too low, one kept."""
    lines = [json.dumps({"_id": name, "text": text}) for name, text in DOCUMENTS.items()]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    (tmp_path / "replies.jsonl").write_text("\n".join(map(json.dumps, REPLIES)))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    made = Pipeline(load(str(tmp_path / "recipe.yaml")), tmp_path / "run")
    made.run()
    made.close()
    return made


def test_a_run_tells_its_steps_its_candidates_and_what_they_took(pipeline: Pipeline) -> None:
    found = Quality.from_json(measure(pipeline, StoredRows(pipeline.runs[-1].kept_file)))
    assert [(each.step, each.n, each.kept) for each in found.yields] == [
        ("from_corpus", 3, 3),
        ("generate", 3, 3),
        ("consistency", 3, 2),
        ("judge", 2, 1),
    ]
    assert found.grades["judge"].counts == {"3": 1}
    assert found.candidate_grades["judge"].counts == {"1": 1, "3": 1}
    assert found.candidate_grades["judge.match"].counts == {"2": 1, "3": 1}
    assert (found.ranks["bm25"].first, found.candidate_ranks["bm25"].n) == (1.0, 3)
    assert (found.candidate_ranks["bm25"].first, found.candidate_ranks["bm25"].not_found) == (0.66667, 0.33333)
    assert (found.cost.n, found.cost.requests) == (1, 5000)
    assert {(each.prompt, each.axis) for each in found.axes} == {
        ("grounded/question", "form"),
        ("grounded/question", "angle"),
    }


def test_figures_are_known_by_the_rows_the_seed_and_what_was_asked(pipeline: Pipeline) -> None:
    before = known_by(pipeline)
    assert known_by(pipeline) == before
    pipeline.runs[-1].used = {"sent": 99}
    assert known_by(pipeline) != before
    pipeline.runs[-1].used = {}
    assert known_by(pipeline) != before
    after = known_by(pipeline)
    pipeline.runs[1].content = "other rows"
    assert known_by(pipeline) != after


def test_a_large_corpus_is_read_only_where_a_step_reads_it(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_DOCUMENTS", 2)
    assert module.facts_of(pipeline).corpus() is not None
    pipeline.runs = [run for run in pipeline.runs if run.step.use != "consistency"]
    assert module.facts_of(pipeline).corpus() is None
    monkeypatch.setattr(module, "MOST_DOCUMENTS", 3)
    assert module.facts_of(pipeline).corpus() is not None
