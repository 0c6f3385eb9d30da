"""PDF and DOCX files as sections: pages joined, hard line ends mended, headings kept as titles.

Needs the extra `files`: pypdf reads PDF, mammoth reads DOCX. Both are handed files from anywhere, and raise much.
"""

import io
import logging
import re
import struct
import zlib
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from xml.parsers.expat import ExpatError
from zipfile import BadZipFile

from synth.documents.record import Fault, Section, clean
from synth.documents.web import sections_of_plain_html
from synth.errors import need

PACKAGES = {"pdf": "pypdf", "docx": "mammoth"}
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    BadZipFile,
    ExpatError,
)
"""What parsers of damaged files raise, besides their own errors."""

_HYPHENATED = re.compile(r"(?<=[^\W\d_])-\n(?=[^\W\d_])")
_LINE_END = re.compile(r"(?<!\n)\n(?!\n)")
_DIGITS = re.compile(r"\d+")
_EDGE_LINES = 2
_LEAST_PAGES = 3


def need_for(kind: str) -> None:
    """Raise MissingExtra unless what reads this kind of file is installed."""
    need(PACKAGES[kind], "files", f"from_corpus, to read .{kind} files (`pattern` leaves them out),")


def reader_name(kind: str) -> str:
    """What reads this kind of file here, with its version."""
    package = PACKAGES[kind]
    return f"{package} {version(package)}" if find_spec(package) else package


def pdf_sections(content: bytes) -> list[Section]:
    """The text of a PDF file as one section below the title it names itself. Raises Fault where it cannot be read."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it would tell each fault of a file to stderr
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Fault("encrypted: it opens only with a password")
        pages = [page.extract_text() for page in reader.pages]
        title = str(reader.metadata.title or "") if reader.metadata else ""
    except (PyPdfError, *_FAULTS) as error:
        raise Fault(f"not a PDF that can be read: {_said(error)}") from error
    text = "\n\n".join(_mended(page) for page in without_running_lines(pages))
    return [Section((title,) if clean(title) else (), clean(text))]


def without_running_lines(pages: Sequence[str]) -> list[str]:
    r"""The pages without the first and last lines that stand on most of them, whatever their numbers.

    >>> without_running_lines(["Guide 1\nOne.", "Guide 2\nTwo.", "Guide 3\nThree."])
    ['One.', 'Two.', 'Three.']
    """
    split = [[line for line in clean(page).split("\n") if line.strip()] for page in pages]
    edges = Counter(mark for lines in split for mark in {_mark(line) for line in _edges(lines)})
    if len(pages) < _LEAST_PAGES:
        return list(pages)
    running = {mark for mark, count in edges.items() if count * 2 > len(pages)}
    return ["\n".join(_inner(lines, running)) for lines in split]


def _mark(line: str) -> str:
    return _DIGITS.sub("0", line.strip())


def _edges(lines: Sequence[str]) -> list[str]:
    return [*lines[:_EDGE_LINES], *lines[-_EDGE_LINES:]]


def _inner(lines: Sequence[str], running: set[str]) -> list[str]:
    last = len(lines) - _EDGE_LINES
    return [line for i, line in enumerate(lines) if _EDGE_LINES <= i < last or _mark(line) not in running]


def _mended(page: str) -> str:
    """A page whose lines run on: a word that a hyphen cut at a line's end is whole again."""
    return _LINE_END.sub(" ", _HYPHENATED.sub("", clean(page)))


def docx_sections(content: bytes) -> list[Section]:
    """The text of a DOCX file below its headings. Raises Fault where it cannot be read."""
    from mammoth import convert_to_html

    try:
        page = convert_to_html(io.BytesIO(content), convert_image=_no_image).value
    except _FAULTS as error:
        raise Fault(f"not a DOCX that can be read: {_said(error)}") from error
    return sections_of_plain_html(page)


def _no_image(image: object) -> list[object]:
    del image
    return []


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
