"""The interface to language models: a request goes in, one completion for it comes out.

A backend owns concurrency, retries and rate limits; stages are plain synchronous code. A request that failed is a
completion with `error` set, never an exception: exceptions are for what makes every request fail (`BackendError`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from synth.errors import BackendError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NOT_WEIGHED = "the server gave no log-probabilities of the prompt; vLLM's server and the `vllm` backend do"
"""The error of a completion whose request wanted them."""


class Sampling(BaseModel):
    """How a model draws its words. Part of what a reply is known by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=None, ge=0, description="randomness; the model's own default if unset")
    top_p: float | None = Field(default=None, gt=0, le=1, description="nucleus share of the next word's probability")
    most_tokens: int = Field(default=1024, ge=1, description="longest reply, in tokens")
    seed: int | None = Field(default=None, description="the server's sampling seed, where it takes one")
    stop: tuple[str, ...] = Field(default=(), description="texts that end a reply")
    extra: Mapping[str, Any] = Field(
        default={}, description="fields of the request beyond these, as the server names them: reasoning_effort, top_k"
    )


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a model. `id` is the asker's own, to know the completion by; it is no part of what is sent.

    `top_logprobs` wants the log-probability of each word of the reply, and of that many others in its place (0: only
    its own; None: none of this); `prompt_logprobs` wants those of the prompt's words. Where the last message is the
    assistant's and the prompt's log-probabilities are wanted, that message is a text to be weighed, not answered.
    `more` says how many of the requests that follow at once ask in the same words for another sample: a backend may ask
    for all of them together.
    """

    id: str
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    schema: Mapping[str, Any] | None = None
    sample: int = 0
    top_logprobs: int | None = None
    prompt_logprobs: bool = False
    more: int = 0

    @property
    def is_weighed(self) -> bool:
        """True where the last message is a text whose log-probabilities are wanted, and no question."""
        return self.prompt_logprobs and self.messages[-1].role == "assistant"


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its text, its natural log-probability, and the texts and log-probabilities of others in its place.

    `logprob` is None where there is none: for the first token of a prompt.
    """

    text: str
    logprob: float | None
    top: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What came back for one request: a text, or an `error`. Tokens are the server's own count; latency in seconds.

    `from_store`: nobody was asked, the reply was kept from an earlier time. `key` is what the store knows it by.
    """

    request: Request
    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    model: str = ""
    latency_s: float = 0.0
    error: str = ""
    logprobs: tuple[Token, ...] = ()
    prompt_logprobs: tuple[Token, ...] = ()
    from_store: bool = False
    key: str = ""


class Price(BaseModel):
    """What a model costs, in US dollars for a million tokens. Cached prompt tokens cost as others do unless set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: float = Field(default=0.0, ge=0, description="tokens in")
    completion: float = Field(default=0.0, ge=0, description="tokens out, those of a thought included")
    cached: float | None = Field(default=None, ge=0, description="tokens in that the server had read before")


class Backend(BaseModel, ABC):
    """A source of completions. Its fields are its options in a recipe; its file name is its name."""

    model_config = ConfigDict(extra="forbid")

    kept: ClassVar[bool] = True
    """True where replies cost something and go into the reply store."""
    in_batches: ClassVar[bool] = False
    """True where requests are drawn until many are together and answered much later: such a step runs by itself."""
    gpus: ClassVar[int] = 0
    """Accelerators that it holds on this machine, for a budget of GPU minutes; a property where options decide it."""
    weighs_prompts: ClassVar[bool] = False
    """True where it can tell the log-probabilities of a prompt; a property where options decide it."""

    model: str = Field(default="", description="the model's name, as the server knows it")
    revision: str = Field(default="", description="the model's revision, where it has several")
    price: Price | None = Field(default=None, description="what a million tokens cost; a shipped table unless set")
    redact: bool = Field(default=False, description="take personal data out of what is sent")
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
        return {"model": self.model_identity(), "sampling": self.sampling.model_dump(mode="json")}

    def model_identity(self) -> str:
        """What decides a reply beside the request itself: the model and its revision. Part of a reply's key."""
        return f"{self.model}@{self.revision}" if self.revision else self.model

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Vectors of unit length, float32 of shape (len(texts), dim). Raises BackendError where it does not embed."""
        raise BackendError(f"{type(self).__name__.lower()}: it gives no vectors; it was given {len(texts)} texts")

    def score(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """The relevance of each (query, document), float32 of shape (len(pairs),), as a cross-encoder gives it.

        Raises BackendError where it does not score.
        """
        raise BackendError(f"{type(self).__name__.lower()}: it scores no pairs; it was given {len(pairs)}")

    def close(self) -> None:
        """Free what it holds. Called once, at the end of a run."""
