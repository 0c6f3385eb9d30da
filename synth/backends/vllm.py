"""vLLM on this machine's GPUs: in this process, or with `serve: true` as one or several servers that it starts.

    backends:
      writer: {use: vllm, model: Qwen/Qwen3-8B, max_model_len: 8192}
      judge: {use: vllm, model: Qwen/Qwen3-30B-A3B, serve: true, servers: 4, tensor_parallel_size: 2}
      embedder: {use: vllm, model: BAAI/bge-m3, runner: pooling}

Requests go to the engine as they are made; it batches them as it finds room, and reads once what prompts share at
their beginning. Options have vLLM's own names; what is not among them goes into `engine:`, as vLLM's engine arguments.
"""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, PrivateAttr, field_validator, model_validator

from synth.backend import Completion, Request
from synth.child_server import LOCAL, ChildServer, free_ports
from synth.errors import BackendError, need
from synth.lane import Concurrent
from synth.vllm_requests import ENVIRONMENT, device_shares, engine_flags

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synth.backends.openai import OpenAI
    from synth.vllm_engine import Engine

T = TypeVar("T")

SERVED_PLACES = 256
"""Requests that a server is taken to work on at the same time where `max_num_seqs` is not set."""

LOOK_EVERY_S = 0.5
"""Seconds between two looks at whether a server still runs."""

SERVER = "vllm.entrypoints.openai.api_server"


