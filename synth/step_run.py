"""One step at work: rows in, fates written and counted, and the mark that says it is done."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synth.embedders import is_whole, makes_models
from synth.engines.local import Put
from synth.ledger import Ledger
from synth.recipe import Step, Where
from synth.registry import is_filter
from synth.replies import Spent
from synth.rows import to_dropped_table, to_table
from synth.stage import Context, RowList, Rows
from synth.store import SortedWriter, StoredRows, content_hash, read_json, write_json, writing
from synth.types import Dropped, Example
from synth.usage import Usage


@dataclass(slots=True)
class StepRun:
    """One step of a run: what came of it, now or in an earlier run.

    `before` is the key or content that its own key stands on; `content` the hash of the rows it kept.
    """

    step: Step
    folder: Path
    key: str = ""
    before: str = ""
    content: str = ""
    content_read: str | None = None
    seconds: float = 0.0
    reused: bool = False
    running: bool = False
    ledger: Ledger | None = None
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    used: Mapping[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    counting: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def kept_file(self) -> Path:
        """The rows it kept."""
        return self.folder / "kept.parquet"

    @property
    def dropped_file(self) -> Path:
        """The rows it dropped, with reasons."""
        return self.folder / "dropped.parquet"

    def warn(self, text: str) -> None:
        """Take one line that the run repeats at its end."""
        if text not in self.warnings:
            self.warnings.append(text.removeprefix(f"{self.step.name}: "))

    def count(self, name: str, by: float = 1) -> None:
        """Add to a figure of the whole step; from several threads."""
        with self.counting:
            self.figures[name] = round(self.figures.get(name, 0) + by, 5)

    def progress(self) -> tuple[int, int, int, int]:
        """So far: rows that came in, were kept, were dropped; and how many of those that came in have their fate."""
        ledger = self.ledger
        if ledger is None:
            gone = sum(self.dropped.values())
            return self.kept + gone, self.kept, gone, self.kept + gone
        return ledger.came_in, ledger.kept, ledger.dropped.total(), ledger.came_in - ledger.waiting

    def read_done(self, *, strict: bool) -> bool:
        """Take over what its folder says is done; False where that is nothing, or stands on another key.

        Strictly, a source that could not read all is not done.
        """
        mark = read_json(self.folder / "done.json")
        if (
            mark is None
            or mark.get("key") != self.key
            or not self.kept_file.is_file()
            or not self.dropped_file.is_file()
            or not is_whole(self.step, self.folder)
        ):
            return False
        if strict and self.step.is_source and {"unreadable_document", "unreadable_row"} & set(mark["dropped"]):
            return False
        if "over_budget" in mark["dropped"]:  # done with what there was: what was left unasked is asked now
            return False
        self.kept, self.dropped, self.content = mark["kept"], mark["dropped"], mark["content"]
        self.seconds, self.used, self.warnings = mark["seconds"], mark["usage"], mark["warnings"]
        self.figures = mark.get("figures", {})
        self.reused = True
        return True

    def mark(self) -> dict[str, object]:
        """What `done.json` holds."""
        return {
            "kept": self.kept,
            "dropped": self.dropped,
            "seconds": self.seconds,
            "key": self.key,
            "before": self.before,
            "content": self.content,
            "content_read": self.content_read or "",
            "step": self.step.name,
            "use": self.step.use,
            "usage": dict(self.used),
            "warnings": self.warnings,
            "figures": self.figures,
        }


class Task:
    """One step at work: rows in, fates written and counted, kept rows out."""

    def __init__(self, run: StepRun, spent: Callable[[str], Spent]) -> None:
        self._run = run
        self._spent = spent
        self._names = run.step.where.names
        self._started = time.monotonic()
        self._kept = SortedWriter[Example](run.kept_file, to_table)
        self._dropped = SortedWriter[Dropped](run.dropped_file, to_dropped_table)
        self._writing = threading.Lock()
        run.ledger = self._ledger = Ledger(run.step.name, is_filter=is_filter(type(run.step.stage)))

    def stream(self, ctx: Context, rows: Iterable[Example], put: Put) -> None:
        """Put the kept rows as they come; rows the step is not for pass. A source adds its own to what passes."""
        rows = iter(rows)  # a source lets all of them pass, so none is left for it to be given
        if self._run.step.is_source:
            for row in rows:
                self._settle(row, put)
        given = self._for_step(rows, put)
        for outcome in self._run.step.stage.run(given, ctx):
            self._settle(outcome, put)
        for _ in given:  # what the stage left unread has no fate, and the ledger will say so
            pass

    def whole(self, rows: Rows, ctx: Context) -> None:
        """Settle the rows of a step that needs them all."""
        for row_id in rows.column("id"):
            self._ledger.enter(row_id)
        chosen = rows
        if self._run.step.where != Where():
            chosen = _narrowed(rows, self._names)
            for row in rows:
                if not self._names(row):
                    self._settle(row, _nowhere)
        for outcome in self._run.step.stage.run(chosen, ctx):
            self._settle(outcome, _nowhere)

    def finish(self) -> None:
        """Close the files, check that no row is missing, and mark the step done."""
        run, ledger = self._run, self._ledger
        ledger.close()
        self._kept.close()
        self._dropped.close()
        run.kept, run.dropped = ledger.kept, dict(sorted(ledger.dropped.items()))
        run.seconds = round(time.monotonic() - self._started, 3)
        run.content = content_hash(run.kept_file)
        run.used = run.usage.with_all(self._spent(run.key))
        run.ledger = None
        run.running = False
        write_json(run.folder / "done.json", run.mark())

    def _for_step(self, rows: Iterable[Example], put: Put) -> Iterator[Example]:
        for row in rows:
            self._ledger.enter(row.id)
            if self._names(row):
                yield row
            else:
                self._settle(row, put)

    def _settle(self, outcome: Example | Dropped, put: Put) -> None:
        self._ledger.settle(outcome)
        if isinstance(outcome, Dropped):
            with self._writing:
                self._dropped.add(outcome)
            return
        with self._writing:
            self._kept.add(outcome)
        put(outcome)


def _nowhere(row: Example) -> None:
    """The next step reads the file."""
    del row


def _narrowed(rows: Rows, names: Callable[[Example], bool]) -> Rows:
    """The rows that `where:` names."""
    if isinstance(rows, StoredRows):
        return StoredRows(rows.path, names)
    return RowList(filter(names, rows))


def begin(run: StepRun) -> None:
    """Empty the step's folder, but for the whole models that a `fit` of this very key has left there. OutputError."""
    with writing(run.folder):
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / "done.json").unlink(missing_ok=True)
        stays = read_json(run.folder / "begun.json") == {"key": run.key}
        for stale in run.folder.iterdir():
            if stale.is_dir() and not (stays and stale.name.startswith("model-")):
                shutil.rmtree(stale)
            elif not stale.is_dir():
                stale.unlink()
    if makes_models(run.step):
        write_json(run.folder / "begun.json", {"key": run.key})
    run.running, run.reused, run.warnings, run.figures = True, False, [], {}


