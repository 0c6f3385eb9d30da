"""What a row costs in the client: a bare loop, OpenAI's client, `synth run`, Curator, Data Designer and distilabel.

    make bench-clients                                                # the first of these
    python benchmarks/clients/run.py --rows 5000 --repeat 3           # processor time a row, nginx answering at once
    python benchmarks/clients/run.py --mode memory --rows 5000,200000 # does memory grow with the rows?
    python benchmarks/clients/run.py --mode waiting --rows 20000      # against a server that takes 500 ms

Every client asks for one query for each of so many made-up documents of 1 kB, one request a document, by the way that
its own manual shows, and writes what it gets; the bare loop and OpenAI's client keep nothing. A run is a process of its
own in a folder of its own, so that no cache helps; the clients take turns, and the median of each figure is shown.
Processor time is that of all processes a client starts, from its first import to its end, and so is memory. `start` is
the same with 20 documents: what is paid once. `beyond` is what the server was asked beyond one request a document.

In the mode `waiting` a bare loop and `synth run` take turns against a server that answers each request after 500 ms.
What the server itself saw is compared, with the loop just before: requests divided by the seconds from the first one
to the last answer. `whole` counts all of the process instead, its imports and its writing included. `at the cap` is the
share of those seconds in which at least 98 % of the places were taken.

It needs Linux, nginx (`apt-get install nginx-light`) and pip's index; the peers are installed as `peers.py` says. They
are asked for plain text, the others for an answer by a schema, so a peer's figure is the least that it costs.
"""

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from statistics import median
from typing import Any

from peers import BARE, CLIENTS, QUIET, SYNTH, Client, Unavailable
from servers import AtOnce, Server, Waiting

HERE = Path(__file__).parent
START = 20
"""So few documents that a run of them is all start and end."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one client. Seconds, megabytes; where it failed `why`, and the end of what it `said`."""

    client: str
    asked: int
    why: str = ""
    said: str = ""
    rows: int = 0
    user_s: float = 0.0
    system_s: float = 0.0
    wall_s: float = 0.0
    peak_mb: float = 0.0
    requests: int = 0
    others: tuple[str, ...] = ()
    note: str = ""
    load: float = 0.0

    @property
    def cpu_s(self) -> float:
        """Processor time."""
        return self.user_s + self.system_s


def main() -> None:
    """Measure as told, print a table, write the figures down."""
    arguments = read_arguments()
    signal.signal(signal.SIGTERM, lambda *told: sys.exit(143))  # so that servers end with it
    chosen = [client for client in CLIENTS if not arguments.only or client.name in arguments.only.split(",")]
    if not chosen:
        sys.exit(f"no client is called so; there are {', '.join(client.name for client in CLIENTS)}")
    modes = {"cost": cost, "memory": memory, "waiting": waiting}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.folder) as name:
        found = modes[arguments.mode](arguments, chosen, Path(name))
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps({"machine": machine(), "arguments": sys.argv[1:], **found}, indent=1))


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("cost", "memory", "waiting"), default="cost")
    parser.add_argument("--rows", default="", help="documents [default: 5000; for memory 5000,200000; waiting 20000]")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each client [default: 3]")
    parser.add_argument("--only", default="", help="names of the table, by commas [default: all]")
    parser.add_argument("--concurrent", type=int, default=None, help="at a time [default: 64, and 256 for waiting]")
    parser.add_argument("--wait-s", type=float, default=0.5, help="how long the waiting server takes [default: 0.5]")
    parser.add_argument("--set", action="append", default=[], help="as `synth run --set`")
    parser.add_argument("--most-s", type=float, default=900, help="the longest run that is waited for [default: 900]")
    parser.add_argument("--folder", type=Path, default=None, help="where to work [default: a temporary folder]")
    parser.add_argument("--output", type=Path, default=None, help="a file for every single run, as JSON")
    arguments = parser.parse_args()
    arguments.rows = arguments.rows or {"cost": "5000", "memory": "5000,200000", "waiting": "20000"}[arguments.mode]
    return arguments


