"""The files of a corpus: which there are, of what kind, and their bytes as text.

A folder is walked in the order of its paths. What begins with a dot, what is of no known kind and what is a link out of
the folder is left out and counted.
"""

import codecs
import gzip
import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO

from synth.documents.record import Fault, clean
from synth.errors import CorpusError

KINDS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
    ".txt": "text", ".text": "text", ".md": "markdown", ".markdown": "markdown", ".rst": "rst",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf", ".docx": "docx",
}  # fmt: skip
"""What each suffix is read as; .gz may follow those of `PACKED`."""

TABLES = ("jsonl", "csv", "parquet")
PACKED = ("jsonl", "csv", "text")
BEIR = ("corpus.jsonl", "corpus.jsonl.gz")
MOST_BYTES = 64 * 2**20
"""The longest line, and the largest file that is read in one piece: 64 MiB."""

BROKEN_STREAM = (OSError, EOFError, zlib.error)
"""What a file raises that cannot be read on: no permission, a gzip file cut short or damaged."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file to read: where it lies, its path relative to the corpus, and its kind (a value of `KINDS`)."""

    path: Path
    name: str
    kind: str

    @property
    def packed(self) -> bool:
        """True for a gzip file."""
        return self.name.lower().endswith(".gz")


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a corpus in their order, and what is left out: folders that cannot be listed, links, other kinds."""

    files: tuple[CorpusFile, ...]
    closed: tuple[str, ...] = ()
    links: int = 0
    others: Counter[str] = field(default_factory=Counter)


def kind_of(name: str) -> str:
    """What a file is read as by its name, "" for no known kind.

    >>> kind_of("a/corpus.JSONL.gz"), kind_of("notes.md.gz"), kind_of("photo.png")
    ('jsonl', '', '')
    """
    stem, last = os.path.splitext(name.lower())
    if last == ".gz":
        kind = KINDS.get(os.path.splitext(stem)[1], "")
        return kind if kind in PACKED else ""
    return KINDS.get(last, "")


def find(root: Path, pattern: str = "") -> Found:
    """The files of a corpus: the file itself, the corpus of a BEIR folder, or all files of a folder of known kinds.

    `pattern` picks by path or name (`*.md`, `guide/*`). Raises CorpusError where there is nothing to read.
    """
    if root.is_file():
        return Found((_single(root),))
    if not root.is_dir():
        raise CorpusError(f"corpus {root}: no such file or folder; set `corpus:` to one (or to hf://owner/name)")
    if not pattern:
        for name in BEIR:
            if (root / name).is_file():
                return Found((CorpusFile(root / name, name, "jsonl"),))
    found = _walk(root, pattern)
    if not found.files and not found.closed:
        raise CorpusError(f"corpus {root}: {_nothing(found, pattern)}; a folder may hold {' '.join(sorted(KINDS))}")
    return found


def _single(path: Path) -> CorpusFile:
    kind = "jsonl" if path.suffix.lower() == ".json" else kind_of(path.name)
    if not kind:
        raise CorpusError(f"corpus {path}: a kind of file that is not read; it can be {' '.join(sorted(KINDS))}")
    return CorpusFile(path, _readable(path.name), kind)


def _nothing(found: Found, pattern: str) -> str:
    if pattern:
        return f"no file that can be read fits the pattern {pattern!r}"
    if found.others:
        return f"no file of a kind that is read (found {others_in_words(found.others)})"
    return "the folder holds no files"


def others_in_words(others: Counter[str]) -> str:
    """The suffixes that are not read, most frequent first.

    >>> others_in_words(Counter({".png": 3, ".py": 1}))
    '3 .png, 1 .py'
    """
    ranked = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in ranked[:5])


def _walk(root: Path, pattern: str) -> Found:
    """Every file below a folder that is of a known kind, sorted by its path."""
    real_root = os.path.realpath(root)
    files: list[CorpusFile] = []
    closed: list[str] = []
    links, others = 0, Counter[str]()
    for folder, inner, names in os.walk(root, onerror=lambda error: closed.append(str(error.filename))):
        links += sum(os.path.islink(os.path.join(folder, name)) for name in inner)
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            relative = path.relative_to(root).as_posix()
            if name.startswith(".") or not _fits(relative, pattern):
                continue
            if _leads_away(path, real_root):
                links += 1
            elif path.is_file() and (kind := kind_of(name)):
                files.append(CorpusFile(path, _readable(relative), kind))
            else:
                others[path.suffix.lower()] += 1
    files.sort(key=lambda file: file.name)
    return Found(tuple(files), tuple(sorted(_below(root, name) for name in closed)), links, others)


def _leads_away(path: Path, real_root: str) -> bool:
    """True for a link to what is not below the folder, or to nothing."""
    return path.is_symlink() and (not path.is_file() or not os.path.realpath(path).startswith(real_root + os.sep))


def _fits(relative: str, pattern: str) -> bool:
    return not pattern or fnmatch(relative, pattern) or fnmatch(relative.rpartition("/")[2], pattern)


def _below(root: Path, name: str) -> str:
    return _readable(os.path.relpath(name, root))


def _readable(name: str) -> str:
    """A file's name as text in one line, also where its bytes are no UTF-8."""
    return " ".join(clean(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")).splitlines())


def open_bytes(file: CorpusFile) -> BinaryIO:
    """The bytes of a file, unpacked."""
    return gzip.open(file.path, "rb") if file.packed else file.path.open("rb")  # type: ignore[return-value]  # GzipFile reads like a file


def encoding_of(head: bytes, encoding: str) -> str:
    r"""The encoding that a file's first bytes declare, else the one given.

    >>> encoding_of(b"\xff\xfea\x00", "utf-8")
    'utf-16'
    """
    return next((name for mark, name in _BOMS if head.startswith(mark)), encoding)


def is_wide(encoding: str) -> bool:
    """True for encodings in which a line does not end with the one byte 0x0A."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def read_bytes(file: CorpusFile) -> bytes:
    """The whole of a file that is one document. Raises Fault where it is too large for that."""
    with open_bytes(file) as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Fault(f"larger than {MOST_BYTES // 2**20} MiB for one document; cut it, or write it as JSONL")
    return content


def read_text(file: CorpusFile, encoding: str) -> str:
    """The whole text of a file. Raises Fault where it is too large, binary, or not in this encoding."""
    content = read_bytes(file)
    encoding = encoding_of(content[:4], encoding)
    if b"\0" in content and not is_wide(encoding):
        raise Fault("binary, not text")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Fault(not_in_encoding(encoding, f"line {line}")) from error


def not_in_encoding(encoding: str, where: str = "") -> str:
    """What is said of bytes that are not in the encoding they should be in."""
    name = "UTF-8" if encoding.lower() in {"utf-8", "utf-8-sig"} else encoding
    return f"not {name}{f' ({where})' if where else ''}; save it as UTF-8, or set `encoding`"


def broken(error: Exception) -> str:
    """What is said of a file that cannot be read on; `error` is one of `BROKEN_STREAM`."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"cannot be read on: {said}"


def lines(file: CorpusFile) -> Iterator[bytes | None]:
    """The lines of a file as bytes, with their ends; None for one that is longer than `MOST_BYTES`."""
    with open_bytes(file) as stream:
        while line := stream.readline(MOST_BYTES):
            if len(line) < MOST_BYTES or line.endswith(b"\n"):
                yield line
                continue
            while (rest := stream.readline(MOST_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield None
