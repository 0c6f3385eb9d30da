"""In a rehearsal every prompt gets an answer that can be read, and is asked for once."""

from pathlib import Path

import pytest

from synth.answers import Answer, ask
from synth.backend import Message, Request
from synth.prompt import Prompt, parse_prompt
from synth.recorder import LISTED, Recorder
from synth.registry import known

TEXT = "---\nabout: A document.\nreturns: {{{returns}}}\n---\n[user]\nWrite about the tides of the sea and the moon.\n"


def prompt(returns: str) -> Prompt:
    return parse_prompt(TEXT.format(returns=returns), "mine", Path("mine.jinja"))


def answers(one: Prompt, count: int = 30, attempts: int = 2) -> tuple[list[Answer], Recorder]:
    """What is made up for so many requests, and who did."""
    recorder = Recorder()
    asked = (Message("user", "A document of the tides of the sea, of the moon and of those who live by them. " * 5),)
    requests = [Request(id=str(number), messages=asked, schema=one.schema, sample=number) for number in range(count)]
    replies = list(ask(recorder, requests, one.answer, attempts))
    return [reply.answer for reply in replies if isinstance(reply.answer, Answer)], recorder


@pytest.mark.parametrize("name", sorted(known("prompts")))
def test_each_shipped_prompt_gets_an_answer_that_can_be_read(name: str) -> None:
    made, recorder = answers(Prompt.load(name))
    assert len(made) == len(recorder.asked) == 30


@pytest.mark.parametrize(
    "returns",
    [
        "query: {most: 5}",
        "query: {least: 200, most: 210}",
        "positive: {type: text, least: 2000}",
        "positive: {type: text, most: 40}",
        "score: {type: integer, least: -3, most: 3}, weight: {type: number, least: 0.5, most: 0.6}",
        "ideas: {type: list, least: 30, most: 40}",
        "ideas: {type: list, most: 1}",
        "order: {type: list, choices: [a, b], least: 1, most: 2}",
        "keep: {type: boolean}, kind: {choices: [one, other]}",
    ],
)
def test_any_bounds_are_kept_and_nothing_is_counted_twice(returns: str) -> None:
    made, recorder = answers(prompt(returns))
    assert len(made) == len(recorder.asked) == 30


def test_truths_are_true_lists_are_long_and_no_two_texts_are_the_same() -> None:
    made, _ = answers(prompt("keep: {type: boolean}, ideas: {type: list}"))
    assert all(answer.fields["keep"] is True for answer in made)
    ideas = [idea for answer in made for idea in answer.fields["ideas"]]
    assert len(set(ideas)) == len(ideas) == 30 * LISTED


def test_made_up_texts_are_in_the_script_of_the_request() -> None:
    asked = Request(id="x", messages=(Message("user", "ভাটা জোয়ার " * 20),), schema=prompt("query: {}").schema)
    (made,) = Recorder().complete([asked])
    assert "জোয়ার" in made.text
