"""excerpt: which paragraphs of a document are drawn, and what a prompt can read of them."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from pydantic import ValidationError

from synth.backends.scripted import Scripted
from synth.chunks import word_count
from synth.recorder import Recorder
from synth.row_figures import fifths
from synth.stage import Context, RowList, Source
from synth.stages.excerpt import Excerpt, paragraphs
from synth.stages.generate import Generate
from synth.types import Document, Example, row_id
from synth.values import given_to
from tests import contracts as check
from tests.contracts import query_rows, source_rows


def row(text: str, **changes: Any) -> Example:
    document = Document(text, doc_id=text[:20], language=changes.pop("speaks", "en"))
    return replace(Example(id=row_id("from_test", 0, text), positives=(document,)), **changes)


def article(count: int, words: int = 30, born: str = "a") -> Example:
    """A document of so many paragraphs of so many words, each of which stands nowhere else."""
    return row("\n\n".join(" ".join(f"{born}{n}w{k}" for k in range(words)) for n in range(count)))


def cut(rows: list[Example], **options: Any) -> list[Example]:
    stage = Excerpt.model_validate({"least_words": 20, "most_words": 60, "window_words": 5, **options})
    return [made for made in stage.run(RowList(rows), Context(step="excerpt", seed=7)) if isinstance(made, Example)]


def excerpts(made: list[Example]) -> list[str]:
    return [str(given_to(each)["excerpt"]) for each in made]


@pytest.mark.parametrize("spread", ["even", "random"])
def test_every_row_is_settled_and_their_order_changes_nothing(spread: str) -> None:
    stage = Excerpt.model_validate({"per_document": 3, "least_words": 3, "spread": spread})
    for rows in (source_rows(), query_rows(), [article(9), Example(id="bare")]):
        check.settles_every_row(stage, rows)
        check.order_changes_nothing(stage, rows)


@pytest.mark.parametrize("spread", ["even", "random"])
def test_a_child_has_a_paragraph_and_what_stands_around_it_and_the_whole_stays_its_positive(spread: str) -> None:
    parent = article(12)
    made = cut([parent], per_document=4, spread=spread)
    assert len(made) == len({each.id for each in made}) == len(set(excerpts(made))) == 4
    text = parent.positive.text
    for each in made:
        assert (each.parents, each.positives, each.query) == ((parent.id,), parent.positives, "")
        given, place = given_to(each), each.meta["excerpt"]
        assert text[place["start"] : place["end"]] == given["excerpt"]
        assert given["excerpt"] in text.split("\n\n")
        assert place["share"] == pytest.approx((place["start"] + place["end"]) / 2 / len(text), abs=1e-5)
        assert given["before"] == " ".join(text[: place["start"]].split()[-5:])
        assert given["after"] == " ".join(text[place["end"] :].split()[:5])


def test_a_window_of_no_words_is_empty() -> None:
    [made] = cut([article(5)], window_words=0)
    assert (given_to(made)["before"], given_to(made)["after"]) == ("", "")


@pytest.mark.parametrize("spread", ["even", "random"])
def test_more_draws_change_no_earlier_one_and_each_paragraph_comes_once(spread: str) -> None:
    parent = article(10)
    few, more = (cut([parent], per_document=n, spread=spread) for n in (3, 8))
    assert more[:3] == few
    all_of_them = cut([parent], per_document=50, spread=spread)
    assert sorted(excerpts(all_of_them)) == sorted(parent.positive.text.split("\n\n"))


def test_even_draws_lie_far_apart_and_beginnings_are_not_preferred() -> None:
    rows = [article(40, born=f"d{n}x") for n in range(150)]
    found = cut(rows, per_document=4)
    by_parent: dict[str, list[float]] = {}
    for each in found:
        by_parent.setdefault(each.parents[0], []).append(each.meta["excerpt"]["share"])
    assert min(b - a for shares in by_parent.values() for a, b in pairwise(sorted(shares))) > 0.1
    counts = fifths([each.meta["excerpt"]["share"] for each in found]).counts
    assert counts is not None
    assert min(counts) > 0.15 * len(found)
    firsts = Counter(each.meta["excerpt"]["start"] == 0 for each in found)
    assert firsts[True] < 0.06 * len(found)


def test_short_paragraphs_are_joined_and_long_ones_cut_between_sentences() -> None:
    long = " ".join(f"Sentence {n} has seven words in it." for n in range(40))
    text = f"# A title\n\n{long}\n\nA short one that stands alone here.\n\n" + "And another one as short. " * 4
    found = [text[place.start : place.end] for place in paragraphs(Document(text, language="en"), 20, 60)]
    assert all(20 <= word_count(each) <= 60 for each in found)
    assert found[0].startswith("# A title\n\nSentence 0")
    assert all(each.endswith(".") for each in found)
    assert found[-1].startswith("A short one")
    assert sum(map(word_count, found)) == word_count(text)


def test_what_is_short_and_fits_nowhere_is_not_drawn() -> None:
    long = " ".join(f"w{n}" for n in range(58))
    assert excerpts(cut([row(f"{long}\n\nShort and alone.\n\n{long[::-1]}")], per_document=9)) in (
        [long, long[::-1]],
        [long[::-1], long],
    )


def test_a_short_end_goes_with_the_paragraph_before_it() -> None:
    words = " ".join(f"w{n}" for n in range(25))
    text = f"{words}\n\n{words[::-1]}\n\nThe end."
    assert [text[p.start : p.end] for p in paragraphs(Document(text), 20, 60)] == [words, f"{words[::-1]}\n\nThe end."]


@pytest.mark.parametrize("text", ["Too short.", "  spaced \n\n out  ", "x", "猫"])
def test_a_document_too_short_is_one_row_with_its_whole_text(text: str) -> None:
    [made] = cut([row(text)], per_document=5)
    assert excerpts([made]) == [text.strip()]
    place = made.meta["excerpt"]
    assert (place["start"], place["end"]) == (len(text) - len(text.lstrip()), len(text.rstrip()))


@pytest.mark.parametrize("passes", [row("A text.", query="asked"), Example(id="bare"), row(" \n ")])
def test_a_row_with_a_query_or_without_a_text_passes(passes: Example) -> None:
    assert cut([passes]) == [passes]


def test_scripts_without_spaces_are_cut_and_have_words_around_them() -> None:
    text = "".join(f"这是第{n}句话，它说的是一条很长的河。" for n in range(60))
    made = cut([row(text, speaks="zh")], per_document=3, window_words=6)
    assert len(made) == 3
    for each in made:
        given = given_to(each)
        assert 20 <= word_count(given["excerpt"]) <= 60
        assert all(word_count(given[name]) <= 6 for name in ("before", "after"))
        assert given["before"] or given["after"]
        around = given["before"] + given["excerpt"] + given["after"]
        assert around in text


def test_a_prompt_can_read_what_it_gives(tmp_path: Any) -> None:
    header = "---\nabout: x\nreads: [excerpt, before, after]\nreturns: {query: {}}\n---\n"
    (tmp_path / "mine.jinja").write_text(header + "[user]\n{{ before }}|{{ excerpt }}|{{ after }}")
    [made] = cut([article(3)], per_document=1)
    given = frozenset(Excerpt().gives(Context()))
    ctx = Context(step="generate", source=Source(folder=tmp_path), given=given, backends={"writer": Recorder()})
    recorder = ctx.backends["writer"]
    list(Generate(prompt="mine").run([made], ctx))
    assert isinstance(recorder, Recorder)
    told = given_to(made)
    assert recorder.asked[0].messages[0].content == f"{told['before']}|{told['excerpt']}|{told['after']}".strip()
    [child] = Generate(prompt="mine").run([made], replace(ctx, backends={"writer": Scripted()}))
    assert isinstance(child, Example)
    assert child.meta["excerpt"] == made.meta["excerpt"], "what is written about it keeps the place"


def test_bounds_that_are_the_wrong_way_round_are_told() -> None:
    with pytest.raises(ValidationError, match="least_words is 90 and most_words 60"):
        Excerpt(least_words=90, most_words=60)
