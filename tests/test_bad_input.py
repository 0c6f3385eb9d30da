"""Each mistake a user can mend is one line on standard error with the place and the cure, and exit code 2."""

import json
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import RECIPE, Said, Synth, write_corpus


def assert_one_line(said: Said, *words: str) -> None:
    """Exit code 2, one line on standard error, and these words in it."""
    assert said.code == 2, said
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err, said.err


def beir(folder: Path, qrels: str = "q1\tnile\t1", query: str = "when does it flood") -> Path:
    write_corpus(folder)
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q1", "text": query}) + "\n")
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{qrels}\n")
    return folder


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("./corpus", "./nowhere"), ["nowhere"]),
        (("use: extract", "use: extrakt"), ["step 2", "extrakt", "did you mean 'extract'"]),
        (("per_document: 3", "per_dokument: 3"), ["step 2 (extract)", "per_dokument", "did you mean 'per_document'"]),
        (("per_document: 3", "per_document: 0"), ["step 2 (extract)", "per_document", "greater than or equal to 1"]),
        (("use: near_dedup", "{use: near_dedup, threshold: 8}"), ["step 4 (near_dedup)", "threshold", "8"]),
        (("seed: 7", "seed: seven"), ["seed", "integer", "seven"]),
        (("seed: 7", "sead: 7"), ["sead", "did you mean 'seed'"]),
        (("steps:", "stepps:"), ["no steps"]),
        (("- use: exact_dedup", "- exact_dedup: {}"), ["step 3", "no `use:`"]),
        (("- use: near_dedup", "- use: exact_dedup"), ["steps 3 and 4", "exact_dedup", "name:"]),
        (("export: [dataset, pairs, beir]", "export: [datasat]"), ["export", "datasat"]),
        (("seed: 7", "seed: [7"), ["line", "YAML"]),
        (("seed: 7", "seed: 7\nseed: 8"), ["line 4", "twice"]),
        (("use: near_dedup", "{use: near_dedup, where: {lingo: en}}"), ["near_dedup", "lingo"]),
    ],
)
def test_a_mistake_in_a_recipe_names_step_and_cure(
    change: tuple[str, str], words: list[str], synth: Synth, recipe: Path, tmp_path: Path
) -> None:
    recipe.write_text(RECIPE.replace(*change))
    assert_one_line(synth("run", recipe), "recipe.yaml" if "nowhere" not in words else "", *words)
    assert not list(tmp_path.glob("outputs/*/dataset"))


def test_a_recipe_that_is_empty_or_no_mapping_is_said_so(synth: Synth, tmp_path: Path) -> None:
    for text in ("", "- a\n- b\n", "just words\n"):
        (tmp_path / "odd.yaml").write_text(text)
        assert_one_line(synth("run", "odd.yaml"), "odd.yaml")


def test_a_recipe_that_does_not_exist_brings_the_nearest_name(synth: Synth) -> None:
    assert_one_line(synth("run", "quikstart"), "did you mean 'quickstart'")
    assert_one_line(synth("run", "./gone.yaml"), "gone.yaml")


def test_an_override_of_nothing_brings_the_nearest_name(synth: Synth, recipe: Path) -> None:
    assert_one_line(synth("run", recipe, "--set", "extrakt.per_document=2"), "did you mean 'extract'")
    assert_one_line(synth("run", recipe, "--set", "extract.per_dokument=2"), "did you mean 'per_document'")
    assert_one_line(synth("run", recipe, "--set", "seed"), "step.option=value")


def test_an_empty_corpus_is_an_error(synth: Synth, recipe: Path, corpus: Path) -> None:
    (corpus / "corpus.jsonl").write_text("")
    assert_one_line(synth("run", recipe), "corpus")


def test_a_corpus_in_which_nothing_can_be_read_is_an_error(synth: Synth, recipe: Path, corpus: Path) -> None:
    (corpus / "corpus.jsonl").write_text("not json\n{also not\n")
    assert_one_line(synth("run", recipe), "corpus")


