"""The scripted backend: replies from a file, or made up from a schema."""

import json
from pathlib import Path
from typing import Any

import pytest

from synth.answers import Answer, read_answer
from synth.backend import Completion, Message, Request, Sampling
from synth.backends.scripted import Scripted, request_hash
from synth.errors import RecipeError
from synth.prompt import Prompt

NILE = Request(id="n", messages=(Message("system", "the Rhine"), Message("user", "The Nile floods each summer.")))
QUERY = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


def replies(folder: Path, *lines: object) -> Scripted:
    file = folder / "replies.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return Scripted(replies=str(file))


def only(backend: Scripted, request: Request) -> Completion:
    [done] = backend.complete([request])
    return done


def changed(request: Request, **changes: Any) -> Request:
    return Request(**{name: getattr(request, name) for name in request.__slots__} | changes)


def test_a_line_answers_what_its_texts_stand_in(tmp_path: Path) -> None:
    backend = replies(tmp_path, {"when": ["Nile", "Rhine"], "text": "no"}, {"when": ["Nile", "summer"], "text": "yes"})
    done = only(backend, NILE)
    assert (done.text, done.finish_reason, done.model, done.error) == ("yes", "stop", "scripted", "")
    assert done.prompt_tokens > 0


def test_a_line_answers_one_request_by_its_hash(tmp_path: Path) -> None:
    backend = replies(tmp_path, {"request": request_hash(NILE), "text": "found"})
    assert only(backend, changed(NILE, id="other")).text == "found"
    assert only(backend, changed(NILE, sample=1)).error
    assert only(backend, changed(NILE, schema=QUERY)).error


def test_the_lines_that_fit_are_for_one_sample_after_the_other_in_any_order(tmp_path: Path) -> None:
    backend = replies(tmp_path, *({"when": "Nile", "text": text} for text in "abc"), {"when": "Amazon", "text": "x"})
    asked = [changed(NILE, sample=sample) for sample in (2, 0, 3, 1)]
    done = list(backend.complete(asked))
    assert [c.text for c in done] == ["c", "a", "", "b"]
    assert "replies.jsonl: only 3 lines of it answer this request" in done[2].error


def test_a_line_may_name_its_sample(tmp_path: Path) -> None:
    backend = replies(tmp_path, {"when": "Nile", "text": "a"}, {"when": "Nile", "text": "z", "sample": 7})
    assert [only(backend, changed(NILE, sample=s)).text for s in (0, 1, 7)] == ["a", "", "z"]


def test_a_line_with_an_object_answers_only_a_schema_that_knows_its_fields(tmp_path: Path) -> None:
    backend = replies(tmp_path, {"when": "Nile", "reply": {"score": 2}}, {"when": "Nile", "reply": {"query": "wann?"}})
    assert only(backend, changed(NILE, schema=QUERY)).text == '{"query": "wann?"}'
    assert only(backend, NILE).text == '{"score": 2}'


def test_a_line_answers_after_as_many_replies_as_it_says(tmp_path: Path) -> None:
    backend = replies(tmp_path, {"when": "Nile", "text": "first"}, {"when": "Nile", "text": "second", "turn": 1})
    again = changed(NILE, messages=(*NILE.messages, Message("assistant", "first"), Message("user", "once more")))
    assert [only(backend, r).text for r in (NILE, again)] == ["first", "second"]


def test_a_line_may_fail_or_be_cut_off(tmp_path: Path) -> None:
    backend = replies(
        tmp_path, {"when": "Nile", "error": "gone"}, {"when": "Nile", "text": "{", "finish_reason": "length"}
    )
    assert only(backend, NILE).error == "gone"
    assert only(backend, changed(NILE, sample=1)).finish_reason == "length"


def test_what_no_line_answers_is_a_failed_request(tmp_path: Path) -> None:
    assert "no line of it answers" in only(replies(tmp_path, {"when": "Amazon", "text": "x"}), NILE).error
    assert "no line of it answers" in only(replies(tmp_path), NILE).error


def test_paths_are_relative_to_the_recipe_where_there_is_one(tmp_path: Path) -> None:
    replies(tmp_path, {"when": "Nile", "text": "found"})
    backend = Scripted.model_validate({"replies": "replies.jsonl"}, context={"folder": tmp_path})
    assert only(backend, NILE).text == "found"


