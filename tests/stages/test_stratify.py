"""stratify: exactly so many rows, shared out between cells, and the seed decides which."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth.stage import Context, RowList
from synth.stages.stratify import Stratify
from synth.types import Dropped, Example
from tests.conftest import RECIPE, Synth
from tests.test_bad_input import assert_one_line


def row(name: str, **more: Any) -> Example:
    return Example(id=name, query=name, **more)


ROWS = [
    *(row(f"e{n:03}", language="en") for n in range(200)),
    *(row(f"s{n:03}", language="sw", task="sts") for n in range(30)),
    *(row(f"y{n:03}", language="yo") for n in range(5)),
    row("none", meta={"make": {"axes": {"form": "short"}}}),
]


def outcomes(stage: Stratify, rows: list[Example], warned: list[str] | None = None) -> list[Example | Dropped]:
    ctx = Context(step="stratify", seed=7, warn=[].append if warned is None else warned.append)
    return list(stage.run(RowList(rows), ctx))


def cells(found: list[Example | Dropped]) -> dict[str, int]:
    return dict(Counter(row.language for row in found if isinstance(row, Example)))


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"alpha": 1, "rows": 118}, {"en": 100, "sw": 15, "yo": 2, "": 1}),
        ({"alpha": 0, "rows": 40}, {"en": 17, "sw": 17, "yo": 5, "": 1}),
        ({"alpha": 0.3, "rows": 40}, {"en": 22, "sw": 12, "yo": 5, "": 1}),
        ({"alpha": 1, "rows": 40, "least": 4}, {"en": 30, "sw": 5, "yo": 4, "": 1}),
        ({"alpha": 1, "rows": 100, "most": 20}, {"en": 20, "sw": 20, "yo": 5, "": 1}),
        ({"rows": 1000}, {"en": 200, "sw": 30, "yo": 5, "": 1}),
        ({"shares": {"en": 0.5, "sw": 0.25, "yo": 0.25}, "rows": 20}, {"en": 10, "sw": 5, "yo": 5}),
        ({"shares": {"en": 0.4, "yo": 0.6}, "rows": 20}, {"en": 15, "yo": 5}),
        ({"shares": {"sw": 1.0}, "rows": 50}, {"sw": 30}),
        ({"by": "task", "shares": {"sts": 1}, "rows": 3}, {"sw": 3}),
        ({"by": ["task", "language"], "shares": {"sts/sw": 1}, "rows": 3}, {"sw": 3}),
        ({"by": "make.axes.form", "shares": {"short": 1}, "rows": 3}, {"": 1}),
    ],
)
def test_each_cell_has_its_part(options: dict[str, Any], kept: dict[str, int]) -> None:
    found = outcomes(Stratify(**options), ROWS)
    assert len(found) == len(ROWS)
    assert cells(found) == kept
    assert {each.reason for each in found if isinstance(each, Dropped)} <= {"not_sampled"}
    assert {each.example if isinstance(each, Dropped) else each for each in map(_bare, found)} == set(map(_bare, ROWS))


def _bare(found: Example | Dropped) -> str:
    return repr(found.example if isinstance(found, Dropped) else found)


def test_with_a_tag_all_stay_and_those_that_would_be_kept_have_it() -> None:
    found = [each for each in outcomes(Stratify(rows=40, tag="shown"), ROWS) if isinstance(each, Example)]
    assert [each.id for each in found] == [each.id for each in ROWS]
    kept = [each.id for each in outcomes(Stratify(rows=40), ROWS) if isinstance(each, Example)]
    assert [each.id for each in found if "shown" in each.tags] == kept


def test_a_dropped_row_says_how_many_of_its_cell_are_kept() -> None:
    found = outcomes(Stratify(rows=40, alpha=0), ROWS)
    details = {each.detail for each in found if isinstance(each, Dropped)}
    assert details == {"17 of the 200 rows of en are kept", "17 of the 30 rows of sw are kept"}


def test_the_rows_that_stay_are_drawn_and_order_changes_nothing() -> None:
    stage = Stratify(rows=60)
    kept = {each.id for each in outcomes(stage, ROWS) if isinstance(each, Example)}
    assert kept == {each.id for each in outcomes(stage, ROWS[::-1]) if isinstance(each, Example)}
    first = sorted(name for name in kept if name.startswith("e"))
    assert first != [f"e{n:03}" for n in range(len(first))]
    assert kept < {each.id for each in outcomes(Stratify(rows=120), ROWS) if isinstance(each, Example)}


def test_a_cell_that_has_less_than_its_share_is_told() -> None:
    warned: list[str] = []
    outcomes(Stratify(rows=40, shares={"en": 0.4, "yo": 0.5, "xh": 0.1}), ROWS, warned)
    assert warned == ["yo has 5 rows, its share is 20", "xh has 0 rows, its share is 4"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shares": {"en": 0.5, "sw": 0.4}}, r"the shares of all cells are 0 or more and make 1; these make 0.9"),
        ({"shares": {"en": 1.5, "sw": -0.5}}, "0 or more"),
        ({"shares": {"en": float("nan")}}, "make 1"),
        ({"least": 9, "most": 3}, "least is 9 and most is 3"),
        ({"rows": 0}, "rows"),
        ({"alpha": 1.5}, "alpha"),
        ({"by": []}, "by"),
    ],
)
def test_options_that_do_not_fit_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Stratify(**options)


def test_shares_may_miss_one_by_rounding() -> None:
    assert Stratify(shares={"a": 0.1, "b": 0.2, "c": 0.7}).shares
    assert Stratify(shares={"a": 0.3333333, "b": 0.3333333, "c": 0.3333334}).shares


def test_shares_that_do_not_make_one_are_one_line(synth: Synth, recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("use: near_dedup", "{use: stratify, shares: {en: 0.5, sw: 0.4}}"))
    assert_one_line(synth("run", recipe), "step 4 (stratify)", "shares", "make 0.9")


def test_passages_are_sampled_in_a_run(synth: Synth, recipe: Path, tmp_path: Path) -> None:
    recipe.write_text(RECIPE.replace("  - {use: extract", "  - {use: stratify, rows: 5}\n  - {use: extract"))
    said = synth("run", recipe, "--output", "run")
    assert said.code == 0, said.err
    assert "not_sampled" in said.out
