"""Whether rows became what was asked for, in rows whose answer is known."""

import pytest
from pydantic import ValidationError

from synth.axis_check import Check
from synth.compliance import Asked, Axes, Languages, is_question, languages, met, questions, same_language
from synth.types import Document, Example

NILE = {
    "en": "when does the river rise in the summer",
    "de": "wann steigt der Fluss im Sommer über die Ufer",
    "es": "por qué crece el río durante el verano",
    "zh": "这条河每年夏天什么时候会上涨并淹没田地",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("When does it flood?", True),
        ("“When does it flood?”", True),
        ("(When does it flood?) ", True),
        ("When?!", True),
        ("何時ですか？", True),
        ("متى يفيض النهر؟", True),
        ("Ե՞րբ", True),
        ("τι είναι αυτό;", True),
        ("መቼ፧", True),
        ("¿Cuándo?", True),
        ("a list; of things;", False),
        ("when? today", False),
        ("the Nile floods.", False),
        ("¿", False),
        ("", False),
    ],
)
def test_a_question_ends_in_a_question_mark_of_any_script(text: str, expected: bool) -> None:
    assert is_question(text) is expected


def test_questions_are_a_share_of_the_texts_that_say_anything() -> None:
    assert questions(["when?", "the Nile", " ", "", "why?", "how"]) == (4, 0.5)
    assert questions([""]) == (0, None)


@pytest.mark.parametrize(
    ("check", "text", "expected"),
    [
        (Check(least_words=3), "two words", False),
        (Check(least_words=3), "now three words", True),
        (Check(most_words=3), "four words are here", False),
        (Check(least_words=2, most_words=2), "two words", True),
        (Check(most_words=4), "今天天气很好吗", True),
        (Check(least_words=5), "今天天气很好吗", False),
        (Check(question_mark=True), "when?", True),
        (Check(question_mark=True), "when", False),
        (Check(question_mark=True), "ถ้าฝนตกจะได้ค่าเช่าคืนไหม", None),
        (Check(question_mark=False), "when?", False),
        (Check(question_mark=False), "ถ้าฝนตก", True),
        (Check(language="de"), NILE["de"], True),
        (Check(language="de"), NILE["en"], False),
        (Check(language="zh-Hans"), NILE["zh"], True),
        (Check(language="de"), "Nile flood", None),
        (Check(language="xx-none"), NILE["en"], None),
        (Check(language="de", most_words=2), NILE["de"], False),
    ],
)
def test_a_check_sees_words_marks_and_languages(check: Check, text: str, expected: bool | None) -> None:
    assert met(check, text) is expected


@pytest.mark.parametrize("options", [{}, {"least_words": 3, "most_words": 2}, {"most_words": -1}, {"longest": 3}])
def test_a_check_that_can_see_nothing_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Check.model_validate(options)


@pytest.mark.parametrize(
    ("found", "tag", "expected"),
    [
        ("de", "de", True),
        ("de", "de-AT", True),
        ("no", "nb", True),
        ("tl", "fil", True),
        ("sr", "hr", True),
        ("en", "sco", True),
        ("de", "en", False),
        ("es", "pt", False),
        ("de", "no tag", False),
    ],
)
def test_languages_hardly_told_apart_are_one(found: str, tag: str, expected: bool) -> None:
    assert same_language(found, tag) is expected


def test_languages_asked_for_stand_beside_those_identified() -> None:
    texts = [NILE["en"], NILE["de"], NILE["de"], NILE["es"], NILE["de"], "12:30"]
    assert languages(texts, ["en", "de", "en", "es", "", "de"]) == Languages(
        {"de": {"": 1, "de": 1}, "en": {"de": 1, "en": 1}, "": {"de": 1}, "es": {"es": 1}}, n=4, mismatch=0.25
    )


def test_no_language_is_held_against_texts_that_name_none() -> None:
    assert languages([NILE["en"]], [""]) == Languages({"": {"en": 1}}, n=0, mismatch=None)
    assert languages([], []) == Languages({}, n=0, mismatch=None)


def test_no_language_is_held_against_texts_of_a_word_or_two() -> None:
    assert languages(["Überschwemmungen Flussniederungen"], ["en"]) == Languages({"en": {"de": 1}}, 0, None)


def row(number: int, query: str, positive: str = "", **axes: str) -> Example:
    noted = {"generate": {"prompt": "p", "draw": 0, "axes": axes}} if axes else {}
    positives = (Document(positive),) if positive else ()
    return Example(id=str(number), query=query, positives=positives, meta=noted | {"rule": "x", "parents": ["y"]})


def test_each_value_of_an_axis_is_held_to_its_check() -> None:
    checks = {"p": {"form": {"question": Check(question_mark=True), "keywords": Check(most_words=2)}}}
    axes = Axes(checks)
    for number, (query, form, angle) in enumerate(
        [
            ("when does it flood?", "question", "gist"),
            ("when does it flood", "question", "detail"),
            ("why?", "question", "gist"),
            ("nile flood", "keywords", "gist"),
            ("nile flood season mud", "keywords", "gist"),
            ("", "keywords", "gist"),
        ]
    ):
        axes.add(row(number, query, form=form, angle=angle))
    axes.add(row(9, "no axes"))
    assert axes.found() == (
        Asked("p", "angle", "gist", rows=5, n=0, met=0, share=None, words=2),
        Asked("p", "angle", "detail", rows=1, n=0, met=0, share=None, words=4),
        Asked("p", "form", "keywords", rows=3, n=2, met=1, share=0.5, words=2),
        Asked("p", "form", "question", rows=3, n=3, met=2, share=0.66667, words=4),
    )


def test_a_check_may_be_of_the_positive() -> None:
    axes = Axes({"p": {"length": {"long": Check(of="positive", least_words=4)}}})
    for number, positive in enumerate(["one two three four", "one two", ""]):
        axes.add(row(number, "a query of five words", positive, length="long"))
    assert axes.found() == (Asked("p", "length", "long", rows=3, n=2, met=1, share=0.5, words=2),)


def test_no_more_values_are_told_than_asked_for() -> None:
    axes = Axes({})
    for number in range(30):
        axes.add(row(number, "query", topic=f"t{number % 10}"))
    assert len(axes.found(most=4)) == 4
    assert len(axes.found()) == 10
