"""The Batch API: replies within a day for half the price. And its files without it, for `vllm run-batch`.

    backends:
      writer: {use: openai_batch, model: gpt-5-mini}                    # the key is in OPENAI_API_KEY
      judge: {use: openai_batch, model: Qwen/Qwen3-8B, offline: judged}   # judged/requests.jsonl, for vllm run-batch

What is sent is written down in `folder` before it is sent, so a run that is stopped at any moment, by Ctrl-C, kill -9
or a power cut, loses nothing: its batches go on at the server, and the same command again waits for them and pays for
none twice. A server without a Batch API is asked line by line.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, field_validator

from synth.backend import Backend, Completion, Request
from synth.backends.openai import OpenAI
from synth.batch_client import BatchClient, NoBatchApi, Tries
from synth.batch_folder import BatchFolder
from synth.batch_jobs import Jobs
from synth.batch_limits import Limits
from synth.batch_run import Asked, BatchRun
from synth.chat_api import Dialect
from synth.errors import BackendError
from synth.replies import Keys
from synth.wire import HOSTED, Endpoint


class OpenAIBatch(Backend):
    """Completions from a server's Batch API, or through files from `vllm run-batch`."""

    in_batches: ClassVar[bool] = True

    base_url: str = Field(default=HOSTED, description="where the server's API begins, mostly ending in /v1")
    key_env: str = Field(default="OPENAI_API_KEY", description="the environment variable that holds the key")
    headers: dict[str, str] = Field(default={}, description="further headers; never a key, they are no secret here")
    folder: str = Field(
        default="outputs/batches", min_length=1, description="where batches are remembered, from the working folder"
    )
    offline: str = Field(
        default="", description="ask no server: leave requests.jsonl in this folder, and read replies.jsonl there"
    )
    fallback: bool = Field(default=True, description="ask a server without a Batch API line by line, at full price")
    most_requests_a_file: int = Field(default=50_000, ge=1, description="most requests of one batch")
    most_megabytes_a_file: float = Field(default=200, gt=0, description="largest file of requests, in 10^6 bytes")
    most_batches: int = Field(default=20, ge=1, le=1000, description="batches that are out at the same time")
    window: str = Field(
        default="24h", pattern=r"^\d+[hd]$", description="how long a batch may take, as the server says"
    )
    poll_s: float = Field(default=30, gt=0, description="seconds between two looks at the batches")
    deadline_s: float | None = Field(default=None, gt=0, description="seconds to wait for batches before the run stops")
    timeout_s: float = Field(default=600, gt=0, description="seconds that one call may take, an upload included")
    most_tries: int = Field(
        default=3, ge=1, le=100, description="batches that a request is put in before it has failed"
    )
    first_wait_s: float = Field(default=0.5, gt=0, description="seconds before a call is tried again, then doubled")

    _closing: threading.Event = PrivateAttr(default_factory=threading.Event)
    _served: OpenAI | None = PrivateAttr(default=None)
    _opening: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    @field_validator("base_url")
    @classmethod
    def _is_a_url(cls, value: str) -> str:
        if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
            raise ValueError("must be a URL such as https://api.openai.com/v1")
        return value.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not value.isidentifier():
            raise ValueError("must be the name of an environment variable, such as OPENAI_API_KEY, not a key")
        return value

    @field_validator("headers")
    @classmethod
    def _holds_no_key(cls, value: dict[str, str]) -> dict[str, str]:
        return OpenAI._holds_no_key(value)

    @property
    def weighs_prompts(self) -> bool:  # type: ignore[override]  # options decide, as Backend says
        """True where its server may: OpenAI's own does not; vLLM's does, and so does `vllm run-batch`."""
        return bool(self.offline) or self.base_url != HOSTED

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, as batches end; see `Backend.complete`.

        Requests are drawn a file at a time. Raises BackendError where none can succeed; BudgetSpent at the deadline;
        with `offline`, BackendError with the command that answers the requests it has written.
        """
        source = iter(requests)
        first = next(source, None)
        if first is None:
            return
        source = itertools.chain((first,), source)
        if not self.model:
            raise BackendError("openai_batch: `model:` is not set; name the model that is to answer")
        if self.offline:
            folder = Path(self.offline).expanduser()
            yield from BatchFolder(folder, self.model, self.revision, self._key_of()).complete(source)
        elif self._served is not None:
            yield from self._served.complete(source)
        else:
            yield from self._in_batches(source)

    def close(self) -> None:
        """Stop waiting. Batches that are out go on."""
        self._closing.set()
        self._closing = threading.Event()
        with self._opening:
            served, self._served = self._served, None
        if served is not None:
            served.close()

    def _in_batches(self, source: Iterator[Request]) -> Iterator[Completion]:
        folder = Path(self.folder).expanduser()
        with BatchClient(self._endpoint(), self._tries(), folder) as client:
            run = BatchRun(client, Jobs(folder, client.place), self._limits(), self._asked())
            try:
                yield from run.complete(source)
                return
            except NoBatchApi as error:
                if not self.fallback:
                    raise BackendError(
                        f"{client.place}: it has no Batch API ({error}); set `fallback: true` or `use: openai` to ask "
                        "it line by line, or `offline: FOLDER` to answer files with `vllm run-batch`"
                    ) from None
            except KeyboardInterrupt as stop:
                stop.add_note("nothing is lost: batches go on at the server, and the same command again picks them up")
                raise
        yield from self._line_by_line().complete(itertools.chain(run.unanswered(), source))

    def _line_by_line(self) -> OpenAI:
        with self._opening:
            if self._served is None:
                self._served = OpenAI(
                    model=self.model,
                    revision=self.revision,
                    sampling=self.sampling,
                    base_url=(self.base_url,),
                    key_env=self.key_env,
                    headers=self.headers,
                    timeout_s=self.timeout_s,
                    first_wait_s=self.first_wait_s,
                )
            return self._served

    def _key_of(self) -> Callable[[Request], str]:
        keys = Keys(self.model_identity())
        return lambda request: keys.of(request).hex()

    def _asked(self) -> Asked:
        return Asked(self.model, self._key_of(), first_dialect(self.base_url), self._closing)

    def _limits(self) -> Limits:
        return Limits(
            requests=self.most_requests_a_file,
            bytes=int(self.most_megabytes_a_file * 1e6),
            batches=self.most_batches,
            tries=self.most_tries,
            window=self.window,
            poll_s=self.poll_s,
            deadline_s=self.deadline_s,
        )

    def _tries(self) -> Tries:
        return Tries(first_wait_s=self.first_wait_s, listed_s=self.poll_s)

    def _endpoint(self) -> Endpoint:
        return Endpoint(
            base_url=self.base_url,
            model=self.model,
            key_env=self.key_env,
            headers=self.headers,
            timeout_s=self.timeout_s,
        )


def first_dialect(base_url: str) -> Dialect:
    """How a server is first spoken to: OpenAI's own takes the newer name of the longest reply for all its models.

    >>> first_dialect("https://api.openai.com/v1").tokens, first_dialect("https://api.groq.com/openai/v1").tokens
    ('max_completion_tokens', 'max_tokens')
    """
    return Dialect(tokens="max_completion_tokens" if base_url == HOSTED else "max_tokens")
