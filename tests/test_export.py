import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from synth.beir import read as read_beir
from synth.card import About
from synth.errors import CorpusError, OutputError, RecipeError
from synth.export import export, pairs, read_dataset, task_folder, triplets
from synth.splits import validation_ids
from synth.types import Document, Example, row_id


def rows_of(documents: int, each: int = 2) -> list[Example]:
    """`each` rows for each of so many documents that have nothing in common."""
    rng = random.Random(0)
    made = []
    for number in range(documents):
        words = ["".join(rng.choices("abcdefghijklmnop", k=7)) for _ in range(40)]
        other = Document(f"not {words[0]}", doc_id=f"n{number}", origin="mined", scores={"bm25": 7.25, "rank": 3.0})
        for draw in range(each):
            cut = Document(" ".join(words[draw * 15 : draw * 15 + 25]), f"d{number}-{draw}", parent_id=f"d{number}")
            query = f"{words[draw]} {words[draw + 20]}"
            made.append(
                Example(
                    id=row_id("extract", draw, query, [f"d{number}"]),
                    query=query,
                    positives=(cut,),
                    negatives=(other,) if draw else (),
                    language="en",
                    tags=frozenset({"left_in", "cloze"}),
                    meta={"parents": [f"d{number}"], "rule": "cloze"},
                )
            )
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


ALL = ("dataset", "pairs", "triplets", "beir")


def test_what_was_exported_reads_back_as_it_was(tmp_path: Path) -> None:
    rows = [*rows_of(30), replace(rows_of(1)[0], id="ab", task="sts", positives=(Document("x", "x", relevance=0.4),))]
    exported = export(rows, tmp_path)
    parts = [part for parts in read_dataset(tmp_path / "dataset").values() for part in parts]
    assert sorted((row for part in parts for row in part), key=lambda row: row.id) == sorted(
        rows, key=lambda row: row.id
    )
    counts = exported.counts["dataset"]
    assert counts["train"] + counts["validation"] == len(rows)
    assert counts["validation"] > 0


@pytest.mark.parametrize("task", ["retrieval", "sts"])
def test_datasets_loads_the_folder_by_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    import datasets

    sts = [replace(row, task="sts", id=f"f{row.id}") for row in rows_of(3)]
    export([*rows_of(40), *sts], tmp_path)
    named = {} if task == "retrieval" else {"name": task}
    loaded = datasets.load_dataset(str(tmp_path / "dataset"), cache_dir=str(tmp_path / "cache"), **named)
    assert sum(loaded.num_rows.values()) == (80 if task == "retrieval" else 6)
    row = next(row for row in loaded["train"] if row["negatives"])
    assert list(row) == ["id", "task", "instruction", "query", "positives", "negatives", "language", "tags", "meta"]
    assert row["tags"] == ["cloze", "left_in"]
    assert row["negatives"][0]["origin"] == "mined"
    assert json.loads(row["negatives"][0]["scores"]) == {"bm25": 7.25, "rank": 3.0}
    assert json.loads(row["meta"])["rule"] == "cloze"


