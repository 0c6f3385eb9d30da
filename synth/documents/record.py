"""What reading gives: a record for each document found, or the reason why one cannot be read.

Record("guide.md", (Section(("Guide", "Install"), "Unpack the archive.", 3),), Place("guide.md", 1))
Unreadable(Place("corpus.jsonl", 12), "not JSON: Expecting ',' delimiter", '{"_id": "7" "text": …')
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_DIRT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Fault(Exception):
    """Why one file or row cannot be read; becomes an `Unreadable`."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a document stands: the file, relative to the corpus, and the line or row from 1 on; 0 for all of it."""

    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path


@dataclass(frozen=True, slots=True)
class Section:
    """A text under its headings, outermost first, and the line where it begins (0: not known)."""

    headings: tuple[str, ...]
    text: str
    line: int = 0

    @property
    def title(self) -> str:
        """The way to it: `Guide > Install`."""
        return " > ".join(self.headings)


@dataclass(frozen=True, slots=True)
class Record:
    """A document as it was found, uncut: at least one section. `language` only where the source names it."""

    doc_id: str
    sections: tuple[Section, ...]
    place: Place
    language: str = ""

    @property
    def text(self) -> str:
        """All of it: each section's innermost heading, but for the first's, above its text."""
        first, *others = self.sections
        parts = [
            first.text,
            *(f"{other.headings[-1]}\n{other.text}" if other.headings else other.text for other in others),
        ]
        return "\n\n".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A document that gives no text: what is wrong, and the beginning of what stands there."""

    place: Place
    fault: str
    beginning: str = ""
    reason: Literal["unreadable_document", "empty_document"] = "unreadable_document"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table hold what; "" for one to be found by its name, or that is not there."""

    text: str = ""
    title: str = ""
    doc_id: str = ""
    language: str = ""
    number_rows: bool = False


def clean(text: str) -> str:
    r"""The text without what no file can hold or show: control characters and halves of surrogate pairs.

    >>> ascii(clean("one\r\ntwo\x00\ud800 "))
    "'one\\ntwo \\ufffd'"
    """
    if _DIRT.search(text) is None:
        return text.strip()
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0c", "\n")
    return _LONE_SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text)).strip()


def of_sections(path: str, sections: Sequence[Section]) -> Record | Unreadable:
    """The record of a whole file, whose id is its path; an empty document where no section has a text."""
    place = Place(path)
    full = tuple(section for section in sections if section.text)
    if not full:
        return Unreadable(place, "no text in it", reason="empty_document")
    return Record(path, full, place)
