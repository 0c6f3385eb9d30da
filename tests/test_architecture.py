"""Every part there is, and every part there will be, keeps its promises (`contracts.py`)."""

import subprocess
import sys
from pathlib import Path

import pytest

from synth.registry import find_backend, find_stage, is_source, known
from synth.stage import Stage
from synth.types import Dropped
from tests import contracts as check
from tests.contracts import context, query_rows, source_rows

ROOT = Path(__file__).parent.parent
FILTERS, STAGES, BACKENDS = sorted(known("filters")), sorted(known("stages")), sorted(known("backends"))
MAKERS = [name for name in STAGES if not is_source(name)]
SOURCES = [name for name in STAGES if is_source(name)]
CODE = sorted(
    path
    for folder in ("synth", "filters")
    for path in (ROOT / folder).rglob("*.py")
    if "synth/filters" not in str(path)
)


def stage_of(name: str) -> Stage:
    """A stage with its defaults; what it requires is filled in as its users would."""
    required = {
        "generate": {"prompt": "grounded/question"},
        "brainstorm": {"prompt": "e5/tasks_short_long"},
        "similarity": {"embedder": "letters", "least": 0.5},
        "semantic_dedup": {"embedder": "letters"},
        "fit": {"makes": "student"},
        "convert": {"to": "label_pairs"},
    }
    return find_stage(name, Path()).model_validate(required.get(name, {}))


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_answers_for_every_row_with_a_slug_and_edits_nothing_but_scores(name: str) -> None:
    stage, rows = stage_of(name), query_rows()
    check.answers_for_every_row(stage, rows)
    check.reasons_are_slugs(stage, rows)
    check.edits_only_scores(stage, rows)


@pytest.mark.parametrize("name", MAKERS)
def test_a_maker_settles_every_row(name: str) -> None:
    check.settles_every_row(stage_of(name), source_rows())
    check.settles_every_row(stage_of(name), query_rows())
    check.reasons_are_slugs(stage_of(name), source_rows())


@pytest.mark.parametrize("name", [*FILTERS, *MAKERS])
def test_the_order_of_the_rows_changes_nothing(name: str) -> None:
    check.order_changes_nothing(stage_of(name), query_rows())
    check.order_changes_nothing(stage_of(name), source_rows())


@pytest.mark.parametrize("name", [*FILTERS, *MAKERS])
def test_a_step_makes_nothing_of_nothing(name: str) -> None:
    assert check.outcomes(stage_of(name), []) == []


@pytest.mark.parametrize("name", [*FILTERS, *STAGES])
def test_a_step_is_documented_and_named_after_its_file(name: str) -> None:
    part = find_stage(name, Path())
    check.documented(part)
    check.named_after_its_file(part)
    assert part.scope in {"row", "set"}
    assert part.version >= 1


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_is_documented_and_named_after_its_file(name: str) -> None:
    check.documented(find_backend(name, Path()))
    check.named_after_its_file(find_backend(name, Path()))


@pytest.mark.parametrize("name", [*FILTERS, *MAKERS])
def test_a_failing_model_makes_drops_and_never_loses_a_row(name: str) -> None:
    stage = stage_of(name)
    if not stage.backends_used():
        pytest.skip("asks no model")
    failing = context(backend=check.Echo(fails=True))
    rows = [row for row in query_rows() if row.query]
    fates = check.outcomes(stage, rows, failing)
    assert fates
    assert all(isinstance(fate, Dropped) for fate in fates)


def test_a_name_is_unique_among_filters_and_stages() -> None:
    assert not set(FILTERS) & set(STAGES)


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_house_rules_hold(path: Path) -> None:
    assert check.house_rules(path) == []


@pytest.mark.parametrize("path", [p for p in CODE if p.parent.name in {"filters", "stages", "backends", "training"}])
def test_a_part_never_prints(path: Path) -> None:
    assert not check.prints(path)


def test_prompts_and_recipes_hold_no_python() -> None:
    assert not [*(ROOT / "prompts").rglob("*.py"), *(ROOT / "recipes").rglob("*.py")]


@pytest.mark.parametrize("module", ["synth.cli", "synth.stage", "synth.registry"])
def test_the_command_line_loads_nothing_heavy(module: str) -> None:
    said = _python(f"import sys, {module}; print(*sorted(set({check.HEAVY!r}) & set(sys.modules)))")
    assert said.split() == []


def test_finding_a_part_imports_only_that_part() -> None:
    code = (
        "import sys; from pathlib import Path; from synth.registry import find_stage; find_stage('length', Path());"
        "print(*[m for m in sys.modules if m.startswith(('synth.filters.', 'synth.stages.'))])"
    )
    assert _python(code).split() == ["synth.filters.length"]


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_imports_no_other_filter_stage_or_backend(name: str) -> None:
    text = (ROOT / "filters" / f"{name}.py").read_text()
    assert not [s for s in ("synth.filters", "synth.stages", "synth.backends", "synth.pipeline") if f"from {s}" in text]


def test_every_recipe_says_what_it_makes_and_what_it_costs() -> None:
    for name, path in known("recipes").items():
        text = path.read_text(encoding="utf-8")
        assert text.startswith("#"), f"{name} has no opening comment"
        assert text.count("\n") <= 60, f"{name} is longer than a screen"


def _python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout
