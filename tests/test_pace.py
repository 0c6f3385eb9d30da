"""How many requests are in flight, by how a simulated server answers; the clock is the test's."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from synth.pace import PROBE_S, SICK_AFTER, Allowance, Pace


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Simulated:
    """A server that takes `latency_s(in flight)`; requests never run out. `limits` is the limit after each answer."""

    pace: Pace
    clock: Clock
    latency_s: Callable[[int], float]
    limits: list[int] = field(default_factory=list)
    flying: list[tuple[float, int, float]] = field(default_factory=list)
    number: int = 0

    def until(self, end_s: float) -> int:
        """Answers by then."""
        answers = 0
        while self.clock.now_s < end_s:
            while self.pace.room > 0:
                self.pace.begin()
                took = self.latency_s(self.pace.in_flight)
                heapq.heappush(self.flying, (self.clock.now_s + took, self.number, took))
                self.number += 1
            at, _, took = heapq.heappop(self.flying)
            self.clock.now_s = at
            self.pace.end("answered", took)
            self.limits.append(self.pace.limit)
            answers += 1
        return answers


def test_it_doubles_while_the_server_gets_faster_and_reaches_the_most_there_may_be() -> None:
    clock = Clock()
    served = Simulated(Pace(256, clock=clock), clock, lambda busy: 0.5)
    served.until(4)
    assert served.pace.limit == 256
    assert [limit for limit in (16, 32, 64, 128, 256) if limit in served.limits] == [16, 32, 64, 128, 256]


def test_it_stops_doubling_where_more_in_flight_bring_no_more_answers() -> None:
    clock = Clock()
    # A server with 40 places: beyond them everybody waits.
    served = Simulated(Pace(1000, clock=clock), clock, lambda busy: 0.2 * max(1.0, busy / 40))
    served.until(10)
    assert 40 <= served.pace.limit < 500


def test_it_never_sends_more_than_it_may() -> None:
    clock = Clock()
    served = Simulated(Pace(24, clock=clock), clock, lambda busy: 0.1)
    served.until(20)
    assert max(served.limits) == 24


def test_the_first_request_goes_alone_until_it_is_answered_or_taken() -> None:
    clock = Clock()
    pace = Pace(64, clock=clock)
    pace.begin()
    assert pace.room == 0
    clock.now_s += PROBE_S + 0.01
    assert pace.room == 15, "a server that says nothing has taken it"
    pace.end("answered", 1.0)
    assert pace.room == 16


def test_a_server_that_has_too_much_is_sent_less_at_most_once_a_second() -> None:
    clock = Clock()
    served = Simulated(Pace(256, clock=clock), clock, lambda busy: 0.1)
    served.until(3)
    limit = served.pace.limit
    for _ in range(10):
        served.pace.begin()
        served.pace.end("busy", 0.01)
        served.pace.begin()
        served.pace.end("answered", 0.01)
    assert 0.7 * limit <= served.pace.limit <= 0.8 * limit + 10
    once = served.pace.limit
    clock.now_s += 1.01
    served.pace.begin()
    served.pace.end("busy", 0.01)
    assert served.pace.limit <= 0.8 * once


def test_one_refusal_among_many_answers_does_not_stop_the_others() -> None:
    pace = Pace(64, clock=Clock())
    for outcome in ("answered", "busy", "answered", "failed", "failed", "answered"):
        pace.begin()
        pace.end(outcome, 0.1, 30.0)  # type: ignore[arg-type]  # one of the three
    assert pace.rest_s == 0


@pytest.mark.parametrize(("asked_s", "rest_s"), [(30.0, 30.0), (None, 1.0)])
def test_a_server_that_fails_again_and_again_is_left_alone(asked_s: float | None, rest_s: float) -> None:
    clock = Clock()
    pace = Pace(64, replaceable=True, clock=clock)
    for _ in range(SICK_AFTER):
        pace.begin()
        pace.end("failed", 0.1, asked_s)
    assert (pace.rest_s, pace.room) == (rest_s, 0)
    clock.now_s += rest_s + 0.001
    assert pace.room > 0


def test_a_slow_server_that_grows_slower_is_sent_less() -> None:
    clock = Clock()
    slow = [1.0]
    served = Simulated(Pace(128, clock=clock), clock, lambda busy: 0.1 * slow[0])
    served.until(5)
    before = served.pace.limit
    slow[0] = 8.0
    served.until(30)
    assert served.pace.limit < before


def test_an_allowance_lets_so_many_through_a_minute() -> None:
    clock = Clock()
    allowance = Allowance(120, clock=clock)
    sent = 0
    while clock.now_s < 60:
        wait_s = allowance.wait_s(1)
        if wait_s > 0:
            clock.now_s += wait_s
            continue
        allowance.use(1)
        sent += 1
    assert 118 <= sent <= 126


def test_more_than_fits_at_once_waits_for_a_full_allowance() -> None:
    clock = Clock()
    allowance = Allowance(600, clock=clock, burst_s=2)
    allowance.use(20)
    assert allowance.wait_s(1000) == pytest.approx(2.0)
