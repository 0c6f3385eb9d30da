"""Several models in one backend: who writes what, and that nothing hangs, is lost or stays behind."""

import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import pytest
from pydantic import PrivateAttr

import synth.mixture
from synth.answers import Unreadable, ask_again
from synth.backend import Backend, Completion, Message, Request, Sampling
from synth.backends.openai import OpenAI
from synth.errors import BackendError, BudgetSpent
from synth.mixture import Mixture
from tests.servers import ChatServer, Fault

WORDS = (Message("user", "Write a query."),)
PATIENCE_S = 20.0


def asked(rows: Iterable[int] | int, **more: object) -> list[Request]:
    every = range(rows) if isinstance(rows, int) else rows
    return [Request(id=f"row{n}:0", messages=WORDS, **more) for n in every]  # type: ignore[arg-type]


class Told(Backend):
    """Answers as `does` says; each call of `complete` is one call of it."""

    _does: Callable[[Iterator[Request]], Iterator[Completion]] = PrivateAttr()

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        return self._does(iter(requests))


def told(model: str, does: Callable[[Iterator[Request]], Iterator[Completion]] | None = None, **options: Any) -> Told:
    backend = Told(model=model, **options)
    backend._does = does or (lambda requests: (said(model, request) for request in requests))
    return backend


def said(model: str, request: Request) -> Completion:
    return Completion(request=request, text="hm", model=model)


def mixed(**weights: float) -> Mixture:
    return Mixture.over([(weight, told(model)) for model, weight in weights.items()])


def drawn(mixture: Mixture, rows: int) -> list[str]:
    return [mixture.drawn(request).model for request in asked(rows)]


@pytest.fixture(autouse=True)
def _nothing_stays_behind() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "synth-mixture":
            thread.join(PATIENCE_S)
            assert not thread.is_alive()


def test_each_model_gets_its_share_of_the_rows() -> None:
    rows, weights = 2000, {"a": 3.0, "b": 1.0, "c": 0.5}
    got = Counter(drawn(mixed(**weights), rows))
    for model, weight in weights.items():
        share = weight / sum(weights.values())
        assert (
            abs(got[model] - rows * share) < 3.3 * (rows * share * (1 - share)) ** 0.5
        )  # one in a thousand is outside


def test_a_model_that_joins_takes_its_share_and_moves_no_other_row() -> None:
    before, after = drawn(mixed(a=1, b=1), 2000), drawn(mixed(a=1, b=1, c=1), 2000)
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {"c"}
    assert 560 < len(moved) < 780


def test_more_weight_for_one_model_moves_rows_to_it_alone() -> None:
    before, after = drawn(mixed(a=1, b=1, c=1), 2000), drawn(mixed(a=1, b=2, c=1), 2000)
    assert {new for old, new in zip(before, after, strict=True) if old != new} == {"b"}


def test_two_of_the_same_model_share_the_rows() -> None:
    first, second = told("a", sampling=Sampling(temperature=0)), told("a", sampling=Sampling(temperature=1))
    mixture = Mixture.over([(1, first), (1, second)])
    got = Counter(mixture.drawn(request).sampling.temperature for request in asked(400))
    assert min(got[0], got[1]) > 150


def test_a_row_has_one_model_whatever_is_asked_of_it_and_in_whatever_order() -> None:
    mixture = mixed(a=1, b=1)
    requests = [Request(id=f"row{n}:{sample}", messages=WORDS, sample=sample) for n in range(50) for sample in range(3)]
    first = {done.request.id: done.model for done in mixture.complete(requests)}
    random.Random(1).shuffle(requests)
    assert {done.request.id: done.model for done in mixture.complete(requests[:70])}.items() <= first.items()
    assert all(len({first[f"row{n}:{sample}"] for sample in range(3)}) == 1 for n in range(50))
    assert len(set(first.values())) == 2


