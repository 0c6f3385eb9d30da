"""A shipped recipe played from replies that were written by hand: `tests/replies/recipes/<name>/`.

    play.yaml        corpus, embedders, other `--set`s; which roles answer from which file of replies
    replies.jsonl    what the models say (`synth/backends/scripted.py` has the format)
    …                a corpus, personas, examples, a dataset, where the recipe needs one of its own

`python -m tests.plays NAME` plays one and prints each request that no reply answers yet, as whoever writes them needs
it: its words, its schema, its sample. `python -m tests.plays NAME --fates` tells what became of each reply.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from synth.build import Build, build
from synth.errors import SynthError
from synth.progress import Show
from synth.recipe import Recipe, load
from synth.runs import RunFolder

HERE = Path(__file__).parent
PLAYS = HERE / "replies" / "recipes"
CORPUS = HERE / "replies" / "corpus.jsonl"
"""Documents in twelve languages, where a recipe has no corpus of its own."""


def plays() -> list[str]:
    """The recipes that have replies."""
    return sorted(path.parent.name for path in PLAYS.glob("*/play.yaml"))


def settings(name: str, log: Path | None = None, model: dict[str, Any] | None = None) -> list[str]:
    """The `--set`s with which a recipe is played; `log` is where requests that nobody answers are written.

    `model` is a backend that answers in place of the replies written by hand; rerankers stay what they are here.
    """
    folder = PLAYS / name
    play = yaml.safe_load((folder / "play.yaml").read_text(encoding="utf-8")) or {}
    recipe = load(name)
    head, scoring = recipe.head, set(_scoring(recipe))
    replies = play.pop("replies", {})
    sets = {"train": None, "evaluate": [], "publish": None, "corpus": str(CORPUS), "budget": {}}
    if not any(step["use"] in ("from_corpus", "from_docstrings") for step in head.steps):
        del sets["corpus"]
    for role in head.backends:
        file = folder / replies.get(role, "replies.jsonl")
        asking = {"use": str(HERE / "asking.py"), "replies": str(file), "log": str(log or "")}
        asking = {**asking, "model": role}  # replies are kept by model: no role has another's
        sets[f"backends.{role}"] = asking if model is None or role in scoring else model
    for embedder in head.embedders:
        sets[f"embedders.{embedder}"] = {"use": str(HERE / "asking.py"), "model": "letters"}
    for key, value in play.items():
        sets[key] = _placed(value, folder)
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sets.items()]


def _scoring(recipe: Recipe) -> Iterator[str]:
    """The roles that score pairs and write nothing."""
    for step in recipe.steps:
        if getattr(step.stage, "by", "") == "cross_encoder" or getattr(step.stage, "scorer", "") == "reranker":
            yield from step.stage.backends_used()


def _placed(value: Any, folder: Path) -> Any:
    """Files of the play by their whole path, wherever they stand in a value."""
    if isinstance(value, dict):
        return {key: _placed(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_placed(inner, folder) for inner in value]
    return str(folder / value) if isinstance(value, str) and value and (folder / value).exists() else value


def play(name: str, folder: Path, log: Path | None = None) -> Build:
    """Run a recipe from its replies, in `folder`."""
    recipe = load(name, settings(name, log))
    return build(recipe, folder / "run", Show(), replies=folder / "replies.sqlite")


def fates(run: RunFolder) -> Iterator[tuple[str, str, str, str]]:
    """Each dropped row: the step, the reason, what was measured, and the row's query or the reply that made none."""
    for step in run.steps:
        for lost in step.dropped():
            told = lost.example.meta.get(step.name, {})
            yield step.name, lost.reason, lost.detail, lost.example.query or str(told.get("reply", ""))[:100]


def main() -> None:
    """Print what is wanted, or what became of what there is."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("name")
    reads.add_argument("--fates", action="store_true")
    reads.add_argument("--json", action="store_true", help="the requests that are wanted, a line of JSON each")
    given = reads.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, log = Path(place), Path(place) / "wanted.jsonl"
        said = StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):
                play(given.name, folder, log)
        except SynthError as error:  # a play whose replies are not written yet leaves no rows
            print(f"it ended: {error}", file=sys.stderr)
        if given.fates:
            _print_fates(RunFolder(folder / "run"))
        elif log.exists():
            for line in log.read_text(encoding="utf-8").splitlines():
                print(line) if given.json else _print_wanted(json.loads(line))


def _print_fates(run: RunFolder) -> None:
    for step in run.steps:
        print(f"{step.name}: kept {step.mark['kept']}, dropped {step.mark['dropped']}")
    for fate in fates(run):
        print(" | ".join(fate))


def _print_wanted(wanted: dict[str, Any]) -> None:
    print(f"==== sample {wanted['sample']}   hash {wanted['request']}")
    for message in wanted["messages"]:
        print(f"[{message['role']}]\n{message['content']}")
    print(json.dumps(wanted["schema"], ensure_ascii=False))


def reasons(run: RunFolder) -> Counter[str]:
    """How many rows each step dropped for each reason."""
    return Counter(f"{step}: {reason}" for step, reason, _, _ in fates(run))


if __name__ == "__main__":
    main()
