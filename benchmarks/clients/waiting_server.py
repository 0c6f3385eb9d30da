"""A chat server that gives the same completion to every request but for WORDS, after the same wait, and keeps count.

    python waiting_server.py PORT WAIT_S COMPLETION

`GET /stats` tells what has been since the last time it was asked: `requests`, `seconds` from the first request to the
last answer, and `in_flight`, for how many seconds how many requests were waiting. As little Python as will do.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
CONTENT_LENGTH = b"content-length:"


class Count:
    """Who came when, and how many were waiting for how long."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.requests = self.waiting = self.connections = 0
        self.first = self.last = self.changed = 0.0
        self.in_flight: Counter[int] = Counter()

    def change(self, by: int) -> None:
        """A request has come (1), or is answered (-1)."""
        now = time.perf_counter()
        if not self.requests:
            self.first = self.changed = now
        self.in_flight[self.waiting] += now - self.changed
        self.requests += by > 0
        self.waiting += by
        self.changed = self.last = now

    def plain(self) -> dict[str, Any]:
        """The counts by name."""
        flight = {str(count): round(seconds, 4) for count, seconds in sorted(self.in_flight.items())}
        told = {"requests": self.requests, "seconds": self.last - self.first, "in_flight": flight}
        return {**told, "connections": self.connections}


class Connection(asyncio.Protocol):
    """One client's connection: a request at a time."""

    def __init__(self, count: Count, wait_s: float, completion: bytes) -> None:
        self.count, self.wait_s, self.completion = count, wait_s, completion
        self.loop = asyncio.get_running_loop()
        self.seen = b""
        self.came = False

    def connection_made(self, transport: Any) -> None:
        """Remember where answers go."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Start the wait of a request once all of it is there."""
        self.seen += data
        head, found, rest = self.seen.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.lower().find(CONTENT_LENGTH)
        length = int(head[at + len(CONTENT_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self.seen = rest[length:]
        if head.startswith(b"POST"):
            self.count.connections += not self.came
            self.came = True
            self.count.change(1)
            self.loop.call_later(self.wait_s, self.reply)
        else:
            told = json.dumps(self.count.plain()).encode()
            self.count.clear()
            self.write(told)

    def reply(self) -> None:
        """The wait is over."""
        self.count.change(-1)
        self.write(self.completion.replace(b"WORDS", random.randbytes(16).hex(" ", 2).encode()))

    def write(self, body: bytes) -> None:
        """Answer, where somebody still listens."""
        if not self.transport.is_closing():
            self.transport.write(HEAD % (len(body), body))


async def main() -> None:
    port, wait_s, completion = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3].encode()
    count = Count()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(count, wait_s, completion), "127.0.0.1", port, backlog=4096, reuse_address=True
    )
    await server.serve_forever()


asyncio.run(main())
