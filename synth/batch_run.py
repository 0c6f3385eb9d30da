"""One call of the Batch API: requests in, files and batches between, completions out as batches end.

    draw a file of requests -> made -> upload -> uploaded -> create -> created -> look, look, read -> ended

What an earlier run has sent is not sent again: a request whose key stands in a job that is out waits for that job. What
a batch did not answer (it expired, was cancelled, a line met a 429 or a 500) is put into the next one.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from synth.backend import Completion, Request
from synth.batch_client import ENDED, Away, BatchClient, NoBatchApi, NotThere
from synth.batch_files import Draft, Line, answered, line_of, read_lines
from synth.batch_jobs import Job, Jobs
from synth.batch_limits import PATIENCE, Limits, Queue
from synth.chat_api import Dialect
from synth.errors import BackendError, BudgetSpent
from synth.store import writing

if TYPE_CHECKING:
    from openai.types import Batch


@dataclass(frozen=True, slots=True)
class Asked:
    """Which model is asked, by what its replies are known, how it is first spoken to, and what ends the waiting."""

    model: str
    key_of: Callable[[Request], str]
    dialect: Dialect = field(default_factory=Dialect)
    closing: threading.Event = field(default_factory=threading.Event)


class Closed(BaseException):
    """The backend was closed while a caller waited for its batches."""


class BatchRun:
    """One caller's requests, and the batches that they are in.

    Raises NoBatchApi before anything was sent, where the server has none; BackendError; BudgetSpent at the deadline.
    """

    def __init__(self, client: BatchClient, jobs: Jobs, limits: Limits, asked: Asked) -> None:
        self._client = client
        self._jobs = jobs
        self._limits = limits
        self._asked = asked
        self._dialect = asked.dialect
        self._waiting: dict[str, list[Request]] = {}
        self._pool: deque[str] = deque()
        self._out: dict[str, Job] = {}
        self._known: dict[str, Job] = {}
        self._job_of: dict[str, str] = {}
        self._tries: Counter[str] = Counter()
        self._failed: list[Completion] = []
        self._away = 0
        self._queue = Queue(limits)
        self._until_s = None if limits.deadline_s is None else time.monotonic() + limits.deadline_s

    def complete(self, source: Iterator[Request]) -> Iterator[Completion]:
        """One completion for each request. They are drawn as long as another batch may be out."""
        if self._jobs.any():
            with self._jobs.alone():
                self._learn()
            self._dialect = self._last_dialect()
        while True:
            try:
                self._send(source)
            except NoBatchApi:
                yield from self._failures()
                raise
            yield from self._failures()
            if not self._out and not self._pool:
                return
            yield from self._news()
            yield from self._failures()

    def unanswered(self) -> Iterator[Request]:
        """The requests that were drawn and have no completion."""
        return chain.from_iterable(self._waiting.values())

    def _send(self, source: Iterator[Request]) -> None:
        """Fill files and have batches made of them, while there is room and something to ask."""
        while self._queue.has_room(len(self._out)):
            with self._jobs.nameless_file() as file:
                draft = Draft(file, self._dialect)
                self._fill(draft, source)
                if not draft.keys:
                    return
                try:
                    self._submit(draft)
                except Away as error:
                    self._pool.extendleft(reversed(draft.keys))
                    self._be_patient(error)
                    return

    def _fill(self, draft: Draft, source: Iterator[Request]) -> None:
        most = self._queue.most_requests
        for key in self._keys(source):
            raw = self._line(key, draft.dialect)
            if raw is None:
                continue
            if draft.keys and draft.bytes + len(raw) > self._limits.bytes:
                self._pool.appendleft(key)
                return
            with writing(self._jobs.folder):
                draft.add(key, raw)
            if len(draft.keys) >= most:
                return

    def _keys(self, source: Iterator[Request]) -> Iterator[str]:
        """The keys of what is to be asked: once more, then for the first time. What is in a job waits for it."""
        while self._pool:
            yield self._pool.popleft()
        for request in source:
            key = self._asked.key_of(request)
            same = self._waiting.setdefault(key, [])
            same.append(request)
            if len(same) == 1 and not self._is_out(key):
                yield key

    def _is_out(self, key: str) -> bool:
        name = self._job_of.get(key)
        if name is not None:
            self._out[name] = self._known[name]
        return name is not None

    def _line(self, key: str, dialect: Dialect) -> bytes | None:
        """What asks for a request; None where it can't be asked, which is its completion then."""
        try:
            raw = line_of(key, self._waiting[key][0], self._asked.model, dialect)
        except ValueError as error:
            self._fail(key, str(error))
            return None
        if len(raw) > self._limits.bytes:
            self._fail(key, f"the request takes {len(raw):,} bytes, and a file may have {self._limits.bytes:,}")
            return None
        return raw

    def _submit(self, draft: Draft) -> None:
        """Have a batch made of a file: each step is written down before the next. One run at a time."""
        with self._jobs.alone():
            self._learn()
            if any(key in self._job_of for key in draft.keys):
                self._pool.extendleft(key for key in reversed(draft.keys) if not self._is_out(key))
                return
            job = self._jobs.new(draft.content, draft.keys, self._asked.model, draft.dialect)
            job = self._created(self._jobs.save(job), draft)
            self._take_in(job)
        self._out[job.name] = job

    def _created(self, job: Job, draft: Draft) -> Job:
        """The job with its file sent and its batch created. Where it is refused outright nothing is left of it."""
        try:
            file_id, file_at = self._client.upload(job.name, draft.file)
            job = self._write(job, state="uploaded", file_id=file_id, file_at=file_at)
            return self._write(job, state="created", batch_id=self._client.create(job, self._limits.window).id)
        except Away:
            raise
        except (BackendError, NoBatchApi) as error:
            self._jobs.forget(job)
            if self._out and isinstance(error, NoBatchApi):
                raise BackendError(f"{self._client.place}: it takes no more batches: {error}") from None
            raise

    def _learn(self) -> None:
        """Take in the jobs that other runs have written down. Nobody else may be at work in the folder."""
        for job in self._jobs.read(self._known.keys()):
            settled = job if job.batch_id else self._settled(job)
            if settled is None:
                self._jobs.forget(job)
            else:
                self._take_in(settled)

    def _last_dialect(self) -> Dialect:
        """How this model was last spoken to: what it refused once need not be refused again."""
        known = [job.dialect for job in self._known.values() if job.model == self._asked.model]
        return known[-1] if known else self._asked.dialect

    def _settled(self, job: Job) -> Job | None:
        """A job of a run that died before it knew the batch's id: with the id, or None where there is no batch."""
        if not job.file_id:
            return None
        batch = self._client.find(job)
        young_s = self._limits.poll_s - self._jobs.age_s(job)
        if batch is None and young_s > 0:
            self._wait(young_s)
            batch = self._client.find(job)
        return self._write(job, state="created", batch_id=batch.id) if batch is not None else None

    def _take_in(self, job: Job) -> None:
        self._known[job.name] = job
        self._job_of.update(dict.fromkeys(job.keys, job.name))

    def _write(self, job: Job, **changes: object) -> Job:
        return self._jobs.save(job.model_copy(update=changes))

    def _news(self) -> Iterator[Completion]:
        """What the batches that have ended give; where none has, wait."""
        ended = False
        for job in list(self._out.values()):
            try:
                batch = self._client.look_at(job.batch_id)
                if batch.status in ENDED:
                    yield from self._read(job, batch)
                    ended = True
                self._away = 0
            except NotThere as error:
                self._lost(job, error)
            except Away as error:
                self._be_patient(error)
        if not ended:
            self._wait(self._limits.poll_s)

    def _be_patient(self, error: Away) -> None:
        """A server may be away for a while. Raises BackendError where it stays away, or has never been there."""
        self._away += 1
        if not self._client.has_answered:
            raise error
        if self._away > PATIENCE:
            raise BackendError(f"{error}; nothing is lost: run the same command again later") from None

    def _read(self, job: Job, batch: "Batch") -> Iterator[Completion]:
        """The completions of a batch that has ended; what it did not answer is asked again or has failed."""
        if batch.status == "failed" and not (batch.output_file_id or batch.error_file_id):
            self._refused(job, batch)
            return
        keys, replied, failed = frozenset(job.keys), set[str](), dict[str, Line]()
        for line in self._lines(batch):
            if line.key not in keys or line.key in replied:
                continue
            done = [answered(line, request) for request in self._waiting.get(line.key, ())]
            wrong = line.said if line.body is None else next((said for said in done if isinstance(said, str)), "")
            if line.body is None or wrong:
                failed[line.key] = line if line.body is None else replace(line, status=0, body=None, said=wrong)
                continue
            replied.add(line.key)
            self._waiting.pop(line.key, None)
            yield from (completion for completion in done if isinstance(completion, Completion))
        self._end(job, [key for key in job.keys if key in replied])
        self._queue.moved()
        self._check(failed, replied)
        for key in job.keys:
            if key in self._waiting and key not in replied:
                self._once_more(job, key, failed.get(key, Line(key, said=f"its batch has {batch.status} without it")))

    def _lines(self, batch: "Batch") -> Iterator[Line]:
        for file_id in (batch.output_file_id, batch.error_file_id):
            try:
                if file_id:
                    yield from read_lines(self._client.lines(file_id))
            except NotThere:  # kept for some weeks only
                continue

    def _end(self, job: Job, replied: Sequence[str]) -> None:
        """Nothing more comes of a job: it stands for its replies alone."""
        self._out.pop(job.name, None)
        for key in job.keys:
            self._job_of.pop(key, None)
        if replied:
            self._take_in(self._write(job, state="ended", keys=tuple(replied)))
        else:
            self._jobs.forget(job)

    def _check(self, failed: Mapping[str, Line], replied: set[str]) -> None:
        """Raise BackendError for what would meet every other request too."""
        for line in (line for key, line in failed.items() if key not in replied):
            if line.is_about_credit or (line.is_about_the_model and not replied):
                raise BackendError(self._client.hidden(f"{self._client.place}: {line.said}"))

    def _once_more(self, job: Job, key: str, line: Line) -> None:
        """Put a request into the next batch, without what the server refused; or it has failed."""
        refused = line.status in (400, 422)
        after = job.dialect.after(line.said, self._waiting[key][0]) if refused else None
        if after is not None:
            self._dialect = after if self._dialect == job.dialect else self._dialect
            self._pool.append(key)
            return
        self._tries[key] += 1
        if line.may_pass and self._tries[key] < self._limits.tries:
            self._pool.append(key)
        else:
            self._fail(key, line.said)

    def _refused(self, job: Job, batch: "Batch") -> None:
        """A batch of which nothing was run: for lack of room in the server's queue, or for what some lines say."""
        self._end(job, ())
        errors = (batch.errors.data if batch.errors else None) or []
        said = "; ".join(dict.fromkeys(f"{e.message or e.code}" for e in errors)) or "it does not say why"
        if any(error.code == "token_limit_exceeded" for error in errors):
            self._pool.extendleft(key for key in reversed(job.keys) if key in self._waiting)
            self._queue.full(len(self._out), len(job.keys), self._client.hidden(f"{self._client.place}: {said}"))
            return
        lines = {e.line: e.message or e.code or said for e in errors if e.line and e.line <= len(job.keys)}
        if not lines or len(lines) == len(job.keys) > 1 or any(error.code == "model_not_found" for error in errors):
            raise BackendError(self._client.hidden(f"{self._client.place}: it refuses the file of requests: {said}"))
        for number, key in enumerate(job.keys, start=1):
            if key in self._waiting:
                told = Line(key, 0 if number not in lines else 400, said=lines.get(number, said))
                self._once_more(job, key, told)

    def _fail(self, key: str, said: str) -> None:
        said = self._client.hidden(said)
        self._failed += [Completion(request=request, error=said) for request in self._waiting.pop(key)]

    def _failures(self) -> Iterator[Completion]:
        failed, self._failed = self._failed, []
        yield from failed

    def _wait(self, seconds: float) -> None:
        """Let time pass. Raises BudgetSpent at the deadline, Closed."""
        left_s = seconds if self._until_s is None else self._until_s - time.monotonic()
        if left_s <= 0:
            requests = sum(len(same) for same in self._waiting.values())
            raise BudgetSpent(
                f"{self._client.place}: `deadline_s:` is over and {requests:,} requests wait for {len(self._out)} "
                "batches; they go on there: run the same command again later, nothing is lost"
            )
        if self._asked.closing.wait(min(seconds, left_s)):
            raise Closed

    def _lost(self, job: Job, error: NotThere) -> None:
        """A batch that the server does not know: it was read once, or it may be at work where this key does not see."""
        if job.state != "ended":
            raise BackendError(
                f"{self._client.place}: it knows no batch {job.batch_id} ({error}); use the key that it was made with, "
                f"or remove {self._jobs.path_of(job)} to pay for its {len(job.keys):,} requests once more"
            ) from None
        self._end(job, ())
        self._pool.extend(key for key in job.keys if key in self._waiting)
