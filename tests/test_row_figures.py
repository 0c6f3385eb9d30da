"""What steps noted on rows, summed up by hand."""

from typing import Any

import pytest

from synth.row_figures import (
    Fifths,
    Gap,
    Histogram,
    Lengths,
    Negatives,
    Ranks,
    RowTally,
    evidence_place,
    fifths,
    histogram,
    piece_place,
    pieces_of,
    quantiles,
    ranks_of,
)
from synth.types import Document, Example

TEXT = "Mud lies on the fields. Farmers wait for the water. It comes in July. Then they sow. Dams ended that in 1970."


def tally(*rows: Example) -> RowTally:
    found = RowTally()
    for row in rows:
        found.add(row)
    return found


def row(query: str = "when?", positive: str = "in July", **parts: Any) -> Example:
    scores = parts.pop("scores", {})
    return Example(id=parts.pop("id", "r"), query=query, positives=(Document(positive, scores=scores),), **parts)


def test_quantiles_are_values_that_so_many_do_not_exceed() -> None:
    assert quantiles(list(range(100, 0, -1))) == {
        "least": 1, "5%": 5, "25%": 25, "50%": 50, "75%": 75, "95%": 95, "most": 100,
    }  # fmt: skip
    assert quantiles([3]) == dict.fromkeys(("least", "5%", "25%", "50%", "75%", "95%", "most"), 3)
    assert list((quantiles([3, 1, 2]) or {}).values()) == [1, 1, 1, 2, 3, 3, 3]
    assert quantiles([]) is None


def test_lengths_are_of_the_texts_that_are_there() -> None:
    found = tally(row("one two", "a b c"), row("", "a b c d e"), Example(id="x", query="one two three four"))
    queries, positives = found.queries(), found.positives()
    assert (queries.n, positives.n) == (2, 2)
    assert queries.words is not None
    assert positives.characters is not None
    assert (queries.words["least"], queries.words["most"]) == (2, 4)
    assert (positives.characters["least"], positives.characters["most"]) == (5, 9)
    assert tally().queries() == Lengths(0, None, None)


def test_the_words_of_a_very_long_text_are_estimated() -> None:
    found = tally(row("q", "word " * 100_000)).positives()
    assert found.words is not None
    assert found.words["50%"] == 100_000


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({0.0: 1, 2.0: 1, 3.0: 2}, Histogram(4, 2.0, {"0": 1, "2": 1, "3": 2})),
        ({7.5: 1, 7.75: 1, 9.0: 2}, Histogram(4, 8.3125, {"7": 2, "9": 2})),
        ({0.3: 2, 0.35: 1, 1.0: 1}, Histogram(4, 0.4875, {"0.3": 3, "1.0": 1})),
        ({1.0: 1, 0.0: 1}, Histogram(2, 0.5, {"0": 1, "1": 1})),
    ],
)
def test_grades_are_counted_whole_or_in_steps(counts: dict[float, int], expected: Histogram) -> None:
    assert histogram(counts) == expected


def test_grades_are_told_by_criterion() -> None:
    verdict = {"prompt": "judge/relevance", "model": "m", "attempts": 2, "score": 2, "match": 3, "reason": "it fits"}
    found = tally(
        row(scores={"judge": 2.0, "judge_clarity": 7.0, "bm25": 11.2}, meta={"judge": verdict}),
        row(scores={"judge": 3.0, "cosine": 0.4}, meta={"generate": {"prompt": "p", "model": "m", "draw": 3}}),
        row(scores={"judge": float("nan")}),
        Example(id="without a positive", query="q"),
    ).grades()
    assert found == {
        "judge": Histogram(2, 2.5, {"2": 1, "3": 1}),
        "judge.match": Histogram(1, 3.0, {"3": 1}),
        "judge_clarity": Histogram(1, 7.0, {"7": 1}),
    }


