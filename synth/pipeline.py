"""Runs the steps of a recipe: streams, skips what is done, keeps the ledger.

Row-wise neighbours run at the same time; a step that needs all rows waits for the file of the step before. A step is
done when its `done.json` carries the key that its options, its models, what it reads and the step before give it.
"""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synth.embedder import Embedder, load
from synth.engines.local import Link, run_line
from synth.errors import CorpusError
from synth.ledger import Ledger
from synth.recipe import Recipe, Step, Where
from synth.registry import is_filter
from synth.retrieval import Corpus
from synth.rows import to_dropped_table, to_table
from synth.stage import Context, RowList, Rows
from synth.store import SortedWriter, StoredRows, content_hash, read_json, write_json, writing
from synth.types import Dropped, Example
from synth.usage import Metered, Usage


@dataclass(slots=True)
class StepRun:
    """One step of a run: what came of it, now or in an earlier run."""

    step: Step
    folder: Path
    key: str = ""
    content: str = ""
    seconds: float = 0.0
    reused: bool = False
    running: bool = False
    ledger: Ledger | None = None
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    used: Mapping[str, int] = field(default_factory=dict)

    @property
    def kept_file(self) -> Path:
        """The rows it kept."""
        return self.folder / "kept.parquet"

    @property
    def dropped_file(self) -> Path:
        """The rows it dropped, with reasons."""
        return self.folder / "dropped.parquet"

    def progress(self) -> tuple[int, int, int, int]:
        """So far: rows that came in, were kept, were dropped; and how many of those that came in have their fate."""
        if self.ledger is None:
            gone = sum(self.dropped.values())
            return self.kept + gone, self.kept, gone, self.kept + gone
        ledger = self.ledger
        return ledger.came_in, ledger.kept, ledger.dropped.total(), ledger.came_in - ledger.waiting


