"""The reply store: every reply a model was paid for, by the hash of the whole request, before anyone uses it.

outputs/replies.sqlite
  replies     key -> {"text": "…", "finish_reason": "stop", "prompt_tokens": 120, …}      model, day
  spending    what each step of each run has paid for: requests, tokens, dollars, seconds of accelerators
outputs/replies.sqlite.claims     one byte for each request in flight, locked by the process that sends it

Runs, processes and backends share it. Replies are written by one thread, in groups of at most `GROUP_S`, and handed on
when they are on disk. A claim is a lock on one byte at the key's own place: it needs no writing, two processes never
send the same request, and a killed one lets go.
"""

import fcntl
import hashlib
import json
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from synth.backend import Completion, Request, Sampling, Token
from synth.errors import OutputError
from synth.store import writing

GROUP_S = 0.03
"""How long a reply waits for others to be written with."""
VERSION = 1
REPLIES_A_CHECKPOINT = 4000
"""After so many replies what was written moves from the log beside the file into the file."""
MOST_KNOWN = 1000
"""Samplings and schemas whose part of the key is remembered."""
OPENING = 1 << 62
"""Where the byte lies that a process locks while it opens the database: behind those of all keys."""
BUSY_S = 60.0
"""How long another process may write before this one gives up."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
  key BLOB PRIMARY KEY, reply TEXT NOT NULL, model TEXT NOT NULL, day INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS spending (
  run TEXT NOT NULL, step TEXT NOT NULL, requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, usd REAL NOT NULL, gpu_s REAL NOT NULL,
  PRIMARY KEY (run, step));
"""
_INSERT = "INSERT OR IGNORE INTO replies (key, reply, model, day) VALUES (?, ?, ?, ?)"
_SPEND = """
INSERT INTO spending VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, step) DO UPDATE SET
  requests = requests + excluded.requests, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
  completion_tokens = completion_tokens + excluded.completion_tokens,
  cached_tokens = cached_tokens + excluded.cached_tokens, usd = usd + excluded.usd, gpu_s = gpu_s + excluded.gpu_s"""

Heard = Callable[["Completion | Exception | None"], None]
Claim = Literal["ours", "here", "elsewhere"]


@dataclass(slots=True)
class Spent:
    """What was paid for: requests that were answered, tokens, US dollars, seconds that accelerators were held."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0
    gpu_s: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return self.prompt_tokens + self.completion_tokens

    def plain(self) -> tuple[float, ...]:
        """The figures in the order of their names above."""
        return tuple(getattr(self, name) for name in self.__slots__)

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.usd + other.usd,
            self.gpu_s + other.gpu_s,
        )

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(
            self.requests - other.requests,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.cached_tokens - other.cached_tokens,
            self.usd - other.usd,
            self.gpu_s - other.gpu_s,
        )


@dataclass(frozen=True, slots=True)
class Payer:
    """Whom a reply is counted to: a run, and the key of one of its steps."""

    run: str
    step: str


@dataclass(slots=True)
class Kept:
    """A reply on its way to the disk; `heard` is called with the completion, or with the error, once it is there."""

    completion: Completion
    key: bytes
    spent: Spent
    payer: Payer
    heard: "Heard"


class Keys:
    """The keys of requests to one model: hashes of messages, model, sampling, schema, wanted figures, sample number."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._known: dict[tuple[int, int, int | None, bool], tuple[Sampling, object, bytes]] = {}

    def of(self, request: Request) -> bytes:
        """16 bytes that stand for the whole request; nothing of the endpoint, the key or the run is in them."""
        place = (id(request.sampling), id(request.schema), request.top_logprobs, request.prompt_logprobs)
        if place not in self._known:
            if len(self._known) > MOST_KNOWN:  # whatever is asked for with more room brings a sampling of its own
                self._known.clear()
            plain = [
                self._model,
                request.sampling.model_dump(mode="json"),
                request.schema,
                request.top_logprobs,
                request.prompt_logprobs,
            ]
            text = json.dumps(plain, sort_keys=True, ensure_ascii=False, default=str)
            self._known[place] = (request.sampling, request.schema, text.encode("utf-8", "surrogatepass"))
        digest = hashlib.blake2b(self._known[place][2], digest_size=16)
        for message in request.messages:
            content = message.content.encode("utf-8", "surrogatepass")
            digest.update(f"\0{message.role}\0{len(content)}\0".encode() + content)
        digest.update(b"\0%d" % request.sample)
        return digest.digest()


