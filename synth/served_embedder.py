"""An embedder that a server runs: texts to vectors over a backend, each vector kept in a file so as to be paid once.

    embedders:
      miner: {use: openai, model: text-embedding-3-small}
      other: {use: vllm, model: intfloat/e5-base-v2, query_prompt: "query: ", document_prompt: "passage: "}

outputs/vectors.sqlite
  vectors     key -> 1,536 float32, little-endian       the key is the hash of the model and of the text as it was sent
"""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from synth.backend import Backend
from synth.chat_api import utf8
from synth.embedder import Embedder
from synth.errors import BackendError, OutputError
from synth.store import writing
from synth.types import digest_of

BATCH = 4096
"""Texts that a backend is given at once, and vectors of one transaction: what a killed run may lose."""
MOST_KEYS = 500
"""Keys of one query."""
BUSY_S = 60.0
"""How long another process may write before this one gives up."""

_TABLE = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)"

Vector = NDArray[np.float32]
Row = tuple[bytes, bytes]
T = TypeVar("T")


class Prompts(BaseModel):
    """What a model wants before each text, where it was trained with that."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query_prompt: str = Field(default="", description='stands before each query: "query: "')
    document_prompt: str = Field(default="", description='stands before each document: "passage: "')


class Served(NamedTuple):
    """What a recipe says of an embedder that a backend runs."""

    backend: Backend
    prompts: Prompts


class ServedEmbedder(Embedder):
    """The embedder of a backend. Its vectors are kept in the file `path`, which runs and processes share.

    A text longer than the model takes is the backend's to cut or to refuse.
    """

    def __init__(
        self, backend: Backend, path: Path, prompts: Prompts | None = None, warn: Callable[[str], None] | None = None
    ) -> None:
        self.name = backend.model
        self._backend = backend
        self._path = path
        self._prompts = prompts or Prompts()
        self._warn = warn or (lambda text: None)
        self._opening = threading.Lock()
        self._opened: VectorCache | None = None

    @property
    def dim(self) -> int:
        """The length of its vectors; one text is embedded to learn it. Raises as `encode` does."""
        return self._dim

    def encode(
        self, texts: Sequence[str], *, kind: Literal["query", "document"] = "document", instruction: str = ""
    ) -> Vector:
        """Vectors of unit length, float32 of shape (len(texts), dim); of zeros for a text with nothing to read.

        An `instruction` stands before each text; without one the prompt for queries or documents does. Raises
        BackendError where the backend does not embed, OutputError where the vectors cannot be kept.
        """
        prompt = instruction or (self._prompts.query_prompt if kind == "query" else self._prompts.document_prompt)
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for start in range(0, len(texts), BATCH):
            places: dict[str, list[int]] = {}
            for place, text in enumerate(texts[start : start + BATCH], start):
                if text.strip():
                    places.setdefault(utf8(prompt + text), []).append(place)
            for text, vector in self._vectors(list(places), self.dim).items():
                vectors[places[text]] = vector
        return vectors

    def identity(self) -> str:
        """What goes into the key of a step that asks it. Nothing is opened for it."""
        return digest_of(self._known_by, self._prompts.model_dump())

    def close(self) -> None:
        """Close the file and the backend."""
        with self._opening:
            cache, self._opened = self._opened, None
        if cache is not None:
            cache.close()
        self._backend.close()

    @cached_property
    def _dim(self) -> int:
        [vector] = self._vectors(["dimensions"], None).values()
        return len(vector)

    @cached_property
    def _known_by(self) -> str:
        """What decides a vector beside the text: the model, and whether it sees redacted texts."""
        return digest_of({name: value for name, value in self._backend.identity().items() if name != "sampling"})

    def _vectors(self, texts: Sequence[str], dim: int | None) -> Mapping[str, Vector]:
        """The vectors of different texts: those that are kept, and those that are asked for now and kept at once."""
        cache = self._cache()
        keys = {text: _key(self._known_by, text) for text in texts}
        kept = cache.find(list(keys.values()))
        missing = [text for text, key in keys.items() if key not in kept]
        fresh = dict(zip((keys[text] for text in missing), self._asked(missing), strict=True)) if missing else {}
        for vector in (*kept.values(), *fresh.values()):
            if dim is not None and len(vector) != dim:
                raise BackendError(self._mixed_up(dim, len(vector)))
        cache.keep(fresh)
        return {text: kept[key] if key in kept else fresh[key] for text, key in keys.items()}

    def _asked(self, texts: Sequence[str]) -> Vector:
        vectors = np.asarray(self._backend.embed(texts), np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise BackendError(f"the embedder {self.name!r} gave no vector for some of {len(texts)} texts")
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)

    def _mixed_up(self, dim: int, other: int) -> str:
        return (
            f"the embedder {self.name!r} has vectors of {dim} and of {other} numbers: it is not the model that "
            f"{self._path} knows by that name; set `revision:` for the new one, or remove the file"
        )

    def _cache(self) -> "VectorCache":
        with self._opening:
            if self._opened is None:
                self._opened = VectorCache(self._path, self._warn)
            return self._opened


class VectorCache:
    """Vectors by their keys, in one SQLite file. It may be used by several threads and several processes at once.

    A file that is damaged, or no database, is moved aside under another name and a new one begun; `warn` is told.
    Raises OutputError where it cannot be read or written.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path = path
        self._warn = warn
        self._lock = threading.Lock()
        with writing(path), _trouble(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._open()

    def find(self, keys: Sequence[bytes]) -> Mapping[bytes, Vector]:
        """The vectors that are kept, float32 of shape (dim,); keys without one are left out."""
        rows = self._tried(lambda connection: _found(connection, keys))
        return {key: np.frombuffer(vector, "<f4") for key, vector in rows}

    def keep(self, vectors: Mapping[bytes, Vector]) -> None:
        """Write vectors, all of them or none; they are there when this returns."""
        rows = [(key, np.asarray(vector, "<f4").tobytes()) for key, vector in vectors.items()]
        if rows:
            self._tried(lambda connection: _write(connection, rows))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _tried(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives; where the file turns out to be damaged, what it gives with a new one."""
        with self._lock, writing(self.path), _trouble(self.path):
            try:
                return work(self._connection)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._connection.close()
                self._put_aside(error)
                self._connection = self._open()
                return work(self._connection)

    def _open(self) -> sqlite3.Connection:
        """A connection to the file as it is, or to a new one. SQLite itself does not wait where two begin a file."""
        give_up_s = time.monotonic() + BUSY_S
        while True:
            try:
                return self._connect()
            except sqlite3.DatabaseError as error:
                if _is_damage(error):
                    self._put_aside(error)
                elif _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_s:
                    raise
            time.sleep(0.01)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
        self._file = _file_at(self.path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
            self._file = _file_at(self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _put_aside(self, error: sqlite3.Error) -> None:
        """Move the damaged file, with what belongs to it, to another name; unless another process has done so."""
        if _file_at(self.path) != self._file:
            return
        aside = f"{self.path.name}.corrupted-{time.strftime('%Y%m%d-%H%M%S')}"
        for end in ("-wal", "-shm", ""):  # the file itself last: a new one must not meet the log of the old
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + end).rename(self.path.with_name(aside + end))
        self._warn(
            f"{self.path}: the kept vectors could not be read ({error}); they are kept as {aside}, and a new file begun"
        )


def _file_at(path: Path) -> int:
    """The number of the file that stands at a path now; 0 where there is none."""
    return path.stat().st_ino if path.exists() else 0


def _key(known_by: str, text: str) -> bytes:
    return hashlib.blake2b(f"{known_by}\0{text}".encode(), digest_size=16).digest()


def _found(connection: sqlite3.Connection, keys: Sequence[bytes]) -> list[Row]:
    rows: list[Row] = []
    for start in range(0, len(keys), MOST_KEYS):
        some = keys[start : start + MOST_KEYS]
        marks = ", ".join("?" * len(some))
        rows += connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some)  # noqa: S608  marks
    return rows


def _write(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany("INSERT OR IGNORE INTO vectors (key, vector) VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _is_damage(error: sqlite3.Error) -> bool:
    """True where the file itself is wrong, not who reads it or where it stands."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def _trouble(path: Path) -> Iterator[None]:
    """Turn what the disk or another process refuses into an OutputError with the cure."""
    try:
        yield
    except sqlite3.Error as error:
        cure = "name another place for the run's outputs with --replies"
        if _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            cure = "make room and run the same command again: what was kept before stays"
        raise OutputError(f"{path}: vectors cannot be kept there: {error}; {cure}") from error
