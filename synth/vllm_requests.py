"""What is asked of vLLM and what it answers, in its words and in ours; vLLM itself is not needed here.

Request(sampling=Sampling(most_tokens=64, seed=7, extra={"top_k": 20}), sample=2)
->  {"max_tokens": 64, "seed": 9, "top_k": 20, "detokenize": True}
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from synth.backend import Completion, Request, Token
from synth.errors import BackendError, did_you_mean

ENVIRONMENT: Mapping[str, str] = {
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
"""What vLLM is told by the environment where that says nothing: rows alone go to stdout, nobody is told what runs here,
and no engine is forked out of a process that has threads."""

TEMPLATE_KWARGS = "chat_template_kwargs"
"""The one field of `sampling.extra` that is for the chat template: {"enable_thinking": false}."""

_OURS = ("n", "seed", "stop", "max_tokens", "temperature", "top_p", "logprobs", "prompt_logprobs", "output_kind")


def sampling_fields(request: Request, own: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """The fields of vLLM's SamplingParams, one of the `known`, for a request; `own` are those the model comes with.

    A text that is weighed, not answered, has one token written after it, the fewest that vLLM takes. Raises
    BackendError for a field in `sampling.extra` that vLLM does not know.
    """
    sampling = request.sampling
    extra = {name: value for name, value in sampling.extra.items() if name != TEMPLATE_KWARGS}
    for name in extra:
        if name in _OURS or name not in known:
            raise BackendError(_about_field(name, known))
    wanted = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": None if sampling.seed is None else sampling.seed + request.sample,
        "stop": list(sampling.stop) or None,
        "logprobs": request.top_logprobs,
        "prompt_logprobs": 0 if request.prompt_logprobs else None,
    }
    set_here = {name: value for name, value in wanted.items() if value is not None}
    return {**own, **set_here, **extra, "max_tokens": 1 if request.is_weighed else sampling.most_tokens}


def template_fields(request: Request) -> dict[str, Any]:
    """How the chat template ends: with the opening of a reply, or in the middle of a text that is weighed."""
    ends = {"add_generation_prompt": not request.is_weighed, "continue_final_message": request.is_weighed}
    given = request.sampling.extra.get(TEMPLATE_KWARGS, {})
    if not isinstance(given, Mapping):
        raise BackendError(f"sampling.extra: {TEMPLATE_KWARGS} must be fields of the chat template, not {given!r}")
    return {**given, **ends}


def completion_of(request: Request, output: Any, model: str, latency_s: float) -> Completion:
    """The completion in vLLM's RequestOutput of one request that has ended."""
    [written] = output.outputs
    prompt, reply = output.prompt_token_ids or (), list(written.token_ids)
    return Completion(
        request=request,
        text=written.text,
        finish_reason=written.finish_reason or "",
        prompt_tokens=len(prompt),
        completion_tokens=len(reply),
        cached_tokens=output.num_cached_tokens or 0,
        model=model,
        latency_s=latency_s,
        error="vllm: the request was ended by the engine" if written.finish_reason in ("abort", "error") else "",
        logprobs=tokens_of(reply, written.logprobs or (), request.top_logprobs or 0),
        prompt_logprobs=tokens_of(prompt, output.prompt_logprobs or (), 0),
    )


def tokens_of(ids: Sequence[int], told: Sequence[Mapping[int, Any] | None], top: int) -> tuple[Token, ...]:
    """The tokens of a text; `told` has for each place a Logprob by token, or None where there is none.

    The `top` likeliest of a place are told too, the token itself among them where it is one.
    """
    tokens = []
    for own_id, place in zip(ids, told, strict=False):
        by_rank = sorted((place or {}).values(), key=lambda other: other.rank or 0)
        likeliest = {str(other.decoded_token): float(other.logprob) for other in reversed(by_rank[:top])}
        own = place.get(own_id) if place else None
        text, logprob = (str(own.decoded_token), float(own.logprob)) if own else ("", None)
        tokens.append(Token(text, logprob, dict(reversed(likeliest.items()))))
    return tuple(tokens)


def engine_flags(fields: Mapping[str, Any]) -> list[str]:
    """Fields of vLLM's engine arguments as its server takes them on the command line.

    What is not disabled goes unsaid: not every such flag has its opposite.

    >>> engine_flags({"max_model_len": 512, "enforce_eager": True, "enable_prefix_caching": False})
    ['--max-model-len=512', '--enforce-eager', '--no-enable-prefix-caching']
    >>> engine_flags({"disable_log_stats": False})
    []
    """
    flags = []
    for name, value in fields.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            said = f"--{flag}" if value else "" if name.startswith("disable_") else f"--no-{flag}"
            flags.extend([said] if said else [])
        elif isinstance(value, Mapping):
            flags.append(f"--{flag}={json.dumps(value)}")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            flags.extend([f"--{flag}", *map(str, value)])
        else:
            flags.append(f"--{flag}={value}")
    return flags


def device_shares(servers: int, each: int, visible: str | None) -> list[dict[str, str]]:
    """What to add to the environment of each of several servers, so that each has `each` devices to itself.

    `visible` is CUDA_VISIBLE_DEVICES as it is. A server alone sees what there is. Raises BackendError for too few.

    >>> device_shares(2, 1, None)
    [{'CUDA_VISIBLE_DEVICES': '0'}, {'CUDA_VISIBLE_DEVICES': '1'}]
    """
    if servers == 1:
        return [{}]
    devices = visible.split(",") if visible is not None else [str(number) for number in range(servers * each)]
    if len(devices) < servers * each:
        raise BackendError(
            f"vllm: {servers} servers with {each} GPUs each need {servers * each}, and CUDA_VISIBLE_DEVICES names "
            f"{len(devices)}; set fewer `servers:`, or a smaller `tensor_parallel_size:`"
        )
    shares = [devices[first : first + each] for first in range(0, servers * each, each)]
    return [{"CUDA_VISIBLE_DEVICES": ",".join(share)} for share in shares]


def _about_field(name: str, known: Collection[str]) -> str:
    if name in _OURS:
        cure = "it follows from the options of `sampling:` and from what a step asks for"
    else:
        cure = f"vLLM draws with no such field{did_you_mean(name, known)}"
    return f"vllm: sampling.extra: {name}: {cure}"
