"""Walking along a sequence in pieces."""

from collections.abc import Iterable, Iterator


def pieces(values: Iterable[object], size: int) -> Iterator[list[object]]:
    """Cut a sequence into pieces of `size`, one after the other; the last one holds what is left over.

    No value is in two pieces. An empty sequence gives no piece.
    """
    piece: list[object] = []
    for value in values:
        piece.append(value)
        if len(piece) == size:
            yield piece
            piece = []
    if piece:
        yield piece


def windows(values: list[object], size: int) -> Iterator[list[object]]:
    """Give every run of `size` neighbours, each beginning one value after the one before.

    Each value but those at the ends is in several runs. A sequence shorter than `size` gives none.
    """
    for start in range(len(values) - size + 1):
        yield values[start : start + size]


def first_repeat(values: Iterable[object]) -> object | None:
    """Return the first value that was there before, or None where all are different.

    What counts is where it comes again and not where it stood first: of `a b b a` it is `b`. Values must be hashable.
    """
    seen: set[object] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
