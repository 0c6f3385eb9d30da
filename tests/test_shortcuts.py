"""What each trick measures: 1 where it was planted, chance where it was not."""

import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from synth.retrieval import Corpus
from synth.shortcuts import Gauge, Shortcuts, gain, measure, ranks, won
from synth.types import Document, Example

WORDS = ["".join(random.Random(n).choices("abcdefghiklmnoprstuvw", k=6)) for n in range(400)]


def text(dice: random.Random, topic: int, words: int = 30) -> str:
    """Words of all texts, with some of a topic of its own."""
    own = [WORDS[(7 * topic + n) % len(WORDS)] for n in range(12)]
    parts = dice.sample(own, 8) + dice.choices(WORDS, k=words - 8)
    dice.shuffle(parts)
    return " ".join(parts)


def rows(count: int = 60) -> list[Example]:
    """Honest rows: positives and negatives are made alike, all on the topic of the query."""
    made = []
    for n in range(count):
        dice = random.Random(n)
        texts = [text(dice, n, dice.randint(25, 40)) for _ in range(4)]
        documents = [Document(each, doc_id=f"d{n}-{place}") for place, each in enumerate(texts)]
        query = " ".join([*dice.sample(texts[0].split(), 6), "zz"])
        made.append(Example(id=f"r{n:03}", query=query, positives=(documents[0],), negatives=tuple(documents[1:])))
    return made


def negatives(row: Example, change: Callable[[str], str]) -> Example:
    return replace(row, negatives=tuple(replace(each, text=change(each.text)) for each in row.negatives))


def positive(row: Example, change: Callable[[str], str]) -> Example:
    return replace(row, positives=(replace(row.positive, text=change(row.positive.text)),))


def marked(row: Example) -> Example:
    return negatives(row, lambda each: f"{each} — notably")


def one_written(row: Example) -> Example:
    first = replace(row.negatives[0], text=row.negatives[0].text + " notably", origin="written", doc_id="")
    return replace(row, negatives=(first, *row.negatives[1:]))


def off_topic(row: Example) -> Example:
    return negatives(row, lambda each: text(random.Random(each), 17 * int(row.id[1:]) + 31))


