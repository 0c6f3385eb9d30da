"""Training from nothing: the model loads anywhere, is better than untrained, and is the same for the same rows."""

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")

from sentence_transformers import SentenceTransformer

from synth.embedder import load
from synth.errors import BackendError, CorpusError
from synth.training import TrainOptions
from synth.training.trainer import train
from synth.types import Document, Example
from tests.contracts import documents

OPTIONS = TrainOptions(dims=32, vocabulary=400, matryoshka=(16,), epochs=4)
WORLD = {
    "river": "flood bank water stream boat bridge fish current delta mud",
    "kitchen": "bread flour oven yeast dough salt butter knife pan heat",
    "bicycle": "chain wheel brake saddle pedal spoke tyre gear frame bell",
    "garden": "soil seed root leaf moss worm spade hedge rain bloom",
}


def rows_and_corpus() -> tuple[list[Example], list[Document]]:
    """Sixty documents on four topics; each query is two other words of its document's topic."""
    rng = random.Random(4)
    rows, corpus = [], []
    for number in range(60):
        name, words = rng.choice(sorted(WORLD.items()))
        drawn = rng.sample(words.split(), 7)
        document = Document(f"The {name} has {' and '.join(drawn[:5])} in it.", f"d{number}")
        corpus.append(document)
        rows.append(Example(id=f"r{number}", query=" ".join(drawn[5:]), positives=(document,)))
    return rows, corpus


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows, corpus = rows_and_corpus()
    output = tmp_path_factory.mktemp("trained") / "model"
    result = train(rows, OPTIONS, output, 5, corpus)
    assert result.model == output
    assert result.rows == 60
    assert result.steps > 4
    assert math.isfinite(result.loss)
    assert result.before == (str(output.with_name("model-untrained")), str(output.with_name("model-start")))
    return output


def test_the_model_is_plain_files_that_load_without_us(trained: Path) -> None:
    model = SentenceTransformer(str(trained))
    assert model.encode(["the river", ""]).shape == (2, 32)
    assert [type(module).__module__.split(".")[0] for module in model] == ["sentence_transformers"]
    assert not [path for path in trained.rglob("*") if path.suffix in {".bin", ".pt", ".pkl", ".pickle", ".py"}]
    assert (trained / "model.safetensors").is_file()


def test_words_that_never_met_a_query_s_words_are_found_by_their_topic(trained: Path) -> None:
    queries = ["flood boat", "yeast oven", "pedal spoke", "moss worm"]
    answers = ["stream current", "dough flour", "wheel saddle", "root seed"]
    model, untrained = load(str(trained)), load(f"{trained}-untrained")
    near = model.encode(queries, kind="query") @ model.encode(answers).T
    assert near.argmax(axis=1).tolist() == [0, 1, 2, 3]
    before = untrained.encode(queries, kind="query") @ untrained.encode(answers).T
    assert (np.diag(near) - near.mean(axis=1)).mean() > (np.diag(before) - before.mean(axis=1)).mean() + 0.2


def test_training_moves_the_weights_from_where_they_start(trained: Path, tmp_path: Path) -> None:
    rows, corpus = rows_and_corpus()
    train(rows, OPTIONS.model_copy(update={"learning_rate": 1e-12}), tmp_path / "still", 5, corpus)
    texts = [document.text for document in corpus]
    moved = load(str(trained)).encode(texts) - load(str(tmp_path / "still")).encode(texts)
    assert np.abs(moved).max() > 0.01


def test_the_same_rows_in_another_order_give_the_same_model_to_the_byte(trained: Path, tmp_path: Path) -> None:
    rows, corpus = rows_and_corpus()
    shuffled = random.Random(9).sample(rows, len(rows))
    train(shuffled, OPTIONS, tmp_path / "model", 5, reversed(corpus))
    for name in ("model.safetensors", "tokenizer.json"):
        found = sorted(path.relative_to(trained) for path in trained.rglob(name))
        assert found
        for path in found:
            assert (tmp_path / "model" / path).read_bytes() == (trained / path).read_bytes()


def test_rows_with_and_without_negatives_instructions_and_odd_scripts_train_together(tmp_path: Path) -> None:
    corpus = documents()
    rows = [
        Example(
            id=f"r{number}",
            query=document.text[:20],
            instruction="Find it: ",
            positives=(document,),
            negatives=tuple(corpus[:1]) if number % 2 else (),
        )
        for number, document in enumerate(corpus)
    ]
    result = train(rows, TrainOptions(dims=16, epochs=2), tmp_path / "model", 1)
    assert result.rows == len(rows)
    assert SentenceTransformer(str(tmp_path / "model")).prompts["query"] == "Find it: "


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rows_are_an_error_that_says_what_to_do(count: int, tmp_path: Path) -> None:
    rows, corpus = rows_and_corpus()
    with pytest.raises(CorpusError, match=rf"{count} rows have a query and a positive; at least 2"):
        train(rows[:count], OPTIONS, tmp_path / "model", 1, corpus)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("what", ["query", "document"])
def test_rows_that_are_no_negatives_of_each_other_are_an_error_that_says_so(what: str, tmp_path: Path) -> None:
    rows, corpus = rows_and_corpus()
    if what == "query":
        rows = [replace(row, query="the same") for row in rows]
    else:
        rows = [replace(row, positives=(replace(row.positive, parent_id="one"),)) for row in rows]
    with pytest.raises(CorpusError, match=f"train: all 60 rows have one {what}"):
        train(rows, OPTIONS, tmp_path / "model", 1, corpus)


def test_rows_of_which_no_two_have_equally_many_negatives_are_an_error_that_says_so(tmp_path: Path) -> None:
    rows, corpus = rows_and_corpus()
    rows = [rows[0], replace(rows[1], negatives=tuple(corpus[-1:]))]
    with pytest.raises(CorpusError, match="train: no two of its 2 rows have equally many negatives"):
        train(rows, OPTIONS, tmp_path / "model", 1, corpus)


def test_a_base_that_is_not_there_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rows, _ = rows_and_corpus()
    missing = str(tmp_path / "no" / "model")
    with pytest.raises(BackendError, match="no/model"):
        train(rows, TrainOptions(base=missing), tmp_path / "model", 1)


def test_the_schedule_fills_in_the_defaults_of_its_base() -> None:
    assert TrainOptions().schedule().most_rows is None
    assert TrainOptions(base="x/y").schedule().most_rows == 10_000
    assert TrainOptions(base="x/y", epochs=3, matryoshka=(8,)).schedule()[0] == 3
    assert TrainOptions(matryoshka=()).schedule().matryoshka == ()
