"""Batches in which no two rows come from one document or share a text: each row is a negative of the others."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from sentence_transformers.base.sampler import DefaultBatchSampler

LOOK_AHEAD = 4
"""Batches' worth of rows that are passed over in search of one that fits; then the batch stays small."""


class FamilySampler(DefaultBatchSampler):
    """Fills each batch with rows of different families and different texts.

    A row that would meet its like waits for a later batch; where only its like is left, batches are smaller. A row
    left all alone has no negatives, teaches nothing and is passed over in that epoch.
    `families` tells the family of each (query, positive).
    """

    def __init__(self, dataset: Any, families: Mapping[tuple[str, str], str], **options: Any) -> None:
        super().__init__(dataset, **options)
        names = [name for name in dataset.column_names if name != "dataset_name"]
        texts = list(zip(*(dataset[name] for name in names), strict=True))
        number: dict[tuple[str, str], int] = {}
        self._marks = [
            {number.setdefault(("family", families[row[0], row[1]]), len(number))}
            | {number.setdefault(("text", text), len(number)) for text in row}
            for row in texts
        ]
        self._length = sum(1 for _ in self)

    def __iter__(self) -> Iterator[list[int]]:
        """Batches of row numbers, in another order each epoch."""
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        fresh = iter(torch.randperm(len(self._marks), generator=generator).tolist())
        waiting: deque[int] = deque()
        while batch := self._fill(waiting, fresh):
            if len(batch) > 1:
                yield batch

    def __len__(self) -> int:
        """Batches of the first epoch; a later one may have a few more or less."""
        return self._length

    def _fill(self, waiting: deque[int], fresh: Iterator[int]) -> list[int]:
        """The next batch: first of the rows that wait, then of those not yet seen. Empty at the end."""
        batch: list[int] = []
        taken: set[int] = set()
        passed: list[int] = []
        while len(batch) < self.batch_size and len(passed) <= LOOK_AHEAD * self.batch_size:
            row = waiting.popleft() if waiting else next(fresh, None)
            if row is None:
                break
            if taken.isdisjoint(self._marks[row]):
                taken |= self._marks[row]
                batch.append(row)
            else:
                passed.append(row)
        waiting.extendleft(reversed(passed))
        return batch
