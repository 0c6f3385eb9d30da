r"""Replies without a model: from a file of them, or made up to fit the schema. For tests, previews and replays.

    backends:
      writer: {use: scripted, replies: replies.jsonl}

Each line of the file is one reply: `reply` is the object that the model returns, `text` what it writes word for word.

    {"when": "The Nile floods", "reply": {"query": "when does the Nile burst its banks?"}}
    {"when": ["Amazon", "basin"], "text": "I'm sorry, I cannot help with that.", "turn": 1}
    {"when": "Rhine", "text": "{\"query\": \"how lo", "finish_reason": "length"}
    {"request": "5be1…", "error": "the server went away"}

`when` is a text, or several, that must all stand in what the user's messages say; `request` is the hash of one request
(`request_hash`) instead. `turn` is the number of replies that the conversation already holds: 0 unless said, 1 after
one that could not be read. A line with `reply` answers only a request whose schema knows its fields.

Where log-probabilities are wanted, `chances` says how likely the words were in the place where one of them stands:

    {"when": "Nile", "reply": {"answer": "yes"}, "chances": {"yes": 0.9, "no": 0.1}}

Where a text is to be weighed, `when` may stand in that text too, and `logprob` says how likely each of its words was:

    {"when": ["The Nile floods", "when does it rise?"], "logprob": -1.5}

Of the lines that fit, the first is for sample 0, the second for sample 1, and so on, so that the order of the requests
changes nothing; a line that says `sample` is for that one. A request that no line fits is a failed request. Without a
file the answers fit the schema and mean nothing: words of the request, drawn by its hash.
"""

import hashlib
import json
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from synth.backend import Backend, Completion, Request, Token
from synth.errors import RecipeError
from synth.mistakes import explain


class Line(BaseModel):
    """One reply of the file, and the requests it is for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: tuple[str, ...] = Field(default=(), description="texts that must all stand in the user's messages")
    request: str = Field(default="", description="the hash of the one request it answers")
    turn: int = Field(default=0, ge=0, description="how many replies the conversation already holds")
    sample: int | None = Field(default=None, ge=0, description="the one sample it is for")
    reply: dict[str, Any] | None = Field(default=None, description="the object that is returned")
    text: str = Field(default="", description="what is returned, word for word")
    finish_reason: str = Field(default="stop", description="why the reply ended")
    error: str = Field(default="", description="why the request failed")
    chances: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default={}, description="how likely each of several words was in the place where one of them stands"
    )
    logprob: float | None = Field(
        default=None, le=0, description="log-probability of each word of a text to be weighed"
    )
    prompt_tokens: int | None = Field(default=None, ge=0, description="tokens in; a guess from the length if unset")
    completion_tokens: int | None = Field(
        default=None, ge=0, description="tokens out; a guess from the length if unset"
    )

    @field_validator("when", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_something(self) -> "Line":
        if not (self.when or self.request):
            raise ValueError("it needs `when:` or `request:`, to know what it answers")
        if self.reply is not None and self.text:
            raise ValueError("it has both `reply` and `text`; one is enough")
        return self

    @property
    def said(self) -> str:
        """What the model writes."""
        return self.text if self.reply is None else json.dumps(self.reply, ensure_ascii=False)

    def fits(self, request: Request, user: str, hashed: str) -> bool:
        """True where it answers this request, whose user's messages are `user`."""
        if self.request:
            return self.request == hashed
        known = (request.schema or {}).get("properties", self.reply or {})
        turn = sum(message.role == "assistant" for message in request.messages) - request.is_weighed
        fits = turn == self.turn and all(name in known for name in self.reply or ())
        return fits and all(text in user for text in self.when)


