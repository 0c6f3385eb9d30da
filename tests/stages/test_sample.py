"""sample: what is drawn for each row, how often, and that nothing else changes a draw."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synth.errors import RecipeError
from synth.recipe import parse
from synth.stage import Context
from synth.stages.sample import Sample
from synth.types import Document, Dropped, Example
from synth.values import given_to, with_given


def rows(count: int) -> list[Example]:
    return [Example(id=f"row{n}", task="sts", query="q") for n in range(count)]


def drawn(stage: Sample, of: list[Example], **context: Any) -> list[Example]:
    return [row for row in stage.run(of, Context(step="sample", seed=7, **context)) if isinstance(row, Example)]


def within(seen: int, count: int, share: float) -> bool:
    """True inside four standard deviations of the binomial distribution."""
    return abs(seen - count * share) <= 4 * (count * share * (1 - share)) ** 0.5 + 1


AXES = {"length": {"short": {"weight": 3, "means": "five words"}, "long": 1}, "tone": ["dry", "warm"]}


def test_every_value_comes_as_often_as_its_weight_says() -> None:
    stage = Sample.model_validate(
        {"axes": AXES, "languages": {"en": 0.5, "sw": 0.3, "th": 0.2}, "probability": {"tone": 0.25}}
    )
    children = drawn(stage, rows(1000))
    axes = Counter((name, value) for child in children for name, value in child.meta["sample"]["axes"].items())
    languages = Counter(child.language for child in children)
    assert within(axes["length", "short"], 1000, 0.75)
    assert within(axes["tone", "dry"], 1000, 0.125)
    assert within(axes["tone", "warm"], 1000, 0.125)
    assert all(within(languages[code], 1000, share) for code, share in {"en": 0.5, "sw": 0.3, "th": 0.2}.items())


def test_axes_are_drawn_independently_of_each_other() -> None:
    stage = Sample.model_validate({"axes": {"a": ["x", "y"], "b": ["x", "y"]}, "per_document": 40})
    both = Counter(tuple(child.meta["sample"]["axes"].values()) for child in drawn(stage, rows(50)))
    assert all(within(count, 2000, 0.25) for count in both.values())
    assert len(both) == 4


def test_the_draws_of_one_row_are_spread_over_the_values() -> None:
    stage = Sample.model_validate({"languages": ["en", "sw", "th", "ar"], "per_document": 40})
    for row in rows(20):
        counts = Counter(child.language for child in drawn(stage, [row]))
        assert all(7 <= count <= 13 for count in counts.values())
        assert len(counts) == 4


def test_a_child_has_what_was_drawn_and_keeps_the_rest() -> None:
    document = Document("text", doc_id="d", language="de")
    parent = Example(id="p", task="sts", query="q", positives=(document,), language="de", tags=frozenset({"t"}))
    stage = Sample.model_validate({"axes": AXES, "languages": ["sw"], "documents": ["fr"]})
    [child] = drawn(stage, [parent])
    assert (child.query, child.task, child.positives, child.tags) == ("q", "sts", (document,), frozenset({"t"}))
    assert (child.language, given_to(child)["document_language"]) == ("sw", "fr")
    assert given_to(child)["length"] in ("five words", "long")
    assert child.parents == ("p",)
    assert set(stage.gives(Context())) == {"length", "tone", "document_language"}


def test_more_draws_rows_or_another_order_change_no_earlier_draw() -> None:
    few = Sample.model_validate({"axes": AXES, "languages": ["en", "sw"], "per_document": 2})
    more = few.model_copy(update={"per_document": 5})
    first = {child.id: child for child in drawn(few, rows(20))}
    assert first.items() <= {child.id: child for child in drawn(more, rows(30)[::-1])}.items()


def test_words_of_a_value_are_those_of_the_language_that_was_drawn() -> None:
    value = {"means": "five words", "in_language": {"zh": "ten characters"}}
    stage = Sample.model_validate({"axes": {"length": {"short": value}}, "languages": ["zh-Hant", "en"]})
    told = {child.language: given_to(child)["length"] for child in drawn(stage, rows(50))}
    assert told == {"zh-Hant": "ten characters", "en": "five words"}


def test_documents_may_be_in_another_language_or_in_pairs() -> None:
    other = Sample.model_validate({"languages": ["en", "sw", "th"], "documents": "other"})
    pairs = [(child.language, given_to(child)["document_language"]) for child in drawn(other, rows(300))]
    assert len(set(pairs)) == 6
    assert all(query != document for query, document in pairs)
    fixed = Sample.model_validate({"pairs": {"sw>en": 3, "de>th": 1}})
    counts = Counter((child.language, given_to(child)["document_language"]) for child in drawn(fixed, rows(400)))
    assert set(counts) == {("sw", "en"), ("de", "th")}
    assert within(counts["sw", "en"], 400, 0.75)


def test_the_recipes_languages_are_drawn_unless_it_has_its_own() -> None:
    shares = {"en": 0.5, "no": 0.5}
    assert {child.language for child in drawn(Sample(), rows(50), languages=shares)} == {"en", "no"}
    assert {child.language for child in drawn(Sample(languages={"sw": 1}), rows(5), languages=shares)} == {"sw"}
    assert {child.language for child in drawn(Sample(), rows(5))} == {""}
    row = with_given(Example(id="x", language="th"), {"document_language": "km"})
    [kept] = drawn(Sample(languages="same"), [row], languages=shares)
    assert (kept.language, given_to(kept)["document_language"]) == ("th", "km")
    assert not Sample(languages="same").uses_languages()
    assert Sample().uses_languages()
    assert not Sample(languages={"sw": 1}).uses_languages()


def test_the_task_is_drawn_by_weights_and_each_row_keeps_its_own_without_them() -> None:
    stage = Sample.model_validate({"tasks": {"sts": 7, "bitext": 2, "never": 0}})
    counts = Counter(child.task for child in drawn(stage, rows(900)))
    assert set(counts) == {"sts", "bitext"}
    assert within(counts["bitext"], 900, 2 / 9)
    assert {child.task for child in drawn(Sample(), rows(3))} == {"sts"}


LABELS = ["spam", "order", "refund", "praise", "recall", "praise", " "]


def listing(**lists: Any) -> list[Example]:
    return [with_given(row, lists) for row in rows(4)]


def test_each_text_of_the_end_of_a_list_is_drawn_once_before_any_comes_again() -> None:
    stage = Sample.model_validate({"lists": {"label": {"of": "labels", "tail": 0.6}}, "per_document": 6})
    children = drawn(stage, listing(labels=LABELS), given=frozenset({"labels"}))
    for parent in {child.parents for child in children}:
        labels = [given_to(child)["label"] for child in children if child.parents == parent]
        assert set(labels[:3]) == set(labels[3:]) == {"refund", "praise", "recall"}
    assert len({child.id for child in children}) == 24
    assert set(stage.gives(Context())) == {"label", "document_language"}


def test_a_row_without_the_list_is_dropped_and_more_draws_change_no_earlier_one() -> None:
    few = Sample.model_validate({"lists": {"label": "labels"}, "per_document": 2})
    ctx = Context(step="sample", seed=7, given=frozenset({"labels"}))
    [without, empty, text, *_] = [*rows(1), *listing(labels=[]), *listing(labels="praise")]
    fates = [outcome for outcome in few.run([without, empty, text], ctx) if isinstance(outcome, Dropped)]
    assert [fate.reason for fate in fates] == ["missing_value"] * 3
    more = few.model_copy(update={"per_document": 5})
    first = {child.id: child for child in drawn(few, listing(labels=LABELS), given=ctx.given)}
    later = {child.id: child for child in drawn(more, listing(labels=LABELS)[::-1], given=ctx.given)}
    assert first.items() <= later.items()


def test_a_list_that_no_step_gives_is_told_before_anything_is_asked() -> None:
    stage = Sample.model_validate({"lists": {"label": "label"}})
    with pytest.raises(RecipeError, match=r"step sample: lists.label: no step before gives 'label'.*labels"):
        stage.content_read(Context(step="sample", given=frozenset({"labels"})))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("languages: {xx: 1}", "languages: 'xx' is no language"),
        ("languages: {en: -1}", "weights are 0 or more"),
        ("documents: {english: 1}", "'english' is no language"),
        ("languages: same, documents: other", "leave `documents` out"),
        ("pairs: {sw: 1}", "a pair is `query>document`"),
        ("pairs: {sw>en: 1}, languages: [en]", "leave `languages` and `documents` out"),
        ("axes: {query: [a, b]}", "axes.query: call it something else: every row has that by itself"),
        ("axes: {Length: [a, b]}", "axes.Length: call it something else"),
        ("axes: {length: {a: 0}}", "axes.length: it has no value with a weight above 0"),
        ("probability: {length: 0.5}", "probability.length: it must be an axis"),
        ("per_document: 0", "per_document: must be"),
        ("tasks: {sts: 0}", "weights are 0 or more"),
        ("lists: {query: labels}", "lists.query: call it something else: every row has that by itself"),
        ("lists: {label: {of: labels, tail: 0}}", "lists.label.tail: must be"),
        ("lists: {label: labels}, axes: {label: [a, b]}", "lists.label: an axis is called so too"),
    ],
)
def test_a_mistake_is_told_in_one_line(options: str, said: str) -> None:
    text = f"# x\nsteps: [{{use: from_corpus}}, {{use: sample, {options}}}]"
    with pytest.raises(RecipeError) as caught:
        parse(text, Path("mine.yaml"))
    assert "mine.yaml: step 2 (sample): " in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("languages", "said"),
    [
        ("{en: 0.5, sw: 0.4}", "languages: the shares of all languages make 1; these make 0.9"),
        ("{klingon: 1}", "languages: 'klingon' is no language"),
        ("{en: 1.5, sw: -0.5}", "the shares of all languages make 1"),
    ],
)
def test_the_recipes_shares_must_make_one(languages: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        parse(f"# x\nlanguages: {languages}\nsteps: [{{use: from_corpus}}]", Path("mine.yaml"))


def test_norwegian_is_a_language_and_no_boolean() -> None:
    recipe = parse("# x\nlanguages: {no: 0.2, en: 0.8}\nsteps: [{use: from_corpus}]", Path("mine.yaml"))
    assert recipe.head.languages == {"no": 0.2, "en": 0.8}
