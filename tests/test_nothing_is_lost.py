"""Runs that are killed, and servers that fail in every way at once: nothing is lost, nothing is paid for twice."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from synth.runs import open_run
from tests.conftest import write_corpus
from tests.servers import ChatServer, Fault, Said
from tests.test_resume import digest

RECIPE = """\
corpus: ./corpus
seed: 7
backends:
  writer: {{use: openai, model: tiny, base_url: {urls}, {options}}}
steps:
  - {{use: from_corpus, chunk: false}}
  - {{use: generate, prompt: grounded/question, attempts: 2}}
export: [dataset, beir]
"""
COMMIT_S = 0.1
"""How long a reply may be on its way to the disk."""


def recipe(folder: Path, documents: int, urls: list[str], options: str = "") -> Path:
    write_corpus(
        folder / "corpus", {f"d{n}": f"Document number {n} tells of {n * 7919} things." for n in range(documents)}
    )
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(urls=json.dumps(urls), options=options))
    return path


def run(path: Path, output: Path, *more: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "synth", "run", str(path), "--output", str(output), "--json", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=path.parent)


def number_in(body: dict[str, Any]) -> int:
    return int(body["messages"][1]["content"].partition("Document number ")[2].split()[0])


def query(n: int) -> str:
    return json.dumps({"query": f"what are the {n} things told of?"})


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_pays_for_nothing_twice(tmp_path: Path) -> None:
    pause = threading.Event()

    def answer(body: dict[str, Any]) -> str:
        pause.wait(0.02)
        return query(number_in(body))

    with ChatServer(answer) as server:
        path = recipe(tmp_path, 2000, [server.base_url], "most_concurrent: 32")
        whole = run(path, tmp_path / "one" / "whole", "--replies", str(tmp_path / "one.sqlite"))
        whole.communicate()
        assert whole.returncode == 0
        assert len(server.seen) == 2000
        server.seen.clear()
        server.answered.clear()
        kills = killed(server, path, tmp_path / "other" / "killed")
        finished = run(path, tmp_path / "other" / "killed")
        told = json.loads(finished.communicate()[0])
        assert finished.returncode == 0
    assert len(kills) == 20
    late = paid_twice(server, kills)
    print(f"sent {len(server.seen)} for 2,000; the oldest was answered {max(late):.3f} s before a kill")
    # On a machine with much else to do a client may read an answer late; most are in flight or in the last group.
    assert sorted(late)[len(late) // 2] <= COMMIT_S, "what was stored was sent again"
    assert len(late) <= 20 * 2 * 32, "more was sent again than was in flight"
    assert digest(tmp_path / "other" / "killed" / "dataset") == digest(tmp_path / "one" / "whole" / "dataset")
    assert digest(tmp_path / "other" / "killed" / "beir") == digest(tmp_path / "one" / "whole" / "beir")
    assert told["requests"]["sent"] == 2000


def killed(server: ChatServer, path: Path, output: Path) -> list[float]:
    """Start the run and kill it, again and again, a little further each time; when."""
    rng, kills = random.Random(5), list[float]()
    while len(kills) < 20:
        process = run(path, output)
        target = len(server.answered) + rng.randint(50, 100)
        while len(server.answered) < target and process.poll() is None:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        kills.append(time.monotonic())
        process.communicate()
    return kills


def paid_twice(server: ChatServer, kills: list[float]) -> list[float]:
    """For each request that was answered and sent again: how long before the next kill it was answered, in seconds."""
    late, before = list[float](), dict[int, tuple[float, float]]()
    for body, came, answered in sorted(server.answered, key=lambda each: each[1]):
        n = number_in(body)
        if n in before:
            first, done = before[n]
            kill = min(kill for kill in kills if kill >= first)
            late.append(max(kill - done, 0))  # 0 for one that was in flight
        before[n] = came, answered
    return late


def test_one_more_document_sends_its_own_request_alone(tmp_path: Path) -> None:
    with ChatServer(lambda body: query(number_in(body))) as server:
        for documents, sent in ((60, 60), (61, 1), (61, 0)):
            server.seen.clear()
            process = run(recipe(tmp_path, documents, [server.base_url]), tmp_path / f"run-{documents}")
            told = json.loads(process.communicate()[0])
            assert (len(server.seen), told["rows"]["kept"]) == (sent, documents)


def test_two_runs_at_once_send_each_request_once(tmp_path: Path) -> None:
    with ChatServer(lambda body: query(number_in(body))) as server:
        path = recipe(tmp_path, 300, [server.base_url])
        both = [run(path, tmp_path / "runs" / name / "out") for name in "ab"]
        told = [json.loads(process.communicate()[0]) for process in both]
        assert len(server.seen) == 300
    assert [each["rows"]["kept"] for each in told] == [300, 300]
    assert digest(tmp_path / "runs" / "a" / "out" / "dataset") == digest(tmp_path / "runs" / "b" / "out" / "dataset")
    assert sum(each["requests"]["sent"] for each in told) == 300


KINDS = (
    "429", "500", "503", "reset", "half a body", "hang", "half a JSON", "wrong schema", "empty", "prose", "control",
    "length", "refusal", "never: too long", "never: schema", "never: length", "never: 500",
)  # fmt: skip
REASONS = {
    "refusal": "refusal",
    "never: too long": "failed_request",
    "never: schema": "unreadable_answer",
    "never: length": "truncated_answer",
    "never: 500": "failed_request",
}
ONCE = {
    "429": Fault(429, "slow down", headers={"Retry-After": "0.2"}),
    "500": Fault(500, "oops"),
    "503": Fault(503, "busy"),
    "reset": Fault(breaks=True),
    "half a body": Fault(halves=True),
    "hang": Fault(hangs_s=30),
}


class Faulty:
    """What goes wrong with which document: each kind with one of a hundred; most of them once, some of them always."""

    def __init__(self, *, hangs: bool = True, ever: bool = True) -> None:
        self.times: Counter[int] = Counter()
        self.hangs = hangs
        self.ever = ever

    def kind(self, n: int) -> str:
        place = random.Random(n).randrange(100)
        kind = KINDS[place] if place < len(KINDS) and self.ever else "fine"
        return "fine" if kind == "hang" and not self.hangs else kind

    def refuses(self, body: dict[str, Any]) -> Fault | None:
        n = number_in(body)
        kind = self.kind(n)
        if kind == "never: too long":
            return Fault(400, "This model's maximum context length is 512 tokens, and the prompt has 600")
        if kind == "never: 500":
            return Fault(500, "oops")
        self.times[n] += 1
        return ONCE.get(kind) if self.times[n] == 1 else None

    def answer(self, body: dict[str, Any]) -> str | Said:
        n = number_in(body)
        kind, again = self.kind(n), self.times[n] > 1
        said: dict[str, str | Said] = {
            "half a JSON": '{"query": "how ma',
            "wrong schema": '{"question": 5}',
            "empty": "",
            "length": Said('{"query": "how', "length"),
        }
        always: dict[str, str | Said] = {
            "prose": f"Sure! Here it is:\n```json\n{query(n)}\n```\nShall I write more?",
            "control": query(n).replace("told of", "told\tof\x01"),
            "refusal": "I'm sorry, but I can't help with that.",
            "never: schema": '{"question": 5}',
            "never: length": Said('{"query": "how', "length"),
        }
        return always.get(kind) or (said.get(kind, query(n)) if not again else query(n))


@contextmanager
def dead_port() -> Iterator[str]:
    """The address of a server that refuses every connection."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


