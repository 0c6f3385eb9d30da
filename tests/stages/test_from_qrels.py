"""from_qrels: judged questions of a test set as rows, their grades as relevance."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth.errors import CorpusError
from synth.runs import RunFolder
from synth.stage import Context, Source
from synth.stages.from_qrels import FromQrels
from synth.types import Dropped, Example
from tests.conftest import CORPUS, Synth, write_corpus
from tests.test_bad_input import assert_one_line

QRELS = [
    ("q1", "nile", 2),
    ("q1", "bridge", 1),
    ("q1", "kettle", 0),
    ("q2", "owl", 1),
    ("q2", "salt", -1),
    ("q3", "moss", 2),
]
QUERIES = {
    "q1": "when does it flood",
    "q2": " why do owls turn their heads ",
    "q3": "how does moss drink",
    "q4": "unasked",
}


def judged_set(folder: Path, qrels: list[tuple[str, str, int]] = QRELS, queries: dict[str, str] = QUERIES) -> Path:
    write_corpus(folder / "set", {**CORPUS, "empty": " "})
    lines = [json.dumps({"_id": name, "text": text}) for name, text in queries.items()]
    (folder / "set" / "queries.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "set" / "qrels").mkdir(exist_ok=True)
    judged = "".join(f"{query}\t{doc}\t{grade}\n" for query, doc, grade in qrels)
    (folder / "set" / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    (folder / "set" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq4\tnile\t1\n")
    return folder


def context(folder: Path, **source: Any) -> Context:
    return Context(step="from_qrels", seed=7, source=Source(folder=folder, **source))


def outcomes(folder: Path, limit: int | None = None, **options: Any) -> dict[str, Example | Dropped]:
    stage = FromQrels(**{"data": "./set:train", **options})
    found = list(stage.run((), context(folder, limit=limit)))
    return {(o.example if isinstance(o, Dropped) else o).meta["query_id"]: o for o in found}


def judged(row: Example | Dropped) -> tuple[list[tuple[str, float | None]], list[tuple[str, float | None]]]:
    assert isinstance(row, Example)
    return [(d.doc_id, d.relevance) for d in row.positives], [(d.doc_id, d.relevance) for d in row.negatives]


def test_a_question_has_its_judged_documents_with_grades_as_relevance(tmp_path: Path) -> None:
    found = outcomes(judged_set(tmp_path), language="en", task="qa")
    assert set(found) == {"q1", "q2", "q3"}
    assert judged(found["q1"]) == ([("nile", 1.0), ("bridge", 0.5)], [("kettle", 0.0)])
    assert judged(found["q2"]) == ([("owl", 0.5)], [("salt", 0.0)])
    row = found["q2"]
    assert isinstance(row, Example)
    assert (row.query, row.language, row.task) == ("why do owls turn their heads", "en", "qa")
    assert row.tags == {"human"}
    assert row.positive.title == "Owl"
    assert row.positive.language == "en"
    assert row.positive.origin == row.negatives[0].origin == "corpus"


def test_the_least_grade_of_a_positive_may_be_raised_and_what_lies_between_is_neither(tmp_path: Path) -> None:
    found = outcomes(judged_set(tmp_path), least=2)
    assert judged(found["q1"]) == ([("nile", 1.0)], [("kettle", 0.0)])
    gone = found["q2"]
    assert isinstance(gone, Dropped)
    assert (gone.reason, gone.detail) == ("no_positive", "no document with a text has the grade 2; the best is 1")


def test_a_question_or_a_document_without_text_is_dropped(tmp_path: Path) -> None:
    folder = judged_set(tmp_path, [("q1", "empty", 1), ("q2", "nile", 1)], {"q1": "what is empty", "q2": " "})
    reasons = {name: row.reason for name, row in outcomes(folder).items() if isinstance(row, Dropped)}
    assert reasons == {"q1": "no_positive", "q2": "no_query"}


def many(folder: Path) -> Path:
    queries = {f"q{n:03}": f"question {n}" for n in range(200)}
    return judged_set(folder, [(name, "nile", 1) for name in queries], {**queries, "q4": "unasked"})


def test_of_too_many_the_seed_draws_some_whatever_their_order(tmp_path: Path) -> None:
    first = outcomes(many(tmp_path), most=20)
    assert len(first) == 20
    assert set(first) < set(outcomes(tmp_path, most=50))
    assert set(outcomes(tmp_path, most=50, limit=20)) == set(first)
    for name in ("queries.jsonl", "qrels/train.tsv"):
        head, *lines = (tmp_path / "set" / name).read_text().splitlines()
        (tmp_path / "set" / name).write_text("\n".join([head, *lines[::-1]]) + "\n")
    assert outcomes(tmp_path, most=20) == first


def test_what_is_not_drawn_is_counted(tmp_path: Path) -> None:
    counted: Counter[str] = Counter()
    source = Source(folder=many(tmp_path))
    ctx = Context(step="from_qrels", source=source, count=lambda name, by=1: counted.update({name: int(by)}))
    list(FromQrels(data="./set:train", most=30).run((), ctx))
    assert counted == {"questions_left_out": 170}


def test_the_content_that_is_read_is_that_of_queries_documents_and_judgements(tmp_path: Path) -> None:
    stage, ctx = FromQrels(data="./set:train"), context(judged_set(tmp_path))
    seen = {stage.content_read(ctx), FromQrels(data="./set:test").content_read(ctx)}
    for name in ("queries.jsonl", "corpus.jsonl", "qrels/train.tsv"):
        path = tmp_path / "set" / name
        path.write_text(path.read_text() + "\n")
        seen.add(stage.content_read(ctx))
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("./nowhere:train", ["nowhere", "no such folder"]),
        ("./set:trian", ["no split 'trian'", "did you mean 'train'"]),
        ("./bare:test", ["bare", "no judgements"]),
        ("./bad:train", ["bad/qrels/train.tsv:2", "unknown document 'amazon'"]),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(data: str, words: list[str], synth: Synth, tmp_path: Path) -> None:
    judged_set(tmp_path)
    write_corpus(tmp_path / "bare")
    judged_set(tmp_path / "x", [("q1", "amazon", 1)])
    (tmp_path / "x" / "set").rename(tmp_path / "bad")
    (tmp_path / "recipe.yaml").write_text(f"steps:\n  - {{use: from_qrels, data: '{data}'}}\n")
    assert_one_line(synth("run", "recipe.yaml", "--output", "run"), *words)
    assert not list(tmp_path.glob("run/*/kept.parquet"))


def test_a_test_set_without_documents_is_told(tmp_path: Path) -> None:
    (judged_set(tmp_path) / "set" / "corpus.jsonl").unlink()
    with pytest.raises(CorpusError, match=r"no corpus.jsonl; the questions' documents must stand there"):
        outcomes(tmp_path)


@pytest.mark.parametrize("options", [{"data": ""}, {"data": "x", "least": 0}, {"data": "x", "language": "klingon"}])
def test_options_that_do_not_fit_are_told(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FromQrels(**options)


def test_judged_questions_are_the_rows_of_a_run(synth: Synth, tmp_path: Path) -> None:
    judged_set(tmp_path)
    (tmp_path / "recipe.yaml").write_text("steps:\n  - {use: from_qrels, data: './set:train'}\n")
    said = synth("run", "recipe.yaml", "--output", "run")
    assert said.code == 0, said.err
    assert {row.meta["query_id"] for row in RunFolder(tmp_path / "run").steps[-1].kept} == {"q1", "q2", "q3"}
