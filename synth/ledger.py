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
        self._kept_ids: set[str] = set()
        self._lock = threading.Lock()

    def enter(self, row: Example) -> None:
        """A row came in."""
        with self._lock:
            self.came_in += 1
            self._open.add(row.id)

    def settle(self, outcome: Example | Dropped) -> None:
        """A row went out or was dropped: close what it settles."""
        row = outcome.example if isinstance(outcome, Dropped) else outcome
        with self._lock:
            if isinstance(outcome, Dropped):
                self.dropped[outcome.reason] += 1
            else:
                self._keep(row)
            known = row.id in self._open
            self._open.discard(row.id)
            if self._is_filter and not known:
                raise RuntimeError(
                    f"step {self.step}: the filter gave row {row.id}, which it had not been given, or twice"
                )
            self._open.difference_update(row.parents)

    @property
    def waiting(self) -> int:
        """Rows that have no fate yet."""
        return len(self._open)

    def _keep(self, row: Example) -> None:
        if row.id in self._kept_ids:
            raise RuntimeError(f"step {self.step}: it kept row {row.id} twice")
        self._kept_ids.add(row.id)
        self.kept += 1

    def close(self) -> None:
        """Raise RuntimeError if a row has no fate: that is a bug of the step."""
        if self._open:
            some = ", ".join(sorted(self._open)[:3])
            raise RuntimeError(f"step {self.step}: {len(self._open)} rows came in and have no fate, such as {some}")
