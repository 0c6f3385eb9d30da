"""A whole run: steps, export, train, evaluate; what is done is skipped, and `run.json` tells what came of it.

outputs/<recipe>-<hash>/
  recipe.yaml                     what ran, every default filled in
  00-from_corpus/  01-extract/ …  the steps (pipeline.py)
  dataset/  triplets/  beir/ …    the exports
  model/  model-untrained/        the embedder, and what it was before
  evaluation.json  run.json
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth import __version__
from synth.beir import TestSet
from synth.beir import read as read_test_set
from synth.card import About, Fate, with_evaluation, without_secrets
from synth.embedder import identity_of
from synth.embedder import load as load_embedder
from synth.embedders import check_embedders, fits
from synth.errors import MissingExtra, OutputError, RecipeError, SynthError, need
from synth.export import export as export_rows
from synth.export import read_dataset
from synth.forecast import check_weighing, rehearse
from synth.hub import push
from synth.models import Models
from synth.pipeline import Pipeline
from synth.prices import check_priced
from synth.progress import Show
from synth.recipe import Recipe
from synth.resemblance import folded
from synth.scores import Evaluation, notes, table
from synth.splits import to_learn, validation_ids
from synth.stage import Context, Rows
from synth.store import locked, read_json, write_json, write_whole, writing
from synth.terminal import shown
from synth.training import Before
from synth.types import Example, digest_of
from synth.usage import told_usage, total
from synth.yaml12 import write_yaml

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from synth.quality import Quality

OUTPUTS = Path("outputs")
REPLIES = OUTPUTS / "replies.sqlite"
"""Where the replies of models are kept unless told otherwise."""


@dataclass(slots=True)
class Build:
    """One run of a recipe and what came of it."""

    recipe: Recipe
    folder: Path
    pipeline: Pipeline
    show: Show
    exported: dict[str, str] = field(default_factory=dict)
    quality: "Quality | None" = None
    evaluation: Evaluation | None = None
    published: str = ""
    seconds: float = 0.0
    rows_only: bool = False
    """True where it ends with the export: nothing is trained."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Of each test set the ids of the queries that models were shown as examples, which are not measured."""

    def summary(self) -> dict[str, Any]:
        """What `run.json` holds."""
        runs = self.pipeline.runs
        usage = total(run.used for run in runs)
        return {
            "recipe": self.recipe.name,
            "key": runs[-1].key,
            "folder": str(self.folder),
            "seconds": round(self.seconds, 1),
            "rows": {"kept": runs[-1].kept, "dropped": {run.step.name: run.dropped for run in runs if run.dropped}},
            "requests": {name: usage[name] for name in ("sent", "from_store", "failed")},
            "tokens": {
                "prompt": usage["prompt_tokens"],
                "completion": usage["completion_tokens"],
                "cached": usage["cached_tokens"],
            },
            "usd": round(usage["usd"], 6) if self.pipeline.models.priced else None,
            "exported": self.exported,
            "evaluation": self.evaluation.to_json()["scores"] if self.evaluation else [],
            "left_out": self.left_out,
            "warnings": self.pipeline.warnings,
            "figures": {run.step.name: run.figures for run in runs if run.figures},
            "quality": self.quality.to_json() if self.quality else None,
            **({"published": self.published} if self.published else {}),
        }

    def print(self, console: "Console") -> None:
        """The funnel, the quality, the scores and where things are, within 80 columns."""
        self._print_rows(console)
        if self.evaluation:
            console.print()
            console.print(table(self.evaluation))
            for line in notes(self.evaluation):
                console.print(line, soft_wrap=False)
            for label, ids in self.left_out.items():
                console.print(f"{label}: {len(ids)} queries were shown to a model as examples and are left out")
        console.print()
        for name, place in self.exported.items():
            console.print(f"{name:<10} {place}", soft_wrap=True)
        used = told_usage(total(run.used for run in self.pipeline.runs))
        if used:
            console.print(used)
        for warning in self.pipeline.warnings:
            console.print(shown(f"warning: {warning}"), soft_wrap=True)

    def _print_rows(self, console: "Console") -> None:
        """What became of the rows, what the steps counted, and what those are like that stayed."""
        console.print()
        console.print(funnel(self.pipeline))
        for run in self.pipeline.runs:
            for name, value in run.figures.items():
                console.print(shown(f"{run.step.name}: {name} {value:,g}"), soft_wrap=True)
        if self.quality:
            console.print()
            self.quality.print(console)


