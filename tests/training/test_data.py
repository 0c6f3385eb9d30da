"""Rows as texts to train on."""

import random

from synth.training.data import by_negatives, columns, drawn, pairs_of, shared_instruction
from synth.types import Document, Example


def row(number: int, negatives: int = 0, instruction: str = "") -> Example:
    return Example(
        id=f"r{number:03}",
        query=f"query {number}",
        instruction=instruction,
        positives=(
            Document(f"text {number}", f"d{number}", title="Title", parent_id=f"p{number // 2}"),
            Document("other"),
        ),
        negatives=tuple(Document(f"wrong {number} {i}") for i in range(negatives)),
    )


def test_a_row_is_its_query_its_first_positive_and_its_negatives() -> None:
    [pair] = pairs_of([row(3, negatives=2)])
    assert pair.query == "query 3"
    assert pair.positive == "Title\ntext 3"
    assert pair.negatives == ("wrong 3 0", "wrong 3 1")
    assert pair.family == "p1"


def test_rows_without_a_query_or_a_positive_are_passed_over() -> None:
    assert pairs_of([Example(id="a", query="q"), Example(id="b", positives=(Document("t"),))]) == []


def test_the_order_of_the_rows_changes_nothing() -> None:
    rows = [row(number) for number in range(50)]
    shuffled = random.Random(2).sample(rows, len(rows))
    assert pairs_of(shuffled) == pairs_of(rows)
    assert drawn(pairs_of(shuffled), 7, seed=1) == drawn(pairs_of(rows), 7, seed=1)


def test_a_row_s_instruction_stands_before_its_query_and_else_the_model_s_prompts_do() -> None:
    prompts = {"query": "query: ", "document": "passage: "}
    plain, told = pairs_of([row(1, negatives=1), row(2, instruction="Find the law: ")], prompts)
    assert (plain.query, plain.positive, plain.negatives) == (
        "query: query 1",
        "passage: Title\ntext 1",
        ("passage: wrong 1 0",),
    )
    assert told.query == "Find the law: query 2"


def test_rows_with_fewer_negatives_are_a_group_of_their_own_and_none_is_lost() -> None:
    pairs = pairs_of([row(number, negatives=number % 3) for number in range(9)])
    groups = by_negatives(pairs)
    assert {name: len(group) for name, group in groups.items()} == {
        "negatives_0": 3,
        "negatives_1": 3,
        "negatives_2": 3,
    }
    assert list(columns(groups["negatives_2"])) == ["query", "positive", "negative_1", "negative_2"]
    assert columns(groups["negatives_2"])["negative_2"] == ["wrong 2 1", "wrong 5 1", "wrong 8 1"]


def test_the_instruction_of_all_rows_is_the_model_s_own_prompt_only_where_they_agree() -> None:
    assert shared_instruction([row(1, instruction="a: "), row(2, instruction="a: ")]) == "a: "
    assert shared_instruction([row(1, instruction="a: "), row(2)]) == ""
    assert shared_instruction([]) == ""


def test_half_a_surrogate_pair_is_made_readable() -> None:
    [pair] = pairs_of([Example(id="a", query="bad \ud83d", positives=(Document("text \ude00"),))])
    assert (pair.query, pair.positive) == ("bad ?", "text ?")
