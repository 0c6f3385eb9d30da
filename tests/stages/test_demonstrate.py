"""demonstrate: rows that have queries are shown to the writer of those that have none."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from synth.stage import Context, RowList
from synth.stages.demonstrate import Demonstrate
from synth.types import Document, Example
from synth.values import given_to
from tests.conftest import Synth

LANGUAGES = {"de": "Deutsch", "sw": "Kiswahili", "th": "ไทย"}


def plain(name: str, language: str = "de", **more: Any) -> Example:
    """A row that waits for a query."""
    document = Document(f"text of {name}", doc_id=name, title=f"title of {name}", **more)
    return Example(id=name, positives=(document,), language=language)


def asked(name: str, language: str = "de", tags: frozenset[str] = frozenset(), **more: Any) -> Example:
    """A row that has one."""
    return replace(plain(name, language, **more), query=f"query of {name}", tags=tags)


FEW = [asked(f"{language}{n}", language) for language in LANGUAGES for n in range(6)]


def given(rows: Iterable[Example], warned: list[str] | None = None, **options: Any) -> dict[str, list[dict[str, str]]]:
    """The examples of each row that got some, by its id."""
    ctx = Context(step="demonstrate", seed=5, warn=[].append if warned is None else warned.append)
    found = list(Demonstrate(**options).run(RowList(rows), ctx))
    assert all(isinstance(row, Example) for row in found)
    return {row.id: given_to(row)["examples"] for row in found if isinstance(row, Example) and given_to(row)}


def test_a_row_without_a_query_gets_examples_of_its_language_first() -> None:
    rows = [plain("a", "sw"), plain("b", "th-TH"), plain("c", "fi")]
    found = given([*FEW, *rows], shots=6)
    assert {line["language"] for line in found["a"]} == {"sw"}
    assert {line["language"] for line in found["b"]} == {"th"}
    assert len({line["query"] for line in found["c"]}) == 6
    assert {line["language"] for line in given([*FEW, *rows], shots=7)["a"]} > {"sw"}


def test_an_example_is_a_document_with_its_query() -> None:
    found = given([asked("nile"), plain("a")])
    expected = {"document": "text of nile", "title": "title of nile", "query": "query of nile", "language": "de"}
    assert found == {"a": [expected]}


def test_rows_that_have_a_query_pass_as_they_are() -> None:
    ctx = Context(step="demonstrate", seed=5)
    found = list(Demonstrate().run(RowList([*FEW, plain("a")]), ctx))
    assert found[: len(FEW)] == FEW
    assert [replace(row, meta={}) for row in found[len(FEW) :] if isinstance(row, Example)] == [plain("a")]


def test_there_are_so_many_sets_and_rows_of_one_see_the_same() -> None:
    rows = [plain(f"r{n}") for n in range(200)]
    for sets in (1, 3):
        found = given([*FEW, *rows], sets=sets, shots=3)
        assert len({str(lines) for lines in found.values()}) == sets


@pytest.mark.parametrize(
    ("few", "row", "queries"),
    [
        ([asked("a"), asked("b")], plain("a"), {"query of b"}),
        ([asked("x1", parent_id="x"), asked("b")], plain("x2", parent_id="x"), {"query of b"}),
        ([asked("a"), replace(asked("a"), id="a2", query="another")], plain("z"), {"query of a", "another"}),
        ([asked("a", tags=frozenset({"shown"})), asked("b")], plain("z"), {"query of a"}),
        ([replace(asked("a"), positives=()), asked("b")], plain("z"), {"query of b"}),
    ],
    ids=["its own document", "a piece of its own document", "two of one document", "without the tag", "no document"],
)
def test_what_is_no_example_for_a_row(few: list[Example], row: Example, queries: set[str]) -> None:
    tag = "shown" if any(each.tags for each in few) else ""
    [lines] = given([*few, row], from_tag=tag, sets=1).values()
    assert len(lines) == 1
    assert {line["query"] for line in lines} <= queries


def test_a_row_whose_own_query_would_be_shown_gets_the_next_one() -> None:
    found = given([asked("a"), asked("b"), plain("a"), plain("b")], shots=1, sets=1)
    assert {name: lines[0]["query"] for name, lines in found.items()} == {"a": "query of b", "b": "query of a"}


@pytest.mark.parametrize("few", [[], [asked("a")]], ids=["nobody has a query", "only one about the same document"])
def test_a_row_for_which_there_are_no_examples_passes_and_is_told(few: list[Example]) -> None:
    warned: list[str] = []
    assert given([*few, plain("a")], warned) == {}
    assert warned == ["demonstrate: 1 rows got no examples: no row has a query to show them"]


def test_a_cheap_writer_reads_what_a_strong_one_wrote(synth: Synth, tmp_path: Path) -> None:
    texts = [f"The river number {n} rises in the hills of county {n} and floods each summer." for n in range(6)]
    (tmp_path / "docs").mkdir()
    for n, text in enumerate(texts):
        (tmp_path / "docs" / f"{n}.txt").write_text(text)
    (tmp_path / "strong.jsonl").write_text('{"when": "river number", "reply": {"query": "a question of the strong"}}\n')
    cheap = (
        '{"when": ["a question of the strong", "river number"], "reply": {"query": "a question of the cheap one"}}\n'
    )
    (tmp_path / "cheap.jsonl").write_text(cheap)
    (tmp_path / "r.yaml").write_text(RECIPE)
    assert synth("run", tmp_path / "r.yaml", "--output", tmp_path / "out").code == 0
    rows = pq.read_table(tmp_path / "out" / "04-many" / "kept.parquet").to_pylist()
    wrote = Counter(row["query"] for row in rows)
    assert wrote == {"a question of the strong": 2, "a question of the cheap one": 4}


RECIPE = """
corpus: ./docs
backends: {strong: {use: scripted, replies: strong.jsonl}, writer: {use: scripted, replies: cheap.jsonl}}
steps:
  - {use: from_corpus, language: en}
  - {use: stratify, rows: 2, tag: shown}
  - {use: generate, name: few, backend: strong, where: {tag: shown}}
  - {use: demonstrate, shots: 1, from_tag: shown}
  - {use: generate, name: many, prompt: promptagator/query, where: {without_tag: shown}}
"""