class Pipeline:
    """The steps of one recipe in one run folder."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe = recipe
        self.folder = folder
        self.runs = [StepRun(step, folder / step.folder_name) for step in recipe.steps]
        self.warnings: list[str] = []
        self._embedders = Embedders(recipe.head.embedders, recipe.folder)
        self._corpus: Corpus | None = None
        self._done = _finished_elsewhere(folder)

    def run(self) -> Rows:
        """Run what is not done; the rows of the last step. Raises SynthError; RuntimeError for a step that loses rows."""
        before: StepRun | None = None
        for line in self._lines():
            self._run_line(line, before)
            before = line[-1]
        if before is None or before.kept == 0:
            raise CorpusError(self._nothing_left())
        return StoredRows(before.kept_file)

    def corpus(self) -> Corpus:
        """The documents that the sources kept, in the order of their rows' ids."""
        if self._corpus is None:
            sources = [StoredRows(run.kept_file) for run in self.runs if run.step.is_source]
            # A later source's file holds the rows of an earlier one too, and what was made of them.
            born = {row.id: row for rows in sources for row in rows if not row.parents}
            self._corpus = Corpus([document for row in born.values() for document in row.positives])
        return self._corpus

    def close(self) -> None:
        """Free the backends."""
        for backend in self.recipe.backends.values():
            backend.close()

    def context(self, run: StepRun) -> Context:
        """What a step is handed."""
        return Context(
            step=run.step.name,
            seed=self.recipe.head.seed,
            source=self.recipe.source,
            backends={role: Metered.over(backend, run.usage) for role, backend in self.recipe.backends.items()},
            embedders=self._embedders,
            corpus_of=self.corpus,
            warn=self._warn,
        )

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def _lines(self) -> Iterator[list[StepRun]]:
        """Row-wise neighbours together; a step that needs all rows, or the whole corpus, begins a line of its own."""
        line: list[StepRun] = []
        for run in self.runs:
            alone = run.step.stage.scope == "set"
            if line and (alone or run.step.stage.reads_corpus()):
                yield line
                line = []
            line.append(run)
            if alone:
                yield line
                line = []
        if line:
            yield line

    def _run_line(self, line: Sequence[StepRun], before: StepRun | None) -> None:
        key = before.content if before else ""
        todo: list[StepRun] = []
        for run in line:
            run.key = key = self._key(run, key)
            if todo or not self._is_done(run):
                todo.append(run)
            else:
                before = run
        if not todo:
            return
        for run in todo:
            _begin(run)
        if line[0].step.stage.scope == "set":
            self._run_set(todo[0], before)
        else:
            self._run_rows(todo, before)

    def _run_rows(self, todo: Sequence[StepRun], before: StepRun | None) -> None:
        links = []
        for run in todo:
            workers = 1 if run is todo[0] else self.recipe.head.engine.workers
            task = _Task(run, self.context(run))
            links.append(Link(task.stream, task.finish, workers))
        run_line(links, StoredRows(before.kept_file) if before else ())

    def _run_set(self, run: StepRun, before: StepRun | None) -> None:
        rows: Rows = StoredRows(before.kept_file) if before else RowList(())
        task = _Task(run, self.context(run))
        for _ in task.whole(rows):
            pass
        task.finish()

    def _key(self, run: StepRun, before: str) -> str:
        step, stage, head, ctx = run.step, run.step.stage, self.recipe.head, self.context(run)
        parts = {
            "use": step.use,
            "name": step.name,
            "version": stage.version,
            "options": stage.model_dump(mode="json"),
            "where": step.where.model_dump(mode="json"),
            "seed": head.seed,
            "limit": self.recipe.limit if step.is_source else None,
            "exclude": list(head.exclude) if step.is_source else [],
            "backends": {r: ctx.backend(r).identity() for r in sorted(stage.backends_used())},
            "embedders": {e: ctx.embedder(e).identity() for e in sorted(stage.embedders_used())},
            "content": stage.content_read(ctx),
            "corpus": [run.content for run in self.runs if run.step.is_source] if stage.reads_corpus() else [],
            "before": before,
        }
        plain = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _is_done(self, run: StepRun) -> bool:
        """True if the step's own folder, or another run's, holds what it would make; a copy is linked, not redone."""
        if _read_done(run):
            return True
        other = self._done.get(run.key)
        if other is None or other == run.folder:
            return False
        with writing(run.folder):
            _link(other, run.folder)
        return _read_done(run)

    def _nothing_left(self) -> str:
        came = [(run, sum(run.dropped.values())) for run in self.runs if run.dropped]
        if not came:
            return f"{self.recipe.name}: the steps gave no rows; is the corpus empty?"
        run, gone = max(came, key=lambda pair: pair[1])
        reason, count = max(run.dropped.items(), key=lambda pair: pair[1])
        return (
            f"{self.recipe.name}: no row is left; step {run.step.name} dropped {gone}, {count} of them as {reason}: "
            f"`synth look {self.folder} --step {run.step.name}` shows them"
        )


