"""What length keeps and drops."""

import pytest
from pydantic import ValidationError

from synth.filters.length import Length
from synth.stage import Context
from synth.types import Document, Dropped, Example

BOUNDS = {"least_query": 2, "most_query": 4, "least_positive": 3, "most_positive": 6}


@pytest.mark.parametrize(
    ("query", "positive", "detail"),
    [
        ("two words", "one two three", ""),
        ("one two three four", "1 2 3 4 5 6", ""),
        ("short", "one two three", "the query has 1 words, fewer than 2"),
        ("a b c d e", "one two three", "the query has 5 words, more than 4"),
        ("two words", "too short", "the positive has 2 words, fewer than 3"),
        ("two words", "1 2 3 4 5 6 7", "the positive has 7 words, more than 6"),
        ("今天天气", "今天天气很好", ""),
        ("今天天气很", "今天天气很好", "the query has 5 words, more than 4"),
        ("", "one two three", ""),
        ("", "short", "the positive has 1 words, fewer than 3"),
        ("   ", "one two three", "the query has 0 words, fewer than 2"),
    ],
)
def test_rows_outside_the_bounds_are_dropped_and_say_why(query: str, positive: str, detail: str) -> None:
    row = Example(id="r", query=query, positives=(Document(positive),))
    (outcome,) = Length(**BOUNDS).run([row], Context())
    assert outcome == (Dropped(row, "length", detail) if detail else row)


def test_every_positive_is_measured() -> None:
    row = Example(id="r", query="two words", positives=(Document("one two three"), Document("x")))
    (outcome,) = Length(**BOUNDS).run([row], Context())
    assert isinstance(outcome, Dropped)


def test_a_row_without_positives_is_held_to_the_bounds_of_queries() -> None:
    rows = [Example(id="r", query="two words"), Example(id="s", query="x")]
    kept, dropped = Length(**BOUNDS).run(rows, Context())
    assert kept == rows[0]
    assert isinstance(dropped, Dropped)


def test_bounds_that_cross_are_refused() -> None:
    with pytest.raises(ValidationError, match="least_query must be at most most_query, which is 3, not 5"):
        Length(least_query=5, most_query=3)
