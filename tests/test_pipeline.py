"""Steps stream, `where:` lets rows pass, and no row is without a fate."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from synth.pipeline import Pipeline
from synth.recipe import load
from tests.conftest import RECIPE, Synth, write_corpus

LOSES = '''"""Loses a row now and then."""
from synth.stage import Stage

class Loses(Stage):
    """Forgets every third row."""

    def run(self, rows, ctx):
        """Forget."""
        for number, row in enumerate(rows):
            if number % 3:
                yield row
'''
TAGS = '''"""Tags every second row."""
from dataclasses import replace
from synth.stage import Stage

class Tags(Stage):
    """Tags."""

    def run(self, rows, ctx):
        """Tag."""
        for row in rows:
            yield replace(row, tags=frozenset({"odd"}) if int(row.id[-1], 16) % 2 else frozenset())
'''
DROPS = '''"""Drops all it is given."""
from pydantic import Field
from synth.stage import Stage
from synth.types import Dropped

class Drops(Stage):
    """Drops."""

    def run(self, rows, ctx):
        """Drop."""
        for row in rows:
            yield Dropped(row, "dropped", "as planted")
'''


def beside(recipe: Path, name: str, code: str, step: str) -> None:
    """A stage of the user's own beside the recipe, and the recipe that uses it as its third step."""
    (recipe.parent / f"{name}.py").write_text(code)
    recipe.write_text(recipe.read_text().replace("  - use: exact_dedup\n", f"  - {step}\n"))


def test_a_stage_that_loses_rows_is_a_bug_that_is_found(recipe: Path, tmp_path: Path) -> None:
    beside(recipe, "loses", LOSES, "use: loses")
    with pytest.raises(RuntimeError, match="step loses: .* rows came in and have no fate"):
        Pipeline(load(str(recipe)), tmp_path / "run").run()


@pytest.mark.parametrize("documents", [8, 3000])
def test_a_stage_that_stops_reading_early_is_a_bug_that_is_found(documents: int, recipe: Path, tmp_path: Path) -> None:
    write_corpus(
        tmp_path / "corpus", {f"d{n}": f"River {n} runs to the sea. Bridge {n} spans it." for n in range(documents)}
    )
    early = LOSES.replace("Loses", "Early").replace("if number % 3:", "if number == 9: return\n            if True:")
    beside(recipe, "early", early, "use: early")
    with pytest.raises(RuntimeError, match="step early: .* rows came in and have no fate"):
        Pipeline(load(str(recipe)), tmp_path / "run").run()


def test_a_users_own_code_is_part_of_the_key(recipe: Path, tmp_path: Path) -> None:
    beside(recipe, "tags", TAGS, "use: tags")
    first = Pipeline(load(str(recipe)), tmp_path / "run")
    first.run()
    (tmp_path / "tags.py").write_text(TAGS.replace('"odd"', '"even"'))
    second = Pipeline(load(str(recipe)), tmp_path / "run")
    second.run()
    assert first.runs[1].key == second.runs[1].key
    assert first.runs[2].key != second.runs[2].key
    assert not second.runs[2].reused


def test_what_was_warned_of_is_told_again(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "corpus" / "corpus.jsonl"
    file.write_text(file.read_text() + "{not json\n")
    first = json.loads(synth("run", recipe, "--output", "run", "--json").out)
    second = json.loads(synth("run", recipe, "--output", "run", "--json").out)
    assert first["warnings"] == second["warnings"] != []
    assert synth("run", recipe, "--output", "run", "--strict").code == 2


@pytest.mark.parametrize("scope", ["row", "set"])
def test_rows_that_where_does_not_name_pass_untouched(scope: str, recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "tags.py").write_text(TAGS)
    code = DROPS.replace('    """Drops."""\n', f'    """Drops."""\n\n    scope = "{scope}"\n')
    beside(recipe, "drops", code, "use: tags\n  - {use: drops, where: {tag: odd}}")
    pipeline = Pipeline(load(str(recipe)), tmp_path / "run")
    pipeline.run()
    tags, drops = pipeline.runs[2], pipeline.runs[3]
    assert drops.kept + drops.dropped["dropped"] == tags.kept
    assert drops.kept > 0
    assert drops.dropped["dropped"] > 0


def test_every_step_keeps_its_ledger(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    synth("run", recipe, "--output", "run")
    marks = [json.loads(p.read_text()) for p in sorted(tmp_path.glob("run/*/done.json"))]
    assert [mark["step"] for mark in marks] == ["from_corpus", "extract", "exact_dedup", "near_dedup"]
    for before, after in pairwise(marks[1:]):
        assert after["kept"] + sum(after["dropped"].values()) == before["kept"]
    assert all(mark["key"] and mark["content"] and mark["seconds"] >= 0 for mark in marks)


def test_a_run_that_keeps_nothing_says_which_step_dropped_it(synth: Synth, recipe: Path) -> None:
    beside(recipe, "drops", DROPS, "use: drops")
    said = synth("run", recipe)
    assert said.code == 2
    assert "drops" in said.err
    assert "synth look" in said.err


def test_an_error_in_one_step_stops_its_neighbours(recipe: Path, tmp_path: Path) -> None:
    breaks = LOSES.replace("Loses", "Breaks").replace(
        "if number % 3:", "if number > 4:\n                raise ValueError('planted')"
    )
    beside(recipe, "breaks", breaks.replace("                yield row", "            yield row"), "use: breaks")
    with pytest.raises(ValueError, match="planted"):
        Pipeline(load(str(recipe)), tmp_path / "run").run()
    assert not (tmp_path / "run" / "02-breaks" / "done.json").exists()


def test_two_sources_add_up(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mod.py").write_text(
        'def flood():\n    """Tell when the river comes over its banks in summer."""\n'
    )
    recipe.write_text(
        RECIPE.replace("  - {use: extract", "  - {use: from_docstrings, code: [./code]}\n  - {use: extract")
    )
    pipeline = Pipeline(load(str(recipe)), tmp_path / "run")
    pipeline.run()
    assert pipeline.runs[1].kept == pipeline.runs[0].kept + 1
    assert len(pipeline.corpus()) == 9


def test_the_recipe_in_the_run_folder_makes_the_same_run(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    first = json.loads(synth("run", recipe, "--set", "extract.per_document=2", "--output", "run", "--json").out)
    (tmp_path / "again.yaml").write_text((tmp_path / "run" / "recipe.yaml").read_text())
    second = json.loads(synth("run", "again.yaml", "--output", "run2", "--json").out)
    assert first["key"] == second["key"]


def test_a_source_may_stand_after_a_step_that_needs_all_rows(recipe: Path, tmp_path: Path) -> None:
    more = "  - {use: stratify, rows: 5}\n  - {use: from_topics, topics: [rivers, bridges]}\n  - {use: extract"
    recipe.write_text(recipe.read_text().replace("  - {use: extract", more))
    pipeline = Pipeline(load(str(recipe)), tmp_path / "run")
    pipeline.run()
    kept = {run.step.name: run.kept for run in pipeline.runs}
    assert (kept["stratify"], kept["from_topics"]) == (5, 7)
