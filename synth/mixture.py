"""A backend that is several models, each with a weight: a mix of writers makes more kinds of queries than the best one.

    writer:
      - {use: openai, model: gpt-5-mini, weight: 2}
      - {use: vllm, model: Qwen/Qwen3-8B}

Which model writes for a row is drawn by the hash of the row's id: the same in any order of the rows and in any later
run. The draw is a weighted rendezvous (Schindelhauer and Schomaker 2005): each model has a figure for each row, and the
highest wins. So a model that joins later takes its share of the rows from the others, and all other rows stay where
they are.
"""

import hashlib
import inspect
import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from pydantic import PrivateAttr

from synth.backend import Backend, Completion, Request, Sampling
from synth.errors import BackendError, BudgetSpent

AHEAD = 256
"""Requests that wait for one model at most; there are no more drawn for the others meanwhile."""
STALL_S = 30.0
"""Seconds without anything happening after which a model that waits for more requests is told to finish what it has."""
CLOSE_S = 10.0
"""Seconds that closing waits for a thread to end."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One model of a mixture, and the name that its draws go by."""

    weight: float
    backend: Backend
    name: str


class Mixture(Backend):
    """Several backends that are asked at the same time; each row has one of them. A completion's `model` says which.

    A row is what its requests' ids say before the first colon. Where the recipe says how one of the models samples,
    that holds for its own replies, but for what a step sets.
    """

    kept: ClassVar[bool] = False

    _parts: Sequence[_Part] = PrivateAttr(default=())
    _threads: set[threading.Thread] = PrivateAttr(default_factory=set)

    @classmethod
    def over(cls, weighted: Sequence[tuple[float, Backend]]) -> "Mixture":
        """A mix of these backends by their weights. Raises BackendError where there is none, or a weight not over 0."""
        if not weighted:
            raise BackendError("a list of models is empty; give each as {use: openai, model: NAME, weight: 1}")
        seen: Counter[str] = Counter()
        parts = []
        for weight, backend in weighted:
            name = backend.model_identity()
            if not 0 < weight < math.inf:
                raise BackendError(f"the weight of the model {name!r} must be a number above 0, not {weight:g}")
            parts.append(_Part(weight, backend, f"{name}\0{seen[name]}"))
            seen[name] += 1
        return cls._of(parts)

    @property
    def weighs_prompts(self) -> bool:  # type: ignore[override]  # its models decide, as Backend says
        """True where all its models can."""
        return all(part.backend.weighs_prompts for part in self._parts)

    @property
    def parts(self) -> Sequence[tuple[float, Backend]]:
        """The backends and their weights."""
        return [(part.weight, part.backend) for part in self._parts]

    def replaced(self, put: Callable[[Backend], Backend]) -> "Mixture":
        """The same mix with `put(backend)` for each backend; the draws stay as they are. Closing either ends both."""
        other = self._of([replace(part, backend=put(part.backend)) for part in self._parts])
        other._threads = self._threads
        return other

    def drawn(self, request: Request) -> Backend:
        """The backend that a request goes to: the same for all requests of a row."""
        return self._part(request).backend

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, from the model that was drawn for it; see `Backend.complete`.

        Each model is asked in a thread of its own; requests are drawn in the caller's. What one of them raises is
        raised here and ends the others: at once, or for BudgetSpent when what is in flight has come back. A caller that
        leaves early waits for nothing: each thread ends with the next completion of its model, or when that is closed.
        """
        mixing = _Mixing(self._threads)
        sampled = _Sampled(self.sampling)
        try:
            for request in requests:
                part = self._part(request)
                yield from mixing.give(part, sampled.by(part.backend, request))
            yield from mixing.rest()
        finally:
            mixing.leave()

    def identity(self) -> Mapping[str, Any]:
        """The models with their weights: whatever of them decides a reply decides one here."""
        return {"mixture": [{"weight": part.weight, **part.backend.identity()} for part in self._parts]}

    def model_identity(self) -> str:
        """The weights and models; a single reply is known by the one that was drawn."""
        return " + ".join(f"{part.weight:g} {part.backend.model_identity()}" for part in self._parts)

    def close(self) -> None:
        """Close the backends, and wait for what was asking them."""
        for part in self._parts:
            part.backend.close()
        for thread in list(self._threads):
            thread.join(CLOSE_S)

    @classmethod
    def _of(cls, parts: Sequence[_Part]) -> "Mixture":
        mixture = cls(sampling=_in_common([part.backend.sampling for part in parts]))
        mixture._parts = parts
        mixture.model = mixture.model_identity()
        return mixture

    def _part(self, request: Request) -> _Part:
        row = request.id.partition(":")[0]
        return max(self._parts, key=lambda part: _figure(row, part.name, part.weight))


class _Sampled:
    """Requests with the sampling of their own model, wherever the step and the other models leave it open."""

    def __init__(self, shared: Sampling) -> None:
        self._shared = shared
        self._known: dict[tuple[int, int], tuple[Sampling, Sampling]] = {}

    def by(self, backend: Backend, request: Request) -> Request:
        """The request as this backend is to be asked it; what it was asked as before is the same object again."""
        asked = request.sampling
        if backend.sampling == self._shared:
            return request
        if (id(backend), id(asked)) not in self._known:
            own = backend.sampling.model_copy(update=asked.model_dump(exclude_unset=True))
            self._known[id(backend), id(asked)] = (own, asked)  # `asked` too: an id holds as long as its object lives
        return replace(request, sampling=self._known[id(backend), id(asked)][0])


@dataclass(frozen=True, slots=True)
class _Lane:
    """What waits for one model; `ready` hears of more, and of the end."""

    backend: Backend
    ready: threading.Condition
    waiting: deque[Request] = field(default_factory=deque)


class _Mixing:
    """One call of `complete`: what waits for each model, and what has come back from any of them."""

    def __init__(self, threads: set[threading.Thread]) -> None:
        self._threads = threads
        self._own: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._lanes: dict[str, _Lane] = {}
        self._back: list[Completion] = []
        self._errors: list[BaseException] = []
        self._running = 0
        self._over = self._left = self._stalled = False

    def give(self, part: _Part, request: Request) -> Iterator[Completion]:
        """Have a model asked; what has come back meanwhile. Waits while too much is waiting for that model."""
        lane = self._lanes.get(part.name) or self._begin(part)
        while len(lane.waiting) >= AHEAD and not self._errors:
            yield from self._next()
        if self._errors:
            yield from self.rest()
        with self._lock:
            self._stalled = False
            lane.waiting.append(request)
            lane.ready.notify()
        if self._back:
            yield from self._next()

    def rest(self) -> Iterator[Completion]:
        """What is still to come. Raises what a model raised."""
        self._end(drop=bool(self._errors))
        while self._running or self._back:
            yield from self._next()
        if self._errors:
            raise self._errors[0]

    def leave(self) -> None:
        """Nobody waits any more: each thread is to end as soon as it can."""
        self._left = True
        self._end(drop=True)
        if not self._running:
            for thread in self._own:
                thread.join()

    def _next(self) -> Iterator[Completion]:
        """What has come back by now, or comes back next. Raises what a model raised, a spent budget only at the end."""
        with self._lock:
            if not self._back and self._running:
                self._stalled = not self._news.wait(STALL_S)
                if self._stalled:
                    self._wake()
            came, self._back = self._back, []
        yield from came
        for error in self._errors:
            if not isinstance(error, BudgetSpent):
                raise error

    def _begin(self, part: _Part) -> _Lane:
        lane = self._lanes[part.name] = _Lane(part.backend, threading.Condition(self._lock))
        thread = threading.Thread(target=self._ask, args=(lane,), name="synth-mixture", daemon=True)
        self._own.append(thread)
        self._threads.add(thread)
        with self._lock:
            self._running += 1
        thread.start()
        return lane

    def _end(self, *, drop: bool) -> None:
        with self._lock:
            self._over = True
            for lane in self._lanes.values():
                if drop:
                    lane.waiting.clear()
            self._wake()

    def _wake(self) -> None:
        for lane in self._lanes.values():
            lane.ready.notify()

    def _ask(self, lane: _Lane) -> None:
        """One model's thread."""
        try:
            while self._has_more(lane):
                feed = self._feed(lane)
                for completion in lane.backend.complete(feed):
                    with self._lock:
                        if self._left:
                            return
                        self._back.append(completion)
                        self._news.notify()
                if inspect.getgeneratorstate(feed) != inspect.GEN_CLOSED:
                    raise RuntimeError(f"{lane.backend.model_identity()}: it ended before its requests did")
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread, which raises it
            self._errors.append(error)
        finally:
            with self._lock:
                self._running -= 1
                self._threads.discard(threading.current_thread())
                self._news.notify()

    def _has_more(self, lane: _Lane) -> bool:
        with self._lock:
            while not lane.waiting and not self._over:
                lane.ready.wait()
            return bool(lane.waiting)

    def _feed(self, lane: _Lane) -> Generator[Request, None, None]:
        """What waits for a model, until all is drawn; or until nothing moves, and others may wait for what it holds."""
        while True:
            with self._lock:
                while not lane.waiting and not self._over and not self._stalled:
                    lane.ready.wait()
                if not lane.waiting:
                    return
                request = lane.waiting.popleft()
                self._news.notify()
            yield request


def _figure(row: str, name: str, weight: float) -> float:
    """What a model of this weight has for a row: the highest wins, with a chance in proportion to its weight.

    >>> _figure("ab12", "m", 2.0) > _figure("ab12", "m", 1.0) > 0
    True
    """
    drawn = hashlib.blake2b(f"{name}\0{row}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return -weight / math.log((int.from_bytes(drawn, "big") + 0.5) / 2**64)


def _in_common(samplings: Sequence[Sampling]) -> Sampling:
    """What all of them set, and set alike.

    >>> _in_common([Sampling(temperature=1, top_p=0.9), Sampling(temperature=1, top_p=0.8)])
    Sampling(temperature=1.0, top_p=None, most_tokens=1024, seed=None, stop=(), extra={})
    """
    first, *others = (sampling.model_dump(exclude_unset=True) for sampling in samplings)
    absent = object()
    return Sampling(**{k: v for k, v in first.items() if all(other.get(k, absent) == v for other in others)})
