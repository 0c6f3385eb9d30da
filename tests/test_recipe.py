"""YAML becomes checked steps; overrides, names and hashes behave."""

from pathlib import Path

import pytest

from synth.errors import RecipeError
from synth.recipe import Where, load
from synth.types import Document, Example
from synth.yaml12 import read_yaml, write_yaml
from tests.conftest import RECIPE


def test_steps_are_built_with_their_options_and_defaults(recipe: Path) -> None:
    loaded = load(str(recipe))
    assert [step.name for step in loaded.steps] == ["from_corpus", "extract", "exact_dedup", "near_dedup"]
    assert [step.folder_name for step in loaded.steps][1] == "01-extract"
    assert loaded.resolved()["steps"][1]["per_document"] == 3
    assert loaded.source.corpus == "./corpus"
    assert loaded.source.path_of("./corpus").is_dir()


def test_overrides_reach_steps_by_name_and_the_top(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("{use: extract, ", "{use: extract, name: cut, "))
    sets = ["cut.per_document=9", "seed=3", "corpus=./corpus", "train.base=static", "evaluate=[]", "export=dataset"]
    loaded = load(str(recipe), sets)
    plain = loaded.resolved()
    assert plain["steps"][1]["per_document"] == 9
    assert (plain["seed"], plain["train"]["base"], plain["export"]) == (3, "static", ["dataset"])


def test_the_hash_follows_what_the_recipe_means_not_how_it_is_written(recipe: Path) -> None:
    one = load(str(recipe)).hash
    recipe.write_text("# another comment\n" + RECIPE.replace("{use: exact_dedup}", "use: exact_dedup"))
    assert load(str(recipe)).hash == one
    assert load(str(recipe), ["seed=8"]).hash != one
    assert load(str(recipe), limit=5).hash != one


def test_a_path_in_a_recipe_starts_where_the_recipe_stands(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "r.yaml").write_text(RECIPE)
    assert load(str(tmp_path / "deep" / "r.yaml")).source.path_of("./corpus") == tmp_path / "deep" / "corpus"


def test_a_path_on_the_command_line_starts_in_the_working_folder(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe.write_text(RECIPE.replace("use: from_corpus", "{use: from_dataset, data: ./rows.jsonl}"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    plain = load(str(recipe), ["from_dataset.data=./mine.jsonl", "from_dataset.task=sts"]).resolved()["steps"][0]
    assert (plain["data"], plain["task"]) == (str(tmp_path / "here" / "mine.jsonl"), "sts")
    assert load(str(recipe)).resolved()["steps"][0]["data"] == "./rows.jsonl"


def row(**changes: object) -> Example:
    plain = {"id": "a", "query": "q", "language": "en", "positives": (Document("t", language="en"),)}
    return Example(**(plain | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "changes", "named"),
    [
        ({}, {}, True),
        ({"task": "retrieval"}, {}, True),
        ({"task": ["sts", "bitext"]}, {}, False),
        ({"language": ["de", "en"]}, {}, True),
        ({"tag": "left_in"}, {}, False),
        ({"tag": "left_in"}, {"tags": frozenset({"left_in", "x"})}, True),
        ({"without_tag": "left_in"}, {"tags": frozenset({"left_in"})}, False),
        ({"cross_lingual": False}, {}, True),
        ({"cross_lingual": False}, {"language": "de"}, False),
        ({"cross_lingual": True}, {"language": "de"}, True),
        ({"cross_lingual": False}, {"language": "en-GB"}, True),
        ({"cross_lingual": False}, {"language": ""}, True),
        ({"origin": "mined"}, {}, False),
        ({"origin": "mined"}, {"negatives": (Document("n", origin="mined"),)}, True),
        ({"task": "retrieval", "language": "de"}, {}, False),
    ],
)
def test_where_names_rows(where: dict[str, object], changes: dict[str, object], named: bool) -> None:
    assert Where.model_validate(where).names(row(**changes)) is named


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{no: 0.02, yes: 1, on: x, off: y}", {"no": 0.02, "yes": 1, "on": "x", "off": "y"}),
        ("[true, false, True, yes, no]", [True, False, True, "yes", "no"]),
        ("[1e-5, .5, -1, 5_000_000, 007, 0x1f]", [1e-5, 0.5, -1, 5_000_000, 7, 31]),
        ("[12:30, 2020-01-01, ~, null]", ["12:30", "2020-01-01", None, None]),
    ],
)
def test_yaml_is_read_as_1_2(text: str, value: object) -> None:
    assert read_yaml(text, "x") == value


@pytest.mark.parametrize(
    "value",
    [["1e-5", "true", "no", "0x1", "5_000", "# x", "null", "~", "- a", "12:30", "é🦉", "a: b", ""], {"no": 1e-5}],
)
def test_what_is_written_is_read_back(value: object) -> None:
    assert read_yaml(write_yaml(value), "x") == value


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system [ls]", "a: 1\na: 2", "[" * 2000, "? [a]\n: b", "\t- x"]
)
def test_yaml_that_is_dangerous_or_broken_is_an_error(text: str) -> None:
    with pytest.raises(RecipeError, match=r"r\.yaml"):
        read_yaml(text, "r.yaml")
