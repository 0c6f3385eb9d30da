"""What fit trains, on whom, and whom each of its models may judge."""

import json
import random
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers")

from pydantic import ValidationError

from synth.errors import CorpusError, RecipeError
from synth.filters.consistency import Consistency
from synth.fitted import Fitted
from synth.retrieval import Corpus
from synth.stage import Context, RowList, Source
from synth.stages.fit import Fit
from synth.types import Document, Example
from tests.planted import QUICK, TRAIN, fitted, opened, world
from tests.test_resume import digest


def kept(student: Fitted, rows: list[Example], corpus: Corpus) -> tuple[float, float]:
    """The shares of the wrong and of the right rows that consistency at 10 keeps."""
    ctx = Context(embedders={"student": student}, corpus_of=lambda: corpus)
    outcomes = Consistency(retriever="dense", embedder="student").run(RowList(rows), ctx)
    stay = [o.meta["wrong"] for o in outcomes if isinstance(o, Example)]
    wrong = sum(row.meta["wrong"] for row in rows)
    return stay.count(True) / wrong, stay.count(False) / (len(rows) - wrong)


def test_a_model_forgives_wrong_rows_that_it_has_seen_and_one_that_has_not_finds_them(tmp_path: Path) -> None:
    rows, corpus = world()
    in_sample = fitted(rows, corpus, tmp_path / "one", folds=1, allow_seen=True, train=TRAIN)
    crossed = fitted(rows, corpus, tmp_path / "two", train=TRAIN)
    sizes = [len(some) for _, some in crossed.for_rows(rows)]
    assert len(sizes) == 2
    assert max(sizes) - min(sizes) <= 4
    wrong, right = kept(in_sample, rows, corpus)
    assert wrong > 0.9
    assert right > 0.95
    wrong, right = kept(crossed, rows, corpus)
    assert wrong < 0.1
    assert right > 0.95


