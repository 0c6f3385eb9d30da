"""The `openai` backend against a real server, llama.cpp's, and a whole run whose writer is one."""

import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xllamacpp

from synth.answers import Answer, read_answer
from synth.backend import Completion, Message, Request, Sampling
from synth.backends.openai import OpenAI
from synth.errors import BackendError
from synth.prompt import Prompt
from synth.runs import RunFolder
from tests.conftest import CORPUS, Synth, write_corpus

PLACES, CONTEXT = 16, 512
QUESTION = Prompt.load("grounded/question")
FREE = Sampling(most_tokens=300, temperature=1)


@pytest.fixture(scope="module")
def base_url(tiny_model: Path) -> Iterator[str]:
    """Where llama.cpp's server answers."""
    running = started(tiny_model)
    yield f"{running.listening_address}/v1"
    del running


def started(model: Path, **more: object) -> Any:
    """llama.cpp's server on a free port; it ends when nobody holds it any more."""
    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = str(model), {"tiny"}
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    own = {"verbosity": -1, "warmup": False, "endpoint_metrics": True, "n_threads_http": 2 * PLACES}
    for name, value in {**own, "n_parallel": PLACES, "n_ctx": PLACES * CONTEXT, **more}.items():
        setattr(params, name, value)
    server = xllamacpp.Server(params)
    server.handle_metrics()
    return server


def backend(base_url: str, **options: object) -> OpenAI:
    given = {"model": "tiny", "base_url": base_url, "most_concurrent": PLACES, "key_env": "NO_KEY_IS_NEEDED"}
    return OpenAI.model_validate({**given, **options})


def request(name: str, text: str, sampling: Sampling = FREE, **more: Any) -> Request:
    return Request(id=name, messages=(Message("user", text),), sampling=sampling, **more)


def asked(n: int, sampling: Sampling = FREE, **more: Any) -> list[Request]:
    return [request(str(k), f"document {k}", sampling, **more) for k in range(n)]


def completed(base_url: str, requests: list[Request], **options: object) -> dict[str, Completion]:
    with closing(backend(base_url, **options)) as made:
        done = list(made.complete(iter(requests)))
    assert sorted(c.request.id for c in done) == sorted(request.id for request in requests)
    return {c.request.id: c for c in done}


def test_an_answer_has_the_form_of_its_schema(base_url: str) -> None:
    done = completed(base_url, asked(20, schema=QUESTION.schema))
    read = [read_answer(c, QUESTION.answer) for c in done.values() if c.finish_reason == "stop"]
    assert len(read) >= 15
    assert all(isinstance(answer, Answer) for answer in read)


def test_a_reply_that_is_cut_off_says_so(base_url: str) -> None:
    short = FREE.model_copy(update={"most_tokens": 4})
    [done] = completed(base_url, asked(1, short, schema=QUESTION.schema)).values()
    assert (done.finish_reason, done.completion_tokens) == ("length", 4)
    assert done.prompt_tokens > 10


@pytest.mark.parametrize("seed", [None, 1])
def test_samples_of_a_request_differ_and_a_seed_repeats_them(base_url: str, seed: int | None) -> None:
    sampling = Sampling(most_tokens=12, temperature=1, seed=seed)
    group = [request(str(n), "The Nile floods.", sampling, sample=n, more=3 - n) for n in range(4)]
    first, again = completed(base_url, group), completed(base_url, group)
    assert len({c.text for c in first.values()}) == 4
    assert ([first[n].text for n in first] == [again[n].text for n in first]) == (seed is not None)
    assert sum(c.completion_tokens for c in first.values()) > 0


def test_the_log_probabilities_of_a_reply_come(base_url: str) -> None:
    greedy = Sampling(most_tokens=5, temperature=0)
    [done] = completed(base_url, asked(1, greedy, top_logprobs=3)).values()
    assert "".join(token.text for token in done.logprobs) == done.text
    for token in done.logprobs:
        assert token.logprob is not None
        assert len(token.top) == 3
        assert token.logprob == pytest.approx(max(token.top.values()))
        assert sum(map(math.exp, token.top.values())) < 1


def test_what_this_server_cannot_weigh_is_told(base_url: str) -> None:
    [done] = completed(base_url, asked(1, prompt_logprobs=True)).values()
    assert "the server gave no log-probabilities of the prompt" in done.error