def test_the_content_of_the_file_is_part_of_what_decides_the_replies(tmp_path: Path) -> None:
    before = replies(tmp_path, {"when": "Nile", "text": "a"}).identity()
    assert before != replies(tmp_path, {"when": "Nile", "text": "b"}).identity()
    assert before == replies(tmp_path, {"when": "Nile", "text": "a"}).identity()
    assert Scripted().identity() != before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{no", "this is no JSON"),
        ("[1]", "valid dictionary"),
        ({"text": "x"}, "needs `when:` or `request:`"),
        ({"when": "a", "text": "x", "reply": {}}, "one is enough"),
        ({"when": "a", "txt": "x"}, "no option is called 'txt'"),
        (b"\xff\xfe".decode("latin1"), "this is no JSON"),
    ],
)
def test_a_line_that_cannot_be_read_is_told_with_its_place(tmp_path: Path, line: object, said: str) -> None:
    backend = replies(tmp_path, {"when": "a", "text": "fine"}, "", line)
    with pytest.raises(RecipeError) as caught:
        list(backend.complete([NILE]))
    assert "replies.jsonl:3: " in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.jsonl: the file of replies cannot be read"):
        list(Scripted(replies=str(tmp_path / "none.jsonl")).complete([NILE]))


@pytest.mark.parametrize("name", ["grounded/question", "judge/relevance"])
def test_without_a_file_the_answers_fit_the_schema(name: str) -> None:
    prompt = Prompt.load(name)
    values = dict.fromkeys(prompt.declared, "猫が窓のそばで眠っている。外では雨が降っていて、庭の木がぬれている。" * 9)
    requests = [Request(id=str(n), messages=prompt.render(values), schema=prompt.schema, sample=n) for n in range(50)]
    done = list(Scripted().complete(requests))
    assert all(isinstance(read_answer(c, prompt.answer), Answer) for c in done)
    assert len({c.text for c in done}) > 40


def test_without_a_file_every_kind_of_field_is_made_up() -> None:
    schema = {
        "type": "object",
        "properties": {
            "flag": {"type": "boolean"},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "parts": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2},
            "needs": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 4},
        },
    }
    for sample in range(20):
        made = json.loads(only(Scripted(), changed(NILE, schema=schema, sample=sample)).text)
        assert isinstance(made["flag"], bool)
        assert 0 <= made["share"] <= 1
        assert made["kind"] in ("a", "b")
        assert len(made["parts"]) == len(made["needs"]) == 2
    assert only(Scripted(), NILE).text


def test_the_same_request_always_has_the_same_answer() -> None:
    requests = [changed(NILE, sample=n, schema=QUERY) for n in range(5)]
    first = {c.request.sample: c.text for c in Scripted().complete(requests)}
    assert first == {c.request.sample: c.text for c in Scripted().complete(reversed(requests))}
    seeded = changed(NILE, schema=QUERY, sampling=Sampling(seed=1))
    assert only(Scripted(), seeded).text != first[0]


def test_a_request_without_a_word_is_answered_too() -> None:
    assert only(Scripted(), Request(id="x", messages=())).text
    assert only(Scripted(), Request(id="x", messages=(Message("user", ""),), schema=QUERY)).text


def test_a_text_is_weighed_as_a_line_says_or_by_the_hash_of_the_request(tmp_path: Path) -> None:
    weighed = changed(NILE, messages=(*NILE.messages, Message("assistant", "what floods?")), prompt_logprobs=True)
    other = changed(weighed, messages=(*NILE.messages, Message("assistant", "what sinks?")))
    backend = replies(tmp_path, {"when": ["Nile", "what floods?"], "logprob": -1.5}, {"when": "sinks", "text": ""})
    assert [(token.text, token.logprob) for token in only(backend, weighed).prompt_logprobs] == [
        ("", None), *((part, -1.5) for part in ("what", " ", "floods", "?"))
    ]  # fmt: skip
    made_up = [only(Scripted(), request).prompt_logprobs for request in (weighed, weighed, other)]
    assert made_up[0] == made_up[1]
    assert made_up[0][1].logprob != made_up[2][1].logprob
    assert only(backend, other).prompt_logprobs == made_up[2]
    assert only(backend, NILE).error
