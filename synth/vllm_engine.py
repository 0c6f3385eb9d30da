"""One vLLM engine in this process: requests go in as they come, and it batches them as it finds room.

    engine = await Engine.open("qwen3-8b", {"model": "Qwen/Qwen3-8B", "max_model_len": 8192})
    await engine.ask([request])        # a Completion for each sample; an over-long prompt is one with `error`
    engine.close()

The engine proper is a process of its own (and one for each further GPU). It ends with this one, however this one ends.
"""

import asyncio
import gc
import importlib
import itertools
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import fields
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from synth.backend import Completion, Request
from synth.child_server import Guard
from synth.errors import BackendError, did_you_mean
from synth.vllm_requests import ENVIRONMENT, completion_of, sampling_fields, template_fields

Given = TypeVar("Given")
Asked = TypeVar("Asked")

_ENGINE = "vllm.v1.engine.async_llm"
_MOST_SAID = 300
_CONFIGS = {"structured_outputs_config": "StructuredOutputsConfig", "pooler_config": "PoolerConfig"}
"""Arguments that vLLM's server takes as JSON and its engine as an object of its own."""


class Engine:
    """An open engine. It belongs to the event loop in which it was opened."""

    def __init__(self, model: str, engine: Any, before: set[Any]) -> None:
        from vllm import SamplingParams

        begun = set(multiprocessing.active_children()) - before
        self._model = model
        self._engine = engine
        self._guard = Guard([child.pid for child in begun if child.pid])
        self._tokenizer = engine.get_tokenizer()
        self._defaults = engine.model_config.get_diff_sampling_param()
        self._known = tuple(name for name in SamplingParams.__struct_fields__ if not name.startswith("_"))
        self._numbers = itertools.count()
        self.most_tokens = int(engine.model_config.max_model_len)
        """Tokens of a prompt and its reply together."""

    @classmethod
    async def open(cls, model: str, arguments: Mapping[str, Any]) -> Self:
        """Start an engine with fields of vLLM's AsyncEngineArgs; minutes for a large model.

        Raises BackendError for fields that vLLM does not know, and for whatever keeps the engine from starting.
        """
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        await asyncio.to_thread(importlib.import_module, _ENGINE)
        before = set(multiprocessing.active_children())
        return cls(model, _started(model, arguments), before)

    @property
    def places(self) -> int:
        """How many requests it works on at the same time, at most."""
        config = self._engine.vllm_config
        return int(config.scheduler_config.max_num_seqs * config.parallel_config.data_parallel_size)

    @property
    def unfinished(self) -> int:
        """How many requests it holds that are neither answered nor cancelled."""
        return int(self._engine.get_num_unfinished_requests())

    async def ask(self, requests: Sequence[Request]) -> Sequence[Completion]:
        """The completions of samples of one request, all at work at the same time. Raises BackendError."""
        first = requests[0]
        try:
            prompt = self._prompt(first)
        except (ValueError, TypeError, LookupError) as error:
            return [Completion(request=one, model=self._model, error=_one_line(error)) for one in requests]
        if len(prompt) >= self.most_tokens:
            long = f"the prompt has {len(prompt)} tokens, and the model takes {self.most_tokens} with the reply"
            return [Completion(request=one, model=self._model, error=long) for one in requests]
        if len(requests) == 1:
            return [await self._one(first, prompt)]
        return await asyncio.gather(*(self._one(one, prompt) for one in requests))

    async def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length, float32 of shape (len(texts), dim); a text too long is cut. Raises BackendError."""
        await self._must("embed", "gives no vectors; name an embedder and set `runner: pooling`")
        found = await self._each(texts, self._vector)
        if not found:
            return np.zeros((0, 0), np.float32)
        rows = np.stack(found)
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """The relevance of each (query, document), float32 of shape (len(pairs),). Raises BackendError.

        A document too long is cut. The model must be a cross-encoder that reads both with a separator between them.
        """
        await self._must("classify", "scores no pairs; name a cross-encoder and set `runner: pooling`")
        if not self._engine.model_config.use_sep_token:
            raise BackendError(
                f"vllm: {self._model} reads a pair through a template of its own; set `serve: true`, and that "
                "template as vLLM's `chat_template` in `engine:`"
            )
        return np.asarray(await self._each(pairs, self._score), np.float32)

    def close(self) -> None:
        """End the engine and free its memory; some seconds."""
        self._engine.shutdown()
        self._guard.release()
        self._engine = None
        gc.collect()  # what is left to the end of Python is shut down once more, and complains

    def _prompt(self, request: Request) -> list[int]:
        """The tokens of a conversation, as the model's chat template has it. Raises BackendError where it has none."""
        if getattr(self._tokenizer, "chat_template", "") is None:
            raise BackendError(
                f"vllm: the model {self._model!r} has no chat template; use one that was tuned for chat, or put a "
                "`chat_template.jinja` beside its tokenizer"
            )
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        template = template_fields(request)
        return list(self._tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False, **template))

    async def _one(self, request: Request, prompt: list[int]) -> Completion:
        from vllm import SamplingParams
        from vllm.exceptions import VLLMError
        from vllm.inputs import tokens_input
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        wanted = sampling_fields(request, self._defaults, self._known)
        started = time.perf_counter()
        try:
            if request.schema is not None:
                wanted["structured_outputs"] = StructuredOutputsParams(json=dict(request.schema))
            elif isinstance(wanted.get("structured_outputs"), Mapping):
                wanted["structured_outputs"] = StructuredOutputsParams(**wanted["structured_outputs"])
            drawn = SamplingParams(**wanted, output_kind=RequestOutputKind.FINAL_ONLY, skip_clone=True)
            output = await self._last(self._engine.generate(tokens_input(prompt), drawn, str(next(self._numbers))))
        except (VLLMError, ValueError, TypeError) as error:
            self._raise_if_dead(error)
            spent_s = time.perf_counter() - started
            return Completion(request=request, model=self._model, error=_one_line(error), latency_s=spent_s)
        return completion_of(request, output, self._model, time.perf_counter() - started)

    async def _vector(self, text: str) -> NDArray[np.float32]:
        encoded = self._tokenizer(text or " ", truncation=True, max_length=self.most_tokens)
        return await self._pooled("embed", encoded["input_ids"], None)

    async def _score(self, pair: tuple[str, str]) -> float:
        query, document = pair
        cut = {"truncation": "only_second", "max_length": self.most_tokens}
        encoded = self._tokenizer(text=query, text_pair=document, **cut)
        kinds = encoded.get("token_type_ids")
        second = kinds.index(1) if kinds and 1 in kinds else len(kinds or ())
        told = {"compressed_token_type_ids": second} if kinds else None
        return float((await self._pooled("classify", encoded["input_ids"], told)).reshape(-1)[0])

    async def _pooled(self, task: str, ids: list[int], told: Mapping[str, Any] | None) -> NDArray[np.float32]:
        from vllm import PoolingParams
        from vllm.exceptions import VLLMError
        from vllm.inputs import tokens_input

        wanted = PoolingParams(task=task, extra_kwargs=told)
        try:
            output = await self._last(self._engine.encode(tokens_input(ids), wanted, str(next(self._numbers))))
        except (VLLMError, ValueError) as error:
            self._raise_if_dead(error)
            raise BackendError(f"vllm: {self._model}: {_one_line(error)}") from error
        return np.asarray(output.outputs.data.float().numpy(), np.float32)

    async def _last(self, outputs: Any) -> Any:
        """The last of what the engine gives for a request: all of it."""
        last = None
        async with aclosing(outputs):
            async for output in outputs:
                last = output
        return last

    async def _each(self, asked: Sequence[Asked], work: Callable[[Asked], Awaitable[Given]]) -> list[Given]:
        """The work done for each, in order, as many at the same time as keep the engine full."""
        source, done = iter(enumerate(asked)), dict[int, Given]()

        async def worker() -> None:
            for place, one in source:
                done[place] = await work(one)

        workers = [asyncio.ensure_future(worker()) for _ in range(min(len(asked), 2 * self.places))]
        try:
            await asyncio.gather(*workers)
        finally:
            for running in workers:
                running.cancel()
        return [done[place] for place in range(len(asked))]

    async def _must(self, task: str, otherwise: str) -> None:
        if task not in await self._engine.get_supported_tasks():
            raise BackendError(f"vllm: {self._model} {otherwise}")

    def _raise_if_dead(self, error: Exception) -> None:
        """Raise BackendError where no further request can be answered."""
        from vllm.v1.engine.exceptions import EngineDeadError

        if isinstance(error, EngineDeadError) or self._engine.errored:
            cause = f"vllm: the engine of {self._model} has died; why stands in what it printed above"
            raise BackendError(f"{cause}; most often memory ran out: lower `max_num_seqs:` or `max_model_len:`")


