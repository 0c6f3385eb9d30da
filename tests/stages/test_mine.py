"""What mine finds, and what it never takes for a negative."""

import random
from dataclasses import replace

import pytest
from pydantic import ValidationError

from synth.retrieval import Corpus
from synth.stage import Context, RowList
from synth.stages.mine import Mine
from synth.types import Document, Example
from tests.letters import embedder


def rivers(count: int = 40) -> list[Document]:
    """Documents that are all about rivers, each with a name of its own and one of eight countries."""
    return [
        Document(
            f"the river number{n} crosses country{n % 8} and meets the sea near town{n} after {n} miles",
            doc_id=f"r{n:02}",
            parent_id=f"r{n:02}",
            language="en",
            meta={"page": n},
        )
        for n in range(count)
    ]


def context(corpus: list[Document], said: list[str] | None = None) -> Context:
    """A context over these documents, with the tiny embedder under the name of `words`."""
    held = Corpus(corpus)
    model = embedder([document.text for document in corpus] or ["x"])
    return Context(
        step="mine", embedders={"words": model}, corpus_of=lambda: held, warn=(said if said is not None else []).append
    )


def row(positive: Document, query: str = "which river crosses country3", born: str = "a") -> Example:
    return Example(id=born, query=query, positives=(positive,))


def mined(rows: list[Example], ctx: Context, **options: object) -> list[Example]:
    outcomes = list(Mine.model_validate(options).run(RowList(rows), ctx))
    found = [o for o in outcomes if isinstance(o, Example)]
    assert len(found) == len(rows)
    return found


def ids(row: Example) -> list[str]:
    return [document.doc_id for document in row.negatives]


WITH = {"bm25": {}, "dense": {"embedder": "words"}, "fused": {"embedder": "words"}}
NAMES = {"bm25": "bm25", "dense": "cosine", "fused": "rrf"}


@pytest.mark.parametrize("retriever", ["bm25", "dense", "fused"])
def test_negatives_are_the_best_ranked_of_other_families_and_keep_id_rank_and_score(retriever: str) -> None:
    corpus = rivers()
    (found,) = mined([row(corpus[3])], context(corpus), retriever=retriever, negatives=4, **WITH[retriever])
    assert len(found.negatives) == 4
    assert {document.doc_id for document in found.negatives} == {"r11", "r19", "r27", "r35"}
    assert [document.meta["rank"] for document in found.negatives] == [1, 2, 3, 4]
    assert all(set(document.scores) == {NAMES[retriever]} for document in found.negatives)
    assert all(
        document.origin == "mined" and document.meta["page"] == int(document.doc_id[1:]) for document in found.negatives
    )
    assert found.positives == (corpus[3],)


def test_siblings_and_the_whole_document_are_never_negatives() -> None:
    parts = [replace(document, parent_id="whole") for document in rivers(16)]
    others = [replace(document, doc_id=f"x{document.doc_id}") for document in rivers(40)[16:]]
    (found,) = mined([row(parts[3])], context([*parts, *others]), negatives=10)
    assert len(found.negatives) == 10
    assert all(document.doc_id.startswith("x") for document in found.negatives)
    whole = Document("which river crosses country3", doc_id="whole")
    (found,) = mined([row(parts[3])], context([whole, *parts, *others]), negatives=10)
    assert "whole" not in ids(found)


@pytest.mark.parametrize(
    "copy",
    [
        "the river number3 crosses country3 and meets the sea near town3 after 3 miles",
        "The river Number3 crosses Country3, and meets the sea near Town3 after 3 miles!",
        "the river number3 crosses country3 and meets the sea near town3 after 30 miles",
    ],
)
def test_the_same_text_and_a_near_duplicate_are_never_negatives(copy: str) -> None:
    corpus = [*rivers(), Document(copy, doc_id="copy")]
    (found,) = mined([row(rivers()[3])], context(corpus))
    assert "copy" not in ids(found)
    assert len(found.negatives) == 5


def test_a_copy_of_the_document_that_the_positive_was_cut_from_is_no_negative() -> None:
    corpus = [*rivers(), replace(rivers()[3], doc_id="copy", parent_id="copy")]
    cut = replace(rivers()[3], text="number3 is long")
    (found,) = mined([row(cut)], context(corpus))
    assert "copy" not in ids(found)


def test_another_rows_positive_for_the_same_query_is_no_negative() -> None:
    corpus = rivers()
    rows = [
        row(corpus[3]),
        row(corpus[11], "Which river crosses country3?", "b"),
        row(corpus[19], "something else", "c"),
    ]
    first, second, _ = mined(rows, context(corpus))
    assert {"r03", "r11"}.isdisjoint(ids(first) + ids(second))
    assert {"r19", "r27", "r35"} <= set(ids(first))


def test_a_negative_the_row_has_already_stays_and_comes_once() -> None:
    corpus = rivers()
    written = Document("a written one", origin="written")
    before = replace(row(corpus[3]), negatives=(written, replace(corpus[11], text="as it was")))
    (found,) = mined([before], context(corpus), negatives=3)
    assert found.negatives[:2] == before.negatives
    assert sorted(ids(found)) == ["", "r11", "r19", "r27", "r35"]