class VLLM(Concurrent):
    """Completions, vectors and scores from vLLM, which it starts when first asked and ends with the run."""

    weighs_prompts: ClassVar[bool] = True

    runner: Literal["generate", "pooling"] = Field(
        default="generate", description="what the model does: it writes, or it gives vectors or scores"
    )
    dtype: str = Field(default="auto", description="the numbers it computes with: auto, bfloat16, float16, float32")
    quantization: str = Field(default="", description="how weights are made smaller: fp8, awq, bitsandbytes …")
    max_model_len: int | None = Field(default=None, ge=1, description="most tokens of a prompt and its reply together")
    max_num_seqs: int | None = Field(default=None, ge=1, description="most requests at work at the same time")
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1, description="share of a GPU's memory to use")
    tensor_parallel_size: int = Field(default=1, ge=1, description="GPUs that one copy of the model is spread over")
    data_parallel_size: int = Field(default=1, ge=1, description="copies of the model behind one engine")
    engine: Mapping[str, Any] = Field(default={}, description="further engine arguments, as vLLM names them")
    serve: bool = Field(default=False, description="start vLLM's server and ask that, not an engine in this process")
    servers: int = Field(default=1, ge=1, le=64, description="servers to start, each on GPUs of its own")
    start_within_s: float = Field(default=1800, gt=0, description="seconds that a server may take until it is ready")

    _engine: "Engine | None" = PrivateAttr(default=None)
    _served: "OpenAI | None" = PrivateAttr(default=None)
    _children: list[ChildServer] = PrivateAttr(default_factory=list)
    _asking: set[asyncio.Task[Any]] = PrivateAttr(default_factory=set)
    _watching: asyncio.Task[None] | None = PrivateAttr(default=None)

    @field_validator("engine")
    @classmethod
    def _beyond_the_options(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in value:
            if name in cls.model_fields:
                raise ValueError(f"{name} is an option of its own; write it beside `engine:`, not into it")
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.model:
            raise ValueError("it needs `model:`, a folder or a name on the Hugging Face Hub")
        if self.servers > 1 and not self.serve:
            raise ValueError("`servers:` needs `serve: true`; one engine has `data_parallel_size:`")
        return self

    @property
    def gpus(self) -> int:  # type: ignore[override]  # a number that options decide, as Backend says
        """Accelerators that it holds while it runs."""
        return self.servers * self.tensor_parallel_size * self.data_parallel_size

    @property
    def unfinished(self) -> int:
        """Requests that the engine in this process has begun and not ended."""
        return self._engine.unfinished if self._engine is not None else 0

    @property
    def children(self) -> tuple[ChildServer, ...]:
        """The servers that it started and has not stopped."""
        return tuple(self._children)

    def model_identity(self) -> str:
        """The model and its revision, and how its weights were made smaller."""
        known = super().model_identity()
        return f"{known}+{self.quantization}" if self.quantization else known

    async def start(self) -> None:
        """Start the engine or the servers. Raises MissingExtra without vLLM, BackendError where it does not start."""
        need("vllm", "vllm", "the backend vllm")
        if self.serve:
            await self._start_servers()
        else:
            from synth.vllm_engine import Engine

            self._engine = await Engine.open(self.model, {"model": self.model, **self._arguments()})

    async def stop(self) -> None:
        """End what was started."""
        engine, self._engine = self._engine, None
        served, self._served = self._served, None
        if engine is not None:
            engine.close()
        if self._watching is not None:
            self._watching.cancel()
        if served is not None:
            await served.stop()
        await self._stop_servers()

    async def ask(self, requests: Sequence[Request]) -> Sequence[Completion]:
        """The completions of samples of one request. Raises BackendError where the engine or all servers are gone."""
        if self.runner != "generate":
            raise BackendError(f"vllm: {self.model} was started with `runner: pooling`, and writes nothing")
        if self._engine is not None:
            return await self._engine.ask(requests)
        return await self._while_served(self._open_servers().ask(requests))

    def ahead(self) -> int:
        """The places there are, and half as many again that are ready to follow."""
        return self._places() + max(32, self._places() // 2)

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Vectors of unit length, float32 of shape (len(texts), dim). Raises BackendError."""
        return self.do(self.ask_vectors(texts))

    def score(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """The relevance of each (query, document) to a cross-encoder, float32 of shape (len(pairs),).

        Raises BackendError.
        """
        return self.do(self.ask_scores(pairs))

    async def ask_vectors(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """`embed`, inside the loop."""
        if self._engine is not None:
            return await self._engine.vectors(texts)
        return await self._while_served(self._open_servers().ask_vectors(texts))

    async def ask_scores(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """`score`, inside the loop."""
        if self._engine is not None:
            return await self._engine.scores(pairs)
        return await self._while_served(self._open_servers().ask_scores(pairs))

    def _arguments(self) -> dict[str, Any]:
        """The engine's arguments but for the model: the options that are set, and those in `engine`."""
        named = {
            "revision": self.revision or None,
            "runner": self.runner,
            "dtype": self.dtype,
            "quantization": self.quantization or None,
            "max_model_len": self.max_model_len,
            "max_num_seqs": self.max_num_seqs,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "tensor_parallel_size": self.tensor_parallel_size,
            "data_parallel_size": self.data_parallel_size,
        }
        return {name: value for name, value in named.items() if value is not None} | dict(self.engine)

    def _places(self) -> int:
        if self._engine is not None:
            return self._engine.places
        each = self.max_num_seqs * self.data_parallel_size if self.max_num_seqs else SERVED_PLACES
        return self.servers * each

    async def _start_servers(self) -> None:
        each = self.tensor_parallel_size * self.data_parallel_size
        shares = device_shares(self.servers, each, os.environ.get("CUDA_VISIBLE_DEVICES"))
        logs = Path(tempfile.mkdtemp(prefix="synth-vllm-"))
        for port, share in zip(free_ports(self.servers), shares, strict=True):
            self._children.append(self._server(port, share, logs / f"{port}.log"))
        try:
            for child in self._children:
                child.start()
            for child in self._children:
                await child.ready(self.start_within_s)
        except BaseException:
            await self._stop_servers()
            raise
        self._served = self._client()
        await self._served.start()
        self._watching = asyncio.create_task(self._watch())

    def _server(self, port: int, share: Mapping[str, str], log: Path) -> ChildServer:
        """A server of the model, not started, that sees its share of the GPUs."""
        place = {"model": self.model, "served_model_name": self.model, "host": LOCAL, "port": port}
        quiet = {"uvicorn_log_level": "warning", "disable_log_stats": True, "enable_prompt_tokens_details": True}
        flags = engine_flags({**place, **quiet, **self._arguments()})
        environment = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ} | dict(share)
        command = [sys.executable, "-P", "-m", SERVER, *flags]
        return ChildServer(f"vllm {self.model}", command, port, log=log, environment=environment)

    def _client(self) -> "OpenAI":
        """The client of the servers, with as many places at each as keep it full."""
        from synth.backends.openai import OpenAI

        most = min(1000, self._places() // self.servers * 3 // 2)
        return OpenAI(
            model=self.model,
            base_url=tuple(f"{child.url}/v1" for child in self._children),
            key_env="VLLM_API_KEY",
            most_concurrent=most,
            first_concurrent=most,
            timeout_s=7200,
            deadline_s=7200,
        )

    async def _watch(self) -> None:
        """Call off what is asked of servers that are all gone: a client would try again for long."""
        while not self._how_servers_ended():
            await asyncio.sleep(LOOK_EVERY_S)
        for task in self._asking:
            task.cancel()

    async def _while_served(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of some work with the servers. Raises BackendError where all are gone, with how they ended."""
        task = asyncio.current_task()
        if task is None:
            return await work
        self._asking.add(task)
        try:
            return await work
        except (asyncio.CancelledError, BackendError):
            ended = self._how_servers_ended()
            if not ended:
                raise
            task.uncancel()
            raise BackendError(ended) from None
        finally:
            self._asking.discard(task)

    async def _stop_servers(self) -> None:
        """Stop them all. What one said that ended by itself is kept: an error names the file."""
        children, self._children = self._children, []
        told = [child.log for child in children if not child.has_ended]
        await asyncio.gather(*(asyncio.to_thread(child.stop) for child in children))
        for log in told:
            log.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                log.parent.rmdir()

    def _open_servers(self) -> "OpenAI":
        if self._served is None:
            raise BackendError("vllm: it was closed while it was asked")
        return self._served

    def _how_servers_ended(self) -> str:
        """How they ended, where none is left; "" while one runs."""
        ended = [child.how_it_ended() for child in self._children]
        return ended[0] if ended and all(ended) else ""
