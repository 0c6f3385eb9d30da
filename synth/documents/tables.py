"""Rows of JSON lines, CSV and Parquet as records, one at a time.

    {"_id": "d7", "title": "The Nile", "text": "The Nile floods each summer."}
    ->  Record("d7", (Section(("The Nile",), "The Nile floods each summer."),), Place("corpus.jsonl", 7))

A column that is not named is found by its name (`text`, `content`, `body` …); a row without an id has its place as one.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from synth.documents.files import (
    BROKEN_STREAM,
    MOST_BYTES,
    CorpusFile,
    broken,
    encoding_of,
    is_wide,
    lines,
    not_in_encoding,
    open_bytes,
)
from synth.documents.record import Columns, Fault, Place, Record, Section, Unreadable, clean
from synth.errors import CorpusError, did_you_mean

TEXT = ("text", "content", "contents", "body", "passage", "abstract", "article", "document", "page_content", "markdown")
TITLE = ("title", "headline", "heading", "subject")
ID = ("_id", "id", "doc_id", "docid", "document_id", "corpus-id", "corpus_id", "pid", "uuid", "url")
PEEKED = 100
"""Rows whose columns are looked at before the first is read."""

_UNDECODED = re.compile("[\udc80-\udcff]")
"""What stands for a byte that is not in a file's encoding."""


class MissingColumn(CorpusError):
    """A table has no column of the name asked for, or none that can be taken for its text."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table with its number, counted from 1; without values where `fault` says why it has none."""

    number: int
    values: Mapping[str, Any] | None = None
    fault: str = ""
    beginning: str = ""


def read_table(file: CorpusFile, columns: Columns, encoding: str = "utf-8") -> Iterator[Record | Unreadable]:
    """The records of a table. Raises MissingColumn where a column that is named, or one of text, is not there."""
    if file.kind == "parquet":
        yield from _parquet(file, columns)
    else:
        rows = _json_rows(file, encoding) if file.kind == "jsonl" else _csv_rows(file, encoding)
        yield from records(rows, columns, file.name)


def plain_rows(file: CorpusFile, encoding: str = "utf-8") -> Iterator[Row]:
    """The rows of a table with all its columns as they stand; of a text file its lines, in a column `text`."""
    if file.kind == "parquet":
        return _parquet_rows(file)
    if file.kind == "text":
        return _lines_of_text(file, encoding)
    return _json_rows(file, encoding) if file.kind == "jsonl" else _csv_rows(file, encoding)


def peeked(rows: Iterator[Row]) -> tuple[list[str], Iterator[Row]]:
    """The names of the columns of the first hundred rows, and all the rows."""
    first = list(islice(rows, PEEKED))
    known = list(dict.fromkeys(key for row in first if row.values is not None for key in row.values))
    return known, chain(first, rows)


def records(rows: Iterator[Row], columns: Columns, name: str) -> Iterator[Record | Unreadable]:
    """The rows of a table called `name` as records; which columns to read is decided by the first hundred."""
    known, rows = peeked(rows)
    if known:
        columns = choose(known, columns, name)
    for row in rows:
        yield _read(row, columns, name)


def _read(row: Row, columns: Columns, name: str) -> Record | Unreadable:
    place = Place(name, row.number)
    return Unreadable(place, row.fault, row.beginning) if row.values is None else _record(row.values, columns, place)


def choose(known: Sequence[str], wanted: Columns, name: str) -> Columns:
    """The columns to read, of those there are. Raises MissingColumn where one that is named, or any text, lacks."""
    for column in (wanted.text, wanted.title, wanted.doc_id, wanted.language):
        if column and column not in known:
            found = in_words(known)
            raise MissingColumn(f"{name}: no column {column!r}; the columns are {found}{did_you_mean(column, known)}")
    text = wanted.text or named(known, TEXT) or (known[0] if len(known) == 1 else "")
    if not text:
        raise MissingColumn(f"{name}: no column of text; the columns are {in_words(known)}: set `text_column` to one")
    return replace(
        wanted, text=text, title=wanted.title or named(known, TITLE), doc_id=wanted.doc_id or named(known, ID)
    )


def in_words(known: Sequence[str]) -> str:
    """The names of columns in one line that is not too long."""
    return ", ".join(" ".join(name.split())[:40] for name in known[:20]) + (" …" if len(known) > 20 else "")


def named(known: Sequence[str], usual: Sequence[str]) -> str:
    """The first usual name that a column has, in any case; "" where none has."""
    by_name = {name.strip().lower(): name for name in reversed(known)}
    return next((by_name[name] for name in usual if name in by_name), "")


def _record(values: Mapping[str, Any], columns: Columns, place: Place) -> Record | Unreadable:
    try:
        text = _cell(values, columns.text)
        title = " ".join(_cell(values, columns.title).split()) if columns.title else ""
        doc_id = "" if columns.number_rows or not columns.doc_id else _id_cell(values.get(columns.doc_id))
        language = _cell(values, columns.language) if columns.language else ""
    except Fault as fault:
        return Unreadable(place, str(fault), _beginning(values))
    if not text:
        return Unreadable(place, f"no text in {columns.text!r}", _beginning(values), "empty_document")
    section = Section((title,) if title else (), text)
    return Record(doc_id or str(place), (section,), place, language)


def _beginning(values: Mapping[str, Any]) -> str:
    return clean(json.dumps(values, ensure_ascii=False, default=str)[:200])


def _cell(values: Mapping[str, Any], column: str) -> str:
    """The text of a cell, "" for null or none; Fault where it holds something else."""
    value = values.get(column)
    if isinstance(value, str):
        return clean(value)
    if value is None:
        return ""
    raise Fault(f"{column!r} holds {type(value).__name__}, expected a text")


