"""bundle: which documents go together in one row, and what they are to it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from synth.retrieval import Corpus
from synth.stage import Context, RowList
from synth.stages.bundle import Bundle
from synth.types import Document, Dropped, Example, row_id
from tests import contracts as check
from tests.contracts import query_rows, source_rows
from tests.letters import embedder


def row(document: Document, **changes: Any) -> Example:
    plain = Example(id=row_id("from_test", 0, document.doc_id), positives=(document,))
    return replace(plain, **changes)


def rivers(count: int = 24) -> list[Example]:
    """Rows of documents about rivers, three pieces each of eight files, each file about a country."""
    return [
        row(
            Document(
                f"part{n} tells how river{n} crosses country{n % 3} and meets the sea near town{n} after {n} miles",
                f"file{n // 3}.md#{n % 3}",
                parent_id=f"file{n // 3}.md",
                language="en",
            )
        )
        for n in range(count)
    ]


def bundled(rows: Sequence[Example], said: list[str] | None = None, **options: Any) -> list[Any]:
    texts = [document.text for each in rows for document in each.positives]
    ctx = Context(
        step="bundle",
        seed=7,
        embedders={"words": embedder(texts or ["x"])},
        warn=(said if said is not None else []).append,
    )
    return list(Bundle.model_validate(options).run(RowList(rows), ctx))


def ids(documents: Sequence[Document]) -> list[str]:
    return [document.doc_id for document in documents]


@pytest.mark.parametrize("options", [{}, {"of": "siblings"}, {"of": "random", "place": "negatives"}])
def test_every_row_is_settled_and_their_order_changes_nothing(options: dict[str, Any]) -> None:
    stage = Bundle.model_validate(options)
    for rows in (source_rows(), query_rows(), rivers()):
        check.settles_every_row(stage, rows)
        check.order_changes_nothing(stage, rows)
        check.reasons_are_slugs(stage, rows)


def test_siblings_come_nearest_first_behind_the_rows_own_document() -> None:
    pieces = [row(Document(f"words of piece {n} and {n * n}", f"a.md#{n}", parent_id="a.md")) for n in range(12)]
    found = bundled(pieces, of="siblings", size=4)
    assert [each.id for each in found] == [each.id for each in pieces]
    assert ids(found[5].positives) == ["a.md#5", "a.md#4", "a.md#6", "a.md#3"]
    assert ids(found[0].positives) == ["a.md#0", "a.md#1", "a.md#2", "a.md#3"]
    assert ids(found[11].positives) == ["a.md#11", "a.md#10", "a.md#9", "a.md#8"]
    assert found[5].positives[1:] == tuple(pieces[n].positive for n in (4, 6, 3))
    assert found[5].meta["bundle"] == {"of": "siblings", "documents": ["a.md#4", "a.md#6", "a.md#3"]}


def test_a_row_without_siblings_is_dropped_or_kept_alone() -> None:
    rows = [*rivers(3), row(Document("alone", "b.md")), row(Document("alone too", "c.md"))]
    fates = bundled(rows, of="siblings")
    assert [fate.reason for fate in fates if isinstance(fate, Dropped)] == ["alone", "alone"]
    assert bundled(rows, of="siblings", keep_alone=True)[3:] == rows[3:]


def test_too_few_are_told_and_kept() -> None:
    told: list[str] = []
    found = bundled(rivers(3), told, of="siblings", size=5)
    assert [len(each.positives) for each in found] == [3, 3, 3]
    assert told == ["3 rows got some and fewer than 4 more documents"]


@pytest.mark.parametrize(
    ("options", "name"), [({}, "bm25"), ({"retriever": "dense", "embedder": "words"}, "cosine")], ids=["bm25", "dense"]
)
def test_similar_ones_are_of_other_families_and_hard_negatives_by_design(options: dict[str, Any], name: str) -> None:
    rows = rivers()
    for each, before in zip(bundled(rows, place="negatives", size=3, **options), rows, strict=True):
        assert (each.id, each.positives) == (before.id, before.positives)
        assert len(each.negatives) == 2
        for document in each.negatives:
            assert document.parent_id != before.positive.parent_id
            assert (document.origin, set(document.scores)) == ("mined", {name})
            assert document.text.split()[4] == before.positive.text.split()[4], "of the same country"
        assert [document.meta["rank"] for document in each.negatives] == [1, 2]


def test_the_window_of_ranks_is_kept_to() -> None:
    rows = rivers()
    best = bundled(rows, place="negatives", size=6)
    later = bundled(rows, place="negatives", size=3, first_rank=3, last_rank=4)
    for one, other in zip(best, later, strict=True):
        assert ids(one.negatives)[2:4] == ids(other.negatives)
        assert [document.meta["rank"] for document in other.negatives] == [3, 4]


def test_as_positives_they_are_as_they_were() -> None:
    rows = rivers()
    known = {each.positive.doc_id: each.positive for each in rows}
    for each in bundled(rows, size=3):
        assert len(each.positives) == 3
        assert all(document == known[document.doc_id] for document in each.positives)


def test_random_ones_are_of_other_families_and_differ_from_row_to_row() -> None:
    rows = rivers()
    found = bundled(rows, of="random", size=3)
    pairs = {tuple(ids(each.positives[1:])) for each in found}
    assert len(pairs) > 18
    assert all(len({document.parent_id for document in each.positives[1:]} | {"x"}) >= 2 for each in found)
    assert not any(each.positive.parent_id in {d.parent_id for d in each.positives[1:]} for each in found)


@pytest.mark.parametrize("of", ["similar", "random"])
def test_nearly_the_same_text_another_language_and_what_a_row_has_are_left_out(of: str) -> None:
    base = "the long river crosses the country and meets the sea near the old town after many miles of fields"
    rows = [
        row(Document(base, "a", language="en")),
        row(Document(base + ".", "b", language="en")),
        row(Document("the river " + base[::-1], "c", language="de")),
        row(Document("a river of another country that meets the same old town", "d", language="en")),
    ]
    found = bundled(rows, of=of, size=4, keep_alone=True)
    assert [ids(each.positives) for each in found] == [["a", "d"], ["b", "d"], ["c"], [*ids(found[3].positives)]]
    assert "c" not in ids(found[3].positives)


def test_among_the_corpus_pieces_are_found_that_no_other_row_of_the_step_has() -> None:
    rows = rivers()
    held = Corpus([each.positive for each in rows])
    ctx = Context(step="bundle", corpus_of=lambda: held)
    stage = Bundle(of="siblings", size=3, among="corpus")
    [fate] = stage.run(RowList(rows[4:5]), ctx)
    assert isinstance(fate, Example)
    assert ids(fate.positives) == ["file1.md#1", "file1.md#0", "file1.md#2"]
    assert stage.reads_corpus()
    assert not Bundle().reads_corpus()


def test_rows_with_a_query_or_without_a_document_pass_and_lend_nothing() -> None:
    rows = rivers(3)
    asked = replace(rows[1], query="when?")
    bare = Example(id="bare")
    found = bundled([rows[0], asked, bare, rows[2]], of="siblings", size=3)
    assert found[1:3] == [asked, bare]
    assert ids(found[0].positives) == ["file0.md#0", "file0.md#2"]


def test_a_document_that_a_model_wrote_stays_written() -> None:
    rows = [replace(each, positives=(replace(each.positive, origin="written"),)) for each in rivers()]
    assert {d.origin for each in bundled(rows, place="negatives") for d in each.negatives} == {"written"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retriever": "dense"}, "retriever: dense needs an embedder"),
        ({"embedder": "words"}, "retriever: bm25 asks none"),
        ({"of": "siblings", "first_rank": 2}, "first_rank is for `of: similar`"),
        ({"size": 5, "last_rank": 3}, "last_rank must leave room for 4 documents, not only ranks 1 to 3"),
        ({"of": "siblings", "place": "negatives"}, "siblings are never each other's negatives"),
        ({"size": 1}, "greater than or equal to 2"),
    ],
)
def test_options_that_do_not_go_together_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Bundle.model_validate(options)


def test_what_later_steps_ask_about_is_forecast() -> None:
    assert (Bundle(size=4).finds(), Bundle(size=4, place="negatives").finds()) == (0, 3)
    assert Bundle(retriever="dense", embedder="words").embedders_used() == ["words"]
