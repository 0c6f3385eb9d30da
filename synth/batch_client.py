"""OpenAI's /files and /batches: each call once more where that is safe, and what is wrong said in one line.

A batch that was asked for and not heard of may be there all the same: `create` never simply asks again. The batch has
the id of its file, and `find` looks through the server's list for it.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self, TypeVar

from synth.batch_files import error_in
from synth.batch_jobs import Job
from synth.chat_api import BadReply, retry_after_s
from synth.errors import BackendError
from synth.store import writing
from synth.wire import HOSTED, Endpoint, Lost, Refused, Unreachable, WireError, asked_to_wait_s, may_pass, said_of

if TYPE_CHECKING:
    import openai
    from openai.types import Batch
    from tenacity import RetryCallState

T = TypeVar("T")

ENDED = frozenset(("completed", "failed", "expired", "cancelled"))
"""The states of a batch that it does not leave again."""

_A_PAGE = 100
"""Batches that a server lists at once."""

_CLOCKS_S = 3600
"""A batch that is so many seconds older than its file is not of this file, whatever clocks a server has."""


@dataclass(frozen=True, slots=True)
class Tries:
    """How often a call is tried, and the seconds before the second try, doubled for each other.

    `listed_s`: after so many seconds a batch that was created stands in the server's list.
    """

    most: int = 6
    first_wait_s: float = 0.5
    listed_s: float = 30.0


class NoBatchApi(Exception):
    """The server does not know /files or /batches; what it said."""


class NotThere(Exception):
    """The server does not know this batch or this file."""


class Away(BackendError):
    """The server cannot be asked for now: it is not there, or has too much to do."""


class BatchClient:
    """A client for one server's files and batches; `folder` is where it keeps what it fetches, while that is read.

    Raises BackendError where OpenAI itself is meant and there is no key.
    """

    def __init__(self, endpoint: Endpoint, tries: Tries, folder: Path) -> None:
        self.place = endpoint.place
        self.has_answered = False
        self._endpoint = endpoint
        self._tries = tries
        self._folder = folder
        self._key = endpoint.key()
        if not self._key and endpoint.base_url == HOSTED:
            raise BackendError(
                f"{self.place}: it needs a key: set {endpoint.key_env} in the environment, or give the `base_url:` "
                "of a server of your own"
            )
        self._client = _open_client(endpoint, self._key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._client.close()

    def upload(self, name: str, file: IO[bytes]) -> tuple[str, int]:
        """Send a file of requests; its id, and when that was by the server's clock. A second try harms nobody.

        Raises NoBatchApi, BackendError; Away for what may pass.
        """
        from openai.types import FileObject

        def send() -> tuple[str, int]:
            file.seek(0)
            sent = self._client.files.create(file=(f"synth-{name}.jsonl", file), purpose="batch")
            if isinstance(sent, FileObject) and sent.id:
                return sent.id, int(sent.created_at or 0)
            error = getattr(sent, "error", None)
            if error:  # LM Studio says with success that it does not know a path
                raise Refused(404, str(error_in(error).get("message", error)), "", None)
            raise BadReply(f"it did not say what the file is called: {str(sent)[:80]!r}")

        return self._again(send)

    def create(self, job: Job, window: str) -> "Batch":
        """The batch of a job's file. It is asked for again only where it is not in the server's list a while later.

        Raises NoBatchApi, BackendError; Away where it is not known whether there is one.
        """
        for attempt in range(self._tries.most):
            try:
                return _heard(lambda: self._create(job, window))
            except (WireError, BadReply) as error:
                if not may_pass(error):
                    raise self._wrong(error) from None
                asked_s = asked_to_wait_s(error) or 0.0
            found = self.find(job)
            if found is None:
                time.sleep(max(asked_s, self._tries.listed_s, self._tries.first_wait_s * 2**attempt))
                found = self.find(job)
            if found is not None:
                return found
        raise Away(f"{self.place}: it does not answer when asked for a batch")

    def find(self, job: Job) -> "Batch | None":
        """The batch of a job's file, from the server's list, newest first; None where there is none. Raises Away."""
        after = ""
        while True:
            try:
                page = self._again(lambda after=after: self._page(after))  # type: ignore[misc]  # bound at once
            except NoBatchApi as error:
                raise Away(
                    f"{self.place}: it does not list its batches ({error}); it may have one of {job.name}: look there, "
                    f"and remove {self._folder / job.name}.json if it has none"
                ) from None
            for batch in page:
                if batch.input_file_id == job.file_id or (batch.metadata or {}).get("synth") == job.name:
                    return batch
            if len(page) < _A_PAGE or (page[-1].created_at or job.file_at) < job.file_at - _CLOCKS_S:
                return None
            after = page[-1].id

    def look_at(self, batch_id: str) -> "Batch":
        """A batch as it is now. Raises NotThere, BackendError; Away for what may pass."""
        return self._there(lambda: _batch(self._client.batches.retrieve(batch_id)))

    def lines(self, file_id: str) -> Iterator[bytes]:
        """The lines of a file, which is fetched whole before the first is given.

        Raises NotThere, BackendError; Away for what may pass.
        """
        with writing(self._folder), tempfile.TemporaryFile(dir=self._folder) as file:
            self._there(lambda: self._fetch(file_id, file))
            file.seek(0)
            yield from file

    def hidden(self, text: str) -> str:
        """The text in one line, without the key, should a server have repeated it."""
        line = " ".join(text.split())
        return line.replace(self._key, "…") if self._key else line

    def _create(self, job: Job, window: str) -> "Batch":
        return _batch(
            self._client.batches.create(
                completion_window=window,  # type: ignore[arg-type]  # others than OpenAI know more than one
                endpoint="/v1/chat/completions",
                input_file_id=job.file_id,
                metadata={"synth": job.name},
            )
        )

    def _fetch(self, file_id: str, file: IO[bytes]) -> None:
        file.seek(0)
        file.truncate()
        with self._client.files.with_streaming_response.content(file_id) as response:
            for part in response.iter_bytes(1 << 20):
                file.write(part)

    def _page(self, after: str) -> "list[Batch]":
        import openai

        page = self._client.batches.list(limit=_A_PAGE, after=after or openai.omit)
        if not isinstance(getattr(page, "data", None), list):
            raise BadReply(f"the answer is no list of batches: {str(page)[:80]!r}")
        return page.data

    def _there(self, work: Callable[[], T]) -> T:
        try:
            return self._again(work)
        except NoBatchApi as error:
            raise NotThere(str(error)) from None

    def _again(self, work: Callable[[], T]) -> T:
        """What some work gives that may be done twice, tried again where that may help."""
        from tenacity import Retrying, retry_if_exception, stop_after_attempt

        retrying = Retrying(
            retry=retry_if_exception(may_pass),
            stop=stop_after_attempt(self._tries.most),
            wait=self._wait_s,
            reraise=True,
        )
        try:
            given = retrying(lambda: _heard(work))
        except (WireError, BadReply) as error:
            raise self._wrong(error) from None
        self.has_answered = True
        return given

    def _wait_s(self, state: "RetryCallState") -> float:
        from tenacity import wait_random_exponential

        error = state.outcome.exception() if state.outcome else None
        asked_s = asked_to_wait_s(error) if error is not None else None
        return (
            wait_random_exponential(multiplier=self._tries.first_wait_s, max=60)(state) if asked_s is None else asked_s
        )

    def _wrong(self, error: WireError | BadReply) -> Exception:
        """A failure as an error of ours that says what was found and the cure."""
        said, name = said_of(error), self._endpoint.key_env
        status, code = (error.status, error.code) if isinstance(error, Refused) else (0, "")
        if status in (404, 405, 501):
            return NoBatchApi(self.hidden(said))
        if isinstance(error, Unreachable):
            said = "no server answers there; start one, or mend `base_url:`"
        if status in (401, 403):
            refused = f"it refuses the key in {name}" if self._key else f"it asks for a key, and {name} is not set"
            said = f"{refused} ({status}); set it in the environment, or name another variable with `key_env:`"
        if code == "insufficient_quota":
            said = f"the credit of the key in {name} is used up ({status})"
        return (Away if may_pass(error) else BackendError)(self.hidden(f"{self.place}: {said}"))


def _heard(ask: Callable[[], T]) -> T:
    """What the server answers to a call of OpenAI's client. Raises WireError, or BadReply for a proxy's page."""
    import httpx2
    import openai

    try:
        return ask()
    except openai.APIStatusError as error:
        said = error_in(error.body).get("message") or error.response.reason_phrase
        raise Refused(error.status_code, str(said), error.code or "", retry_after_s(error.response.headers)) from error
    except (openai.APIConnectionError, httpx2.TransportError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            raise Unreachable("no connection") from error
        if isinstance(cause, httpx2.TimeoutException):
            raise Lost("it took longer than `timeout_s:` allows") from error
        raise Lost(f"the connection was lost ({type(cause).__name__}: {cause})") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadReply(f"the answer is no JSON: {error}") from error


def _batch(found: object) -> "Batch":
    from openai.types import Batch

    if not isinstance(found, Batch) or not found.id:
        raise BadReply(f"the answer is no batch: {str(found)[:80]!r}")
    return found


def _open_client(endpoint: Endpoint, key: str) -> "openai.OpenAI":
    import openai

    timeout = openai.Timeout(endpoint.timeout_s, connect=min(10.0, endpoint.timeout_s))
    http = openai.DefaultHttpxClient(timeout=timeout, trust_env=not endpoint.is_local)
    return openai.OpenAI(
        api_key=key or "none",
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=http,
        default_headers=dict(endpoint.headers),
    )
