"""One server of OpenAI's kind, over one set of connections: bytes out, bytes in, and what can go wrong on the way.

aiohttp itself, since this is what a row costs most: a request takes 0.15 ms of processor time, where the `post` of
OpenAI's client over the same aiohttp takes 0.56 and its `chat.completions.create` 1.2 (benchmarks/LOG.md), and loading
that client takes as much as 2,000 requests. Its Batch API is used where it is slow and rare: `openai_batch`.
"""

import ipaddress
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from synth import __version__
from synth.chat_api import BadReply, retry_after_s
from synth.errors import BackendError

HOSTED = "https://api.openai.com/v1"
"""OpenAI's own server."""
LONGEST_WAIT_S = 3600.0
"""The longest that a server's Retry-After is followed."""
MOST_SAID = 300
"""How much of what a server says of a failure is repeated, in characters."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and how it is to be asked; see the options of the `openai` backend."""

    base_url: str = HOSTED
    model: str = ""
    key_env: str = "OPENAI_API_KEY"
    api_version: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 600
    most_concurrent: int = 256
    first_concurrent: int = 16
    replaceable: bool = False

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

    def key(self) -> str:
        """The key: what `key_env` holds, or the file that the variable of that name with _FILE at its end names.

        Raises BackendError where that file cannot be read.
        """
        file = os.environ.get(f"{self.key_env}_FILE", "").strip()
        if os.environ.get(self.key_env, "").strip() or not file:
            return os.environ.get(self.key_env, "").strip()
        try:
            return Path(file).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BackendError(
                f"{self.key_env}_FILE: the file it names cannot be read: {type(error).__name__}"
            ) from None


class WireError(Exception):
    """A request did not bring an answer."""


class Unreachable(WireError):
    """No connection could be made at all."""


class Lost(WireError):
    """The connection broke before the whole answer was there, or nothing came for too long."""


class Refused(WireError):
    """The server answered with something else than success: its `status`, its own `code`, the wait it asks for."""

    def __init__(self, status: int, said: str, code: str, wait_s: float | None) -> None:
        super().__init__(f"{status}: {said}"[:MOST_SAID])
        self.status = status
        self.code = code
        self.wait_s = None if wait_s is None else min(wait_s, LONGEST_WAIT_S)


class Wire:
    """Connections to one endpoint, kept open between requests. They belong to the event loop that they are made in."""

    def __init__(self, endpoint: Endpoint, key: str) -> None:
        import aiohttp
        from yarl import URL

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=_trusted() if endpoint.base_url.startswith("https") else True),
            headers=_headers(endpoint, key),
            # How long a whole try may take is the pool's to watch: a timer for each read would cost as much as parsing.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=min(10.0, endpoint.timeout_s)),
            trust_env=not endpoint.is_local,
        )
        query = f"?{urlencode({'api-version': endpoint.api_version})}" if endpoint.api_version else ""
        # Azure's paths, before its /openai/v1, hold the model.
        middle = f"/openai/deployments/{endpoint.model}" if endpoint.api_version else ""
        self._url_of = lru_cache(
            lambda path: URL((path if "://" in path else endpoint.base_url + middle + path) + query)
        )

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        """The bytes that the server answers to a JSON body at a path. Raises WireError."""
        import aiohttp

        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        try:
            async with self._session.request(method, self._url_of(path), data=content) as response:
                raw = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(error) from error
        if response.status >= 400:
            raise _refused(response.status, response.reason or "", response.headers, raw)
        return raw

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _trusted() -> ssl.SSLContext:
    """The authorities that the system trusts, and those of certifi, for systems that have none."""
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _headers(endpoint: Endpoint, key: str) -> dict[str, str]:
    """What stands before each request. Organisation and project are named as OpenAI's own client names them."""
    named = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}
    hosted = {header: os.environ.get(name, "") for header, name in named.items()}
    own = {header: value for header, value in hosted.items() if value and endpoint.base_url == HOSTED}
    secret = {"api-key": key} if endpoint.api_version else {"Authorization": f"Bearer {key or 'none'}"}
    plain = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": f"synth/{__version__}"}
    return {**plain, **endpoint.headers, **own, **secret}


def _broken(error: Exception) -> WireError:
    """What an error of the connection means."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Unreachable("no connection")
    if isinstance(error, TimeoutError):
        return Lost("it took longer than `timeout_s:` allows")
    return Lost(f"the connection was lost ({type(error).__name__}: {error})"[:MOST_SAID])


def _refused(status: int, reason: str, headers: Mapping[str, str], raw: bytes) -> Refused:
    try:
        body = json.loads(raw)
    except ValueError:
        body = raw.decode("utf-8", "replace")
    inner = body.get("error") if isinstance(body, dict) else None
    code = inner.get("code") if isinstance(inner, dict) else ""
    return Refused(status, _message(body) or reason, str(code or ""), retry_after_s(headers))


def may_pass(error: BaseException) -> bool:
    """True for a failure that the next try may not meet."""
    if isinstance(error, Refused):
        passing = error.status in (408, 409, 425, 429) or error.status >= 500
        return passing and error.code != "insufficient_quota"
    return isinstance(error, WireError | BadReply | TimeoutError)


def is_busy(error: BaseException) -> bool:
    """True where a server says that it has too much to do."""
    return isinstance(error, Refused) and error.status in (429, 503)


def asked_to_wait_s(error: BaseException) -> float | None:
    """How many seconds a server asks to be left alone; None where it asks for nothing."""
    return error.wait_s if isinstance(error, Refused) else None


def said_of(error: BaseException) -> str:
    """What is said of a failure, in one line at most `MOST_SAID` long."""
    return "it took longer than `timeout_s:` allows" if isinstance(error, TimeoutError) else str(error)[:MOST_SAID]


def _message(body: object) -> str:
    """The words in the body of an error."""
    if isinstance(body, dict):
        inner = body.get("message") or body.get("detail") or body.get("error") or ""
        return _message(inner) if isinstance(inner, dict) else str(inner)
    return str(body or "")
