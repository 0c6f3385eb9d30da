"""relabel: which documents of a row become its positive and its negatives."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from synth.stage import Context
from synth.stages.relabel import Relabel
from synth.types import Document, Dropped, Example

WORDS = ("ants", "boats", "cliffs", "dunes", "elms", "foxes", "gates", "hills", "inns", "jays", "kilns", "lakes")


def document(name: str, score: float | None, **more: Any) -> Document:
    """A document about nothing that another one is about; its score is called a."""
    scores = {} if score is None else {"a": score}
    text = more.pop("text", f"{name} and nothing but {name * 3}")
    return Document(text, doc_id=name, origin="mined", scores=scores | more.pop("scores", {}), **more)


def pool(*scores: float | None, own: float | None = 0.5, name: str = "r1") -> Example:
    """A row whose positive is `own`; each candidate is called by a word, in their order."""
    candidates = tuple(document(word, score) for word, score in zip(WORDS, scores, strict=False))
    positive = replace(document("own", own), origin="corpus")
    return Example(id=name, query="q", positives=(positive,), negatives=candidates, tags=frozenset({"pool", "kept"}))


def labelled(rows: Iterable[Example], **options: Any) -> list[Example | Dropped]:
    counts.clear()

    def count(name: str, by: float = 1) -> None:
        counts[name] = counts.get(name, 0) + by

    stage = Relabel.model_validate({"scores": "a", **options})
    return list(stage.run(rows, Context(step="relabel", seed=3, count=count)))


counts: dict[str, float] = {}


def chosen(row: Example, **options: Any) -> tuple[list[str], list[str]]:
    [found] = labelled([row], **options)
    assert isinstance(found, Example), found
    return [each.doc_id for each in found.positives], [each.doc_id for each in found.negatives]


TEN = (0.95, 0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1, 0.0)


@pytest.mark.parametrize(
    ("options", "positives", "negatives"),
    [
        ({"negatives": 1}, ["ants"], ["jays"]),
        ({"negatives": 3}, ["ants"], ["hills", "inns", "jays"]),
        ({"negatives": 3, "choose": "top"}, ["ants"], ["boats", "cliffs", "dunes"]),
        ({"negatives": 3, "least_negative": 0.15}, ["ants"], ["foxes", "gates", "hills"]),
        ({"negatives": 3, "choose": "quantiles"}, ["ants"], ["cliffs", "foxes", "inns"]),
        ({"negatives": 99, "choose": "quantiles"}, ["ants"], list(WORDS[1:10])),
        ({"negatives": 0}, ["ants"], []),
        ({"negatives": 2, "positive": "keep", "choose": "top"}, ["own"], ["ants", "boats"]),
        ({"negatives": 2, "positive": "keep", "choose": "top", "margin": 0.15}, ["own"], ["gates", "hills"]),
        ({"negatives": 2, "choose": "top", "relative_margin": 0.1}, ["ants"], ["cliffs", "dunes"]),
        ({"negatives": 1, "choose": "top", "margin": 0.1, "relative_margin": 0.2}, ["ants"], ["dunes"]),
        ({"negatives": 1, "promote": 0.8}, ["ants", "boats", "cliffs"], ["jays"]),
        ({"negatives": 1, "promote": 0.9, "positive": "keep"}, ["own", "ants", "boats"], ["jays"]),
        ({"negatives": 1, "promote": 0.45}, ["ants", "boats", "cliffs", "dunes", "elms", "own"], ["jays"]),
        ({"negatives": 1, "drop_rest": False, "margin": 0.7}, ["ants"], ["jays", "hills", "inns"]),
    ],
)
def test_the_positive_and_the_negatives_are_chosen_by_the_score(
    options: dict[str, Any], positives: list[str], negatives: list[str]
) -> None:
    assert chosen(pool(*TEN), **options) == (positives, negatives)


def test_the_chosen_keep_all_that_is_known_of_them_and_the_row_is_no_pool_any_more() -> None:
    before = pool(*TEN)
    [row] = labelled([before], negatives=1)
    assert isinstance(row, Example)
    assert (row.positive, row.negatives) == (before.negatives[0], before.negatives[9:10])
    assert row.tags == {"kept"}
    assert row.meta["relabel"] == {"candidates": 11, "positive_rank": 6}
    assert counts == {"positives changed": 1}
    assert (row.id, row.query) == (before.id, before.query)


def test_what_was_the_positive_is_never_a_negative() -> None:
    assert chosen(pool(0.9, 0.8, own=0.1), negatives=5) == (["ants"], ["boats"])
    assert chosen(pool(0.9, 0.8, own=None), negatives=5) == (["ants"], ["boats"])
    assert counts == {"positives changed": 1, "rows with too few negatives": 1}


def test_at_a_tie_the_positive_stays() -> None:
    assert chosen(pool(0.5, 0.5, 0.1), negatives=1) == (["own"], ["cliffs"])
    assert counts == {"positives kept": 1}


@pytest.mark.parametrize(
    "kin",
    [
        document("x", 0.1, parent_id="book"),
        document("x", 0.1, text="The own, and nothing: but ownownown"),
        document("x", 0.1, text="best and nothing but bestbestbest!"),
        replace(document("x", 0.1), doc_id="own"),
    ],
    ids=["a sibling of the positive", "a near copy of the old one", "a near copy of the new one", "its own copy"],
)
def test_what_is_kin_to_a_positive_is_no_negative(kin: Document) -> None:
    row = pool(0.3, own=0.2)
    best = document("best", 0.9, parent_id="book")
    row = replace(row, negatives=(best, *row.negatives, kin))
    assert chosen(row, negatives=5) == (["best"], ["ants"])


def test_documents_without_an_id_are_no_kin() -> None:
    written = [replace(document(word, score), doc_id="") for word, score in (("own", 0.9), ("elms", 0.2))]
    row = Example(id="r", query="q", positives=(written[0],), negatives=(written[1],))
    [found] = labelled([row])
    assert isinstance(found, Example)
    assert found.negatives == (written[1],)


def test_several_scores_are_fused_by_their_ranks() -> None:
    def both(name: str, a: float, b: float) -> Document:
        return document(name, a, scores={"b": b})

    # by a: own ants elms foxes; by b: ants own foxes elms. 1/61 + 1/62 for two of them, and the positive stays
    tied = Example(
        id="r",
        query="q",
        positives=(both("own", 0.9, -2),),
        negatives=(both("ants", 0.8, -1), both("elms", 0.7, -9), both("foxes", 0.6, -3)),
    )
    assert chosen(tied, scores=["a", "b"], negatives=2) == (["own"], ["elms", "foxes"])
    # a huge lead in one score is worth no more than a rank
    lead = replace(tied, negatives=(both("ants", 0.95, -1), both("elms", 0.1, 1000), both("foxes", 0.2, -3)))
    assert chosen(lead, scores=["a", "b"], negatives=2)[0] == ["ants"]
    # of which one has no rank in b
    lacking = replace(tied, negatives=(document("ants", 0.99), both("elms", 0.7, -9)))
    assert chosen(lacking, scores=["a", "b"]) == (["own"], ["elms"])


@pytest.mark.parametrize(
    ("row", "options", "reason", "detail"),
    [
        (pool(None, own=None), {}, "unscored", "no document of it has a"),
        (pool(0.3), {"scores": ["a", "b"]}, "unscored", "no document of it has a and b"),
        (Example(id="x"), {}, "unscored", "no document of it has a"),
        (pool(0.3, own=float("nan")), {"positive": "keep", "margin": 0.1}, "unscored", "its positive has no a"),
        (pool(0.3, own=None), {"positive": "keep", "least": 0.1}, "unscored", "its positive has no a to compare with"),
        (pool(0.3, own=0.2), {"least": 0.5}, "no_positive", "a 0.3, least is 0.5"),
        (pool(0.9, own=0.2), {"least": 0.5, "positive": "keep"}, "no_positive", "a 0.2, least is 0.5"),
        (replace(pool(0.9), positives=()), {"positive": "keep"}, "no_positive", "it has no positive to keep"),
    ],
)
def test_a_row_without_a_good_positive_is_dropped(
    row: Example, options: Mapping[str, Any], reason: str, detail: str
) -> None:
    [lost] = labelled([row], **options)
    assert isinstance(lost, Dropped)
    assert lost.example == row
    assert (lost.reason, lost.detail[: len(detail)]) == (reason, detail)
    assert counts == {}


def test_a_positive_without_a_score_stays_where_nothing_is_measured_against_it() -> None:
    assert chosen(pool(0.3, 0.2, own=None), positive="keep", negatives=1) == (["own"], ["boats"])


def test_a_row_without_a_positive_gets_one() -> None:
    row = replace(pool(0.3, 0.2), positives=())
    assert chosen(row, negatives=1) == (["ants"], ["boats"])
    assert counts == {"positives changed": 1}


def test_random_negatives_are_drawn_by_the_row_and_all_may_be() -> None:
    rows = [pool(*TEN, name=f"r{n}") for n in range(200)]
    options = {"choose": "random", "negatives": 2}
    first = labelled(rows, **options)
    assert sorted(map(repr, labelled(random.Random(1).sample(rows, 200), **options))) == sorted(map(repr, first))
    drawn = [tuple(each.doc_id for each in row.negatives) for row in first if isinstance(row, Example)]
    assert {name for pair in drawn for name in pair} == set(WORDS[1:10])
    assert all(WORDS.index(one) < WORDS.index(other) for one, other in drawn)


def test_the_share_of_changed_positives_is_told() -> None:
    labelled([pool(0.9, name="a"), pool(0.3, name="b"), pool(0.2, name="c")], negatives=1)
    assert counts == {"positives changed": 1, "positives kept": 2, "rows with too few negatives": 1}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scores": []}, "at least 1"),
        ({"scores": ["a", "a"]}, "name each score once"),
        ({"scores": ""}, "name each score once"),
        ({"choose": "middle"}, "last"),
        ({"relative_margin": 2}, "less than or equal to 1"),
        ({"negatives": -1}, "greater than or equal to 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Relabel.model_validate(options)
