"""from_run: rows of another run as they are, by the step that kept them or the reason that they were dropped for."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth.errors import CorpusError
from synth.rows import to_dropped_table, to_table
from synth.runs import RunFolder
from synth.stage import Context, Source
from synth.stages.from_run import FromRun
from synth.store import SortedWriter
from synth.types import Example
from synth.values import with_given
from tests.conftest import RECIPE, Synth
from tests.test_bad_input import assert_one_line


@pytest.fixture
def run(synth: Synth, recipe: Path, tmp_path: Path) -> Path:
    """A finished run of the small recipe, of which four rows are kept."""
    recipe.write_text(RECIPE.replace("use: near_dedup", "{use: quota, rows: 4, most_rounds: 0}"))
    said = synth("run", recipe, "--output", "run")
    assert said.code == 0, said.err
    return tmp_path / "run"


def context(folder: Path, limit: int | None = None) -> Context:
    return Context(step="from_run", source=Source(folder=folder, limit=limit))


def taken(stage: FromRun, folder: Path, limit: int | None = None) -> list[Example]:
    return [row for row in stage.run((), context(folder, limit)) if isinstance(row, Example)]


def write(path: Path, rows: list[Any], to_table: Callable[[Any], Any]) -> None:
    writer = SortedWriter[Any](path, to_table)
    for row in rows:
        writer.add(row)
    writer.close()


def as_taken(rows: Iterable[Example]) -> list[Example]:
    """Rows as they should come out: the ids of what they were made from under the step's name."""
    return [
        replace(
            row, meta={k: v for k, v in row.meta.items() if k != "parents"} | {"from_run": {"parents": [*row.parents]}}
        )
        for row in rows
    ]


def test_rows_keep_their_ids_and_meta_and_only_their_parents_move(run: Path, tmp_path: Path) -> None:
    rows = taken(FromRun(folder="./run"), tmp_path)
    last = list(RunFolder(run).steps[-1].kept)
    assert rows == as_taken(last)
    assert all(row.parents == () and row.meta["from_run"]["parents"] for row in rows)
    source = taken(FromRun(folder="run", step="from_corpus"), tmp_path)
    assert source == list(RunFolder(run).step("from_corpus").kept)  # a source's rows have no parents to move
    assert source == taken(FromRun(folder="run", step="00-from_corpus"), tmp_path)


def test_what_was_dropped_for_a_reason_can_be_taken_instead(run: Path, tmp_path: Path) -> None:
    step = RunFolder(run).steps[-1]
    [reason] = step.mark["dropped"]
    rows = taken(FromRun(folder="run", dropped=reason), tmp_path)
    assert rows
    assert rows == as_taken(each.example for each in step.dropped())


def test_of_several_reasons_only_the_one_is_taken(run: Path, tmp_path: Path) -> None:
    step = RunFolder(run).steps[-1]
    rows = [replace(each, reason="too_long") if number % 2 else each for number, each in enumerate(step.dropped())]
    write(step.folder / "dropped.parquet", rows, to_dropped_table)
    mark = {**step.mark, "dropped": dict(Counter(each.reason for each in rows))}
    (step.folder / "done.json").write_text(json.dumps(mark))
    found = {reason: taken(FromRun(folder="run", dropped=reason), tmp_path) for reason in mark["dropped"]}
    assert {reason: len(each) for reason, each in found.items()} == mark["dropped"]
    assert len(found) == 2


def test_a_limited_run_takes_the_first(run: Path, tmp_path: Path) -> None:
    assert taken(FromRun(folder="run"), tmp_path, 2) == taken(FromRun(folder="run"), tmp_path)[:2]


def test_the_content_that_is_read_is_the_file_of_the_step(run: Path, tmp_path: Path) -> None:
    marks = [step.mark["content"] for step in RunFolder(run).steps]
    assert FromRun(folder="run").content_read(context(tmp_path)) == marks[-1]
    assert FromRun(folder="run", step="extract").content_read(context(tmp_path)) == marks[1]


def test_its_rows_go_on_in_another_recipe_and_their_documents_are_the_corpus(
    run: Path, synth: Synth, tmp_path: Path
) -> None:
    (tmp_path / "next.yaml").write_text(
        "steps:\n  - {use: from_run, folder: ./run}\n  - {use: mine, negatives: 2}\nexport: [triplets]\n"
    )
    said = synth("run", "next.yaml", "--output", "next")
    assert said.code == 0, said.err
    rows = list(RunFolder(tmp_path / "next").steps[-1].kept)
    assert {row.id for row in rows} == {row.id for row in RunFolder(run).steps[-1].kept}
    assert any(row.negatives for row in rows)


def test_what_earlier_steps_gave_may_be_read_by_prompts(run: Path, tmp_path: Path) -> None:
    assert FromRun(folder="run").gives(context(tmp_path)) == []
    step = RunFolder(run).steps[-1]
    rows = [with_given(row, {"persona": "a nurse"}) for row in step.kept]
    write(step.folder / "kept.parquet", rows, to_table)
    assert FromRun(folder="run").gives(context(tmp_path)) == ["persona"]


def test_steps_of_an_earlier_recipe_in_the_same_folder_are_not_taken(run: Path, tmp_path: Path) -> None:
    mark = json.loads((run / "02-exact_dedup" / "done.json").read_text())
    (run / "02-exact_dedup" / "done.json").write_text(json.dumps({**mark, "before": "another"}))
    assert taken(FromRun(folder="run"), tmp_path) == taken(FromRun(folder="run", step="extract"), tmp_path)
    with pytest.raises(CorpusError, match="no finished step is called 'exact_dedup'"):
        taken(FromRun(folder="run", step="exact_dedup"), tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("folder: ./nowhere", ["./nowhere: no run is here", "name its folder"]),
        ("folder: ./corpus", ["./corpus: no run is here"]),
        ("folder: ./run, step: extrakt", ["no finished step is called 'extrakt'", "did you mean 'extract'"]),
        ("folder: ./run, dropped: irrelevant", ["quota dropped none as 'irrelevant'", "its reasons are over_quota"]),
        (
            "folder: ./run, step: extract, dropped: over_quota",
            ["extract dropped none as 'over_quota'", "set `step: quota`"],
        ),
        ("folder: ./begun", ["./begun: no step of this run is finished"]),
        ("folder: ./other", ["./other: no run is here", "recipe.yaml"]),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    options: str, words: list[str], run: Path, synth: Synth, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "begun")
    (tmp_path / "begun" / "00-from_corpus" / "done.json").unlink()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "recipe.yaml").write_text("steps:\n  - use: from_corpus\n")
    (tmp_path / "next.yaml").write_text(f"steps:\n  - {{use: from_run, {options}}}\n")
    assert_one_line(synth("run", "next.yaml", "--output", "next"), *words)
    assert not list(tmp_path.glob("next/*/kept.parquet"))


def test_a_folder_must_be_named() -> None:
    with pytest.raises(ValidationError, match="folder"):
        FromRun()  # type: ignore[call-arg]  # this is what is tested


def test_rows_that_are_gone_are_told(run: Path, tmp_path: Path) -> None:
    (RunFolder(run).steps[-1].folder / "kept.parquet").unlink()
    with pytest.raises(CorpusError, match=r"kept.parquet of quota is gone; run it again"):
        FromRun(folder="run").content_read(context(tmp_path))
