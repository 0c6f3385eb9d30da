"""The interface to language models: a request goes in, one completion for it comes out.

A backend owns concurrency, retries and rate limits; stages are plain synchronous code. A request that failed is a
completion with `error` set, never an exception: exceptions are for what makes every request fail (`BackendError`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Sampling(BaseModel):
    """How a model draws its words. Part of what a reply is known by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=None, ge=0, description="randomness; the model's own default if unset")
    top_p: float | None = Field(default=None, gt=0, le=1, description="nucleus share of the next word's probability")
    most_tokens: int = Field(default=1024, ge=1, description="longest reply, in tokens")
    seed: int | None = Field(default=None, description="the server's sampling seed, where it takes one")
    stop: tuple[str, ...] = Field(default=(), description="texts that end a reply")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a model. `id` is the asker's own, to know the completion by; it is no part of what is sent."""

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    schema: Mapping[str, Any] | None = None
    sample: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What came back for one request: a text, or an `error`. Tokens are the server's own count; latency in seconds."""

    request: Request
    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    model: str = ""
    latency_s: float = 0.0
    error: str = ""


class Backend(BaseModel, ABC):
    """A source of completions. Its fields are its options in a recipe; its file name is its name."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(default="", description="the model's name, as the server knows it")
    sampling: Sampling = Field(default=Sampling(), description="how replies are drawn where a step does not say")

    @abstractmethod
    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, as they finish, in any order. `requests` is drawn from as places free up.

        Raises BackendError where no request can succeed (no server, a wrong key, an unknown model).
        """

    def identity(self) -> Mapping[str, Any]:
        """What of this backend decides the replies (model, sampling), and so is part of a step's key.

        Endpoints, keys, concurrency and time limits are not.
        """
        return {"model": self.model, "sampling": self.sampling.model_dump(mode="json")}

    def close(self) -> None:
        """Free what it holds. Called once, at the end of a run."""
