"""What near_dedup keeps and drops."""

import random

import pytest
from pydantic import ValidationError

from synth.filters.near_dedup import NearDedup
from synth.stage import Context, RowList
from synth.types import Document, Dropped, Example


def row(born: str, query: str, positive: str = "text") -> Example:
    return Example(id=born, query=query, positives=(Document(positive),))


def fates(rows: list[Example], **options: object) -> dict[str, str]:
    """The detail of each dropped row, by its id."""
    outcomes = list(NearDedup.model_validate(options).run(RowList(rows), Context()))
    assert len(outcomes) == len(rows)
    return {o.example.id: o.detail for o in outcomes if isinstance(o, Dropped) and o.reason == "near_duplicate"}


@pytest.mark.parametrize(
    ("one", "other", "detail"),
    [
        ("when does the river nile flood", "When does the river Nile flood its banks?", "74% of a"),
        ("when does the river nile flood", "When does the river Nile flood?!", "100% of a"),
        ("when does the river nile flood", "why did the museum close in june", ""),
        ("尼罗河每年夏天什么时候泛滥", "尼罗河每年夏天什么时候会泛滥", "79% of a"),
        ("แม่น้ำไนล์ท่วมเมื่อไหร่ในฤดูร้อน", "แม่น้ำไนล์ท่วมเมื่อไหร่ในฤดูหนาว", "73% of a"),
        ("nile", "Nile!", "100% of a"),
        ("nile", "nine", ""),
        ("a", "b", ""),
        ("", "", ""),
        ("?", "!", ""),
        ("🙂", "🙂", "100% of a"),
    ],
)
def test_queries_that_share_most_of_their_letters_are_duplicates(one: str, other: str, detail: str) -> None:
    assert fates([row("a", one), row("b", other)], threshold=0.7) == ({"b": detail} if detail else {})


def planted() -> list[Example]:
    """Three hundred rows, each third one a near copy of the one before, in words of no language."""
    dice = random.Random(5)
    words = ["".join(dice.choices("abcdefghijklmnop", k=dice.randint(3, 9))) for _ in range(4000)]
    rows: list[Example] = []
    for n in range(300):
        text = dice.sample(words, 40)
        if n % 3 == 2:
            text = [*rows[-1].positive.text.split()[:-1], "changed"]
        rows.append(row(f"{n:03}", " ".join(text[:3]), " ".join(text)))
    return rows


def test_planted_near_copies_are_found_and_nothing_else_in_any_order() -> None:
    rows = planted()
    first = fates(rows, field="positive")
    assert set(first) == {f"{n:03}" for n in range(2, 300, 3)}
    assert all(detail.endswith(f"of {int(born) - 1:03}") for born, detail in first.items())
    for seed in range(3):
        assert fates(random.Random(seed).sample(rows, len(rows)), field="positive") == first


def test_a_row_is_never_a_duplicate_of_a_dropped_one() -> None:
    chain = ["abcdefghijklmnopqrstuvwxyz"[start : start + 20] for start in range(0, 6, 2)]
    assert fates([row(str(n), text) for n, text in enumerate(chain)], threshold=0.6) == {"1": "65% of 0"}


def test_counterfactuals_are_left_alone_unless_told_otherwise() -> None:
    assert NearDedup.default_where == {"without_tag": "counterfactual"}


@pytest.mark.parametrize("option", [{"threshold": 0}, {"threshold": 1.1}, {"num_perm": 4}, {"field": "title"}])
def test_options_out_of_bounds_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NearDedup.model_validate(option)


def test_the_highest_and_lowest_thresholds_work() -> None:
    rows = [row("a", "the nile floods"), row("b", "the nile flood"), row("c", "The Nile floods!")]
    assert set(fates(rows, threshold=1)) == {"c"}
    assert set(fates(rows, threshold=0.1)) == {"b", "c"}
