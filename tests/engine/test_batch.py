"""`vllm run-batch` answers the file that `openai_batch` leaves for it, and its file is read as replies."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from synth.backend import Sampling
from synth.backends.openai_batch import OpenAIBatch
from synth.errors import BackendError
from tests.engine import tiny_models
from tests.engine.test_generate import PATTERN, request

ENGINE = (
    "--dtype=float32",
    f"--max-model-len={tiny_models.CONTEXT}",
    "--max-num-seqs=64",
    "--enforce-eager",
    f"--kv-cache-memory-bytes={64 << 20}",
    '--structured-outputs-config={"backend": "xgrammar", "disable_any_whitespace": true}',
)


def answer(requests: Path, replies: Path, model: Path) -> None:
    """What the command does that the backend names; `vllm` itself asks for a distribution of that name."""
    command = [sys.executable, "-W", "ignore", "-m", "vllm.entrypoints.openai.run_batch"]
    files = ["-i", str(requests), "-o", str(replies), "--model", str(model)]
    done = subprocess.run([*command, *files, *ENGINE], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_file_of_requests_is_answered_and_read_back(chat_model: Path, tmp_path: Path) -> None:
    sampling = Sampling(most_tokens=120, temperature=1.0, seed=3)
    asked = [request(f"Number {n}.", id=str(n), schema=PATTERN, sampling=sampling) for n in range(40)]
    asked += [request(id="plain", top_logprobs=1), request("word " * 400, id="long")]
    backend = OpenAIBatch(model=str(chat_model), offline=str(tmp_path / "judged"))
    with pytest.raises(BackendError, match="42 requests are written there; answer them with `vllm run-batch"):
        list(backend.complete(iter(asked)))
    written = tmp_path / "judged" / "requests.jsonl"
    answer(written, tmp_path / "judged" / "replies.jsonl", chat_model)

    done = {one.request.id: one for one in backend.complete(iter(asked))}
    assert len(done) == 42
    assert [name for name, one in done.items() if one.error] == ["long"]
    assert "512" in done["long"].error
    ended = [one for one in done.values() if one.request.schema and one.finish_reason == "stop"]
    assert len(ended) > 20
    assert all(set(json.loads(one.text)) == {"query", "score"} for one in ended)
    assert len(done["plain"].logprobs) == done["plain"].completion_tokens