def test_a_missing_column_lists_those_there_are(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("name,body\na,some words here\n")
    said = synth("run", recipe, "--set", "corpus=./table.csv", "--set", "from_corpus.text_column=bodi")
    assert_one_line(said, "bodi", "body")


@pytest.mark.parametrize("line", [b"{not json", b'{"_id": "x", "text": "\xff\xfe"}'])
def test_a_line_that_cannot_be_read_is_a_dropped_row_and_strictly_an_error(
    line: bytes, synth: Synth, recipe: Path, corpus: Path
) -> None:
    file = corpus / "corpus.jsonl"
    file.write_bytes(file.read_bytes() + line + b"\n")
    assert_one_line(synth("run", recipe, "--strict"), "corpus.jsonl", "9")
    said = synth("run", recipe, "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert told["rows"]["dropped"]["from_corpus"] == {"unreadable_document": 1}
    assert told["warnings"]


def test_an_id_with_two_texts_is_an_error(synth: Synth, recipe: Path, corpus: Path) -> None:
    file = corpus / "corpus.jsonl"
    file.write_text(file.read_text() + '{"_id": "nile", "text": "Something else altogether stands here."}\n')
    assert_one_line(synth("run", recipe), "nile", "corpus.jsonl")


def test_qrels_that_name_an_unknown_document_are_found_before_anything_runs(
    synth: Synth, recipe: Path, tmp_path: Path
) -> None:
    beir(tmp_path / "bad", qrels="q1\tamazon\t1")
    recipe.write_text(RECIPE + "train: {base: static}\nevaluate: [./bad]\n")
    assert_one_line(synth("run", recipe), "amazon", "qrels")
    assert not (tmp_path / "outputs").exists()
    assert_one_line(synth("eval", "bm25", tmp_path / "bad"), "amazon")


def test_training_without_its_extra_says_what_to_install(
    synth: Synth, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    recipe.write_text(RECIPE + "train: {base: static}\n")
    assert_one_line(synth("run", recipe), "pip install 'synth-embed[train]'")


def test_a_folder_that_cannot_be_written_is_said_so(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_one_line(synth("run", recipe, "--output", tmp_path / "file" / "run"), "file", "--output")


def test_a_prompt_without_a_writer_names_the_ways_to_get_one(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(RECIPE.replace("{use: extract, per_document: 3}", "{use: generate, prompt: grounded/question}"))
    assert_one_line(synth("run", recipe), "writer", "openai", "extract")
    assert not (tmp_path / "outputs").exists()
    said = synth("check", recipe)
    assert said.code == 0
    assert "missing" in said.out


def test_a_full_disk_stops_cleanly_and_the_next_run_finishes(recipe: Path, tmp_path: Path) -> None:
    write_corpus(
        tmp_path / "corpus", {f"d{n}": f"Sentence {n} about river {n * 7}. {'More words. ' * 60}" for n in range(900)}
    )

    def run(limit: int | None) -> "subprocess.CompletedProcess[str]":
        def bound() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        command = [sys.executable, "-m", "synth", "run", str(recipe), "--output", "run"]
        return subprocess.run(command, cwd=tmp_path, preexec_fn=bound, capture_output=True, text=True, check=False)

    full = run(20_000)
    assert full.returncode == 2, full.stderr
    assert "no space left" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list(tmp_path.glob("run/*/done.json"))
    assert not list(tmp_path.glob("run/dataset"))
    again = run(None)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / "dataset").is_dir()
    assert not list(tmp_path.glob("run/**/.*.part"))


@pytest.mark.parametrize("last", ["  - {use: fit, makes: student}\n", "train: {base: static}\n"])
def test_a_disk_that_has_no_room_for_a_model_is_one_line_and_the_next_run_finishes(
    recipe: Path, tmp_path: Path, last: str
) -> None:
    head = "corpus: ./corpus\nsteps:\n  - use: from_corpus\n  - {use: extract, per_document: 3}\n"
    recipe.write_text(head + last)

    def run(limit: int) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "synth", "run", str(recipe), "--output", "run"]
        bound = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
        return subprocess.run(command, cwd=tmp_path, preexec_fn=bound, capture_output=True, text=True, check=False)

    full = run(90_000)
    assert full.returncode == 2, full.stderr
    assert "no space left on the device" in full.stderr
    assert "Traceback" not in full.stderr
    assert run(1 << 30).returncode == 0


def test_a_wrong_command_line_is_exit_code_2(synth: Synth, recipe: Path) -> None:
    assert synth("run").code == 2
    assert synth("run", recipe, "--limit", "0").code == 2
    assert synth("fly").code == 2


def test_looking_where_there_is_no_run_is_said_so(synth: Synth, tmp_path: Path) -> None:
    assert_one_line(synth("look", tmp_path), "no run")
    assert_one_line(synth("export", tmp_path), "no run")
