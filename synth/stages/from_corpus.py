"""Documents out of files, tables and datasets: one row for each piece of about 300 words, without a query yet.

my-documents/guide.md
    # Guide
    ## Install
    Unpack the archive, then run the installer.

doc_id      guide.md#0
parent_id   guide.md                                  "" where a document is not cut
title       Guide > Install
text        Unpack the archive, then run the installer.
language    en
meta        {"path": "guide.md", "line": 3}
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import ClassVar

from pydantic import Field, field_validator

from synth.chunks import chunks
from synth.documents.exclusion import Excluded, excluded, exclusion_hash
from synth.documents.reading import Reading, content_hash, read
from synth.documents.record import Columns, Place, Record, Unreadable
from synth.errors import CorpusError
from synth.language_names import LanguageCode
from synth.languages import identify
from synth.stage import Context, Stage
from synth.types import Document, Dropped, Example, digest_of, row_id


class FromCorpus(Stage):
    """Read the recipe's corpus: a folder, a file, a BEIR folder or a dataset on the Hub.

    Files are .jsonl .csv .tsv (also .gz) .parquet .txt .md .rst .html, and with the extra `files` .pdf and .docx.
    What cannot be read is dropped, what `exclude` names too, and of a document that stands twice the second one. Of
    excluded documents whose text is known, near copies are dropped as well, and what shares 13 words in a row with one.
    """

    version: ClassVar[int] = 2

    text_column: str = Field(default="", description="a table's column of text; found by its name unless given")
    title_column: str = Field(default="", description="a table's column of titles; found by its name unless given")
    id_column: str = Field(default="", description="a table's column of ids; found by its name unless given")
    number_rows: bool = Field(
        default=False, description="the file and the line as a row's id, whatever its id column says"
    )
    language_column: str = Field(
        default="", description="a table's column of language codes, in place of identification"
    )
    language: LanguageCode = Field(
        default="", description="the code of the language that all documents are in, where it is known"
    )
    chunk: bool = Field(default=True, description="cut long documents between sentences, and files at their headings")
    most_words: int = Field(default=300, ge=10, le=100_000, description="longest piece, in words")
    pattern: str = Field(default="", description="which files of a folder to read, by name or path (*.md, guide/*)")
    encoding: str = Field(default="utf-8", description="the encoding of files that do not declare theirs")

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            "text".encode(value)
        except LookupError as error:
            raise ValueError(f"no encoding is called {value!r}; utf-8, latin-1 or cp1252 are usual") from error
        return value

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Give the rows of each document, in the order of files and lines.

        Raises CorpusError where there is nothing to read, where two documents have one id, and, if the run is strict,
        for what cannot be read; MissingExtra for PDF and DOCX without the extra `files`.
        """
        del rows
        tally = _Tally(excluded(ctx.source))
        records = read(ctx.source, self._reading(), ctx.warn)
        while block := list(islice(records, tally.room(ctx.source.limit))):
            tally.excluded.compare([found.text for found in block if isinstance(found, Record)])
            for found in block:
                yield from self._outcomes(found, tally, ctx)
        tally.tell(ctx)

    def content_read(self, ctx: Context) -> str:
        """A hash of the corpus and of the files that `exclude` names."""
        content = content_hash(ctx.source, self.pattern)
        return digest_of(content, exclusion_hash(ctx.source)) if ctx.source.exclude else content

    def _reading(self) -> Reading:
        columns = Columns(self.text_column, self.title_column, self.id_column, self.language_column, self.number_rows)
        return Reading(columns, self.pattern, self.encoding)

    def _outcomes(self, found: Record | Unreadable, tally: "_Tally", ctx: Context) -> Iterator[Example | Dropped]:
        if isinstance(found, Unreadable):
            if ctx.source.strict and found.reason == "unreadable_document":
                raise CorpusError(f"{found.place}: {found.fault}; mend it, or run without --strict to leave it out")
            tally.count(found.reason, found.place)
            yield _unreadable(found, ctx)
            return
        documents = self._documents(found)
        reason, detail = tally.judge(found, documents)
        if reason:
            tally.count(reason, found.place)
        for document in documents:
            row = _row(document, ctx)
            if reason == "duplicate_document":  # the id of the one that is kept is that one's own
                row = replace(row, id=row_id("from_corpus", 0, str(found.place), [row.id]))
            yield Dropped(row, reason, detail) if reason else row

    def _documents(self, record: Record) -> list[Document]:
        """The pieces of a record; the record itself, under its own id, where there is but one."""
        language = self.language or record.language or identify(record.text[:_SAMPLED]).code
        pieces = self._pieces(record, language)
        if len(pieces) == 1:
            (piece,) = pieces
            return [_document(piece, record.doc_id, "", language, record.place)]
        return [
            _document(piece, f"{record.doc_id}#{n}", record.doc_id, language, record.place)
            for n, piece in enumerate(pieces)
        ]

    def _pieces(self, record: Record, language: str) -> list["_Piece"]:
        first = record.sections[0]
        if not self.chunk:
            title = first.headings[0] if len(record.sections) > 1 and first.headings else first.title
            return [_Piece(title, record.text, first.line)]
        return [
            _Piece(section.title, text, section.line)
            for section in record.sections
            for text in chunks(section.text, language, self.most_words)
        ]