def cost(arguments: argparse.Namespace, chosen: list[Client], folder: Path) -> dict[str, Any]:
    """The table of what a row costs."""
    count = int(arguments.rows)
    few, all_of_them = write_documents(folder / "few.jsonl", START), write_documents(folder / "all.jsonl", count)
    with AtOnce(folder) as server:
        bench = Bench(arguments, folder, server)
        starts = [bench.run(client, few, START) for client in chosen]
        went = {run.client for run in starts if not run.why}
        runs = [
            bench.run(client, all_of_them, count)
            for _ in range(arguments.repeat)
            for client in chosen
            if client.name in went
        ]
    print(f"\n{count:,} documents, {bench.concurrent} at a time, median of {arguments.repeat} runs; {machine(runs)}\n")
    print("| client | version | rows | beyond | CPU ms a row | least - most | start, CPU s | wall s | peak MB | |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for client, start in zip(chosen, starts, strict=True):
        print(cost_line(client, start, [run for run in runs if run.client == client.name]))
    return {"starts": [asdict(run) for run in starts], "runs": [asdict(run) for run in runs]}


def cost_line(client: Client, start: Run, runs: list[Run]) -> str:
    """A client's line of the table."""
    good = [run for run in runs if not run.why]
    if not good:
        return f"| {client.name} | | | | | | | | | {start.why or runs[0].why} |"
    each = [1000 * run.cpu_s / run.asked for run in good]
    beyond = sorted({run.requests - run.asked for run in good})
    others = sorted({other for run in good for other in run.others})
    failed = [f"{len(runs) - len(good)} of {len(runs)} failed: {run.why}" for run in runs if run.why][:1]
    note = "; ".join(part for part in (client.note, good[0].note, *others, *failed) if part)
    cells = [
        client.name,
        client.version(),
        " / ".join(f"{rows:,}" for rows in sorted({run.rows for run in good})),
        " / ".join(f"{more:+}" if more else "0" for more in beyond),
        f"{median(each):.2f}",
        f"{min(each):.2f} - {max(each):.2f}",
        f"{start.cpu_s:.1f}",
        f"{median(run.wall_s for run in good):.1f}",
        f"{median(run.peak_mb for run in good):.0f}",
        note,
    ]
    return f"| {' | '.join(cells)} |"


def memory(arguments: argparse.Namespace, chosen: list[Client], folder: Path) -> dict[str, Any]:
    """What synth (or whom --only names) holds at its highest, by the number of rows; one run each."""
    clients = chosen if arguments.only else [SYNTH]
    runs = []
    print("| client | documents | rows | peak MB | CPU ms a row | wall s | |\n|---|---|---|---|---|---|---|")
    with AtOnce(folder) as server:
        bench = Bench(arguments, folder, server)
        for count in map(int, arguments.rows.split(",")):
            corpus = write_documents(folder / f"{count}.jsonl", count)
            for client in clients:
                run = bench.run(client, corpus, count)
                each = 1000 * run.cpu_s / count
                cells = (client.name, f"{count:,}", f"{run.rows:,}", f"{run.peak_mb:.0f}", f"{each:.2f}")
                print(f"| {' | '.join(cells)} | {run.wall_s:.1f} | {run.why} |", flush=True)
                runs.append(run)
    return {"runs": [asdict(run) for run in runs]}


def waiting(arguments: argparse.Namespace, chosen: list[Client], folder: Path) -> dict[str, Any]:
    """Pairs of a bare loop and synth (and whom --only names) against the server that lets them wait."""
    count = int(arguments.rows)
    clients = [BARE, SYNTH, *(client for client in chosen if arguments.only and client not in (BARE, SYNTH))]
    corpus = write_documents(folder / "all.jsonl", count)
    seen: dict[str, list[Seen]] = {client.name: [] for client in clients}
    with Waiting(arguments.wait_s) as server:
        bench = Bench(arguments, folder, server)
        for number in range(arguments.repeat):
            for client in clients:
                run, stats = bench.run(client, corpus, count), server.stats()
                floor = seen[BARE.name][number].rate if client is not BARE else rate(stats)
                seen[client.name].append(Seen(run, stats, rate(stats), floor or 1.0))
    on = machine(one.run for each in seen.values() for one in each)
    print(f"\n{count:,} documents, {bench.concurrent} at a time, answered after {arguments.wait_s:g} s; {on}\n")
    columns = "client, rows, requests/s, of bare, whole: rows/s, of bare, at the cap, most at once, CPU ms a row, "
    print(f"| {columns.replace(', ', ' | ')} |\n|{10 * '---|'}")
    for client in clients:
        print(waiting_line(client, seen[client.name], bench.concurrent))
    return {"runs": [asdict(one) for each in seen.values() for one in each]}


@dataclass(frozen=True, slots=True)
class Seen:
    """A run, what the server saw of it, its requests a second, and those of the bare loop just before it."""

    run: Run
    stats: dict[str, Any]
    rate: float
    floor: float


def waiting_line(client: Client, seen: list[Seen], cap: int) -> str:
    """A client's line of that table."""
    good = [one for one in seen if not one.run.why]
    if not good:
        return f"| {client.name} | | | | | | | | | {seen[0].run.why} |"
    whole = [one.run.rows / one.run.wall_s for one in good]
    cells = [
        client.name,
        " / ".join(f"{rows:,}" for rows in sorted({one.run.rows for one in good})),
        f"{median(one.rate for one in good):.1f}",
        f"{median(one.rate / one.floor for one in good):.1%}",
        f"{median(whole):.1f}",
        f"{median(speed / one.floor for speed, one in zip(whole, good, strict=True)):.1%}",
        f"{median(share_at(one.stats['in_flight'], cap) for one in good):.1%}",
        str(max(int(waiting) for one in good for waiting in one.stats["in_flight"])),
        f"{median(1000 * one.run.cpu_s / one.run.asked for one in good):.2f}",
        "; ".join(sorted({one.run.why for one in seen if one.run.why})),
    ]
    return f"| {' | '.join(cells)} |"


def rate(stats: dict[str, Any]) -> float:
    """Requests a second, as the server saw them."""
    return stats["requests"] / stats["seconds"] if stats["seconds"] else 0.0


def share_at(in_flight: dict[str, float], cap: int) -> float:
    """The share of time in which all places but one in fifty were taken.

    >>> share_at({"0": 1.0, "255": 3.0}, 256)
    0.75
    """
    total = sum(in_flight.values())
    return sum(seconds for count, seconds in in_flight.items() if int(count) >= 0.98 * cap) / total if total else 0.0


class Bench:
    """Runs clients against one server, each in a new folder."""

    def __init__(self, arguments: argparse.Namespace, folder: Path, server: Server) -> None:
        self.concurrent = arguments.concurrent or (256 if isinstance(server, Waiting) else 64)
        self._folder, self._server, self._most_s = folder, server, arguments.most_s
        self._settings = [word for setting in arguments.set for word in ("--set", setting)]

    def run(self, client: Client, corpus: Path, count: int) -> Run:
        """One run, told on standard error as it ends. A failure is a Run that says why."""
        load = os.getloadavg()[0]
        served = self._served()
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            try:
                told = self._start(client, corpus, Path(name))
            except Unavailable as error:
                told = {"why": str(error)}
        others = tuple(self._server.others()) if isinstance(self._server, AtOnce) else ()
        run = Run(client=client.name, asked=count, requests=self._served() - served, others=others, load=load, **told)
        each = 1000 * run.cpu_s / count
        said = run.why or f"{run.rows} rows, {each:.2f} ms a row, {run.wall_s:.1f} s, {run.peak_mb:.0f} MB"
        print(f"{time.strftime('%H:%M:%S')} {client.name}: {said}; load {load:.1f}", file=sys.stderr)
        return run

    def _served(self) -> int:
        return self._server.served() if isinstance(self._server, AtOnce) else 0

    def _start(self, client: Client, corpus: Path, folder: Path) -> dict[str, Any]:
        command = client.command(corpus, self._server.url, self.concurrent, folder)
        out, err = watched([str(self._most_s), "--", *command, *self._more(client)], folder)
        *said, told = out.strip().splitlines()
        taken = json.loads(told)
        code = taken.pop("code")
        if code is None:
            return taken | {"why": f"it had not ended after {self._most_s:g} s", "said": err[-4000:]}
        if code:
            return taken | {"why": f"it ended with {code}: {last_line(err)}", "said": err[-4000:]}
        notes = [line.removeprefix("note: ") for line in err.splitlines() if line.startswith("note: ")]
        return taken | {"rows": rows_told(said), "note": "; ".join(notes)}

    def _more(self, client: Client) -> list[str]:
        return self._settings if client is SYNTH else []


def watched(words: list[str], folder: Path) -> tuple[str, str]:
    """What watch.py and the command that it watches print, at work in `folder`, which is their home too."""
    own = {"HF_HOME": folder / "hf", "DATA_DESIGNER_HOME": folder / "dd", "HOME": folder, "TMPDIR": folder}
    # pip compiled the others when they were installed: a checkout is compiled by its first run, and may keep that.
    outer = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, str(HERE / "watch.py"), *words],
        cwd=folder,
        env=outer | QUIET | {name: str(place) for name, place in own.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = process.communicate()
    finally:
        process.terminate()
        process.wait()
    if process.returncode:
        raise Unavailable(f"it could not be watched: {last_line(err)}")
    return out, err


def rows_told(lines: list[str]) -> int:
    """How many rows a client says it has: a script in its last line, synth in the object that it prints.

    >>> rows_told(["done", '{"rows": 3, "seconds": 0.5}'])
    3
    """
    for text in ("\n".join(lines), *lines[-1:]):
        try:
            rows = json.loads(text)["rows"]
        except ValueError:
            continue
        return int(rows["kept"] if isinstance(rows, dict) else rows)
    return 0


def last_line(text: str) -> str:
    """The last line that holds something, for a cell of a table."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].replace("|", "/")[:200] if lines else "it said nothing"


def machine(runs: Iterable[Run] = ()) -> str:
    """What it was measured on, and how busy that was when the runs began."""
    loads = [run.load for run in runs] or [os.getloadavg()[0]]
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, load {min(loads):.1f} to {max(loads):.1f}"


def write_documents(path: Path, count: int) -> Path:
    """Write `count` documents of about 1,000 characters, no two alike, from a fixed seed.

    Half of the words are common English ones: documents whose language can be told, as real ones can.
    """
    rng = random.Random(5)
    words = ["".join(rng.choices("aeioubcdfglmnprstvz", k=rng.randint(2, 10))) for _ in range(50_000)]
    words = [*COMMON.split(), *words]
    weights = list(accumulate(1 / (rank + 1) for rank in range(len(words))))
    with path.open("w") as file:
        for number in range(count):
            text = " ".join(sentences(rng.choices(words, cum_weights=weights, k=150)))[:1000]
            file.write(json.dumps({"_id": f"d{number}", "text": text}) + "\n")
    return path


COMMON = (
    "the of and to in is that for it was on are as with be by from at this have or not which but had they you "
    "were there one all we can her has their been if more when will would who so no out up into than them only "
    "its time some could these two may then do first any my now such like our over man me even most made after "
    "also did many before must through back years where much your way well down should because each just those "
    "people how too little state good very make world still own see men work long here get both between life "
    "being under never day same another know while last might us great old year off come since against go came "
    "right used take three house water river field city country found small large number part place early later "
    "often during until against around among known usually several become form large system light high open point "
    "group power land early "
)


def sentences(drawn: list[str]) -> Iterator[str]:
    """Sentences of fifteen words."""
    for start in range(0, len(drawn), 15):
        yield " ".join(drawn[start : start + 15]).capitalize() + "."


if __name__ == "__main__":
    main()
