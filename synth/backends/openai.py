"""Any server that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama, LM Studio, a hosted API.

    backends:
      writer: {use: openai, model: qwen3-8b, base_url: [http://gpu1:8000/v1, http://gpu2:8000/v1]}
      judge: {use: openai, model: gpt-5-mini, requests_per_minute: 500}   # OpenAI itself; the key is in OPENAI_API_KEY

Keys come from the environment alone: `key_env` names the variable, or with `_FILE` at its end the variable that names
a file with the key. A server that asks for none needs none. How many requests are in flight is found out by how the
server answers, never more than `most_concurrent` at each.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, field_validator

from synth.backend import Completion, Request
from synth.chat_pool import ChatPool, Failed, Patience
from synth.errors import BackendError
from synth.lane import Concurrent
from synth.wire import HOSTED, Endpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXTS_AT_ONCE = 64
"""Texts of one request for vectors, or documents of one for scores."""


class OpenAI(Concurrent):
    """Completions, vectors and scores from one or several servers that speak OpenAI's API."""

    base_url: tuple[str, ...] = Field(
        default=(HOSTED,), description="where the API begins, mostly ending in /v1; or several"
    )
    key_env: str = Field(default="OPENAI_API_KEY", description="the environment variable that holds the key")
    api_version: str = Field(default="", description="for Azure's older paths: what stands in `api-version=`")
    headers: dict[str, str] = Field(default={}, description="further headers; never a key, they are no secret here")
    most_concurrent: int = Field(default=256, ge=1, le=1000, description="most requests in flight at each server")
    first_concurrent: int = Field(default=16, ge=1, le=1000, description="requests in flight at each server at first")
    requests_per_minute: float | None = Field(default=None, gt=0, description="most requests sent a minute")
    tokens_per_minute: float | None = Field(default=None, gt=0, description="most tokens a minute, in and out")
    timeout_s: float = Field(default=600, gt=0, description="seconds that one try of a request may take")
    deadline_s: float = Field(default=7200, gt=0, description="seconds that all tries of a request may take together")
    most_tries: int = Field(default=6, ge=1, le=100, description="how often a request is sent before it has failed")
    first_wait_s: float = Field(default=0.5, gt=0, description="seconds before the second try, doubled for each other")

    _pool: ChatPool | None = PrivateAttr(default=None)

    @field_validator("base_url", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("base_url")
    @classmethod
    def _are_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ValueError("must be a URL such as http://localhost:8000/v1")
        if not value:
            raise ValueError("must be a URL such as http://localhost:8000/v1, or several")
        return tuple(url.rstrip("/") for url in value)

    @field_validator("key_env")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not value.isidentifier():
            raise ValueError("must be the name of an environment variable, such as OPENAI_API_KEY, not a key")
        return value

    @field_validator("headers")
    @classmethod
    def _holds_no_key(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name.lower() in ("authorization", "api-key", "x-api-key", "proxy-authorization"):
                raise ValueError(f"{name} holds a key, and keys come from the environment alone: see `key_env`")
        return value

    @property
    def weighs_prompts(self) -> bool:  # type: ignore[override]  # options decide, as Backend says
        """True where its servers may: OpenAI's own does not, vLLM's does, and others are known by their first reply."""
        return HOSTED not in self.base_url

    async def start(self) -> None:
        """Open the clients. Raises BackendError where a key is needed and not set."""
        self._pool = ChatPool(
            [self._endpoint(url) for url in self.base_url],
            Patience(
                most_tries=self.most_tries,
                first_wait_s=self.first_wait_s,
                deadline_s=self.deadline_s,
                requests_per_minute=self.requests_per_minute,
                tokens_per_minute=self.tokens_per_minute,
            ),
        )

    async def stop(self) -> None:
        """Close the connections."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def ask(self, requests: Sequence[Request]) -> Sequence[Completion]:
        """The completions of samples of one request: together, or one by one where each has a seed of its own."""
        if len(requests) == 1 or (requests[0].sampling.seed is None and self._takes_several()):
            return await self._open_pool().chat(requests)
        pool = self._open_pool()
        return [completion for request in requests for completion in await pool.chat([request])]

    def ahead(self) -> int:
        """The places there are now, and half as many again that are ready to follow."""
        places = self._pool.places if self._pool is not None else self.first_concurrent
        return places + max(32, places // 2)

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Vectors of unit length, float32 of shape (len(texts), dim). Raises BackendError."""
        return self.do(self.ask_vectors(texts))

    def score(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """The relevance of each (query, document), float32 of shape (len(pairs),), by the server's /score.

        vLLM's server has it for cross-encoders. Raises BackendError.
        """
        return self.do(self.ask_scores(pairs))

    async def ask_vectors(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """`embed`, inside the loop."""
        from synth.vectors_api import vectors_of

        return await self._in_parts(texts, vectors_of)

    async def ask_scores(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """`score`, inside the loop."""
        from synth.vectors_api import scores_of

        return await self._in_parts(pairs, scores_of)

    async def _in_parts(self, asked: Sequence[Any], work: Any) -> "NDArray[np.float32]":
        import asyncio

        import numpy as np

        parts = [asked[start : start + TEXTS_AT_ONCE] for start in range(0, len(asked), TEXTS_AT_ONCE)]
        pool = self._open_pool()
        try:
            given = await asyncio.gather(
                *(pool.run(lambda client, part=part: work(client, part), 100.0 * len(part)) for part in parts)  # type: ignore[misc]  # bound at once
            )
        except Failed as error:
            raise BackendError(f"{self.base_url[0]}: {error}") from error
        return np.concatenate(given) if given else np.zeros((0,), np.float32)

    def _takes_several(self) -> bool:
        pool = self._open_pool()
        return all("n" not in client.dialect.without for client in pool.clients)

    def _open_pool(self) -> ChatPool:
        if self._pool is None:
            raise BackendError("openai: it was closed while it was asked")
        return self._pool

    def _endpoint(self, base_url: str) -> Endpoint:
        return Endpoint(
            base_url=base_url,
            model=self.model,
            key_env=self.key_env,
            api_version=self.api_version,
            headers=self.headers,
            timeout_s=self.timeout_s,
            most_concurrent=self.most_concurrent,
            replaceable=len(self.base_url) > 1,
            first_concurrent=min(self.first_concurrent, self.most_concurrent),
        )
