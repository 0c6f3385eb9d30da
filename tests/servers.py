"""A chat completions server on this machine, with hand-written replies, that fails when it is told to.

    with ChatServer(answer) as server:
        backend = OpenAI(model="tiny", base_url=server.base_url)

`answer` gets the body of a request and returns what the model says: a text, or a `Said`. `faults` are used up one a
request, before anything is answered. To look at a run by hand: `python -m tests.servers REPLIES.jsonl 8000`.
"""

import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from synth.backend import Message, Request
from synth.backends.scripted import Scripted

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says, and how it stopped; several `choices` where it is asked for `n`."""

    text: str = ""
    finish_reason: str = "stop"
    prompt_tokens: int = 11
    completion_tokens: int = 7
    message: Mapping[str, Any] | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request: a status and what is said, a broken connection, half or wrong words, a wait."""

    status: int = 0
    says: str = ""
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    breaks: bool = False
    halves: bool = False
    body: bytes | None = None
    hangs_s: float = 0.0


Answer = Callable[[Body], str | Said]


class ChatServer:
    """Serves `model` at `base_url`; `seen` holds the bodies of all chat requests in order, `most_at_once` how many met,
    `answered` those that got their answer whole, when they came and when they were answered (by `time.monotonic`).

    `refuses(body)` may return a Fault for what the server does not take. `key` is the key it asks for.
    """

    def __init__(
        self,
        answer: Answer = lambda body: '{"query": "what is said here?"}',
        *,
        models: tuple[str, ...] = ("tiny",),
        key: str = "",
        faults: tuple[Fault | None, ...] = (),
        refuses: Callable[[Body], Fault | None] = lambda body: None,
    ) -> None:
        self.answer = answer
        self.models = models
        self.key = key
        self.faults = deque(faults)
        self.refuses = refuses
        self.seen: list[Body] = []
        self.keys: list[str] = []
        self.paths: list[str] = []
        self.answered: list[tuple[Body, float, float]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._thread.join()
        self._http.hang_up()
        self._http.server_close()


def scripted_answer(replies: str) -> Answer:
    """Answers from a file of replies, as the scripted backend reads it."""
    backend = Scripted(replies=replies)

    def answer(body: Body) -> Said:
        messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        [done] = backend.complete([Request(id="", messages=messages, schema=schema, sample=body.get("seed", 0))])
        if done.error:
            raise LookupError(done.error)
        return Said(done.text, done.finish_reason, done.prompt_tokens, done.completion_tokens)

    return answer


class _Http(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256
    owner: ChatServer

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection, remembered."""
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nobody's mistake."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # passed through as it came


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Http

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.owner.models]}
        self._send(200 if self.path.endswith("/v1/models") else 404, listed)

    def do_POST(self) -> None:
        owner, came = self.server.owner, time.monotonic()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with owner.lock:
            owner.seen.append(body)
            owner.paths.append(self.path)
            owner.keys.append(self.headers.get("Authorization", "").removeprefix("Bearer "))
            owner.at_once += 1
            owner.most_at_once = max(owner.most_at_once, owner.at_once)
            fault = owner.faults.popleft() if owner.faults else None
        try:
            self._reply(owner, body, fault or self._refusal(owner, body))
            owner.answered.append((body, came, time.monotonic()))
        finally:
            with owner.lock:
                owner.at_once -= 1

    def _refusal(self, owner: ChatServer, body: Body) -> Fault | None:
        if owner.key and owner.keys[-1] != owner.key:
            return Fault(401, f"Incorrect API key provided: {owner.keys[-1]}")
        azure = f"/openai/deployments/{body['model']}/chat/completions?api-version="
        if not self.path.endswith("/v1/chat/completions") and not self.path.startswith(azure):
            return Fault(404, "Not Found")
        if body["model"] not in owner.models:
            return Fault(404, f"The model `{body['model']}` does not exist.")
        return owner.refuses(body)

    def _reply(self, owner: ChatServer, body: Body, fault: Fault | None) -> None:
        if fault and fault.hangs_s:
            owner.stopping.wait(fault.hangs_s)
        if fault and fault.breaks:
            self._break()
        elif fault and fault.body is not None:
            self._write(200, fault.body, {})
        elif fault and fault.status:
            said = {"error": {"message": fault.says, "type": "planted", "code": fault.code}}
            self._send(fault.status, said, fault.headers)
        else:
            self._complete(owner, body, halves=bool(fault and fault.halves))

    def _complete(self, owner: ChatServer, body: Body, *, halves: bool) -> None:
        try:
            said = owner.answer(body)
        except LookupError as error:
            self._send(400, {"error": {"message": str(error), "type": "planted", "code": None}})
            return
        said = Said(said) if isinstance(said, str) else said
        message = said.message if said.message is not None else {"role": "assistant", "content": said.text}
        completion = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [
                {"index": place, "message": each, "finish_reason": said.finish_reason}
                for place, each in enumerate(
                    [{"role": "assistant", "content": text} for text in said.choices] or [message]
                )
            ],
            "usage": {
                "prompt_tokens": said.prompt_tokens,
                "completion_tokens": said.completion_tokens,
                "prompt_tokens_details": {"cached_tokens": 3},
            },
        }
        raw = json.dumps(completion).encode()
        self._write(200, raw[: len(raw) // 2] if halves else raw, {}, promised=len(raw))

    def _send(self, status: int, plain: object, headers: Mapping[str, str] | None = None) -> None:
        self._write(status, json.dumps(plain).encode(), headers or {})

    def _write(self, status: int, raw: bytes, headers: Mapping[str, str], promised: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw) if promised is None else promised))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)
        if promised is not None and promised != len(raw):
            self._break()

    def _break(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    from synth.backends import scripted

    file, port = sys.argv[1], int(sys.argv[2])
    print(f"replies of {file} at http://127.0.0.1:{port}/v1 ({scripted.__name__})")
    serving = ChatServer(scripted_answer(file))
    http = _Http(("127.0.0.1", port), _Handler)
    http.owner = serving
    http.serve_forever()