def _started(model: str, arguments: Mapping[str, Any]) -> Any:
    """The engine. No frame keeps it in a variable: imports that vLLM makes on the way keep such frames for good."""
    from vllm.exceptions import VLLMError
    from vllm.v1.engine.async_llm import AsyncLLM

    try:
        return AsyncLLM.from_engine_args(_engine_args(arguments))
    except (VLLMError, ValueError, TypeError, OSError, RuntimeError, ImportError) as error:
        raise BackendError(f"vllm: {model} does not start: {_one_line(error)}") from error


def _engine_args(arguments: Mapping[str, Any]) -> Any:
    """The AsyncEngineArgs with these fields. Raises BackendError for a name that it does not know."""
    import vllm.config
    from vllm import AsyncEngineArgs

    names = [field.name for field in fields(AsyncEngineArgs)]
    for name in arguments:
        if name not in names:
            raise BackendError(f"vllm: engine: vLLM's engine has no argument {name!r}{did_you_mean(name, names)}")
    as_objects = {
        name: getattr(vllm.config, config)(**arguments[name])
        for name, config in _CONFIGS.items()
        if isinstance(arguments.get(name), Mapping)
    }
    return AsyncEngineArgs(**{"disable_log_stats": True, **arguments, **as_objects})


def _one_line(error: BaseException) -> str:
    """What vLLM says of a failure, in one line of at most 300 characters."""
    cause = error.__cause__ if not str(error) and error.__cause__ is not None else error
    said = " ".join(str(cause).split()) or type(cause).__name__
    return said[:_MOST_SAID]
