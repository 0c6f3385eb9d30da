"""A budget is never passed, whatever replies take and however many threads ask; it tells how far it goes."""

import hashlib
import json
import threading
import time

import pytest

from synth.backend import Completion, Message, Price, Request, Sampling
from synth.budget import Budget, Caps, Reservation
from synth.errors import BudgetSpent
from synth.estimate import Asked, Forecast
from synth.replies import Spent


def request(text: str = "x" * 68, most_tokens: int = 100) -> Request:
    """One message of so many bytes: with the marks around it 100, if nothing is said."""
    return Request(id="a", messages=(Message("user", text),), sampling=Sampling(most_tokens=most_tokens))


def reply(prompt_tokens: int = 10, completion_tokens: int = 10, **more: object) -> Completion:
    return Completion(
        request=request(),
        text="…",
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        **more,  # type: ignore[arg-type]
    )


def reserved(budget: Budget, price: Price | None = None, gpus: int = 0, engine: int = 0) -> Reservation:
    """Room for a request, which there must be."""
    reservation = budget.reserve(request(), price, gpus, wait=False, engine=engine)
    assert reservation is not None
    return reservation


def no_room(budget: Budget, price: Price | None = None) -> bool:
    return budget.reserve(request(), price, 0, wait=False) is None


def test_the_most_that_a_request_can_take_is_set_aside_and_the_rest_given_back() -> None:
    budget = Budget(Caps(tokens=500))
    first, second = reserved(budget), reserved(budget)
    assert budget.reserved.tokens == 2 * (100 + 1 + 100)
    assert no_room(budget)
    budget.settle(first, reply())
    assert budget.spent.tokens == 20
    third = reserved(budget)
    budget.settle(second, reply(90, 100))
    budget.release(third)
    assert (budget.spent.tokens, budget.reserved, budget.in_flight) == (210, Spent(), 0)


def test_dollars_are_reserved_and_spent_at_the_models_price() -> None:
    price = Price(prompt=1e4, completion=2e4, cached=1e3)
    budget = Budget(Caps(usd=7.0))
    first, second = reserved(budget, price), reserved(budget, price)
    assert first.most.usd == pytest.approx(1.01 + 2.0)
    assert no_room(budget, price)
    budget.settle(first, reply(20, 10, cached_tokens=10))
    assert budget.spent.usd == pytest.approx(0.1 + 0.01 + 0.2)
    budget.settle(second, reply(20, 10))
    assert budget.spent.usd == pytest.approx(0.31 + 0.4)


def test_as_many_requests_are_answered_as_are_allowed_and_failed_ones_do_not_count() -> None:
    budget = Budget(Caps(requests=2))
    first, second = reserved(budget), reserved(budget)
    assert no_room(budget)
    budget.settle(first, reply(0, 0, error="500: broken"))
    budget.settle(second, reply())
    assert budget.spent.requests == 1
    budget.settle(reserved(budget), reply())
    assert no_room(budget)


def test_what_was_spent_before_a_resume_counts() -> None:
    budget = Budget(Caps(tokens=1000))
    budget.spent += Spent(5, 700, 100)
    assert no_room(budget)
    with pytest.raises(BudgetSpent, match=r"5 requests, 800 tokens so far"):
        budget.check_room()


def test_without_caps_everything_is_allowed_and_counted() -> None:
    budget = Budget()
    for _ in range(3):
        budget.settle(reserved(budget, Price(prompt=1e6)), reply(10, 10))
    assert (budget.spent.requests, budget.spent.tokens, budget.spent.usd) == (3, 60, 30.0)


def test_a_server_that_counts_more_than_can_be_is_reserved_more_for() -> None:
    budget = Budget(Caps(tokens=100_000))
    budget.settle(reserved(budget), reply(400, 100))
    later = reserved(budget)
    assert later.most.prompt_tokens == 1.25 * 400 + 1
    budget.settle(later, reply(50, 1000))
    assert reserved(budget).most.completion_tokens == 1250


def test_a_server_that_counts_nothing_is_charged_what_was_set_aside() -> None:
    budget = Budget(Caps(tokens=500))
    budget.settle(reserved(budget), reply(0, 0))
    assert budget.spent.tokens == 201
    budget.settle(reserved(budget), reply(0, 0))
    assert no_room(budget)


def test_a_schema_is_reserved_for_since_some_servers_read_it_out() -> None:
    budget = Budget(Caps(tokens=10_000))
    schema = {"type": "object", "properties": {"query": {"type": "string"}}}
    asked = Request(id="a", messages=(Message("user", "x" * 68),), schema=schema)
    reservation = budget.reserve(asked, None, 0, wait=False)
    assert reservation is not None
    assert reservation.most.prompt_tokens == 100 + len(json.dumps(schema)) + 1


