"""The objects of one JSON array as rows, one at a time: `[{"query": "…", "pos": ["…"]}, {"query": …}]`."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from synth.documents.files import (
    BROKEN_STREAM,
    MOST_BYTES,
    CorpusFile,
    broken,
    encoding_of,
    not_in_encoding,
    open_bytes,
)
from synth.documents.record import clean
from synth.documents.tables import Row

AT_ONCE = 2**20
"""Characters that are read together."""
_BETWEEN = re.compile(r"[\s,]*")


def is_array(file: CorpusFile) -> bool:
    """True for a file that begins as a JSON array does."""
    with open_bytes(file) as stream:
        return stream.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def array_rows(file: CorpusFile, encoding: str = "utf-8") -> Iterator[Row]:
    """The objects of the array in their order, numbered from 1; a last row tells what cannot be read on."""
    number = 0
    try:
        with open_bytes(file) as stream:
            encoding = encoding_of(stream.read(4), encoding)
        with open_bytes(file) as stream, io.TextIOWrapper(stream, encoding) as text:
            for row in _rows(text):
                number = row.number
                yield row
    except BROKEN_STREAM as error:
        yield Row(number + 1, fault=broken(error))
    except UnicodeDecodeError:
        yield Row(number + 1, fault=not_in_encoding(encoding))


def _rows(text: io.TextIOWrapper) -> Iterator[Row]:
    reader = _Reader(text)
    number = 0
    while True:
        number += 1
        try:
            value = reader.next_value()
        except StopIteration:
            return
        except (ValueError, RecursionError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise
            yield Row(number, fault=f"not JSON: {error}", beginning=reader.beginning)
            return
        if isinstance(value, dict):
            yield Row(number, value)
        else:
            shown = clean(json.dumps(value, ensure_ascii=False)[:200])
            yield Row(number, fault=f"found {type(value).__name__}, expected an object", beginning=shown)


class _Reader:
    """Reads the values of an array out of a window on its text."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self._decode = json.JSONDecoder().raw_decode
        self._window = text.read(AT_ONCE)
        self._place = self._window.index("[") + 1

    @property
    def beginning(self) -> str:
        """What stands where it could not be read on."""
        return clean(self._window[self._place : self._place + 200])

    def next_value(self) -> Any:
        """The next value. Raises StopIteration at the end of the array, ValueError for what is no JSON."""
        while True:
            self._place = _end_of(_BETWEEN.match(self._window, self._place), self._place)
            if self._window.startswith("]", self._place):
                raise StopIteration
            try:
                value, self._place = self._decode(self._window, self._place)
            except ValueError:
                if not self._more():
                    raise
            else:
                return value

    def _more(self) -> bool:
        """Read on, as much again as is waiting to be understood; False at the end, or where one value is too long."""
        waiting = self._window[self._place :]
        read = self._text.read(min(max(AT_ONCE, len(waiting)), MOST_BYTES - len(waiting)))
        self._window, self._place = waiting + read, 0
        return bool(read)


def _end_of(match: re.Match[str] | None, otherwise: int) -> int:
    return match.end() if match else otherwise