def test_the_same_text_comes_once_among_the_negatives() -> None:
    corpus = [*rivers(), replace(rivers()[11], doc_id="r11b", parent_id="r11b")]
    (found,) = mined([row(corpus[3])], context(corpus), negatives=4)
    assert len({"r11", "r11b"} & set(ids(found))) == 1


def test_the_window_leaves_out_better_and_worse_ranks() -> None:
    corpus = rivers()
    (every,) = mined([row(corpus[3])], context(corpus), last_rank=8, negatives=8)
    (found,) = mined([row(corpus[3])], context(corpus), first_rank=3, last_rank=5, negatives=3)
    assert [document.meta["rank"] for document in found.negatives] == [3, 4, 5]
    assert ids(found) == ids(every)[2:5]


@pytest.mark.parametrize("margin", [{"relative_margin": 0.3}, {"absolute_margin": 0.25}])
def test_a_margin_keeps_negatives_below_the_positive(margin: dict[str, float]) -> None:
    corpus = rivers()
    ctx = context(corpus)
    one = row(corpus[3], "river number3 crosses country3")
    own = float(ctx.corpus.dense(ctx.embedder("words")).score([one.query], [corpus[3]])[0])
    bound = own * 0.7 if "relative_margin" in margin else own - 0.25
    options = {"retriever": "dense", "embedder": "words", "negatives": 20}
    (free,) = mined([one], ctx, **options)
    (bound_by,) = mined([one], ctx, **options, **margin)
    assert any(document.scores["cosine"] > bound for document in free.negatives)
    assert all(document.scores["cosine"] <= bound + 1e-5 for document in bound_by.negatives)
    assert bound_by.negatives[0].meta["rank"] > 1


def test_a_row_that_finds_too_few_keeps_what_it_found_and_the_count_is_told() -> None:
    corpus = rivers()
    said: list[str] = []
    rows = [row(corpus[3], born="a"), row(corpus[4], "number5", "b"), row(corpus[4], "zzz", "c")]
    found = mined(rows, context(corpus, said), negatives=5)
    assert [len(each.negatives) for each in found] == [5, 1, 0]
    assert said == ["mine: 2 of 3 rows got fewer than 5 negatives, 1 of them none"]


def test_nothing_is_told_where_every_row_has_enough() -> None:
    said: list[str] = []
    mined([row(rivers()[3])], context(rivers(), said))
    assert said == []


def test_rows_without_a_query_or_a_positive_pass_untouched() -> None:
    rows = [row(rivers()[0], ""), Example(id="bare", query="which river crosses country3")]
    assert mined(rows, context(rivers())) == rows


def test_an_empty_corpus_gives_no_negatives_and_says_so() -> None:
    said: list[str] = []
    rows = [row(rivers()[0])]
    assert mined(rows, context([], said)) == rows
    assert said == ["mine: 1 of 1 rows got fewer than 5 negatives, 1 of them none"]


@pytest.mark.parametrize("retriever", ["bm25", "fused"])
def test_the_order_of_rows_and_documents_changes_nothing(retriever: str) -> None:
    corpus = rivers()
    rows = [row(document, f"river near town{n} country{n % 5}", f"{n:02}") for n, document in enumerate(corpus)]
    first = {repr(each) for each in mined(rows, context(corpus), retriever=retriever, **WITH[retriever])}
    dice = random.Random(4)
    shuffled = mined(dice.sample(rows, 40), context(dice.sample(corpus, 40)), retriever=retriever, **WITH[retriever])
    assert {repr(each) for each in shuffled} == first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retriever": "dense"}, "retriever: dense needs an embedder"),
        ({"retriever": "fused", "embedder": "m", "relative_margin": 0.05}, "relative_margin compares cosines"),
        ({"relative_margin": 0.05}, "bm25 scores have no common scale"),
        ({"absolute_margin": 0.1}, "absolute_margin compares cosines"),
        ({"first_rank": 10, "last_rank": 12, "negatives": 5}, "last_rank must leave room for 5 negatives"),
        ({"negatives": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Mine.model_validate(options)


def test_only_what_is_asked_goes_into_the_key() -> None:
    assert Mine(retriever="dense", embedder="m").embedders_used() == ["m"]
    assert Mine(embedder="m").embedders_used() == []
    assert Mine().reads_corpus()


def test_among_rows_the_documents_of_the_rows_of_its_task_are_searched_and_stay_written() -> None:
    texts = [f"the river number{n} meets the sea near town{n}" for n in range(6)]
    rows = [
        Example(
            id=f"{task}{n}",
            task=task,
            query=f"which river meets the sea near town{n}",
            positives=(Document(text, f"{task}{n}", origin="written", relevance=0.9, scores={"bm25": 9.0}),),
        )
        for task in ("a", "b")
        for n, text in enumerate(texts)
    ]
    found = mined(rows, context([]), negatives=3, among="rows")
    assert all(negative.doc_id[0] == row.task for row in found for negative in row.negatives)
    assert all(len(row.negatives) == 3 and row.positive.doc_id not in ids(row) for row in found)
    assert {negative.origin for row in found for negative in row.negatives} == {"written"}
    assert {negative.relevance for row in found for negative in row.negatives} == {None}
    turned = mined(rows[::-1], context([]), negatives=3, among="rows")
    assert {row.id: ids(row) for row in turned} == {row.id: ids(row) for row in found}
    assert not Mine(among="rows").reads_corpus()
