import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from synth.splits import validation_ids
from synth.types import Document, Example, row_id


def text_of(rng: random.Random, words: int = 30) -> str:
    return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(words))


def rows_of(parents: int, each: int = 3) -> list[Example]:
    """Rows of unlike texts, `each` cut from the same parent."""
    rng = random.Random(f"{parents} {each}")
    return [
        Example(
            id=row_id("extract", draw, str(parent)),
            query=text_of(rng, 6),
            positives=(Document(text_of(rng), f"d{parent}-{draw}", parent_id=f"d{parent}"),),
        )
        for parent in range(parents)
        for draw in range(each)
    ]


def test_siblings_stay_together_and_about_the_share_is_set_aside() -> None:
    rows = rows_of(400)
    held_out = validation_ids(rows, seed=1)
    split_of = {(row.positive.family, row.id in held_out) for row in rows}
    assert len(split_of) == 400
    assert 0.02 < len(held_out) / len(rows) < 0.09


def test_another_share_sets_aside_more() -> None:
    rows = rows_of(300, 1)
    assert validation_ids(rows, 1, share=0.05) < validation_ids(rows, 1, share=0.5)


def test_neither_order_nor_the_kind_of_iterable_changes_the_split() -> None:
    rows = rows_of(100)
    first = validation_ids(rows, seed=2)
    random.Random(0).shuffle(rows)
    assert validation_ids(iter(rows), seed=2) == first
    assert validation_ids(rows, seed=3) != first


def test_chains_of_near_duplicates_are_the_same_in_any_order() -> None:
    rng = random.Random(1)
    rows, chains = [], []
    for chain in range(60):
        words = text_of(rng, 40).split()
        for link in range(3):
            text = " ".join(words[3 * link : 34 + 3 * link])
            rows.append(Example(id=row_id("x", link, str(chain)), query=text, positives=(Document(text_of(rng)),)))
        chains.append([row.id for row in rows[-3:]])
    first = validation_ids(rows, share=0.4)
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        assert validation_ids(rows, share=0.4) == first
    assert all(len({name in first for name in names}) == 1 for names in chains)
    assert 0 < len(first) < len(rows)


def test_one_more_document_moves_no_other() -> None:
    rows = rows_of(200)
    more = Example(id="zz", query="new", positives=(Document("quite another text", "new"),))
    assert validation_ids([*rows, more], seed=1) - {"zz"} == validation_ids(rows, seed=1)


@pytest.mark.parametrize("number", range(5))
def test_a_near_duplicate_of_a_text_or_a_query_goes_where_it_goes(number: int) -> None:
    rows = rows_of(300, 1)
    held_out = validation_ids(rows, seed=number)
    twin = next(row for row in rows if row.id in held_out)
    alike = Document(twin.positive.text + " and more", "other", parent_id="other")
    by_text = Example(id="fa", query="something else altogether", positives=(alike,))
    by_query = Example(id="fb", query=f"{twin.query}?", positives=(Document("a text of its own"),))
    with_both = validation_ids([*rows, by_text, by_query], seed=number)
    assert len({row.id in with_both for row in (twin, by_text, by_query)}) == 1


def test_a_row_with_positives_of_two_parents_joins_them() -> None:
    rows = rows_of(60, 1)
    joined = [replace(left, positives=(*left.positives, *right.positives)) for left, right in pairwise(rows)]
    assert validation_ids(joined) == frozenset()


@pytest.mark.parametrize("seed", range(8))
def test_twenty_groups_always_give_one_to_validate_on(seed: int) -> None:
    held_out = validation_ids(rows_of(20), seed)
    assert 3 <= len(held_out) <= 12
    assert len(held_out) % 3 == 0


@pytest.mark.parametrize("rows", [[], rows_of(1), rows_of(19)], ids=["none", "one", "nineteen"])
def test_fewer_groups_give_none(rows: Sequence[Example]) -> None:
    assert validation_ids(rows) == frozenset()


def test_a_group_larger_than_the_share_stays_in_training() -> None:
    large = [replace(row, positives=(replace(row.positive, parent_id="large"),)) for row in rows_of(40)]
    rows = [*large, *(replace(row, id=f"z{row.id}") for row in rows_of(90, 1)[40:])]
    for seed in range(10):
        assert not validation_ids(rows, seed, share=0.5) & {row.id for row in large}


def test_rows_without_ids_texts_or_positives_are_no_group() -> None:
    rows = [Example(id=f"{number:x}", query="", positives=(Document(""),)) for number in range(30)]
    rows += [Example(id=f"n{number:x}", query=f"{number}" * 9) for number in range(30)]
    assert len(validation_ids(rows)) < 30


def test_the_texts_lie_in_the_folder_it_is_given_and_are_gone_afterwards(tmp_path: Path) -> None:
    rows = rows_of(40)
    assert validation_ids(rows, folder=tmp_path) == validation_ids(rows)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        validation_ids(rows, folder=tmp_path / "none")
