"""Row-wise steps run at the same time, in bounded memory, and stop together."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from synth.engines.local import MOST_WAITING, Link, Put, run_line
from synth.types import Example


def rows(count: int) -> Iterator[Example]:
    for number in range(count):
        yield Example(id=f"{number:05d}")


def putting(work: Callable[[Iterable[Example]], Iterator[Example]]) -> Callable[[Iterable[Example], Put], None]:
    """A generator as what a link calls."""

    def put_all(given: Iterable[Example], put: Put) -> None:
        for row in work(given):
            put(row)

    return put_all


def through(seen: list[str]) -> Link:
    def work(given: Iterable[Example]) -> Iterator[Example]:
        for row in given:
            seen.append(row.id)
            yield row

    return Link(putting(work), lambda: None)


def test_every_row_goes_through_every_step_once() -> None:
    first: list[str] = []
    last: list[str] = []
    run_line([through(first), through([]), through(last)], rows(5000))
    assert first == last == [f"{n:05d}" for n in range(5000)]


def test_a_step_works_while_the_one_before_still_does() -> None:
    reached = threading.Event()

    def slow(given: Iterable[Example]) -> Iterator[Example]:
        for number, row in enumerate(given):
            yield row
            if number == 200:
                assert reached.wait(10), "the next step never saw the first rows"

    def next_(given: Iterable[Example]) -> Iterator[Example]:
        for row in given:
            reached.set()
            yield row

    run_line([Link(putting(slow), lambda: None), Link(putting(next_), lambda: None)], rows(300))
    assert reached.is_set()


def test_a_slow_reader_makes_the_writer_wait() -> None:
    written, ahead = [0], [0]

    def writer(given: Iterable[Example]) -> Iterator[Example]:
        for row in given:
            written[0] += 1
            yield row

    def reader(given: Iterable[Example]) -> Iterator[Example]:
        for read, row in enumerate(given):
            ahead[0] = max(ahead[0], written[0] - read)
            yield row

    run_line([Link(putting(writer), lambda: None), Link(putting(reader), lambda: None)], rows(20_000))
    assert written[0] == 20_000
    assert ahead[0] <= MOST_WAITING + 200


def test_several_workers_share_the_rows() -> None:
    seen: list[str] = []
    lock = threading.Lock()
    finished = []

    def work(given: Iterable[Example]) -> Iterator[Example]:
        for row in given:
            with lock:
                seen.append(row.id)
            yield row

    run_line([through([]), Link(putting(work), lambda: finished.append(1), workers=4), through([])], rows(3000))
    assert sorted(seen) == [f"{n:05d}" for n in range(3000)]
    assert finished == [1]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_error_of_any_step_is_raised_and_all_stop(place: int) -> None:
    def breaks(given: Iterable[Example]) -> Iterator[Example]:
        for number, row in enumerate(given):
            if number == 700:
                raise ValueError("planted")
            yield row

    links = [through([]), through([]), through([])]
    links[place] = Link(putting(breaks), lambda: None)
    with pytest.raises(ValueError, match="planted"):
        run_line(links, rows(50_000))


def test_a_step_is_finished_after_the_one_it_reads_from() -> None:
    order: list[str] = []
    second_may = threading.Event()

    def first() -> None:
        assert second_may.wait(10)
        order.append("first")

    def last(given: Iterable[Example]) -> Iterator[Example]:
        yield from given
        second_may.set()

    run_line([Link(putting(iter), first), Link(putting(last), lambda: order.append("second"))], rows(100))
    assert order == ["first", "second"]


def test_an_error_is_told_though_a_neighbour_hangs() -> None:
    never = threading.Event()

    def hangs(given: Iterable[Example]) -> Iterator[Example]:
        yield from given
        never.wait(30)

    def breaks(given: Iterable[Example]) -> Iterator[Example]:
        for _ in given:
            raise ValueError("planted")
        yield from ()

    begun = time.monotonic()
    with pytest.raises(ValueError, match="planted"):
        run_line([Link(putting(hangs), lambda: None), Link(putting(breaks), lambda: None)], rows(100))
    assert time.monotonic() - begun < 10
    never.set()
