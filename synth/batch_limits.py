"""How much is put into one batch and how many are out, and how that shrinks where a server's queue is full.

20 batches of 50,000   -> "Enqueued token limit reached", 3 are out   -> 3 at once, one more after each that ends
1 batch of 50,000      -> the same, none is out                       -> 25,000 after a wait, 12,500 after a longer
"""

import time
from dataclasses import dataclass

from synth.errors import BackendError

PATIENCE = 20
"""Looks in a row that may fail before a run gives up waiting."""

LONGEST_HOLD_S = 600.0
"""The longest wait between two tries to get into a queue that is full."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much goes into one file and how many are out, how often a request is put into one, and how long is waited."""

    requests: int = 50_000
    bytes: int = 200_000_000
    batches: int = 20
    tries: int = 3
    window: str = "24h"
    poll_s: float = 30.0
    deadline_s: float | None = None


class Queue:
    """How many batches the server takes at once, and how large: less after it has said that its queue is full."""

    def __init__(self, limits: Limits) -> None:
        self.most_requests = limits.requests
        self._limits = limits
        self._most_batches = limits.batches
        self._until_s = float("-inf")
        self._refusals = 0

    def has_room(self, out: int) -> bool:
        """True where another batch may be asked for."""
        return out < self._most_batches and time.monotonic() >= self._until_s

    def full(self, out: int, requests: int, said: str) -> None:
        """A batch found no room: fewer at once; where it was alone, a smaller one after a wait.

        Raises BackendError, which tells what was `said`, after PATIENCE refusals in a row.
        """
        self._refusals += 1
        if self._refusals > PATIENCE:
            raise BackendError(f"{said}; nothing is lost: run the same command again later")
        self._most_batches = max(1, out)
        if not out:
            self.most_requests = max(1, requests // 2)
            hold_s = min(self._limits.poll_s * 2 ** (self._refusals - 1), LONGEST_HOLD_S)
            self._until_s = time.monotonic() + hold_s

    def moved(self) -> None:
        """A batch was run: there is room for one more."""
        self._refusals = 0
        self._most_batches = min(self._most_batches + 1, self._limits.batches)