def funnel(pipeline: Pipeline) -> "Table":
    """What became of the rows, a line a step."""
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("step", overflow="fold", max_width=20)
    for name in ("kept", "dropped"):
        grid.add_column(name, justify="right", no_wrap=True)
    grid.add_column("because", overflow="fold", max_width=34)
    grid.add_column("time", justify="right", no_wrap=True)
    for run in pipeline.runs:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in run.dropped.items())
        spent = "as before" if run.reused else f"{run.seconds:.1f} s"
        grid.add_row(run.step.name, f"{run.kept:,}", f"{sum(run.dropped.values()):,}", reasons, spent)
    return grid


def build(recipe: Recipe, folder: Path | None, show: Show, *, replies: Path = REPLIES, publish: bool = False) -> Build:
    """Run a recipe in `folder` (outputs/<recipe>-<hash>), or what of it is not done yet.

    Raises SynthError for what the user can mend, before anything is spent where that can be known.
    """
    folder = folder or OUTPUTS / f"{recipe.name}-{recipe.hash}"
    tests = ready(recipe)
    models = Models(recipe.backends, recipe.head.budget, folder, replies)
    models.budget.partial, models.budget.say = recipe.partial, show.say
    if recipe.head.budget.named():
        models.budget.expected = rehearse(recipe, within_s=5.0).forecast
    done = Build(recipe, folder, Pipeline(recipe, folder, models), show)
    done.pipeline.look_ahead()
    if publish and recipe.head.publish is None:
        raise RecipeError(f"{recipe.name}: --publish needs `publish: {{repo: owner/name}}` in the recipe")
    return carry_out(done, tests, publish=publish)


def carry_out(done: Build, tests: Sequence[TestSet] = (), *, publish: bool = False) -> Build:
    """Do what of a build is not done yet, alone in its folder, and write down what came of it. Raises SynthError."""
    recipe, folder, show = done.recipe, done.folder, done.show
    done.left_out = {test.label: list(test.left_out) for test in tests if test.left_out}
    check_ours(folder)
    with locked(folder, lambda: show.say(f"another run works in {folder}; waiting for it")):
        begun, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        write_whole(folder / "recipe.yaml", _resolved_text(recipe).encode())
        write_json(folder / "marks" / "recipe.json", {"folder": str(recipe.folder.resolve()), "limit": recipe.limit})
        try:
            _work(done, tests)
        finally:
            done.pipeline.close()
        done.seconds = time.monotonic() - begun
        if publish and recipe.head.publish is not None:
            done.published = push(folder, recipe.head.publish.repo, private=recipe.head.publish.private)
        told = read_json(folder / "run.json")
        if not (done.rows_only and told and told.get("key") == done.pipeline.runs[-1].key):  # it tells of a model too
            write_json(folder / "run.json", {**done.summary(), "started": started})
    return done


