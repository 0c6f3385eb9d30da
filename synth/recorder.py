"""A rehearsal of what a step asks: the same stage, the same rows, made-up replies; nothing is sent."""

from collections.abc import Iterable, Iterator

from pydantic import PrivateAttr

from synth.backend import Backend, Completion, Request
from synth.backends.scripted import Scripted


class Recorder(Backend):
    """Keeps what it is asked, and answers with what fits the schema."""

    _asked: list[Request] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[Request]:
        """The requests so far."""
        return self._asked

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Made-up replies."""
        for request in requests:
            self._asked.append(request)
            yield from Scripted().complete([request])
