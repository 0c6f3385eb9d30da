"""What shortcut tells, drops and stops for."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from pydantic import ValidationError

from synth.errors import RecipeError
from synth.filters.shortcut import Shortcut
from synth.retrieval import Corpus
from synth.stage import Context, RowList
from synth.types import Document, Dropped, Example

WORDS = ["".join(random.Random(n).choices("abcdefghiklmnoprstuvw", k=6)) for n in range(300)]


def rows(count: int = 60) -> list[Example]:
    """Rows whose positives and negatives are made alike."""
    made = []
    for n in range(count):
        dice = random.Random(n)
        topic = dice.sample(WORDS, 6)
        texts = [" ".join(dice.sample([*topic, *dice.choices(WORDS, k=dice.randint(15, 25))], 16)) for _ in range(4)]
        documents = [Document(each, doc_id=f"d{n}-{place}") for place, each in enumerate(texts)]
        query = " ".join(topic[:4])
        made.append(Example(id=f"r{n:03}", query=query, positives=(documents[0],), negatives=tuple(documents[1:])))
    return made


def longer(row: Example) -> Example:
    return replace(row, positives=(replace(row.positive, text=f"{row.positive.text} {row.positive.text}"),))


def marked(row: Example) -> Example:
    return replace(row, negatives=tuple(replace(each, text=f"{each.text} notably") for each in row.negatives))


def some(plant: Callable[[Example], Example], share: float, count: int = 60) -> list[Example]:
    """Rows of which so large a share has the trick."""
    return [plant(row) if n < share * count else row for n, row in enumerate(rows(count))]


def outcomes(
    several: Iterable[Example], said: list[str] | None = None, **options: object
) -> dict[str, Example | Dropped]:
    """The fate of every row by its id."""
    ctx = Context(step="shortcut", seed=7, warn=(said if said is not None else []).append)
    fates = list(Shortcut.model_validate(options).run(several, ctx))
    return {fate.example.id if isinstance(fate, Dropped) else fate.id: fate for fate in fates}


def gone(fates: dict[str, Example | Dropped]) -> dict[str, str]:
    """Why each row that was dropped was."""
    return {name: f"{fate.reason}: {fate.detail}" for name, fate in fates.items() if isinstance(fate, Dropped)}


def mean_length_auc(several: list[Example]) -> float:
    """In how many pairs the positive is longer, ties half."""
    pairs = [(len(row.positive.text), len(each.text)) for row in several for each in row.negatives]
    return sum((ours > theirs) + (ours == theirs) / 2 for ours, theirs in pairs) / len(pairs)


def test_honest_rows_pass_and_nothing_is_said() -> None:
    said: list[str] = []
    for then in ("warn", "cap", "stop"):
        assert list(outcomes(rows(), said, then=then).values()) == rows()
    assert said == []


@pytest.mark.parametrize(
    ("plant", "lines"),
    [
        (longer, ["longer: the longer document is the positive in 100% of pairs (from 94% to 100% at 95 %), "]),
        (
            marked,
            [
                "source: a classifier that never sees the query tells the positive in ",
                "blind: ranked without the query, positives have an nDCG@10 of ",
            ],
        ),
    ],
)
def test_a_trick_is_told_with_its_bound_and_all_rows_pass(
    plant: Callable[[Example], Example], lines: list[str]
) -> None:
    said: list[str] = []
    several = [plant(row) for row in rows()]
    assert list(outcomes(several, said).values()) == several
    assert [line for line in lines if not any(each.startswith(line) for each in said)] == []
    assert all("at most" in line and "\n" not in line for line in said)


def test_the_words_that_give_away_are_told() -> None:
    said: list[str] = []
    outcomes(map(marked, rows()), said)
    told = [line for line in said if "the word 'notably' stands in 0% of positives and 100% of negatives" in line]
    assert [line.partition(":")[0] for line in told] == ["blind", "source"]


def test_a_run_stops_with_one_line_where_it_should() -> None:
    with pytest.raises(RecipeError, match=r"^step shortcut: longer: .* at most 70% expected.*; mend the rows, or set "):
        outcomes(map(longer, rows()), then="stop")


def test_the_rows_that_give_away_most_are_dropped_until_the_trick_is_within_its_bound() -> None:
    fates = outcomes(some(longer, 0.7), then="cap")
    left = [fate for fate in fates.values() if isinstance(fate, Example)]
    assert 0.68 < mean_length_auc(left) <= 0.7
    assert len(left) == 30
    assert all(name < "r042" for name in gone(fates))
    assert {detail[:53] for detail in gone(fates).values()} == {"shortcut: longer: the longer document is the positive"}


def test_rows_of_a_classifier_that_learns_anew_are_dropped_until_it_knows_little() -> None:
    said: list[str] = []
    fates = outcomes(some(marked, 0.6, 120), said, then="cap", most_blind=1)
    assert gone(fates)
    assert all(name < "r072" for name in gone(fates))
    assert not [line for line in said if line.startswith("still so")]
    again: list[str] = []
    outcomes([fate for fate in fates.values() if isinstance(fate, Example)], again, most_blind=1)
    assert again == []


def test_no_more_rows_go_than_are_allowed_and_what_is_left_is_told() -> None:
    said: list[str] = []
    fates = outcomes(some(longer, 0.8), said, then="cap", least_kept=0.9)
    assert len(gone(fates)) == 6
    assert said[-1].startswith("still so: longer: the longer document is the positive in ")


def test_no_row_goes_where_going_does_not_help() -> None:
    said: list[str] = []
    assert gone(outcomes(map(longer, rows()), said, then="cap")) == {}
    assert said[-1].endswith("dropping more rows does not help, or is not allowed")


def test_a_bound_must_be_exceeded_beyond_doubt() -> None:
    said: list[str] = []
    several = some(longer, 0.5)
    assert 0.74 < mean_length_auc(several) < 0.76
    assert list(outcomes(several, said, then="stop").values()) == several
    assert said == []


def test_as_many_rows_stay_as_can_be_measured() -> None:
    assert len(gone(outcomes(some(longer, 0.9, 40), then="cap", least_kept=0))) == 10
    few = [
        replace(row, query=" ".join(row.positive.text.split()[:8]) + (" zz" if n >= 25 else ""))
        for n, row in enumerate(rows(35))
    ]
    said: list[str] = []
    fates = outcomes([*few, *rows(70)[35:]], said, then="cap", most_overlap_auc=1, most_bm25_first=1)
    assert gone(fates) == {}
    assert said[-1].startswith("still so: copied: ")


def test_rows_that_were_not_measured_are_held_to_the_same() -> None:
    several = some(longer, 0.7, 300)
    fates = outcomes(several, then="cap", most_rows=100)
    left = [fate for fate in fates.values() if isinstance(fate, Example)]
    assert 0.6 < mean_length_auc(left) < 0.76
    assert 120 < len(left) < 200
    assert all(name < "r210" for name in gone(fates))
    told = outcomes(some(marked, 0.6, 300), then="cap", most_rows=120, most_blind=1)
    assert len(gone(told)) > 20
    assert all(name < "r180" for name in gone(told))


@pytest.mark.parametrize("plant", [longer, marked])
def test_the_order_of_rows_changes_nothing(plant: Callable[[Example], Example]) -> None:
    several = some(plant, 0.7, 100)
    shuffled = random.Random(1).sample(several, len(several))
    first = outcomes(several, then="cap", most_rows=100)
    assert gone(first)
    assert outcomes(RowList(shuffled), then="cap", most_rows=100) == first


def test_too_few_rows_are_told_and_pass() -> None:
    said: list[str] = []
    few = [longer(row) for row in rows(29)]
    for then in ("warn", "cap", "stop"):
        assert list(outcomes(few, said, then=then).values()) == few
    assert said == ["only 29 rows could be measured, too few to tell tricks from chance; all rows passed"] * 3
    assert outcomes([]) == {}
    assert len(said) == 3


def test_rows_that_cannot_be_measured_pass() -> None:
    bare = [Example(id="x", query="x"), Example(id="y", positives=(Document("y"),)), Example(id="z")]
    fates = outcomes([*some(longer, 0.7), *bare], then="cap")
    assert [fates[row.id] for row in bare] == bare
    assert gone(fates)


def test_pairs_without_negatives_are_no_trick_but_copied_queries_are() -> None:
    said: list[str] = []
    pairs = [replace(row, query=" ".join(row.positive.text.split()[:5]), negatives=()) for row in rows(160)]
    assert list(outcomes(pairs, said, then="stop").values()) == pairs
    assert said == ["too few rows have negatives: other rows' positives stood in for them, and they tell little"]
    copied = [
        replace(row, query=" ".join(row.positive.text.split()[:8]) + (" zz" if n % 2 == 0 else ""))
        for n, row in enumerate(pairs)
    ]
    fates = outcomes(copied, then="cap")
    assert gone(fates)
    assert all(int(name[1:]) % 2 for name in gone(fates))


def test_the_corpus_is_read_only_where_first_places_in_it_are_bounded() -> None:
    assert not Shortcut().reads_corpus()
    gate = Shortcut(most_bm25_easy=0.5)
    assert gate.reads_corpus()
    held = Corpus([each for row in rows() for each in (*row.positives, *row.negatives)])
    said: list[str] = []
    easy = [replace(row, query=row.positive.text[:60]) for row in rows()]
    list(gate.run(easy, Context(corpus_of=lambda: held, warn=said.append)))
    assert [line for line in said if line.startswith("bm25_easy: BM25 finds the positive first in the corpus for ")]


@pytest.mark.parametrize(
    "options",
    [{"then": "drop"}, {"most_length_auc": 0.4}, {"most_blind": 1.1}, {"least_kept": -1}, {"most_rows": 5}],
)
def test_a_wrong_option_is_told(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Shortcut.model_validate(options)
