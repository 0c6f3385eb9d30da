"""What is remembered of batches at a server, a file each, so that no run ever pays for one twice.

    outputs/batches/3f9c…-77ad.json
    {"name": "3f9c…-77ad", "state": "created", "place": "https://api.openai.com/v1", "batch_id": "batch_…", "keys": […]}

    made      a file of requests is about to be sent          nothing is paid for
    uploaded  it is there; a batch of it is asked for, or is about to be: whether there is one only the server knows
    created   the batch has an id
    ended     what it gave was read; `keys` are those that were answered

Each state is on the disk before the next thing is asked of the server. Nothing secret is in it, and no text.
"""

import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from synth.chat_api import Dialect, Format
from synth.errors import BackendError
from synth.store import locked, read_json, write_json, writing

State = Literal["made", "uploaded", "created", "ended"]

DAY_S = 24 * 3600.0
KEPT_S = 30 * DAY_S
"""How long a batch is remembered, in seconds: as long as servers keep its files."""
READ_S = DAY_S
"""How long one is remembered that was read: a run may have been killed before the last of it was stored."""


class Job(BaseModel):
    """One batch: the file it was made of, the server it is at, and whose requests it answers, in the file's order."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    place: str
    model: str
    keys: tuple[str, ...]
    state: State = "made"
    content: str = ""
    file_id: str = ""
    file_at: int = 0
    batch_id: str = ""
    format: Format = "json_schema"
    tokens: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    without: tuple[str, ...] = ()

    @property
    def dialect(self) -> Dialect:
        """How its requests were written."""
        return Dialect(self.format, self.tokens, frozenset(self.without))


class Jobs:
    """The jobs at one server, in a folder that several runs may share. Raises OutputError where it cannot write."""

    def __init__(self, folder: Path, place: str) -> None:
        self.folder = folder
        self._place = place

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder: of several runs one at a time decides what is sent. A killed one lets go by itself."""
        with locked(self.folder, lambda: None):
            yield

    @contextmanager
    def nameless_file(self) -> Iterator[IO[bytes]]:
        """A file in the folder that is gone with whoever uses it."""
        with ExitStack() as stack:
            with writing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(tempfile.TemporaryFile(dir=self.folder))
            yield file

    def any(self) -> bool:
        """True where something is written down."""
        return any(self.folder.glob("*.json"))

    def read(self, known: Set[str] = frozenset()) -> list[Job]:
        """The jobs whose names are not `known`, oldest first. Raises BackendError for a file that is none."""
        jobs = []
        paths = [path for path in self.folder.glob("*.json") if path.stem not in known]
        for path in sorted(paths, key=lambda path: (self._written_s(path), path)):
            job = _job_in(path)
            if job is not None and self.age_s(job) > (READ_S if job.state == "ended" else KEPT_S):
                self.forget(job)
            elif job is not None and job.place == self._place:
                jobs.append(job)
        return jobs

    def new(self, content: str, keys: Sequence[str], model: str, dialect: Dialect) -> Job:
        """A job for a file of requests, under a name that no other has: the file's hash and something drawn.

        Nothing is written.
        """
        return Job(
            name=f"{content}-{secrets.token_hex(4)}",
            place=self._place,
            model=model,
            keys=tuple(keys),
            content=content,
            format=dialect.format,
            tokens=dialect.tokens,
            without=tuple(sorted(dialect.without)),
        )

    def save(self, job: Job) -> Job:
        """Write it down, whole and synced to the disk."""
        write_json(self.path_of(job), job.model_dump())
        return job

    def forget(self, job: Job) -> None:
        """Nothing was paid for, or nothing is left to be had."""
        with writing(self.folder):
            self.path_of(job).unlink(missing_ok=True)

    def path_of(self, job: Job) -> Path:
        """Its file."""
        return self.folder / f"{job.name}.json"

    def age_s(self, job: Job) -> float:
        """Seconds since it was last written down."""
        return max(0.0, time.time() - self._written_s(self.path_of(job)))

    def _written_s(self, path: Path) -> float:
        try:
            return path.stat().st_mtime
        except FileNotFoundError:
            return 0.0


def _job_in(path: Path) -> Job | None:
    """The job in a file; None where another run has just removed it."""
    plain = read_json(path)
    if plain is None and not path.exists():
        return None
    try:
        return Job.model_validate(plain)
    except ValidationError:
        raise BackendError(
            f"{path}: this is no record of a batch; remove it, and what it may be waiting for is paid for once more"
        ) from None
