"""What semantic_dedup keeps and drops, with a real embedder that knows words and not their order."""

import random

import pytest
from pydantic import ValidationError

from synth.filters.semantic_dedup import SemanticDedup
from synth.stage import Context, RowList
from synth.types import Document, Dropped, Example
from tests.letters import embedder

WORDS = [f"word{n}" for n in range(400)]
NILE, SAME, NEAR = "when does the nile flood its banks", "its banks when does the nile flood", "when did the nile flood"
BARGE, FIELDS = "a barge of green reeds", "each summer water covers all fields"
LETTERS = embedder([" ".join(WORDS), NILE, NEAR, BARGE, FIELDS])


def row(born: str, query: str = "", positive: str = "", task: str = "retrieval", language: str = "en") -> Example:
    positives = (Document(positive),) if positive else ()
    return Example(id=born, query=query, positives=positives, task=task, language=language)


def fates(rows: list[Example], said: list[str] | None = None, **options: object) -> dict[str, str]:
    """The detail of each dropped row, by its id."""
    ctx = Context(embedders={"letters": LETTERS}, warn=(said if said is not None else []).append)
    outcomes = list(SemanticDedup.model_validate({"embedder": "letters", **options}).run(RowList(rows), ctx))
    assert [o.example if isinstance(o, Dropped) else o for o in outcomes] == rows
    return {o.example.id: o.detail for o in outcomes if isinstance(o, Dropped) and o.reason == "semantic_duplicate"}


@pytest.mark.parametrize(
    ("one", "other", "detail"),
    [
        (NILE, SAME, "cosine 1.000 to a"),
        (NILE, NILE, "cosine 1.000 to a"),
        (NILE, NEAR, "cosine 0.692 to a"),
        (NILE, BARGE, ""),
        ("", "", ""),
        (" ", " ", ""),
        (NILE, "", ""),
    ],
)
def test_queries_that_say_the_same_are_duplicates(one: str, other: str, detail: str) -> None:
    assert fates([row("a", one), row("b", other)], threshold=0.6) == ({"b": detail} if detail else {})


@pytest.mark.parametrize(
    ("field", "gone"),
    [
        ("query", {"b": "a", "c": "a"}),
        ("positive", {"b": "a", "d": "a"}),
        ("both", {"b": "a"}),
        ("across", {"e": "a", "f": "its own positive", "g": "a"}),
    ],
)
def test_a_field_says_what_is_compared(field: str, gone: dict[str, str]) -> None:
    rows = [
        row("a", NILE, FIELDS),
        row("b", SAME, FIELDS),
        row("c", SAME, "word1 word2"),
        row("d", "word3", FIELDS),
        row("e", FIELDS, "word4"),
        row("f", BARGE, BARGE),
        row("g", "word5", SAME),
        row("h", FIELDS),
        row("i", "", SAME),
    ]
    if field in {"query", "positive"}:
        rows = rows[:4]
    assert fates(rows, field=field) == {born: f"cosine 1.000 to {of}" for born, of in gone.items()}


def test_the_row_with_the_smallest_id_stays_in_any_order() -> None:
    dice = random.Random(3)
    rows = []
    for n in range(120):
        words = dice.sample(WORDS, 12)
        rows += [row(f"{n:03}{copy}", " ".join(dice.sample(words, 12))) for copy in range(dice.choice((1, 1, 3)))]
    first = fates(rows)
    assert first == {each.id: f"cosine 1.000 to {each.id[:3]}0" for each in rows if not each.id.endswith("0")}
    assert fates(dice.sample(rows, len(rows))) == first
    assert fates(rows, most_exact=0, probes=1000) == first


def test_a_row_is_never_a_duplicate_of_a_dropped_one() -> None:
    chain = [" ".join(WORDS[start : start + 10]) for start in (0, 2, 4)]
    assert list(fates([row(str(n), text) for n, text in enumerate(chain)], threshold=0.7)) == ["1"]


def test_what_a_model_wants_before_queries_stands_before_none_that_is_compared_with_positives() -> None:
    model = embedder([NILE, "query word7 word8 word9"])
    model._model.prompts = {"query": "query word7 word8 word9 ", "document": ""}
    rows = RowList([row("a", NILE, NILE)])
    (fate,) = SemanticDedup(embedder="m", field="across", threshold=0.99).run(rows, Context(embedders={"m": model}))
    assert isinstance(fate, Dropped)


@pytest.mark.parametrize(
    ("within", "gone"), [(["task", "language"], ""), (["task"], "b"), (["language"], "c"), ([], "bc")]
)
def test_rows_of_another_task_or_language_are_compared_where_told(within: list[str], gone: str) -> None:
    rows = [row("a", NILE), row("b", NILE, language="de"), row("c", NILE, task="sts"), row("d", BARGE)]
    assert "".join(fates(rows, within=within)) == gone


def test_counterfactuals_are_left_alone_unless_told_otherwise() -> None:
    assert SemanticDedup.default_where == {"without_tag": "counterfactual"}


def narrow() -> list[Example]:
    """A hundred queries that share nine words of ten, and one that repeats another."""
    common = " ".join(WORDS[:9])
    return [row(f"{n:03}", f"{common} {WORDS[n + 20]}") for n in range(100)] + [row("x", f"{common} {WORDS[20]}")]


def test_where_any_two_texts_are_near_a_threshold_counts_from_there() -> None:
    said: list[str] = []
    assert len(fates(narrow(), said, threshold=0.8)) == 100
    assert said == [
        "semantic_dedup: to letters any two of these texts have a cosine of 0.90, so 0.8 may mean little: see whether "
        "`scale: above_chance` drops what you would"
    ]
    said.clear()
    assert len(fates(narrow()[:50], said, threshold=0.8)) == 49
    assert fates(narrow(), said, threshold=0.8, scale="above_chance") == {"x": "cosine 1.000 to 000"}
    assert said == []


def test_few_rows_do_not_tell_what_is_chance() -> None:
    said: list[str] = []
    assert fates([row("a", NILE), row("b", SAME), row("c", BARGE)], said, scale="above_chance") == {
        "b": "cosine 1.000 to a"
    }
    assert said == ["semantic_dedup: 3 rows are few to tell what cosine two texts have by chance"]


@pytest.mark.parametrize("field", ["query", "positive", "both", "across"])
@pytest.mark.parametrize("scale", ["cosine", "above_chance"])
def test_odd_sets_come_through(field: str, scale: str) -> None:
    assert fates([], field=field, scale=scale) == {}
    assert fates([row("a", NILE, FIELDS)], field=field, scale=scale) == {}
    assert fates([row("a"), row("b")], field=field, scale=scale) == {}
    same = [row(f"{n:03}", NILE, FIELDS) for n in range(150)]
    assert len(fates(same, field=field, scale=scale)) == (0 if field == "across" else 149)


@pytest.mark.parametrize(
    "option",
    [{"threshold": 0}, {"threshold": 1.1}, {"field": "title"}, {"scale": "rank"}, {"probes": 0}, {"within": ["id"]}],
)
def test_options_out_of_bounds_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SemanticDedup.model_validate({"embedder": "letters", **option})


def test_the_embedder_has_to_be_named() -> None:
    with pytest.raises(ValidationError):
        SemanticDedup.model_validate({})
    assert SemanticDedup(embedder="letters").embedders_used() == ["letters"]
