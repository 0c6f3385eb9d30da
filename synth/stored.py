"""A backend behind the reply store: what was answered before is not sent again, what is answered is on disk at once.

request -> a reply in the store?  -> handed on
        -> in flight here or in another process?  -> waited for
        -> the budget allows it?  -> claimed, sent, its reply stored, handed on
"""

import math
import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from synth.backend import Backend, Completion, Price, Request
from synth.budget import Budget, Reservation
from synth.lane import Concurrent
from synth.replies import Kept, Keys, Payer, ReplyStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_FOUND = 256
"""Replies found in the store one after another before they are handed on."""
LOOK_S = 0.2
"""How often it is looked whether another process has its reply."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where replies are kept, what may be spent on them, and whom they are counted to."""

    store: ReplyStore
    budget: Budget
    payer: Payer


class Stored(Backend):
    """An inner backend whose replies are kept in the store and paid from a budget."""

    _inner: Backend = PrivateAttr()
    _account: Account = PrivateAttr()

    @classmethod
    def over(cls, inner: Backend, account: Account, role: Backend | None = None) -> "Stored":
        """`inner` behind the store; sampling and price are those of `role`, where several roles share `inner`."""
        role = role or inner
        stored = cls(model=inner.model, revision=inner.revision, price=role.price, sampling=role.sampling)
        stored._inner, stored._account = inner, account
        return stored

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request: from the store, or from the inner backend once it is stored.

        Raises BudgetSpent when the budget has no room for the next request and everything in flight has come back.
        """
        if not self._inner.kept:
            yield from self._inner.complete(requests)
            return
        call = _Call(self._inner, self.price, self._account)
        try:
            yield from call.run(iter(requests))
        finally:
            call.leave()

    def identity(self) -> Mapping[str, Any]:
        """The inner backend's, with the role's own sampling."""
        return {**self._inner.identity(), "sampling": self.sampling.model_dump(mode="json")}

    def model_identity(self) -> str:
        """The inner backend's."""
        return self._inner.model_identity()

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """The inner backend's."""
        return self._inner.embed(texts)

    def score(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """The inner backend's."""
        return self._inner.score(pairs)


@dataclass(slots=True)
class _Sent:
    """A request that is on its way, under its key, with what is reserved for it; `shares` ask in the same words."""

    request: Request
    key: bytes
    reservation: Reservation


@dataclass(slots=True)
class _Call:
    """One call of `complete`."""

    inner: Backend
    price: Price | None
    account: Account
    keys: Keys = field(init=False)
    heard: "queue.SimpleQueue[tuple[Request, Completion | Exception | None]]" = field(default_factory=queue.SimpleQueue)
    found: deque[Completion] = field(default_factory=deque)
    again: deque[Request] = field(default_factory=deque)
    elsewhere: deque[Request] = field(default_factory=deque)
    sent: dict[str, _Sent] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    outstanding: int = 0
    looked_s: float = 0.0
    held: Request | None = None
    drawn_out: bool = False
    ready: deque[Request] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.keys = Keys(self.inner.model_identity())

    def run(self, requests: Iterator[Request]) -> Iterator[Completion]:
        """All completions, until there is nothing left to ask and nothing to wait for."""
        while True:
            first = self._next_to_send(requests)
            if first is not None:  # at once: others may wait for what is set aside for it
                yield from self._through(first, requests)
            yield from self._drained()
            if first is None and self.held is not None:
                while self.outstanding:
                    yield from self._one()
                yield from self._over_budget(requests)
            elif first is None and self.drawn_out and not self.again:
                if not self.outstanding and not self.elsewhere:
                    return
                yield from self._waited()

    def leave(self) -> None:
        """Let go of what was claimed and is not answered."""
        with self.lock:
            left = list(self.sent.values())
            self.sent.clear()
        for sent in left:
            self.account.budget.release(sent.reservation)
            self.account.store.let_go(sent.key, None)

    def _through(self, first: Request, requests: Iterator[Request]) -> Iterator[Completion]:
        """Send `first` and what follows, as long as the budget and the store do not ask for a pause."""
        feed = self._feed(first, requests)
        if isinstance(self.inner, Concurrent):
            for _ in self.inner.complete(feed, self._came):
                yield from self._drained()
        else:
            for completion in self.inner.complete(feed):
                self._came(completion)
                yield from self._drained()

    def _feed(self, first: Request, requests: Iterator[Request]) -> Iterator[Request]:
        # A batch or a file takes all requests in one call: what is found meanwhile waits.
        most = MOST_FOUND if isinstance(self.inner, Concurrent) else math.inf
        following: Request | None = first
        while following is not None:
            yield following
            if len(self.found) >= most:
                return
            following = self._next_to_send(requests, most)

    def _next_to_send(self, requests: Iterator[Request], most: float = MOST_FOUND) -> Request | None:
        """The next request that has to be sent, claimed and paid for; None where a pause is due or all are drawn."""
        while not self.ready and len(self.found) < most and self.held is None:
            self._look_elsewhere()
            request = self.again.popleft() if self.again else next(requests, None)
            if request is None:
                self.drawn_out = True
                return None
            self._sort([request, *(following for _ in range(request.more) if (following := next(requests, None)))])
        return self.ready.popleft() if self.ready else None

    def _sort(self, group: Sequence[Request]) -> None:
        """Find out of each of a request's samples whether it is to be sent, together with the others that are."""
        to_send: list[Request] = []
        for place, request in enumerate(group):
            if self._is_to_send(request, wait=not to_send):
                to_send.append(request)
            if self.held is not None:
                self.again.extendleft(replace(each, more=0) for each in reversed(group[place + 1 :]))
                break
        for place, request in enumerate(to_send):
            self.ready.append(replace(request, more=len(to_send) - 1 - place) if request.more else request)

    def _is_to_send(self, request: Request, *, wait: bool) -> bool:
        key = self.keys.of(request)
        claim = self.account.store.claim(key, lambda outcome: self.heard.put((request, outcome)))
        if claim == "here":
            self.outstanding += 1
            return False
        known = self.account.store.find(key, request)
        if known is not None or claim == "elsewhere":
            if claim == "ours":
                self.account.store.let_go(key, known)
            if known is None:
                self.elsewhere.append(request)
            else:
                self.found.append(known)
            return False
        # Room is only waited for where what is in flight is settled by another thread, and nothing waits to be sent.
        wait = wait and isinstance(self.inner, Concurrent)
        reservation = self.account.budget.reserve(
            request, self.price, self.inner.gpus, wait=wait, engine=id(self.inner)
        )
        if reservation is None:
            self.account.store.let_go(key, None)
            self.held = replace(request, more=0) if request.more else request
            return False
        with self.lock:
            self.sent[request.id] = _Sent(request, key, reservation)
        self.outstanding += 1
        return True

    def _came(self, completion: Completion) -> None:
        """A completion has come: give it to the store. Called from the lane's thread, or from the caller's own."""
        with self.lock:
            sent = self.sent.pop(completion.request.id, None)
        if sent is None:  # the caller has left
            return
        spent = self.account.budget.settle(sent.reservation, completion)
        if completion.error and not (spent.tokens or spent.gpu_s):
            self.account.store.let_go(sent.key, completion)
            self.heard.put((sent.request, completion))
            return
        known = replace(completion, key=sent.key.hex())
        request = sent.request
        self.account.store.put(
            Kept(known, sent.key, spent, self.account.payer, lambda outcome: self.heard.put((request, outcome)))
        )

    def _drained(self) -> Iterator[Completion]:
        """What is found or stored by now."""
        while self.found:
            yield self.found.popleft()
        while not self.heard.empty():
            yield from self._one()

    def _one(self) -> Iterator[Completion]:
        request, outcome = self.heard.get()
        self.outstanding -= 1
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            self.again.append(request)
        elif outcome.request.id == request.id:
            yield outcome
        else:
            yield replace(outcome, request=request, from_store=True)

    def _waited(self) -> Iterator[Completion]:
        """The next completion that others bring; a look at what another process had in flight."""
        if self.outstanding:
            yield from self._one()
            return
        time.sleep(LOOK_S)
        self._look_elsewhere()

    def _look_elsewhere(self) -> None:
        """Ask again, every now and then, for what another process was sending."""
        if self.elsewhere and time.monotonic() - self.looked_s >= LOOK_S:
            self.looked_s = time.monotonic()
            self.again.extend(self.elsewhere)
            self.elsewhere.clear()

    def _over_budget(self, requests: Iterator[Request]) -> Iterator[Completion]:
        """Try the held request again once others have given room back; where nobody can, end the run.

        A run that goes on with what there is gives the rest back unasked.
        """
        if not self.account.budget.partial or self.account.budget.in_flight:
            self.account.budget.check_room()
            if self.held is not None:
                self.again.appendleft(self.held)
                self.held = None
            return
        while self.held is not None:
            yield Completion(request=self.held, finish_reason="budget", error=self.account.budget.told())
            self.held = None
            following = self._next_to_send(requests)
            yield from self._drained()
            if following is not None:
                yield from self._through(following, requests)
