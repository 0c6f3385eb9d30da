"""A rehearsal of what a step asks: the same stage, the same rows, made-up replies; nothing is sent.

    {"query": {"type": "string", "pattern": "^…{3,300}$"}}  ->  {"query": "made up 4c1f: floods the Nile fields …"}

What is made up fits the schema, is of a usual length, and holds words of the request, so that later prompts come out
about as long, and in the script, as they will. A truth is always true: rows pass.
"""

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from synth.backend import Backend, Completion, Request
from synth.backends.scripted import Scripted, request_hash
from synth.schema_words import lengths_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LINE, TEXT, ITEM = 10, 60, 12
"""Words of a string that is bounded, of one that is not, and of one in a list."""
LISTED = 20
"""Items of a list that may have so many."""
_WANTED = re.compile(r"at (least|most) (\d+) characters")
"""How a model is told that a text of its was too short or too long."""


class Recorder(Backend):
    """Keeps what it is asked, and answers with what fits the schema; what is asked again it does not keep."""

    weighs_prompts: ClassVar[bool] = True

    _asked: list[Request] = PrivateAttr(default_factory=list)
    _first: dict[str, Request] = PrivateAttr(default_factory=dict)

    @property
    def asked(self) -> list[Request]:
        """The requests so far."""
        return self._asked

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Made-up replies."""
        for request in requests:
            is_again = self._is_again(request)
            if not is_again:
                self._first[request.id] = request
                self._asked.append(request)
            (plain,) = Scripted().complete([request])
            yield replace(plain, text=_reply(request, is_again)) if request.schema else plain

    def score(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """The same score for every pair."""
        import numpy as np

        return np.zeros(len(pairs), np.float32)

    def _is_again(self, request: Request) -> bool:
        """True for a request that shows an earlier one's reply, which could not be read."""
        before = self._first.get(request.id)
        if before is None:
            return False
        begun = len(before.messages)
        goes_on = len(request.messages) > begun and request.messages[begun].role == "assistant"
        return goes_on and request.messages[:begun] == before.messages


def _reply(request: Request, is_again: bool) -> str:
    rng = random.Random(request_hash(request))
    user = [message.content for message in request.messages if message.role == "user"]
    bounds = {way: int(number) for way, number in _WANTED.findall(user[-1])} if is_again else {}
    making = _Making(rng, _words(user[0] if user else ""), bounds)
    return json.dumps(making.value(request.schema or {}), ensure_ascii=False)


class _Making:
    """Values that fit a schema, out of these words."""

    def __init__(self, rng: random.Random, words: Sequence[str], bounds: Mapping[str, int]) -> None:
        self._rng = rng
        self._words = words
        self._bounds = bounds

    def value(self, schema: Mapping[str, Any], words: int = TEXT) -> Any:
        """A value of the kinds that prompts can return: objects, lists, strings, numbers and truths."""
        kind = schema.get("type", "object")
        if "enum" in schema:
            return self._rng.choice(list(schema["enum"]))
        if kind == "object":
            return {name: self.value(inner) for name, inner in schema.get("properties", {}).items()}
        if kind == "array":
            return self._list(schema)
        if kind in ("integer", "number"):
            low = schema.get("minimum", 0)
            high = schema.get("maximum", low + 10)
            return self._rng.randint(low, high) if kind == "integer" else round(self._rng.uniform(low, high), 3)
        return True if kind == "boolean" else self._text(schema, words)

    def _list(self, schema: Mapping[str, Any]) -> list[Any]:
        items = schema.get("items", {})
        least, most = schema.get("minItems", 1), schema.get("maxItems", LISTED)
        found = [self.value(items, ITEM) for _ in range(min(max(LISTED, least), most))]
        different = list(dict.fromkeys(map(str, found)))
        return different if "enum" in items and len(different) >= least else found

    def _text(self, schema: Mapping[str, Any], words: int) -> str:
        lengths = lengths_of(schema)
        least, most = lengths or (self._bounds.get("least", 1), self._bounds.get("most", 1_000_000))
        mark = f"made up {self._rng.getrandbits(16):04x}:"
        text = " ".join([mark, *self._rng.choices(self._words, k=LINE if lengths else words)])
        while len(text) < least:
            text += " " + self._rng.choice(self._words)
        return text[:most].strip().ljust(least, "x")


def _words(text: str) -> list[str]:
    """The words of the longest line, most likely the document's; its characters by fours where it has no spaces."""
    line = max(text.splitlines(), key=len, default="").translate({ord('"'): None, ord("\\"): None})
    words = line.split()
    if words and len(line) > 15 * len(words):
        return [line[start : start + 4] for start in range(0, len(line), 4)]
    return [word[:30] for word in words] or ["nothing"]
