"""What too_easy keeps and drops."""

import random

import pytest
from pydantic import ValidationError

from synth.filters.too_easy import TooEasy
from synth.retrieval import Corpus
from synth.stage import Context, RowList
from synth.types import Document, Dropped, Example

CORPUS = [Document(f"the house of number{n} stands by the river", doc_id=f"d{n:02}") for n in range(30)]


def context(said: list[str] | None = None, corpus: list[Document] = CORPUS) -> Context:
    held = Corpus(corpus)
    return Context(step="too_easy", seed=7, corpus_of=lambda: held, warn=(said if said is not None else []).append)


def rows(easy: int, hard: int) -> list[Example]:
    """Rows that BM25 finds first, and rows that it finds another document for."""
    found = [Example(id=f"e{n:02}", query=f"where is number{n}", positives=(CORPUS[n],)) for n in range(easy)]
    lost = [Example(id=f"h{n:02}", query=f"what of number{n + 1}", positives=(CORPUS[n],)) for n in range(hard)]
    return found + lost


@pytest.mark.parametrize(
    ("easy", "hard", "most", "left"),
    [
        (14, 6, 0.5, 6),
        (6, 6, 0.5, 6),
        (3, 9, 0.5, 3),
        (10, 10, 0.2, 2),
        (10, 10, 0, 0),
        (10, 0, 0.5, 0),
        (8, 2, 0.75, 6),
    ],
)
def test_no_more_easy_rows_are_left_than_the_share(easy: int, hard: int, most: float, left: int) -> None:
    outcomes = list(TooEasy(most=most).run(RowList(rows(easy, hard)), context()))
    kept = [each for each in outcomes if isinstance(each, Example)]
    assert [sum(each.id[0] == kind for each in kept) for kind in "eh"] == [left, hard]
    assert {each.reason for each in outcomes if isinstance(each, Dropped)} <= {"too_easy"}


def test_the_rank_is_kept_and_told() -> None:
    outcomes = list(TooEasy(most=0.5).run(RowList(rows(14, 6)), context()))
    gone = next(each for each in outcomes if isinstance(each, Dropped))
    assert gone.detail == "BM25 ranks it 1; 70% are so easy, at most 50%"
    assert gone.example.meta["ranks"] == {"bm25": 1}
    assert gone.example.positive.scores["bm25"] > 0


def test_the_order_of_rows_changes_nothing_and_another_seed_draws_others() -> None:
    def gone(several: list[Example], ctx: Context) -> set[str]:
        return {o.example.id for o in TooEasy(most=0.2).run(RowList(several), ctx) if isinstance(o, Dropped)}

    several = rows(20, 10)
    shuffled = random.Random(1).sample(several, len(several))
    assert gone(several, context()) == gone(shuffled, context())
    other = Context(step="too_easy", seed=8, corpus_of=context().corpus_of)
    assert len(gone(several, other)) == len(gone(several, context()))
    assert gone(several, other) != gone(several, context())


def test_what_cannot_be_ranked_passes_and_counts_for_nothing() -> None:
    bare = [Example(id=f"x{n}", query="x") for n in range(50)] + [Example(id="y", positives=(CORPUS[0],))]
    outcomes = list(TooEasy(most=0.5).run(RowList(rows(14, 6) + bare), context()))
    assert [each for each in outcomes if isinstance(each, Example) and each.id[0] in "xy"] == bare
    assert sum(isinstance(each, Dropped) for each in outcomes) == 8


def test_an_empty_corpus_is_told_and_drops_nothing() -> None:
    said: list[str] = []
    assert list(TooEasy(most=0).run(RowList(rows(3, 0)), context(said, []))) == rows(3, 0)
    assert said == ["too_easy: the corpus is empty, so every row passed unchecked"]
    assert list(TooEasy().run(RowList([]), context())) == []


@pytest.mark.parametrize("options", [{"most": 1}, {"most": -0.1}, {"rank": 0}, {"rank": 101}])
def test_a_wrong_option_is_told(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TooEasy.model_validate(options)
