"""Runs the steps of a recipe: streams, skips what is done, keeps the ledger.

Row-wise neighbours run at the same time; a step that needs all rows waits for the file of the step before. A step is
done when its `done.json` carries the key that its options, its models, what it reads and the step before give it.
"""

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from synth.embedders import Embedders
from synth.engines.local import Link, Put, run_line
from synth.errors import CorpusError
from synth.models import Models
from synth.prices import parts_of
from synth.recipe import Recipe
from synth.retrieval import Corpus
from synth.rounds import Rounds
from synth.stage import Context, RowList, Rows
from synth.step_run import StepRun, Task, begin, finished_elsewhere, link
from synth.store import StoredRows, content_hash, writing
from synth.types import Example, digest_of


class Pipeline:
    """The steps of one recipe in one run folder."""

    def __init__(self, recipe: Recipe, folder: Path, models: Models | None = None) -> None:
        self.recipe = recipe
        self.models = models or Models(recipe.backends, recipe.head.budget, folder, folder.parent / "replies.sqlite")
        self.folder = folder
        self.runs = [StepRun(step, folder / step.folder_name) for step in recipe.steps]
        served = {name: self.models.embedder(each) for name, each in recipe.served.items()}
        self._embedders = Embedders(recipe, folder, served)
        self._corpus: Corpus | None = None
        self._done = finished_elsewhere(folder)
        self._rounds = Rounds(self.runs, folder)

    @property
    def warnings(self) -> list[str]:
        """What the steps warned of, now or when they were run."""
        return [f"{run.step.name}: {text}" for run in self.runs for text in run.warnings] + self.models.warnings

    def run(self) -> Rows:
        """Run what is not done; the rows of the last step. Raises SynthError, or RuntimeError for a bug of a step."""
        before: StepRun | None = None
        self.look_ahead()
        self._rounds.recall()
        lines = list(self._lines())
        place = 0
        while place < len(lines):
            self._run_line(lines[place], before)
            before, place = lines[place][-1], place + 1
            maker = self._rounds.again(before)
            if maker is not None:
                place = next(number for number, line in enumerate(lines) if maker in line)
                before = lines[place - 1][-1] if place else None
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
        """Free the embedders and the backends."""
        self._embedders.close()
        self.models.close()

    def context(self, run: StepRun) -> Context:
        """What a step is handed."""
        return self.recipe.context(
            run.step,
            backends=self.models.of_step(lambda: run.key, run.usage),
            embedders=self._embedders,
            folder=run.folder,
            corpus_of=self.corpus,
            warn=run.warn,
            count=run.count,
        )

    def look_ahead(self) -> None:
        """Ask every step for what it reads from disk, so that what is missing is found before anything runs."""
        for run in self.runs:
            self._content_read(run)

    def _content_read(self, run: StepRun) -> str:
        if run.content_read is None:
            run.content_read = run.step.stage.content_read(self.context(run))
        return run.content_read

    def _lines(self) -> Iterator[list[StepRun]]:
        """Row-wise neighbours together; a step that needs all rows, or the whole corpus, begins a line of its own.

        One whose model is asked in batches is a line by itself: it sets much of a budget aside while it waits for rows,
        and its neighbours would wait for that.
        """
        line: list[StepRun] = []
        for run in self.runs:
            roles = run.step.stage.backends_used()
            named = [self.recipe.backends[role] for role in roles]
            models = [model for backend in named for model in (backend, *parts_of(backend))]
            alone = run.step.stage.scope == "set" or any(model.in_batches for model in models)
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
            run.before = key
            run.key = key = self._key(run, key)
            if todo or not self._is_done(run):
                todo.append(run)
            else:
                before = run
        if not todo:
            return
        for run in todo:
            begin(run)
            self._embedders.forget(run.step)
        if line[0].step.stage.scope == "set":
            self._run_set(todo[0], before)
        else:
            self._run_rows(todo, before)

    def _run_rows(self, todo: Sequence[StepRun], before: StepRun | None) -> None:
        links = []
        for run in todo:
            workers = 1 if run is todo[0] or run.step.is_source else self.recipe.head.engine.workers
            task = Task(run, self.models.spent)
            links.append(Link(_worker(task, self.context(run)), task.finish, workers))
        run_line(links, StoredRows(before.kept_file) if before else ())

    def _run_set(self, run: StepRun, before: StepRun | None) -> None:
        rows: Rows = StoredRows(before.kept_file) if before else RowList(())
        task = Task(run, self.models.spent)
        task.whole(rows, self.context(run))
        task.finish()

    def _key(self, run: StepRun, before: str) -> str:
        step, stage, head = run.step, run.step.stage, self.recipe.head
        parts = {
            "use": step.use,
            "name": step.name,
            "version": stage.version,
            "code": _own_code(type(stage)),
            "options": json.dumps(stage.model_dump(mode="json"), ensure_ascii=False),
            "where": step.where.model_dump(mode="json"),
            "seed": head.seed,
            "limit": self.recipe.limit if step.is_source else None,
            "exclude": list(head.exclude) if step.is_source else [],
            "languages": head.languages if stage.uses_languages() else {},
            "backends": {r: self.models.identity(r) for r in sorted(stage.backends_used())},
            "code of backends": [_own_code(type(self.recipe.backends[r])) for r in sorted(stage.backends_used())],
            "embedders": {e: self._embedders.identity(e) for e in sorted(stage.embedders_used())},
            "content": self._content_read(run),
            "corpus": [each.content for each in self.runs if each.step.is_source] if stage.reads_corpus() else [],
            "before": before,
        }
        return digest_of(parts)

    def _is_done(self, run: StepRun) -> bool:
        """True if the step's own folder, or another run's, holds what it would make; a copy is linked, not redone."""
        if run.read_done(strict=self.recipe.strict):
            return True
        other = self._done.get(run.key)
        if other is None or other == run.folder:
            return False
        with writing(run.folder):
            link(other, run.folder)
        return run.read_done(strict=self.recipe.strict)

    def _nothing_left(self) -> str:
        came = [(run, sum(run.dropped.values())) for run in self.runs if run.dropped]
        if not came:
            return f"{self.recipe.name}: the steps gave no rows; is the corpus empty?"
        run, gone = max(came, key=lambda pair: pair[1])
        reason, count = max(run.dropped.items(), key=lambda pair: pair[1])
        return (
            f"{self.recipe.name}: no row is left; step {run.step.name} dropped {gone}, {count} of them as {reason}: "
            f"`synth look {self.folder} --step {run.step.name} --dropped {reason}` shows them"
        )


def _worker(task: Task, ctx: Context) -> Callable[[Iterable[Example], Put], None]:
    return partial(task.stream, ctx)


def _own_code(part: type) -> str:
    """The hash of a user's own file: its code is part of the key. Shipped parts have a `version` for that."""
    return "" if part.__module__.startswith("synth.") else content_hash(Path(inspect.getfile(part)))