def test_the_order_of_the_rows_changes_no_byte(tmp_path: Path) -> None:
    rows = rows_of(60)
    export(rows, tmp_path / "one", ALL, seed=3, about=About(recipe="extract", seed=3))
    random.Random(1).shuffle(rows)
    export(iter(rows), tmp_path / "two", ALL, seed=3, about=About(recipe="extract", seed=3))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert {name.split("/")[0] for name in contents(tmp_path / "one")} == set(ALL)


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_triplets_and_pairs_are_lines_of_texts(tmp_path: Path) -> None:
    exported = export(rows_of(40), tmp_path, ["pairs", "triplets"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs", "triplets"]
    told = exported.counts["triplets"]
    assert told["train"] + told["validation"] == told["no_negative"] == 40
    assert len(lines(tmp_path / "triplets/train.jsonl")) == told["train"]
    assert len(lines(tmp_path / "pairs/validation.jsonl")) == exported.counts["pairs"]["validation"]
    assert set(lines(tmp_path / "triplets/train.jsonl")[0]) == {"anchor", "positive", "negative"}


def test_a_view_spans_all_positives_and_negatives_but_no_positive_that_is_graded_wrong() -> None:
    right, wrong = Document("It floods.", title="Nile"), Document("It rains.", relevance=0.1)
    bad = (Document("no"), Document("nor this"))
    row = Example(id="a", query="why?", instruction="query: ", positives=(right, wrong), negatives=bad)
    assert list(pairs(row)) == [{"anchor": "query: why?", "positive": "Nile\nIt floods."}]
    assert [line["negative"] for line in triplets(row)] == ["no", "nor this"]


def test_beir_holds_the_same_splits(tmp_path: Path) -> None:
    exported = export(rows_of(40), tmp_path, ["dataset", "beir"])
    for split in ("train", "validation"):
        assert len(read_beir(tmp_path / "beir", split).queries) == exported.counts["dataset"][split]
    assert exported.counts["beir"]["queries"] == 80


def test_rows_without_a_query_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [*rows_of(2), Example(id="0", positives=(Document("x", "x"),))]
    assert export(rows, tmp_path).counts["dataset"] == {"train": 4, "validation": 0, "no_query": 1}


@pytest.mark.parametrize("rows", [[], [Example(id="0", positives=(Document("x", "x"),))]])
def test_nothing_to_export_is_told_and_leaves_nothing(tmp_path: Path, rows: Sequence[Example]) -> None:
    with pytest.raises(CorpusError, match="no row has a query"):
        export(rows, tmp_path / "run", ALL)
    assert contents(tmp_path) == {}


def test_triplets_of_rows_without_negatives_are_told_and_what_stood_there_stays(tmp_path: Path) -> None:
    export(rows_of(3), tmp_path, ["triplets"])
    before = contents(tmp_path)
    with pytest.raises(CorpusError, match="no_negative; add a `mine` step"):
        export(rows_of(3, each=1), tmp_path, ["dataset", "triplets"])
    assert contents(tmp_path) == before


def test_a_split_without_a_line_has_no_file(tmp_path: Path) -> None:
    rows = rows_of(40)
    held_out = validation_ids(rows)
    export([replace(row, negatives=()) if row.id in held_out else row for row in rows], tmp_path, ["triplets"])
    assert [path.name for path in (tmp_path / "triplets").iterdir()] == ["train.jsonl"]


def test_an_unknown_format_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no format is called 'tripels'; did you mean 'triplets'"):
        export(rows_of(3), tmp_path, ["tripels"])


def test_an_export_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    export([replace(row, task="sts") for row in rows_of(3)], tmp_path)
    (tmp_path / ".exporting").mkdir()
    (tmp_path / ".exporting" / "left by a kill").write_text("")
    export(rows_of(4), tmp_path)
    assert set(contents(tmp_path)) == {"dataset/README.md", "dataset/retrieval/train.parquet"}


FULL = """
import resource, sys
from pathlib import Path
from synth.errors import OutputError
from synth.export import export
from tests.test_export import rows_of
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    export(rows_of(400), Path(sys.argv[1]), ("dataset", "pairs"))
except OutputError as error:
    print(error)
"""


def test_a_full_disk_is_told_and_leaves_what_stood_there(tmp_path: Path) -> None:
    export(rows_of(3), tmp_path)
    before = contents(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert "no space left" in done.stdout
    assert contents(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        export(rows_of(3), tmp_path / "run")


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        export(rows_of(3), tmp_path / "run")


def test_a_dataset_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no dataset here; expected <task>/train\.parquet"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("task", ["", "..", "../../etc", "a/b", "x" * 500, "检索", "a\nb", ".hidden"])
def test_no_task_leads_out_of_the_folder(tmp_path: Path, task: str) -> None:
    export([replace(row, task=task) for row in rows_of(3)], tmp_path / "run")
    assert {part.count("/") for part in contents(tmp_path)} == {2, 3}
    assert [row.task for part in read_dataset(tmp_path / "run/dataset")["train"] for row in part] == [task] * 6
    assert task_folder(task)


def test_lone_surrogates_and_odd_scripts_are_written(tmp_path: Path) -> None:
    odd = [replace(row, query=f"{row.query} \ud800 ไทย\0\u202e\n") for row in rows_of(2)]
    export(odd, tmp_path, ALL)
    assert all("?" in line["anchor"] for line in lines(tmp_path / "pairs/train.jsonl"))
