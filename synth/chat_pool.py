"""One model behind one server or several: places, rates, tries again, and leaving alone a server that is sick.

A request goes to the server with the smallest share of its places taken. What may pass is tried again, on whichever
server is free by then, after a wait twice as long as the time before, or as long as the server asks for where there is
no other.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from synth.backend import Completion, Request
from synth.chat_api import BadReply
from synth.chat_client import ChatClient
from synth.errors import BackendError
from synth.pace import Allowance, Outcome
from synth.wire import Endpoint, Refused, Unreachable, WireError, asked_to_wait_s, is_busy, may_pass, said_of

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

BYTES_A_TOKEN = 3.0
"""A guess that is rather low, for limits of tokens a minute; what a server counts corrects it."""

GONE_AFTER_S = 60.0
"""Seconds without any answer after which servers that refuse connections are gone, and the run ends."""

_TRIES_OF_A_STRANGER = 2
"""How often a server is tried that refuses connections and has never answered."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often one request is tried; seconds."""

    most_tries: int = 6
    first_wait_s: float = 0.5
    deadline_s: float = 3600.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


class Failed(Exception):
    """A request has failed for good; what was said, in one line."""


class ChatPool:
    """The clients of one model's servers. It belongs to the event loop that it is made in."""

    def __init__(self, endpoints: Sequence[Endpoint], patience: Patience) -> None:
        self.clients = [ChatClient(endpoint) for endpoint in endpoints]
        self._patience = patience
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._answered_s = float("-inf")
        self._timer: asyncio.TimerHandle | None = None
        self._requests = Allowance(patience.requests_per_minute) if patience.requests_per_minute else None
        self._tokens = Allowance(patience.tokens_per_minute) if patience.tokens_per_minute else None

    @property
    def places(self) -> int:
        """How many requests may be in flight at this moment."""
        return sum(client.pace.limit for client in self.clients)

    async def chat(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion for each of several samples of a request; one with `error` where it failed for good.

        Raises BackendError where no other request would do better.
        """
        started = time.perf_counter()
        left, done = list(requests), list[Completion]()
        while left:
            try:
                tokens = _tokens_of(left) if self._tokens else 0.0
                came = await self.run(lambda client, asked=left: client.chat(asked), tokens)  # type: ignore[misc]  # bound at once
            except Failed as error:
                seconds = time.perf_counter() - started
                return done + [Completion(request=each, error=str(error), latency_s=seconds) for each in left]
            self._correct(left, came)
            done += came
            left = left[len(came) :]
        return done

    async def run(self, work: Callable[[ChatClient], Awaitable[T]], tokens: float) -> T:
        """What some work with a server gives, tried again where that may help; `tokens` is a guess of what it takes.

        Raises Failed, or BackendError where nothing else would do better.
        """
        started = time.perf_counter()
        try:
            try:
                return await self._once(work, tokens)
            except _Try as first:
                left_s = self._patience.deadline_s - (time.perf_counter() - started)
                async with asyncio.timeout(left_s):
                    return await self._again(work, tokens, first)
        except TimeoutError:
            raise Failed("it took longer than `deadline_s:` allows, all tries together") from None
        except _Try as last:
            one_of_several = time.perf_counter() - self._answered_s < GONE_AFTER_S and len(self.clients) > 1
            lost = isinstance(last.error, Unreachable) and one_of_several
            wrong = "" if lost else await last.client.what_is_wrong(last.error)
            if wrong:
                raise BackendError(last.client.hidden(f"{last.client.endpoint.place}: {wrong}")) from None
            raise Failed(last.client.hidden(said_of(last.error))) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._timer is not None:
            self._timer.cancel()
        for client in self.clients:
            await client.close()

    async def _again(self, work: Callable[[ChatClient], Awaitable[T]], tokens: float, first: "_Try") -> T:
        """The further tries after the first has failed."""
        from tenacity import AsyncRetrying, retry_if_exception

        failed = [first]

        async def once() -> T:
            if failed:
                raise failed.pop()
            return await self._once(work, tokens)

        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, _Try) and may_pass(error.error)),
            stop=self._is_enough,
            wait=self._wait_s,
            reraise=True,
        )
        return await retrying(once)

    async def _once(self, work: Callable[[ChatClient], Awaitable[T]], tokens: float) -> T:
        """One try, at another server at once where the one that was chosen has never answered. Raises _Try."""
        if self._requests or self._tokens:
            await self._keep_to_the_rates(tokens)
        for _ in self.clients[1:]:
            client = await self._place()
            try:
                return await self._at(client, work)
            except _Try as failed:
                if not isinstance(failed.error, Unreachable) or client.has_answered or not self._any_answered():
                    raise
        return await self._at(await self._place(), work)

    async def _at(self, client: ChatClient, work: Callable[[ChatClient], Awaitable[T]]) -> T:
        """One try at a server, whose place is taken already. Raises _Try."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(min(client.endpoint.timeout_s, self._patience.deadline_s)):
                given = await work(client)
        except (WireError, BadReply, TimeoutError) as error:
            client.pace.end(_outcome(error), time.perf_counter() - started, asked_to_wait_s(error))
            raise _Try(client, error) from error
        except BaseException:
            client.pace.in_flight -= 1
            raise
        else:
            self._answered_s = time.perf_counter()
            client.pace.end("answered", self._answered_s - started)
            return given
        finally:
            self._wake()

    async def _place(self) -> ChatClient:
        """A server with room for one more, which is taken."""
        while self._waiting or (free := self._free()) is None:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            self._wake()
            try:
                await turn
            except asyncio.CancelledError:  # its turn may have come just then: it is another's
                self._wake()
                raise
            if (free := self._free()) is not None:
                break
        free.pace.begin()
        self._wake()
        return free

    def _free(self) -> ChatClient | None:
        """The server with the smallest share of its places taken; None where none has room."""
        if len(self.clients) == 1:
            return self.clients[0] if self.clients[0].pace.room > 0 else None
        free = [client for client in self.clients if client.pace.room > 0]
        return min(free, key=lambda client: client.pace.in_flight / client.pace.limit, default=None)

    def _wake(self) -> None:
        """Give the next request its turn, now or when a server's rest is over."""
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        if not self._waiting:
            return
        if self._free() is not None:
            self._waiting.popleft().set_result(None)
            return
        rests = [client.pace.rest_s for client in self.clients if client.pace.rest_s > 0]
        if rests:
            self._wake_at(_now() + min(rests) + 0.01)

    def _wake_at(self, when_s: float) -> None:
        """Look again at that moment of the loop, or sooner."""
        if self._timer is not None and _now() <= self._timer.when() <= when_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when_s, self._wake)

    async def _keep_to_the_rates(self, tokens: float) -> None:
        for allowance, units in ((self._requests, 1.0), (self._tokens, tokens)):
            if allowance is None:
                continue
            while (wait_s := allowance.wait_s(units)) > 0:
                await asyncio.sleep(wait_s)
            allowance.use(units)

    def _correct(self, asked: Sequence[Request], came: Sequence[Completion]) -> None:
        """Give back to the rate of tokens what was guessed too much."""
        if self._tokens is not None:
            self._tokens.use(sum(c.prompt_tokens + c.completion_tokens for c in came) - _tokens_of(asked))

    def _is_enough(self, state: "RetryCallState") -> bool:
        """True where a request is not sent once more."""
        failed = state.outcome.exception() if state.outcome else None
        most = self._patience.most_tries
        gone = isinstance(failed, _Try) and isinstance(failed.error, Unreachable)
        stranger = gone and not self._any_answered()
        if gone and self._any_answered() and time.perf_counter() - self._answered_s > GONE_AFTER_S:
            return state.attempt_number >= _TRIES_OF_A_STRANGER
        return state.attempt_number >= (min(most, _TRIES_OF_A_STRANGER * len(self.clients)) if stranger else most)

    def _wait_s(self, state: "RetryCallState") -> float:
        """Seconds until the next try: as long as the only server asks for, else doubled, with some jitter."""
        from tenacity import wait_random_exponential

        failed = state.outcome.exception() if state.outcome else None
        if isinstance(failed, _Try) and len(self.clients) == 1:
            asked = asked_to_wait_s(failed.error)
            if asked is not None:
                return asked
        return wait_random_exponential(multiplier=self._patience.first_wait_s, max=60)(state)

    def _any_answered(self) -> bool:
        return any(client.has_answered for client in self.clients)


class _Try(Exception):
    """One try that failed: at which server, and how."""

    def __init__(self, client: ChatClient, error: Exception) -> None:
        super().__init__(str(error))
        self.client = client
        self.error = error


def _outcome(error: Exception) -> Outcome:
    """What a failure says of its server: nothing where the request itself may be at fault, as with 400 or 500."""
    if is_busy(error):
        return "busy"
    if isinstance(error, Refused):
        return "failed" if error.status in (502, 504) else "answered"
    return "answered" if isinstance(error, BadReply) else "failed"


def _now() -> float:
    return asyncio.get_running_loop().time()


def _tokens_of(requests: Sequence[Request]) -> float:
    """A guess of the tokens that a request takes, its replies included."""
    bytes_in = sum(len(message.content.encode("utf-8", "replace")) for message in requests[0].messages)
    return bytes_in / BYTES_A_TOKEN + sum(request.sampling.most_tokens for request in requests)
