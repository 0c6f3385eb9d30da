"""One chat completions server: sends requests to it, again where that is worth it, and says in one line what is wrong.

Three kinds of failure are told apart. What may pass (429, 5xx, a lost connection, a garbled reply) is tried again after
the server's own Retry-After or twice as long as the time before. What concerns one request alone is a completion with
`error`. What would fail every request (no server, no such model, a refused key, no credit) is a BackendError.
"""

import asyncio
import ipaddress
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from synth.backend import Completion, Request
from synth.chat_api import BadReply, Dialect, completion_of, retry_after_s
from synth.errors import BackendError, did_you_mean

if TYPE_CHECKING:
    import openai
    from tenacity import RetryCallState

HOSTED = "https://api.openai.com/v1"
"""OpenAI's own server."""

LONGEST_WAIT_S = 3600.0
"""The longest that a server's Retry-After is followed."""

_TRIES_OF_A_STRANGER = 2
"""How often a server is tried that refuses connections and has never answered."""

_MOST_DIALECTS = 8
"""How many things a server may refuse one after another before its refusal is final."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and how it is to be asked; see the options of the `openai` backend."""

    base_url: str = HOSTED
    model: str = ""
    key_env: str = "OPENAI_API_KEY"
    most_concurrent: int = 32
    timeout_s: float = 600
    most_tries: int = 6
    first_wait_s: float = 0.5

    @property
    def place(self) -> str:
        """Its address, for messages: without a name or password."""
        parts = urlsplit(self.base_url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @property
    def is_local(self) -> bool:
        """True for an address of this machine, which no proxy is asked for."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


class ChatClient:
    """A client for one endpoint. It belongs to the event loop that it is first used in.

    Raises BackendError where OpenAI itself is meant and there is no key.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.dialect = Dialect()
        self._key = os.environ.get(endpoint.key_env, "").strip()
        if not self._key and endpoint.base_url == HOSTED:
            raise BackendError(
                f"{endpoint.place}: it needs a key: set {endpoint.key_env} in the environment, or give the `base_url:` "
                "of a server of your own"
            )
        self._client = _open_client(endpoint, self._key)
        self._places = asyncio.Semaphore(endpoint.most_concurrent)
        self._has_answered = False

    async def ask(self, request: Request) -> Completion:
        """The completion of a request; one with `error` where this request failed for good.

        Raises BackendError where no other would do better.
        """
        import openai
        from tenacity import AsyncRetrying, retry_if_exception

        async with self._places:
            started = time.perf_counter()
            retrying = AsyncRetrying(
                retry=retry_if_exception(_may_pass), stop=self._is_enough, wait=self._wait_s, reraise=True
            )
            try:
                return await retrying(self._send, request)
            except (openai.APIError, BadReply) as error:
                wrong = await self._what_is_wrong(error)
                if wrong:
                    raise BackendError(self._hidden(f"{self.endpoint.place}: {wrong}")) from None
                said = self._hidden(_said(error))
                return Completion(request=request, error=said, latency_s=time.perf_counter() - started)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _send(self, request: Request) -> Completion:
        """One try, in the dialect that the server is known to take; what it refuses is left out and sent again."""
        import openai

        started = time.perf_counter()
        for _ in range(_MOST_DIALECTS):
            dialect = self.dialect
            body = dialect.body(request, self.endpoint.model)
            try:
                raw = await self._client.post("/chat/completions", cast_to=bytes, body=body)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                self._has_answered = True
                after = dialect.after(_said(error), request)
                if after is None:
                    raise
                self.dialect = after if self.dialect == dialect else self.dialect
            else:
                self._has_answered = True
                return completion_of(raw, request, time.perf_counter() - started)
        raise BadReply("the server refuses every way of asking for the answer's form")

    def _is_enough(self, state: "RetryCallState") -> bool:
        """True where a request is not sent once more."""
        error = state.outcome.exception() if state.outcome else None
        stranger = error is not None and _is_unreachable(error) and not self._has_answered
        most = min(self.endpoint.most_tries, _TRIES_OF_A_STRANGER) if stranger else self.endpoint.most_tries
        return state.attempt_number >= most

    def _wait_s(self, state: "RetryCallState") -> float:
        """Seconds until the next try: as long as the server asks for, else doubled, with some jitter."""
        import openai
        from tenacity import wait_random_exponential

        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, openai.APIStatusError):
            asked = retry_after_s(error.response.headers)
            if asked is not None:
                return min(asked, LONGEST_WAIT_S)
        return wait_random_exponential(multiplier=self.endpoint.first_wait_s, max=60)(state)

    async def _what_is_wrong(self, error: Exception) -> str:
        """What stands in the way of every request, and the cure; "" where only this one has failed."""
        import openai

        if _is_unreachable(error):
            return "no server answers there; start one, or mend `base_url:`"
        return await self._about_the_status(error) if isinstance(error, openai.APIStatusError) else ""

    async def _about_the_status(self, error: "openai.APIStatusError") -> str:
        said = _said(error)
        if error.status_code in (401, 403):
            return self._about_the_key(error.status_code)
        if error.status_code == 404 or not self.endpoint.model:
            return await self._about_the_model(said)
        if error.code == "insufficient_quota":
            return f"the credit of the key in {self.endpoint.key_env} is used up (429)"
        if "chat template" in said.lower():
            return f"the model {self.endpoint.model!r} has no chat template; use one that was tuned for chat"
        return ""

    def _about_the_key(self, status: int) -> str:
        name = self.endpoint.key_env
        if self._key:
            return f"it refuses the key in {name} ({status}); mend the key, or name another variable with `key_env:`"
        return f"it asks for a key ({status}); set {name} in the environment, or name another variable with `key_env:`"

    async def _about_the_model(self, said: str) -> str:
        model, names = self.endpoint.model, await self._models()
        if not names:
            return f"{said}; does `base_url:` end in /v1?"
        if model in names:
            return f"{said}; the model {model!r} is there and takes no chat"
        missing = f"no model is called {model!r}{did_you_mean(model, names)}" if model else "`model:` is not set"
        return f"{missing}; there are {', '.join(sorted(names)[:20])}"

    async def _models(self) -> list[str]:
        """The names of the server's models; none where it does not tell."""
        import openai

        try:
            plain = json.loads(await self._client.get("/models", cast_to=bytes))
        except (openai.APIError, ValueError):
            return []
        listed = plain.get("data") if isinstance(plain, dict) else None
        return [str(entry["id"]) for entry in listed or () if isinstance(entry, dict) and "id" in entry]

    def _hidden(self, text: str) -> str:
        """The text in one line, without the key, should a server have repeated it."""
        line = " ".join(text.split())
        return line.replace(self._key, "…") if self._key else line