def test_an_option_that_the_server_refuses_fails_its_request_alone(base_url: str) -> None:
    refused = FREE.model_copy(update={"extra": {"top_k": "many"}})
    done = completed(base_url, [request("bad", "x", refused), *asked(3)])
    assert "400" in done.pop("bad").error
    assert [c.error for c in done.values()] == ["", "", ""]


def test_a_schema_that_the_server_refuses_is_asked_for_in_another_way(base_url: str) -> None:
    [done] = completed(base_url, asked(1, schema={"type": "nonsense"})).values()
    assert done.error == ""
    assert done.text


def test_a_prompt_that_is_too_long_fails_alone_and_says_how_long_it_is(base_url: str) -> None:
    done = completed(base_url, [*asked(3), request("long", "mud " * 900)])
    said = done.pop("long").error
    assert f"exceeds the available context size ({CONTEXT} tokens)" in said
    assert "request (9" in said
    assert [c.error for c in done.values()] == ["", "", ""]


def test_a_hundred_requests_are_asked_sixteen_at_a_time(base_url: str) -> None:
    sampling = Sampling(most_tokens=32, temperature=1, extra={"ignore_eos": True})
    began = time.perf_counter()
    done = completed(base_url, asked(100, sampling))
    seconds = time.perf_counter() - began
    assert {c.error for c in done.values()} == {""}
    assert {c.completion_tokens for c in done.values()} == {32}
    assert sum(c.latency_s for c in done.values()) > PLACES / 4 * seconds


def test_vectors_come_and_are_refused_where_there_are_none(base_url: str, tiny_model: Path) -> None:
    last = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_LAST
    running = started(tiny_model, embedding=True, n_batch=CONTEXT, n_ubatch=CONTEXT, pooling_type=last)
    texts = [f"text {n}" for n in range(150)]
    with closing(backend(f"{running.listening_address}/v1")) as made:
        vectors = made.embed(texts)
        assert np.allclose(made.embed(texts[100:101])[0], vectors[100], atol=1e-2)
    assert vectors.shape == (150, 128)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    with closing(backend(base_url, most_tries=1)) as made, pytest.raises(BackendError, match="does not support embed"):
        made.embed(texts)


RECIPE = """\
# Noise, in the form of queries.
corpus: ./corpus
seed: 7
backends:
  writer: {use: llamacpp, model: tiny.gguf, context: 2048, threads: 1, sampling: {temperature: 1, most_tokens: 80}}
steps:
  - use: from_corpus
  - {use: generate, prompt: grounded/question, per_document: 3, attempts: 1}
  - use: exact_dedup
export: [dataset, pairs]
"""


def test_a_run_asks_a_model_in_this_process_and_another_run_asks_for_nothing_twice(
    tiny_model: Path, tmp_path: Path, synth: Synth
) -> None:
    write_corpus(tmp_path / "corpus")
    (tmp_path / "tiny.gguf").write_bytes(tiny_model.read_bytes())
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    first = told(synth, "first")
    assert first["requests"] == {"sent": 24, "from_store": 0, "failed": 0}
    steps = RunFolder(tmp_path / "first").steps
    rows, dropped = list(steps[-1].kept), [row for step in steps for row in step.dropped()]
    reasons = Counter(row.reason for row in dropped)
    assert first["rows"]["kept"] == len(rows) == 24 - len(dropped)
    assert sum(map(Counter, first["rows"]["dropped"].values()), Counter()) == reasons
    assert reasons.keys() <= {"truncated_answer", "unreadable_answer", "exact_duplicate"}
    assert 0 < reasons["truncated_answer"] < 24
    for row in dropped:
        assert row.detail.startswith("cut off after 80 tokens: {") == (row.reason == "truncated_answer")
    assert all(3 <= len(row.query) <= 300 and row.positive.text for row in rows)

    shutil.rmtree(tmp_path / "first")
    second = told(synth, "second")
    assert second["requests"] == {"sent": 0, "from_store": 24, "failed": 0}
    assert second["rows"] == first["rows"]
    assert list(RunFolder(tmp_path / "second").steps[-1].kept) == rows

    write_corpus(tmp_path / "corpus", CORPUS | {"tide": "The tide turns twice a day. The moon pulls the sea."})
    assert told(synth, "third")["requests"] == {"sent": 3, "from_store": 24, "failed": 0}


def told(synth: Synth, output: str) -> dict[str, Any]:
    """What a run says of itself."""
    said = synth("run", "recipe.yaml", "--output", output, "--json")
    assert said.code == 0, said.err
    assert said.err == ""
    said_of_it: dict[str, Any] = json.loads(said.out)
    return said_of_it
