"""The models of a run: each role's backend behind the reply store, the budget and the count of what it was asked.

writer ─ Metered ─ Redacting ─ Stored ─┐
judge  ─ Metered ─ Stored ─────────────┴─ one engine, where both name the same model with the same options
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.backend import Backend
from synth.budget import Budget, Caps
from synth.mixture import Mixture
from synth.prices import price_of
from synth.redact import Redacting
from synth.replies import Payer, ReplyStore, Spent
from synth.store import read_json, write_json
from synth.stored import Account, Stored
from synth.usage import Metered, Usage

if TYPE_CHECKING:
    from synth.served_embedder import Served, ServedEmbedder

OWN = {"sampling", "price", "redact"}
"""Options that each role has for itself although it shares an engine."""


class Models:
    """The backends of a recipe in one run. The reply store is opened when a model is first asked."""

    def __init__(self, backends: Mapping[str, Backend], caps: Caps, folder: Path, replies: Path) -> None:
        self.budget = Budget(caps)
        self.warnings: list[str] = []
        self._backends = backends
        self._folder = folder
        self._replies = replies
        self._store: ReplyStore | None = None
        self._opening = threading.Lock()
        self._engines: dict[str, Backend] = {}
        self._run = ""

    def of_step(self, key: Callable[[], str], usage: Usage) -> Mapping[str, Backend]:
        """Each role's backend as one step is given it; what it costs is counted to the step whose key `key` gives."""
        return Roles(self._backends, lambda backend: Metered.over(self._wrapped(backend, key), usage))

    @property
    def priced(self) -> bool:
        """True where it is known what the models cost."""
        return any(price_of(backend) is not None for backend in self._backends.values())

    def identity(self, role: str) -> Mapping[str, Any]:
        """What of a role's backend is part of a step's key. Nothing is opened for it."""
        backend = self._backends[role]
        return (backend.replaced(_redacted) if isinstance(backend, Mixture) else _redacted(backend)).identity()

    def embedder(self, served: "Served") -> "ServedEmbedder":
        """An embedder that a backend runs; its vectors are kept beside the replies. Nothing is opened for it."""
        from synth.served_embedder import ServedEmbedder

        vectors = self._replies.with_name("vectors.sqlite")
        return ServedEmbedder(_redacted(self._engine(served.backend)), vectors, served.prompts, self.warnings.append)

    def spent(self, key: str) -> Spent:
        """What the step of this key has cost this run, now and before it was resumed."""
        return self._store.spent(self._run, key) if self._store is not None else Spent()

    def close(self) -> None:
        """Free the engines, then the store, which writes what is still on its way."""
        for backend in self._backends.values():
            backend.close()
        if self._store is not None:
            self._store.close()
            self._store = None

    def _wrapped(self, backend: Backend, key: Callable[[], str]) -> Backend:
        if isinstance(backend, Mixture):
            return backend.replaced(lambda inner: self._wrapped(inner, key))
        if not backend.kept:
            return _redacted(backend)
        priced = backend.model_copy(update={"price": price_of(backend)})
        stored = Stored.over(self._engine(backend), Account(self._open(), self.budget, Payer(self._run, key())), priced)
        return Redacting.over(stored) if backend.redact else stored

    def _engine(self, backend: Backend) -> Backend:
        """The one backend of several that differ in nothing that an engine is made with."""
        plain = json.dumps(backend.model_dump(mode="json", exclude=OWN), sort_keys=True, default=str)
        return self._engines.setdefault(f"{type(backend).__module__}.{type(backend).__name__} {plain}", backend)

    def _open(self) -> ReplyStore:
        with self._opening:
            if self._store is None:
                self._store = ReplyStore(self._replies, self.warnings.append)
                self._run = _run_id(self._folder)
                self.budget.spent += self._store.spent(self._run)
            return self._store


class Roles(Mapping[str, Backend]):
    """Backends by role, each wrapped when it is first asked for."""

    def __init__(self, backends: Mapping[str, Backend], wrap: Callable[[Backend], Backend]) -> None:
        self._backends = backends
        self._wrap = wrap
        self._wrapped: dict[str, Backend] = {}

    def __getitem__(self, role: str) -> Backend:
        if role not in self._wrapped:
            self._wrapped[role] = self._wrap(self._backends[role])
        return self._wrapped[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self._backends)

    def __len__(self) -> int:
        return len(self._backends)


def _redacted(backend: Backend) -> Backend:
    return Redacting.over(backend) if backend.redact else backend


def _run_id(folder: Path) -> str:
    """What a run is known by in the store for as long as its folder stands, wherever that is moved."""
    path = folder / "marks" / "run.json"
    mark = read_json(path)
    if mark is None or "id" not in mark:
        mark = {"id": uuid.uuid4().hex}
        write_json(path, mark)
    return str(mark["id"])
