r"""The reply store as its owner keeps it: how large it is, what may go, and its replies as JSONL to take elsewhere.

    {"key": "5be1…", "day": "2026-11-21", "text": "{\"query\": …}", "finish_reason": "stop", "model": "tiny", …}

All of it is safe while runs write to the same store: nothing holds its lock for longer than some hundred replies take,
but for what makes the file smaller, which waits for a moment in which no request is in flight.
"""

import fcntl
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synth.errors import CorpusError, OutputError, RecipeError, did_you_mean
from synth.mistakes import explain
from synth.replies import BUSY_S, VERSION, ReplyStore
from synth.terminal import shown

if TYPE_CHECKING:
    from rich.console import Console

AT_ONCE = 500
"""Replies that are read, written or deleted at once."""
LATEST = 20_000
"""Replies that are looked through for those of one model, the latest first."""
ENOUGH = 20
"""Replies that tell how long others will be."""
_BEGIN = b'{"key": "'
_EPOCH = date(1970, 1, 1)

ACTIONS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "prune": (("--older-than",), ("--model",)),
    "export": (("FILE",), ("--model",)),
    "import": (("FILE",), ()),
}
"""What can be done with a store: what each needs to be told, and what it may be told."""
_LIKE = {"prune": "--older-than 90", "export": "replies.jsonl", "import": "replies.jsonl"}

_Row = tuple[bytes, str, str, int]


