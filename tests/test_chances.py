"""The probability of a word, out of log-probabilities as servers give them."""

import math
from collections.abc import Mapping

import pytest

from synth.backend import Completion, Message, Request, Token
from synth.chances import chance_of, likelihood_of

ASKED = Request(id="x", messages=(Message("user", "?"),))
LOG = {chance: math.log(chance) for chance in (0.9, 0.6, 0.3, 0.1, 0.05)}


def completion(*tokens: tuple[str, Mapping[str, float]]) -> Completion:
    made = tuple(Token(text, top.get(text, 0.0), top) for text, top in tokens)
    return Completion(request=ASKED, text="".join(text for text, _ in tokens), logprobs=made)


def plain(text: str) -> tuple[str, Mapping[str, float]]:
    return text, {text: 0.0}


@pytest.mark.parametrize(
    ("tokens", "chance"),
    [
        ([plain('{"answer": "'), ("yes", {"yes": LOG[0.9], "no": LOG[0.1]}), plain('"}')], 0.9),
        ([plain('{"answer": "'), ("no", {"no": LOG[0.9], "yes": LOG[0.1]}), plain('"}')], 0.1),
        ([plain('{"answer":'), (' "yes', {' "yes': LOG[0.6], ' "no': LOG[0.3]}), plain('"}')], 0.66667),
        ([plain('{"answer": "'), ("Yes", {"Yes": LOG[0.6], "yes": LOG[0.3], "No": LOG[0.1]}), plain('"}')], 0.9),
        ([plain('{"answer": "'), ("y", {"y": LOG[0.6], "n": LOG[0.3]}), plain('es"}')], 0.66667),
        ([plain('{"answer": "'), ("yes", {"yes": LOG[0.9], "maybe": LOG[0.1]}), plain('"}')], 1.0),
        ([plain('{"reason": "yes'), plain('", "answer": "'), ("no", {"no": LOG[0.6], "yes": LOG[0.3]})], 0.33333),
        ([plain('{"answer": "x"} {"answer": "'), ("yes", {"yes": LOG[0.3], "no": LOG[0.1]}), plain('"}')], 0.75),
    ],
)
def test_the_words_in_the_place_of_the_answer_are_weighed(
    tokens: list[tuple[str, Mapping[str, float]]], chance: float
) -> None:
    assert chance_of(completion(*tokens), "answer", ("yes", "no"), "yes") == chance


@pytest.mark.parametrize(("chosen", "chance"), [("yes", 1.0), ("no", 0.0)])
@pytest.mark.parametrize("tokens", [(), (plain("Sure."),), (plain('{"answer": "'), ("?", {"?": 0.0, "!": -3.0}))])
def test_without_a_weighed_word_what_was_chosen_is_certain(
    tokens: tuple[tuple[str, Mapping[str, float]], ...], chosen: str, chance: float
) -> None:
    assert chance_of(completion(*tokens), "answer", ("yes", "no"), chosen) == chance


def tokens(*words: str) -> list[Token]:
    """Tokens of a prompt, the first without a log-probability, each other one less likely than the one before."""
    return [Token(word, -float(place) if place else None) for place, word in enumerate(words)]


@pytest.mark.parametrize(
    ("words", "text", "mean"),
    [
        (("<s>", "a", "b", "c"), "b c", -2.5),
        (("<s>", "doc", "\n", "what", " fl", "oods", "?"), "what floods?", -4.5),
        (("<s>", "\n", "when", "does", "it"), "when does it", -3.0),
        (("<s>", "[/INST] wh", "en"), "when", -1.5),
        (("<s>", "\n", "\ufffd", "\ufffd", "は"), "猫は", -3.0),
        (("<s>", "\n", "は", "\ufffd", "\ufffd", "ど", "こ"), "は猫どこ", -4.0),
        (("<s>", "\n", "は", "", "猫", "ど"), "は猫ど", -3.5),
        (("<s>", "\n", "caf\u00e9"), "cafe\u0301", -2.0),
        (("<s>", "\n", "5", "km"), "５ｋｍ", -2.5),
        (("<s>", "what", "floods", "now"), "what floods", None),
        (("<s>", "who", " floods", "?"), "what floods?", None),
        (("<s>", "floods"), "what floods", None),
        (("what",), "what", None),
        ((), "what", None),
        (("<s>", "what"), " ", None),
    ],
)
def test_the_likelihood_of_a_text_is_that_of_its_own_words(words: tuple[str, ...], text: str, mean: float) -> None:
    assert likelihood_of(tokens(*words), text) == mean