def test_what_is_asked_again_goes_to_the_model_that_failed() -> None:
    mixture = mixed(a=1, b=1)
    for done in mixture.complete(asked(40)):
        again = ask_again(done, Unreadable("unreadable_answer", "no JSON object"))
        assert again is not None
        assert mixture.drawn(again).model == done.model


def test_each_request_is_answered_once_by_the_model_that_was_drawn_and_says_so() -> None:
    with ChatServer(models=("a",)) as one, ChatServer(models=("b",)) as other:
        parts = [(w, OpenAI(model=m, base_url=(s.base_url,))) for w, m, s in ((1, "a", one), (3, "b", other))]
        with closing(Mixture.over(parts)) as mixture:
            done = list(mixture.complete(asked(200)))
            assert sorted(c.request.id for c in done) == sorted(r.id for r in asked(200))
            assert all(c.model == mixture.drawn(c.request).model for c in done)
    assert len(one.seen) + len(other.seen) == 200
    assert len(one.seen) == sum(c.model == "a" for c in done) > 20


def test_a_slow_model_holds_no_other_up() -> None:
    """The slow server answers nothing until all of the other's replies have reached the caller."""
    others_are_here = threading.Event()

    def slow(body: dict[str, Any]) -> str:
        assert others_are_here.wait(PATIENCE_S)
        return "slow"

    with ChatServer(slow, models=("slow",)) as one, ChatServer(models=("fast",)) as other:
        parts = [(1.0, OpenAI(model=m, base_url=(s.base_url,))) for m, s in (("slow", one), ("fast", other))]
        with closing(Mixture.over(parts)) as mixture:
            fast = drawn(mixture, 120).count("fast")
            came: Counter[str] = Counter()
            for done in mixture.complete(asked(120)):
                came[done.model] += 1
                if came["fast"] == fast:
                    others_are_here.set()
    assert came == {"fast": fast, "slow": 120 - fast}


@pytest.mark.parametrize("order", ["all of one first", "in turn", "shuffled"])
@pytest.mark.parametrize("weights", [(1, 1), (1, 50), (50, 1)])
def test_no_order_and_no_skew_brings_it_to_a_halt(
    monkeypatch: pytest.MonkeyPatch, order: str, weights: tuple[int, int]
) -> None:
    """One draws everything before it answers, the other waits for each before it draws the next."""
    monkeypatch.setattr(synth.mixture, "AHEAD", 3)
    eager = told("eager", lambda requests: iter([said("eager", request) for request in requests]))
    mixture = Mixture.over([(weights[0], eager), (weights[1], told("lazy"))])
    requests = asked(300)
    if order == "shuffled":
        random.Random(3).shuffle(requests)
    else:
        requests.sort(key=lambda r: mixture.drawn(r).model)
    if order == "in turn":
        requests = [r for pair in zip(requests, reversed(requests), strict=True) for r in pair][:300]
    assert sorted(c.request.id for c in mixture.complete(requests)) == sorted(r.id for r in requests)


