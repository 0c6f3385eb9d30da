"""One server that speaks OpenAI's API: a request is sent once; what the server takes is learned, what is wrong is said.

What may pass (429, 5xx, a lost connection, a garbled reply) is raised as it came, for the pool to try again; what
concerns one request alone too. `what_is_wrong` tells of a failure whether it would meet every request (no server, no
such model, a refused key, no credit).
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from synth.backend import Completion, Request
from synth.chat_api import BadReply, Dialect, completions_of
from synth.errors import BackendError, did_you_mean
from synth.pace import Pace
from synth.wire import HOSTED, Endpoint, Refused, Unreachable, Wire, WireError, said_of

_MOST_DIALECTS = 10
"""How many things a server may refuse one after another before its refusal is final."""


class ChatClient:
    """A client for one endpoint. It belongs to the event loop that it is made in.

    Raises BackendError where OpenAI itself is meant and there is no key.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.dialect = Dialect()
        self.pace = Pace(endpoint.most_concurrent, endpoint.first_concurrent, endpoint.replaceable)
        self.has_answered = False
        self._key = endpoint.key()
        if not self._key and endpoint.base_url == HOSTED:
            raise BackendError(
                f"{endpoint.place}: it needs a key: set {endpoint.key_env} in the environment, or give the `base_url:` "
                "of a server of your own"
            )
        self._wire = Wire(endpoint, self._key)

    async def chat(self, requests: Sequence[Request]) -> list[Completion]:
        """One try at a request or several samples of it, in the dialect that the server is known to take.

        What the server refuses is left out and sent again. It may give fewer completions than requests. Raises
        WireError or BadReply.
        """
        started = time.perf_counter()
        for _ in range(_MOST_DIALECTS):
            dialect = self.dialect
            body = dialect.body(requests, self.endpoint.model)
            try:
                raw = await self._wire.send("POST", "/chat/completions", body)
            except Refused as error:
                self.has_answered = True
                after = dialect.after(said_of(error), requests[0]) if error.status in (400, 422) else None
                if after is None:
                    raise
                self.dialect = after if self.dialect == dialect else self.dialect
            else:
                self.has_answered = True
                return completions_of(raw, requests, time.perf_counter() - started)
        raise BadReply("the server refuses every way of asking for the answer's form")

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that the server answers to a body at a path. Raises WireError or BadReply."""
        raw = await self._wire.send("POST", path, body)
        self.has_answered = True
        try:
            plain = json.loads(raw)
        except ValueError as error:
            raise BadReply(f"the reply is no JSON: {raw[:80]!r}") from error
        if not isinstance(plain, dict):
            raise BadReply(f"the reply is no object: {raw[:80]!r}")
        return plain

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def what_is_wrong(self, error: Exception) -> str:
        """What stands in the way of every request, and the cure; "" where only this one has failed."""
        if isinstance(error, Unreachable):
            return "no server answers there; start one, or mend `base_url:`"
        return await self._about_the_status(error) if isinstance(error, Refused) else ""

    async def _about_the_status(self, error: Refused) -> str:
        said = said_of(error)
        if error.status in (401, 403):
            return self._about_the_key(error.status)
        if error.status == 404 or not self.endpoint.model:
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
            return f"{said}; the model {model!r} is there and does not do this"
        missing = f"no model is called {model!r}{did_you_mean(model, names)}" if model else "`model:` is not set"
        return f"{missing}; there are {', '.join(sorted(names)[:20])}"

    async def _models(self) -> list[str]:
        """The names of the server's models; none where it does not tell."""
        try:
            plain = json.loads(await self._wire.send("GET", "/models"))
        except (WireError, ValueError):
            return []
        listed = plain.get("data") if isinstance(plain, dict) else None
        return [str(entry["id"]) for entry in listed or () if isinstance(entry, dict) and "id" in entry]

    def hidden(self, text: str) -> str:
        """The text in one line, without the key, should a server have repeated it."""
        line = " ".join(text.split())
        return line.replace(self._key, "…") if self._key else line
