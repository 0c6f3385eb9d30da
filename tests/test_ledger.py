"""A row has exactly one fate; what says otherwise is a bug that raises."""

import pytest

from synth.ledger import Ledger
from synth.types import Dropped, Example


def row(row_id: str, *parents: str) -> Example:
    return Example(id=row_id, meta={"parents": list(parents)})


def ledger(*ids: str, is_filter: bool = False) -> Ledger:
    opened = Ledger("step", is_filter=is_filter)
    for row_id in ids:
        opened.enter(row_id)
    return opened


def test_a_child_settles_its_parents() -> None:
    book = ledger("a", "b")
    book.settle(row("c", "a", "b"))
    book.close()
    assert (book.came_in, book.kept) == (2, 1)


def test_a_row_that_came_in_settles_only_itself() -> None:
    book = ledger("parent", "child", is_filter=True)
    book.settle(row("child", "parent"))
    with pytest.raises(RuntimeError, match="1 rows came in and have no fate, such as parent"):
        book.close()


@pytest.mark.parametrize(
    "fates",
    [
        [row("a"), row("a")],
        [row("a"), Dropped(row("a"), "why")],
        [Dropped(row("a"), "why"), row("a")],
    ],
)
@pytest.mark.parametrize("is_filter", [True, False])
def test_two_fates_are_one_too_many(fates: list[Example | Dropped], is_filter: bool) -> None:
    book = ledger("a", is_filter=is_filter)
    book.settle(fates[0])
    with pytest.raises(RuntimeError, match="row a"):
        book.settle(fates[1])


def test_a_filter_makes_nothing_new() -> None:
    with pytest.raises(RuntimeError, match="had not been given"):
        ledger("a", is_filter=True).settle(row("b", "a"))


def test_drops_are_counted_by_reason() -> None:
    book = ledger("a", "b", "c", is_filter=True)
    for row_id, reason in (("a", "leakage"), ("b", "leakage"), ("c", "length")):
        book.settle(Dropped(row(row_id), reason))
    book.close()
    assert dict(book.dropped) == {"leakage": 2, "length": 1}