def test_a_model_that_hoards_requests_is_told_to_finish_when_another_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where both pay from one budget: the second has no room until the first has settled what it holds."""
    monkeypatch.setattr(synth.mixture, "AHEAD", 1)
    monkeypatch.setattr(synth.mixture, "STALL_S", 0.05)
    settled = threading.Event()

    def hoards(requests: Iterator[Request]) -> Iterator[Completion]:
        held = list(requests)
        settled.set()
        yield from (said("hoards", request) for request in held)

    def waits(requests: Iterator[Request]) -> Iterator[Completion]:
        for request in requests:
            assert settled.wait(PATIENCE_S)
            yield said("waits", request)

    mixture = Mixture.over([(1, told("hoards", hoards)), (1, told("waits", waits))])
    requests = sorted(asked(60), key=lambda r: mixture.drawn(r).model)
    requests = requests[:1] + requests[-20:] + requests[1:3]
    assert len(list(mixture.complete(requests))) == len(requests)


def test_what_one_model_raises_is_raised_here_and_ends_the_others() -> None:
    asking, ended = threading.Event(), threading.Event()

    def endless(requests: Iterator[Request]) -> Iterator[Completion]:
        try:
            for request in requests:
                asking.set()
                yield said("endless", request)
        finally:
            ended.set()

    def fails(requests: Iterator[Request]) -> Iterator[Completion]:
        next(requests)
        assert asking.wait(PATIENCE_S)
        raise BackendError("no server answers there")
        yield

    mixture = Mixture.over([(1, told("endless", endless)), (1, told("fails", fails))])
    with pytest.raises(BackendError, match="no server answers there"):
        list(mixture.complete(request for n in iter(int, 1) for request in asked(range(100))))  # never comes to an end
    assert ended.wait(PATIENCE_S)


def test_a_model_that_does_not_exist_ends_a_run_although_the_other_does() -> None:
    with ChatServer(models=("a",)) as server:
        parts = [(1.0, OpenAI(model=model, base_url=(server.base_url,))) for model in ("a", "b")]
        with closing(Mixture.over(parts)) as mixture, pytest.raises(BackendError, match="'b'"):
            list(mixture.complete(asked(50)))


def test_a_spent_budget_is_raised_when_what_is_in_flight_has_come_back() -> None:
    flying, spent, came = threading.Event(), threading.Event(), []

    def stops(requests: Iterator[Request]) -> Iterator[Completion]:
        next(requests)
        assert flying.wait(PATIENCE_S)
        spent.set()
        raise BudgetSpent("the budget of 10 requests is spent")
        yield

    def in_flight(requests: Iterator[Request]) -> Iterator[Completion]:
        first = next(requests)
        flying.set()
        assert spent.wait(PATIENCE_S)
        yield from [said("in_flight", request) for request in (first, *requests)]

    mixture = Mixture.over([(1, told("stops", stops)), (1, told("in_flight", in_flight))])
    endless = (request for _ in iter(int, 1) for request in asked(100))
    with pytest.raises(BudgetSpent):
        deque(map(came.append, mixture.complete(endless)), maxlen=0)
    assert came


def test_leaving_early_waits_for_nothing_and_closing_ends_what_hangs() -> None:
    with (
        ChatServer(models=("a",), faults=tuple(Fault(hangs_s=60) for _ in range(99))) as hangs,
        ChatServer(models=("b",)) as answers,
    ):
        parts = [(1.0, OpenAI(model=m, base_url=(s.base_url,))) for m, s in (("a", hangs), ("b", answers))]
        mixture = Mixture.over(parts)
        completions = mixture.complete(asked(60))
        assert next(completions).model == "b"
        completions.close()  # type: ignore[attr-defined]  # it is a generator
        mixture.close()
        assert "synth-mixture" not in {thread.name for thread in threading.enumerate()}


def test_after_an_early_leave_a_model_gives_one_more_completion_and_no_other() -> None:
    left, given = threading.Event(), []

    def many_in_flight(requests: Iterator[Request]) -> Iterator[Completion]:
        for number, request in enumerate(list(requests)):
            if number:
                assert left.wait(PATIENCE_S)
            given.append(request.id)
            yield said("many", request)

    mixture = Mixture.over([(1, told("many", many_in_flight))])
    completions = mixture.complete(asked(100))
    next(completions)
    completions.close()  # type: ignore[attr-defined]  # it is a generator
    left.set()
    mixture.close()
    assert len(given) <= 2


def test_closing_waits_until_no_thread_is_left() -> None:
    closed, may_end = threading.Event(), threading.Event()

    class Lingers(Told):
        def close(self) -> None:
            closed.set()

    def lingers(requests: Iterator[Request]) -> Iterator[Completion]:
        yield said("lingers", next(requests))
        assert closed.wait(PATIENCE_S)
        assert may_end.wait(PATIENCE_S)

    backend = Lingers(model="lingers")
    backend._does = lingers
    mixture = Mixture.over([(1, backend)])
    completions = mixture.replaced(lambda inner: inner).complete(asked(2))
    next(completions)
    [thread] = [thread for thread in threading.enumerate() if thread.name == "synth-mixture"]
    completions.close()  # type: ignore[attr-defined]  # it is a generator
    threading.Timer(0.2, may_end.set).start()
    mixture.close()
    assert may_end.is_set()
    assert not thread.is_alive()


def test_a_mistake_of_the_asker_ends_the_threads_too() -> None:
    def requests() -> Iterator[Request]:
        yield from asked(30)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(mixed(a=1, b=1).complete(requests()))


def test_a_model_that_leaves_requests_unanswered_is_a_bug_and_no_halt() -> None:
    def drops(requests: Iterator[Request]) -> Iterator[Completion]:
        yield said("drops", next(requests))

    with pytest.raises(RuntimeError, match="drops: it ended before its requests"):
        list(Mixture.over([(1, told("drops", drops)), (1, told("b"))]).complete(asked(50)))


def test_nothing_asked_is_nothing_done() -> None:
    assert list(mixed(a=1, b=1).complete([])) == []
    assert len(list(mixed(a=1, b=1).complete(asked(1)))) == 1


def test_each_model_samples_as_the_recipe_says_but_for_what_the_step_sets() -> None:
    seen: dict[str, set[Sampling]] = {}

    def keeps(model: str) -> Callable[[Iterator[Request]], Iterator[Completion]]:
        def does(requests: Iterator[Request]) -> Iterator[Completion]:
            for request in requests:
                seen.setdefault(model, []).append(request.sampling)  # type: ignore[arg-type, union-attr]
                yield said(model, request)

        return does

    hot = told("hot", keeps("hot"), sampling=Sampling(temperature=1, top_p=0.9, most_tokens=50))
    cold = told("cold", keeps("cold"), sampling=Sampling(temperature=0, top_p=0.9))
    mixture = Mixture.over([(1, hot), (1, cold)])
    assert mixture.sampling.model_dump(exclude_unset=True) == {"top_p": 0.9}
    step = mixture.sampling.model_copy(update={"most_tokens": 99})
    list(mixture.complete(asked(40, sampling=step)))
    assert [(s.temperature, s.top_p, s.most_tokens) for s in seen["hot"]] == [(1, 0.9, 99)] * len(seen["hot"])
    assert {(s.temperature, s.top_p, s.most_tokens) for s in seen["cold"]} == {(0, 0.9, 99)}
    assert len({id(s) for s in seen["hot"]}) == 1


def test_models_weights_and_samplings_decide_what_it_is_known_by_and_servers_do_not() -> None:
    one = Mixture.over([(1, OpenAI(model="a", base_url=("http://one/v1",))), (2, OpenAI(model="b"))])
    same = Mixture.over([(1, OpenAI(model="a", base_url=("http://two/v1",))), (2, OpenAI(model="b"))])
    assert one.identity() == same.identity()
    other = Mixture.over([(2, OpenAI(model="a")), (2, OpenAI(model="b"))])
    assert one.identity() != other.identity()
    assert one.model == one.model_identity() == "1 a + 2 b"
    assert not one.kept


def test_putting_something_around_each_model_moves_no_row() -> None:
    mixture = mixed(a=2, b=1)
    around = mixture.replaced(lambda inner: told(f"around {inner.model}"))
    assert drawn(around, 200) == [f"around {model}" for model in drawn(mixture, 200)]
    assert [weight for weight, _ in around.parts] == [2, 1]


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_an_error_with_the_model(weight: float) -> None:
    with pytest.raises(BackendError, match="'a' must be a number above 0"):
        Mixture.over([(weight, told("a")), (1, told("b"))])


def test_a_list_of_no_models_is_an_error() -> None:
    with pytest.raises(BackendError, match="empty"):
        Mixture.over([])


def test_it_gives_no_vectors() -> None:
    with pytest.raises(BackendError, match="mixture"):
        mixed(a=1).embed(["x"])
