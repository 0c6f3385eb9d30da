"""What leakage keeps and drops."""

import pytest

from synth.filters.leakage import Leakage, copied_run
from synth.stage import Context
from synth.types import Document, Dropped, Example

NILE = "Every summer the Nile floods the fields of Egypt, and leaves black mud behind."


@pytest.mark.parametrize(
    ("query", "positive", "detail"),
    [
        ("the nile floods the fields of egypt", NILE, "100% of the query is copied"),
        ("“The Nile floods: the fields of Egypt…”", NILE, "100% of the query is copied"),
        ("how the nile floods the fields of egypt today", NILE, ""),
        ("does the nile floods the fields of egypt", NILE, "88% of the query is copied"),
        ("egypt of fields the floods nile the", NILE, ""),
        ("Nile floods", NILE, ""),
        ("尼罗河每年夏天泛滥", "据说尼罗河每年夏天泛滥。", "100% of the query is copied"),
        ("尼罗河什么时候会泛滥", "据说尼罗河每年夏天泛滥。", ""),
        ("", NILE, ""),
        ("the nile floods the fields of egypt", "", ""),
    ],
)
def test_queries_copied_in_one_run_are_dropped(query: str, positive: str, detail: str) -> None:
    row = Example(id="r", query=query, positives=(Document(positive),))
    (outcome,) = Leakage().run([row], Context())
    assert outcome == (Dropped(row, "leakage", detail) if detail else row)


def test_the_title_and_every_positive_count() -> None:
    titled = Example(
        id="r", query="a tale of two big old cities", positives=(Document("x", title="A tale of two big old cities"),)
    )
    second = Example(id="s", query="every summer the nile floods the", positives=(Document("x"), Document(NILE)))
    assert [type(o) for o in Leakage().run([titled, second], Context())] == [Dropped, Dropped]


def test_a_row_without_positives_passes() -> None:
    row = Example(id="r", query="the nile floods the fields of egypt")
    assert list(Leakage().run([row], Context())) == [row]


def test_what_was_left_in_on_purpose_is_left_alone_unless_told_otherwise() -> None:
    assert Leakage.default_where == {"without_tag": "left_in"}


@pytest.mark.parametrize(
    ("query", "text", "run"), [("a b c", "x a b c y", 3), ("a b c", "a b x b c", 2), ("a", "b", 0), ("a a a", "a a", 2)]
)
def test_the_longest_run_is_found(query: str, text: str, run: int) -> None:
    assert copied_run(query.split(), text.split()) == run
