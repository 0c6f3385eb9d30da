"""A server as a child process: started in a group of its own, waited for until it is healthy, stopped with all it has.

    child = ChildServer("vllm", [sys.executable, "-m", "…"], port, log=folder / "server.log")
    child.start()
    child.wait(within_s=600)        # BackendError with the server's own words where it ends before it answers
    …                               # http://127.0.0.1:<port>
    child.stop()

What a parent starts must not outlive it: an engine that goes on holds its GPU. A parent that is killed stops nothing,
so each child has a guard: a small process that reads a pipe which only the parent holds open, and acts at its end.
"""

import asyncio
import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from synth.errors import BackendError

LOCAL = "127.0.0.1"

_LOOK_EVERY_S = 0.1
_MOST_WORDS = 400
_FAILURE = re.compile(r"\b\w*(?:Error|Exception|Interrupt)\b: ?\S")
_GUARD = """
import os, signal, sys, time
pids = [int(pid) for pid in sys.argv[1:]]
sys.stdin.buffer.read()
for number, wait_s in ((signal.SIGTERM, 5), (signal.SIGKILL, 0)):
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            pass
    time.sleep(wait_s)
"""


class Guard:
    """Ends processes when this one is gone, even by kill -9; a negative number is a process group, as in `os.kill`."""

    def __init__(self, pids: Sequence[int]) -> None:
        command = [sys.executable, "-I", "-S", "-c", _GUARD, *map(str, pids)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Guard no longer. What was guarded goes on."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()


class ChildServer:
    """A server on a port of this machine; `command` makes it listen there. What it says goes to the file `log`.

    `environment` is added to that of this process. It is healthy once GET `health` is answered with 200.
    """

    health = "/health"

    def __init__(
        self, name: str, command: Sequence[str], port: int, *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.port = port
        self.log = log
        self._command = list(command)
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: Guard | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://{LOCAL}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process, which leads its group. Raises ValueError where it was never started."""
        if self._process is None:
            raise ValueError(f"{self.name} was not started")
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """True where it was started and is there no more."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """Start it, and wait for nothing. Raises BackendError where there is no such program."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as said:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    env=os.environ | self._environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise BackendError(f"{self.name}: {self._command[0]} cannot be started: {error.strerror}") from error
        self._guard = Guard([-self._process.pid])

    def wait(self, within_s: float) -> None:
        """Return once it is healthy. Raises BackendError where it ends before that or takes longer; it is stopped."""
        until = time.monotonic() + within_s
        while not self._is_ready(until, within_s):
            self._ended_within(_LOOK_EVERY_S)

    async def ready(self, within_s: float) -> None:
        """`wait`, in an event loop."""
        until = time.monotonic() + within_s
        while not await asyncio.to_thread(self._is_ready, until, within_s):
            await asyncio.sleep(_LOOK_EVERY_S)

    def how_it_ended(self) -> str:
        """How it ended, in one line with its own words; "" while it runs."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return ""
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{self.name}: the server {how}: {self._words()}"

    def stop(self, grace_s: float = 20.0) -> None:
        """Ask it to end, and after `grace_s` seconds end it and all that it started. Done twice, it does nothing."""
        if self._process is None or self._guard is None:
            return
        self._signal(signal.SIGTERM)
        self._ended_within(grace_s)
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._guard.release()
        self._guard = None

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to its whole group, the leader of which may be gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _ended_within(self, seconds: float) -> None:
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=seconds)

    def _is_ready(self, until: float, within_s: float) -> bool:
        if not self.has_ended and self._is_healthy():
            return True
        if self.has_ended or time.monotonic() >= until:
            wrong = self.how_it_ended() or f"{self.name}: it was not ready after {within_s:g} s: {self._words()}"
            self.stop()
            raise BackendError(wrong)
        return False

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection(LOCAL, self.port, timeout=2)
        try:
            connection.request("GET", self.health)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _words(self) -> str:
        """What it said: the first line that tells of a failure, else the last lines; and where all of it stands."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-200:]
        told = [" ".join(line.split()) for line in lines if line.strip()]
        telling = next((line for line in told if _FAILURE.search(line)), " / ".join(told[-3:]))
        return f"{telling[-_MOST_WORDS:] or 'it said nothing'} (all it said: {self.log})"


def free_ports(many: int) -> list[int]:
    """Ports of this machine that nobody listens at just now, each another."""
    with contextlib.ExitStack() as opened:
        held = [opened.enter_context(socket.socket()) for _ in range(many)]
        for one in held:
            one.bind((LOCAL, 0))
        return [int(one.getsockname()[1]) for one in held]
