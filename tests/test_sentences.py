"""Sentences, words and spans in any script."""

import random
from itertools import pairwise

import pytest

from synth.sentences import has_letters, sentence_spans, sentences, terms, word_spans, words


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Dr. Ai paid 3.50 for it. Why? Nobody knows!", ["Dr. Ai paid 3.50 for it.", "Why?", "Nobody knows!"]),
        ("zh", "今天天气很好。我们去公园吧！好吗？", ["今天天气很好。", "我们去公园吧！", "好吗？"]),
        ("hi", "यह एक नदी है। वह बहती है।", ["यह एक नदी है।", "वह बहती है।"]),
        ("ar", "القاهرة كبيرة. هل زرتها؟ نعم.", ["القاهرة كبيرة.", "هل زرتها؟", "نعم."]),
        ("", "这是河。 It is long.", ["这是河。", "It is long."]),
        ("xx", "No such language. Still two.", ["No such language.", "Still two."]),
        ("", "", []),
        ("", " \n\t ", []),
    ],
)
def test_sentences_end_where_their_script_ends_them(language: str, text: str, expected: list[str]) -> None:
    assert sentences(text, language) == expected


def test_a_script_without_full_stops_is_cut_at_its_spaces_into_phrases_that_are_not_too_short() -> None:
    phrases = sentences("ก ข ค เรือออกจากท่าตอนเช้าตรู่แล้ว ผู้โดยสารทุกคนขึ้นเรือเรียบร้อย จบ", "th")
    assert phrases == ["ก ข ค เรือออกจากท่าตอนเช้าตรู่แล้ว", "ผู้โดยสารทุกคนขึ้นเรือเรียบร้อย", "จบ"]


def test_spans_point_at_the_sentences_whatever_the_text_is_made_of() -> None:
    rng = random.Random(5)
    alphabet = [*"ab .!?。\n\r\t\u00a0\u200b\u0301\x00กข។😀\ud800", "Dr. ", "...", "\n\n"]
    for _ in range(2000):
        text = "".join(rng.choices(alphabet, k=rng.randint(0, 40)))
        spans = sentence_spans(text, rng.choice(["", "en", "th"]))
        assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans)
        assert all(one[1] <= two[0] for one, two in pairwise(spans))
        assert "".join("".join(text[start:end].split()) for start, end in spans) == "".join(text.split())


def test_a_word_is_a_character_with_its_marks_where_no_spaces_are_written() -> None:
    assert words("Die Nil-Flut 今天 น้ำ") == ["Die", "Nil-Flut", "今", "天", "น้", "ำ"]
    assert [("to be"[a:b]) for a, b in word_spans("to be")] == ["to", "be"]


def test_terms_are_words_without_punctuation_or_a_few_neighbouring_characters() -> None:
    assert terms("«Привет», мир!") == ["Привет", "мир"]
    assert terms("नदी बहती है।") == ["नदी", "बहती", "है"]
    assert all(2 <= len(term) <= 4 for term in terms("ผู้โดยสารทุกคนขึ้นเรือ"))


def test_punctuation_alone_has_no_letters() -> None:
    assert not has_letters(" -–…!? ")
    assert has_letters("… ๕")
