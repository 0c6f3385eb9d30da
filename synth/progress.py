"""What a person sees while a run works: a bar for every step, what the models do, then the tables. Quiet where nobody
looks.

00-from_corpus     5,183 kept                   ━━━━━━━━    412/s 0:00:12 00:00
01-generate        3,012 kept 14 dropped        ━━━╸        251/s 0:00:12 00:09
models  248 requests/s · 61,200 tokens/s in, 9,140 out · 128 under way
        4% from the store · 38% cached · $0.42 of $5.00 · up to 0:00:21 left
        3 failed: 2 of 429, 1 of timeout
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from synth.budget import Budget
from synth.estimate import about, amount
from synth.terminal import shown
from synth.usage import Usage

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

    from synth.step_run import StepRun

REFRESH_S = 0.25
WINDOW_S = 10.0
"""What a second brings is told as the mean of the last so many."""
WIDTH = 80
INDENT = "        "


class Show:
    """Shows a run's progress on standard error; silent unless that is a terminal."""

    def __init__(self, console: "Console | None" = None) -> None:
        self._said = console
        self._console = console if console is not None and console.is_terminal else None

    @contextmanager
    def steps(self, runs: "Sequence[StepRun]", budget: Budget | None = None) -> Iterator[None]:
        """Bars for the steps, one line each, while the body runs; below them what their models do."""
        if self._console is None:
            yield
            return
        models = Activity([run.usage for run in runs], budget or Budget())
        board = _Board(_bars(self._console, models), runs, models)
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


@dataclass(slots=True)
class Activity:
    """What the models of some steps do, read from their counts whenever somebody looks."""

    usages: Sequence[Usage]
    budget: Budget
    over: bool = False
    _seen: deque[tuple[float, int, int, int]] = field(default_factory=deque)

    def look(self, now_s: float) -> None:
        """Note the counts of this moment, in seconds of any clock that goes on."""
        self._seen.append((now_s, self._sum("sent"), self._sum("prompt_tokens"), self._sum("completion_tokens")))
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()

    def lines(self, width: int = WIDTH) -> list[str]:
        """What a person is told, in lines of at most this width; none before anything is asked, and none afterwards."""
        if self.over or not (self._sum("sent") + self._sum("from_store") + self.budget.in_flight):
            return []
        kinds: dict[str, int] = {}
        for usage in self.usages:
            for kind, count in usage.errors.items():
                kinds[kind] = kinds.get(kind, 0) + count
        failed = ", ".join(f"{count:,} of {kind}" for kind, count in sorted(kinds.items(), key=lambda pair: -pair[1]))
        told = [self._rates(), [*self._shares(), *self._money(), *self._left()]]
        told += [[f"{sum(kinds.values()):,} failed: {failed}"]] if kinds else []
        packed = [line for parts in told for line in _packed(parts, width - len(INDENT))]
        return [(INDENT if number else "models  ") + line for number, line in enumerate(packed)]

    def _sum(self, name: str) -> int:
        return sum(int(getattr(usage, name)) for usage in self.usages)

    def _a_second(self) -> tuple[float, float, float]:
        """Requests, tokens in and tokens out a second."""
        if len(self._seen) < 2:
            return 0.0, 0.0, 0.0
        first, last = self._seen[0], self._seen[-1]
        seconds = max(last[0] - first[0], 1e-3)
        return (last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds, (last[3] - first[3]) / seconds

    def _rates(self) -> list[str]:
        sent, prompt, reply = self._a_second()
        requests = f"{sent:,.0f}" if sent >= 10 else f"{sent:.1f}"
        flying = f"{self.budget.in_flight:,} under way"
        return [f"{requests} requests/s", f"{prompt:,.0f} tokens/s in, {reply:,.0f} out", flying]

    def _shares(self) -> list[str]:
        stored, prompt, cached = self._sum("from_store"), self._sum("prompt_tokens"), self._sum("cached_tokens")
        parts = [f"{stored / (stored + self._sum('sent')):.0%} from the store"] if stored else []
        return parts + ([f"{cached / prompt:.0%} cached"] if cached and prompt else [])

    def _money(self) -> list[str]:
        """What is spent of the cap that is nearest, or in dollars of what the whole will take."""
        spent, caps = self.budget.spent, self.budget.caps.named()
        if caps:
            name, cap = max(caps.items(), key=lambda pair: float(getattr(spent, pair[0])) / pair[1])
            figure, limit = amount(name, getattr(spent, name)), amount(name, cap)
            unit = limit.partition(" ")[2]
            return [f"{figure.removesuffix(unit).rstrip() if unit else figure} of {limit}"]
        if not spent.usd:
            return []
        whole = self.budget.whole()
        return [amount("usd", spent.usd) + (f" of about {about('usd', whole.usd)}" if whole and whole.usd else "")]

    def _left(self) -> list[str]:
        """How long it may still take, where it is known how much will be asked."""
        expected, a_second = self.budget.expected, self._a_second()[0]
        if expected is None or expected.more or not a_second:
            return []
        left = expected.requests - self._sum("sent") - self._sum("from_store")
        return [f"up to {timedelta(seconds=round(left / a_second))} left"] if left > 0 else []


def _packed(parts: Sequence[str], width: int) -> list[str]:
    """Parts joined by dots, as many in each line as there is room for.

    >>> _packed(["one", "two", "three"], 10)
    ['one · two', 'three']
    """
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return [line[:width] for line in lines]


def _bars(console: "Console", models: Activity | None = None) -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    class Bars(Progress):
        """Bars, and below them what the models do."""

        def get_renderables(self) -> "Iterator[RenderableType]":
            yield from super().get_renderables()
            for line in models.lines(min(console.width, WIDTH)) if models is not None else ():
                yield Text(shown(line), style="dim", no_wrap=True)

    return Bars(
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

    def __init__(self, bars: "Progress", runs: "Sequence[StepRun]", models: Activity) -> None:
        self.bars = bars
        self._runs = runs
        self._models = models
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
        self._models.over = True
        self._look()

    def _look(self) -> None:
        self._models.look(time.monotonic())
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
