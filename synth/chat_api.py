"""What goes over the wire to a chat completions server, what comes back, and what a server refuses to take.

Servers differ in what they take: a schema, JSON mode or neither; `max_tokens` or its newer name; a temperature or none.
A `Dialect` is what one server is known to take. It starts with everything, and each refusal takes something out of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from synth.backend import Completion, Request

Format = Literal["json_schema", "json_object", "none"]

_NEXT_FORMAT: Mapping[Format, Format] = {"json_schema": "json_object", "json_object": "none"}
_FORMAT_WORDS = ("response_format", "json_schema", "json_object", "schema", "grammar", "guided", "structured")
_REFUSAL_WORDS = (
    "unsupported",
    "not support",
    "not allowed",
    "unknown",
    "unrecognized",
    "unexpected",
    "extra",
    "instead",
)
_SPARE = ("temperature", "top_p", "seed", "stop")


class BadReply(Exception):
    """A server answered with success, and not with a completion."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server takes: a way to ask for a schema, a name for the longest reply, and what it does without."""

    format: Format = "json_schema"
    tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    without: frozenset[str] = frozenset()

    def body(self, request: Request, model: str) -> dict[str, Any]:
        """The JSON that is sent for a request."""
        sampling = request.sampling
        wanted = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": None if sampling.seed is None else sampling.seed + request.sample,
            "stop": list(sampling.stop) or None,
        }
        messages = [{"role": message.role, "content": utf8(message.content)} for message in request.messages]
        spare = {name: value for name, value in wanted.items() if value is not None and name not in self.without}
        return (
            {"model": model, "messages": messages, self.tokens: sampling.most_tokens} | spare | self._format_of(request)
        )

    def after(self, said: str, request: Request) -> "Dialect | None":
        """The dialect to try after a server refused a request, saying this; None where the words say nothing of it."""
        said = said.lower()
        if "context length" in said or "context_length" in said or "context window" in said:
            return None
        refused = any(word in said for word in _REFUSAL_WORDS)
        if self.tokens == "max_tokens" and "max_completion_tokens" in said and refused:
            return replace(self, tokens="max_completion_tokens")
        for name in _SPARE:
            if name in said and refused and name in self.body(request, ""):
                return replace(self, without=self.without | {name})
        if request.schema is not None and self.format in _NEXT_FORMAT and any(word in said for word in _FORMAT_WORDS):
            return replace(self, format=_NEXT_FORMAT[self.format])
        return None

    def _format_of(self, request: Request) -> dict[str, Any]:
        if request.schema is None or self.format == "none":
            return {}
        if self.format == "json_object":
            return {"response_format": {"type": "json_object"}}
        schema = {"name": "answer", "strict": True, "schema": dict(request.schema)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}


def completion_of(raw: bytes, request: Request, latency_s: float = 0.0) -> Completion:
    """The completion in a server's answer; BadReply where there is none (no JSON, no choices, an error in disguise)."""
    try:
        plain = json.loads(raw)
    except ValueError as error:
        raise BadReply(f"the reply is no JSON: {raw[:80]!r}") from error
    choices = plain.get("choices") if isinstance(plain, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BadReply(f"the reply holds no completion: {raw[:200].decode('utf-8', 'replace')}")
    text, refused = _text_of(choices[0].get("message"))
    usage = _mapping(plain.get("usage"))
    return Completion(
        request=request,
        text=utf8(text),
        finish_reason="refusal" if refused else str(choices[0].get("finish_reason") or "stop"),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(_mapping(usage.get("prompt_tokens_details")).get("cached_tokens")),
        model=str(plain.get("model") or ""),
        latency_s=latency_s,
    )


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """How many seconds a server asks to wait, given as a number or as a date; None where it asks for nothing.

    >>> retry_after_s({"retry-after": "2.5"})
    2.5
    >>> retry_after_s({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, datetime(2026, 10, 21, 7, 28, tzinfo=UTC))
    30.0
    """
    said = headers.get("retry-after", "").strip()
    if not said:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    aware = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (aware - (now or datetime.now(UTC))).total_seconds())


def utf8(text: str) -> str:
    """The text with what UTF-8 cannot carry (half a surrogate pair) replaced by a question mark.

    >>> utf8("a" + chr(0xD800))
    'a?'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def _text_of(message: object) -> tuple[str, bool]:
    """What a message says, and whether it is a refusal. What a model only thought counts where it said nothing else."""
    fields = _mapping(message)
    if not fields.get("content") and fields.get("refusal"):
        return str(fields["refusal"]), True
    for name in ("content", "reasoning_content", "reasoning"):
        said = fields.get(name)
        if isinstance(said, list):
            said = "".join(str(_mapping(part).get("text", "")) for part in said)
        if isinstance(said, str) and said:
            return said, False
    return "", False


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
