"""Batches in which no two rows are each other's false negative."""

from collections import Counter
from typing import Any

import pytest

pytest.importorskip("torch")

from datasets import Dataset

from synth.training.sampler import FamilySampler


def sampler(rows: list[tuple[str, str, str]], batch_size: int = 8, **more: Any) -> FamilySampler:
    """A sampler over rows of (query, positive, family)."""
    columns = {"query": [row[0] for row in rows], "positive": [row[1] for row in rows]}
    families = {(query, positive): family for query, positive, family in rows}
    return FamilySampler(Dataset.from_dict(columns), families, batch_size=batch_size, drop_last=False, seed=3, **more)


def test_no_batch_holds_two_rows_of_one_family_or_two_equal_texts() -> None:
    rows = [(f"q{i % 90}", f"text {i}", f"f{i % 40}") for i in range(200)]
    batches = list(sampler(rows))
    assert len(batches) > 20
    for batch in batches:
        assert len({rows[i][2] for i in batch}) == len(batch)
        assert len({text for i in batch for text in rows[i][:2]}) == 2 * len(batch)


def test_every_row_comes_once_an_epoch_where_families_are_even() -> None:
    rows = [(f"q{i}", f"text {i}", f"f{i % 40}") for i in range(200)]
    assert Counter(i for batch in sampler(rows) for i in batch) == Counter(range(200))


def test_a_document_that_is_one_row_s_negative_is_not_in_the_batch_of_its_own_row() -> None:
    columns = {
        "query": [f"q{i}" for i in range(40)],
        "positive": [f"text {i}" for i in range(40)],
        "negative_1": [f"text {(i + 1) % 40}" for i in range(40)],
    }
    families = {(f"q{i}", f"text {i}"): f"f{i}" for i in range(40)}
    for batch in FamilySampler(Dataset.from_dict(columns), families, batch_size=10, drop_last=False, seed=1):
        assert all((i + 1) % 40 not in batch for i in batch)


def test_epochs_differ_and_a_seed_repeats_them() -> None:
    rows = [(f"q{i}", f"text {i}", f"f{i}") for i in range(64)]
    one, two = sampler(rows), sampler(rows)
    assert list(one) == list(two)
    assert len(one) == len(list(one)) == 8
    two.set_epoch(1)
    assert list(one) != list(two)


def test_rows_of_one_family_alone_make_no_batch() -> None:
    assert list(sampler([(f"q{i}", f"text {i}", "one") for i in range(20)])) == []


def test_few_families_with_many_rows_end_in_small_batches_and_soon() -> None:
    rows = [(f"q{i}", f"text {i}", f"f{i % 3}") for i in range(6000)]
    batches = list(sampler(rows, batch_size=64))
    assert {len(batch) for batch in batches} <= {2, 3}
    assert sum(map(len, batches)) >= 5900