class Line(BaseModel):
    """One reply of a file: what it is known by, the day it came, and what came."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    key: str = Field(pattern=r"^[0-9a-f]{32}$")
    day: date = Field(ge=_EPOCH)
    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    cached_tokens: int = Field(default=0, ge=0)
    model: str = ""
    latency_s: float = Field(default=0.0, ge=0)
    logprobs: tuple[tuple[str, float | None, dict[str, float]], ...] = ()
    prompt_logprobs: tuple[tuple[str, float | None, dict[str, float]], ...] = ()

    def row(self) -> _Row:
        """The reply as the store has it."""
        fields = self.model_dump(exclude={"key", "day"}, exclude_defaults=True)
        days = (self.day - _EPOCH).days
        return bytes.fromhex(self.key), json.dumps(fields, ensure_ascii=False), self.model, days


@dataclass(frozen=True, slots=True)
class Share:
    """The replies of one model: how many, their bytes, the days of the first and the last."""

    model: str
    replies: int
    bytes: int
    since: date
    until: date


@dataclass(frozen=True, slots=True)
class Book:
    """What a store holds; `bytes` is the size of its file."""

    path: Path
    bytes: int
    shares: Sequence[Share]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "replies": sum(share.replies for share in self.shares),
            "models": [
                {
                    "model": share.model,
                    "replies": share.replies,
                    "bytes": share.bytes,
                    "since": share.since.isoformat(),
                    "until": share.until.isoformat(),
                }
                for share in self.shares
            ],
        }

    def print(self, console: "Console") -> None:
        """A line for each model, within 80 columns."""
        from rich.table import Table

        grid = Table(box=None, pad_edge=False, header_style="bold")
        grid.add_column("model", overflow="fold", max_width=36)
        for name in ("replies", "size", "since", "until"):
            grid.add_column(name, justify="right", no_wrap=True)
        for share in self.shares:
            told = (f"{share.replies:,}", size(share.bytes), share.since.isoformat(), share.until.isoformat())
            grid.add_row(shown(share.model), *told)
        console.print(grid)
        console.print(f"{self.path}: {size(self.bytes)} on disk", soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Done:
    """What was done with a store, and in which figures."""

    told: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dict(self.told)

    def print(self, console: "Console") -> None:
        """A line for each figure."""
        for name, value in self.told.items():
            console.print(f"{name:<14} {value}", soft_wrap=True)


def act(action: str, path: Path, file: Path | None, *, older_than: int | None, model: str) -> Book | Done:
    """Prune, export or import the replies of the store at `path`, or see what it holds. Raises SynthError."""
    if action not in ("", *ACTIONS):
        raise RecipeError(f"synth replies {action}: it must be prune, export or import{did_you_mean(action, ACTIONS)}")
    given = {"FILE": file is not None, "--older-than": older_than is not None, "--model": bool(model)}
    needs, takes = ACTIONS.get(action, ((), ()))
    for name, is_given in given.items():
        if is_given and name not in (*needs, *takes):
            raise RecipeError(f"synth replies {action}".rstrip() + f": it takes no {name}")
        if name in needs and not is_given:
            raise RecipeError(
                f"synth replies {action}: it needs {name}, as in `synth replies {action} {_LIKE[action]}`"
            )
    if action == "export":
        return export(path, file or Path(), model)
    if action == "import":
        return import_(path, file or Path())
    return prune(path, older_than or 0, model) if action == "prune" else sizes(path)


def sizes(path: Path) -> Book:
    """What the store at `path` holds, by model. Raises OutputError where there is none."""
    query = """SELECT model, count(*), sum(length(CAST(reply AS BLOB))), min(day), max(day)
        FROM replies GROUP BY model ORDER BY count(*) DESC, model"""
    with _opened(path) as store:
        rows = store.execute(query).fetchall()
    shares = [Share(model, count, total, _day(first), _day(last)) for model, count, total, first, last in rows]
    return Book(path, _on_disk(path), shares)


def prune(path: Path, older_than: int, model: str = "") -> Done:
    """Delete the replies that came more than so many days ago, of one model or of all; what came of it.

    The file gets smaller unless a run has a request in flight: then what is free is used for its replies.
    Raises OutputError.
    """
    before = (datetime.now(UTC).date() - _EPOCH).days - older_than
    gone, last = 0, 0
    with _opened(path) as store:
        _check_model(store, model)
        found = "SELECT rowid FROM replies WHERE rowid > ? AND day < ? AND (? = '' OR model = ?) ORDER BY rowid LIMIT ?"
        while rows := store.execute(found, (last, before, model, model, AT_ONCE)).fetchall():
            with _transaction(store):
                store.executemany("DELETE FROM replies WHERE rowid = ?", rows)
            gone, last = gone + len(rows), rows[-1][0]
        shrunk = _shrink(path, store)
    return Done({"path": str(path), "pruned": gone, "bytes": _on_disk(path), "shrunk": shrunk})


def export(path: Path, file: Path, model: str = "") -> Done:
    """Write the replies of a store, of one model or of all, a line each in the order of their keys; what was written.

    The file is there whole or not at all. Raises OutputError.
    """
    _check_ours(path, file)
    count = 0
    with _opened(path) as store:
        _check_model(store, model)
        with _whole(file) as out:
            for key, reply, _, day in _rows(store, model):
                more = "" if reply == "{}" else ", " + reply[1:-1]
                out.write(f'{{"key": "{key.hex()}", "day": "{_day(day)}"{more}}}\n'.encode())
                count += 1
    return Done({"file": str(file), "replies": count, "bytes": file.stat().st_size})


def import_(path: Path, file: Path) -> Done:
    """Take the replies of a file into a store, which is made where there is none; what is there already stays.

    Every line is checked before the first is taken. Raises CorpusError for what is no reply, with its line.
    """
    for _ in _lines(file):
        pass
    ReplyStore(path).close()
    read = 0
    with _opened(path) as store:
        before = store.total_changes
        rows = _lines(file)
        while some := [line.row() for line in islice(rows, AT_ONCE)]:
            read += len(some)
            with _transaction(store):
                store.executemany("INSERT OR IGNORE INTO replies (key, reply, model, day) VALUES (?, ?, ?, ?)", some)
        new = store.total_changes - before
    return Done({"path": str(path), "imported": new, "there_already": read - new})


def mean_reply_tokens(path: Path, model: str) -> float | None:
    """The mean tokens of the latest replies of a model; None where there are fewer than `ENOUGH`."""
    query = """SELECT count(tokens), avg(tokens) FROM (
            SELECT model, CASE WHEN json_valid(reply) THEN json_extract(reply, '$.completion_tokens') END AS tokens
            FROM replies ORDER BY rowid DESC LIMIT ?
        ) WHERE model = ? OR model GLOB ? || '-20[0-9][0-9]*'"""
    if not path.is_file():
        return None
    try:
        with _opened(path) as store:
            count, mean = store.execute(query, (LATEST, model, model)).fetchone()
    except OutputError:
        return None
    return mean if count >= ENOUGH else None


def size(count: float) -> str:
    """Bytes as a person reads them.

    >>> size(512), size(2_300_000)
    ('512 bytes', '2.3 MB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a store that is there. Raises OutputError for all that SQLite refuses."""
    if not path.is_file():
        raise OutputError(f"{path}: there is no reply store; name one with --replies")
    store = None
    try:
        address = f"file:{quote(str(path.resolve()))}?mode=rw"
        store = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None)
        (version,) = store.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            raise OutputError(f"{path}: it is no reply store of this version of synth ({version}, not {VERSION})")
        yield store
    except sqlite3.Error as error:
        raise OutputError(f"{path}: the reply store cannot be used: {error}; name another with --replies") from error
    finally:
        if store is not None:
            store.close()


