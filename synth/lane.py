"""Backends that ask many requests at once: an event loop in a thread of its own, between plain code and `async`.

    class OpenAI(Concurrent):
        async def ask(self, requests): ...        # the completions of one request, or of several samples of it

Requests are drawn in the caller's thread, and somewhat ahead of what can be sent, so that a place that falls free is
filled at once although the caller is busy or waits for its replies to be stored.
"""

import asyncio
import queue
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from pydantic import PrivateAttr

from synth.backend import Backend, Completion, Request

T = TypeVar("T")

GATHER_S = 0.005
"""Completions are handed over together that finish within so many seconds: waking a thread for each costs more."""

_Done = list[Completion] | BaseException


class Concurrent(Backend):
    """A backend whose requests are asked at the same time, in one event loop for all its callers.

    A child says how one request is asked (`ask`), how many may wait to be sent (`ahead`), and what it opens and closes.
    """

    _loop: asyncio.AbstractEventLoop | None = PrivateAttr(default=None)
    _thread: threading.Thread | None = PrivateAttr(default=None)
    _opening: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @abstractmethod
    async def ask(self, requests: Sequence[Request]) -> Sequence[Completion]:
        """One completion for each of these requests, which differ in `id` and `sample` alone; mostly it is one.

        It waits for a place by itself. Raises BackendError where no request can succeed.
        """

    @abstractmethod
    def ahead(self) -> int:
        """How many requests one caller may have drawn that are not answered: those in flight, and some to follow."""

    async def start(self) -> None:
        """Open what belongs to the loop. Called once, in the loop, before anything is asked."""

    async def stop(self) -> None:
        """Close it again."""

    def complete(
        self, requests: Iterable[Request], told: Callable[[Completion], None] | None = None
    ) -> Iterator[Completion]:
        """One completion for each request, as they finish; see `Backend.complete`.

        `told` hears of each in the loop, as soon as it is there, even while the caller is busy drawing a request.
        """
        loop = self._running()
        caller = _Caller(loop, self, told)
        groups = _samples_together(requests)
        drawn_out = False
        try:
            while not drawn_out or caller.open:
                ahead = self.ahead()
                while not drawn_out and caller.open < ahead and not caller.has_news:
                    group = next(groups, None)
                    drawn_out = group is None
                    if group is not None:  # sent at once: the next may be long in coming
                        caller.send(group)
                yield from caller.finished(wait=drawn_out or caller.open >= self.ahead())
        finally:
            caller.leave()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run some work in the loop and wait for what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def close(self) -> None:
        """End what is going on and free what is held. What comes after opens it anew."""
        with self._opening:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        try:
            asyncio.run_coroutine_threadsafe(self._wind_up(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._opening:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                name = f"synth-{type(self).__name__.lower()}"
                thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
                thread.start()
                try:
                    asyncio.run_coroutine_threadsafe(self.start(), loop).result()
                except BaseException:
                    loop.call_soon_threadsafe(loop.stop)
                    thread.join()
                    loop.close()
                    raise
                self._loop, self._thread = loop, thread
            return self._loop

    async def _wind_up(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.stop()


class _Caller:
    """One call of `complete`: what it has open, and what has come back to it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, backend: Concurrent, told: Callable[[Completion], None] | None
    ) -> None:
        self.open = 0
        self._told = told
        self._loop = loop
        self._backend = backend
        self._back: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        self._gathered: list[Completion] = []
        self._sent: deque[Sequence[Request]] = deque()
        self._is_called = False
        self._flying: set[asyncio.Task[None]] = set()

    @property
    def has_news(self) -> bool:
        """True where something has come back."""
        return not self._back.empty()

    def send(self, group: Sequence[Request]) -> None:
        """Start asking."""
        self.open += len(group)
        self._sent.append(group)
        if not self._is_called:  # one call of the loop for all that are sent before it comes to them
            self._is_called = True
            self._loop.call_soon_threadsafe(self._start)

    def finished(self, wait: bool) -> Iterator[Completion]:
        """What has come back by now; where that is nothing and `wait` is set, what comes back next."""
        while self.open and (wait or self.has_news):
            done = self._back.get()
            if isinstance(done, BaseException):
                raise done
            self.open -= len(done)
            yield from done
            wait = False

    def leave(self) -> None:
        """Cancel what is still open: nobody waits for it."""
        if self.open and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._cancel)

    def _start(self) -> None:
        self._is_called = False  # before it looks: what is sent from now on calls again
        while self._sent:
            task = self._loop.create_task(self._one(self._sent.popleft()))
            self._flying.add(task)
            task.add_done_callback(self._ended)

    async def _one(self, group: Sequence[Request]) -> None:
        done = await self._backend.ask(group)
        if len(done) != len(group):
            raise RuntimeError(f"{len(group)} requests were asked and {len(done)} completions came")
        if self._told is not None:
            for completion in done:
                self._told(completion)
        if not self._gathered:
            self._loop.call_later(GATHER_S, self._hand_over)
        self._gathered.extend(done)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Carry what went wrong to the thread that waits, which raises it."""
        self._flying.discard(task)
        error = Closed() if task.cancelled() else task.exception()
        if error is not None:
            self._back.put(error)

    def _hand_over(self) -> None:
        self._back.put(self._gathered)
        self._gathered = []

    def _cancel(self) -> None:
        for task in list(self._flying):
            task.cancel()


class Closed(BaseException):
    """The backend was closed while a caller waited for it. No `except Exception` of a stage swallows it."""


def _samples_together(requests: Iterable[Request]) -> Iterator[Sequence[Request]]:
    """Requests that say that others follow in the same words, with those others; all else by itself."""
    source = iter(requests)
    for request in source:
        group = [request]
        for _ in range(request.more):
            follower = next(source, None)
            if follower is None:
                break
            group.append(follower)
        yield group