def _open_client(endpoint: Endpoint, key: str) -> "openai.AsyncOpenAI":
    import openai

    timeout = openai.Timeout(endpoint.timeout_s, connect=min(10.0, endpoint.timeout_s))
    http = openai.DefaultAsyncHttpxClient(timeout=timeout, trust_env=not endpoint.is_local)
    return openai.AsyncOpenAI(
        api_key=key or "none", base_url=endpoint.base_url, max_retries=0, timeout=timeout, http_client=http
    )


def _may_pass(error: BaseException) -> bool:
    """True for a failure that the next try may not meet."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return (
            error.status_code in (408, 409, 425, 429) or error.status_code >= 500
        ) and error.code != "insufficient_quota"
    return isinstance(error, openai.APIConnectionError | BadReply)


def _is_unreachable(error: BaseException) -> bool:
    """True where no connection could be made at all."""
    import openai

    return isinstance(error, openai.APIConnectionError) and "Connect" in type(error.__cause__).__name__


def _said(error: Exception) -> str:
    """What a server said of a failure, in at most 300 characters."""
    import openai

    cause = error.__cause__
    if isinstance(error, openai.APIStatusError):
        return f"{error.status_code}: {_message(error.body) or error.response.reason_phrase}"[:300]
    if isinstance(error, openai.APITimeoutError):
        return "it took longer than `timeout_s:` allows"
    if isinstance(error, openai.APIConnectionError):
        return f"the connection was lost ({type(cause).__name__}: {cause})"[:300]
    return str(error)[:300]


def _message(body: object) -> str:
    """The words in the body of an error."""
    if isinstance(body, dict):
        inner = body.get("message") or body.get("detail") or body.get("error") or ""
        return _message(inner) if isinstance(inner, dict) else str(inner)
    return str(body or "")