@contextmanager
def _transaction(store: sqlite3.Connection) -> Iterator[None]:
    store.execute("BEGIN IMMEDIATE")
    try:
        yield
        store.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            store.execute("ROLLBACK")
        raise


def _rows(store: sqlite3.Connection, model: str) -> Iterator[_Row]:
    """The replies in the order of their keys, some at a time, so that no reader is in a writer's way for long."""
    found = """SELECT key, reply, model, day FROM replies WHERE key > ? AND (? = '' OR model = ?)
        ORDER BY key LIMIT ?"""
    last = b""
    while rows := store.execute(found, (last, model, model, AT_ONCE)).fetchall():
        yield from rows
        last = rows[-1][0]


def _lines(file: Path) -> Iterator[Line]:
    """The replies of a file, checked. Raises CorpusError."""
    try:
        with file.open("rb") as lines:
            yield from _checked(lines, file)
    except OSError as error:
        raise CorpusError(f"{file}: cannot be read: {error.strerror}") from error


def _checked(lines: Iterable[bytes], file: Path) -> Iterator[Line]:
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        try:
            yield Line.model_validate_json(raw)
        except ValidationError as error:
            no_json = error.errors()[0]["type"] == "json_invalid"
            wrong = "this is no JSON" if no_json else explain(error, Line)
            raise CorpusError(f"{file}:{number}: this is no reply that was exported: {wrong}") from error


def _check_model(store: sqlite3.Connection, model: str) -> None:
    """Raise OutputError where a model is named and there is no reply of it."""
    if model and not store.execute("SELECT 1 FROM replies WHERE model = ? LIMIT 1", (model,)).fetchone():
        names = [name for (name,) in store.execute("SELECT DISTINCT model FROM replies")]
        known = f"; there are {', '.join(sorted(names)[:20])}" if names else ""
        raise OutputError(f"--model {model}: there is no reply of that model{did_you_mean(model, names) or known}")


def _check_ours(path: Path, file: Path) -> None:
    """Raise OutputError where a file stands in the place of an export that is none."""
    if file.is_dir():
        raise OutputError(f"{file}: this is a folder; name a file to write, such as {file / 'replies.jsonl'}")
    if file.is_file() and file.stat().st_size:
        with file.open("rb") as there:
            is_export = there.read(len(_BEGIN)) == _BEGIN
        if not is_export or file.resolve() == path.resolve():
            raise OutputError(f"{file}: it holds something else than exported replies; name another file")


@contextmanager
def _whole(file: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its name when it is whole. Raises OutputError."""
    part = ""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as out:
            part = out.name
            yield out
            out.flush()
            os.fsync(out.fileno())
        os.chmod(part, 0o644)
        os.replace(part, file)
    except OSError as error:
        raise OutputError(f"{file}: cannot be written: {error.strerror or error}") from error
    finally:
        if part:
            Path(part).unlink(missing_ok=True)


def _shrink(path: Path, store: sqlite3.Connection) -> bool:
    """Give the disk back what is free in the file; False where a run has a request in flight, or there is no room.

    While it lasts all claims are held: runs that want to send wait, so that none of them waits for the file.
    """
    with path.with_name(path.name + ".claims").open("a") as claims:
        try:
            fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        try:
            store.execute("VACUUM")
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError:
            return False
    return True


def _on_disk(path: Path) -> int:
    parts = [path, path.with_name(path.name + "-wal")]
    return sum(part.stat().st_size for part in parts if part.is_file())


def _day(days: int) -> date:
    return _EPOCH + timedelta(days=days)
