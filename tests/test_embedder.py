"""Texts to vectors with a sentence-transformers model."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")

from synth.embedder import Embedder, identity_of, load
from synth.errors import BackendError
from synth.training import TrainOptions
from synth.training.static import static_models
from tests.contracts import TEXTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained model whose queries have a prompt of their own."""
    place = tmp_path_factory.mktemp("embedder") / "model"
    _, model = static_models(list(TEXTS) * 3, TrainOptions(dims=24, vocabulary=300), seed=1)
    model.prompts["query"] = "the Nile "
    model.save_pretrained(str(place), create_model_card=False)
    return place


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Embedder:
    return load(str(folder))


def test_vectors_have_unit_length_and_a_row_for_each_text(embedder: Embedder) -> None:
    vectors = embedder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), embedder.dim) == (len(TEXTS), 24)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_nothing_to_read_is_a_vector_of_zeros_and_no_texts_are_no_rows(embedder: Embedder) -> None:
    assert embedder.encode([]).shape == (0, 24)
    assert embedder.encode(["", "flood"])[0].tolist() == [0.0] * 24


def test_a_text_s_vector_does_not_depend_on_its_neighbours(embedder: Embedder) -> None:
    together = embedder.encode(TEXTS)
    alone = np.concatenate([embedder.encode([text]) for text in TEXTS])
    assert np.allclose(together, alone, atol=1e-5)


def test_a_query_has_the_model_s_prompt_and_an_instruction_takes_its_place(embedder: Embedder) -> None:
    as_query, as_document = embedder.encode(["bicycle"], kind="query"), embedder.encode(["the Nile bicycle"])
    assert np.allclose(as_query, as_document, atol=1e-6)
    told = embedder.encode(["bicycle"], kind="query", instruction="chain ")
    assert np.allclose(told, embedder.encode(["chain bicycle"]), atol=1e-6)
    assert not np.allclose(told, as_query, atol=1e-2)


def test_half_a_surrogate_pair_is_no_obstacle(embedder: Embedder) -> None:
    assert np.allclose(embedder.encode(["flood \ud83d"]), embedder.encode(["flood ?"]))


def test_a_model_is_known_by_what_is_in_its_folder(folder: Path, embedder: Embedder, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.rglob("*"):
        if path.is_file():
            (copy / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(folder)).write_bytes(path.read_bytes())
    assert identity_of(str(copy)) == embedder.identity()
    with (copy / "model.safetensors").open("ab") as file:
        file.write(b"x")
    assert identity_of(str(copy)) != embedder.identity()
    assert identity_of("owner/name") == "owner/name"


def test_no_model_by_that_name_is_an_error_with_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BackendError, match="nowhere"):
        load(str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BackendError, match="empty"):
        load(str(tmp_path / "empty"))