class Scripted(Backend):
    """Answers from a file of replies, or from the schema alone; the same request always has the same answer."""

    weighs_prompts: ClassVar[bool] = True

    replies: str = Field(
        default="", description="a JSONL file of replies; without one they are made up from the schema"
    )

    @field_validator("replies")
    @classmethod
    def _beside_the_recipe(cls, value: str, info: ValidationInfo) -> str:
        folder = (info.context or {}).get("folder")
        return str(Path(folder, value).expanduser()) if value and folder is not None else value

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, in their order. Raises RecipeError where the file cannot be read."""
        lines = self._lines if self.replies else None
        for request in requests:
            yield self._made_up(request) if lines is None else self._from_file(request, lines)

    def identity(self) -> Mapping[str, Any]:
        """The model and the sampling, and the content of the file of replies."""
        content = hashlib.blake2b(self._raw, digest_size=16).hexdigest() if self.replies else ""
        return {**super().identity(), "replies": content}

    @cached_property
    def _raw(self) -> bytes:
        try:
            return Path(self.replies).expanduser().read_bytes()
        except OSError as error:
            raise RecipeError(f"{self.replies}: the file of replies cannot be read: {error.strerror}") from error

    @cached_property
    def _lines(self) -> tuple[Line, ...]:
        lines = enumerate(self._raw.splitlines(), start=1)
        return tuple(_line(raw, f"{self.replies}:{number}") for number, raw in lines if raw.strip())

    def _from_file(self, request: Request, lines: tuple[Line, ...]) -> Completion:
        told = [message.content for message in request.messages if message.role == "user"]
        user = "\n".join([*told, request.messages[-1].content] if request.is_weighed else told)
        hashed = request_hash(request)
        fitting = [line for line in lines if line.fits(request, user, hashed)]
        own = [line for line in fitting if line.sample == request.sample]
        chosen = own or [line for line in fitting if line.sample is None][request.sample :]
        if chosen:
            return self._completion(request, chosen[0])
        said = f"only {len(fitting)} lines of it answer" if fitting else "no line of it answers"
        error = f"{Path(self.replies).name}: {said} this request (sample {request.sample}, hash {hashed})"
        return Completion(request=request, model=self.model or "scripted", error=error)

    def _completion(self, request: Request, line: Line) -> Completion:
        model = self.model or "scripted"
        if line.error:
            return Completion(request=request, model=model, error=line.error)
        asked = sum(len(message.content) for message in request.messages) // 4
        return Completion(
            request=request,
            text=line.said,
            finish_reason=line.finish_reason,
            prompt_tokens=asked if line.prompt_tokens is None else line.prompt_tokens,
            completion_tokens=len(line.said) // 4 if line.completion_tokens is None else line.completion_tokens,
            model=model,
            logprobs=() if request.top_logprobs is None else _weighed(line),
            prompt_logprobs=_of_prompt(request, line) if request.prompt_logprobs else (),
        )

    def _made_up(self, request: Request) -> Completion:
        rng = random.Random(request_hash(request) + f"/{request.sampling.seed}")
        words = _words(next((m.content for m in reversed(request.messages) if m.role == "user"), ""))
        value = _value(request.schema, rng, words) if request.schema else _phrase(rng, words)
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return self._completion(request, Line.model_construct(text=text))


def _weighed(line: Line) -> tuple[Token, ...]:
    """The tokens of what is said, words and what stands between them: each certain but those that have `chances`."""
    top = {word: round(math.log(chance), 6) for word, chance in line.chances.items()}
    parts = re.findall(r"\w+|\W", line.said)
    return tuple(Token(part, top.get(part, 0.0), top if part in top else {part: 0.0}) for part in parts)


def _of_prompt(request: Request, line: Line) -> tuple[Token, ...]:
    """The tokens of the last message, each as likely as the line says or by the hash of the request."""
    rng = random.Random(request_hash(request))
    own = line.logprob if line.logprob is not None else round(rng.uniform(-8, 0), 5)
    parts = re.findall(r"\w+|\W", request.messages[-1].content)
    return (Token("", None), *(Token(part, own) for part in parts))


def request_hash(request: Request) -> str:
    """What a request is known by: 32 hex digits of its messages, schema and sample number."""
    messages = [[message.role, message.content] for message in request.messages]
    plain = json.dumps([messages, request.schema, request.sample], sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _line(raw: bytes, place: str) -> Line:
    try:
        return Line.model_validate(json.loads(raw))
    except ValidationError as error:
        raise RecipeError(f"{place}: {explain(error, Line)}") from error
    except ValueError as error:
        raise RecipeError(f"{place}: this is no JSON: {error}") from error


def _words(text: str) -> list[str]:
    """The words of the longest line, most likely the document's; its characters by fours where it has no spaces."""
    line = max(text.splitlines(), key=len, default="")
    words = line.split()
    if words and len(line) > 15 * len(words):
        return [line[start : start + 4] for start in range(0, len(line), 4)]
    return [word[:30] for word in words] or ["nothing"]


def _phrase(rng: random.Random, words: list[str]) -> str:
    return " ".join(rng.choice(words) for _ in range(rng.randint(3, 8))).translate({ord('"'): None, ord("\\"): None})


def _value(schema: Mapping[str, Any], rng: random.Random, words: list[str], lengths: list[int] | None = None) -> Any:
    """A value that fits a schema of `prompt_header`: objects, lists, strings, numbers and booleans.

    The lists of an object are of one length, where their bounds let them: some of them belong together.
    """
    if "enum" in schema:
        return rng.choice(list(schema["enum"]))
    kind = schema.get("type", "object")
    if kind == "object":
        known: list[int] = []
        return {name: _value(inner, rng, words, known) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        least = schema.get("minItems", 1)
        most = schema.get("maxItems", least + 2)
        length = rng.randint(least, most)
        if lengths is not None:
            length = lengths[0] if lengths and least <= lengths[0] <= most else length
            lengths.append(length)
        return [_value(schema.get("items", {}), rng, words) for _ in range(length)]
    if kind in ("integer", "number"):
        low = schema.get("minimum", 0)
        high = schema.get("maximum", low + 10)
        return rng.randint(low, high) if kind == "integer" else round(rng.uniform(low, high), 3)
    return rng.random() < 0.5 if kind == "boolean" else _phrase(rng, words)
