"""What consistency keeps and drops."""

import random
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from synth.filters.consistency import Consistency
from synth.retrieval import Corpus
from synth.stage import Context, RowList
from synth.types import Document, Dropped, Example
from tests.letters import embedder

TOPICS = ("river", "kettle", "bicycle", "museum", "volcano", "orchid", "glacier", "violin")


def documents(per_topic: int = 20) -> list[Document]:
    """Twenty documents on each topic; each has two sentences, and words that only the document has."""
    return [
        Document(
            f"the {topic} named {topic}{n} is old and famous. people visit {topic}{n} in month{n} every year.",
            doc_id=f"{topic}-{n}",
            parent_id=f"{topic}-{n}",
            language="en",
        )
        for topic in TOPICS
        for n in range(per_topic)
    ]


def context(corpus: list[Document], said: list[str] | None = None) -> Context:
    """A context over these documents, with the tiny embedder under the name of `words`."""
    held = Corpus(corpus)
    model = embedder([document.text for document in corpus] or ["x"])
    return Context(embedders={"words": model}, corpus_of=lambda: held, warn=(said if said is not None else []).append)


def row(document: Document, query: str, text: str = "") -> Example:
    return Example(
        id=f"{document.doc_id} {query}", query=query, positives=(replace(document, text=text or document.text),)
    )


def kept(outcomes: list[Example | Dropped]) -> list[str]:
    assert all(o.reason == "inconsistent" for o in outcomes if isinstance(o, Dropped))
    return [o.query for o in outcomes if isinstance(o, Example)]


@pytest.mark.parametrize("retriever", ["bm25", "dense", "fused"])
def test_a_query_its_positive_answers_stays_and_one_that_others_answer_goes(retriever: str) -> None:
    corpus = documents()
    right = row(corpus[3], "when do people visit river3 in month3")
    wrong = row(corpus[3], "kettle7 kettle month7")
    step = Consistency(retriever=retriever, embedder="" if retriever == "bm25" else "words", most_rank=5)
    assert kept(list(step.run(RowList([right, wrong]), context(corpus)))) == [right.query]


def test_a_cloze_query_is_judged_by_the_text_it_was_cut_out_of_not_by_the_uncut_document() -> None:
    corpus = documents()
    first, second = corpus[3].text.split(". ")
    useless = row(corpus[3], first, "nothing to do with it.")
    linked = row(corpus[3], first, second)
    outcomes = list(Consistency(most_rank=3).run(RowList([useless, linked]), context(corpus)))
    assert isinstance(outcomes[0], Dropped)
    assert isinstance(outcomes[1], Example)


def test_siblings_of_the_positive_are_no_rivals() -> None:
    parts = [Document("brook3 is old", doc_id=f"part{n:02}", parent_id="whole") for n in range(30)]
    rest = row(parts[29], "is brook3 old", "brook3 is a long old river")
    assert kept(list(Consistency(most_rank=1).run(RowList([rest]), context([*parts, *documents()])))) == [rest.query]
    strangers = [replace(part, parent_id="") for part in parts]
    assert kept(list(Consistency(most_rank=1).run(RowList([rest]), context([*strangers, *documents()])))) == []


def test_the_rank_and_the_score_are_kept_and_told() -> None:
    corpus = documents()
    good, bad = row(corpus[3], "visit river3"), row(corpus[3], "river kettle7", "an old river")
    outcomes = list(Consistency(most_rank=1).run(RowList([good, bad]), context(corpus)))
    assert isinstance(outcomes[0], Example)
    assert outcomes[0].meta["ranks"] == {"bm25": 1}
    assert outcomes[0].positive.scores["bm25"] > 1
    assert isinstance(outcomes[1], Dropped)
    assert outcomes[1].detail == f"rank {outcomes[1].example.meta['ranks']['bm25']}, at most 1 expected"
    fused = Consistency(retriever="fused", embedder="words").run(RowList([good]), context(corpus))
    (outcome,) = fused
    assert isinstance(outcome, Example)
    assert set(outcome.meta["ranks"]) == {"bm25", "cosine", "fused"}
    assert set(outcome.positive.scores) == {"bm25", "cosine"}


def test_a_positive_that_shares_no_word_with_its_query_goes() -> None:
    corpus = documents()
    (outcome,) = Consistency(most_rank=100).run(RowList([row(corpus[0], "zzz")]), context(corpus))
    assert isinstance(outcome, Dropped)
    assert outcome.detail == "no rank within 100, at most 100 expected"


def test_written_positives_are_ranked_as_if_they_stood_in_the_corpus() -> None:
    written = Document("visit the lighthouse at dawn", origin="written")
    outcomes = list(Consistency(most_rank=1).run(RowList([row(written, "lighthouse at dawn")]), context(documents())))
    assert kept(outcomes) == ["lighthouse at dawn"]


@pytest.mark.parametrize("retriever", ["bm25", "fused"])
def test_the_order_of_rows_and_documents_changes_nothing(retriever: str) -> None:
    corpus = documents()
    rows = [row(document, f"{document.doc_id.split('-')[n % 2]} month{n % 20}") for n, document in enumerate(corpus)]
    step = Consistency(retriever=retriever, embedder="words", most_rank=1)
    first = {repr(o) for o in step.run(RowList(rows), context(corpus))}
    assert 0 < len([o for o in first if o.startswith("Dropped")]) < len(rows)
    dice = random.Random(2)
    again = step.run(RowList(dice.sample(rows, len(rows))), context(dice.sample(corpus, len(corpus))))
    assert {repr(o) for o in again} == first


def test_rows_without_a_query_or_a_positive_pass_untouched() -> None:
    fresh = [row(documents()[0], ""), Example(id="bare", query="visit river3")]
    assert list(Consistency().run(RowList(fresh), context(documents()))) == fresh


def test_an_empty_corpus_is_told_and_drops_nothing() -> None:
    said: list[str] = []
    rows = [row(documents()[0], "zzz")]
    assert list(Consistency().run(RowList(rows), context([], said))) == rows
    assert said == ["consistency: the corpus is empty, so every row passed unchecked"]


def written(text: str, **more: Any) -> Document:
    return Document(text, doc_id=f"written-{text}", origin="written", **more)


def test_among_rows_a_positive_competes_with_the_documents_of_its_task_and_with_no_others() -> None:
    found, lost = written("the kettle boils at dawn"), written("tea is made at noon")
    rows = [
        Example(id="a", task="search", query="when does the kettle boil", positives=(found,), negatives=(lost,)),
        Example(id="b", task="search", query="the kettle at dawn", positives=(lost,)),
        Example(id="c", task="labels", query="the kettle boils at dawn", positives=(written("a boil"),)),
    ]
    outcomes = list(Consistency(most_rank=1, among="rows").run(RowList(rows), context([])))
    assert {o.id for o in outcomes if isinstance(o, Example)} == {"a", "c"}
    assert [o.detail for o in outcomes if isinstance(o, Dropped)] == ["rank 2, at most 1 expected"]
    assert Consistency().reads_corpus()
    assert not Consistency(among="rows").reads_corpus()


def test_dense_and_fused_need_an_embedder() -> None:
    with pytest.raises(ValidationError, match="retriever: dense needs an embedder"):
        Consistency(retriever="dense")
    assert Consistency(retriever="fused", embedder="words").embedders_used() == ["words"]
    assert Consistency(embedder="words").embedders_used() == []
    assert Consistency.default_where == {"cross_lingual": False}
