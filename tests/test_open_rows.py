"""Rows that are out: handed on when their last answer is there, whatever the order of the answers."""

from synth.open_rows import OpenRows
from synth.types import Document, Example


def row(name: str, *texts: str) -> Example:
    return Example(id=name, query="q", negatives=tuple(map(Document, texts)))


def test_answers_come_in_any_order_and_go_to_their_own_documents() -> None:
    rows = [row("a", "a0", "a1", "a2"), row("b:1", "b0"), row("c"), row("d", "d0", "d1")]
    out: OpenRows[str] = OpenRows(lambda each: each.negatives)
    asked = {name: document.text for name, _, document in out.asked(rows)}
    assert list(out.passed()) == [rows[2]]
    assert list(out.passed()) == []
    found = [out.settle(name, asked[name].upper()) for name in reversed(asked)]
    assert [each for each in found if each] == [
        (rows[3], ["D0", "D1"]),
        (rows[1], ["B0"]),
        (rows[0], ["A0", "A1", "A2"]),
    ]
    assert found.count(None) == 3
