"""from_personas: of a set of any size those that the seed draws, the same in whatever order they stand."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth.errors import CorpusError
from synth.stage import Context, Source
from synth.stages.from_personas import FromPersonas, _Drawn
from synth.types import Dropped, Example
from synth.values import given_to
from tests.conftest import Synth
from tests.test_bad_input import assert_one_line

NAMES = [f"a keeper of {n} bees" for n in range(300)]


def write(folder: Path, personas: list[str], name: str = "p.jsonl") -> Path:
    lines = personas if name.endswith(".txt") else [json.dumps({"persona": each}) for each in personas]
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def outcomes(folder: Path, seed: int = 7, limit: int | None = None, **options: Any) -> list[Example | Dropped]:
    ctx = Context(step="from_personas", seed=seed, source=Source(folder=folder, limit=limit))
    return list(FromPersonas(**{"file": "p.jsonl", **options}).run((), ctx))


def personas(found: list[Example | Dropped]) -> set[str]:
    return {given_to(row)["persona"] for row in found if isinstance(row, Example)}


def test_each_persona_is_a_row_that_prompts_read_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, ["a nurse", "a smith"])
    found = outcomes(tmp_path, language="sw", task="sts")
    assert personas(found) == {"a nurse", "a smith"}
    assert all((row.language, row.task, row.positives) == ("sw", "sts", ()) for row in found)
    assert FromPersonas(file="p").gives(Context()) == ["persona"]
    assert FromPersonas(file="p", makes="writer").gives(Context()) == ["writer"]


@pytest.mark.parametrize("name", ["p.txt", "p.jsonl"])
def test_of_too_many_the_seed_draws_some_in_whatever_order_they_stand(name: str, tmp_path: Path) -> None:
    first = outcomes(write(tmp_path, NAMES, name), file=name, most=40)
    assert len(personas(first)) == 40
    shuffled = random.Random(3).sample(NAMES, len(NAMES))
    assert sorted(map(repr, outcomes(write(tmp_path, shuffled, name), file=name, most=40))) == sorted(map(repr, first))
    assert personas(outcomes(tmp_path, file=name, most=40, seed=8)) != personas(first)
    assert personas(first) < personas(outcomes(tmp_path, file=name, most=80))


def test_a_limited_run_draws_no_more_than_its_limit(tmp_path: Path) -> None:
    write(tmp_path, NAMES)
    assert personas(outcomes(tmp_path, limit=5, most=40)) < personas(outcomes(tmp_path, most=40))
    assert len(outcomes(tmp_path, limit=5)) == 5


def test_a_persona_that_stands_there_again_counts_once_in_any_order(tmp_path: Path) -> None:
    doubled = [*NAMES, *(each.title() for each in NAMES[:50]), *NAMES[:20], "A keeper of 7 bees!"]
    first = outcomes(write(tmp_path, doubled), most=60)
    random.Random(5).shuffle(doubled)
    assert sorted(map(repr, outcomes(write(tmp_path, doubled), most=60))) == sorted(map(repr, first))
    assert len(personas(first)) == 60
    gone = [row for row in outcomes(tmp_path) if isinstance(row, Dropped)]
    assert {row.reason for row in gone} == {"duplicate_persona"}
    assert len(gone) == 71
    assert len({row.example.id for row in gone}) == 71


def test_what_is_not_drawn_is_counted(tmp_path: Path) -> None:
    counted: Counter[str] = Counter()
    source = Source(folder=write(tmp_path, [*NAMES, *NAMES]))
    ctx = Context(step="from_personas", source=source, count=lambda name, by=1: counted.update({name: int(by)}))
    list(FromPersonas(file="p.jsonl", most=100).run((), ctx))
    assert counted == {"personas_left_out": 400}


def test_only_what_is_drawn_stays_in_memory() -> None:
    drawn = _Drawn(most=10)
    for n in range(5000):
        drawn.add(f"{n:05}", random.Random(n).random(), "someone")
        assert len(drawn.found) == len(drawn._largest) <= 10
    assert set(drawn.found) == set(
        sorted((f"{n:05}" for n in range(5000)), key=lambda b: random.Random(int(b)).random())[:10]
    )


def test_what_cannot_be_read_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"persona": "a nurse"}\n{"persona": ["a"]}\n{"persona"\n')
    found = [row for row in outcomes(tmp_path) if isinstance(row, Dropped)]
    assert [(row.reason, row.detail[:10]) for row in found] == [
        ("unreadable_row", "p.jsonl:2:"),
        ("unreadable_row", "p.jsonl:3:"),
    ]
    (tmp_path / "p.jsonl").write_text('{"persona": ""}\n')
    with pytest.raises(CorpusError, match="p.jsonl: no persona in it can be read"):
        outcomes(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"file": ""}, "file"),
        ({"file": "p", "most": 0}, "most"),
        ({"file": "p", "makes": "documents"}, "every row has"),
    ],
)
def test_options_that_do_not_fit_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FromPersonas(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", ["step 1 (from_personas)", "file: it is missing"]),
        ("file: ./nowhere.txt", ["nowhere.txt", "no such file"]),
        ("file: ./p.csv", ["p.csv", "no column 'persona'", "set `column`"]),
        ("file: 'hf://mine'", ["expected hf://owner/name"]),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    options: str, words: list[str], synth: Synth, tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_text("who,age\na nurse,40\n")
    entry = f"{{use: from_personas, {options}}}" if options else "use: from_personas"
    (tmp_path / "recipe.yaml").write_text(f"steps:\n  - {entry}\n")
    assert_one_line(synth("run", "recipe.yaml", "--output", "run"), *words)
    assert not list(tmp_path.glob("run/*/kept.parquet"))
