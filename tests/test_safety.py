"""A run harms nothing that is not its own, tells no secret, and runs no code that came with data."""

import json
import shutil
from pathlib import Path

import pytest

from synth.terminal import shown
from tests.conftest import RECIPE, Synth


def test_a_folder_that_is_no_run_is_left_alone(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "dataset"
    mine.mkdir(parents=True)
    (mine / "mine.txt").write_text("precious")
    said = synth("run", recipe, "--output", tmp_path / "mine")
    assert said.code == 2
    assert "no run's" in said.err
    assert (mine / "mine.txt").read_text() == "precious"
    assert synth("run", recipe, "--output", tmp_path).code == 2
    assert recipe.read_text() == RECIPE


def test_an_export_replaces_only_an_export(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    synth("run", recipe, "--output", "run")
    before = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert synth("export", "run", "--format", "dataset").code == 0
    assert (tmp_path / "run" / "dataset" / "README.md").read_text() == before
    one = (tmp_path / "run" / "dataset" / "retrieval" / "train.parquet").read_bytes()
    assert (tmp_path / "run" / "export" / "dataset" / "retrieval" / "train.parquet").read_bytes() == one
    (tmp_path / "out" / "beir").mkdir(parents=True)
    (tmp_path / "out" / "beir" / "thesis.docx").write_text("precious")
    assert synth("export", "run", "--format", "beir", "--output", "out").code == 2
    assert (tmp_path / "out" / "beir" / "thesis.docx").read_text() == "precious"


def test_a_path_on_the_command_line_starts_in_the_working_folder(synth: Synth, corpus: Path) -> None:
    plan = json.loads(synth("check", "extract", "--set", "corpus=./corpus", "--json").out)
    assert plan["documents"] == 8
    assert json.loads(synth("check", "extract", "--set", "corpus=corpus", "--json").out)["documents"] == 8


def test_a_password_in_an_address_stands_in_no_file(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    url = "http://me:hunter2@localhost:9/v1"
    recipe.write_text(RECIPE + f"backends:\n  writer: {{use: openai, model: m, base_url: '{url}'}}\n")
    assert synth("run", recipe, "--output", "run").code == 0
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"hunter2" in path.read_bytes()]


def test_json_is_all_that_stands_on_standard_output(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    loud = (
        "from synth.stage import Stage\n\nclass Loud(Stage):\n"
        "    def run(self, rows, ctx):\n        print('noise')\n        yield from rows\n"
    )
    (tmp_path / "loud.py").write_text(loud)
    recipe.write_text(RECIPE.replace("use: exact_dedup", "use: loud"))
    said = synth("run", recipe, "--json")
    assert json.loads(said.out)["rows"]["kept"] > 0
    assert "noise" in said.err


def test_looking_at_a_run_that_somebody_sent_runs_none_of_its_code(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    synth("run", recipe, "--output", "run")
    sent = tmp_path / "sent"
    shutil.copytree(tmp_path / "run", sent)
    shutil.rmtree(sent / "marks")
    (sent / "evil.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w').write('x')\n")
    (sent / "recipe.yaml").write_text((sent / "recipe.yaml").read_text().replace("use: near_dedup", "use: ./evil.py"))
    first = json.loads(synth("look", "sent", "--most", 1, "--json").out)["rows"][0]
    assert synth("look", "sent", "--row", first["id"]).code == 0
    assert not (tmp_path / "owned").exists()


def test_steps_of_an_earlier_recipe_are_not_taken_for_this_one(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    synth("run", recipe, "--output", "run")
    recipe.write_text(RECIPE.replace("  - use: near_dedup\n", "").replace("per_document: 3", "per_document: 2"))
    kept = json.loads(synth("run", recipe, "--output", "run", "--json").out)["rows"]["kept"]
    told = json.loads(synth("look", "run", "--json").out)
    assert (told["step"], told["total"]) == ("exact_dedup", kept)


def test_a_card_tells_what_ran(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    synth("run", recipe, "--set", "extract.per_document=1", "--output", "run")
    card = (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert "per_document: 1" in card
    assert "per_document: 3" not in card


@pytest.mark.parametrize("text", ["\x1b]52;c;ZXZpbA==\x07", "a\u202eb", "\x9b31m", "\u2066x"])
def test_what_would_steer_a_terminal_is_not_shown(text: str) -> None:
    assert not set(shown(text)) & set("\x1b\x07\u202e\x9b\u2066")
    assert "�" in shown(text)
