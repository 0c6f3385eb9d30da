"""Queries cut out of documents by rule."""

import random
from typing import Any

import pytest
from pydantic import ValidationError

from synth.stage import Context
from synth.stages.extract import Extract
from synth.types import Document, Dropped, Example, row_id
from tests.contracts import source_rows

NILE = Document(
    "The Nile floods each summer in Egypt. Its black silt feeds the fields.\n\nDams ended all of that in 1970.",
    doc_id="nile",
    title="The Nile",
    parent_id="rivers",
    language="en",
)


def row_of(document: Document) -> Example:
    return Example(id=row_id("from_test", 0, document.text), positives=(document,), language=document.language)


def cut(document: Document, seed: int = 1, **options: Any) -> list[Example | Dropped]:
    ctx = Context(step="extract", seed=seed)
    return list(Extract.model_validate(options).run([row_of(document)], ctx))


def kept(document: Document, **options: Any) -> list[Example]:
    rows = cut(document, **options)
    assert all(isinstance(row, Example) for row in rows)
    return [row for row in rows if isinstance(row, Example)]


def test_a_title_asks_for_the_text_without_it() -> None:
    [row] = kept(NILE, rules=["title"])
    assert (row.query, row.positive.title, row.positive.text) == ("The Nile", "", NILE.text)
    assert row.meta["rule"] == "title"


def test_a_cloze_sentence_is_gone_from_the_positive_that_is_trained_on() -> None:
    rows = kept(NILE, rules=["sentence"], left_in=0, per_document=3)
    assert {row.query for row in rows} == {
        "The Nile floods each summer in Egypt.",
        "Its black silt feeds the fields.",
        "Dams ended all of that in 1970.",
    }
    for row in rows:
        assert row.query not in row.positive.text
        assert row.positive.title == "The Nile"
        assert row.tags == frozenset()
    [middle] = [row for row in rows if "silt" in row.query]
    assert middle.positive.text == "The Nile floods each summer in Egypt.\n\nDams ended all of that in 1970."


def test_one_cloze_sentence_in_ten_stays_and_says_so() -> None:
    texts = [
        f"{' '.join(f'w{n}x{i}' for i in range(6))}. {' '.join(f'v{n}x{i}' for i in range(6))}." for n in range(600)
    ]
    rows = [row for text in texts for row in kept(Document(text, text[:9]), rules=["sentence"], per_document=1)]
    left_in = [row for row in rows if row.query in row.positive.text]
    assert 0.06 < len(left_in) / len(rows) < 0.14
    assert all(("left_in" in row.tags) == (row.query in row.positive.text) for row in rows)


def test_a_span_is_a_run_of_words_of_a_sentence_that_is_cut_out() -> None:
    for row in kept(NILE, rules=["span"], left_in=0, per_document=10):
        assert row.query in NILE.text
        assert row.query not in row.positive.text
        assert len(row.positive.text) < len(NILE.text) - 25


def test_a_crop_and_keywords_leave_the_document_whole() -> None:
    for row in kept(NILE, rules={"crop": 1, "keywords": 2}, per_document=20):
        assert row.positive == NILE
        assert ("left_in" in row.tags) == (row.meta["rule"] == "crop")
        if row.meta["rule"] == "keywords":
            assert set(row.query.split()) <= set(NILE.text.replace(".", " ").split())
            assert 2 <= len(row.query.split()) <= 5


def test_children_keep_the_document_s_names_and_their_parent_row() -> None:
    source = row_of(NILE)
    rows = kept(NILE, per_document=5)
    assert len({row.id for row in rows}) == len({row.query for row in rows}) == len(rows)
    for row in rows:
        assert (row.positive.doc_id, row.positive.parent_id, row.language) == ("nile", "rivers", "en")
        assert row.parents == (source.id,)


def test_there_are_never_more_queries_than_asked_for_and_the_title_comes_first() -> None:
    assert [row.query for row in kept(NILE, per_document=1)] == ["The Nile"]
    assert len(kept(NILE, per_document=4)) == 4


@pytest.mark.parametrize(
    "document",
    [
        Document(""),
        Document("   \n"),
        Document("One sentence alone has nothing to be cut out of."),
        Document("Too short. So short."),
        Document("All that is left of this document when the sentence is gone are stars. *** ***"),
        Document("--- ... !!! ???? ---- **** ----- ////", title="***"),
        Document("", title="A title with no text"),
    ],
)
def test_a_document_that_gives_no_query_is_dropped_with_a_reason(document: Document) -> None:
    [dropped] = cut(document, left_in=0)
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "nothing_to_extract"


def test_a_row_without_a_document_is_dropped() -> None:
    [dropped] = Extract().run([Example(id="a")], Context(step="extract"))
    assert isinstance(dropped, Dropped)


def test_every_script_gives_queries_from_every_rule() -> None:
    for rule in ("sentence", "span", "crop", "keywords"):
        options = {"rules": [rule], "least": 10}
        rows = [row for source in source_rows() for row in kept(source.positive, **options)]
        assert {row.positive.doc_id for row in rows} == {source.positive.doc_id for source in source_rows()}


def test_rows_are_the_same_in_any_order_and_others_with_another_seed() -> None:
    rows = source_rows()
    forward = list(Extract().run(rows, Context(step="extract", seed=3)))
    shuffled = random.Random(1).sample(rows, len(rows))
    backward = list(Extract().run(shuffled, Context(step="extract", seed=3)))
    assert sorted(map(repr, forward)) == sorted(map(repr, backward))
    other = list(Extract().run(rows, Context(step="extract", seed=4)))
    assert sorted(map(repr, forward)) != sorted(map(repr, other))


def test_a_sentence_that_stands_twice_is_cut_where_it_was_drawn() -> None:
    twice = Document(
        "The same long sentence stands here. Another one is in between. The same long sentence stands here."
    )
    for row in kept(twice, rules=["sentence"], left_in=0, per_document=9):
        assert row.positive.text.count(row.query) == twice.text.count(row.query) - 1


def test_a_very_long_sentence_gives_no_longer_query_than_sixty_four_words() -> None:
    endless = Document("First comes this sentence. " + "word " * 500 + "end.")
    for row in kept(endless, per_document=20):
        assert len(row.query.split()) <= 64


@pytest.mark.parametrize("options", [{"rules": {}}, {"rules": ["poem"]}, {"rules": {"span": 0}}, {"per_document": 0}])
def test_options_out_of_bounds_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Extract.model_validate(options)
