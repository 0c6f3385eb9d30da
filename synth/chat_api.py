"""What goes over the wire to a chat completions server, what comes back, and what a server refuses to take.

Servers differ in what they take: a schema, JSON mode or neither; `max_tokens` or its newer name; a temperature or none.
A `Dialect` is what one server is known to take. It starts with everything, and each refusal takes something out of it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from synth.backend import NOT_WEIGHED, Completion, Request, Token

Format = Literal["json_schema", "strict_subset", "json_object", "none"]

_NEXT_FORMAT: Mapping[Format, Format] = {
    "json_schema": "json_object",
    "strict_subset": "json_object",
    "json_object": "none",
}
_STRICT = frozenset(("type", "properties", "required", "additionalProperties", "items", "enum", "description", "anyOf"))
"""What every strict schema mode knows of JSON schema. Bounds are checked when the reply is read, whoever wrote it."""
_FORMAT_WORDS = ("response_format", "json_schema", "json_object", "schema", "grammar", "guided", "structured")
_BOUND_WORDS = ("length", "pattern", "minimum", "maximum", "items", "required", "keyword", "not permitted", "strict")
"""What a refusal speaks of that means a part of the schema, not schemas at all."""
_REFUSAL_WORDS = (
    "unsupported",
    "not support",
    "not allowed",
    "unknown",
    "unrecognized",
    "unexpected",
    "extra",
    "instead",
    "must be between",
)
_SPARE = ("temperature", "top_p", "seed", "stop", "n")


class BadReply(Exception):
    """A server answered with success, and not with a completion."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server takes: a way to ask for a schema, a name for the longest reply, and what it does without."""

    format: Format = "json_schema"
    tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    without: frozenset[str] = frozenset()

    def body(self, requests: Sequence[Request], model: str) -> dict[str, Any]:
        """The JSON that is sent for a request, or for several samples of it."""
        request = requests[0]
        sampling = request.sampling
        wanted = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": None if sampling.seed is None else sampling.seed + request.sample,
            "stop": list(sampling.stop) or None,
            "n": len(requests) if len(requests) > 1 else None,
        }
        messages = [{"role": message.role, "content": utf8(message.content)} for message in request.messages]
        most = 1 if request.is_weighed else sampling.most_tokens
        body: dict[str, Any] = {"model": model, "messages": messages, self.tokens: most}
        body |= {name: value for name, value in wanted.items() if value is not None and name not in self.without}
        body |= self._format_of(request)
        return body | _weighing(request) | dict(sampling.extra)

    def after(self, said: str, request: Request) -> "Dialect | None":
        """The dialect to try after a server refused a request, saying this; None where the words say nothing of it."""
        said = said.lower()
        if "context length" in said or "context_length" in said or "context window" in said:
            return None
        refused = any(word in said for word in _REFUSAL_WORDS)
        if self.tokens == "max_tokens" and "max_completion_tokens" in said and refused:
            return replace(self, tokens="max_completion_tokens")
        asked = self.body([request, request], "")
        for name in _SPARE:
            if refused and name in asked and name not in request.sampling.extra and _names(said, name):
                return replace(self, without=self.without | {name})
        if request.schema is not None and self.format in _NEXT_FORMAT and any(word in said for word in _FORMAT_WORDS):
            bounds = self.format == "json_schema" and any(word in said for word in _BOUND_WORDS)
            return replace(self, format="strict_subset" if bounds else _NEXT_FORMAT[self.format])
        return None

    def _format_of(self, request: Request) -> dict[str, Any]:
        if request.schema is None or self.format == "none":
            return {}
        if self.format == "json_object":
            return {"response_format": {"type": "json_object"}}
        schema = dict(request.schema) if self.format == "json_schema" else strict_subset(request.schema)
        named = {"name": "answer", "strict": True, "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": named}}


