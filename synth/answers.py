r"""From what a model wrote to fields: found, repaired, checked, and asked for again where that fails.

    '<think>Short, in German.</think>Sure!\n```json\n{"query": "Wann tritt der Nil über die Ufer?",}\n```'
    -> Answer({"query": "Wann tritt der Nil über die Ufer?"})

What a model wrote is only ever read as JSON, never run. What it returns beyond its schema is ignored.
"""

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import json_repair
from pydantic import BaseModel, ValidationError

from synth.backend import Backend, Completion, Message, Request, Sampling

Reason = Literal["unreadable_answer", "truncated_answer", "refusal", "failed_request", "over_budget"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The fields of an answer, as its schema names and bounds them."""

    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a completion holds no answer: a slug that reports count, and what exactly was wrong."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The last completion for one request, what it says, and how many times was asked."""

    completion: Completion
    answer: Answer | Unreadable
    attempts: int = 1


FINAL: frozenset[Reason] = frozenset(("refusal", "failed_request", "over_budget"))
"""Reasons for which asking again is no use."""

MOST_STARTS = 100
"""How many opening braces of one text are tried."""

_THOUGHT = re.compile(r"\A.*</think>|<think>.*\Z", re.DOTALL | re.IGNORECASE)
_OBJECT = re.compile(r"\{\s*[\"'\w].*\}", re.DOTALL)
_REFUSAL = re.compile(
    r"""\W*(?:(?:i['’]?m|i\ am)\ (?:really\ |very\ |so\ )?sorry|sorry,|i\ (?:can['’]?t|cannot|can\ not|won['’]?t)
    |i['’]?m\ (?:unable|not\ able)|i\ am\ (?:unable|not\ able)|as\ an?\ (?:ai|language)|i\ must\ decline
    |unfortunately,\ i|es\ tut\ mir\ leid|ich\ kann\ nicht|(?:je\ suis\ )?désolé|je\ ne\ peux\ pas|lo\ siento|no\ puedo
    |desculpe|sinto\ muito|não\ posso|mi\ dispiace|non\ posso|het\ spijt\ me|przykro\ mi|omlouvám|üzgünüm|maaf|xin\ lỗi
    |tôi\ không\ thể|извините|простите|к\ сожалению|я\ не\ могу|вибачте|عذر|آسف|لا\ (?:أستطيع|يمكنني)|متأسف|מצטער|क्षमा
    |माफ़|मुझे\ खेद|抱歉|对不起|很抱歉|我不能|我无法|對不起|我無法|申し訳|すみません|죄송|ขออภัย|ขอโทษ|λυπάμαι|συγγνώμη)""",
    re.VERBOSE | re.IGNORECASE,
)


def read_answer(completion: Completion, model: type[BaseModel]) -> Answer | Unreadable:
    """What a completion says, as `model` wants it: the last object in it that fits; else why there is none.

    A request that failed, a reply that was cut off and a refusal are told from an answer that cannot be read.
    """
    if completion.error:
        return Unreadable("over_budget" if completion.finish_reason == "budget" else "failed_request", completion.error)
    if completion.finish_reason in ("content_filter", "refusal"):
        return Unreadable("refusal", f"the server stopped it: {completion.finish_reason}")
    cut = completion.finish_reason == "length"
    text = _after_thought(completion.text)
    mistake = ""
    for found in _objects(text, repair=not cut):
        try:
            return Answer(model.model_validate(found).model_dump(mode="json"))
        except ValidationError as error:
            mistake = mistake or _first_mistake(error)
    if cut:
        return Unreadable("truncated_answer", f"cut off after {completion.completion_tokens} tokens")
    if not mistake and _REFUSAL.match(text):
        return Unreadable("refusal", "it declined")
    return Unreadable("unreadable_answer", mistake or ("no JSON object" if text else "it is empty"))


def ask(backend: Backend, requests: Iterable[Request], model: type[BaseModel], attempts: int = 1) -> Iterator[Reply]:
    """One reply for each request, as they come. What cannot be read is asked for again, up to `attempts` times in all.

    Requests are drawn as the backend has room for them, those to be asked again first. A refusal is final, and so is a
    failed request: the backend has tried that as often as it is told to.
    """
    asked: dict[str, int] = {}
    again: deque[Request] = deque()

    waiting: Iterable[Request] = requests
    while True:
        for completion in backend.complete(_with_again(waiting, again)):
            name = completion.request.id
            attempt = asked.pop(name, 1)
            answer = read_answer(completion, model)
            follow_up = ask_again(completion, answer) if attempt < attempts else None
            if follow_up is None:
                yield Reply(completion, answer, attempt)
            else:
                asked[name] = attempt + 1
                again.append(follow_up)
        if not again:
            return
        waiting = ()


def _with_again(fresh: Iterable[Request], again: deque[Request]) -> Iterator[Request]:
    """Fresh requests, and before each what waits to be asked again by then; samples of one request stay together."""
    together = 0
    for request in fresh:
        while again and not together:
            yield again.popleft()
        together = together - 1 if together else request.more
        yield request
    while again:
        yield again.popleft()


def mean_logprob(completion: Completion) -> float:
    """The mean natural log-probability of a reply's tokens, minus infinity where the server gave none.

    The measure by which InPars (arXiv 2202.05144) ranks what a model wrote.
    """
    known = [token.logprob for token in completion.logprobs if token.logprob is not None]
    return round(sum(known) / len(known), 5) if known else float("-inf")


def sampling_of(backend: Backend, own: Sampling | None) -> Sampling:
    """How a step's replies are drawn: as the backend says, but for what the step sets itself."""
    return backend.sampling.model_copy(update=own.model_dump(exclude_unset=True)) if own else backend.sampling


def ask_again(completion: Completion, answer: Answer | Unreadable) -> Request | None:
    """The next request after an answer that could not be read, or None where asking again is no use.

    After a reply that was cut off it leaves twice the room; else it shows the model its reply and what was wrong.
    """
    request = completion.request
    if not isinstance(answer, Unreadable) or answer.reason in FINAL:
        return None
    if answer.reason == "truncated_answer":
        sampling = request.sampling.model_copy(update={"most_tokens": 2 * request.sampling.most_tokens})
        return replace(request, sampling=sampling, more=0)
    fields = ", ".join((request.schema or {}).get("properties", {}))
    shown = Message("assistant", completion.text[:2000] or "…")
    mend = Message(
        "user",
        f"That could not be read: {answer.detail}. Reply once more, with one JSON object and nothing before or after it"
        + (f", with exactly these fields: {fields}." if fields else "."),
    )
    return replace(request, messages=(*request.messages, shown, mend), more=0)


def _after_thought(text: str) -> str:
    """The text without what a reasoning model thought aloud; a thought that never ends is all there is.

    >>> _after_thought("<think>Is it {big}?</think> Yes")
    'Yes'
    """
    return _THOUGHT.sub("", text).strip()


def _objects(text: str, repair: bool) -> Iterator[dict[str, Any]]:
    """The JSON objects in a text, last first, then those directly inside them, then what can be repaired into one.

    >>> list(_objects('first {"a": 1}, better {"a": 2}', repair=False))
    [{'a': 2}, {'a': 1}]
    >>> list(_objects("{'a': 1,}", repair=True))
    [{'a': 1}]
    """
    whole = _decoded(text)
    yield from reversed(whole)
    for found in whole:
        yield from (value for value in found.values() if isinstance(value, dict))
    if repair:
        yield from _repaired(text)


def _decoded(text: str) -> list[dict[str, Any]]:
    """The valid objects of a text from left to right; control characters may stand in their strings."""
    decoder = json.JSONDecoder(strict=False)
    whole: list[dict[str, Any]] = []
    position = text.find("{")
    for _ in range(MOST_STARTS):
        if position < 0:
            break
        try:
            found, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
        else:
            whole.append(found)
        position = text.find("{", position)
    return whole


def _repaired(text: str) -> list[dict[str, Any]]:
    """What json-repair makes of a text. An object that never closes is left alone: half a query is worse than none."""
    likely = _OBJECT.search(text)
    if not likely:
        return []
    try:
        found = json_repair.loads(likely[0])
    except (ValueError, RecursionError):
        return []
    some = found if isinstance(found, list) else [found]
    return [value for value in some if isinstance(value, dict)]


def _first_mistake(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}"