def test_a_thread_that_waits_for_room_gets_it_when_another_request_is_answered() -> None:
    budget = Budget(Caps(tokens=250))
    first = reserved(budget)
    got: list[Reservation | None] = []
    waiting = threading.Thread(target=lambda: got.append(budget.reserve(request(), None, 0, wait=True)))
    waiting.start()
    budget.settle(first, reply())
    waiting.join(10)
    assert got[0] is not None
    assert budget.in_flight == 1


def test_a_thread_that_waits_for_room_is_told_when_there_will_be_none() -> None:
    budget = Budget(Caps(tokens=250))
    first = reserved(budget)
    got: list[Reservation | None] = []
    waiting = threading.Thread(target=lambda: got.append(budget.reserve(request(), None, 0, wait=True)))
    waiting.start()
    budget.settle(first, reply(100, 100))
    waiting.join(10)
    assert got == [None]
    assert budget.ended


def test_nobody_is_given_room_once_the_run_ends_for_want_of_it() -> None:
    budget = Budget(Caps(tokens=150))
    assert no_room(budget)
    with pytest.raises(BudgetSpent):
        budget.check_room()
    small = Request(id="b", messages=(Message("user", "x"),), sampling=Sampling(most_tokens=1))
    assert budget.reserve(small, None, 0, wait=True) is None


def test_many_threads_together_never_pass_a_cap() -> None:
    budget = Budget(Caps(tokens=20_000))
    passed: list[int] = []

    def ask(seed: int) -> None:
        for number in range(200):
            reservation = budget.reserve(request(), None, 0, wait=True)
            if reservation is None:
                return
            took = int.from_bytes(hashlib.blake2b(b"%d %d" % (seed, number), digest_size=2).digest(), "big")
            budget.settle(reservation, reply(took % 100, took % 91 + 10))
            passed.append(budget.spent.tokens)

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert 20_000 - 201 < max(passed) <= 20_000
    assert (budget.in_flight, budget.reserved) == (0, Spent())


def test_accelerators_are_paid_for_while_something_is_in_flight_at_each_engine_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    budget = Budget(Caps(gpu_minutes=10))
    first, second = reserved(budget, gpus=2, engine=1), reserved(budget, gpus=2, engine=1)
    now[0] += 10
    third = reserved(budget, gpus=1, engine=2)
    now[0] += 10
    assert budget.settle(first, reply(latency_s=20)).gpu_s == 2 * 20 + 10
    budget.settle(second, reply(latency_s=20))
    now[0] += 10
    budget.settle(third, reply(latency_s=20))
    now[0] += 1000
    assert budget.spent.gpu_s == 2 * 20 + 20
    assert third.gpus == 1


def test_minutes_of_accelerators_end_a_run_before_they_are_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    budget = Budget(Caps(gpu_minutes=1))
    for _ in range(2):
        one = reserved(budget, gpus=1, engine=7)
        now[0] += 25
        budget.settle(one, reply(latency_s=25))
    assert budget.spent.gpu_s == 50
    assert budget.reserve(request(), None, 1, wait=False, engine=7) is None
    assert "0.8 GPU minutes" in budget.told()


def forecast(requests: int = 200) -> Forecast:
    """What a run asks of requests of 100 bytes with 100 tokens of reply at most, at a dollar for a token."""
    return Forecast((Asked("generate", requests, 100 * requests, 100 * requests, Price(prompt=1e6, completion=1e6)),))


def test_after_the_first_replies_it_is_told_once_what_the_whole_takes() -> None:
    said: list[str] = []
    budget = Budget(Caps(tokens=2_000), expected=forecast(), say=said.append)
    for number in range(40):
        budget.settle(reserved(budget), reply(10, 20))
        assert len(said) == (number >= 19)
    [line] = said
    assert line == (
        "the whole run takes up to about 200 requests, 6,000 tokens; the budget of 2,000 tokens covers 33% of it"
    )


def test_where_the_budget_ends_it_is_told_what_finishing_takes() -> None:
    budget = Budget(Caps(usd=2000), expected=forecast())
    price = Price(prompt=1e6, completion=1e6)
    while (reservation := budget.reserve(request(), price, 0, wait=False)) is not None:
        budget.settle(reservation, reply(10, 20))
    with pytest.raises(BudgetSpent) as stopped:
        budget.check_room()
    assert str(stopped.value) == (
        "the budget of $2,000.00 has no room for the next request: 60 requests, 1,800 tokens, $1,800.00 so far, 30% of "
        "the way; finishing takes up to about 140 requests, 4,200 tokens, $4,200.00 more: raise `budget:` and run the "
        "same command again, it goes on from here"
    )


def test_a_budget_too_small_for_one_request_says_how_much_that_may_take() -> None:
    budget = Budget(Caps(tokens=150))
    assert no_room(budget)
    with pytest.raises(BudgetSpent, match=r"no room for a single request, which may take 201 tokens.*most_tokens"):
        budget.check_room()
