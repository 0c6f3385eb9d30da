"""Models that answer from the reply store alone: what was asked before is read again, and nothing is sent.

request -> a reply in the store?              -> handed on
        -> it failed in the run read again?   -> it fails again
        -> else                               -> counted; the step that asked ends with MissingReplies
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from pydantic import PrivateAttr

from synth.backend import Backend, Completion, Price, Request, Token
from synth.budget import Caps
from synth.build import REPLIES
from synth.errors import BackendError, OutputError
from synth.mixture import Mixture
from synth.models import Models, Roles
from synth.prices import price_of
from synth.redact import Redacting
from synth.replies import BUSY_S, VERSION, Keys
from synth.runs import RunFolder
from synth.stored import Stored
from synth.usage import Metered, Usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synth.served_embedder import Served, ServedEmbedder

_EPOCH = date(1970, 1, 1)


class MissingReplies(BackendError):
    """A step asks for what the store does not hold: `missing` of the `asked` requests of the step of this key.

    Where it is `vectors` that are missing the step is not known, and `embedder` names the model.
    """

    def __init__(self, missing: int, asked: int, *, key: str = "", embedder: str = "") -> None:
        what = f"texts have no vector of {embedder!r}" if embedder else "replies are missing"
        super().__init__(f"{missing:,} of {asked:,} {what}")
        self.missing, self.asked, self.key, self.embedder = missing, asked, key, embedder


class Found(NamedTuple):
    """A reply of the store, and the day it came."""

    completion: Completion
    day: date


class Replies:
    """A reply store to read: nothing is written and nothing moved aside. Several threads may use one of them.

    A file that is not there is a store without replies. Raises OutputError for one that cannot be used.
    """

    def __init__(self, path: Path = Path()) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._store = self._opened() if path.is_file() else None

    @property
    def is_there(self) -> bool:
        """False where there is no such file."""
        return self._store is not None

    def find(self, key: bytes, request: Request) -> Found | None:
        """The reply of this key, as a completion of `request`."""
        if self._store is None:
            return None
        with self._lock, self._trouble():
            row = self._store.execute("SELECT reply, day FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        plain = json.loads(row[0])
        for name in {"logprobs", "prompt_logprobs"} & set(plain):
            plain[name] = tuple(Token(*token) for token in plain[name])
        completion = Completion(request=request, from_store=True, key=key.hex(), **plain)
        return Found(completion, _EPOCH + timedelta(days=row[1]))

    def close(self) -> None:
        """Close the file."""
        if self._store is not None:
            self._store.close()

    def _opened(self) -> sqlite3.Connection:
        with self._trouble():
            address = f"file:{quote(str(self.path.resolve()))}?mode=rw"
            store = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                (version,) = store.execute("PRAGMA user_version").fetchone()
                if version != VERSION:
                    raise sqlite3.DatabaseError(f"it is no reply store of this version of synth ({version})")
                store.execute("SELECT reply, day FROM replies LIMIT 1").fetchone()
            except BaseException:
                store.close()
                raise
        return store

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OutputError(
                f"{self.path}: the reply store cannot be used: {error}; name another with --replies"
            ) from error


def store_of(run: RunFolder) -> Path:
    """Where a run's replies are kept unless told otherwise: beside it, or in the outputs of the working folder."""
    beside = run.folder.parent / REPLIES.name
    return beside if beside.is_file() else REPLIES


@contextmanager
def off_the_hub() -> Iterator[None]:
    """While it lasts the Hugging Face Hub is not asked for anything: what is in its cache is taken from there."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


Hear = Callable[[Completion, Price | None], None]
"""Told of each completion, found or not, with what its model costs."""


def _unheard(completion: Completion, price: Price | None) -> None:
    del completion, price


class Replaying(Stored):
    """A backend that looks its replies up in a store. What is not there comes back as left unasked, with its key."""

    _replies: Replies = PrivateAttr()
    _failed: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _hear: Hear = PrivateAttr()

    @classmethod
    def of(
        cls, backend: Backend, replies: Replies, *, failed: Mapping[str, str] | None = None, hear: Hear = _unheard
    ) -> Backend:
        """`backend`, or each model of a mixture, as one that asks nobody; redacted where it is.

        `failed` are the rows whose requests fail again where the store has no reply, with the reason in words; a row is
        what a request's id says before the first colon.
        """
        if isinstance(backend, Mixture):
            return backend.replaced(lambda inner: cls.of(inner, replies, failed=failed, hear=hear))
        price = price_of(backend)
        new = cls(model=backend.model, revision=backend.revision, price=price, sampling=backend.sampling)
        new._inner, new._replies, new._failed, new._hear = backend, replies, failed or {}, hear
        return Redacting.over(new) if backend.redact else new

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request, in their order."""
        keys = Keys(self._inner.model_identity())
        for request in requests:
            key = keys.of(request)
            found = self._replies.find(key, request)
            completion = found.completion if found else self._unanswered(request, key)
            self._hear(completion, self.price)
            yield completion

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Raises MissingReplies: vectors that were kept are not asked for."""
        raise MissingReplies(len(texts), len(texts), embedder=self.model)

    def score(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """Raises MissingReplies: scores are not kept."""
        raise MissingReplies(len(pairs), len(pairs), embedder=self.model)

    def _unanswered(self, request: Request, key: bytes) -> Completion:
        why = self._failed.get(request.id.partition(":")[0])
        if why is not None:
            return Completion(request=request, error=why, from_store=True)
        return Completion(request=request, error="not in the store", finish_reason="budget", key=key.hex())


class _Whole(Metered):
    """Counts as it goes, and raises MissingReplies at the end where some are missing: a step is never half done."""

    _key: Callable[[], str] = PrivateAttr()

    @classmethod
    def of(cls, inner: Backend, usage: Usage, key: Callable[[], str]) -> "_Whole":
        """`inner`, counted into `usage`; `key` gives the key of the step that asks it."""
        whole = cls(model=inner.model, revision=inner.revision, price=inner.price, sampling=inner.sampling)
        whole._inner, whole._usage, whole._key = inner, usage, key
        return whole

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """The completions that are there."""
        missing = asked = 0
        for completion in super().complete(requests):
            asked += 1
            if completion.finish_reason == "budget":
                missing += 1
            else:
                yield completion
        if missing:
            raise MissingReplies(missing, asked, key=self._key())


class Replayed(Models):
    """The backends of a recipe, each answering from the store alone. Nothing is contacted, no key is needed."""

    def __init__(
        self, backends: Mapping[str, Backend], folder: Path, replies: Replies, failed: Mapping[str, str]
    ) -> None:
        super().__init__(backends, Caps(), folder, replies.path)
        self._book = replies
        self._failed = failed

    def of_step(self, key: Callable[[], str], usage: Usage) -> Mapping[str, Backend]:
        """Each role's backend as one step is given it."""

        def wrap(backend: Backend) -> Backend:
            return _Whole.of(Replaying.of(backend, self._book, failed=self._failed), usage, key)

        return Roles(self._backends, wrap)

    def embedder(self, served: "Served") -> "ServedEmbedder":
        """An embedder of which only the kept vectors are there."""
        from synth.served_embedder import ServedEmbedder

        vectors = self._replies.with_name("vectors.sqlite")
        return ServedEmbedder(Replaying.of(served.backend, self._book), vectors, served.prompts, self.warnings.append)

    def close(self) -> None:
        """Close the store."""
        super().close()
        self._book.close()
