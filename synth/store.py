"""A run folder: rows in and out, done marks, and writes that are whole or not there.

    outputs/<recipe>-<hash>/
      00-from_corpus/   kept.parquet  dropped.parquet  done.json      done.json is written last
      01-extract/       …

Files are sorted by row id, so that the same rows give the same bytes in whatever order they came.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from synth.errors import OutputError
from synth.types import Dropped, Example

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1024
"""Rows that become one Arrow batch."""
GROUP = 16 * BATCH
"""Rows of a row group on disk."""
SPILL_BYTES = 16 << 20
"""Arrow bytes that a writer holds before it moves them to disk, in buckets by the first letter of the id."""
Row = TypeVar("Row", Example, Dropped)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into an OutputError that names `path` and the cure."""
    try:
        yield
    except OSError as error:
        code = error.errno or next((n for n in _FULL if os.strerror(n) in str(error)), 0)
        if code in _FULL:
            raise OutputError(
                f"{path}: no space left on the device; make room and run the same command again: finished steps stay"
            ) from error
        if code in _FORBIDDEN:
            raise OutputError(
                f"{path}: cannot be written: {os.strerror(code)}; name another folder with --output"
            ) from error
        raise


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut. Raises OutputError."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)  # mkstemp makes it private; this is what a plain file has
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all. Raises OutputError."""
    write_whole(path, (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any] | None:
    """The object that a JSON file holds; None where there is none or it is no JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def content_hash(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@contextmanager
def locked(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold a run folder alone; call `waiting` once if another run has it. A killed run lets go by itself."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class StoredRows:
    """The rows of a parquet file, read again at every use, a row group at a time (`Rows`); `keep` may narrow them."""

    def __init__(self, path: Path, keep: Callable[[Example], bool] | None = None) -> None:
        self.path = path
        self._keep = keep
        self._length: int | None = None

    def __iter__(self) -> Iterator[Example]:
        from synth.rows import from_table

        for batch in _batches(self.path):
            rows = from_table(batch)
            yield from rows if self._keep is None else filter(self._keep, rows)

    def __len__(self) -> int:
        if self._length is None:
            import pyarrow.parquet as pq

            whole = self._keep is None
            self._length = int(pq.read_metadata(self.path).num_rows) if whole else sum(1 for _ in self)
        return self._length

    def column(self, name: str) -> list[str]:
        """One value a row; see `Rows.column`."""
        import pyarrow.parquet as pq

        from synth.stage import column_value

        if name == "positive" or self._keep is not None:
            return [column_value(row, name) for row in self]
        values: list[str] = pq.read_table(self.path, columns=[name]).column(name).to_pylist()
        return values

    def find(self, ids: Set[str]) -> Iterator[Example]:
        """The rows of these ids, without reading the others where the file's statistics tell."""
        from synth.rows import from_table

        yield from from_table(_found(self.path, ids))


def read_dropped(path: Path, ids: Set[str] | None = None) -> Iterator[Dropped]:
    """The dropped rows of a step, in the order of their ids; only those of `ids` where they are given."""
    from synth.rows import from_dropped_table

    for batch in _batches(path) if ids is None else [_found(path, ids)]:
        yield from from_dropped_table(batch)


def _found(path: Path, ids: Set[str]) -> "pa.Table":
    import pyarrow.parquet as pq

    return pq.read_table(path, filters=[("id", "in", sorted(ids))])


def _batches(path: Path) -> "Iterator[pa.RecordBatch]":
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:  # else it comes to hold the whole file, compressed
        yield from file.iter_batches(batch_size=BATCH, use_threads=False)


class SortedWriter(Generic[Row]):
    """Takes rows in any order, writes them sorted by id, in bounded memory; nothing stands at `path` before `close`."""

    def __init__(self, path: Path, to_table: "Callable[[Sequence[Row]], pa.Table]") -> None:
        self.path = path
        self.count = 0
        self._to_table: Callable[[Sequence[Row]], pa.Table] = to_table
        self._rows: list[Row] = []
        self._tables: list[pa.Table] = []
        self._bytes = 0
        self._spill = path.with_name(f".{path.name}.spill")
        shutil.rmtree(self._spill, ignore_errors=True)

    def add(self, row: Row) -> None:
        """Take one row."""
        self._rows.append(row)
        self.count += 1
        if len(self._rows) >= BATCH:
            self._flush()
            if self._bytes > SPILL_BYTES:
                self._to_disk()

    def close(self) -> None:
        """Write the file: whole or not at all."""
        import pyarrow.parquet as pq

        self._flush()
        part = self.path.with_name(f".{self.path.name}.part")
        with writing(self.path):
            try:
                with pq.ParquetWriter(part, self._to_table([]).schema, compression="zstd") as file:
                    for group in self._row_groups():
                        file.write_table(group)
                _sync(part)
                os.replace(part, self.path)
            finally:
                part.unlink(missing_ok=True)
                shutil.rmtree(self._spill, ignore_errors=True)
        self._tables = []

    def _flush(self) -> None:
        if self._rows or not self._tables:
            self._tables.append(self._to_table(self._rows))
            self._bytes += self._tables[-1].nbytes
            self._rows = []

    def _row_groups(self) -> "Iterator[pa.Table]":
        """All rows in the order of their ids, cut alike whether spilled or not: the same rows, the same bytes."""
        import pyarrow as pa

        rest = self._to_table([])
        for tables in self._groups():
            rest = pa.concat_tables([rest, pa.concat_tables(tables).sort_by("id")])
            del tables
            whole = len(rest) - len(rest) % GROUP
            for start in range(0, whole, GROUP):
                yield rest.slice(start, GROUP).combine_chunks()
            rest = rest.slice(whole).combine_chunks()  # a copy, so that the others are let go
            pa.default_memory_pool().release_unused()
        yield rest

    def _groups(self) -> "Iterator[list[pa.Table]]":
        """Tables that belong together, in the order of their ids."""
        if not self._spill.exists():
            yield self._tables
            return
        self._to_disk()
        import pyarrow as pa

        buckets: dict[str, list[Path]] = {}
        for piece in sorted(self._spill.iterdir()):
            buckets.setdefault(piece.name.partition("-")[0], []).append(piece)
        for pieces in buckets.values():
            yield [pa.ipc.open_file(str(piece)).read_all() for piece in pieces]

    def _to_disk(self) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        with writing(self._spill):
            self._spill.mkdir(parents=True, exist_ok=True)
            number = len(list(self._spill.iterdir()))
            table = pa.concat_tables(self._tables)
            first = pc.utf8_slice_codeunits(table["id"], 0, 1)
            for letter in first.unique().to_pylist():
                piece = table.filter(pc.equal(first, letter))
                bucket = f"{ord(letter or chr(0)):06x}"  # buckets in this order are in the order of their ids
                path = str(self._spill / f"{bucket}-{number:06d}.arrow")
                with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, piece.schema) as writer:
                    writer.write_table(piece)
        self._tables, self._bytes = [], 0


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
