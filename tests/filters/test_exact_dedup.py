"""What exact_dedup keeps and drops."""

import random
from dataclasses import replace

import pytest

from synth.filters.exact_dedup import ExactDedup
from synth.stage import Context, RowList
from synth.types import Document, Dropped, Example


def row(born: str, query: str, positive: str = "text", task: str = "retrieval") -> Example:
    return Example(id=born, query=query, positives=(Document(positive),), task=task)


def fates(rows: list[Example], field: str = "query") -> dict[str, str]:
    """The detail of each dropped row, by its id."""
    outcomes = ExactDedup(field=field).run(RowList(rows), Context())
    return {o.example.id: o.detail for o in outcomes if isinstance(o, Dropped) and o.reason == "exact_duplicate"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("When does the Nile flood?", "when does  the nile flood", True),
        ("“When?” she asked…", "when she asked", True),
        ("Ｗｉｄｅ letters", "wide letters", True),
        ("Straße", "STRASSE", True),
        ("re\u00adtrieval", "retrieval", True),
        ("今天天气很好。", "今天天气很好", True),
        ("sort in C++", "sort in C#", False),
        ("sort in C++", "sort in C", False),
        ("5 %", "5", False),
        ("3.5", "35", False),
        ("???", "!!!", False),
        ("???", "???", True),
        ("🙂", "🙃", False),
        ("कमल", "कामल", False),
        ("ไม", "ไม้", False),
        ("résumé", "resume", False),
        ("\ud800", "\ud801", False),
    ],
)
def test_queries_are_the_same_but_for_case_spaces_and_punctuation(one: str, other: str, same: bool) -> None:
    assert fates([row("a", one), row("b", other)]) == ({"b": "the same as a"} if same else {})


def test_the_smallest_id_stays_in_any_order() -> None:
    rows = [row(f"{n:02}", f"query {n % 7}") for n in range(40)]
    expected = {f"{n:02}": f"the same as {n % 7:02}" for n in range(7, 40)}
    for seed in range(5):
        shuffled = random.Random(seed).sample(rows, len(rows))
        assert fates(shuffled) == expected


def test_the_field_says_what_may_not_repeat() -> None:
    rows = [row("a", "q", "one"), row("b", "q", "two"), row("c", "p", "two"), row("d", "Q", "One!")]
    assert set(fates(rows, "query")) == {"b", "d"}
    assert set(fates(rows, "positive")) == {"c", "d"}
    assert set(fates(rows, "pair")) == {"d"}


def test_a_query_may_stand_once_in_each_task() -> None:
    assert fates([row("a", "q"), row("b", "q", task="sts")]) == {}


def test_rows_without_the_field_pass() -> None:
    fresh = [row("a", ""), row("b", ""), row("c", " \n")]
    assert fates(fresh) == {}
    bare = [replace(each, positives=()) for each in fresh]
    assert fates(bare, "positive") == {}
    assert fates(fresh, "pair") == {}