def check_ours(folder: Path) -> None:
    """Raise OutputError for a folder that holds anything but a run: a run replaces what stands in its folder."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / ".lock").exists():
        raise OutputError(f"{folder}: it holds files that are no run's; name a new or empty folder with --output")


def _resolved_text(recipe: Recipe) -> str:
    """The opening comment and the recipe with every default filled in, without keys and passwords."""
    comment = "".join(line + "\n" for line in takewhile(lambda line: line.startswith("#"), recipe.text.splitlines()))
    return without_secrets(comment + write_yaml(recipe.resolved()))


def ready(recipe: Recipe) -> list[TestSet]:
    """The recipe's test sets, after looking that all it needs is there.

    Raises SynthError. Nothing is written and no model is asked.
    """
    gone = missing(recipe)
    if gone:
        raise gone[0]
    return test_sets(recipe)


def missing(recipe: Recipe) -> list[SynthError]:
    """What a run would need and does not have yet: backends that are not set, extras that are not installed."""
    gone: list[SynthError] = []
    for step in recipe.steps:
        ctx = Context(step=step.name, backends=recipe.backends)
        for role in step.stage.backends_used():
            try:
                ctx.backend(role)
            except RecipeError as error:
                gone.append(error)
    models = [name for step in recipe.steps for name in step.stage.embedders_used() if name not in recipe.served]
    used = {role for step in recipe.steps for role in step.stage.backends_used()}
    try:
        check_priced(recipe.head.budget, {role: b for role, b in recipe.backends.items() if role in used})
    except RecipeError as error:
        gone.append(error)
    models += [fit.makes for _, fit in fits(recipe)]
    for part in dict.fromkeys(["train"] * (recipe.head.train is not None) + models):
        try:
            need("sentence_transformers", "train", part)
        except MissingExtra as error:
            gone.append(error)
    return gone


def test_sets(recipe: Recipe) -> list[TestSet]:
    """The test sets that the recipe names, read and checked, and what else can be wrong before it runs."""
    head = recipe.head
    _sources_first(recipe)
    check_embedders(recipe)
    check_weighing(recipe)
    if head.train is not None:
        head.train.beside(recipe.folder, recipe.name)
    if head.evaluate and head.train is None:
        raise RecipeError(f"{recipe.name}: `evaluate:` measures a trained model: add `train: {{base: static}}`")
    shown = {folded(text) for step in recipe.steps for text in step.stage.shows(recipe.context(step))}
    tests = [read_test_set(str(_beside(recipe, place))) for place in head.evaluate]
    return [_unseen(test, shown, recipe.name) for test in tests]


def _unseen(test: TestSet, shown: set[str], name: str) -> TestSet:
    """The test set without the queries that were shown to a model as examples. Raises RecipeError if none is left."""
    queries = {query_id: text for query_id, text in test.queries.items() if folded(text) not in shown}
    if not queries:
        raise RecipeError(f"{name}: every query of {test.label} is shown to a model as an example; measure on others")
    gone = tuple(sorted(test.queries.keys() - queries.keys()))
    return replace(test, queries=queries, qrels={name: test.qrels[name] for name in queries}, left_out=gone)


def _sources_first(recipe: Recipe) -> None:
    """Raise RecipeError where a step looks at the corpus before all of it has been read."""
    reader = next((step for step in recipe.steps if step.stage.reads_corpus()), None)
    late = [step for step in recipe.steps if step.is_source and reader is not None and step.number > reader.number]
    if reader is not None and late:
        raise RecipeError(f"{recipe.name}: {reader.name} looks at the whole corpus: put {late[0].name} before it")


def _beside(recipe: Recipe, place: str) -> Path:
    return recipe.folder / Path(place).expanduser()


def _work(done: Build, tests: Sequence[TestSet]) -> None:
    recipe, pipeline, folder = done.recipe, done.pipeline, done.folder
    with done.show.steps(pipeline.runs, pipeline.models.budget):
        rows = pipeline.run()
    content = [run.content for run in pipeline.runs if run.step.is_source or run is pipeline.runs[-1]]
    made = digest_of(content, recipe.head.seed, recipe.head.export, asdict(about(recipe, _fates(done))))
    with done.show.phase("export"):
        _once(folder, "export", made, recipe.head.export, lambda: _export(done, rows))
    done.exported = {name: str(folder / name) for name in recipe.head.export}
    with done.show.phase("quality"):
        done.quality = _quality(done, rows)
    if recipe.head.train is None or done.rows_only:
        return
    base = identity_of(str(_beside(recipe, recipe.head.train.base)))
    options = recipe.head.train.model_dump(mode="json")
    fitted = digest_of(content, recipe.head.seed, recipe.head.export, options, base, __version__)
    with done.show.phase("train"):
        mark = _once(folder, "train", fitted, ["model"], lambda: _train(done, rows))
    done.exported["model"] = str(folder / "model")
    if not tests:
        return
    with done.show.phase("evaluate"):
        measured = digest_of(fitted, made, [_test_key(test) for test in tests])
        told = _once(folder, "evaluate", measured, [], lambda: _evaluate(done, tests, mark["before"]))
    done.evaluation = Evaluation.from_json(told["evaluation"])


def _export(done: Build, rows: Rows) -> dict[str, Any]:
    formats = done.recipe.head.export
    # The scores of other rows go: a card is written without them, and what was measured is measured again.
    for stale in ("evaluation.json", "marks/evaluate.json"):
        (done.folder / stale).unlink(missing_ok=True)
    exported = export_rows(
        rows, done.folder, formats, seed=done.recipe.head.seed, about=about(done.recipe, _fates(done))
    )
    return {"counts": {name: dict(counts) for name, counts in exported.counts.items()}}


def _quality(done: Build, rows: Rows) -> "Quality":
    from synth.quality import Quality
    from synth.run_quality import known_by, measure

    key, pipeline = known_by(done.pipeline), done.pipeline
    told = _once(done.folder, "quality", key, [], lambda: {"quality": measure(pipeline, rows)})
    return Quality.from_json(told["quality"])


def about(recipe: Recipe, fates: Sequence[Fate]) -> About:
    """What a card tells of a run of this recipe whose steps had these fates."""
    asked = {role for step in recipe.steps for role in step.stage.backends_used()}
    models = {role: recipe.backends[role].model for role in asked}
    named = {name for step in recipe.steps for name in step.stage.embedders_used()}
    models |= {name: str(each) for name, each in recipe.head.embedders.items() if name in named}
    models |= {name: each.backend.model for name, each in recipe.served.items() if name in named}
    models |= {fit.makes: f"{fit.train.base}, trained here" for _, fit in fits(recipe)}
    return About(recipe.name, _resolved_text(recipe), fates, models, seed=recipe.head.seed, version=__version__)


def _fates(done: Build) -> list[Fate]:
    return [Fate(run.step.name, run.kept, run.dropped) for run in done.pipeline.runs]


def _train(done: Build, rows: Rows) -> dict[str, Any]:
    from synth.training.trainer import train

    head = done.recipe.head
    if head.train is None:
        raise RecipeError(f"{done.recipe.name}: it has no `train:`")
    learned = _learned(done, rows)
    model, documents = done.folder / "model", done.pipeline.corpus().documents
    options = head.train.beside(done.recipe.folder, done.recipe.name)
    with writing(model):
        result = train(learned, options, model, head.seed, documents)
    before = [Path(place).name if Path(place).parent == done.folder else place for place in result.before]
    return {"before": before, "rows": result.rows, "steps": result.steps, "seconds": result.seconds}


def _learned(done: Build, rows: Rows) -> Iterator[Example]:
    """The training split: as it was exported, or split here the same way where no dataset was."""
    head = done.recipe.head
    if "dataset" in head.export:
        for part in read_dataset(done.folder / "dataset")["train"]:
            yield from part
        return
    held_out = validation_ids(to_learn(rows), head.seed, folder=done.folder)
    yield from (row for row in to_learn(rows) if row.id not in held_out)


def _evaluate(done: Build, tests: Sequence[TestSet], before: list[str]) -> dict[str, Any]:
    from synth.evaluation import evaluate  # it brings scipy, which a run without a test set need not load

    models = {"trained": load_embedder(str(done.folder / "model"))}
    for name, place in zip(Before._fields, before, strict=True):
        if place:
            beside = done.folder / place
            models[name] = load_embedder(str(beside) if beside.is_dir() else place)
    found = evaluate(tests, models, done.pipeline.corpus().documents, done.recipe.head.seed)
    write_json(done.folder / "evaluation.json", found.to_json())
    card = done.folder / "dataset" / "README.md"
    if card.is_file():
        write_whole(card, with_evaluation(card.read_text(encoding="utf-8"), found).encode())
    return {"evaluation": found.to_json()}


def _once(
    folder: Path, name: str, key: str, there: Sequence[str], make: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What `make` told when it last ended with this key; done now if it never did, or if a folder of `there` is gone.

    The mark is written last.
    """
    path = folder / "marks" / f"{name}.json"
    mark = read_json(path)
    if mark is not None and mark.get("key") == key and all((folder / part).exists() for part in there):
        return mark
    path.unlink(missing_ok=True)
    mark = {"key": key, **make()}
    write_json(path, mark)
    return mark


def _test_key(test: TestSet) -> list[object]:
    documents = None if test.documents is None else [(d.doc_id, d.title, d.text) for d in test.documents]
    return [test.label, test.queries, test.qrels, digest_of(documents)]
