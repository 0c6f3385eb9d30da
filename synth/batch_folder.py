"""Requests and replies that go through files, for a model that answers whole files and is no server.

    judged/requests.jsonl     what synth asks
    judged/replies.jsonl      what `vllm run-batch -i judged/requests.jsonl -o judged/replies.jsonl --model …` answers
    judged/requests-2.jsonl   what is not answered in the first, or is asked because of it

A run reads all replies there are, asks for the others in the next file, and stops until that is answered.
"""

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from synth.backend import Completion, Request
from synth.batch_files import Line, answered, line_of, read_line
from synth.chat_api import Dialect
from synth.errors import BackendError
from synth.store import writing


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where the reply to one request stands."""

    file: IO[bytes]
    offset: int
    is_answer: bool


class BatchFolder:
    """The files of one folder. `key_of` gives what a request's reply is known by."""

    def __init__(self, folder: Path, model: str, revision: str, key_of: Callable[[Request], str]) -> None:
        self.folder = folder
        self._model = model
        self._revision = revision
        self._key_of = key_of

    def complete(self, requests: Iterator[Request]) -> Iterator[Completion]:
        """The completions of the requests that are answered here.

        Raises BackendError after the last of them where some are not, with the command that answers those.
        """
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as files:
            spots = self._spots(files)
            asked: set[str] = set()
            with writing(self.folder):
                out = files.enter_context(NamedTemporaryFile(dir=self.folder, prefix=".requests.", delete=False))
                files.callback(Path(out.name).unlink, missing_ok=True)
            for request in requests:
                key = self._key_of(request)
                done = self._from(spots.get(key), request)
                if done is not None:
                    yield done
                elif key not in asked:
                    failed = self._ask(key, request, out)
                    asked |= {key} if failed is None else set()
                    yield from () if failed is None else (failed,)
            self._hand_over(out, len(asked))

    def _spots(self, files: ExitStack) -> dict[str, _Spot]:
        """Where each request is answered, or has failed for good and was not answered elsewhere."""
        spots: dict[str, _Spot] = {}
        for path in sorted(self.folder.glob("replies*.jsonl")):
            file = files.enter_context(_opened(path))
            found, offset, wrong = 0, 0, Line("")
            for raw in file:
                line = read_line(raw)
                if line is not None and (line.body is not None or not line.may_pass):
                    known = spots.get(line.key)
                    if known is None or not known.is_answer:
                        spots[line.key] = _Spot(file, offset, line.body is not None)
                    found += line.body is not None
                    wrong = line if line.is_about_the_model else wrong
                offset += len(raw)
            if not found and wrong.key:
                raise BackendError(
                    f"{path}: it answers nothing: {wrong.said}; remove it and run {self._command(path)} again"
                )
        return spots

    def _from(self, spot: _Spot | None, request: Request) -> Completion | None:
        if spot is None:
            return None
        spot.file.seek(spot.offset)
        line = read_line(spot.file.readline())
        if line is None:
            return None
        done = answered(line, request)
        if isinstance(done, Completion):
            return done
        return None if spot.is_answer else Completion(request=request, error=done)

    def _ask(self, key: str, request: Request, out: IO[bytes]) -> Completion | None:
        """Write the line that asks for a request; the completion of one that can't be asked."""
        try:
            raw = line_of(key, request, self._model, Dialect())
        except ValueError as error:
            return Completion(request=request, error=str(error))
        with writing(Path(str(out.name))):
            out.write(raw)
        return None

    def _hand_over(self, out: IO[bytes], count: int) -> None:
        """Give the file its name and say how it is answered; nothing where all was answered."""
        if not count:
            return
        number = 1
        while _numbered(self.folder, "replies", number).exists():
            number += 1
        path = _numbered(self.folder, "requests", number)
        with writing(path):
            out.flush()
            os.fsync(out.fileno())
            os.chmod(out.name, 0o644)  # mkstemp makes it private; this is what a plain file has
            os.replace(out.name, path)
        raise BackendError(
            f"{path}: {count:,} requests are written there; answer them with "
            f"{self._command(_numbered(self.folder, 'replies', number))}, then run the same command again"
        )

    def _command(self, replies: Path) -> str:
        """What answers a file of requests, into `replies`.

        >>> BatchFolder(Path("a b"), "Qwen/Qwen3-8B", "", str)._command(Path("a b/replies-2.jsonl"))
        "`vllm run-batch -i 'a b/requests-2.jsonl' -o 'a b/replies-2.jsonl' --model Qwen/Qwen3-8B`"
        """
        requests = replies.with_name(replies.name.replace("replies", "requests", 1))
        words = ["vllm", "run-batch", "-i", str(requests), "-o", str(replies), "--model", self._model]
        return f"`{shlex.join(words + (['--revision', self._revision] if self._revision else []))}`"


def _numbered(folder: Path, name: str, number: int) -> Path:
    return folder / (f"{name}.jsonl" if number == 1 else f"{name}-{number}.jsonl")


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise BackendError(f"{path}: the replies cannot be read: {error.strerror}") from error