PLANTS: list[tuple[Callable[[Example], Example], set[str]]] = [
    (lambda row: positive(row, lambda each: f"{each} {each}"), {"longer"}),
    (lambda row: positive(row, lambda each: each[: len(each) // 3]), {"shorter", "source", "blind"}),
    (lambda row: replace(row, query=" ".join(row.positive.text.split()[:8])), {"copied"}),
    (marked, {"source", "blind"}),
    (one_written, {"written"}),
    (off_topic, {"off_topic"}),
    (lambda row: replace(row, query="zz"), set()),
]
BOUNDS = {"longer": 0.7, "shorter": 0.7, "copied": 0.3, "source": 0.7, "written": 0.7, "off_topic": 0.25, "blind": 0.4}


def high(found: Shortcuts) -> set[str]:
    return {each.name for each in found.measures if each.exceeds(BOUNDS.get(each.name, 1))}


def test_honest_rows_show_no_trick() -> None:
    found = measure(rows())
    assert high(found) == set()
    assert found.rows == 60
    assert found["longer"].value == pytest.approx(0.5, abs=0.1)
    assert found["source"].value == pytest.approx(0.5, abs=0.15)
    assert "written" not in {each.name for each in found.measures}


@pytest.mark.parametrize(("plant", "names"), PLANTS)
def test_a_planted_trick_is_found_and_others_are_not(plant: Callable[[Example], Example], names: set[str]) -> None:
    assert high(measure([plant(row) for row in rows()])) - {"overlap", "bm25_first"} == names


def test_the_word_that_tells_is_named() -> None:
    telling = measure(map(marked, rows())).telling
    assert {each.said for each in telling[:2]} == {
        "the word 'notably' stands in 0% of positives and 100% of negatives",
        "the mark '—' stands in 0% of positives and 100% of negatives",
    }


def test_a_text_is_not_told_by_having_been_seen() -> None:
    """Each text is always a positive, or always a negative, in four rows: known by heart it would be told wholly."""
    made = rows(80)
    seen = [
        replace(row, positives=made[n // 4].positives, negatives=made[n // 4].negatives) for n, row in enumerate(made)
    ]
    found = measure(seen)
    assert found["source"].groups == 20
    assert abs(found["source"].value - 0.5) < 0.25


def test_what_was_cut_from_one_parent_is_not_told_by_its_siblings() -> None:
    """The parts of a parent have nearly the same words, and all of them are positives, or all negatives."""
    made = []
    for n, row in enumerate(rows()):
        dice = random.Random(n)
        parts = [
            Document(
                text(dice, parent, 9) + " " + " ".join(WORDS[20 * parent : 20 * parent + 20]), parent_id=f"p{parent}"
            )
            for parent in (n % 12, 15 + n % 15)
        ]
        made.append(replace(row, positives=(parts[0],), negatives=(parts[1],)))
    assert measure(made)["source"].value < 0.7
    strangers = [
        replace(
            row, positives=(replace(row.positive, parent_id=""),), negatives=(replace(row.negatives[0], parent_id=""),)
        )
        for row in made
    ]
    assert measure(strangers)["source"].value > 0.9


def test_rows_of_one_document_are_no_independent_draws() -> None:
    longer = [positive(row, lambda each: f"{each} {each}") for row in rows(60)]
    same = [replace(row, positives=longer[0].positives) for row in longer]
    apart, together = measure(longer)["longer"], measure(same)["longer"]
    assert (apart.value, apart.groups, together.groups) == (1, 60, 1)
    assert apart.exceeds(0.9)
    assert not together.exceeds(0.5)


@pytest.mark.parametrize("said", ["the same", "", "!!!", "\ud800 x", "尼罗河每年夏天泛滥"])
def test_identical_texts_are_told_by_nothing(said: str) -> None:
    alike = [
        Example(id=str(n), query=said or "x", positives=(Document(said),), negatives=(Document(said),) * 3)
        for n in range(40)
    ]
    values = {each.name: each.value for each in measure(alike).measures}
    assert values.items() >= {"longer": 0.5, "shorter": 0.5, "overlap": 0.5, "source": 0.5, "bm25_first": 0.25}.items()
    assert values["blind"] == pytest.approx(0, abs=1e-9)


def test_too_few_rows_are_not_measured() -> None:
    assert measure([]) == Shortcuts(0, drawn=True)
    assert measure(rows(1)).measures == ()
    assert measure(rows(29)).measures == ()
    assert measure(rows(29)).rows == 29
    assert measure(rows(30))["longer"].rows == 30


def test_rows_that_lack_something_count_for_nothing() -> None:
    bare = [Example(id=f"x{n}", query="x") for n in range(50)]
    bare += [replace(row, id=f"y{row.id}", query="") for row in rows(50)]
    bare += [replace(row, id=f"z{row.id}", negatives=()) for row in rows(50)]
    assert measure([*rows(40), *bare]) == measure(rows(40))


def test_pairs_are_measured_beside_positives_of_other_rows() -> None:
    pairs = [replace(row, negatives=()) for row in rows()]
    found = measure(pairs)
    assert (found.drawn, found.rows) == (True, 60)
    assert "off_topic" not in {each.name for each in found.measures}
    assert found["overlap"].value > 0.95
    assert found["source"].value == pytest.approx(0.5, abs=0.15)
    copied = [replace(row, query=row.positive.text) for row in pairs]
    assert measure(copied)["copied"].value == 1


def test_first_places_in_a_corpus_are_counted_where_there_is_one() -> None:
    corpus = Corpus([each for row in rows() for each in (*row.positives, *row.negatives)])
    assert measure(rows(), corpus)["bm25_easy"].value > 0.9
    hard = [replace(row, query=row.negatives[0].text) for row in rows()]
    assert measure(hard, corpus)["bm25_easy"].value < 0.1
    assert "bm25_easy" not in {each.name for each in measure(rows(), Corpus([])).measures}


def test_queries_in_another_language_do_not_make_negatives_off_topic() -> None:
    foreign = [replace(row, query="когда разливается река") for row in map(off_topic, rows())]
    assert "off_topic" not in {each.name for each in measure(foreign).measures}


def test_the_order_of_rows_changes_nothing_and_a_sample_is_drawn_by_ids() -> None:
    made = [*rows(60), *map(marked, rows(120)[60:])]
    shuffled = random.Random(1).sample(made, len(made))
    assert measure(made) == measure(shuffled)
    assert measure(made, most_rows=50) == measure(shuffled, most_rows=50)
    assert measure(made, most_rows=50).rows == 50
    assert measure(made, most_rows=50) != measure(made, most_rows=50, seed=1)


def test_what_is_learned_is_learned_anew_from_the_rows_that_are_left() -> None:
    made = [*rows(40), *map(marked, rows(80)[40:])]
    whole, fresh = Gauge(made, None, 0, 100), Gauge(rows(40), None, 0, 100)
    left = whole.without({row.id for row in made[40:]})
    assert whole.found["source"].value > 0.65
    assert (left.found["source"], left.found["blind"]) == (fresh.found["source"], fresh.found["blind"])
    assert len(whole.rows) == 80


def test_written_negatives_are_looked_at_by_themselves_only_where_others_are_among_them() -> None:
    written = [replace(row, negatives=tuple(replace(d, origin="written") for d in row.negatives)) for row in rows()]
    assert "written" not in {each.name for each in measure(written).measures}
    assert measure(map(one_written, rows()))["written"].rows == 60


def test_queries_of_few_words_do_not_count_as_copied() -> None:
    short = [replace(row, query=" ".join(row.positive.text.split()[:5])) for row in rows()]
    assert "copied" not in {each.name for each in measure(short).measures}


def test_the_figures_are_plain_data() -> None:
    found = json.loads(json.dumps(measure(map(one_written, rows())).to_json()))
    assert set(found) == {"rows", "drawn", "measures", "telling"}
    assert set(found["measures"]["written"]) == {"value", "low", "high", "rows", "groups", "said"}
    low, value, top = (found["measures"]["written"][name] for name in ("low", "value", "high"))
    assert 0.5 < low < value <= top <= 1


def test_pairs_and_ranks_are_those_of_counting_every_case() -> None:
    dice = random.Random(2)
    for _ in range(50):
        ours, theirs = dice.choices(range(4), k=2), dice.choices(range(4), k=3)
        wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in ours for b in theirs]
        assert won(ours, theirs) == pytest.approx(sum(wins) / 6)
        places = {sorted([*theirs, ours[0] + luck], reverse=True).index(ours[0] + luck) + 1 for luck in (-0.5, 0.5)}
        assert {ranks(ours[0], theirs)[0], ranks(ours[0], theirs)[-1]} == places
    assert sum(map(gain, range(1, 20))) == pytest.approx(4.5436, abs=1e-3)
