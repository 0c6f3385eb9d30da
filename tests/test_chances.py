"""The probability of a word, out of log-probabilities as servers give them."""

import math
from collections.abc import Mapping

import pytest

from synth.backend import Completion, Message, Request, Token
from synth.chances import chance_of

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
