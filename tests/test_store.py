"""Rows on disk: sorted, whole, the same bytes in any order, and bad disks said plainly."""

import errno
import random
import threading
from pathlib import Path

import pytest

from synth import store
from synth.errors import OutputError
from synth.rows import to_dropped_table, to_table
from synth.store import SortedWriter, StoredRows, content_hash, locked, read_dropped, read_json, write_json, writing
from synth.types import Document, Dropped, Example, row_id


def some_rows(count: int) -> list[Example]:
    return [
        Example(
            id=row_id("test", number, "text"),
            query=f"query {number} ünï 🦉",
            positives=(Document(f"text {number}", doc_id=f"d{number}", relevance=0.5, scores={"bm25": 1.5}),),
            negatives=(Document("no", origin="mined", meta={"rank": 3}),) * (number % 3),
            tags=frozenset({"b", "a"} if number % 2 else ()),
            meta={"parents": ["x"], "deep": {"list": [1, 2.5, None, "é"]}},
        )
        for number in range(count)
    ]


def odd_ids(count: int) -> list[Example]:
    return [Example(id=f"{'zéA9🦉'[number % 5]}{number:06d}", query="x" * 200) for number in range(count)]


def write(path: Path, rows: list[Example]) -> Path:
    writer = SortedWriter[Example](path, to_table)
    for row in rows:
        writer.add(row)
    writer.close()
    return path


def test_rows_come_back_as_they_went_sorted_by_id(tmp_path: Path) -> None:
    rows = some_rows(3000)
    back = list(StoredRows(write(tmp_path / "kept.parquet", rows)))
    assert back == sorted(rows, key=lambda row: row.id)


def test_the_same_rows_in_any_order_spilled_or_not_are_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = some_rows(40_000)
    one = content_hash(write(tmp_path / "one.parquet", rows))
    random.Random(2).shuffle(rows)
    monkeypatch.setattr(store, "SPILL_BYTES", 1 << 20)
    assert content_hash(write(tmp_path / "two.parquet", rows)) == one
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.parquet", "two.parquet"]


def test_no_row_is_lost_whatever_its_id_begins_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = odd_ids(12_000)
    one = content_hash(write(tmp_path / "one.parquet", rows))
    monkeypatch.setattr(store, "SPILL_BYTES", 1 << 18)
    assert content_hash(write(tmp_path / "two.parquet", rows)) == one
    assert len(StoredRows(tmp_path / "two.parquet")) == 12_000


def test_reading_holds_some_rows_and_not_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow

    monkeypatch.setattr(store, "GROUP", 500)
    dice = random.Random(8)
    rows = [Example(id=f"{number:05}", query=dice.randbytes(1000).hex()) for number in range(12_000)]
    path = write(tmp_path / "kept.parquet", rows)
    before = pyarrow.total_allocated_bytes()
    most = max(pyarrow.total_allocated_bytes() - before for _ in StoredRows(path))
    assert most < path.stat().st_size / 2


def test_dropped_rows_keep_their_reason(tmp_path: Path) -> None:
    writer = SortedWriter[Dropped](tmp_path / "dropped.parquet", to_dropped_table)
    row = some_rows(1)[0]
    writer.add(Dropped(row, "leakage", "90% of the query is copied"))
    writer.close()
    assert list(read_dropped(tmp_path / "dropped.parquet")) == [Dropped(row, "leakage", "90% of the query is copied")]


def test_no_rows_are_a_file_with_columns(tmp_path: Path) -> None:
    rows = StoredRows(write(tmp_path / "kept.parquet", []))
    assert list(rows) == []
    assert len(rows) == 0
    assert rows.column("query") == []


def test_rows_are_found_by_id_and_read_by_column(tmp_path: Path) -> None:
    rows = some_rows(2000)
    stored = StoredRows(write(tmp_path / "kept.parquet", rows))
    wanted = {rows[5].id, rows[1700].id, "unknown"}
    assert {row.query for row in stored.find(wanted)} == {rows[5].query, rows[1700].query}
    assert stored.column("query") == [row.query for row in stored]
    assert stored.column("positive") == [row.positive.text for row in stored]
    odd = StoredRows(stored.path, lambda row: "a" in row.tags)
    assert len(odd) == len(odd.column("id")) == 1000


def test_half_a_character_does_not_stop_a_run(tmp_path: Path) -> None:
    broken = Example(id="ab", query="half \ud83d of a pair", meta={"x": "\ud83d"})
    assert [row.query for row in StoredRows(write(tmp_path / "kept.parquet", [broken]))] == ["half ? of a pair"]


def test_nothing_stands_under_the_name_before_it_is_whole(tmp_path: Path) -> None:
    writer = SortedWriter[Example](tmp_path / "kept.parquet", to_table)
    for row in some_rows(2000):
        writer.add(row)
    assert not (tmp_path / "kept.parquet").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.ENOSPC, "no space left"), (errno.EDQUOT, "no space left"), (errno.EROFS, "cannot be written")],
)
def test_what_the_disk_refuses_is_said_with_the_cure(code: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=said), writing(tmp_path):
        raise OSError(code, "as the system says it")


def test_other_errors_of_the_system_are_bugs(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="planted"), writing(tmp_path):
        raise OSError(errno.EBADF, "planted")


def test_json_is_read_back_and_rubbish_is_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "done.json", {"kept": 3, "name": "é"})
    assert read_json(tmp_path / "deep" / "done.json") == {"kept": 3, "name": "é"}
    (tmp_path / "bad.json").write_text('{"half')
    assert read_json(tmp_path / "bad.json") is None
    assert read_json(tmp_path / "none.json") is None


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        with locked(tmp_path, waits.set):
            order.append("second")

    with locked(tmp_path, lambda: order.append("never")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
