"""Row-wise steps in threads of this process: neighbours run at the same time, joined by bounded queues.

The judge works while the writer still writes. Most of a step's time goes into a model, a server or a library that lets
other threads run; a queue that is full makes the step before it wait, so memory stays flat.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from synth.types import Example

MOST_WAITING = 512
"""Rows that wait between two steps."""
HANDOVER = 64
"""Rows handed over at once while they come quickly."""
PATIENCE_S = 0.05
"""A row waits no longer than this for company, as long as rows keep coming."""
STOPPING_S = 2.0
"""How long the other steps may take to stop after one has failed; they are left behind then."""
Put = Callable[[Example], None]


class Stopped(BaseException):
    """Another step failed or the user stopped the run: end quietly. No `except Exception` of a stage swallows it."""


class Channel:
    """A bounded queue of rows with several writers and readers, which ends when every writer is done."""

    def __init__(self, writers: int, stop: threading.Event) -> None:
        self._groups: deque[list[Example]] = deque()
        self._waiting = 0
        self._writers = writers
        self._stop = stop
        self._changed = threading.Condition()

    def put(self, rows: list[Example]) -> None:
        """Hand over rows; waits while the queue is full. Raises Stopped."""
        with self._changed:
            while self._waiting >= MOST_WAITING:
                self._wait()
            self._groups.append(rows)
            self._waiting += len(rows)
            self._changed.notify_all()

    def done(self) -> None:
        """One writer will put no more."""
        with self._changed:
            self._writers -= 1
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Example]:
        while True:
            with self._changed:
                while not self._groups:
                    if self._writers <= 0:
                        return
                    self._wait()
                rows = self._groups.popleft()
                self._waiting -= len(rows)
                self._changed.notify_all()
            yield from rows

    def _wait(self) -> None:
        self._changed.wait(timeout=0.2)
        if self._stop.is_set():
            raise Stopped


class Sender:
    """Collects one writer's rows for a channel, so that a quick step does not take the lock for every row."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._rows: list[Example] = []
        self._sent = 0.0

    def put(self, row: Example) -> None:
        """Hand over the row, at once if rows are rare."""
        self._rows.append(row)
        if len(self._rows) >= HANDOVER or time.monotonic() - self._sent > PATIENCE_S:
            self._flush()

    def done(self) -> None:
        """Hand over the rest and end."""
        self._flush()
        self._channel.done()

    def _flush(self) -> None:
        if self._rows:
            self._channel.put(self._rows)
            self._rows = []
        self._sent = time.monotonic()


@dataclass(frozen=True, slots=True)
class Link:
    """One row-wise step in a line: `work(rows, put)` puts the rows that it keeps, in each of its workers.

    `finish` is called once, after its last worker and after the `finish` of the step before.
    """

    work: Callable[[Iterable[Example], Put], None]
    finish: Callable[[], None]
    workers: int = 1


def run_line(links: list[Link], rows: Iterable[Example]) -> None:
    """Run a line of steps over `rows`; the first error of any of them is raised after the others have stopped."""
    line = _Line(links, rows)
    line.start()
    line.wait()


class _Line:
    def __init__(self, links: list[Link], rows: Iterable[Example]) -> None:
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._links = links
        self._rows = rows
        self._channels = [Channel(link.workers, self._stop) for link in links]
        self._left = [link.workers for link in links]
        self._finished = [threading.Event() for _ in links]
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for number, link in enumerate(self._links):
            for _ in range(link.workers):
                thread = threading.Thread(target=self._guard, args=(number,), daemon=True, name=f"step-{number}")
                self._threads.append(thread)
                thread.start()

    def wait(self) -> None:
        try:
            while not self._stop.is_set() and any(thread.is_alive() for thread in self._threads):
                next(thread for thread in self._threads if thread.is_alive()).join(timeout=0.2)
        finally:
            self._stop.set()
        until = time.monotonic() + STOPPING_S
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        if self._errors:
            raise self._errors[0]

    def _guard(self, number: int) -> None:
        """Run one worker; what it raises stops the others and is raised by `wait`."""
        try:
            self._work(number)
        except Stopped:
            return
        except BaseException as error:  # noqa: BLE001  carried to the thread that waits, never swallowed
            self._errors.append(error)
            self._stop.set()

    def _work(self, number: int) -> None:
        link = self._links[number]
        sender = Sender(self._channels[number])
        last = number == len(self._links) - 1

        def put(row: Example) -> None:
            if self._stop.is_set():
                raise Stopped
            if not last:
                sender.put(row)

        link.work(self._rows if number == 0 else self._channels[number - 1], put)
        sender.done()
        with self._lock:
            self._left[number] -= 1
            mine_is_last = self._left[number] == 0
        if mine_is_last:
            self._finish(number)

    def _finish(self, number: int) -> None:
        """Finish a step, never before the one it reads from: a step that is done stands on one that is."""
        while number and not self._finished[number - 1].wait(timeout=0.2):
            if self._stop.is_set():
                raise Stopped
        self._links[number].finish()
        self._finished[number].set()