def finished_elsewhere(folder: Path) -> dict[str, Path]:
    """The finished steps of the runs beside this one, by key."""
    marks = sorted(folder.parent.glob("*/[0-9][0-9]-*/done.json")) if folder.parent.is_dir() else []
    return {str(mark["key"]): path.parent for path in marks if (mark := read_json(path)) and "key" in mark}


def link(source: Path, target: Path) -> None:
    """Give `target` the files of `source`, and models in folders; hard-linked where the disk can, `done.json` last.

    What `source` has paid for is not counted again. Where `source` is made anew meanwhile, there is no `done.json`.
    """
    shutil.rmtree(target, ignore_errors=True)
    mark = read_json(source / "done.json")
    try:
        shutil.copytree(source, target, ignore=_ignored, copy_function=_linked)
    except (FileNotFoundError, shutil.Error):
        return
    if mark is not None and read_json(source / "done.json") == mark:
        write_json(target / "done.json", {**mark, "usage": {}})


def _ignored(folder: str, names: Sequence[str]) -> list[str]:
    """What is no finished step's: its marks, and what a killed one was writing."""
    del folder
    return [name for name in names if name in {"done.json", "begun.json"} or name.startswith(".")]


def _linked(source: str, target: str) -> None:
    """One file as a hard link, or as a copy where the disk has none."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)