class Embedders(Mapping[str, Embedder]):
    """The embedders that a recipe names, each loaded when it is first asked for. A path is relative to the recipe."""

    def __init__(self, names: Mapping[str, str], folder: Path) -> None:
        self._names = names
        self._folder = folder
        self._loaded: dict[str, Embedder] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Embedder:
        with self._lock:
            if name not in self._loaded:
                beside = self._folder / self._names[name]
                self._loaded[name] = load(str(beside) if beside.exists() else self._names[name])
            return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Task:
    """One step at work: rows in, fates written and counted, kept rows out."""

    def __init__(self, run: StepRun, ctx: Context) -> None:
        self._run = run
        self._ctx = ctx
        self._started = time.monotonic()
        self._kept = SortedWriter[Example](run.kept_file, to_table)
        self._dropped = SortedWriter[Dropped](run.dropped_file, to_dropped_table)
        self._writing = threading.Lock()
        run.ledger = self._ledger = Ledger(run.step.name, is_filter=is_filter(type(run.step.stage)))

    def stream(self, rows: Iterable[Example]) -> Iterator[Example]:
        """The kept rows, as they come; rows the step is not for pass."""
        passed: list[Example] = []
        for outcome in self._run.step.stage.run(self._for_step(rows, passed), self._ctx):
            yield from self._pass(passed)
            yield from self._settle(outcome)
        if self._run.step.is_source:
            passed.extend(rows)
        yield from self._pass(passed)

    def whole(self, rows: Rows) -> Iterator[Example]:
        """The kept rows of a step that needs them all."""
        names = self._run.step.where.names
        chosen = rows if self._run.step.where == Where() else _narrowed(rows, names)
        for row in rows:
            self._ledger.enter(row)
            if not names(row):
                yield from self._settle(row)
        for outcome in self._run.step.stage.run(chosen, self._ctx):
            yield from self._settle(outcome)

    def finish(self) -> None:
        """Close the files, check that no row is missing, and mark the step done."""
        run, ledger = self._run, self._ledger
        ledger.close()
        self._kept.close()
        self._dropped.close()
        run.kept, run.dropped = ledger.kept, dict(sorted(ledger.dropped.items()))
        run.seconds = round(time.monotonic() - self._started, 3)
        run.content = content_hash(run.kept_file)
        run.running, run.used = False, run.usage.plain()
        write_json(run.folder / "done.json", _done_mark(run))

    def _for_step(self, rows: Iterable[Example], passed: list[Example]) -> Iterator[Example]:
        if self._run.step.is_source:
            return
        for row in rows:
            self._ledger.enter(row)
            if self._run.step.where.names(row):
                yield row
            else:
                passed.append(row)

    def _pass(self, passed: list[Example]) -> Iterator[Example]:
        while passed:
            yield from self._settle(passed.pop())

    def _settle(self, outcome: Example | Dropped) -> Iterator[Example]:
        self._ledger.settle(outcome)
        if isinstance(outcome, Dropped):
            with self._writing:
                self._dropped.add(outcome)
        else:
            with self._writing:
                self._kept.add(outcome)
            yield outcome


def _narrowed(rows: Rows, names: Callable[[Example], bool]) -> Rows:
    """The rows that `where:` names."""
    if isinstance(rows, StoredRows):
        return StoredRows(rows.path, names)
    return RowList(filter(names, rows))


def _begin(run: StepRun) -> None:
    with writing(run.folder):
        run.folder.mkdir(parents=True, exist_ok=True)
        for stale in run.folder.iterdir():
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    run.running = True


def _done_mark(run: StepRun) -> dict[str, object]:
    return {
        "kept": run.kept,
        "dropped": run.dropped,
        "seconds": run.seconds,
        "key": run.key,
        "content": run.content,
        "step": run.step.name,
        "use": run.step.use,
        "usage": dict(run.used),
    }


def _read_done(run: StepRun) -> bool:
    mark = read_json(run.folder / "done.json")
    if mark is None or mark.get("key") != run.key or not run.kept_file.is_file() or not run.dropped_file.is_file():
        return False
    run.kept, run.dropped, run.content = mark["kept"], mark["dropped"], mark["content"]
    run.seconds, run.used, run.reused = mark["seconds"], mark.get("usage", {}), True
    return True


def _finished_elsewhere(folder: Path) -> dict[str, Path]:
    """The finished steps of the runs beside this one, by key."""
    marks = sorted(folder.parent.glob("*/[0-9][0-9]-*/done.json")) if folder.parent.is_dir() else []
    return {str(mark["key"]): path.parent for path in marks if (mark := read_json(path)) and "key" in mark}


def _link(source: Path, target: Path) -> None:
    """Give `target` the files of `source`, hard-linked where the disk can; `done.json` last."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("kept.parquet", "dropped.parquet", "done.json"):
        try:
            os.link(source / name, target / name)
        except FileNotFoundError:
            return
        except OSError:
            shutil.copy2(source / name, target / name)