_SAMPLED = 5_000
"""Characters of a document that its language is told by."""
COMPARED_AT_ONCE = 64
"""Documents that are in memory together where some are excluded by their text."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a document, and the line where its section begins; 0 for rows, which may come in any order."""

    title: str
    text: str
    line: int


def _document(piece: _Piece, doc_id: str, parent_id: str, language: str, place: Place) -> Document:
    meta = {"path": place.path, "line": piece.line} if piece.line else {"path": place.path}
    return Document(piece.text, doc_id, piece.title, parent_id, language, meta=meta)


def _row(document: Document, ctx: Context) -> Example:
    text = "\0".join((document.doc_id, document.title, document.text))
    born = row_id(ctx.step or "from_corpus", 0, text)
    return Example(id=born, positives=(document,), language=document.language)


def _unreadable(found: Unreadable, ctx: Context) -> Dropped:
    """The row of what cannot be read: its place, and the beginning of what stands there."""
    place = found.place
    meta = {"path": place.path, "line": place.line} if place.line else {"path": place.path}
    born = row_id(ctx.step or "from_corpus", 0, f"{place}\0{found.fault}")
    document = Document(found.beginning, str(place), meta=meta)
    return Dropped(Example(id=born, positives=(document,), meta=meta), found.reason, f"{place}: {found.fault}")


class _Seen:
    """Which ids stood where, with what hash of their content: about 150 bytes each, since they all stay in memory."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._contents, self._lines = array("q"), array("q")
        self._paths: list[str] = []

    def before(self, doc_id: str, content: int, place: Place) -> tuple[Place, bool]:
        """Where the id stood first, which may be here, and whether it had this content there."""
        number = self._numbers.setdefault(doc_id, len(self._paths))
        if number == len(self._paths):
            self._contents.append(content)
            self._lines.append(place.line)
            self._paths.append(place.path)
        return Place(self._paths[number], self._lines[number]), self._contents[number] == content


@dataclass(slots=True)
class _Tally:
    """What has been read so far: which ids with which text, how many documents were kept, and why others were not."""

    excluded: Excluded
    kept: int = 0
    gone: Counter[str] = field(default_factory=Counter)
    first: Place | None = None
    seen: _Seen = field(default_factory=_Seen)

    def count(self, reason: str, place: Place) -> None:
        """A document is dropped."""
        self.gone[reason] += 1
        if reason == "unreadable_document" and self.first is None:
            self.first = place

    def room(self, limit: int | None) -> int:
        """How many more documents may be read at once: several where they are compared with excluded ones."""
        most = COMPARED_AT_ONCE if self.excluded.documents else 1
        return most if limit is None else min(most, limit - self.kept)

    def judge(self, record: Record, documents: list[Document]) -> tuple[str, str]:
        """Why a document is dropped, as a slug and in words; two empty texts where it is kept.

        Raises CorpusError where its id already stands for another text.
        """
        if twin := self._twin(record.doc_id, (record.sections[0].title, record.text), record.place):
            return "duplicate_document", f"{record.doc_id} already stands at {twin}, with the same text"
        pieces = [document for document in documents if document.parent_id]
        if why := self.excluded.why([record.doc_id, *(piece.doc_id for piece in pieces)], record.text):
            return "excluded", why
        for piece in pieces:
            self._twin(piece.doc_id, (piece.title, piece.text), record.place)
        self.kept += 1
        return "", ""

    def _twin(self, doc_id: str, content: tuple[str, str], place: Place) -> Place | None:
        """Where the same document stood before; None for a new one."""
        before, same = self.seen.before(doc_id, hash(content), place)
        if before == place:
            return None
        if same:
            return before
        raise CorpusError(
            f"{place}: the id {doc_id!r} already stands at {before} with another text; give each document its own id, "
            "or set `number_rows: true` of from_corpus"
        )

    def tell(self, ctx: Context) -> None:
        """Warn of what was left out. Raises CorpusError where nothing was kept."""
        gone = ", ".join(f"{count} {reason}" for reason, count in self.gone.most_common())
        first = f" (first: {self.first})" if self.first else ""
        if not self.kept:
            why = f"none of its documents can be used: {gone}{first}" if gone else "it holds no documents"
            raise CorpusError(f"corpus {ctx.source.corpus}: {why}; `synth init` of it says what is in it")
        if gone:
            shown = f"`synth look RUN --step {ctx.step or 'from_corpus'}` shows them"
            ctx.warn(f"corpus {ctx.source.corpus}: documents left out: {gone}{first}; {shown}")
        if ctx.source.exclude and not self.gone["excluded"] and ctx.source.limit is None:
            ctx.warn(f"exclude {', '.join(ctx.source.exclude)}: none of these documents is in the corpus")
