"""Run a command and tell what it and everything it started took: processor time, seconds, the peak of memory.

    python watch.py MOST_S -- COMMAND ...     ->  a line of JSON at the end of standard output

A process of its own, so that what the kernel counts for children is this command's alone; what the command leaves
behind is adopted, ended and counted too (Linux). Memory is the highest of what the kernel says of any one process and
of the sum of all of them, each shared page counted in parts, as looked at every quarter of a second (Linux).
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

EVERY_S = 0.25
PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    most_s, command = float(sys.argv[1]), sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *told: sys.exit(1))
    begun = time.perf_counter()
    process = subprocess.Popen(command, start_new_session=True)
    highest_kb = 0
    try:
        while process.poll() is None and time.perf_counter() - begun < most_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(EVERY_S)
            pids = family()
            if len(pids) > 1:  # of one alone the kernel knows it better
                highest_kb = max(highest_kb, sum(memory_kb(pid) for pid in pids))
        wall_s = time.perf_counter() - begun
        timed_out = process.poll() is None
    finally:
        end_family()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    one_kb = used.ru_maxrss // (1 if sys.platform == "linux" else 1024)
    told = {
        "code": None if timed_out else process.wait(),
        "wall_s": wall_s,
        "user_s": used.ru_utime,
        "system_s": used.ru_stime,
        "peak_mb": max(highest_kb, one_kb) / 1024,
    }
    print(json.dumps(told))


def family() -> list[int]:
    """All processes that descend from this one (Linux)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def memory_kb(pid: int) -> int:
    """What a process holds, shared pages in parts; 0 where it has gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def end_family() -> None:
    """End what is left, and wait for it, so that it is counted."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        patience = time.perf_counter() + 5
        while family() and time.perf_counter() < patience:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
            time.sleep(0.05)


if __name__ == "__main__":
    main()
