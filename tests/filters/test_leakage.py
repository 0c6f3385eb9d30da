"""What leakage keeps and drops."""

import random
from itertools import combinations

import pytest
from pydantic import ValidationError

from synth.filters.leakage import Leakage, copied_run, in_order
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


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({}, ""),
        ({"most_run": 4}, ""),
        ({"most_run": 3}, "4 words of the query are copied in one run"),
        ({"most_rouge": 0.7}, ""),
        ({"most_rouge": 0.6}, "70% of the query's words stand there in order"),
        ({"most": 0.3}, "40% of the query is copied"),
    ],
)
def test_a_long_run_and_words_in_their_order_are_leaks_where_asked(options: dict[str, object], detail: str) -> None:
    query = "every summer the nile as they say leaves black mud"  # ten words: a run of four, seven in order
    row = Example(id="r", query=query, positives=(Document("x"), Document(NILE)))
    (outcome,) = Leakage.model_validate(options).run([row], Context())
    assert outcome == (Dropped(row, "leakage", detail) if detail else row)


def test_the_longest_common_sequence_is_that_of_all_subsets() -> None:
    dice = random.Random(3)
    for _ in range(200):
        query, text = dice.choices("abcd", k=7), dice.choices("abcd", k=9)
        common = (
            size
            for size in range(7, 0, -1)
            if {c for c in combinations(query, size)} & {c for c in combinations(text, size)}
        )
        assert in_order(query, text) == next(common, 0)


@pytest.mark.parametrize("options", [{"most": 1.1}, {"most_run": 0}, {"most_rouge": -1}, {"least_words": 0}])
def test_a_wrong_option_is_told(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Leakage.model_validate(options)
