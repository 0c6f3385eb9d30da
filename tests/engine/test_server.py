"""vLLM's own server, started as a child and asked over HTTP, as `serve: true` does; and what a kill leaves behind."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from synth.backend import Message, Request, Sampling
from synth.backends.vllm import VLLM
from synth.child_server import ChildServer
from synth.errors import BackendError
from tests.conftest import write_corpus
from tests.engine import tiny_models
from tests.engine.conftest import SMALL, TIGHT
from tests.engine.test_generate import PATTERN, by_hand, only, request

OPTIONS: dict[str, Any] = {
    "dtype": "float32",
    "max_model_len": tiny_models.CONTEXT,
    "max_num_seqs": 64,
    "engine": SMALL | TIGHT | {"disable_log_stats": False},
}


@pytest.fixture(scope="module")
def served(chat_model: Path) -> Iterator[VLLM]:
    """The chat model behind a server of its own."""
    backend = VLLM(model=str(chat_model), serve=True, **OPTIONS)
    yield backend
    backend.close()


def test_many_requests_with_a_schema_are_each_answered_once(served: VLLM) -> None:
    sampling = Sampling(most_tokens=120, temperature=1.0)
    asked = [request(f"Number {n}.", id=str(n), schema=PATTERN, sampling=sampling) for n in range(200)]
    done = {one.request.id: one for one in served.complete(iter(asked))}
    assert len(done) == 200
    assert {one.error for one in done.values()} == {""}
    assert all(set(json.loads(one.text)) == {"query", "score"} for one in done.values() if one.finish_reason == "stop")
    assert {one.model for one in done.values()} == {served.model}


def test_the_server_answers_as_the_engine_in_this_process_does(served: VLLM, engine: VLLM) -> None:
    for sampling in (Sampling(most_tokens=24, temperature=0), Sampling(most_tokens=24, seed=5, extra={"top_k": 40})):
        asked = request("The Nile floods each summer.", top_logprobs=2, sample=3, sampling=sampling)
        over_http, in_process = only(served, asked), only(engine, asked)
        assert over_http.text == in_process.text
        assert (over_http.prompt_tokens, over_http.completion_tokens) == (
            in_process.prompt_tokens,
            in_process.completion_tokens,
        )
        assert [one.logprob for one in over_http.logprobs] == pytest.approx(
            [one.logprob for one in in_process.logprobs], abs=1e-3
        )


def test_samples_asked_for_together_differ_and_those_with_a_seed_come_again(served: VLLM) -> None:
    def texts(seed: int | None) -> list[str]:
        sampling = Sampling(most_tokens=24, temperature=1.0, seed=seed)
        group = [request(id=str(n), sample=n, more=3 - n, sampling=sampling) for n in range(4)]
        return [done.text for done in sorted(served.complete(iter(group)), key=lambda done: done.request.id)]

    assert len(set(texts(None))) == 4
    assert len(set(texts(3))) == 4
    assert texts(3) == texts(3)


def test_a_text_is_weighed_over_http_too(served: VLLM, chat_model: Path) -> None:
    weighed = Request(
        id="w",
        messages=(Message("user", "The Nile floods."), Message("assistant", "what floods?")),
        prompt_logprobs=True,
        sampling=Sampling(most_tokens=1),
    )
    told = [token.logprob for token in only(served, weighed).prompt_logprobs]
    assert told[0] is None
    assert told[1:] == pytest.approx(by_hand(chat_model, weighed), abs=1e-3)


def test_a_prompt_that_is_too_long_fails_alone(served: VLLM) -> None:
    asked = [request("word " * (400 if n == 3 else 2), id=str(n)) for n in range(8)]
    done = {one.request.id: one.error for one in served.complete(iter(asked))}
    assert [name for name, error in done.items() if error] == ["3"]
    assert "512" in done["3"]


def test_a_beginning_that_prompts_share_is_told_as_cached(served: VLLM) -> None:
    shared = "A bicycle chain needs oil every few weeks. Wipe it clean first. " * 16
    assert only(served, request(shared + "Why?")).cached_tokens == 0
    assert only(served, request(shared + "When?")).cached_tokens >= 128


def test_a_server_that_does_not_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    backend = VLLM(model=str(tmp_path), serve=True, dtype="float32", engine=SMALL)
    with pytest.raises(BackendError) as told:
        only(backend, request())
    assert f"vllm {tmp_path}: the server ended with exit code 1" in str(told.value)
    assert "\n" not in str(told.value)
    log = Path(str(told.value).rpartition("all it said: ")[2].rstrip(")"))
    assert "config.json" in log.read_text()
    shutil.rmtree(log.parent)
    backend.close()


PROMPT = """\
---
about: One query.
reads: [document]
returns: {query: {type: string, least: 3, most: 60, about: a query}}
---
[user]
{{ document }}
"""
RECIPE = """\
# A writer behind a server, and nothing trained.
corpus: ./corpus
seed: 7
backends:
  writer:
    use: openai
    model: MODEL
    base_url: URL
    key_env: NO_KEY_IS_NEEDED
    most_concurrent: 16
    sampling: {most_tokens: 150, temperature: 1.0}
steps:
  - use: from_corpus
  - {use: generate, prompt: ask, attempts: 1}
export: [pairs]
"""
DOCUMENTS = 400


def write_recipe(folder: Path, child: ChildServer, model: str) -> list[str]:
    """The recipe, with its server, and the command that runs it."""
    (folder / "ask.jinja").write_text(PROMPT)
    (folder / "recipe.yaml").write_text(RECIPE.replace("MODEL", model).replace("URL", f"{child.url}/v1"))
    return [sys.executable, "-m", "synth", "run", "recipe.yaml", "--output", "run", "--json"]


def replies_in(store: Path) -> int:
    """How many replies are kept by now."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as opened:
            return int(opened.execute("SELECT count(*) FROM replies").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def answered_by(child: ChildServer) -> int:
    """How many requests the server itself counts as answered."""
    with urllib.request.urlopen(f"{child.url}/metrics", timeout=10) as told:
        lines = told.read().decode().splitlines()
    return round(sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:request_success_total")))


def test_a_server_that_is_killed_ends_the_run_which_goes_on_with_another_and_asks_nothing_twice(
    chat_model: Path, served: VLLM, tmp_path: Path
) -> None:
    write_corpus(tmp_path / "corpus", {f"d{n}": f"Document {n} tells of a river." for n in range(DOCUMENTS)})
    store = tmp_path / "outputs" / "replies.sqlite"
    first_server = served.children[0]
    command = write_recipe(tmp_path, first_server, served.model)
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        while replies_in(store) < 60 and first.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                first.wait(timeout=0.05)
        os.kill(first_server.pid, signal.SIGKILL)
        try:
            _, said = first.communicate(timeout=120)
        finally:
            first.kill()
    assert (first.returncode, "no server answers there" in said) == (2, True), said
    kept = replies_in(store)
    assert 60 <= kept < DOCUMENTS
    with pytest.raises(BackendError, match="the server was ended by signal 9"):
        only(served, request())

    with closing(VLLM(model=served.model, serve=True, **OPTIONS)) as again:
        only(again, request())
        before = answered_by(again.children[0])
        command = write_recipe(tmp_path, again.children[0], served.model)
        second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert second.returncode == 0, second.stderr
        assert answered_by(again.children[0]) - before == DOCUMENTS - kept
    told = json.loads(second.stdout)
    assert told["requests"]["from_store"] + told["requests"]["sent"] == DOCUMENTS
    assert told["rows"]["kept"] + sum(sum(why.values()) for why in told["rows"]["dropped"].values()) == DOCUMENTS
