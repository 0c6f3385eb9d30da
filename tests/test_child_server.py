"""A server as a child process: waited for, stopped with all it began, and gone when its parent is killed."""

import os
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from synth.child_server import ChildServer, Guard, free_ports
from synth.errors import BackendError

SERVER = """
import http.server, subprocess, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *args):
        pass

worker = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("worker", worker.pid, flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
PARENT = """
import sys
from pathlib import Path
from synth.child_server import ChildServer

child = ChildServer("tiny", [sys.executable, "-c", sys.argv[1], sys.argv[2]], int(sys.argv[2]), log=Path(sys.argv[3]))
child.start()
child.wait(within_s=30)
print(child.pid, flush=True)
sys.stdin.read()
"""


def server(folder: Path, code: str = SERVER) -> ChildServer:
    [port] = free_ports(1)
    return ChildServer("tiny", [sys.executable, "-c", code, str(port)], port, log=folder / "logs" / "tiny.log")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[ChildServer]:
    child = server(tmp_path)
    child.start()
    child.wait(within_s=30)
    yield child
    child.stop()


def worker_of(log: Path) -> int:
    return int(log.read_text().split()[1])


def gone(*pids: int) -> bool:
    """True once none of these processes runs, in at most ten seconds."""
    waiting = {os.pidfd_open(pid) for pid in pids}
    try:
        while waiting:
            ready, _, _ = select.select(waiting, [], [], 10)
            if not ready:
                return False
            for one in ready:
                waiting.discard(one)
                os.close(one)
        return True
    finally:
        for one in waiting:
            os.close(one)


def test_a_server_is_there_once_it_was_waited_for(started: ChildServer) -> None:
    with urllib.request.urlopen(f"{started.url}/health", timeout=5) as answer:
        assert answer.status == 200
    assert not started.has_ended
    assert started.how_it_ended() == ""


def test_a_server_that_answers_that_it_is_not_ready_is_waited_for(tmp_path: Path) -> None:
    early = "    early = [200, 503, 503]\n\n    def do_GET(self):\n        status = self.early.pop()\n"
    early += "        print('asked', status, flush=True)\n"
    slow = SERVER.replace("    def do_GET(self):\n", early).replace('200 if self.path == "/health" else 404', "status")
    child = server(tmp_path, slow)
    child.start()
    child.wait(within_s=30)
    child.stop()
    assert "asked 503\nasked 503\nasked 200\n" in child.log.read_text()


def test_what_the_server_began_is_stopped_with_it(started: ChildServer) -> None:
    worker = os.pidfd_open(worker_of(started.log))
    started.stop()
    assert started.has_ended
    assert select.select([worker], [], [], 10)[0] == [worker]
    os.close(worker)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", started.port), timeout=5).close()


def test_it_may_be_stopped_twice_and_before_it_was_started(tmp_path: Path, started: ChildServer) -> None:
    server(tmp_path).stop()
    for _ in range(2):
        started.stop()
        assert started.has_ended


def test_a_server_that_does_not_heed_the_request_to_end_is_ended(tmp_path: Path) -> None:
    child = server(tmp_path, "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER)
    child.start()
    child.wait(within_s=30)
    child.stop(grace_s=0.2)
    assert "signal 9" in child.how_it_ended()


def test_a_server_that_ends_at_once_is_told_in_one_line_with_its_own_words(tmp_path: Path) -> None:
    child = server(tmp_path, "print('loading')\nraise ValueError('no such model: tiny')")
    child.start()
    with pytest.raises(BackendError) as told:
        child.wait(within_s=30)
    assert "\n" not in str(told.value)
    assert str(told.value).startswith("tiny: the server ended with exit code 1: ValueError: no such model: tiny (")
    assert str(child.log) in str(told.value)


def test_a_server_that_is_never_ready_is_stopped_and_told(tmp_path: Path) -> None:
    child = server(tmp_path, "import signal\nprint('still loading', flush=True)\nsignal.pause()")
    child.start()
    with pytest.raises(BackendError, match=r"tiny: it was not ready after 1\.5 s: still loading"):
        child.wait(within_s=1.5)
    assert child.has_ended


def test_a_server_that_is_killed_says_by_what(started: ChildServer) -> None:
    os.kill(started.pid, signal.SIGKILL)
    assert gone(started.pid)
    assert started.has_ended
    assert started.how_it_ended().startswith("tiny: the server was ended by signal 9: worker")


def test_a_program_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    child = ChildServer("tiny", ["/no/such/program"], 1, log=tmp_path / "log")
    with pytest.raises(BackendError, match="tiny: /no/such/program cannot be started: No such file"):
        child.start()


def test_the_server_and_what_it_began_end_when_the_parent_is_killed(tmp_path: Path) -> None:
    [port] = free_ports(1)
    log = tmp_path / "tiny.log"
    command = [sys.executable, "-c", PARENT, SERVER, str(port), str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = int(parent.stdout.readline()), worker_of(log)
        opened = [os.pidfd_open(pid) for pid in pids]
        parent.kill()
    for one in opened:
        assert select.select([one], [], [], 10)[0] == [one]
        os.close(one)


def test_a_guard_that_was_released_ends_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as guarded:
        Guard([guarded.pid]).release()
        guarded.communicate(b"\n", timeout=10)
    assert guarded.returncode == 0


def test_free_ports_are_each_another() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
