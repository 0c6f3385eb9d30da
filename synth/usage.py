"""What a step asked of its models: requests and tokens, counted as the completions come."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from synth.backend import Backend, Completion, Request
from synth.estimate import amount
from synth.replies import Spent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True)
class Usage:
    """Requests sent, answered from the store, and failed; tokens of what was sent, as the server counts; dollars.

    `errors` are the failed ones by kind: a status of the server (`429`), or what happened in a word or two.
    """

    sent: int = 0
    from_store: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def count(self, completion: Completion) -> None:
        """Count one completion. Safe to call from several threads. What a budget left unasked counts nowhere."""
        if completion.finish_reason == "budget":
            return
        with self.lock:
            if completion.from_store:
                self.from_store += 1
                return
            self.sent += 1
            if completion.error:
                self.failed += 1
                kind = kind_of(completion.error)
                self.errors[kind] = self.errors.get(kind, 0) + 1
            self.prompt_tokens += completion.prompt_tokens
            self.completion_tokens += completion.completion_tokens
            self.cached_tokens += completion.cached_tokens

    def plain(self) -> dict[str, float]:
        """The counts by name."""
        return {name: getattr(self, name) for name in USAGE}

    def with_all(self, spent: Spent) -> dict[str, float]:
        """The counts by name, with what the same step had paid for before the run was resumed."""
        before = max(spent.requests - (self.sent - self.failed), 0)
        more = {"sent": self.sent + before, "from_store": max(self.from_store - before, 0), "usd": spent.usd}
        tokens = ("prompt_tokens", "completion_tokens", "cached_tokens")
        return self.plain() | more | {name: max(getattr(self, name), getattr(spent, name)) for name in tokens}


USAGE = tuple(name for name in Usage.__slots__ if name not in ("errors", "lock"))
_KINDS = {
    "timeout": ("timeout_s:", "deadline_s:"),
    "lost connection": ("connection was lost",),
    "no connection": ("no connection",),
    "garbled reply": ("is no JSON", "holds no completion"),
    "no log-probabilities": ("no log-probabilities",),
    "too long": ("context", "too long", "max_model_len"),
}


def kind_of(error: str) -> str:
    """What kind of failure an error tells of: the server's status, or what happened.

    >>> kind_of("429: slow down"), kind_of("it took longer than `timeout_s:` allows"), kind_of("!")
    ('429', 'timeout', 'other')
    """
    status = error.partition(":")[0]
    if len(status) == 3 and status.isdecimal():
        return status
    return next((kind for kind, words in _KINDS.items() if any(word in error for word in words)), "other")


def told_usage(usage: Mapping[str, float]) -> str:
    """What was asked of the models, in one line; "" where nothing was.

    >>> told_usage({"sent": 5000, "from_store": 1200, "prompt_tokens": 600_000, "completion_tokens": 90_000})
    'models: 5,000 requests sent, 1,200 from the store · 600,000 tokens in, 90,000 out'
    """
    sent, stored, failed = (int(usage.get(name, 0)) for name in ("sent", "from_store", "failed"))
    if not sent and not stored:
        return ""
    prompt, reply, cached = (int(usage.get(f"{name}_tokens", 0)) for name in ("prompt", "completion", "cached"))
    asked = [amount("requests", sent) + " sent"]
    asked += [f"{stored:,} from the store"] * bool(stored) + [f"{failed:,} failed"] * bool(failed)
    reread = f" ({cached / prompt:.0%} cached)" if cached and prompt else ""
    parts = [", ".join(asked), f"{prompt:,} tokens in{reread}, {reply:,} out"]
    parts += [amount("usd", usage["usd"])] if usage.get("usd") else []
    return "models: " + " · ".join(parts)


def total(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The sum of several counts.

    >>> total([{"sent": 2}, {"sent": 3, "failed": 1}])["sent"]
    5
    """
    counts = list(parts)
    return {name: sum(part.get(name, 0) for part in counts) for name in USAGE}


class Metered(Backend):
    """A backend whose completions are counted on the way."""

    _inner: Backend = PrivateAttr()
    _usage: Usage = PrivateAttr()

    @classmethod
    def over(cls, inner: Backend, usage: Usage) -> "Metered":
        """`inner`, its completions counted into `usage`."""
        metered = cls(model=inner.model, revision=inner.revision, price=inner.price, sampling=inner.sampling)
        metered._inner, metered._usage = inner, usage
        return metered

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """What the inner backend gives, counted."""
        for completion in self._inner.complete(requests):
            self._usage.count(completion)
            yield completion

    def identity(self) -> Mapping[str, Any]:
        """The inner backend's."""
        return self._inner.identity()

    def model_identity(self) -> str:
        """The inner backend's."""
        return self._inner.model_identity()

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """The inner backend's."""
        return self._inner.embed(texts)

    def score(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """The inner backend's."""
        return self._inner.score(pairs)