def faulty_run(folder: Path, documents: int, faulty: Faulty) -> tuple[float, ChatServer, Path]:
    """Seconds, the server with its log, and the folder of a run against it."""
    with ChatServer(faulty.answer, refuses=faulty.refuses) as server, dead_port() as dead:
        options = "timeout_s: 5, first_wait_s: 0.1, most_tries: 4, most_concurrent: 64"
        path = recipe(folder, documents, [server.base_url, dead] if faulty.ever else [server.base_url], options)
        began = time.monotonic()
        process = run(path, folder / "run")
        _, err = process.communicate()
        assert process.returncode == 0, err.decode()
        return time.monotonic() - began, server, folder / "run"


def fates(folder: Path) -> dict[int, str]:
    """What became of each document, once for each."""
    step = open_run(folder).step("generate")
    found: dict[int, str] = {}
    rows = [(row, "kept") for row in step.kept] + [(gone.example, gone.reason) for gone in step.dropped()]
    for row, fate in rows:
        n = int(row.positive.text.split()[2])
        assert n not in found, f"document {n} has two fates"
        found[n] = fate
    return found


def test_a_server_with_every_fault_loses_no_row_and_names_true_reasons(tmp_path: Path) -> None:
    faulty = Faulty()
    _, _, folder = faulty_run(tmp_path, 400, faulty)
    assert {faulty.kind(n) for n in range(400)} == {*KINDS, "fine"}
    assert fates(folder) == {n: REASONS.get(faulty.kind(n), "kept") for n in range(400)}


@pytest.mark.slow
def test_ten_thousand_rows_from_a_faulty_server_take_less_than_twice_the_time(tmp_path: Path) -> None:
    fine, _, _ = faulty_run(tmp_path / "fine", 10_000, Faulty(ever=False))
    faulty = Faulty(hangs=False)
    seconds, _, folder = faulty_run(tmp_path / "faulty", 10_000, faulty)
    print(f"10,000 rows: {fine:.1f} s without faults, {seconds:.1f} s with them, {seconds / fine:.2f} times")
    assert fates(folder) == {n: REASONS.get(faulty.kind(n), "kept") for n in range(10_000)}
    assert seconds < 2 * fine
