"""What a person sees while a run works: a bar for every step, then the tables. Quiet where nobody looks.

00 from_corpus        5,183 kept                            412/s   0:00:12
01 extract           10,366 kept      14 dropped  ━━━━━━━   1,020/s 0:00:05
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from synth.terminal import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from synth.step_run import StepRun

REFRESH_S = 0.25


class Show:
    """Shows a run's progress on standard error; silent unless that is a terminal."""

    def __init__(self, console: "Console | None" = None) -> None:
        self._said = console
        self._console = console if console is not None and console.is_terminal else None

    @contextmanager
    def steps(self, runs: "Sequence[StepRun]") -> Iterator[None]:
        """Bars for the steps, one line each, while the body runs."""
        if self._console is None:
            yield
            return
        board = _Board(_bars(self._console), runs)
        with board.bars, board.following():
            yield

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """A line for what is no step: export, train, evaluate."""
        if self._console is None:
            yield
            return
        with _bars(self._console) as bars:
            task = bars.add_task(name, total=None, counts="", rate="")
            yield
            bars.update(task, total=1, completed=1)

    def say(self, text: str) -> None:
        """One line on standard error, whoever watches."""
        if self._said is not None:
            self._said.print(shown(text), style="dim", markup=False, highlight=False, soft_wrap=True)


def _bars(console: "Console") -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:<18.18}", markup=False),
        TextColumn("{task.fields[counts]:<28.28}", markup=False),
        BarColumn(bar_width=8),
        TextColumn("{task.fields[rate]:>8.8}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        refresh_per_second=4,
    )


class _Board:
    """Reads the steps' ledgers a few times a second; the steps themselves never stop to tell."""

    def __init__(self, bars: "Progress", runs: "Sequence[StepRun]") -> None:
        self.bars = bars
        self._runs = runs
        self._tasks: list[TaskID | None] = [None] * len(runs)
        self._began = [0.0] * len(runs)
        self._over = threading.Event()

    @contextmanager
    def following(self) -> Iterator[None]:
        thread = threading.Thread(target=self._follow, daemon=True, name="progress")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _follow(self) -> None:
        while not self._over.wait(REFRESH_S):
            self._look()
        self._look()

    def _look(self) -> None:
        for number, run in enumerate(self._runs):
            if self._tasks[number] is None and (run.running or run.key):
                self._tasks[number] = self.bars.add_task(run.step.folder_name, total=None, counts="", rate="")
                self._began[number] = time.monotonic()
            task = self._tasks[number]
            if task is not None:
                self._update(number, run, task)

    def _update(self, number: int, run: "StepRun", task: "TaskID") -> None:
        came, kept, dropped, settled = run.progress()
        counts = f"{kept:,} kept" + (f" {dropped:,} dropped" if dropped else "")
        seconds = max(time.monotonic() - self._began[number], 1e-3) if run.running else max(run.seconds, 1e-3)
        rate = "done" if run.reused else f"{max(came, kept) / seconds:,.0f}/s"
        if not run.running and run.key:
            self.bars.update(task, total=1, completed=1, counts=counts, rate=rate)
            self.bars.stop_task(task)
            return
        before = self._runs[number - 1] if number else None
        total = before.kept if before is not None and not before.running else None
        self.bars.update(task, total=total, completed=settled, counts=counts, rate=rate)
