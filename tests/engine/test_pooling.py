"""Vectors and scores from a real vLLM engine, beside what transformers makes of the same models."""

import multiprocessing
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from synth.backend import Message, Request
from synth.backends.vllm import VLLM
from synth.errors import BackendError
from tests.engine import tiny_models
from tests.engine.conftest import SMALL

TEXTS = ["The Nile floods each summer.", "Ein Kessel Wasser kocht.", "", "a bicycle chain " * 200]
PAIRS = [("when does the river flood?", text) for text in TEXTS] + [("chain", TEXTS[0])]


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory, environment: None) -> Iterator[VLLM]:
    model = tiny_models.embed(tmp_path_factory.mktemp("embed"))
    backend = VLLM(model=str(model), runner="pooling", dtype="float32", engine=SMALL)
    yield backend
    backend.close()


class Opened(NamedTuple):
    """A backend and the process of its engine."""

    backend: VLLM
    core: BaseProcess


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory, environment: None) -> Iterator[Opened]:
    model = tiny_models.score(tmp_path_factory.mktemp("score"))
    backend = VLLM(model=str(model), runner="pooling", dtype="float32", engine=SMALL)
    before = set(multiprocessing.active_children())
    backend.score(PAIRS[:1])
    [core] = set(multiprocessing.active_children()) - before
    yield Opened(backend, core)
    backend.close()


def test_vectors_are_those_of_the_model_and_of_unit_length(embedder: VLLM) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (4, 64)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert vectors == pytest.approx(vectors_by_hand(Path(embedder.model)), abs=1e-3)


def vectors_by_hand(model: Path) -> np.ndarray:
    """The state of the first token, as vLLM pools a BERT of which nothing else is known."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, bert = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model).eval()
    rows = []
    with torch.inference_mode():
        for text in TEXTS:
            encoded = tokenizer(text or " ", truncation=True, max_length=128, return_tensors="pt")
            rows.append(bert(**encoded).last_hidden_state[0, 0].numpy())
    found = np.stack(rows)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_many_texts_keep_their_order(embedder: VLLM) -> None:
    texts = [f"number {n}" for n in range(300)]
    forward, backward = embedder.embed(texts), embedder.embed(texts[::-1])
    assert forward == pytest.approx(backward[::-1], abs=1e-4)
    assert embedder.embed([]).shape[0] == 0


def test_a_server_that_it_starts_gives_the_same_vectors_and_scores_by_them(embedder: VLLM) -> None:
    texts = TEXTS[:3]
    served = VLLM(model=embedder.model, runner="pooling", serve=True, dtype="float32", engine=SMALL)
    with closing(served):
        vectors = served.embed(texts)
        scores = served.score([(texts[0], text) for text in texts])
    assert vectors == pytest.approx(embedder.embed(texts), abs=1e-3)
    assert scores == pytest.approx(vectors @ vectors[0], abs=1e-3)


def test_an_embedder_writes_nothing(embedder: VLLM) -> None:
    with pytest.raises(BackendError, match="started with `runner: pooling`, and writes nothing"):
        list(embedder.complete([Request(id="1", messages=(Message("user", "hello"),))]))


def test_an_embedder_scores_no_pairs(embedder: VLLM) -> None:
    with pytest.raises(BackendError, match="scores no pairs; name a cross-encoder"):
        embedder.score(PAIRS)


def test_scores_are_those_of_the_cross_encoder(scorer: Opened) -> None:
    scores = scorer.backend.score(PAIRS)
    assert scores.shape == (5,)
    assert scores.dtype == np.float32
    assert scores == pytest.approx(scores_by_hand(Path(scorer.backend.model)), abs=1e-3)


def scores_by_hand(model: Path) -> np.ndarray:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    bert = AutoModelForSequenceClassification.from_pretrained(model).eval()
    with torch.inference_mode():
        return np.array(
            [
                torch.sigmoid(
                    bert(**tokenizer(*pair, truncation="only_second", max_length=128, return_tensors="pt")).logits
                ).item()
                for pair in PAIRS
            ]
        )


def test_an_engine_that_dies_is_one_line(scorer: Opened) -> None:
    scorer.core.kill()
    scorer.core.join()
    with pytest.raises(BackendError, match="has died; why stands in what it printed above") as told:
        scorer.backend.score(PAIRS)
    assert "\n" not in str(told.value)