def key_of(request: Request, model: str) -> str:
    """What the store knows a reply by: 32 hex digits. `model` is the backend's `model_identity()`."""
    return Keys(model).of(request).hex()


class ReplyStore:
    """The store in one file. One of them serves all the threads of a process.

    A file that is no database, or a damaged one, is moved aside under another name and a new one begun; `warn` is told.
    Raises OutputError where it cannot be read or written.
    """

    def __init__(self, path: Path, warn: Callable[[str], None] = lambda text: None) -> None:
        self.path = path
        self._warn = warn
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._claims = os.open(path.with_name(path.name + ".claims"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._flying: dict[bytes, list[Heard]] = {}
        self._flying_lock = threading.Lock()
        self._reading = threading.Lock()
        self._reader = self._open()
        self._queue: queue.SimpleQueue[Kept | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._tidying = threading.Thread()
        self._writer = threading.Thread(target=self._write, name="synth-replies", daemon=True)
        self._writer.start()

    def find(self, key: bytes, request: Request) -> Completion | None:
        """The reply of this key, as a completion of `request`."""
        try:
            with self._reading:
                row = self._reader.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error:  # not around the query itself: a context manager costs as much
            with self._trouble():
                raise
        return None if row is None else _completion(row[0], request, key)

    def put(self, kept: Kept) -> None:
        """Write a reply; `heard` is called from another thread once it is on disk."""
        self._queue.put(kept)

    def claim(self, key: bytes, heard: "Heard") -> Claim:
        """Take the right to send the request of this key: `ours`, unless another process has it (`elsewhere`).

        Where another thread of this one has it (`here`), `heard` is told its reply, or None should it give up.
        """
        with self._flying_lock:
            if key in self._flying:
                self._flying[key].append(heard)
                return "here"
            try:
                fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
            except (BlockingIOError, PermissionError):
                return "elsewhere"
            self._flying[key] = []
            return "ours"

    def let_go(self, key: bytes, outcome: "Completion | Exception | None") -> None:
        """Give the right back, and tell those who wait for the reply what came of it."""
        with self._flying_lock:
            waiting = self._flying.pop(key, [])
            fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, _place(key))
        for heard in waiting:
            heard(outcome)

    def spent(self, run: str, step: str | None = None) -> Spent:
        """What a run, or one step of it, has paid for so far, in this process and in those before."""
        columns = ", ".join(f"coalesce(sum({name}), 0)" for name in Spent.__slots__)
        where, values = ("run = ?", [run]) if step is None else ("run = ? AND step = ?", [run, step])
        with self._reading, self._trouble():
            query = f"SELECT {columns} FROM spending WHERE {where}"  # noqa: S608  names of ours alone
            row = self._reader.execute(query, values).fetchone()
        return Spent(*row)

    def close(self) -> None:
        """Write what is waiting and close the file."""
        if not self._closing.is_set():
            self._closing.set()
            self._queue.put(None)
            self._writer.join()
            if self._tidying.ident is not None:
                self._tidying.join()
            self._reader.close()
            os.close(self._claims)

    def _write(self) -> None:
        """The writer's thread: groups of replies, each group one transaction."""
        connection: sqlite3.Connection | None = None
        written = 0
        while group := self._next_group():
            try:
                with self._trouble():
                    connection = connection or self._open()
                    _write_group(connection, group)
            except (OutputError, sqlite3.Error) as error:
                self._tell(group, error)
                continue
            self._tell(group, None)
            written += len(group)
            if written >= REPLIES_A_CHECKPOINT and not self._tidying.is_alive():
                written, self._tidying = 0, self._tidy()
        if connection is not None:
            connection.close()

    def _next_group(self) -> list[Kept]:
        """What is to be written together; nothing at the end."""
        first = self._queue.get()
        if first is None:
            return []
        self._closing.wait(GROUP_S)
        group = [first]
        with suppress(queue.Empty):
            while (following := self._queue.get_nowait()) is not None:
                group.append(following)
            self._queue.put(None)  # the end, for the next time
        return group

    def _tidy(self) -> threading.Thread:
        """Move what was written into the file itself, in a thread of its own: a slow disk holds up no reply."""

        def checkpoint() -> None:
            with suppress(sqlite3.Error), closing(sqlite3.connect(self.path, timeout=BUSY_S)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

        thread = threading.Thread(target=checkpoint, name="synth-replies-tidy", daemon=True)
        thread.start()
        return thread

    def _tell(self, group: "Sequence[Kept]", error: Exception | None) -> None:
        for kept in group:
            outcome = kept.completion if error is None else error
            self.let_go(kept.key, outcome)
            kept.heard(outcome)

    def _open(self) -> sqlite3.Connection:
        # One process at a time: SQLite lets nobody wait who finds another at changing the journal's mode.
        fcntl.lockf(self._claims, fcntl.LOCK_EX, 1, OPENING)
        try:
            return _connect(self.path)
        except sqlite3.DatabaseError as error:
            if _is_damage(error):
                self._put_aside(error)
                return _connect(self.path)
            raise OutputError(
                f"{self.path}: the reply store cannot be used: {error}; name another with --replies"
            ) from error
        finally:
            fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, OPENING)

    def _put_aside(self, error: sqlite3.Error) -> str:
        """Move a damaged file, with what belongs to it, to another name, which is given back."""
        aside = self.path.with_name(f"{self.path.name}.corrupted-{time.strftime('%Y%m%d-%H%M%S')}")
        with writing(self.path):
            for end in ("", "-wal", "-shm"):
                part = self.path.with_name(self.path.name + end)
                if part.exists():
                    part.rename(aside.with_name(aside.name + end))
        self._warn(
            f"{self.path}: the reply store could not be read ({error}); it is kept as {aside.name}, and a new one begun"
        )
        return aside.name

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        """Turn what the disk or another process refuses into an OutputError with the cure."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise OutputError(
                    f"{self.path}: no space left on the device; make room and run the same command again: "
                    "what was written before stays"
                ) from error
            raise OutputError(
                f"{self.path}: the reply store cannot be used: {error}; name another with --replies"
            ) from error
        except sqlite3.DatabaseError as error:
            aside = self._put_aside(error)
            raise OutputError(
                f"{self.path}: the reply store is damaged ({error}); it is kept as {aside}: run the same command again"
            ) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # see `_tidy`
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version != VERSION:
            raise OutputError(f"{path}: it was written by another version of synth ({version}, this one is {VERSION})")
        connection.execute("SELECT reply FROM replies LIMIT 1").fetchone()
        connection.execute("SELECT run FROM spending LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damage(error: sqlite3.Error) -> bool:
    return any(word in str(error) for word in ("not a database", "malformed", "no such table", "no such column"))


def _write_group(connection: sqlite3.Connection, group: Sequence[Kept]) -> None:
    day = int(time.time() // 86_400)
    sums: dict[Payer, Spent] = {}
    for kept in group:
        sums[kept.payer] = sums.get(kept.payer, Spent()) + kept.spent
    connection.execute("BEGIN IMMEDIATE")
    try:
        rows = [(k.key, _reply(k.completion), k.completion.model, day) for k in group if not k.completion.error]
        connection.executemany(_INSERT, rows)
        connection.executemany(_SPEND, [(payer.run, payer.step, *spent.plain()) for payer, spent in sums.items()])
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _place(key: bytes) -> int:
    """Where the byte of a key lies in the file of claims: 62 bits of it."""
    return int.from_bytes(key[:8], "big") >> 2


_FIELDS = ("text", "finish_reason", "prompt_tokens", "completion_tokens", "cached_tokens", "model", "latency_s")


def _reply(completion: Completion) -> str:
    """A completion as the store keeps it: what came back, nothing of what was asked."""
    plain: dict[str, Any] = {name: value for name in _FIELDS if (value := getattr(completion, name))}
    for name in ("logprobs", "prompt_logprobs"):
        tokens = getattr(completion, name)
        if tokens:
            plain[name] = [[token.text, token.logprob, dict(token.top)] for token in tokens]
    return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")


def _completion(reply: str, request: Request, key: bytes) -> Completion:
    plain = json.loads(reply)
    for name in ("logprobs", "prompt_logprobs"):
        if name in plain:
            plain[name] = tuple(Token(*token) for token in plain[name])
    return Completion(request=request, from_store=True, key=key.hex(), **plain)
