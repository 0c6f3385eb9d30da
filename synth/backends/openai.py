"""Any server that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama, LM Studio, a hosted API.

    backends:
      writer: {use: openai, model: qwen3-8b, base_url: http://localhost:8000/v1}
      judge: {use: openai, model: gpt-5-mini, most_concurrent: 64}   # OpenAI itself; the key is in OPENAI_API_KEY

Keys come from the environment alone: `key_env` names the variable. A server that asks for none needs none.
"""

import asyncio
import queue
import threading
from collections.abc import Coroutine, Iterable, Iterator
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, field_validator

from synth.backend import Backend, Completion, Request
from synth.chat_client import HOSTED, ChatClient, Endpoint


class OpenAI(Backend):
    """Completions from a server that speaks OpenAI's chat API, `most_concurrent` at a time."""

    base_url: str = Field(default=HOSTED, description="where the server's API begins, mostly ending in /v1")
    key_env: str = Field(default="OPENAI_API_KEY", description="the environment variable that holds the key")
    most_concurrent: int = Field(default=32, ge=1, le=1000, description="requests in flight at the same time")
    timeout_s: float = Field(default=600, gt=0, description="seconds that one try of a request may take")
    most_tries: int = Field(default=6, ge=1, le=100, description="how often a request is sent before it has failed")
    first_wait_s: float = Field(default=0.5, gt=0, description="seconds before the second try, doubled for each other")

    _lane: "_Lane | None" = PrivateAttr(default=None)
    _opening: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
            raise ValueError("must be a URL such as http://localhost:8000/v1")
        return value.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not value.isidentifier():
            raise ValueError("must be the name of an environment variable, such as OPENAI_API_KEY, not a key")
        return value

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, as they finish; see `Backend.complete`.

        Requests are drawn in the caller's own thread, one whenever a place is free, and what has finished is given
        before the next is drawn. Raises BackendError where none can succeed: no server, no model, a refused key.
        """
        lane = self._open()
        source = iter(requests)
        done: queue.SimpleQueue[Future[Completion]] = queue.SimpleQueue()
        flying: set[Future[Completion]] = set()
        drawn_out = False
        try:
            while flying or not drawn_out:
                request = None if drawn_out or len(flying) >= self.most_concurrent else next(source, None)
                drawn_out = drawn_out or (request is None and len(flying) < self.most_concurrent)
                if request is not None:
                    sent = lane.submit(lane.client.ask(request))
                    flying.add(sent)
                    sent.add_done_callback(done.put)
                for finished in _finished(done, wait=request is None and bool(flying)):
                    flying.discard(finished)
                    yield finished.result()
        finally:
            for future in flying:
                future.cancel()

    def close(self) -> None:
        """Close the connections. What comes after opens new ones."""
        with self._opening:
            lane, self._lane = self._lane, None
        if lane is not None:
            lane.close()

    def _open(self) -> "_Lane":
        with self._opening:
            if self._lane is None:
                self._lane = _Lane(ChatClient(self._endpoint()))
            return self._lane

    def _endpoint(self) -> Endpoint:
        return Endpoint(
            base_url=self.base_url,
            model=self.model,
            key_env=self.key_env,
            most_concurrent=self.most_concurrent,
            timeout_s=self.timeout_s,
            most_tries=self.most_tries,
            first_wait_s=self.first_wait_s,
        )


def _finished(done: "queue.SimpleQueue[Future[Completion]]", wait: bool) -> Iterator["Future[Completion]"]:
    """What has finished by now; where that is nothing and `wait` is set, the next that does."""
    if wait:
        yield done.get()
    while True:
        try:
            yield done.get_nowait()
        except queue.Empty:
            return


class _Lane:
    """An event loop in a thread of its own, and the client that lives in it."""

    def __init__(self, client: ChatClient) -> None:
        self.client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="synth-openai", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, Completion]) -> "Future[Completion]":
        """Start some work in the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what is going on, close the connections, end the thread."""
        asyncio.run_coroutine_threadsafe(self._wind_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _wind_up(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.client.close()
