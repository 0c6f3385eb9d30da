"""What a run may spend: a hard cap on dollars, tokens, requests or minutes of accelerators, over all its resumes.

    budget: {usd: 20, tokens: 5_000_000}

Before a request is sent, the most that it can take is set aside: a token for each byte of its prompt and all the tokens
that its reply may have. What it took is known when it is answered, and the rest is given back. So the cap holds
whatever the replies are like; near the end fewer requests are in flight, and what is left over is less than one of
them could have taken. A server that does not count its tokens is charged what was set aside.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from synth.backend import Completion, Price, Request
from synth.errors import BudgetSpent
from synth.estimate import Forecast, Measure, about, amount, usd_of
from synth.replies import Spent

TOKENS_A_MESSAGE = 32
"""Tokens that a chat template adds to a message at most, at a guess; what servers count corrects it."""
NOTHING = Spent()
"""What is set aside where nothing is capped."""
LEEWAY = 1.25
"""What a server that counts more than can be is taken to count next time, over the worst so far."""
PROBE = 20
"""Replies after which it is told what the whole run will take."""


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

    def told(self) -> str:
        """The caps as a person reads them."""
        return ", ".join(amount(name, cap) for name, cap in self.named().items())


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was set aside for one request, at most; and where it goes: accelerators, and the engine that holds them."""

    most: Spent
    price: Price
    gpus: int
    engine: int
    bytes_in: int
    most_out: int


@dataclass(slots=True)
class _Clock:
    """Seconds that accelerators are held while something is in flight, times their number."""

    unpaid_s: float = 0.0
    _mark_s: float = 0.0
    _held: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def gpus(self) -> int:
        """Accelerators that are held at this moment."""
        return sum(gpus for gpus, _ in self._held.values())

    def change(self, gpus: int, engine: int, by: int) -> None:
        """Count so many requests more, or fewer, that are in flight at an engine of so many accelerators."""
        if not gpus:
            return
        self.tick()
        flying = self._held.get(engine, (gpus, 0))[1] + by
        if flying > 0:
            self._held[engine] = (gpus, flying)
        else:
            self._held.pop(engine, None)

    def tick(self) -> float:
        """The seconds that nobody was charged for yet, up to now."""
        now_s = time.monotonic()
        self.unpaid_s += (now_s - self._mark_s) * self.gpus
        self._mark_s = now_s
        return self.unpaid_s

    def charge(self) -> float:
        """The same, charged with this."""
        unpaid_s, self.unpaid_s = self.tick(), 0.0
        return unpaid_s


