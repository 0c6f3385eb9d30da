"""Tables as plain rows: files of each kind, folders with splits, arrays of JSON."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from synth.documents import hub
from synth.documents.table_set import table_set
from synth.errors import CorpusError
from synth.stage import Source

ROWS = [{"query": "a", "pos": ["x", "y"]}, {"query": "b", "pos": ["ü"]}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def read(folder: Path, place: str, split: str = "") -> list[Any]:
    tables = table_set(place, Source(folder=folder), split).tables()
    return [row.values if row.values is not None else row.fault for table in tables for row in table.rows]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES.encode()),
        ("a.jsonl.gz", gzip.compress(mtime=0, data=LINES.encode())),
        ("a.json", LINES.encode()),
        ("a.json", json.dumps(ROWS).encode()),
        ("a.json", json.dumps(ROWS, indent=2).encode("utf-8-sig")),
        ("a.json", b"\n\n[" + b" " * 3_000_000 + json.dumps(ROWS, ensure_ascii=False).encode()[1:] + b"\n"),
    ],
)
def test_lines_and_arrays_of_json_give_the_same_rows(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path, f"./{name}") == ROWS


def test_csv_and_parquet_give_all_their_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nhello,3\n")
    (tmp_path / "a.tsv").write_text("text\tlabel\nhello\t3\n")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert read(tmp_path, "a.csv") == read(tmp_path, "a.tsv") == [{"text": "hello", "label": "3"}]
    assert read(tmp_path, "a.parquet") == ROWS


def test_an_array_of_many_windows_is_read_one_object_at_a_time(tmp_path: Path) -> None:
    rows = [{"n": n, "text": "word " * (n % 700)} for n in range(3000)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    assert read(tmp_path, "a.json") == rows


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"a": 1}, {"a": 2', ["not JSON"]),
        ('[{"a": 1}', ["not JSON"]),
        ('[{"a": 1}, 7, {"a": 3}]', ["found int, expected an object", {"a": 3}]),
        ('[{"a": 1}, oops]', ["not JSON"]),
        ('[{"a": 1}, ' + "[" * 100_000, ["not JSON"]),
    ],
)
def test_what_is_wrong_in_an_array_is_told_and_the_rest_is_read(content: str, told: list[Any], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    first, *others = read(tmp_path, "a.json")
    assert first == {"a": 1}
    assert len(others) == len(told)
    assert all(str(found).startswith(str(said)) for found, said in zip(others, told, strict=True))


def test_an_object_of_more_than_64_megabytes_ends_the_reading(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": 1}, {"a": "' + "x" * 70_000_000 + '"}]')
    first, told = read(tmp_path, "a.json")
    assert first == {"a": 1}
    assert told.startswith("not JSON")


def test_an_array_that_is_not_in_its_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"a": "caf\xe9"}]')
    assert read(tmp_path, "a.json") == ["not UTF-8; save it as UTF-8, or set `encoding`"]


def folder_of(tmp_path: Path, *names: str) -> Path:
    for name in names:
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"name": name}) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("", ["data/train-00000-of-00002.jsonl", "train.jsonl"]),
        ("test", ["test/a.jsonl", "test.jsonl"]),
        ("dev", ["dev_1.jsonl"]),
    ],
)
def test_a_split_of_a_folder_is_known_by_the_names_of_files(split: str, names: list[str], tmp_path: Path) -> None:
    files = ["data/train-00000-of-00002.jsonl", "train.jsonl", "test.jsonl", "test/a.jsonl", "dev_1.jsonl"]
    folder = folder_of(tmp_path, *files, ".hidden/train.jsonl", "README.md", "trainers.jsonl")
    assert [row["name"] for row in read(folder, "set", split)] == names


def test_a_folder_without_splits_is_read_whole_in_the_order_of_its_paths(tmp_path: Path) -> None:
    assert [row["name"] for row in read(folder_of(tmp_path, "b.jsonl", "a/c.jsonl"), "set")] == ["a/c.jsonl", "b.jsonl"]


@pytest.mark.parametrize(
    ("place", "split", "said"),
    [
        ("nowhere", "", "nowhere: no such file or folder"),
        ("a.docx", "", "a kind of file that is not read here; it can be .jsonl .ndjson .csv .tsv .parquet .json"),
        ("empty", "", "no tables in this folder"),
        ("set", "tset", "no file of a split 'tset'; found test.jsonl"),
        ("set/test.jsonl", "test", "a single file has no splits"),
        ("hf://me", "", "expected hf://owner/name"),
        ("hf://me/mine:dev", "test", "names a split already"),
    ],
)
def test_a_place_without_tables_is_told_in_one_line(place: str, split: str, said: str, tmp_path: Path) -> None:
    folder_of(tmp_path, "test.jsonl")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.docx").write_bytes(b"")
    with pytest.raises(CorpusError) as caught:
        table_set(place, Source(folder=tmp_path), split)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_content_of_a_place_is_its_files_names_and_bytes(tmp_path: Path) -> None:
    source = Source(folder=folder_of(tmp_path, "a.jsonl", "b.jsonl"))
    before = table_set("set", source).content()
    (tmp_path / "set" / "b.jsonl").write_text("{}")
    changed = table_set("set", source).content()
    (tmp_path / "set" / "b.jsonl").rename(tmp_path / "set" / "c.jsonl")
    assert len({before, changed, table_set("set", source).content()}) == 3


def test_of_the_hub_a_split_may_be_named_in_either_place() -> None:
    assert table_set("hf://me/mine", Source(), "dev") == table_set("hf://me/mine:dev", Source(), "dev")
    assert table_set("hf://me/mine", Source(), "dev").place == "hf://me/mine:dev"


def test_a_dataset_says_what_the_numbers_of_its_labels_stand_for() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["card_lost", "top_up"])})
    rows = Dataset.from_list([{"text": "a", "label": 1}], features=features).to_iterable_dataset()
    assert hub.label_names(rows) == {"label": ["card_lost", "top_up"]}
    assert hub.label_names([]) == {}
