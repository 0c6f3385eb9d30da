"""Each row is asked about of the model that has not seen it, by whichever step; as one model nothing is asked."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")

from synth.embedder import Embedder
from synth.errors import RecipeError
from synth.filters.consistency import Consistency
from synth.filters.decontamination import Decontamination
from synth.filters.semantic_dedup import SemanticDedup
from synth.filters.similarity import Similarity
from synth.fitted import Fitted
from synth.retrieval import Corpus
from synth.stage import Context, RowList, Source, Stage
from synth.stages.false_negatives import FalseNegatives
from synth.stages.mine import Mine
from synth.types import Document, Dropped, Example
from tests.planted import fitted, opened, world

ROWS, CORPUS = world(60)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fitted(ROWS, CORPUS, tmp_path_factory.mktemp("student"))


def outcomes(stage: Stage, rows: list[Example], student: Fitted, folder: Path = Path()) -> list[Example]:
    """The rows with what a step noted on them, whether it kept them or not, by id."""
    corpus = Corpus(CORPUS.documents)
    ctx = Context(step="step", source=Source(folder=folder), embedders={"student": student}, corpus_of=lambda: corpus)
    found = (o.example if isinstance(o, Dropped) else o for o in stage.run(RowList(rows), ctx))
    return sorted(found, key=lambda row: row.id)


def own_cosines(student: Fitted, row: Example, documents: Sequence[Document]) -> list[float]:
    """The cosines of a row's query and some documents, by the row's own model."""
    return _cosines(student.for_row(row), row, documents)


def _cosines(model: Embedder, row: Example, documents: Sequence[Document]) -> list[float]:
    vectors = model.encode([document.text for document in documents])
    return [float(cosine) for cosine in vectors @ model.encode([row.query], kind="query")[0]]


NEGATIVES = [replace(row, negatives=(CORPUS.documents[n - 1],)) for n, row in enumerate(ROWS)]


@pytest.mark.parametrize(
    "stage",
    [
        Consistency(retriever="dense", embedder="student", most_rank=3),
        Consistency(retriever="fused", embedder="student", most_rank=3),
        Similarity(embedder="student", worst=0.3),
        FalseNegatives(scorer="embedder", embedder="student", fate="note"),
    ],
)
def test_a_step_scores_each_row_by_its_own_model(stage: Stage, student: Fitted) -> None:
    others = {id(model): model for model, _ in student.for_rows(ROWS)}
    for row in outcomes(stage, NEGATIVES, student):
        cosine = row.positive.scores["cosine"]
        own = student.for_row(row)
        assert _cosines(own, row, [row.positive]) == pytest.approx([cosine], abs=2e-5)
        [other] = [model for model in others.values() if model is not own]
        assert _cosines(other, row, [row.positive]) != pytest.approx([cosine], abs=2e-5)


@pytest.mark.parametrize("retriever", ["dense", "fused"])
def test_negatives_are_mined_by_each_rows_own_model(retriever: str, student: Fitted) -> None:
    stage = Mine.model_validate({"retriever": retriever, "embedder": "student", "negatives": 3})
    for row in outcomes(stage, ROWS, student):
        assert len(row.negatives) == 3
        if retriever == "dense":
            best = own_cosines(student, row, row.negatives)
            assert [document.scores["cosine"] for document in row.negatives] == pytest.approx(best, abs=2e-5)
            others = [document for document in CORPUS.documents if document.doc_id != row.positive.doc_id]
            assert best == pytest.approx(sorted(own_cosines(student, row, others))[:-4:-1], abs=2e-5)


def test_the_order_of_the_rows_changes_nothing(student: Fitted) -> None:
    for stage in (Consistency(retriever="dense", embedder="student"), Mine(retriever="dense", embedder="student")):
        assert outcomes(stage, ROWS, student) == outcomes(stage, ROWS[::-1], student)


def test_what_compares_rows_with_each_other_gets_the_mean_of_the_cosines(student: Fitted) -> None:
    texts = [row.query for row in ROWS[:5]]
    together = student.for_all()
    assert together.encode(texts).shape == (5, together.dim) == (5, 16)
    vectors = together.encode(texts)
    parts = [student.for_row(row).encode(texts) for _, [row, *_] in student.for_rows(ROWS)]
    assert len(parts) == 2
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors @ vectors.T, sum(part @ part.T for part in parts) / 2, atol=1e-5)
    assert together.identity() != student.identity()
    assert student.for_all() is together


def test_steps_that_compare_rows_with_each_other_may_ask_it(student: Fitted, tmp_path: Path) -> None:
    twin = replace(ROWS[0], id="twin", query=ROWS[0].query + " at all")
    assert len(outcomes(SemanticDedup(embedder="student"), [*ROWS, twin], student)) == len(ROWS) + 1
    (tmp_path / "questions.txt").write_text("where are they\n")
    stage = Decontamination(against=("questions.txt",), embedder="student")
    assert len(outcomes(stage, ROWS, student, tmp_path)) == len(ROWS)


@pytest.mark.parametrize(
    "ask",
    [lambda e: e.encode(["text"]), lambda e: e.dim, lambda e: CORPUS.searches("dense", e)],
    ids=["encode", "dim", "search"],
)
def test_as_one_model_it_is_refused_in_one_line(ask, student: Fitted) -> None:  # type: ignore[no-untyped-def]
    ctx = Context(embedders={"student": student})
    said = "'student' is made by `fit`, a model for each fold: ask for the one of a row, or for all of them"
    with pytest.raises(RecipeError, match=re.escape(said)):
        ask(ctx.embedder("student"))
    assert ctx.embedder("student", ROWS[0]) is student.for_row(ROWS[0])


def test_the_one_model_of_one_fold_judges_rows_only_where_the_recipe_allows_it(tmp_path: Path) -> None:
    student = fitted(ROWS, CORPUS, tmp_path, folds=1)
    with pytest.raises(RecipeError, match=re.escape("'student' has seen every row (`folds: 1`)")):
        student.for_row(ROWS[0])
    assert student.for_all().dim == 8
    mark = tmp_path / "fit.json"
    mark.write_text(mark.read_text().replace("false", "true"))
    allowed = opened(tmp_path)
    assert allowed.for_row(ROWS[0]) is allowed.for_all()
    assert allowed.identity() != student.identity()


def test_a_plain_embedder_is_the_same_for_all_rows(student: Fitted) -> None:
    model = student.for_row(ROWS[0])
    assert model.for_row(ROWS[1]) is model.for_all() is model
    assert list(model.for_rows(ROWS)) == [(model, ROWS)]
    assert list(model.for_rows([])) == []