def strict_subset(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without bounds and patterns, its fields all required: what strict servers take.

    >>> strict_subset({"type": "object", "properties": {"q": {"type": "string", "maxLength": 9}}})
    {'type': 'object', 'properties': {'q': {'type': 'string'}}, 'required': ['q'], 'additionalProperties': False}
    """
    plain = {name: value for name, value in schema.items() if name in _STRICT}
    if isinstance(plain.get("items"), Mapping):
        plain["items"] = strict_subset(plain["items"])
    if isinstance(plain.get("properties"), Mapping):
        plain["properties"] = {name: strict_subset(inner) for name, inner in plain["properties"].items()}
        plain |= {"required": list(plain["properties"]), "additionalProperties": False}
    return plain


def _weighing(request: Request) -> dict[str, Any]:
    """What asks for log-probabilities: of the reply as everybody does, of the prompt as vLLM's server does."""
    wanted: dict[str, Any] = {}
    if request.top_logprobs is not None:
        wanted |= {"logprobs": True} | ({"top_logprobs": request.top_logprobs} if request.top_logprobs else {})
    if request.prompt_logprobs:
        wanted |= {"prompt_logprobs": 0}
    if request.is_weighed:
        wanted |= {"add_generation_prompt": False, "continue_final_message": True}
    return wanted


def _names(said: str, name: str) -> bool:
    """True where a refusal speaks of a field by its name, and not of a word that holds it."""
    return re.search(rf"(?<![a-z_]){name}(?![a-z_])", said) is not None


def completions_of(raw: bytes, requests: Sequence[Request], latency_s: float = 0.0) -> list[Completion]:
    """The completions in a server's answer, one for each of the first requests; fewer where it gave fewer choices.

    The prompt's tokens are counted to the first, those of the replies are shared out. Raises BadReply where there is
    none (no JSON, no choices, an error in disguise).
    """
    try:
        plain = json.loads(raw)
    except ValueError as error:
        raise BadReply(f"the reply is no JSON: {raw[:80]!r}") from error
    choices = plain.get("choices") if isinstance(plain, dict) else None
    if not isinstance(choices, list) or not choices or not all(isinstance(choice, dict) for choice in choices):
        raise BadReply(f"the reply holds no completion: {raw[:200].decode('utf-8', 'replace')}")
    usage = _mapping(plain.get("usage"))
    pairs = list(zip(requests, choices, strict=False))
    shares = _shares(_count(usage.get("completion_tokens")), len(pairs))
    first = _counts_of_prompt(usage)
    weighed = _prompt_tokens(plain.get("prompt_logprobs"))
    model = str(plain.get("model") or "")
    return [
        _completion(
            request,
            choice,
            {"model": model, "latency_s": latency_s, "prompt_logprobs": weighed}
            | {"completion_tokens": share}
            | (first if place == 0 else {}),
        )
        for place, ((request, choice), share) in enumerate(zip(pairs, shares, strict=True))
    ]


def _completion(request: Request, choice: Mapping[str, Any], told: Mapping[str, Any]) -> Completion:
    text, refused = _text_of(choice.get("message"))
    logprobs = _reply_tokens(choice.get("logprobs"), request.top_logprobs or 0)
    lacking = _lacking(request, logprobs, told["prompt_logprobs"])
    return Completion(
        request=request,
        text=utf8(text),
        finish_reason="refusal" if refused else str(choice.get("finish_reason") or "stop"),
        logprobs=logprobs,
        error=lacking,
        **told,
    )


def _lacking(request: Request, logprobs: tuple[Token, ...], weighed: tuple[Token, ...]) -> str:
    """What a request asked for and the server left out without a word."""
    if request.top_logprobs is not None and not logprobs:
        return "the server gave no log-probabilities of its reply; this model or server does not tell them"
    if request.prompt_logprobs and not weighed:
        return NOT_WEIGHED
    return ""


def _shares(total: int, parts: int) -> list[int]:
    """A whole number cut into whole parts.

    >>> _shares(10, 3)
    [4, 3, 3]
    """
    return [total // parts + (place < total % parts) for place in range(parts)]


def _counts_of_prompt(usage: Mapping[str, Any]) -> dict[str, int]:
    details = _mapping(usage.get("prompt_tokens_details"))
    return {"prompt_tokens": _count(usage.get("prompt_tokens")), "cached_tokens": _count(details.get("cached_tokens"))}


def _reply_tokens(logprobs: object, most: int) -> tuple[Token, ...]:
    """The reply's tokens, each with at most so many others: some servers send more than they were asked for."""
    content = _mapping(logprobs).get("content")
    return tuple(
        Token(
            str(token.get("token", "")),
            _number(token.get("logprob")),
            {
                str(t.get("token", "")): _number(t.get("logprob")) or 0.0
                for t in (token.get("top_logprobs") or ())[:most]
            },
        )
        for token in (content if isinstance(content, list) else ())
        if isinstance(token, dict)
    )


def _prompt_tokens(listed: object) -> tuple[Token, ...]:
    """The prompt's tokens as vLLM's server tells them: null for the first, then the token and others by their ids."""
    tokens = []
    for entry in listed if isinstance(listed, list) else ():
        own = next((value for value in _mapping(entry).values() if isinstance(value, dict)), {})
        tokens.append(Token(str(own.get("decoded_token", "")), _number(own.get("logprob"))))
    return tuple(tokens)


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
    return value if isinstance(value, int) and value > 0 else 0


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