def kin(count: int = 120) -> list[Example]:
    """Rows that share documents, parents and queries in every way."""
    rng = random.Random(3)
    rows = []
    for number in range(count):
        parent = rng.randrange(60)
        document = Document(f"part {number % 3} of {parent}", f"{parent}/{number % 3}", parent_id=f"p{parent}")
        query = f"What of {rng.randrange(200)}?" if number % 4 else f"what of {rng.randrange(200)}"
        rows.append(Example(id=f"r{number:03}", query=query, positives=(document,)))
    return rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished fit in three folds."""
    folder = tmp_path_factory.mktemp("crossed")
    fitted(kin(), Corpus([]), folder, folds=3)
    return folder


@pytest.fixture(scope="module")
def crossed(place: Path) -> Fitted:
    return opened(place)


def test_siblings_and_rows_of_one_query_are_never_in_two_folds(crossed: Fitted) -> None:
    rows = kin()
    assert len({id(crossed.for_row(row)) for row in rows}) == 3
    for one, other in product(rows, rows):
        same_query = one.query.lower().strip("?") == other.query.lower().strip("?")
        if same_query or one.positive.parent_id == other.positive.parent_id:
            assert crossed.for_row(one) is crossed.for_row(other)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "another"},
        {"query": "something nobody asked"},
        {"meta": {}, "tags": frozenset({"new"})},
        {"positives": (Document("a text found elsewhere", "elsewhere"),)},
    ],
)
def test_a_row_that_was_changed_on_its_way_is_judged_by_the_model_that_has_not_seen_it(
    change: dict[str, object], crossed: Fitted
) -> None:
    for row in kin():
        changed = replace(row, **change)  # type: ignore[arg-type]  # as the table has it
        assert crossed.for_row(changed) is crossed.for_row(row)


def test_a_row_whose_kin_nobody_trained_on_has_always_the_same_model(crossed: Fitted) -> None:
    for number in range(20):
        new = Example(id=f"n{number}", query=f"new {number}", positives=(Document("new", f"new{number}"),))
        assert crossed.for_row(new) is crossed.for_row(replace(new, id="again", query=""))
    assert crossed.for_row(Example(id="bare")) is crossed.for_row(Example(id="bare too"))


def test_rows_in_another_order_give_the_same_bytes(place: Path, tmp_path: Path) -> None:
    rows = kin()
    fitted(random.Random(5).sample(rows, len(rows)), Corpus([]), tmp_path, folds=3)
    assert digest(tmp_path) == digest(place)
    assert (tmp_path / "model-1" / "model.safetensors").is_file()


def test_a_rehearsal_trains_nothing_and_lets_all_rows_pass() -> None:
    rows, corpus = world(20)
    assert list(Fit(makes="student").run(RowList(rows), Context(corpus_of=lambda: corpus))) == rows


def test_a_model_that_was_trained_before_the_run_was_stopped_stays(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "model-0", tmp_path / "model-0")
    shutil.copytree(place / "model-2", tmp_path / "model-2")
    there = (tmp_path / "model-0" / "model.safetensors").stat().st_mtime_ns
    fitted(kin(), Corpus([]), tmp_path, folds=3)
    assert digest(tmp_path) == digest(place)
    assert (tmp_path / "model-0" / "model.safetensors").stat().st_mtime_ns == there


def test_nothing_of_a_training_is_left_but_the_models(place: Path) -> None:
    names = sorted(path.name for path in place.iterdir())
    assert names == ["fit.json", "folds.parquet", "model-0", "model-1", "model-2"]


def test_no_rows_are_no_models_and_no_error(tmp_path: Path) -> None:
    fitted([], Corpus([]), tmp_path)
    assert json.loads((tmp_path / "fit.json").read_text())["models"] == []


def hanging(together: int, alone: int) -> list[Example]:
    """Rows of one document, and rows of documents of their own."""
    families = ["one"] * together + [f"f{number}" for number in range(alone)]
    return [
        Example(id=f"r{n}", query=f"query {n}", positives=(Document(f"text {n}", f"d{n}", parent_id=family),))
        for n, family in enumerate(families)
    ]


@pytest.mark.parametrize(
    ("rows", "folds", "said"),
    [
        (hanging(0, 1), 1, "the model of fold 1 of 1, .*: 1 rows have a query and a positive; at least 2 are needed"),
        (hanging(9, 1), 2, "the model of fold . of 2, .*: 1 rows have a query and a positive"),
        (hanging(9, 9), 2, "the model of fold . of 2, .*: all 9 rows have one document"),
        ([replace(row, query="") for row in hanging(0, 9)], 2, "none of its 9 rows has a query and a positive"),
        ([replace(row, positives=()) for row in hanging(0, 9)], 2, "none of its 9 rows has a query and a positive"),
        ([replace(row, query="Who?") for row in hanging(0, 9)], 3, "the model of fold . of 3, .*: 0 rows have a query"),
        ([replace(row, query="Who?") for row in hanging(0, 9)], 1, "the model of fold 1 of 1, .*: all 9 rows have one"),
    ],
)
def test_rows_that_leave_a_model_nothing_to_learn_from_are_an_error_of_one_line(
    rows: list[Example], folds: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match=f"step fit: {said}") as raised:
        fitted(rows, Corpus([]), tmp_path, folds=folds, allow_seen=folds == 1)
    assert "\n" not in str(raised.value)


def test_it_is_told_where_most_rows_hang_together(tmp_path: Path) -> None:
    said: list[str] = []
    chained = [
        Example(id=f"c{n}", query=f"link {n // 2}", positives=(Document(f"text {n}", f"d{(n + 1) // 2}"),))
        for n in range(40)
    ]
    ctx = Context(step="fit", folder=tmp_path, warn=said.append)
    list(Fit(makes="student", train=QUICK).run(RowList([*chained, *hanging(0, 8)]), ctx))
    assert said == [
        "fit: 40 of 48 rows hang together by their documents or queries and are in one fold, whose model is trained "
        "on the other 8"
    ]


def test_the_base_may_be_a_model_beside_the_recipe_whose_files_are_part_of_the_key(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path / "first")
    rows = kin(40)
    stage = Fit(makes="student", folds=1, allow_seen=True, train={"base": "./first/model-0"})
    ctx = Context(step="fit", source=Source(folder=tmp_path), folder=tmp_path / "next")
    assert not stage.reads_corpus()
    known = stage.content_read(ctx)
    assert list(stage.run(RowList(rows), ctx)) == rows
    assert opened(tmp_path / "next").for_row(rows[0]).dim == 8
    (tmp_path / "first" / "model-0" / "README.md").write_text("another")
    assert stage.content_read(ctx) != known
    with pytest.raises(RecipeError, match="step fit: train: base: there is no model in .*nowhere"):
        Fit(makes="student", train={"base": "./nowhere"}).content_read(ctx)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "makes\n  Field required"),
        ({"makes": ""}, "at least 1 character"),
        ({"makes": "m", "folds": 0}, "greater than or equal to 1"),
        ({"makes": "m", "allow_seen": True}, "allow_seen goes with `folds: 1`"),
        ({"makes": "m", "train": {"epoch": 3}}, "Extra inputs are not permitted"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Fit.model_validate(options)
