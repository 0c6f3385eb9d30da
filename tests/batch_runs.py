"""Requests through the openai_batch backend, in this process or in one that a test kills."""

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from synth.backend import Completion, Message, Request
from synth.backends.openai_batch import OpenAIBatch
from tests.batch_server import BatchServer


def questions(count: int, start: int = 0) -> list[Request]:
    """So many requests, numbered."""
    return [Request(id=str(n), messages=(Message("user", f"question {n}"),)) for n in range(start, start + count)]


def ask_in_a_child(options: Mapping[str, Any], count: int, answers: str) -> None:
    """Ask `count` questions, each answer noted in a file as it comes: what a test kills."""
    backend = OpenAIBatch.model_validate(options)
    with Path(answers).open("a") as file:
        for completion in backend.complete(iter(questions(count))):
            file.write(f"{completion.request.id}\n")
            file.flush()


def options(server: BatchServer, folder: Path, **more: object) -> dict[str, Any]:
    """Options of a backend that asks this server and loses no time."""
    quick = {"model": "tiny", "base_url": server.base_url, "poll_s": 0.01, "first_wait_s": 0.01}
    return {**quick, "folder": str(folder), **more}


def completed(server: BatchServer, folder: Path, requests: list[Request], **more: object) -> list[Completion]:
    """What comes back for these requests."""
    with closing(OpenAIBatch.model_validate(options(server, folder, **more))) as backend:
        return list(backend.complete(iter(requests)))


def texts(completions: list[Completion]) -> dict[str, str]:
    """What each says, or why it failed, by the request's id; one for each."""
    assert len({c.request.id for c in completions}) == len(completions)
    return {c.request.id: c.error or c.text for c in completions}


def answers(count: int) -> dict[str, str]:
    """What the server says to so many questions."""
    return {str(n): f"about question {n}" for n in range(count)}


def records(folder: Path) -> list[dict[str, Any]]:
    """What is written down of batches."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
