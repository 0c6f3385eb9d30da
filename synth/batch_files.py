"""Batch files: requests as lines of JSON and the lines that come back, for the Batch API and for `vllm run-batch`.

    {"custom_id": "5be1…", "method": "POST", "url": "/v1/chat/completions", "body": {"model": …, "messages": […]}}
    {"custom_id": "5be1…", "response": {"status_code": 200, "body": {"choices": […], "usage": {…}}}, "error": null}
    {"custom_id": "77ad…", "response": null, "error": {"code": "batch_expired", "message": "…"}}

`custom_id` is the key by which the reply store knows the reply, so that a line belongs to its request in whatever
order, file or run it comes back. vLLM gives a failed line a status, no body, and an error inside an error.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from synth.backend import Completion, Request
from synth.chat_api import BadReply, Dialect, completions_of

URL = "/v1/chat/completions"
"""Where each line is sent."""

MOST_SAID = 300
"""How much of what a server says of a line is kept, in characters."""


@dataclass(frozen=True, slots=True)
class Line:
    """What came back for one request: a completion as the server wrote it, or a status and what was said.

    `status` is that of HTTP, 0 where the request was never answered (its batch expired or was cancelled).
    """

    key: str
    status: int = 0
    body: bytes | None = None
    said: str = ""
    code: str = ""

    @property
    def may_pass(self) -> bool:
        """True for a failure that another batch may not meet."""
        passing = self.status in (408, 409, 425, 429) or not 400 <= self.status < 500
        return self.body is None and passing and not self.is_about_credit

    @property
    def is_about_credit(self) -> bool:
        """True where the key's credit is used up."""
        return self.code == "insufficient_quota"

    @property
    def is_about_the_model(self) -> bool:
        """True where there is no such model, or the key may not use it."""
        return self.status in (401, 403, 404)


class Draft:
    """A file of requests while it is written: the keys of its lines in their order, and how they are written."""

    def __init__(self, file: IO[bytes], dialect: Dialect) -> None:
        self.file = file
        self.dialect = dialect
        self.keys: list[str] = []
        self.bytes = 0
        self._hash = hashlib.blake2b(digest_size=16)

    @property
    def content(self) -> str:
        """The hash of what was written so far."""
        return self._hash.hexdigest()

    def add(self, key: str, raw: bytes) -> None:
        """Write one line."""
        self.file.write(raw)
        self._hash.update(raw)
        self.keys.append(key)
        self.bytes += len(raw)


def line_of(key: str, request: Request, model: str, dialect: Dialect) -> bytes:
    """The line of a file that asks for a request. Raises ValueError for one that would spoil the file for all others.

    A server that finds one line it cannot read at all may refuse the whole file: `vllm run-batch` does.

    >>> from synth.backend import Message
    >>> line_of("5be1", Request(id="", messages=(Message("user", "Hi"),)), "tiny", Dialect())[:60]
    b'{"custom_id":"5be1","method":"POST","url":"/v1/chat/completi'
    """
    if not request.messages:
        raise ValueError("the request has no messages")
    plain = {"custom_id": key, "method": "POST", "url": URL, "body": dialect.body([request], model)}
    try:
        text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise ValueError(f"the request cannot be written as JSON: {error}") from error


def read_line(raw: bytes) -> Line | None:
    """What a line of an output or error file says; None for one that is empty, cut off or of another kind.

    >>> read_line(b'{"custom_id": "5be1", "response": {"status_code": 404}, "error": {"error": {"message": "no"}}}')
    Line(key='5be1', status=404, body=None, said='404: no', code='')
    >>> read_line(b'{"custom_id": "5be1", "respon')
    """
    try:
        plain = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(plain, dict) or not isinstance(plain.get("custom_id"), str):
        return None
    response = plain.get("response")
    told = response if isinstance(response, dict) else {}
    status, body = told.get("status_code"), told.get("body")
    status = status if isinstance(status, int) else 0
    if 200 <= status < 300 and isinstance(body, dict):
        return Line(plain["custom_id"], status, json.dumps(body).encode())
    about = error_in(plain.get("error")) or error_in(body)
    message = str(about.get("message") or about.get("detail") or about.get("code") or "the server said nothing of it")
    said = f"{status}: {message}" if status else message
    return Line(plain["custom_id"], status, None, " ".join(said.split())[:MOST_SAID], str(about.get("code") or ""))


def read_lines(raws: Iterable[bytes]) -> Iterator[Line]:
    """The lines of files that came back, without those that say nothing."""
    for raw in raws:
        line = read_line(raw)
        if line is not None:
            yield line


def answered(line: Line, request: Request) -> Completion | str:
    """The completion that a line holds for a request, or why it holds none.

    >>> answered(Line("5be1", 200, b"{}"), Request(id="", messages=()))
    'the reply holds no completion: {}'
    """
    if line.body is None:
        return line.said
    try:
        return completions_of(line.body, [request])[0]
    except BadReply as error:
        return str(error)


def error_in(value: object) -> Mapping[str, Any]:
    """The object that holds the words of an error, inside others called `error`; {} where there is none.

    >>> error_in({"error": {"error": {"message": "no such model"}}})
    {'message': 'no such model'}
    """
    while isinstance(value, dict):
        if not isinstance(value.get("error"), dict):
            return value
        value = value["error"]
    return {"message": value} if isinstance(value, str) and value else {}
