"""Nothing that is done is redone, and what comes out is the same however often the run was killed."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import CORPUS, RECIPE, Synth, write_corpus


def start(recipe: Path, output: Path, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "synth", "run", str(recipe), "--output", str(output), *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)


def digest(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def big_corpus(folder: Path, documents: int) -> Path:
    rng = random.Random(1)
    words = " ".join(CORPUS.values()).split()
    texts = {f"d{n}": ". ".join(" ".join(rng.choices(words, k=12)) for _ in range(6)) + "." for n in range(documents)}
    return write_corpus(folder, texts)


@pytest.mark.slow
def test_a_run_killed_at_ten_random_moments_gives_the_same_bytes_and_redoes_no_finished_step(tmp_path: Path) -> None:
    big_corpus(tmp_path / "corpus", 4000)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE + "train: {base: static, epochs: 1, dims: 32}\n")
    # Apart from each other, since a run links what one beside it has done.
    whole, killed = tmp_path / "one" / "whole", tmp_path / "other" / "killed"
    begun = time.monotonic()
    assert start(recipe, whole).wait() == 0
    length = time.monotonic() - begun
    rng = random.Random(11)
    finished: dict[str, bytes] = {}
    kills = 0
    while kills < 10:
        run = start(recipe, killed)
        try:
            code = run.wait(timeout=rng.uniform(0.2, 0.9) * length)
            assert code == 0
            shutil.rmtree(killed)
            finished = {}
        except subprocess.TimeoutExpired:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
            kills += 1
        marks = {path.parent.name: path.read_bytes() for path in killed.glob("*/done.json")}
        assert all(marks.get(name) == content for name, content in finished.items()), "a finished step was redone"
        finished = marks
    assert start(recipe, killed).wait() == 0
    assert digest(killed / "dataset") == digest(whole / "dataset")
    assert digest(killed / "beir") == digest(whole / "beir")
    assert not [*killed.rglob(".*.part"), *killed.rglob("*.spill"), *killed.rglob(".exporting")]


def test_the_same_command_again_redoes_nothing(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    first = json.loads(synth("run", recipe, "--json").out)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("outputs/*/*/*.parquet")}
    second = json.loads(synth("run", recipe, "--json").out)
    assert first["key"] == second["key"]
    assert before
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("outputs/*/*/*.parquet")} == before


def test_a_changed_option_redoes_its_step_and_those_after_it_only(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    synth("run", recipe, "--output", "run")
    before = {p.parent.name: p.read_text() for p in tmp_path.glob("run/*/done.json")}
    synth("run", recipe, "--output", "run", "--set", "near_dedup.threshold=0.5")
    after = {p.parent.name: p.read_text() for p in tmp_path.glob("run/*/done.json")}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"03-near_dedup"}


def test_a_changed_document_redoes_the_run(synth: Synth, recipe: Path, corpus: Path, tmp_path: Path) -> None:
    first = json.loads(synth("run", recipe, "--output", "run", "--json").out)
    file = corpus / "corpus.jsonl"
    file.write_text(file.read_text().replace("three", "four"))
    second = json.loads(synth("run", recipe, "--output", "run", "--json").out)
    assert first["key"] != second["key"]
    assert "used to take four" in "".join(
        map(str, json.loads(synth("look", "run", "--most", 99, "--json").out)["rows"])
    )


def test_a_step_that_another_run_has_done_is_linked(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    synth("run", recipe)
    synth("run", recipe, "--set", "near_dedup.threshold=0.5")
    files = sorted(tmp_path.glob("outputs/*/00-from_corpus/kept.parquet"))
    assert len(files) == 2
    assert files[0].stat().st_ino == files[1].stat().st_ino


def test_a_file_that_was_cut_short_is_made_again(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    synth("run", recipe, "--output", "run")
    good = digest(tmp_path / "run" / "dataset")
    (tmp_path / "run" / "01-extract" / "done.json").write_text('{"key": "half')
    (tmp_path / "run" / "01-extract" / "kept.parquet").write_bytes(b"PAR1 and then nothing")
    assert synth("run", recipe, "--output", "run").code == 0
    assert digest(tmp_path / "run" / "dataset") == good


def test_two_runs_at_once_do_not_harm_each_other(tmp_path: Path) -> None:
    big_corpus(tmp_path / "corpus", 400)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    both = [start(recipe, tmp_path / "run"), start(recipe, tmp_path / "run")]
    assert [run.wait() for run in both] == [0, 0]
    assert start(recipe, tmp_path / "alone").wait() == 0
    assert digest(tmp_path / "run" / "dataset") == digest(tmp_path / "alone" / "dataset")


@pytest.mark.parametrize("workers", [2, 5])
def test_rows_in_any_order_and_any_number_of_workers_give_the_same_bytes(
    workers: int, synth: Synth, recipe: Path, corpus: Path, tmp_path: Path
) -> None:
    synth("run", recipe, "--output", "one")
    lines = (corpus / "corpus.jsonl").read_text().splitlines()
    random.Random(workers).shuffle(lines)
    (corpus / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    assert synth("run", recipe, "--output", "other", "--set", f"engine.workers={workers}").code == 0
    one, other = digest(tmp_path / "one" / "dataset"), digest(tmp_path / "other" / "dataset")
    assert {n: h for n, h in one.items() if n.endswith("parquet")} == {
        n: h for n, h in other.items() if n.endswith("parquet")
    }


def test_a_limit_is_part_of_the_key(synth: Synth, recipe: Path) -> None:
    few = json.loads(synth("run", recipe, "--limit", 2, "--output", "run", "--json").out)
    all_ = json.loads(synth("run", recipe, "--output", "run", "--json").out)
    assert few["rows"]["kept"] < all_["rows"]["kept"]