def _id_cell(value: object) -> str:
    """An id as text, "" where there is none; Fault for a list or an object."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (str, int, float)):
        return clean(str(value))
    raise Fault(f"the id is {type(value).__name__}, expected a text or a number")


def _json_rows(file: CorpusFile, encoding: str) -> Iterator[Row]:
    number = 0
    try:
        for number, line in enumerate(_text_lines(file, encoding), 1):
            if isinstance(line, Fault):
                yield Row(number, fault=str(line))
            elif line and not line.isspace():
                yield _json_row(number, line)
    except BROKEN_STREAM as error:
        yield Row(number + 1, fault=broken(error))


def _json_row(number: int, line: str) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        array = number == 1 and line.startswith("[")
        cure = "; write one object a line" if array else ""
        return Row(number, fault=f"not JSON: {error}{cure}", beginning=clean(line[:200]))
    if not isinstance(value, dict):
        cure = "; write one object a line" if isinstance(value, list) else ""
        return Row(number, fault=f"found {type(value).__name__}, expected an object{cure}", beginning=clean(line[:200]))
    return Row(number, value)


def _lines_of_text(file: CorpusFile, encoding: str) -> Iterator[Row]:
    number = 0
    try:
        for number, line in enumerate(_text_lines(file, encoding), 1):
            if isinstance(line, Fault):
                yield Row(number, fault=str(line))
            elif line.strip():
                yield Row(number, {"text": line})
    except BROKEN_STREAM as error:
        yield Row(number + 1, fault=broken(error))


def _text_lines(file: CorpusFile, encoding: str) -> Iterator[str | Fault]:
    """The lines of a file as text; a Fault for each that is too long or not in its encoding."""
    with open_bytes(file) as stream:
        encoding = encoding_of(stream.read(4), encoding)
    if is_wide(encoding):
        yield from _wide_lines(file, encoding)
        return
    for number, line in enumerate(lines(file)):
        if line is None:
            yield Fault(f"a line of more than {MOST_BYTES // 2**20} MiB")
            continue
        try:
            yield line.decode(encoding if number == 0 or encoding != "utf-8-sig" else "utf-8")
        except UnicodeDecodeError:
            yield Fault(not_in_encoding(encoding))


def _wide_lines(file: CorpusFile, encoding: str) -> Iterator[str | Fault]:
    """The lines of a file in UTF-16 or UTF-32, which ends where it cannot be decoded."""
    with open_bytes(file) as stream, io.TextIOWrapper(stream, encoding) as text:
        try:
            yield from text
        except UnicodeDecodeError:
            yield Fault(not_in_encoding(encoding))


def _csv_rows(file: CorpusFile, encoding: str) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), MOST_BYTES))
    number = 0
    try:
        with open_bytes(file) as stream:
            encoding = encoding_of(stream.read(4), encoding)
        errors = "strict" if is_wide(encoding) else "surrogateescape"
        with open_bytes(file) as stream, io.TextIOWrapper(stream, encoding, errors, newline="") as text:
            for row in _csv_cells(text, "\t" if ".tsv" in file.name.lower()[-7:] else "", encoding):
                number = row.number
                yield row
    except BROKEN_STREAM as error:
        yield Row(number + 1, fault=broken(error))
    except UnicodeDecodeError:
        yield Row(number + 1, fault=not_in_encoding(encoding))


def _csv_cells(text: io.TextIOWrapper, delimiter: str, encoding: str) -> Iterator[Row]:
    """The rows below a header, numbered by the line on which each ends."""
    header = text.readline(MOST_BYTES)
    reader = csv.reader(chain([header], text), delimiter=delimiter or _delimiter(header), strict=True)
    names: list[str] = []
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(reader.line_num, fault=f"not CSV: {error}")
            continue
        if not names:
            names = [clean(name) for name in cells]
        elif cells:
            yield _csv_row(reader.line_num, names, cells, encoding)


def _delimiter(header: str) -> str:
    """What separates the columns: the most frequent of the usual marks in the header.

    >>> _delimiter("id;title;text, long")
    ';'
    """
    return max(",;\t|", key=header.count)


def _csv_row(number: int, names: Sequence[str], cells: Sequence[str], encoding: str) -> Row:
    beginning = clean(",".join(cells)[:200])
    if len(cells) > len(names):
        return Row(number, fault=f"{len(cells)} cells where the header names {len(names)} columns", beginning=beginning)
    if any(not cell.isascii() and _UNDECODED.search(cell) for cell in cells):
        return Row(number, fault=not_in_encoding(encoding), beginning=beginning)
    return Row(number, dict(zip(names, cells, strict=False)))


def _parquet(file: CorpusFile, columns: Columns) -> Iterator[Record | Unreadable]:
    """The rows of a Parquet file, of which only the chosen columns are read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = choose(pq.read_schema(file.path).names, columns, file.name)
    except (pa.ArrowException, OSError) as error:
        yield Unreadable(Place(file.name), _not_parquet(error))
        return
    names = [name for name in (columns.text, columns.title, columns.doc_id, columns.language) if name]
    for row in _parquet_rows(file, list(dict.fromkeys(names))):
        yield _read(row, columns, file.name)


def _parquet_rows(file: CorpusFile, names: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of a Parquet file, of these columns or of all; a last one tells what cannot be read on."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(file.path) as table:
            for batch in table.iter_batches(batch_size=1024, columns=names):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, values)
    except (pa.ArrowException, OSError) as error:
        yield Row(number and number + 1, fault=_not_parquet(error))


def _not_parquet(error: Exception) -> str:
    return f"not Parquet: {str(error).splitlines()[0][:200]}"
