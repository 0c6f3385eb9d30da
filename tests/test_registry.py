"""A part is found by its file's name: beside the recipe first, then in the package, or by module or path."""

from pathlib import Path

import pytest

from synth.errors import RecipeError
from synth.registry import find_backend, find_recipe, find_stage, known

OWN = '''"""My own."""
from synth.stage import Stage

class Short(Stage):
    """Mine."""

    def run(self, rows, ctx):
        """Pass all."""
        yield from rows
'''


def test_a_shipped_name_is_its_file() -> None:
    assert find_stage("near_dedup", Path()).__module__ == "synth.filters.near_dedup"
    assert find_backend("scripted", Path()).__module__ == "synth.backends.scripted"
    assert "quickstart" in known("recipes")
    assert "grounded/question" in known("prompts")
    assert find_recipe("quickstart").name == "recipe.yaml"


def test_a_file_beside_the_recipe_comes_first(tmp_path: Path) -> None:
    (tmp_path / "near_dedup.py").write_text(OWN)
    assert find_stage("near_dedup", tmp_path).__name__ == "Short"


@pytest.mark.parametrize("use", ["short", "own/short.py", "own.short:Short", "./own/short.py:Short", "own.short"])
def test_a_part_of_ones_own_is_named_by_file_path_or_module(use: str, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "short.py").write_text(OWN)
    (tmp_path / "short.py").write_text(OWN)
    assert find_stage(use, tmp_path).__name__ == "Short"


@pytest.mark.parametrize(
    ("use", "said"),
    [
        ("near_dedupe", "did you mean 'near_dedup'"),
        ("own/gone.py", "there is no file"),
        ("gone.module:Short", "no module is called"),
        ("synth.types:Example", "should hold a class Example of kind Stage"),
        ("synth.filters.length:Lengthy", "should hold a class Lengthy"),
    ],
)
def test_what_is_not_there_is_said_with_a_cure(use: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=said):
        find_stage(use, tmp_path)


def test_an_import_error_inside_a_part_is_a_bug_that_shows(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_anywhere"):
        find_stage("broken", tmp_path)
