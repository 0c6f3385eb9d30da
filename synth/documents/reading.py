"""A corpus read from its beginning to its end, one document in memory at a time.

for found in read(source, columns):
    found is a Record, or an Unreadable that says what is wrong and where
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from synth.documents import files, hub, office, web
from synth.documents.exclusion import exclusion_files
from synth.documents.files import CorpusFile, Found, find
from synth.documents.markup import markdown_sections, rst_sections, tidy
from synth.documents.record import Columns, Fault, Place, Record, Section, Unreadable, of_sections
from synth.documents.tables import MissingColumn, read_table
from synth.errors import CorpusError
from synth.stage import Source

_HASHED_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True)
class Reading:
    """How a corpus is read: its columns, which files, and what encoding those have that do not say."""

    columns: Columns = field(default_factory=Columns)
    pattern: str = ""
    encoding: str = "utf-8"


def read(source: Source, how: Reading, warn: Callable[[str], None] | None = None) -> Iterator[Record | Unreadable]:
    """Every document of the corpus, in an order that does not change. `warn` is told of files that are left out.

    Raises CorpusError where there is no corpus, none of its files is of a known kind or a column is missing, and
    MissingExtra where a file needs the extra `files`.
    """
    if is_hub(source):
        yield from hub.read_hub(source.corpus, how.columns)
        return
    found = find(_root(source), how.pattern)
    for kind in sorted({file.kind for file in found.files} & set(office.PACKAGES)):
        office.need_for(kind)
    if warn is not None and (text := _left_out(found)):
        warn(f"corpus {source.corpus}: {text}")
    for name in found.closed:
        yield Unreadable(Place(name), "a folder that cannot be opened")
    mixed = any(file.kind not in files.TABLES for file in found.files)
    for file in found.files:
        yield from _read_file(file, how, mixed)


def is_hub(source: Source) -> bool:
    """True for a dataset on the Hub."""
    return source.corpus.startswith(hub.SCHEME)


def content_hash(source: Source, pattern: str) -> str:
    """A hash of all that reading depends on: paths and bytes of files, also excluding ones, and versions of readers.

    Of a dataset on the Hub its commit, or only its name where the Hub cannot be asked.
    """
    digest = hashlib.blake2b(digest_size=16)
    if is_hub(source):
        return hashlib.blake2b(
            f"{source.corpus}\0{hub.revision_of(source.corpus)}".encode(), digest_size=16
        ).hexdigest()
    found = find(_root(source), pattern)
    for kind in sorted({file.kind for file in found.files}):
        digest.update(_reader_name(kind).encode() + b"\0")
    for file in (*found.files, *exclusion_files(source)):
        digest.update(file.name.encode() + b"\0" + _file_hash(file))
    return digest.hexdigest()


def _root(source: Source) -> Path:
    if not source.corpus:
        raise CorpusError("no corpus: set `corpus:` in the recipe to a file, a folder or hf://owner/name")
    return source.path_of(source.corpus)


def _reader_name(kind: str) -> str:
    if kind in office.PACKAGES:
        return office.reader_name(kind)
    return web.reader_name() if kind == "html" else kind


def _file_hash(file: CorpusFile) -> bytes:
    """The hash of a file's bytes; of nothing where it cannot be opened."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with file.path.open("rb") as stream:
            while part := stream.read(_HASHED_AT_ONCE):
                digest.update(part)
    except OSError as error:
        digest.update(type(error).__name__.encode())
    return digest.digest()


def _left_out(found: Found) -> str:
    """What was left out, in words; "" where all was read."""
    parts = []
    if found.others:
        parts.append(
            f"{found.others.total()} files of other kinds are left out ({files.others_in_words(found.others)})"
        )
    if found.links:
        parts.append(f"{found.links} links are not followed")
    return "; ".join(parts)


def _read_file(file: CorpusFile, how: Reading, mixed: bool) -> Iterator[Record | Unreadable]:
    """The records of one file. A table without a column of text is an error, unless it lies among other documents."""
    if file.kind not in files.TABLES:
        yield _whole(file, how.encoding)
        return
    try:
        yield from read_table(file, how.columns, how.encoding)
    except MissingColumn as error:
        if not mixed or how.columns.text:
            raise
        yield Unreadable(Place(file.name), str(error))


def _whole(file: CorpusFile, encoding: str) -> Record | Unreadable:
    """A file that is one document."""
    try:
        return of_sections(file.name, _sections(file, encoding))
    except Fault as fault:
        return Unreadable(Place(file.name), str(fault))
    except files.BROKEN_STREAM as error:
        return Unreadable(Place(file.name), files.broken(error))


def _sections(file: CorpusFile, encoding: str) -> list[Section]:
    if file.kind == "html":
        return web.html_sections(web.decode_page(files.read_bytes(file), encoding))
    if file.kind == "pdf":
        return office.pdf_sections(files.read_bytes(file))
    if file.kind == "docx":
        return office.docx_sections(files.read_bytes(file))
    text = files.read_text(file, encoding)
    if file.kind == "markdown":
        return markdown_sections(text)
    return rst_sections(text) if file.kind == "rst" else [Section((), tidy(text))]
