"""A recipe that trains an embedder on its rows and filters them by it: checked, run, resumed, changed, explained."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("sentence_transformers")

from synth.build import build
from synth.build import test_sets as checked  # under its own name pytest would take it for a test
from synth.errors import RecipeError
from synth.progress import Show
from synth.recipe import load, parse
from synth.rethreshold import rethreshold
from tests.conftest import Synth, write_corpus
from tests.test_resume import digest, start

RECIPE = """\
# Rows are filtered by an embedder that learned from them.
corpus: ./corpus
seed: 7
steps:
  - use: from_corpus
  - {use: extract, per_document: 2}
  - {use: fit, makes: student, train: {dims: 16, vocabulary: 400, matryoshka: []}}
  - {use: consistency, retriever: dense, embedder: student, most_rank: 20}
  - {use: mine, retriever: dense, embedder: student, negatives: 2}
"""
WORDS = "flood bank water stream boat bridge fish current delta mud bread flour oven yeast dough salt butter pan"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The recipe, over sixty documents."""
    return written(tmp_path)


def written(folder: Path) -> Path:
    rng = random.Random(4)
    texts = {
        f"d{n}": ". ".join(f"It has {' and '.join(rng.sample(WORDS.split(), 5))} in it" for _ in range(4)) + "."
        for n in range(60)
    }
    write_corpus(folder / "corpus", texts)
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder / "recipe.yaml"


class Made(NamedTuple):
    """A recipe, and a copy of a finished run of it."""

    path: Path
    run: Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Made:
    path = written(tmp_path_factory.mktemp("made"))
    build(load(str(path)), path.parent / "outputs" / "run", Show(), replies=path.parent / "replies.sqlite")
    return Made(path, path.parent / "outputs" / "run")


@pytest.fixture
def made(whole: Made, tmp_path: Path) -> Made:
    shutil.copytree(whole.run, tmp_path / "outputs" / "run")
    return Made(whole.path, tmp_path / "outputs" / "run")


def models(run: Path) -> dict[str, int]:
    """The files of the models that a run has made."""
    return {file.parent.name: file.stat().st_ino for file in run.glob("02-fit/model-*/model.safetensors")}


def marks(run: Path) -> dict[str, str]:
    return {file.parent.name: file.read_text() for file in run.glob("*/done.json")}


def bytes_of(run: Path) -> dict[str, str]:
    """The hashes of all that does not tell of time."""
    return {name: each for name, each in digest(run).items() if not name.endswith(("done.json", "run.json"))}


def test_a_check_says_that_nothing_is_missing_and_trains_nothing(synth: Synth, path: Path, tmp_path: Path) -> None:
    told = json.loads(synth("check", path, "--json").out)
    assert told["missing"] == []
    assert sorted(file.name for file in tmp_path.iterdir()) == ["corpus", "recipe.yaml"]


def test_rows_are_filtered_by_what_they_trained(whole: Made) -> None:
    told = json.loads((whole.run / "run.json").read_text())
    assert told["rows"]["kept"] > 50
    assert told["rows"]["dropped"]["consistency"]["inconsistent"] > 0
    assert sorted(models(whole.run)) == ["model-0", "model-1"]
    assert "static, trained here" in (whole.run / "dataset" / "README.md").read_text()


def test_the_same_command_again_redoes_nothing(synth: Synth, made: Made) -> None:
    before = marks(made.run), models(made.run)
    assert synth("run", made.path, "--output", made.run).code == 0
    assert (marks(made.run), models(made.run)) == before


@pytest.mark.parametrize(
    ("gone", "stays"), [(["done.json", "fit.json", "folds.parquet", "model-1"], "model-0"), (["model-0"], "model-1")]
)
def test_a_run_killed_while_it_trained_goes_on_with_the_models_that_it_had(
    gone: list[str], stays: str, synth: Synth, made: Made, whole: Made
) -> None:
    before = models(made.run)
    for name in gone:
        place = made.run / "02-fit" / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    (made.run / "02-fit" / ".training-x").mkdir()
    assert synth("run", made.path, "--output", made.run).code == 0
    after = models(made.run)
    assert {name for name in before if after[name] == before[name]} == {stays}
    assert bytes_of(made.run) == bytes_of(whole.run)


def test_another_run_with_the_same_rows_takes_over_the_models(synth: Synth, made: Made) -> None:
    told = json.loads(synth("run", made.path, "--set", "consistency.most_rank=5", "--json").out)
    other = made.run.parent.parent / told["folder"]
    assert other != made.run
    assert models(other) == models(made.run)
    assert not (other / "02-fit" / "begun.json").exists()