def test_ranks_are_shares_at_one_to_ten_and_not_found() -> None:
    noted = [{"bm25": 1, "fused": 2}, {"bm25": 1}, {"bm25": 10}, {"bm25": 11}, {"bm25": 101}, {}]
    found = tally(*(row(meta={"ranks": each} if each else {}) for each in noted)).ranks()
    assert found == {"bm25": Ranks(5, 0.4, 0.6, 0.2), "fused": Ranks(1, 0.0, 1.0, 0.0)}
    assert ranks_of({}) == Ranks(0, None, None, None)
    assert tally(row()).ranks() == {}


def test_ranks_that_are_no_numbers_are_not_counted() -> None:
    assert tally(row(meta={"ranks": {"bm25": "first"}}), row(meta={"ranks": 3})).ranks() == {}


def test_negatives_are_counted_by_origin_and_held_to_the_positive() -> None:
    def negative(cosine: float, origin: Any = "mined") -> Document:
        return Document("n", origin=origin, scores={"cosine": cosine})

    found = tally(
        row(scores={"cosine": 0.8}, negatives=(negative(0.5), negative(0.3))),
        row(scores={"cosine": 0.6}, negatives=(negative(0.7), negative(0.1, "written"))),
        row(scores={"bm25": 3.0}, negatives=(negative(0.7),)),
        row(),
        row(query="", negatives=(negative(0.5),)),
    ).negative_figures()
    assert found == Negatives(
        n=4,
        mean=1.25,
        none=0.25,
        origins={"mined": 4, "written": 1},
        written=0.2,
        gaps={"cosine": Gap(2, 0.1, 0.1, 0.5)},
    )


def test_without_negatives_no_share_of_them_is_made_up() -> None:
    assert tally(row()).negative_figures() == Negatives(1, 0.0, 1.0, {}, None, {})
    assert tally().negative_figures() == Negatives(0, None, None, {}, None, {})


def test_places_fall_into_fifths() -> None:
    assert fifths([0.0, 0.2, 0.39, 0.999, 1.0, None]) == Fifths(5, (1, 2, 0, 0, 2))
    assert fifths([None]) == Fifths(0, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Mud lies on", 5.5),
        ("in 1970.", len(TEXT) - 4),
        ("the", None),
        (TEXT[:60], None),
        ("not in it", None),
        ("", None),
    ],
)
def test_a_query_that_was_cut_out_lies_where_it_stood(query: str, expected: float | None) -> None:
    found = evidence_place(row(query), TEXT)
    assert found == (None if expected is None else pytest.approx(expected / len(TEXT)))


@pytest.mark.parametrize("quote", ["It comes in July.", ["It comes in July.", "Mud"]])
def test_evidence_that_a_writer_quoted_is_looked_for_in_the_positive(quote: object) -> None:
    asked = row("when?", TEXT, meta={"generate": {"answer": {"evidence": quote}}})
    assert evidence_place(asked, "") == pytest.approx((TEXT.index("It comes") + 8.5) / len(TEXT))


def test_a_quote_that_stands_nowhere_has_no_place() -> None:
    asked = row("Mud lies on", TEXT, meta={"generate": {"answer": {"evidence": "made up"}}})
    assert evidence_place(asked, TEXT) is None


def test_a_piece_lies_where_its_number_says() -> None:
    pieces = [Document("x", f"guide.md#{n}", parent_id="guide.md") for n in (0, 1, 2, 3, 5, 9)]
    counts = pieces_of([*pieces, Document("x", "a#7"), Document("x", "b#one", parent_id="b")])
    assert counts == {"guide.md": 10}
    assert piece_place(pieces[0], counts) == 0.05
    assert piece_place(pieces[-1], counts) == 0.95
    assert piece_place(pieces[0], {"guide.md": 4}) is None
    assert piece_place(pieces[0], {}) is None
    assert piece_place(Document("x", "a#7"), {"a": 9}) is None
