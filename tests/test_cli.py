"""Commands parse, call one function and print; with --json one object on standard output."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import RECIPE, Synth

COMMANDS = [
    "run",
    "init",
    "check",
    "list",
    "show",
    "copy",
    "look",
    "explain",
    "rethreshold",
    "label",
    "judge-check",
    "export",
    "train",
    "embed",
    "eval",
    "push",
    "replies",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(command: str, synth: Synth) -> None:
    said = synth(command, "--help")
    assert said.code == 0
    assert f"Example: synth {command}" in said.out
    assert "--json" in said.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help(command: str) -> None:
    import typer

    from synth.cli import app

    group = typer.main.get_command(app)
    for param in group.commands[command].params:  # type: ignore[attr-defined]
        assert getattr(param, "help", None), f"{command} {param.name} has no help"


def test_help_fits_eighty_columns(synth: Synth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in COMMANDS:
        assert max(map(len, synth(command, "--help").out.splitlines())) <= 80


def test_help_takes_little_time() -> None:
    import os
    import resource

    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run([sys.executable, "-m", "synth", "--help"], check=True, capture_output=True, env=env)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "synth", "--help"], check=True, capture_output=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.4


def test_a_run_tells_its_figures_as_json_and_writes_them(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    told = json.loads(synth("run", recipe, "--output", "run", "--json").out)
    written = json.loads((tmp_path / "run" / "run.json").read_text())
    for key in ("recipe", "key", "seconds", "rows", "requests", "tokens", "usd", "evaluation"):
        assert written[key] == told[key]
    assert written["started"]
    assert told["rows"]["kept"] > 0
    assert set(told["requests"]) == {"sent", "from_store", "failed"}


def test_a_run_ends_with_a_table_that_fits_eighty_columns(
    synth: Synth, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = synth("run", recipe, "--output", "run")
    assert said.code == 0
    assert said.err == ""
    assert max(map(len, said.out.splitlines())) <= 80
    for word in ("from_corpus", "extract", "kept", "dropped", "run/dataset"):
        assert word in said.out


def test_everything_is_listed_with_a_line_of_its_own(synth: Synth) -> None:
    found = json.loads(synth("list", "--json").out)
    assert set(found) == {"recipes", "prompts", "stages", "filters", "backends"}
    assert all(line for parts in found.values() for line in parts.values())
    assert "near_dedup" in synth("list", "filters").out
    assert synth("list", "filtres").code == 2


def test_a_part_is_shown_with_its_options(synth: Synth) -> None:
    said = synth("show", "near_dedup")
    assert "threshold" in said.out
    assert "steps:" in synth("show", "quickstart").out
    assert "did you mean" in synth("show", "near_dedupe").err


def test_a_recipe_is_copied_to_own_and_runs_as_a_copy(synth: Synth, tmp_path: Path) -> None:
    assert synth("copy", "extract", "mine").code == 0
    assert (tmp_path / "mine" / "extract.yaml").is_file()
    assert synth("copy", "extract", "mine").code == 2
    assert synth("copy", "domain", "mine").code == 0
    assert (tmp_path / "mine" / "prompts" / "grounded" / "question.jinja").is_file()
    assert synth("check", "mine/extract.yaml", "--set", "corpus=../corpus").code == 2
    assert synth("copy", "grounded/question", "other").code == 0


def test_rows_are_shown_with_the_way_they_took(synth: Synth, recipe: Path) -> None:
    synth("run", recipe, "--output", "run")
    said = synth("look", "run", "--most", 2)
    assert "from_corpus: made  extract: made  exact_dedup: kept  near_dedup: kept" in said.out
    assert "dataset/retrieval/train: exported" in " ".join(said.out.split())
    first = json.loads(synth("look", "run", "--most", 1, "--json").out)["rows"][0]
    whole = synth("look", "run", "--row", first["id"][:10])
    assert first["query"] in whole.out
    assert [stop["step"] for stop in first["way"]] == [
        "from_corpus",
        "extract",
        "exact_dedup",
        "near_dedup",
        "dataset/retrieval/train",
    ]
    assert synth("look", "run", "--row", "zz").code == 2
    assert synth("look", "run", "--step", "extrakt").code == 2


def test_dropped_rows_are_shown_by_reason(synth: Synth, recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("use: near_dedup", "{use: length, least_query: 5, most_query: 6}"))
    synth("run", recipe, "--output", "run")
    said = json.loads(synth("look", "run", "--dropped", "all", "--most", 3, "--json").out)
    assert said["rows"]
    assert all(row["way"][-1]["fate"] not in {"kept", "made"} for row in said["rows"])
    assert synth("look", "run", "--dropped", "ugly").code == 2


def test_a_check_counts_what_a_run_would_ask_and_spends_nothing(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(
        RECIPE.replace("{use: extract, per_document: 3}", "{use: generate, prompt: grounded/question, per_document: 2}")
    )
    plan = json.loads(synth("check", recipe, "--json").out)
    assert plan["documents"] == 8
    assert plan["requests"] == 16
    assert plan["missing"]
    assert "Nile" in str(plan["steps"][0]["prompt"]) or "water" in str(plan["steps"][0]["prompt"])
    assert not (tmp_path / "outputs").exists()
    assert synth("check", recipe).code == 0


def test_exports_are_written_where_one_says(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    synth("run", recipe, "--output", "run")
    assert synth("export", "run", "--format", "beir", "--output", "out").code == 0
    assert (tmp_path / "out" / "beir" / "corpus.jsonl").is_file()
    assert synth("export", "run", "--format", "bear").code == 2


def test_the_version_is_told(synth: Synth) -> None:
    from synth import __version__

    assert synth("--version").out.strip() == __version__
