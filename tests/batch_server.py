"""A Batch API on this machine: /v1/files and /v1/batches as OpenAI's, over HTTP, that goes wrong when it is told to.

    with BatchServer(plans=[Plan(status="expired", done=3)]) as server:
        backend = OpenAIBatch(model="tiny", base_url=server.base_url)

`plans` say what becomes of one batch after another; where they end, batches are answered in full. `traps` stop one HTTP
call, before or after it has done its work. `paid` counts how often each request was answered, and so paid for.
"""

import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one batch, told by the places of its lines.

    `done`: so many were answered before it ended. `statuses`: what these lines meet, and `says` is what is said then.
    `left_out`, `doubled` and `empty` come back not at all, twice, and without a completion. `errors` fail the batch.
    """

    status: Literal["completed", "failed", "expired", "cancelled"] = "completed"
    done: int | None = None
    statuses: Mapping[int, int] = field(default_factory=dict)
    says: str = "planted"
    code: str | None = None
    left_out: frozenset[int] = frozenset()
    doubled: frozenset[int] = frozenset()
    empty: frozenset[int] = frozenset()
    errors: tuple[Body, ...] = ()
    tail: bytes = b""


@dataclass(slots=True)
class Trap:
    """Stops the call of this number, or the next that begins with `call`: `POST /v1/batches`.

    It is held until `go` and then cut off without an answer, at once where it `cuts`, in mid-answer where it `halves`;
    or it is answered with a `status` or a `body`. `works_later`: what it asks for is done after `go` all the same.
    """

    call: str = ""
    number: int = 0
    when: Literal["before", "after"] = "before"
    status: int = 0
    says: str = "planted"
    code: str | None = None
    body: bytes | None = None
    times: int = 1
    cuts: bool = False
    halves: bool = False
    works_later: bool = False
    caught: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Batch:
    id: str
    plan: Plan
    input_file: str
    metadata: Mapping[str, str] | None
    lines: list[Body]
    looks: int = 0
    output_file: str | None = None
    error_file: str | None = None


class BatchServer:
    """Serves the API at `base_url`; each batch is looked at `looks` times before it ends.

    `calls` holds the method and path of each call in order, `batches` those that were created. `hears` is called before
    a call is looked at, `heard` after it was answered.
    """

    def __init__(
        self,
        answer: Callable[[Body], str] = lambda body: f"about {body['messages'][-1]['content']}",
        *,
        plans: Sequence[Plan] = (),
        traps: Sequence[Trap] = (),
        looks: int = 1,
        key: str = "",
        has_batches: bool = True,
        echoes_metadata: bool = True,
    ) -> None:
        self.answer = answer
        self.plans = list(plans)
        self.traps = list(traps)
        self.looks = looks
        self.key = key
        self.has_batches = has_batches
        self.echoes_metadata = echoes_metadata
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, _Batch] = {}
        self.paid: Counter[str] = Counter()
        self.chats: list[Body] = []
        self.calls: list[str] = []
        self.keys: set[str] = set()
        self.hears: Callable[[str], None] = lambda call: None
        self.heard: Callable[[str], None] = lambda call: None
        self.lock = threading.RLock()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        for trap in self.traps:
            trap.go.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def called(self, start: str) -> int:
        """How many calls began so."""
        return sum(call.startswith(start) for call in self.calls)

    def sent(self) -> list[int]:
        """How many requests each batch held."""
        return [len(batch.lines) for batch in self.batches.values()]

    def keep(self, content: bytes) -> str:
        """Keep a file; its id."""
        name = f"file-{len(self.files) + 1}"
        self.files[name] = content
        return name

    def create(self, asked: Body) -> _Batch:
        """A batch of a file, all of whose lines that the plan answers are answered and paid for at once."""
        lines = [json.loads(raw) for raw in self.files[asked["input_file_id"]].splitlines()]
        plan = self.plans.pop(0) if self.plans else Plan()
        name = f"batch_{len(self.batches) + 1}"
        batch = _Batch(name, plan, asked["input_file_id"], asked.get("metadata"), lines)
        self.batches[name] = batch
        if plan.status != "failed":
            self._run(batch)
        return batch

    def _run(self, batch: _Batch) -> None:
        plan, good, bad = batch.plan, list[bytes](), list[bytes]()
        for place, line in enumerate(batch.lines):
            if place in plan.left_out:
                continue
            if plan.done is not None and place >= plan.done:
                said = {"code": f"batch_{plan.status}", "message": f"its batch has {plan.status}"}
                bad.append(_line(line, None, said))
            elif place in plan.statuses:
                body = {"error": {"message": plan.says, "type": "planted", "code": plan.code}}
                bad.append(_line(line, {"status_code": plan.statuses[place], "body": body}, None))
            else:
                self.paid[line["custom_id"]] += 1
                body = {} if place in plan.empty else _completion(line["body"], self.answer(line["body"]))
                good += [_line(line, {"status_code": 200, "body": body}, None)] * (1 + (place in plan.doubled))
        random.Random(len(good)).shuffle(good)
        batch.output_file = self.keep(b"".join(good) + plan.tail) if good or plan.tail else None
        batch.error_file = self.keep(b"".join(bad)) if bad else None

    def plain(self, batch: _Batch) -> Body:
        """The batch as the API tells it."""
        ended = batch.looks > self.looks
        steps = ("validating", "in_progress", "finalizing")
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 1_790_000_000 + int(batch.id.removeprefix("batch_")),
            "input_file_id": batch.input_file,
            "metadata": batch.metadata if self.echoes_metadata else None,
            "status": batch.plan.status if ended else steps[min(batch.looks, 2)],
            "errors": {"object": "list", "data": list(batch.plan.errors)} if ended and batch.plan.errors else None,
            "output_file_id": batch.output_file if ended else None,
            "error_file_id": batch.error_file if ended else None,
        }


def _line(asked: Body, response: Body | None, error: Body | None) -> bytes:
    plain = {"id": "batch_req_1", "custom_id": asked["custom_id"], "response": response, "error": error}
    return json.dumps(plain).encode() + b"\n"


def _completion(body: Body, text: str) -> Body:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3}},
    }


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    owner: BatchServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Http

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer("GET", b"")

    def do_POST(self) -> None:
        self._answer("POST", self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, method: str, sent: bytes) -> None:
        owner, path = self.server.owner, urlsplit(self.path).path
        with owner.lock:
            call = f"{method} {path}"
            owner.calls.append(call)
            owner.keys.add(self.headers.get("Authorization", "").removeprefix("Bearer "))
            trap = self._trap(call, len(owner.calls))
        owner.hears(call)
        if trap is not None and trap.when == "before" and not trap.halves and not self._passes(trap):
            return
        with owner.lock:
            status, raw = self._work(method, path, sent)
        if trap is not None and trap.halves:
            self._write(status, raw[: len(raw) // 2], promised=len(raw))
            trap.caught.set()
            self.close_connection = True
            return
        if trap is not None and trap.when == "after" and not self._passes(trap):
            return
        self._write(status, raw)
        owner.heard(call)

    def _trap(self, call: str, number: int) -> Trap | None:
        for trap in self.server.owner.traps:
            if trap.times > 0 and (number == trap.number or (trap.call and call.startswith(trap.call))):
                trap.times -= 1
                return trap
        return None

    def _passes(self, trap: Trap) -> bool:
        """Do what the trap does; True where the call goes on all the same."""
        trap.caught.set()
        if trap.status or trap.body is not None:
            said = {"error": {"message": trap.says, "type": "planted", "code": trap.code}}
            self._write(trap.status or 200, trap.body if trap.body is not None else json.dumps(said).encode())
            return False
        if not trap.cuts:
            trap.go.wait(30)
        if not trap.works_later:
            self._cut()
        return trap.works_later

    def _work(self, method: str, path: str, sent: bytes) -> tuple[int, bytes]:
        owner = self.server.owner
        if owner.key and self.headers.get("Authorization") != f"Bearer {owner.key}":
            return _said(401, f"Incorrect API key provided: {self.headers.get('Authorization')}")
        if method == "POST" and path == "/v1/chat/completions":
            body = json.loads(sent)
            owner.chats.append(body)
            return 200, json.dumps(_completion(body, owner.answer(body))).encode()
        if not owner.has_batches:
            return _said(404, "Not Found")
        if path.startswith("/v1/files"):
            return self._file(method, path, sent)
        return self._batch(method, path, sent) if path.startswith("/v1/batches") else _said(404, "Not Found")

    def _file(self, method: str, path: str, sent: bytes) -> tuple[int, bytes]:
        owner = self.server.owner
        if method == "POST":
            whole = message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + sent)
            parts = {part.get_param("name", header="content-disposition"): part for part in whole.get_payload()}  # type: ignore[union-attr]  # a list of parts
            content = parts["file"].get_payload(decode=True)
            assert parts["purpose"].get_payload() == "batch"
            name = owner.keep(content)
            plain = {"id": name, "object": "file", "bytes": len(content), "created_at": 1_790_000_000}
            return 200, json.dumps(plain | {"filename": "f", "purpose": "batch", "status": "processed"}).encode()
        name = path.split("/")[3]
        return (200, owner.files[name]) if name in owner.files else _said(404, f"No such File object: {name}")

    def _batch(self, method: str, path: str, sent: bytes) -> tuple[int, bytes]:
        owner = self.server.owner
        if method == "POST":
            return 200, json.dumps(owner.plain(owner.create(json.loads(sent)))).encode()
        name = path.removeprefix("/v1/batches").strip("/")
        if name:
            if name not in owner.batches:
                return _said(404, f"No batch found with id '{name}'.")
            owner.batches[name].looks += 1
            return 200, json.dumps(owner.plain(owner.batches[name])).encode()
        query = parse_qs(urlsplit(self.path).query)
        newest = list(reversed(owner.batches.values()))
        after = [place for place, batch in enumerate(newest) if [batch.id] == query.get("after")]
        page = newest[after[0] + 1 if after else 0 :][: int(query.get("limit", ["20"])[0])]
        return 200, json.dumps({"object": "list", "data": [owner.plain(batch) for batch in page]}).encode()

    def _write(self, status: int, raw: bytes, promised: int | None = None) -> None:
        try:
            self.send_response(status)
            binary = self.path.endswith("/content")
            self.send_header("Content-Type", "application/octet-stream" if binary else "application/json")
            self.send_header("Content-Length", str(len(raw) if promised is None else promised))
            self.end_headers()
            self.wfile.write(raw)
            self.wfile.flush()
        except OSError:  # the client is gone
            self.close_connection = True

    def _cut(self) -> None:
        """End the connection in the midst of it."""
        self.close_connection = True
        try:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # the client is gone
            pass


def _said(status: int, text: str) -> tuple[int, bytes]:
    return status, json.dumps({"error": {"message": text, "type": "planted", "code": None}}).encode()
