"""A whole run: steps, export, train, evaluate; what is done is skipped, and `run.json` tells what came of it.

outputs/<recipe>-<hash>/
  recipe.yaml                     what ran, every default filled in
  00-from_corpus/  01-extract/ …  the steps (pipeline.py)
  dataset/  triplets/  beir/ …    the exports
  model/  model-untrained/        the embedder, and what it was before
  evaluation.json  run.json
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth import __version__
from synth.beir import TestSet
from synth.beir import read as read_test_set
from synth.card import About, Fate, with_evaluation
from synth.embedder import load as load_embedder
from synth.errors import RecipeError, need
from synth.evaluation import evaluate
from synth.export import export as export_rows
from synth.export import read_dataset
from synth.hub import push
from synth.pipeline import Pipeline
from synth.progress import Show
from synth.recipe import Recipe, Step
from synth.scores import Evaluation, notes, table
from synth.splits import validation_ids
from synth.stage import Context, Rows
from synth.store import locked, read_json, write_json, write_whole, writing
from synth.types import Example
from synth.usage import total
from synth.yaml12 import write_yaml

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

OUTPUTS = Path("outputs")


@dataclass(slots=True)
class Build:
    """One run of a recipe and what came of it."""

    recipe: Recipe
    folder: Path
    pipeline: Pipeline
    show: Show
    exported: dict[str, str] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    published: str = ""
    seconds: float = 0.0

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
            "requests": {"sent": usage["sent"], "from_store": 0, "failed": usage["failed"]},
            "tokens": {
                "prompt": usage["prompt_tokens"],
                "completion": usage["completion_tokens"],
                "cached": usage["cached_tokens"],
            },
            "usd": None,
            "exported": self.exported,
            "evaluation": self.evaluation.to_json()["scores"] if self.evaluation else [],
            "warnings": self.pipeline.warnings,
            **({"published": self.published} if self.published else {}),
        }

    def print(self, console: "Console") -> None:
        """The funnel, the scores and where things are, within 80 columns."""
        console.print()
        console.print(funnel(self.pipeline))
        if self.evaluation:
            console.print()
            console.print(table(self.evaluation))
            for line in notes(self.evaluation):
                console.print(line, soft_wrap=False)
        console.print()
        for name, place in self.exported.items():
            console.print(f"{name:<10} {place}", soft_wrap=True)
        for warning in self.pipeline.warnings:
            console.print(f"warning: {warning}", soft_wrap=True)


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


def build(recipe: Recipe, folder: Path | None, show: Show, *, publish: bool = False) -> Build:
    """Run a recipe in `folder` (outputs/<recipe>-<hash>), or what of it is not done yet.

    Raises SynthError for what the user can mend, before anything is spent where that can be known.
    """
    folder = folder or OUTPUTS / f"{recipe.name}-{recipe.hash}"
    done = Build(recipe, folder, Pipeline(recipe, folder), show)
    tests = ready(recipe)
    if publish and recipe.head.publish is None:
        raise RecipeError(f"{recipe.name}: --publish needs `publish: {{repo: owner/name}}` in the recipe")
    with locked(folder, lambda: show.say(f"another run works in {folder}; waiting for it")):
        begun, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        write_whole(folder / "recipe.yaml", write_yaml(recipe.resolved()).encode())
        write_json(folder / "marks" / "recipe.json", {"folder": str(recipe.folder.resolve()), "limit": recipe.limit})
        try:
            _work(done, tests)
        finally:
            done.pipeline.close()
        done.seconds = time.monotonic() - begun
        if publish and recipe.head.publish is not None:
            done.published = push(folder, recipe.head.publish.repo, private=recipe.head.publish.private)
        write_json(folder / "run.json", {**done.summary(), "started": started})
    return done


def ready(recipe: Recipe) -> list[TestSet]:
    """The recipe's test sets, after looking that all it needs is there: backends, extras, test sets.

    Raises SynthError. Nothing is written and no model is asked.
    """
    for step in recipe.steps:
        _check_names(step, recipe)
    if recipe.head.train is not None:
        need("sentence_transformers", "train", "train")
    if recipe.head.evaluate and recipe.head.train is None:
        raise RecipeError(f"{recipe.name}: `evaluate:` measures a trained model: add `train: {{base: static}}`")
    return [read_test_set(_beside(recipe, place)) for place in recipe.head.evaluate]


def _check_names(step: Step, recipe: Recipe) -> None:
    ctx = Context(step=step.name, source=recipe.source, backends=recipe.backends)
    for role in step.stage.backends_used():
        ctx.backend(role)
    step.stage.content_read(ctx)
    for name in step.stage.embedders_used():
        if name not in recipe.head.embedders:
            ctx.embedder(name)


def _beside(recipe: Recipe, place: str) -> str:
    path = Path(place).expanduser()
    return place if path.is_absolute() else str(recipe.folder / path)


def _work(done: Build, tests: list[TestSet]) -> None:
    recipe, pipeline, folder = done.recipe, done.pipeline, done.folder
    with done.show.steps(pipeline.runs):
        rows = pipeline.run()
    made = _key(pipeline.runs[-1].content, recipe.head.seed, recipe.head.export, recipe.text, asdict(_about(done)))
    with done.show.phase("export"):
        _once(folder, "export", made, recipe.head.export, lambda: _export(done, rows))
    done.exported = {name: str(folder / name) for name in recipe.head.export}
    if recipe.head.train is None:
        return
    fitted = _key(pipeline.runs[-1].content, recipe.head.seed, recipe.head.train.model_dump(mode="json"), __version__)
    with done.show.phase("train"):
        mark = _once(folder, "train", fitted, ["model"], lambda: _train(done, rows))
    done.exported["model"] = str(folder / "model")
    if not tests:
        return
    with done.show.phase("evaluate"):
        measured = _key(fitted, made, [_test_key(test) for test in tests])
        told = _once(folder, "evaluate", measured, [], lambda: _evaluate(done, tests, mark["untrained"]))
    done.evaluation = Evaluation.from_json(told["evaluation"])


def _export(done: Build, rows: Rows) -> dict[str, Any]:
    formats = done.recipe.head.export
    exported = export_rows(rows, done.folder, formats, seed=done.recipe.head.seed, about=_about(done))
    return {"counts": {name: dict(counts) for name, counts in exported.counts.items()}}


def _about(done: Build) -> About:
    recipe = done.recipe
    fates = [Fate(run.step.name, run.kept, run.dropped) for run in done.pipeline.runs]
    asked = {role for step in recipe.steps for role in step.stage.backends_used()}
    models = {role: recipe.backends[role].model for role in asked}
    named = {name for step in recipe.steps for name in step.stage.embedders_used()}
    models |= {name: recipe.head.embedders[name] for name in named if name in recipe.head.embedders}
    return About(recipe.name, recipe.text, fates, models, seed=recipe.head.seed, version=__version__)


def _train(done: Build, rows: Rows) -> dict[str, Any]:
    from synth.training.trainer import train

    head = done.recipe.head
    if head.train is None:
        raise RecipeError(f"{done.recipe.name}: it has no `train:`")
    learned = _learned(done, rows)
    with writing(done.folder / "model"):
        result = train(learned, head.train, done.folder / "model", head.seed, done.pipeline.corpus().documents)
    return {"untrained": result.untrained, "rows": result.rows, "steps": result.steps, "seconds": result.seconds}


def _learned(done: Build, rows: Rows) -> Iterator[Example]:
    """The training split: as it was exported, or split here the same way where no dataset was."""
    head = done.recipe.head
    if "dataset" in head.export:
        for part in read_dataset(done.folder / "dataset")["train"]:
            yield from part
        return
    held_out = validation_ids((row for row in rows if row.query), head.seed)
    yield from (row for row in rows if row.query and row.id not in held_out)


def _evaluate(done: Build, tests: list[TestSet], untrained: str) -> dict[str, Any]:
    models = load_embedder(str(done.folder / "model")), load_embedder(untrained)
    found = evaluate(tests, *models, done.pipeline.corpus().documents, done.recipe.head.seed)
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


def _key(*parts: object) -> str:
    plain = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _test_key(test: TestSet) -> list[object]:
    documents = None if test.documents is None else [(d.doc_id, d.title, d.text) for d in test.documents]
    return [test.label, test.queries, test.qrels, _key(documents)]
