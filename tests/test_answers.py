"""From what a model wrote to fields."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from pydantic import PrivateAttr

from synth.answers import Answer, Unreadable, ask, read_answer, sampling_of
from synth.backend import Backend, Completion, Message, Request, Sampling
from synth.prompt_header import Header

HEADER = Header.model_validate(
    {
        "about": "a question and a score",
        "returns": {
            "query": {"type": "string", "most": 40},
            "score": {"type": "integer", "least": 0, "most": 3, "optional": True},
        },
    }
)
MODEL = HEADER.answer_model()
REQUEST = Request(id="1", messages=(Message("user", "ask"),), schema=HEADER.schema_of())


def read(text: str, **changes: Any) -> Answer | Unreadable:
    return read_answer(Completion(request=REQUEST, text=text, **{"finish_reason": "stop", **changes}), MODEL)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ('{"query": "when?"}', "when?"),
        ('```json\n{"query": "when?"}\n```', "when?"),
        ('Sure! Here it is:\n\n{"query": "when?"}\n\nHope it helps {really}.', "when?"),
        ('<think>Maybe {"query": "draft"}?</think>\n{"query": "when?"}', "when?"),
        ('so {"query": "draft"} it is</think>{"query": "when?"}', "when?"),
        ('A draft: {"query": "draft"}. Better: {"query": "when?"}', "when?"),
        ('{"query": "when?"} As {"an": "example"}', "when?"),
        ('{"answer": {"query": "when?"}}', "when?"),
        ('[{"query": "when?"}]', "when?"),
        ('{"query": "when,\n\t,}: why?", "score": 2}', "when, ,}: why?"),
        ("{'query': 'when?',}", "when?"),
        ('{query: "when?"}', "when?"),
        ('{"query": "when?" // the question\n}', "when?"),
        ('{"query": "the "big" one"}', 'the "big" one'),
        ('{"query": "when\x01 \n\tdoes\\u0000 it?"}', "when does it?"),
        ('{"query": "half \\ud83d a face"}', "half \ufffd a face"),
        ('{"query": "¿cuándo?", "score": "2", "more": [1]}', "¿cuándo?"),
        ('{"query": "जब नील उफनती है?"}', "जब नील उफनती है?"),
        ('{"query": "كم؟"}\u200f', "كم؟"),
    ],
)
def test_the_answer_is_found_and_repaired(text: str, query: str) -> None:
    answer = read(text)
    assert isinstance(answer, Answer)
    assert answer.fields["query"] == query
    assert set(answer.fields) == {"query", "score"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("  \n", "it is empty"),
        ("<think>only thoughts, no end", "it is empty"),
        ("When does the Nile flood?", "no JSON object"),
        ("{}", "query: field required"),
        ('{"query": ""}', "query: string should have at least 1 character"),
        ('{"query": "  \\n "}', "query: string should have at least 1 character"),
        ('{"query": null}', "query: input should be a valid string"),
        ('{"query": ["a"]}', "query: input should be a valid string"),
        ('{"query": 7}', "query: input should be a valid string"),
        ('{"query": "' + "x" * 41 + '"}', "query: string should have at most 40 characters"),
        ('{"query": "when", "score": 4}', "score: input should be less than or equal to 3"),
        ('{"query": "when", "score": NaN}', "score: input should be a finite number"),
        ('{"question": "when?"}', "query: field required"),
        ('{"query": "when does the Ni', "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ("{" * 5000, "no JSON object"),
        ('{"a":' * 3000, "no JSON object"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "no JSON object"),
        ("{[(" * 500 + "}", "no JSON object"),
        ('__import__("os").system("echo hi")', "no JSON object"),
    ],
)
def test_what_cannot_be_read_is_said_to_be_so(text: str, said: str) -> None:
    answer = read(text)
    assert isinstance(answer, Unreadable)
    assert answer.reason == "unreadable_answer"
    assert said in answer.detail


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot write such a query.",
        "As an AI language model, I …",
        "Es tut mir leid, das kann ich nicht.",
        "Lo siento, pero no puedo.",
        "Je suis désolée, mais",
        "К сожалению, я не могу помочь.",
        "抱歉，我无法回答。",
        "申し訳ありませんが、お答えできません。",
        "عذرًا، لا أستطيع المساعدة.",
        "क्षमा करें, मैं मदद नहीं कर सकता।",
        "ขออภัย ฉันไม่สามารถช่วยได้",
        "죄송하지만 도와드릴 수 없습니다.",
    ],
)
def test_a_refusal_is_told_from_an_answer_that_cannot_be_read(text: str) -> None:
    answer = read(text)
    assert isinstance(answer, Unreadable)
    assert answer.reason == "refusal"


def test_a_query_that_sounds_like_a_refusal_is_an_answer() -> None:
    assert isinstance(read('{"query": "I can\'t log in, what now?"}'), Answer)


@pytest.mark.parametrize(
    ("text", "changes", "reason"),
    [
        ('{"query": "when does', {"finish_reason": "length", "completion_tokens": 9}, "truncated_answer"),
        ('{"query": "a", "score": {"x": 1}', {"finish_reason": "length"}, "truncated_answer"),
        ('{"query": "a", "more": {"x": 1}', {"finish_reason": "length"}, "truncated_answer"),
        ("", {"finish_reason": "length"}, "truncated_answer"),
        ("I will not.", {"finish_reason": "refusal"}, "refusal"),
        ("", {"finish_reason": "content_filter"}, "refusal"),
        ("", {"error": "500: oops"}, "failed_request"),
    ],
)
def test_each_way_to_fail_has_its_reason(text: str, changes: dict[str, Any], reason: str) -> None:
    answer = read(text, **changes)
    assert isinstance(answer, Unreadable)
    assert answer.reason == reason


def test_an_answer_that_was_whole_before_it_was_cut_off_is_read() -> None:
    assert isinstance(read('{"query": "when?"}\n\nNote that', finish_reason="length"), Answer)


class Parrot(Backend):
    """Says one text after the other, and remembers what it was asked."""

    _says: list[Completion] = PrivateAttr()
    _asked: list[Request] = PrivateAttr(default_factory=list)

    @classmethod
    def of(cls, *texts: str | dict[str, Any]) -> "Parrot":
        parrot = cls()
        parrot._says = [
            Completion(request=REQUEST, **({"text": t, "finish_reason": "stop"} if isinstance(t, str) else t))
            for t in texts
        ]
        return parrot

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            self._asked.append(request)
            said = self._says.pop(0)
            yield Completion(request=request, text=said.text, finish_reason=said.finish_reason, error=said.error)

    @property
    def asked(self) -> list[Request]:
        return self._asked


def test_an_unreadable_answer_is_asked_for_again_with_what_was_wrong() -> None:
    parrot = Parrot.of("hm", '{"query": "when?"}')
    [reply] = ask(parrot, [REQUEST], MODEL, attempts=2)
    assert isinstance(reply.answer, Answer)
    assert reply.attempts == 2
    first, second = parrot.asked
    assert first == REQUEST
    assert second.id == REQUEST.id
    assert [m.role for m in second.messages] == ["user", "assistant", "user"]
    assert second.messages[1].content == "hm"
    assert "no JSON object" in second.messages[2].content
    assert "exactly these fields: query, score" in second.messages[2].content


def test_after_the_last_attempt_the_last_reply_is_what_there_is() -> None:
    parrot = Parrot.of("a", "b", "c")
    [reply] = ask(parrot, [REQUEST], MODEL, attempts=3)
    assert reply.completion.text == "c"
    assert isinstance(reply.answer, Unreadable)
    assert len(parrot.asked) == 3


def test_a_reply_that_was_cut_off_is_asked_for_with_twice_the_room() -> None:
    parrot = Parrot.of({"text": '{"qu', "finish_reason": "length"}, '{"query": "when?"}')
    [reply] = ask(parrot, [REQUEST], MODEL, attempts=2)
    assert isinstance(reply.answer, Answer)
    assert [r.sampling.most_tokens for r in parrot.asked] == [1024, 2048]
    assert parrot.asked[1].messages == REQUEST.messages


@pytest.mark.parametrize("said", [{"error": "503"}, {"text": "no", "finish_reason": "refusal"}])
def test_a_refusal_and_a_failed_request_are_final(said: dict[str, Any]) -> None:
    parrot = Parrot.of(said, "never")
    [reply] = ask(parrot, [REQUEST], MODEL, attempts=5)
    assert isinstance(reply.answer, Unreadable)
    assert reply.attempts == 1


def test_nothing_is_asked_of_nothing() -> None:
    assert list(ask(Parrot.of(), [], MODEL, attempts=3)) == []


def test_replies_come_one_by_one() -> None:
    parrot = Parrot.of("hm", '{"query": "a"}', '{"query": "b"}', '{"query": "c"}')
    replies = ask(parrot, [REQUEST] * 3, MODEL, attempts=2)
    next(replies)
    assert len(parrot.asked) == 2
    assert [r.attempts for r in replies] == [1, 1], "what could not be read was asked for again at once"


def test_a_step_changes_of_the_sampling_what_it_sets() -> None:
    backend = Parrot(sampling=Sampling(temperature=0.6, most_tokens=9))
    assert sampling_of(backend, None) == backend.sampling
    assert sampling_of(backend, Sampling(temperature=0)) == Sampling(temperature=0, most_tokens=9)