def test_another_training_redoes_the_steps_that_ask_the_model_and_none_before(synth: Synth, made: Made) -> None:
    before = marks(made.run)
    synth("run", made.path, "--output", made.run, "--set", "fit.train.epochs=9")
    after = marks(made.run)
    assert {name for name in before if before[name] != after[name]} == {"02-fit", "03-consistency", "04-mine"}
    assert len({json.loads(each["02-fit"])["content"] for each in (before, after)}) == 1


def test_a_row_that_passed_is_explained(synth: Synth, made: Made) -> None:
    row = json.loads(synth("look", made.run, "--json").out)["rows"][0]["id"]
    said = synth("explain", made.run, row)
    assert said.code == 0
    assert "fit: kept" in said.out


def test_another_threshold_is_tried_by_the_models_that_are_there(made: Made, tmp_path: Path) -> None:
    found = rethreshold(made.run, ["consistency.most_rank=2"], tmp_path / "retold")
    assert models(found.new.folder) == models(made.run)
    assert found.difference.lost > 0
    assert not [warning for warning in found.warnings if "made again" in warning]


def test_another_threshold_before_the_fit_trains_it_anew(made: Made, tmp_path: Path) -> None:
    found = rethreshold(made.run, ["extract.per_document=1"], tmp_path / "retold")
    assert sorted(models(found.new.folder)) == ["model-0", "model-1"]
    assert not set(models(found.new.folder).values()) & set(models(made.run).values())
    assert found.difference.lost > 0


FIT = "{use: fit, makes: student}"
DENSE = "{use: consistency, retriever: dense, embedder: student}"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([DENSE], "step consistency: no embedder is called 'student'"),
        ([FIT, "{use: similarity, least: 0.1, embedder: students}"], "step similarity: .*; did you mean 'student'"),
        ([DENSE, FIT], "step consistency: 'student' is made by step fit, later: put that before it"),
        ([FIT, "{use: fit, name: again, makes: student}"], "step again: makes: 'student' is taken: step fit makes one"),
        (["{use: fit, makes: miner}"], "step fit: makes: 'miner' is taken: `embedders:` has one, too"),
        (["{use: fit, makes: student, folds: 1}", DENSE], "step consistency: 'student' has seen every row"),
        ([FIT, "{use: asks, embedder: student}"], "step asks: 'student' is made by step fit, .*, and asks asks one"),
        (
            [FIT, DENSE, "{use: from_docstrings, code: [.]}"],
            "fit looks at the whole corpus: put from_docstrings before",
        ),
        (["{use: fit, makes: student, folds: 1, allow_seen: true}", DENSE], ""),
        (["{use: fit, makes: student, folds: 1}", "{use: semantic_dedup, embedder: student}"], ""),
        ([FIT, DENSE, "{use: fit, name: again, makes: other}", "{use: mine, retriever: dense, embedder: other}"], ""),
    ],
)
def test_a_recipe_is_told_before_it_runs_which_embedders_it_may_ask(
    steps: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "asks.py").write_text(
        '"""Asks one model for all rows."""\nfrom pydantic import Field\nfrom synth.stage import Stage\n\n'
        'class Asks(Stage):\n    """Asks."""\n\n    embedder: str = Field(description="which")\n\n'
        "    def embedders_used(self):\n        return [self.embedder]\n\n"
        "    def run(self, rows, ctx):\n        yield from rows\n"
    )
    lines = ["use: from_corpus", "{use: extract}", *steps]
    text = "embedders: {miner: some/model}\nsteps:\n" + "".join(f"  - {line}\n" for line in lines)
    recipe = parse(text, tmp_path / "recipe.yaml")
    if not said:
        assert checked(recipe) == []
        return
    with pytest.raises(RecipeError, match=said) as raised:
        checked(recipe)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_run_killed_between_two_models_goes_on_with_the_second(path: Path, tmp_path: Path) -> None:
    path.write_text(RECIPE.replace("makes: student,", "makes: student, folds: 8,").replace("dims: 16", "dims: 64"))
    assert start(path, tmp_path / "one" / "whole").wait() == 0
    killed = tmp_path / "other" / "killed"
    run = start(path, killed)
    while run.poll() is None and len(models(killed)) < 3:
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    there = models(killed)
    assert 3 <= len(there) < 8
    assert start(path, killed).wait() == 0
    assert there.items() <= models(killed).items()
    assert digest(killed / "dataset") == digest(tmp_path / "one" / "whole" / "dataset")