@dataclass(slots=True)
class Budget:
    """What a run has spent, what it has set aside for requests in flight, and what it may spend.

    `expected` is what the whole run will ask, as far as that is known; `say` is told once, after the first replies,
    what it will take. `ended`: something found no room; `stopped`: the run ends for want of it, and nobody may send.
    """

    caps: Caps = field(default_factory=Caps)
    spent: Spent = field(default_factory=Spent)
    partial: bool = False
    expected: Forecast | None = None
    say: Callable[[str], None] | None = None
    reserved: Spent = field(default_factory=Spent)
    in_flight: int = 0
    ended: bool = False
    stopped: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _clock: _Clock = field(default_factory=_Clock)
    _seen: Spent = field(default_factory=Spent)
    _seen_bytes: int = 0
    _seen_most: int = 0
    _prompt_factor: float = 1.0
    _reply_factor: float = 1.0
    _longest_s: float = 0.0
    _refused: Spent | None = None
    _schemas: dict[int, tuple[Any, int]] = field(default_factory=dict)
    _has_told: bool = False
    _named_caps: Mapping[str, float] = field(init=False)

    def __post_init__(self) -> None:
        self._named_caps = self.caps.named()

    def reserve(
        self, request: Request, price: Price | None, gpus: int, *, wait: bool, engine: int = 0
    ) -> Reservation | None:
        """Set aside the most that a request can take, of so many accelerators; None where there is no room for it.

        `engine` tells those accelerators from others: it is the same for all who share them. With `wait` it waits as
        long as what is in flight may give some back.
        """
        if not self._named_caps:
            with self._changed:
                self.in_flight += 1
                self._clock.change(gpus, engine or gpus, 1)
            return Reservation(NOTHING, price or Price(), gpus, engine or gpus, 0, 0)
        bytes_in = self._bytes_of(request)
        with self._changed:
            while True:
                reservation = self._most(request, price or Price(), (gpus, engine or gpus), bytes_in)
                if self._fits(reservation):
                    self.reserved += reservation.most
                    self.in_flight += 1
                    self._clock.change(gpus, reservation.engine, 1)
                    return reservation
                if not wait or not self.in_flight or self.stopped:
                    self.ended = True
                    self._refused = reservation.most
                    return None
                self._changed.wait(timeout=1.0)

    def settle(self, reservation: Reservation, completion: Completion) -> Spent:
        """What a request has really taken, counted as spent; what was set aside for it is given back."""
        prompt, reply, cached = completion.prompt_tokens, completion.completion_tokens, completion.cached_tokens
        if completion.text and not reply and not completion.error:  # the server does not count: the most is charged
            prompt, reply = reservation.most.prompt_tokens, reservation.most.completion_tokens
        usd = usd_of(reservation.price, prompt, reply, cached)
        with self._changed:
            took = Spent(0 if completion.error else 1, prompt, reply, cached, usd, self._clock.charge())
            self.spent += took
            if self._named_caps:
                self._learn(reservation, completion, took)
            self._give_back(reservation)
            said, say = self._news(), self.say
        if said and say is not None:
            say(said)
        return took

    def release(self, reservation: Reservation) -> None:
        """Give back what was set aside for a request that was not sent or came to nothing."""
        with self._changed:
            self._give_back(reservation)

    def check_room(self) -> None:
        """Return when something was given back. Raises BudgetSpent where nothing is in flight that could be.

        Nobody is given room from then on: what others of this run sent now would be cut off unanswered, and paid.
        """
        with self._changed:
            if self.in_flight:
                self._changed.wait(timeout=1.0)
                return
            self.stopped = True
        raise BudgetSpent(self.told())

    def told(self) -> str:
        """How far the run came, and what finishing would take."""
        if self._refused is not None and not self.spent.requests:
            needed = ", ".join(amount(name, getattr(self._refused, name)) for name in self._named_caps)
            return (
                f"the budget of {self.caps.told()} has no room for a single request, which may take {needed}: raise "
                "`budget:`, or let replies be shorter with `sampling: {most_tokens: …}`"
            )
        so_far = ", ".join(amount(name, getattr(self.spent, name)) for name in self._shown())
        return f"the budget of {self.caps.told()} has no room for the next request: {so_far} so far{self._rest()}"

    def whole(self) -> Spent | None:
        """What the whole run takes, as the replies so far show it; None where nothing is known of it yet."""
        if self.expected is None or not self.spent.requests:
            return None
        mean = self.expected.requests / self.spent.requests
        if not self._seen.requests:  # nothing was asked since the run was resumed
            prompt, reply, cached = (round(count * mean) for count in self.spent.plain()[1:4])
            usd, seconds = self.spent.usd * mean, self.spent.gpu_s * mean
            return Spent(self.expected.requests, prompt, reply, cached, usd, seconds)
        measure = Measure(
            self._seen.prompt_tokens / max(self._seen_bytes, 1),
            self._seen.completion_tokens / max(self._seen_most, 1),
            self._seen.cached_tokens / max(self._seen.prompt_tokens, 1),
        )
        return replace(self.expected.takes(measure), gpu_s=self.spent.gpu_s * mean)

    def _shown(self) -> list[str]:
        """The figures that a person is told."""
        more = [name for name in ("usd", "gpu_s") if name in self._named_caps or (name == "usd" and self.spent.usd)]
        return ["requests", "tokens", *more]

    def _rest(self) -> str:
        """What finishing takes, as far as it can be told."""
        again = "raise `budget:` and run the same command again, it goes on from here"
        whole = self.whole()
        if whole is None or self.expected is None or whole.requests <= self.spent.requests:
            return f"; {again}"
        rest = whole - self.spent
        more = ", ".join(about(name, max(getattr(rest, name), 0)) for name in self._shown())
        roughly = "at least" if self.expected.more else "up to about"
        return (
            f", {self.spent.requests / whole.requests:.0%} of the way; finishing takes {roughly} {more} more: {again}"
        )

    def _news(self) -> str:
        """What the whole will take, told once when the first replies have shown it."""
        if self._has_told or self._seen.requests < PROBE or self.expected is None:
            return ""
        self._has_told = True
        whole = self.whole()
        if whole is None or whole.requests <= PROBE:
            return ""
        share = min(cap / max(getattr(whole, name), 1e-9) for name, cap in self._named_caps.items())
        roughly = "at least" if self.expected.more else "up to about"
        takes = ", ".join(about(name, getattr(whole, name)) for name in self._shown())
        covers = f"covers {share:.0%} of it" if share < 1 else "covers it"
        return f"the whole run takes {roughly} {takes}; the budget of {self.caps.told()} {covers}"

    def _bytes_of(self, request: Request) -> int:
        """Bytes of what is sent to be read: the messages, their marks, and the schema, which some servers read out."""
        messages = sum(len(m.content.encode("utf-8", "replace")) + TOKENS_A_MESSAGE for m in request.messages)
        if request.schema is None:
            return messages
        if id(request.schema) not in self._schemas:
            self._schemas[id(request.schema)] = (request.schema, len(json.dumps(request.schema, default=str)))
        return messages + self._schemas[id(request.schema)][1]

    def _most(self, request: Request, price: Price, held: tuple[int, int], bytes_in: int) -> Reservation:
        gpus, engine = held
        most_out = request.sampling.most_tokens
        prompt, reply = int(bytes_in * self._prompt_factor) + 1, int(most_out * self._reply_factor)
        most = Spent(1, prompt, reply, 0, usd_of(price, prompt, reply), self._longest_s * gpus)
        return Reservation(most, price, gpus, engine, bytes_in, most_out)

    def _fits(self, reservation: Reservation) -> bool:
        if self.stopped:
            return False
        total = self.spent + self.reserved + reservation.most
        # Requests in flight share the accelerators: the seconds that each may take are not added up.
        held = max(self._clock.gpus, reservation.gpus)
        total.gpu_s = self.spent.gpu_s + self._clock.tick() + self._longest_s * held
        return all(getattr(total, name) <= cap for name, cap in self._named_caps.items())

    def _learn(self, reservation: Reservation, completion: Completion, took: Spent) -> None:
        if took.requests:
            self._seen += took
            self._seen_bytes += reservation.bytes_in
            self._seen_most += reservation.most_out
        self._longest_s = max(self._longest_s, completion.latency_s)
        if completion.prompt_tokens > reservation.bytes_in * self._prompt_factor:
            self._prompt_factor = LEEWAY * completion.prompt_tokens / reservation.bytes_in
        if completion.completion_tokens > reservation.most_out * self._reply_factor:
            self._reply_factor = LEEWAY * completion.completion_tokens / reservation.most_out

    def _give_back(self, reservation: Reservation) -> None:
        self.in_flight -= 1
        if reservation.most is not NOTHING:
            self.reserved = self.reserved - reservation.most if self.in_flight else Spent()
        self._clock.change(reservation.gpus, reservation.engine, -1)
        self._changed.notify_all()
