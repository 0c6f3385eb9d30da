"""What a step asked of its models: requests and tokens, counted as the completions come."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import PrivateAttr

from synth.backend import Backend, Completion, Request


@dataclass(slots=True)
class Usage:
    """Requests sent and failed; tokens as the server counted them."""

    sent: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def count(self, completion: Completion) -> None:
        """Count one completion. Safe to call from several threads."""
        with self.lock:
            self.sent += 1
            self.failed += bool(completion.error)
            self.prompt_tokens += completion.prompt_tokens
            self.completion_tokens += completion.completion_tokens
            self.cached_tokens += completion.cached_tokens

    def plain(self) -> dict[str, int]:
        """The counts by name."""
        return {name: getattr(self, name) for name in USAGE}


USAGE = tuple(name for name in Usage.__slots__ if name != "lock")


def total(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
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
        metered = cls(model=inner.model, sampling=inner.sampling)
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
