"""`synth copy` gives a recipe with all that it uses, which runs from its new place."""

import json
from pathlib import Path

import pytest

from synth.copying import files_of, prompts_of
from synth.needs import of_recipe
from synth.recipe import load
from synth.registry import known
from tests.conftest import Synth

RECIPES = sorted(known("recipes"))


def copied(synth: Synth, name: str, dest: str) -> tuple[Path, list[Path]]:
    """The recipe's file and all that was written."""
    told = json.loads(synth("copy", name, dest, "--json").out)
    written = [Path(path) for path in told["written"]]
    return written[0], written


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_is_copied_with_its_prompts_and_is_the_same_from_its_new_place(
    name: str, synth: Synth, corpus: Path
) -> None:
    path, written = copied(synth, name, "mine")
    own, shipped = load(str(path)), load(name)
    assert own.resolved()["steps"] == shipped.resolved()["steps"]
    assert of_recipe(own) == of_recipe(shipped)
    for prompt in prompts_of(shipped):
        assert path.parent / "prompts" / f"{prompt}.jinja" in written
    if any("." in need for need in of_recipe(own)):
        return
    said = synth("check", path, "--limit", 5, *(["--set", f"corpus={corpus}"] if "corpus" in of_recipe(own) else []))
    assert said.code == 0, said.err


def test_the_prompts_that_were_copied_are_those_that_are_used(synth: Synth, corpus: Path) -> None:
    path, _ = copied(synth, "domain", "mine")
    prompt = path.parent / "prompts" / "judge" / "relevance.jinja"
    prompt.write_text(prompt.read_text().replace("You grade", "You, my own judge, grade"))
    told = json.loads(synth("check", path, "--set", f"corpus={corpus}", "--json").out)
    assert told["steps"][-1]["prompt"][0]["content"].startswith("You, my own judge, grade")


def test_two_recipes_share_their_prompts_in_one_folder_until_one_is_changed(synth: Synth) -> None:
    assert synth("copy", "judge/relevance", "mine").code == 0
    assert synth("copy", "domain", "mine").code == 0
    assert synth("copy", "judge/relevance", "mine").code == 2
    assert synth("copy", "domain", "mine").code == 2
    Path("mine/prompts/judge/relevance.jinja").write_text("my own")
    Path("mine/domain.yaml").unlink()
    Path("mine/prompts/grounded/question.jinja").unlink()
    said = synth("copy", "domain", "mine")
    assert said.code == 2
    assert "relevance.jinja is there already" in said.err
    assert not Path("mine/domain.yaml").exists()
    assert not Path("mine/prompts/grounded/question.jinja").exists()
    assert Path("mine/prompts/judge/relevance.jinja").read_text() == "my own"


def test_a_recipe_with_a_folder_of_its_own_takes_its_data_along(synth: Synth) -> None:
    path, written = copied(synth, "quickstart", "mine")
    assert path == Path("mine/quickstart/recipe.yaml")
    assert Path("mine/quickstart/questions/queries.jsonl") in written
    assert synth("check", path, "--limit", 5).code == 0


STEPS = """\
# A recipe.
evaluate: [./asked:test]
train: {base: static}
backends: {writer: {use: scripted, replies: ./replies.jsonl}, judge: {use: scripted}}
steps:
  - {use: from_topics, file: lists/topics.txt}
  - {use: generate, prompt: grounded/question, examples: ./deep/examples.jsonl, where: {task: ../up.txt}}
  - {use: judge, prompt: judge/criteria.jinja}
  - {use: comparison}
"""


def test_data_and_prompts_are_found_in_whatever_option_names_them(tmp_path: Path) -> None:
    named = ["asked/queries.jsonl", "asked/qrels/test.tsv", "replies.jsonl", "lists/topics.txt", "deep/examples.jsonl"]
    for name in [*named, "../up.txt", "other.txt"]:
        (tmp_path / "here" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / name).write_text("text\n")
    path = tmp_path / "here" / "own.yaml"
    path.write_text(STEPS)
    files = files_of("own", path, Path("dest"))
    prompts = [f"prompts/{name}.jinja" for name in ("grounded/question", "judge/criteria", "judge/which")]
    assert next(iter(files)) == Path("dest/own.yaml")
    assert set(files) == {Path("dest", name) for name in ["own.yaml", *named, *prompts]}
    assert all(source.is_file() for source in files.values())
