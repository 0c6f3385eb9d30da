"""The vLLM backend as far as it goes without vLLM: options, what is asked in vLLM's words, what comes back.

The engine itself is run by `tests/engine`.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ValidationError

from synth.backend import Message, Request, Sampling
from synth.backends.vllm import VLLM
from synth.errors import BackendError, MissingExtra
from synth.mistakes import explain
from synth.vllm_requests import (
    completion_of,
    device_shares,
    engine_flags,
    sampling_fields,
    template_fields,
)

KNOWN = ("top_k", "min_p", "repetition_penalty", "max_tokens", "n", "structured_outputs")


def request(*turns: str, **more: Any) -> Request:
    roles = ("user", "assistant")
    messages = tuple(Message(roles[n % 2], text) for n, text in enumerate(turns or ("hello",)))  # type: ignore[arg-type]  # one of the two
    return Request(id="r", messages=messages, **more)


@dataclass
class Written:
    """One reply as vLLM gives it."""

    text: str = "Nile"
    token_ids: tuple[int, ...] = (5, 9)
    finish_reason: str = "stop"
    logprobs: Any = None


@dataclass
class Output:
    """What vLLM gives for one request."""

    outputs: list[Written]
    prompt_token_ids: tuple[int, ...] = (1, 2, 3)
    num_cached_tokens: int | None = None
    prompt_logprobs: Any = None


@dataclass
class Logprob:
    logprob: float
    rank: int
    decoded_token: str


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed")
@pytest.mark.parametrize("serve", [False, True])
def test_without_vllm_the_extra_is_named(serve: bool) -> None:
    with pytest.raises(MissingExtra, match=r"the backend vllm needs vllm: pip install 'synth-embed\[vllm\]'"):
        list(VLLM(model="tiny", serve=serve).complete([request()]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "it needs `model:`, a folder or a name on the Hugging Face Hub"),
        ({"model": "a", "servers": 2}, "`servers:` needs `serve: true`; one engine has `data_parallel_size:`"),
        ({"model": "a", "engine": {"dtype": "half"}}, "engine: dtype is an option of its own; write it beside"),
        ({"model": "a", "engine": {"model": "b"}}, "engine: model is an option of its own"),
        ({"model": "a", "gpu_memory_utilization": 1.5}, "gpu_memory_utilization: must be less than or equal to 1"),
        ({"model": "a", "max_seqs": 3}, "no option is called 'max_seqs'; did you mean 'max_num_seqs'?"),
    ],
)
def test_a_wrong_option_is_told_with_its_cure(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as told:
        VLLM.model_validate(options)
    assert said in explain(told.value, VLLM)


def test_gpus_are_those_of_all_copies_and_servers() -> None:
    assert VLLM(model="a").gpus == 1
    assert VLLM(model="a", serve=True, servers=3, tensor_parallel_size=2, data_parallel_size=2).gpus == 12


def test_smaller_weights_are_another_model_and_concurrency_is_not() -> None:
    plain = VLLM(model="a", revision="main")
    assert plain.model_identity() == "a@main"
    assert VLLM(model="a", revision="main", quantization="fp8").model_identity() == "a@main+fp8"
    assert VLLM(model="a", revision="main", max_num_seqs=3, serve=True).identity() == plain.identity()


def test_sampling_is_said_in_vllms_words_over_what_the_model_comes_with() -> None:
    sampling = Sampling(temperature=0.5, most_tokens=64, seed=7, stop=("END",), extra={"top_k": 5, "min_p": 0.1})
    fields = sampling_fields(request(sampling=sampling, sample=2, top_logprobs=3), {"top_p": 0.9, "top_k": 20}, KNOWN)
    assert fields == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.1,
        "seed": 9,
        "stop": ["END"],
        "logprobs": 3,
        "max_tokens": 64,
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [("n", "it follows from the options of `sampling:`"), ("top_q", "vLLM draws with no such field; did you mean")],
)
def test_a_sampling_field_that_is_not_for_recipes_is_told(name: str, said: str) -> None:
    with pytest.raises(BackendError, match=f"vllm: sampling.extra: {name}: {said}"):
        sampling_fields(request(sampling=Sampling(extra={name: 2})), {}, KNOWN)


def test_a_text_that_is_weighed_is_not_answered() -> None:
    weighed = request("the Nile floods", "what floods?", prompt_logprobs=True)
    assert weighed.is_weighed
    assert sampling_fields(weighed, {}, KNOWN) == {"prompt_logprobs": 0, "max_tokens": 1}
    assert template_fields(weighed) == {"add_generation_prompt": False, "continue_final_message": True}
    asked = request("the Nile floods", prompt_logprobs=True)
    assert sampling_fields(asked, {}, KNOWN) == {"prompt_logprobs": 0, "max_tokens": 1024}
    assert template_fields(asked)["add_generation_prompt"] is True


def test_fields_of_the_chat_template_go_to_it_and_not_to_the_sampling() -> None:
    quiet = request(sampling=Sampling(extra={"chat_template_kwargs": {"enable_thinking": False}}))
    assert template_fields(quiet)["enable_thinking"] is False
    assert "chat_template_kwargs" not in sampling_fields(quiet, {}, KNOWN)
    with pytest.raises(BackendError, match="chat_template_kwargs must be fields of the chat template, not 'none'"):
        template_fields(request(sampling=Sampling(extra={"chat_template_kwargs": "none"})))


def test_a_completion_has_what_the_engine_counted() -> None:
    done = completion_of(request(), Output([Written()], num_cached_tokens=2), "tiny", 1.5)
    assert (done.text, done.finish_reason, done.model, done.latency_s, done.error) == ("Nile", "stop", "tiny", 1.5, "")
    assert (done.prompt_tokens, done.completion_tokens, done.cached_tokens) == (3, 2, 2)
    assert done.logprobs == done.prompt_logprobs == ()
    ended = completion_of(request(), Output([Written(finish_reason="abort")]), "tiny", 0.1)
    assert ended.error == "vllm: the request was ended by the engine"


def test_log_probabilities_come_with_the_likeliest_first() -> None:
    places = [
        {5: Logprob(-0.5, 1, "N"), 6: Logprob(-1.0, 2, "M"), 7: Logprob(-2.0, 3, "")},
        {9: Logprob(-4.0, 40, "ile"), 6: Logprob(-0.1, 1, "M"), 8: Logprob(-0.2, 2, "M")},
    ]
    prompt = [None, {2: Logprob(-3.0, 9, " river")}, {3: Logprob(-1.0, 1, "?")}]
    output = Output([Written(logprobs=places)], prompt_logprobs=prompt)
    done = completion_of(request(top_logprobs=2, prompt_logprobs=True), output, "tiny", 0.1)
    first, second = done.logprobs
    assert (first.text, first.logprob, list(first.top.items())) == ("N", -0.5, [("N", -0.5), ("M", -1.0)])
    assert (second.text, second.logprob, dict(second.top)) == ("ile", -4.0, {"M": -0.1})
    assert [(token.text, token.logprob) for token in done.prompt_logprobs] == [
        ("", None),
        (" river", -3.0),
        ("?", -1.0),
    ]


def test_engine_arguments_are_flags_of_the_server() -> None:
    fields = {
        "structured_outputs_config": {"backend": "auto"},
        "allowed_origins": ["a", "b"],
        "trust_remote_code": True,
    }
    assert engine_flags(fields) == [
        '--structured-outputs-config={"backend": "auto"}',
        "--allowed-origins",
        "a",
        "b",
        "--trust-remote-code",
    ]


def test_servers_have_their_gpus_to_themselves() -> None:
    assert device_shares(1, 4, "3,4") == [{}]
    assert device_shares(2, 2, "4,5,6,7,8") == [{"CUDA_VISIBLE_DEVICES": "4,5"}, {"CUDA_VISIBLE_DEVICES": "6,7"}]
    with pytest.raises(BackendError, match="3 servers with 2 GPUs each need 6, and CUDA_VISIBLE_DEVICES names 2"):
        device_shares(3, 2, "0,1")
