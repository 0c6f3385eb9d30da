"""from_topics: a row for each topic, or as many as its weight says, the same in whatever order topics come."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from synth.errors import CorpusError
from synth.runs import RunFolder
from synth.stage import Context, Source
from synth.stages.from_topics import FromTopics
from synth.types import Dropped, Example
from synth.values import first_sample, given_to
from tests.conftest import Synth
from tests.test_bad_input import assert_one_line

TREE = "Science > Physics > Optics\nScience > Physics > Waves\nScience > Biology\nCooking\n"


def context(folder: Path = Path(), **source: Any) -> Context:
    return Context(step="from_topics", seed=7, source=Source(folder=folder, **source))


def outcomes(folder: Path = Path(), limit: int | None = None, **options: Any) -> list[Example | Dropped]:
    return list(FromTopics(**options).run((), context(folder, limit=limit)))


def kept(*args: Any, **options: Any) -> list[Example]:
    return [row for row in outcomes(*args, **options) if isinstance(row, Example)]


def topics(rows: list[Example]) -> Counter[str]:
    return Counter(given_to(row)["topic"] for row in rows)


def test_each_topic_is_a_row_without_a_document_that_prompts_read_by_its_name() -> None:
    rows = kept(topics=["tides", "tax law"], language="de", task="sts")
    assert topics(rows) == {"tides": 1, "tax law": 1}
    for row in rows:
        assert (row.query, row.positives, row.language, row.task, row.parents) == ("", (), "de", "sts", ())
    assert FromTopics(topics=["tides"]).gives(context()) == ["topic", "topic_path"]
    assert [given_to(row) for row in kept(topics=["tides"], makes="subject", separator="")] == [{"subject": "tides"}]
    assert FromTopics(topics=["tides"], makes="subject", separator="").gives(context()) == ["subject"]


def test_the_topic_itself_may_be_the_task() -> None:
    assert {row.task for row in kept(topics=["rank papers", "find code"], task="topic")} == {"rank papers", "find code"}


def test_a_topic_in_a_tree_gives_its_last_part_and_its_path(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TREE)
    found = {given_to(row)["topic_path"]: given_to(row)["topic"] for row in kept(tmp_path, file="./t.txt")}
    assert found["Science > Physics > Optics"] == "Optics"
    assert found["Cooking"] == "Cooking"
    (tmp_path / "odp.txt").write_text("Top/Science/Physics\n/Top//Arts/\n")
    found = {given_to(row)["topic_path"] for row in kept(tmp_path, file="odp.txt", separator="/")}
    assert found == {"Top/Science/Physics", "Top/Arts"}


def test_deeper_paths_are_cut_and_then_count_once(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TREE)
    found = outcomes(tmp_path, file="t.txt", most_depth=2)
    assert topics([row for row in found if isinstance(row, Example)]) == {"Physics": 1, "Biology": 1, "Cooking": 1}
    [gone] = [(row.reason, row.detail) for row in found if isinstance(row, Dropped)]
    told = "'Science > Physics > Waves' is 'Science > Physics', which is there already"
    assert gone == ("duplicate_topic", told)


@pytest.mark.parametrize(
    ("again", "is_same"),
    [
        ("  the TIDES ", True),
        ("the tides!", True),
        ("the tides", True),
        ("tides", False),
        ("C++", False),
        ("C#", False),
    ],
)
def test_a_topic_that_differs_in_case_space_or_punctuation_is_a_duplicate(again: str, is_same: bool) -> None:
    found = outcomes(topics=["The tides", "C", again])
    assert len(found) == 3
    assert [row.reason for row in found if isinstance(row, Dropped)] == ["duplicate_topic"] * is_same
    assert len({row.example.id if isinstance(row, Dropped) else row.id for row in found}) == 3


def test_the_order_of_the_topics_changes_nothing() -> None:
    names = [f"topic {n}" for n in range(30)] + ["Topic 3", "topic  3!", "topic 3"]
    first = sorted(map(repr, outcomes(topics=names, rows=50)))
    assert sorted(map(repr, outcomes(topics=names[::-1], rows=50))) == first
    assert len({row.id for row in kept(topics=names, rows=50)}) == 50


def test_rows_are_shared_out_by_weights_and_each_repeat_has_an_id_of_its_own() -> None:
    rows = kept(topics={"tides": 3, "bread": 1, "law": 1}, rows=8)
    assert topics(rows) == {"tides": 5, "bread": 2, "law": 1} or topics(rows) == {"tides": 5, "bread": 1, "law": 2}
    assert len({row.id for row in rows}) == 8
    more = kept(topics={"tides": 3, "bread": 1, "law": 1}, rows=80)
    assert {row.id for row in rows} < {row.id for row in more}  # earlier draws stay


def test_a_writer_is_asked_anew_for_each_repeat_of_a_topic() -> None:
    rows = kept(topics=["tides"], rows=20)
    assert len({first_sample(row) for row in rows}) == 20


def test_with_fewer_rows_than_topics_the_seed_draws_them_and_the_others_are_counted() -> None:
    counted: Counter[str] = Counter()
    ctx = Context(step="from_topics", count=lambda name, by=1: counted.update({name: int(by)}))
    names = [f"topic {n:03}" for n in range(200)]
    rows = list(FromTopics(topics=names, rows=20).run((), ctx))
    assert len(rows) == 20
    assert counted == {"topics_left_out": 180}
    other = FromTopics(topics=names, rows=20).run((), Context(step="from_topics", seed=8))
    assert {repr(row) for row in other} != {repr(row) for row in rows}


def test_a_limited_run_makes_so_many_rows() -> None:
    assert len(kept(limit=2, topics=["a", "b", "c"])) == 2
    assert len(kept(limit=2, topics={"a": 1, "b": 1}, rows=100)) == 2
    assert len(kept(limit=9, topics=["a", "b", "c"])) == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.txt", "tides\n\n  \nbread\n"),
        ("t.csv", "id,topic\n1,tides\n2,bread\n"),
        ("t.jsonl", '{"id": 1, "Topic": "tides"}\n{"id": 2, "Topic": "bread"}\n'),
        ("t.parquet", ""),
    ],
)
def test_a_file_of_any_kind_holds_topics(name: str, content: str, tmp_path: Path) -> None:
    if content:
        (tmp_path / name).write_text(content)
    else:
        pq.write_table(pa.table({"topic": ["tides", "bread"], "id": [1, 2]}), tmp_path / name)
    assert topics(kept(tmp_path, file=name)) == {"tides": 1, "bread": 1}
    assert topics(kept(tmp_path, file=name, topics=["law"])) == {"tides": 1, "bread": 1, "law": 1}


def test_a_line_that_cannot_be_read_is_dropped_and_strictly_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"topic": "tides"}\nnot json\n{"topic": 7}\n{"topic": " "}\n')
    found = [(row.reason, row.detail) for row in outcomes(tmp_path, file="t.jsonl") if isinstance(row, Dropped)]
    assert [reason for reason, _ in found] == ["unreadable_row"] * 3
    assert [detail[:13] for _, detail in found] == ["t.jsonl:2: no", "t.jsonl:3: no", "t.jsonl:4: no"]
    with pytest.raises(CorpusError, match=r"t.jsonl:2: not JSON.*without --strict"):
        list(FromTopics(file="t.jsonl").run((), context(tmp_path, strict=True)))


def test_the_content_that_is_read_is_the_files(tmp_path: Path) -> None:
    assert FromTopics(topics=["a"]).content_read(context(tmp_path)) == ""
    (tmp_path / "t.txt").write_text("tides\n")
    before = FromTopics(file="t.txt").content_read(context(tmp_path))
    (tmp_path / "t.txt").write_text("bread\n")
    assert FromTopics(file="t.txt").content_read(context(tmp_path)) not in ("", before)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "no topics: name some in `topics`, or a `file`"),
        ({"topics": {"tides": 0}}, "a text with a weight above 0, not 'tides': 0"),
        ({"topics": ["tides", " "]}, "a text with a weight above 0"),
        ({"topics": {"tides": 3, "bread": 1}}, "their weights share out `rows`"),
        ({"topics": ["a"], "column": "topic"}, "there is no `file` to have one"),
        ({"topics": ["a"], "makes": "query"}, "'query' is what every row has by itself"),
        ({"topics": ["a"], "makes": "The topic"}, "is no name"),
        ({"topics": ["a"], "language": "klingon"}, "'klingon' is no language"),
    ],
)
def test_options_that_do_not_fit_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FromTopics(**options)


RECIPE = "seed: 7\nsteps:\n  - {{use: from_topics, {options}}}\nexport: [dataset]\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("topics: []", ["step 1 (from_topics)", "no topics"]),
        ("topcs: [a]", ["topcs", "did you mean 'topics'"]),
        ("file: ./nowhere.txt", ["./nowhere.txt", "no such file"]),
        ("file: ./t.docx", ["t.docx", "a kind of file that is not read here"]),
        ("file: ./empty.txt", ["./empty.txt", "it holds nothing"]),
        ("file: ./t.csv", ["t.csv", "no column 'topic'", "subject, n", "set `column`"]),
        ("file: ./t.csv, column: subjct", ["no column 'subjct'", "did you mean 'subject'"]),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    options: str, words: list[str], synth: Synth, tmp_path: Path
) -> None:
    (tmp_path / "t.docx").write_bytes(b"")
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "t.csv").write_text("subject,n\ntides,1\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(options=options))
    assert_one_line(synth("run", "recipe.yaml", "--output", "run"), *words)
    assert not list(tmp_path.glob("run/*/kept.parquet"))


def test_topics_are_the_rows_of_a_run(synth: Synth, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TREE)
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(options="file: ./t.txt, most_depth: 2, rows: 7"))
    said = synth("run", "recipe.yaml", "--output", "run")
    assert "no row has a query" in said.err  # nothing was written about them yet
    step = RunFolder(tmp_path / "run").step("from_topics")
    assert topics(list(step.kept)).total() == 7
    assert step.mark["dropped"] == {"duplicate_topic": 1}
