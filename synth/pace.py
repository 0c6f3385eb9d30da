"""How many requests one server is sent at a time, and how many a minute: found out while it answers.

    16 in flight, 16 answers in 0.5 s     -> 32 in flight
    32 in flight, 32 answers in 0.5 s     -> 64 in flight        twice as fast: go on
    64 in flight, 64 answers in 1.0 s     -> no faster: stay, and feel the way up slowly from here
    429                                   -> 48 in flight, at most one step down a second

It starts with a few and doubles while that makes the server faster, then adds a little each round (additive increase,
multiplicative decrease: Chiu and Jain 1989, doi 10.1016/0169-7552(89)90019-6). A round is as many answers as there
are places. A round in which the places were never all taken says nothing and changes nothing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["answered", "busy", "failed"]

FASTER = 1.05
"""A doubling pays where it makes so many times more answers a second."""
MOST_FRUITLESS = 2
"""Doublings in a row that did not pay, after which it stops doubling."""
SHRINK = 0.75
"""What is left of the places after a step down."""
SLOWER, LATER = 0.5, 2.0
"""A step down without a refusal: fewer answers a second than this share of the best, each this many times later."""
STEP_DOWN_S = 1.0
"""Seconds between two steps down."""
SICK_AFTER = 3
"""Refusals or failures in a row after which a server is left alone for a while."""
LONGEST_REST_S = 60.0
PROBE_S = 0.5
"""Seconds after which a server that says nothing has taken the first request as it is."""


@dataclass(slots=True)
class Round:
    """As many answers as there are places: since when, how many, how late, and the most that were in flight at once."""

    began_s: float
    answers: int = 0
    most: int = 0
    latency_s: float = 0.0


@dataclass(slots=True)
class Pace:
    """The places of one server: `limit` at this moment, never above `most`; `in_flight` of them are taken."""

    most: int
    first: int = 16
    replaceable: bool = False
    """True where other servers do the same work: only then is a sick one left alone that does not ask for it."""
    clock: Callable[[], float] = time.monotonic
    in_flight: int = 0
    limit: int = 0
    probing: bool = True
    """At first one request alone is sent, since what it is refused for need not be refused many times. A server that
    has said nothing after a moment has taken it."""

    _ramping: bool = True
    _fruitless: int = 0
    _best: float = 0.0
    _soonest_s: float = 0.0
    _stepped_down_s: float = float("-inf")
    _probed_s: float = 0.0
    _in_a_row: int = 0
    _rests: int = 0
    _resting_until_s: float = float("-inf")
    _round: Round = field(default_factory=lambda: Round(0.0))

    def __post_init__(self) -> None:
        self.limit = min(self.first, self.most)
        self._round = Round(self.clock())

    @property
    def room(self) -> int:
        """How many requests may be sent now."""
        return self.limit - self.in_flight if self.rest_s <= 0 else 0

    @property
    def rest_s(self) -> float:
        """How many seconds the server is left alone from now on; 0 for one that may be asked."""
        until_s = self._resting_until_s
        if self.probing and self.in_flight:
            until_s = max(until_s, self._probed_s + PROBE_S)
        return max(0.0, until_s - self.clock()) if until_s > float("-inf") else 0.0

    def begin(self) -> None:
        """A request is sent."""
        if self.probing and not self.in_flight:
            self._probed_s = self.clock()
        self.in_flight += 1
        self._round.most = max(self._round.most, self.in_flight)

    def end(self, outcome: Outcome, latency_s: float, asked_s: float | None = None) -> None:
        """A request came back after `latency_s`; `asked_s` is how long the server asks to be left alone."""
        self.in_flight -= 1
        if outcome == "answered":
            self._well(latency_s)
            return
        self._in_a_row += 1
        if outcome == "busy":
            self._step_down()
        if self._in_a_row >= SICK_AFTER:
            self._in_a_row = 0
            if asked_s is not None or self.replaceable:
                rest_s = asked_s if asked_s is not None else min(2.0**self._rests, LONGEST_REST_S)
                self._resting_until_s = self.clock() + rest_s
                self._rests += 1

    def _well(self, latency_s: float) -> None:
        self._in_a_row = self._rests = 0
        if self.probing:
            self.probing = False
            self._round = Round(self.clock())
            return
        now = self._round
        now.answers += 1
        now.latency_s += latency_s
        if now.answers >= self.limit:
            self._round = Round(self.clock(), most=self.in_flight)
            if now.most >= self.limit:
                self._learn(now.answers / max(self._round.began_s - now.began_s, 1e-6), now.latency_s / now.answers)

    def _learn(self, rate: float, latency_s: float) -> None:
        """Draw the conclusion of a round in which all places were taken."""
        paid = rate > FASTER * self._best
        self._soonest_s = min(self._soonest_s or latency_s, latency_s)
        if self._ramping:
            self._fruitless = 0 if paid else self._fruitless + 1
            self._ramping = self._fruitless < MOST_FRUITLESS
        # Who begins with all there may be knows the server's number: only a refusal takes from it.
        worse = self.first < self.most and rate < SLOWER * self._best and latency_s > LATER * self._soonest_s
        self._best = max(rate, 0.98 * self._best)
        if worse:
            self._step_down()
        elif self._ramping:
            self.limit = min(2 * self.limit, self.most)
        else:
            self.limit = min(self.limit + max(1, self.limit // 16), self.most)

    def _step_down(self) -> None:
        now_s = self.clock()
        if now_s - self._stepped_down_s >= STEP_DOWN_S:
            self._stepped_down_s = now_s
            self._ramping = False
            self.limit = max(1, int(self.limit * SHRINK))


@dataclass(slots=True)
class Allowance:
    """So many units a minute, of which a few seconds' worth may be used at once."""

    a_minute: float
    clock: Callable[[], float] = time.monotonic
    burst_s: float = 2.0
    _left: float = 0.0
    _at_s: float = 0.0

    def __post_init__(self) -> None:
        self._left, self._at_s = self._most, self.clock()

    @property
    def _most(self) -> float:
        return max(self.a_minute * self.burst_s / 60, 1.0)

    def wait_s(self, units: float) -> float:
        """Seconds until so many units may be used; more than fit at once wait until all there are have gathered."""
        now_s = self.clock()
        self._left = min(self._left + (now_s - self._at_s) * self.a_minute / 60, self._most)
        self._at_s = now_s
        return max(0.0, (min(units, self._most) - self._left) * 60 / self.a_minute)

    def use(self, units: float) -> None:
        """Use them, or give some back where `units` is negative."""
        self._left -= units
