"""The two servers that clients are measured against: nginx, which answers at once, and one that lets them wait.

with AtOnce(folder) as server:
    ...  # server.url, server.served()
"""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
COMPLETION = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": json.dumps({"query": "what is said of WORDS?"})},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 523, "completion_tokens": 14, "total_tokens": 537},
    }
)
"""What both answer to every request, with eight words in the place of WORDS: no two answers are alike."""


class Server:
    """A server in a process of its own, on a free port of this machine."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def command(self) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self.command())
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.05)
        self._process.kill()
        sys.exit(f"{self.command()[0]} did not start; it says why above")

    def __exit__(self, *raised: object) -> None:
        self._process.terminate()
        self._process.wait()

    def get(self, path: str) -> str:
        """What it answers there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as response:
            return response.read().decode()


class AtOnce(Server):
    """nginx with one canned completion."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._asked = self._told = 0

    def command(self) -> list[str]:
        """Write its configuration and start it with that. Exits where there is no nginx."""
        nginx = shutil.which("nginx", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/opt/homebrew/bin")
        if not nginx:
            sys.exit("there is no nginx: apt-get install nginx-light, or brew install nginx")
        quoted = COMPLETION.replace("\\", "\\\\").replace("'", "\\'")
        filled = {"PORT": str(self.port), "FOLDER": str(self.folder), "COMPLETION": quoted.replace("WORDS", "$words")}
        text = (HERE / "nginx.conf").read_text()
        for name, value in filled.items():
            text = text.replace(f"@{name}@", value)
        (self.folder / "nginx.conf").write_text(text)
        return [
            nginx,
            "-p",
            str(self.folder),
            "-e",
            str(self.folder / "errors.log"),
            "-c",
            str(self.folder / "nginx.conf"),
        ]

    def served(self) -> int:
        """How many requests it has had so far, of whatever kind, but for these questions."""
        self._asked += 1
        lines = self.get("/served").splitlines()
        return int(lines[2].split()[2]) - self._asked

    def others(self) -> list[str]:
        """What it was asked beside completions, since the last time."""
        log = self.folder / "other.log"
        found = log.read_text().splitlines() if log.exists() else []
        new, self._told = found[self._told :], len(found)
        return new


class Waiting(Server):
    """A server that answers each request after `wait_s` seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s

    def command(self) -> list[str]:
        """How it is started."""
        return [sys.executable, str(HERE / "waiting_server.py"), str(self.port), str(self.wait_s), COMPLETION]

    def stats(self) -> dict[str, Any]:
        """What has been since the last time: `requests`, `seconds`, `in_flight`, `connections`."""
        return json.loads(self.get("/stats"))
