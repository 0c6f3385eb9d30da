"""`synth list` and `synth show`: what there is, what it follows and what it needs, read off the parts themselves."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from synth.forecast import rehearse
from synth.needs import LOGPROBS, OF_PROMPT, of_recipe
from synth.recipe import load
from synth.registry import KINDS, known
from tests.conftest import Synth, write_corpus

RECIPES = sorted(known("recipes"))
PARTS = [f"{kind}/{name}" for kind in KINDS[2:] for name in known(kind)]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_each_recipe_is_listed_with_its_papers_and_needs_in_eighty_columns(synth: Synth) -> None:
    said = synth("list", "recipes").out
    assert max(map(len, said.splitlines())) <= 80
    assert all(f"{name} " in said for name in RECIPES)
    flat = " ".join(said.split())
    assert "2209.11755 corpus, writer," in flat
    assert "name makes after needs" in flat


def test_as_json_each_fact_stands_apart(synth: Synth) -> None:
    told = json.loads(synth("list", "--json").out)
    assert set(told) == set(KINDS)
    extract = told["recipes"]["extract"]
    assert extract["about"].startswith("An embedder of your own documents")
    assert extract["papers"] == ["1906.00300", "2112.09118"]
    assert extract["needs"] == ["corpus"]
    assert {"corpus", "writer", "judge"} <= set(told["recipes"]["domain"]["needs"])
    assert told["recipes"]["quickstart"]["needs"] == []
    assert told["filters"]["near_dedup"]["about"]
    assert set(told["prompts"]) == set(known("prompts"))
    assert all(entry["about"].endswith((".", "?")) for entry in told["prompts"].values())


def test_a_part_is_listed_with_one_sentence(synth: Synth) -> None:
    told = json.loads(synth("list", "--json").out)
    long = [name for parts in told.values() for name, entry in parts.items() if len(entry["about"]) > 240]
    assert not long


def test_listing_all_takes_little_time() -> None:
    assert _cpu_s() < 1.5 or _cpu_s() < 1.5  # the first one may have to compile


def _cpu_s() -> float:
    """Seconds of processor time that listing everything takes in a process of its own."""
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "synth", "list"], check=True, capture_output=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


@pytest.mark.parametrize("name", RECIPES)
def test_the_needs_that_are_listed_are_those_of_a_rehearsal(name: str, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    listed = set(of_recipe(load(name)))
    sets = [f"corpus={tmp_path / 'corpus'}"] if "corpus" in listed else []
    if any("." in need for need in listed):
        pytest.skip("it needs data of its user's own")
    seen = rehearse(load(name, sets, limit=10))
    asked = {need for each in seen.asked for need in each.needs}
    assert {need for need in listed if need in (LOGPROBS, OF_PROMPT)} == asked - {"a GPU"}
    assert {each.role for each in seen.asked} <= listed


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_shown_with_a_head_of_eighty_columns_above_its_text(name: str, synth: Synth) -> None:
    said = synth("show", name).out
    text = known("recipes")[name].read_text(encoding="utf-8").rstrip()
    assert said.rstrip().endswith(text)
    head = said[: said.index(text)]
    assert max(map(len, head.splitlines())) <= 80
    assert head.startswith(f"{name} (recipe)\n")
    for fact in ("\npapers", "\nneeds", "\nsteps"):
        assert fact in head
    told = json.loads(synth("show", name, "--json").out)
    assert told["text"].rstrip() == text
    assert len(told["steps"]) == len(load(name).steps)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_shown_in_eighty_columns_with_each_option(name: str, synth: Synth) -> None:
    said = synth("show", name).out
    assert max(map(len, said.splitlines())) <= 80
    told = json.loads(synth("show", name, "--json").out)
    for option in told["options"]:
        assert f"\n  {option['name']}: " in said
        assert option["about"]
        assert not {"typing", "NoneType", "class"} & set(option["type"].split())


@pytest.mark.parametrize("name", sorted(known("prompts")))
def test_a_prompt_is_shown_with_what_it_reads_draws_and_returns(name: str, synth: Synth) -> None:
    said = synth("show", name).out
    text = known("prompts")[name].read_text(encoding="utf-8").rstrip()
    head = said[: said.index(text)]
    assert max(map(len, head.splitlines())) <= 80
    told = json.loads(synth("show", name, "--json").out)
    flat = " ".join(head.split())
    assert all(each in flat for each in told["reads"])
    for axis, values in told["axes"].items():
        assert f"\n{axis} " in head
        assert all(f"{value}, " in flat for value in values)
    assert all(f"{field}: " in flat for field in told["returns"])


def test_shares_of_an_axis_that_is_not_always_drawn_are_told(synth: Synth) -> None:
    said = synth("show", "grounded/question").out
    for line in ("question, 50 %: a full question", "need, 30 %:", "keywords, 20 %:", "becomes the row's query"):
        assert line in said


def test_a_step_that_spares_some_rows_says_which(synth: Synth) -> None:
    said = synth("show", "leakage").out
    assert "without_tag: left_in, unless the recipe says otherwise" in said
    assert "most_run: integer, at least 1; not set" in said
    assert "least: number, 0 to 1; 0.7 unless set" in synth("show", "language").out
    assert "retriever: bm25, dense or fused; bm25 unless set" in synth("show", "mine").out


def test_a_name_that_two_parts_share_is_told_with_its_kind(synth: Synth) -> None:
    recipe, stage = synth("show", "extract").out, synth("show", "stages/extract").out
    assert recipe.startswith("extract (recipe)")
    assert "synth show stages/extract" in recipe
    assert stage.startswith("extract (stage)")
    assert synth("show", "filters/extract").code == 2


def test_what_does_not_exist_brings_the_nearest_name(synth: Synth) -> None:
    for words, near in ((("show", "domian"), "'domain'"), (("list", "recipe"), "'recipes'")):
        said = synth(*words)
        assert said.code == 2
        assert f"did you mean {near}" in said.err
