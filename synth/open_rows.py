"""Rows about whose documents something was asked: each is handed on when the last of its answers is there.

row 41ab with two negatives     asked as 41ab:0 and 41ab:1     ->  (the row, [the first answer, the second])
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from synth.types import Document, Example

T = TypeVar("T")


@dataclass(slots=True)
class _Open(Generic[T]):
    """A row whose answers are not all there."""

    row: Example
    waiting: int
    answers: dict[int, T] = field(default_factory=dict)


class OpenRows(Generic[T]):
    """The rows that are out, each with the answers that have come; `documents` says what is asked about a row."""

    def __init__(self, documents: Callable[[Example], Sequence[Document]]) -> None:
        self._documents = documents
        self._open: dict[str, _Open[T]] = {}
        self._passed: list[Example] = []

    def asked(self, rows: Iterable[Example]) -> Iterator[tuple[str, Example, Document]]:
        """What there is to ask about, with a name: that of the row and the number of the document."""
        for row in rows:
            documents = self._documents(row)
            if not documents:
                self._passed.append(row)
                continue
            self._open[row.id] = _Open(row, len(documents))
            for number, document in enumerate(documents):
                yield f"{row.id}:{number}", row, document

    def settle(self, name: str, answer: T) -> tuple[Example, list[T]] | None:
        """The row whose last answer this is, with all of them in the order of its documents; None while one is out."""
        row_id, _, number = name.rpartition(":")
        opened = self._open[row_id]
        opened.answers[int(number)] = answer
        opened.waiting -= 1
        if opened.waiting:
            return None
        del self._open[row_id]
        return opened.row, [opened.answers[each] for each in range(len(opened.answers))]

    def passed(self) -> Iterator[Example]:
        """The rows that there is nothing to ask about."""
        while self._passed:
            yield self._passed.pop()
