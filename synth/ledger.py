"""The ledger of one step: what came in, what became of it, and that nothing is missing.

Filters: in = kept + dropped. Makers: each row that came in is kept, is a parent of something, or is dropped.
"""

import threading
from collections import Counter

from synth.types import Dropped, Example


class Ledger:
    """Counts one step's rows and knows which have no fate yet. Safe to use from several threads."""

    def __init__(self, step: str, *, is_filter: bool) -> None:
        self.step = step
        self.came_in = 0
        self.kept = 0
        self.dropped: Counter[str] = Counter()
        self._is_filter = is_filter
        self._open: set[str] = set()
        self._fates: dict[str, bool] = {}
        self._lock = threading.Lock()

    def enter(self, row_id: str) -> None:
        """A row came in."""
        with self._lock:
            self.came_in += 1
            self._open.add(row_id)

    def settle(self, outcome: Example | Dropped) -> None:
        """A row was kept or dropped: close what that settles. RuntimeError for a fate that cannot be: a step's bug."""
        row = outcome.example if isinstance(outcome, Dropped) else outcome
        with self._lock:
            given = row.id in self._open
            if self._is_filter and not given:
                raise RuntimeError(
                    f"step {self.step}: it gave row {row.id}, which it had not been given, or gave it twice"
                )
            if given:
                self._open.discard(row.id)
            else:
                self._open.difference_update(row.parents)
            self._note(row.id, outcome)

    @property
    def waiting(self) -> int:
        """Rows that have no fate yet."""
        return len(self._open)

    def _note(self, row_id: str, outcome: Example | Dropped) -> None:
        kept = not isinstance(outcome, Dropped)
        if row_id in self._fates and (kept or self._fates[row_id]):
            raise RuntimeError(f"step {self.step}: row {row_id} got two fates")
        self._fates[row_id] = kept
        if isinstance(outcome, Dropped):
            self.dropped[outcome.reason] += 1
        else:
            self.kept += 1

    def close(self) -> None:
        """Raise RuntimeError if a row has no fate: that is a bug of the step."""
        if self._open:
            some = ", ".join(sorted(self._open)[:3])
            raise RuntimeError(f"step {self.step}: {len(self._open)} rows came in and have no fate, such as {some}")
