"""What a run may spend: a hard cap on dollars, tokens, requests or minutes of accelerators, over all its resumes.

    budget: {usd: 20, tokens: 5_000_000}

Before a request is sent, the most that it can take is set aside: a token for each byte of its prompt and all the tokens
that its reply may have. What it took is known when it is answered, and the rest is given back. So the cap holds
whatever the replies are like; near the end fewer requests are in flight, and what is left over is less than one of
them could have taken.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from synth.backend import Completion, Price, Request
from synth.errors import BudgetSpent
from synth.replies import Spent

TOKENS_A_MESSAGE = 32
"""Tokens that a chat template adds to a message at most, at a guess; what servers count corrects it."""
LEEWAY = 1.25
"""What a server that counts more than can be is taken to count next time, over the worst so far."""


class Caps(BaseModel):
    """A recipe's `budget:`. None means no cap."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    usd: float | None = Field(
        default=None, gt=0, description="US dollars, by the backend's `price:` or the shipped table"
    )
    tokens: int | None = Field(default=None, gt=0, description="tokens in and out")
    requests: int | None = Field(default=None, gt=0, description="requests that were answered")
    gpu_minutes: float | None = Field(default=None, gt=0, description="minutes of accelerators of this machine")

    def named(self) -> Mapping[str, float]:
        """The caps that are set, in the units of `Spent`."""
        seconds = None if self.gpu_minutes is None else 60 * self.gpu_minutes
        every = {"usd": self.usd, "tokens": self.tokens, "requests": self.requests, "gpu_s": seconds}
        return {name: value for name, value in every.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was set aside for one request, at most; and where it goes."""

    most: Spent
    price: Price
    gpus: int
    bytes_in: int
    most_out: int


@dataclass(slots=True)
class Budget:
    """What a run has spent, what it has set aside for requests in flight, and what it may spend.

    `expected` is the number of requests that the whole run will ask for, as far as it is known.
    """

    caps: Caps = field(default_factory=Caps)
    spent: Spent = field(default_factory=Spent)
    partial: bool = False
    expected: int | None = None
    reserved: Spent = field(default_factory=Spent)
    in_flight: int = 0
    ended: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _prompt_factor: float = 1.0
    _reply_factor: float = 1.0
    _longest_s: float = 0.0
    _gpu_mark_s: float = 0.0
    _named_caps: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._named_caps = self.caps.named()

    def reserve(self, request: Request, price: Price | None, gpus: int, *, wait: bool) -> Reservation | None:
        """Set aside the most that a request can take, of so many accelerators; None where there is no room for it.

        With `wait` it waits as long as what is in flight may give some back.
        """
        if not self._named_caps:
            return self._free(price or Price(), gpus)
        bytes_in = sum(len(m.content.encode("utf-8", "replace")) + TOKENS_A_MESSAGE for m in request.messages)
        with self._changed:
            while True:
                reservation = self._most(request, price or Price(), gpus, bytes_in)
                if self._fits(reservation.most):
                    self.reserved += reservation.most
                    self.in_flight += 1
                    if self.in_flight == 1:
                        self._gpu_mark_s = time.monotonic()
                    return reservation
                if not wait or not self.in_flight:
                    self.ended = True
                    return None
                self._changed.wait(timeout=1.0)

    def settle(self, reservation: Reservation, completion: Completion) -> Spent:
        """What a request has really taken, counted as spent; what was set aside for it is given back."""
        prompt, reply, cached = completion.prompt_tokens, completion.completion_tokens, completion.cached_tokens
        usd = _usd(reservation.price, prompt, reply, cached)
        with self._changed:
            now_s = time.monotonic()
            gpu_s = (now_s - self._gpu_mark_s) * reservation.gpus
            self._gpu_mark_s = now_s
            took = Spent(0 if completion.error else 1, prompt, reply, cached, usd, gpu_s)
            self.spent += took
            if self._named_caps:
                self._learn(reservation, completion)
            self._give_back(reservation)
        return took

    def release(self, reservation: Reservation) -> None:
        """Give back what was set aside for a request that was not sent or came to nothing."""
        with self._changed:
            self._give_back(reservation)

    def check_room(self) -> None:
        """Return when something was given back. Raises BudgetSpent where nothing is in flight that could be."""
        with self._changed:
            if self.in_flight:
                self._changed.wait(timeout=1.0)
                return
        raise BudgetSpent(self.told())

    def told(self) -> str:
        """How far the run came, and what finishing would take."""
        limits = ", ".join(_amount(name, cap) for name, cap in self.caps.named().items())
        used = ", ".join(
            _amount(name, getattr(self.spent, name)) for name in ("requests", "tokens", *self._named("usd"))
        )
        return f"the budget of {limits} has no room for the next request: {used} so far{self._rest()}"

    def _free(self, price: Price, gpus: int) -> Reservation:
        """What is set aside where there is no cap: nothing."""
        with self._changed:
            self.in_flight += 1
            if self.in_flight == 1:
                self._gpu_mark_s = time.monotonic()
        return Reservation(Spent(), price, gpus, 1, 1)

    def _named(self, name: str) -> tuple[str, ...]:
        return (name,) if name in self.caps.named() or getattr(self.spent, name) else ()

    def _rest(self) -> str:
        if not self.expected or not self.spent.requests or self.expected <= self.spent.requests:
            return "; raise `budget:` and run the same command again, it goes on from here"
        share = self.expected / self.spent.requests - 1
        more = ", ".join(
            _amount(name, getattr(self.spent, name) * share) for name in ("requests", "tokens", *self._named("usd"))
        )
        done = f"{self.spent.requests / self.expected:.0%}"
        return f", {done} of the way; finishing takes about {more} more: raise `budget:` and run the same command again"

    def _most(self, request: Request, price: Price, gpus: int, bytes_in: int) -> Reservation:
        prompt = int(bytes_in * self._prompt_factor) + 1
        reply = int(request.sampling.most_tokens * self._reply_factor)
        seconds = self._longest_s * gpus
        most = Spent(1, prompt, reply, 0, _usd(price, prompt, reply, 0), seconds)
        return Reservation(most, price, gpus, bytes_in, request.sampling.most_tokens)

    def _fits(self, most: Spent) -> bool:
        total = self.spent + self.reserved + most
        # Requests in flight share the accelerators: their seconds are not added up.
        total.gpu_s = self.spent.gpu_s + most.gpu_s
        return all(getattr(total, name) <= cap for name, cap in self._named_caps.items())

    def _learn(self, reservation: Reservation, completion: Completion) -> None:
        self._longest_s = max(self._longest_s, completion.latency_s)
        if completion.prompt_tokens > reservation.bytes_in * self._prompt_factor:
            self._prompt_factor = LEEWAY * completion.prompt_tokens / reservation.bytes_in
        if completion.completion_tokens > reservation.most_out * self._reply_factor:
            self._reply_factor = LEEWAY * completion.completion_tokens / reservation.most_out

    def _give_back(self, reservation: Reservation) -> None:
        self.reserved -= reservation.most
        self.in_flight -= 1
        self._changed.notify_all()


def _usd(price: Price, prompt: int, reply: int, cached: int) -> float:
    """Dollars for so many tokens; `cached` of the prompt's were read before.

    >>> _usd(Price(prompt=1, completion=2, cached=0.5), 2_000_000, 1_000_000, 1_000_000)
    3.5
    """
    fresh, again = max(prompt - cached, 0), min(cached, prompt)
    reread = price.prompt if price.cached is None else price.cached
    return (fresh * price.prompt + again * reread + reply * price.completion) / 1e6


def _amount(name: str, value: float) -> str:
    """One figure with its unit.

    >>> _amount("usd", 1.5), _amount("tokens", 12000), _amount("gpu_s", 90)
    ('$1.50', '12,000 tokens', '1.5 GPU minutes')
    """
    if name == "usd":
        return f"${value:,.2f}" if value >= 0.1 else f"${value:.4f}"
    return f"{value / 60:.1f} GPU minutes" if name == "gpu_s" else f"{value:,.0f} {name}"
