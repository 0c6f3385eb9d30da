"""Languages are known by both their names and their script: those of E5 at least, and those of every recipe."""

import pytest

from synth.language_names import check_shares, is_language, name_of, own_name_of, script_of, told
from synth.recipe import load
from synth.registry import known

E5 = sorted(load("e5").head.languages)


def test_the_languages_of_e5_are_93_in_more_than_twenty_scripts() -> None:
    assert len(E5) == 93
    assert len({script_of(code) for code in E5}) > 20


@pytest.mark.parametrize("code", E5)
def test_a_language_is_known_by_its_names_and_its_script(code: str) -> None:
    assert is_language(code)
    assert name_of(code) != code
    assert own_name_of(code)
    assert script_of(code)
    assert told(code).startswith(name_of(code))


def test_every_recipe_asks_for_languages_that_there_are() -> None:
    for name in known("recipes"):
        recipe = load(name)
        check_shares(recipe.head.languages)
        for step in recipe.steps:
            languages = getattr(step.stage, "languages", {})
            assert all(map(is_language, languages if isinstance(languages, dict) else ())), f"{name}: {step.name}"


@pytest.mark.parametrize("code", ["", "xx", "english", "qaa", "e", "en_US!"])
def test_what_is_no_language_is_told(code: str) -> None:
    assert not is_language(code)
