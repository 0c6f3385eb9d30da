"""The openai backend against a real server on this machine that fails when it is told to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import ValidationError

from synth.backend import Completion, Message, Request, Sampling
from synth.backends.openai import OpenAI
from synth.errors import BackendError
from tests.servers import ChatServer, Fault, Said

KEY = "sk-planted-key-5591"
SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


def asked(n: int = 1, **changes: object) -> list[Request]:
    made = {"schema": SCHEMA, **changes}
    return [Request(id=str(k), messages=(Message("user", f"document {k}"),), **made) for k in range(n)]  # type: ignore[arg-type]


def backend(server: ChatServer, **options: object) -> OpenAI:
    return OpenAI.model_validate({"model": "tiny", "base_url": server.base_url, "first_wait_s": 0.01, **options})


def completed(server: ChatServer, requests: list[Request], **options: object) -> list[Completion]:
    with closing(backend(server, **options)) as made:
        return list(made.complete(iter(requests)))


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_each_request_gets_its_own_completion_and_all_places_are_used() -> None:
    together = threading.Barrier(8, timeout=20)

    def answer(body: dict[str, Any]) -> str:
        if len(server.seen) > 1:  # the first is sent alone
            together.wait()
        return f"about {body['messages'][0]['content']}"

    with ChatServer(answer) as server:
        done = completed(server, asked(41), most_concurrent=8)
    assert {c.request.id: c.text for c in done} == {str(k): f"about document {k}" for k in range(41)}
    assert server.most_at_once == 8


def test_a_completion_says_what_it_took() -> None:
    with ChatServer(lambda body: Said("hm", "length", 100, 20)) as server:
        [done] = completed(server, asked())
    assert (done.text, done.finish_reason, done.model, done.error) == ("hm", "length", "tiny", "")
    assert (done.prompt_tokens, done.completion_tokens, done.cached_tokens) == (100, 20, 3)
    assert done.latency_s > 0


def test_what_is_sent_is_the_whole_request() -> None:
    sampling = Sampling(temperature=0.5, top_p=0.9, most_tokens=77, seed=3, stop=("\n\n",))
    with ChatServer() as server:
        completed(server, asked(sampling=sampling, sample=2))
    [body] = server.seen
    assert body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "document 0"}],
        "max_tokens": 77,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 5,
        "stop": ["\n\n"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}},
    }


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    with ChatServer() as server:
        completed(server, asked(schema=None))
    assert set(server.seen[0]) == {"model", "messages", "max_tokens"}


def test_every_script_and_half_a_character_go_over_the_wire() -> None:
    text = "ไทย हिन्दी עברית \ud800 \x00 😀"
    request = Request(id="x", messages=(Message("user", text),))
    with ChatServer(lambda body: body["messages"][0]["content"]) as server:
        [done] = completed(server, [request])
    assert done.text == text.replace("\ud800", "?")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, "slow down"),
        Fault(429, "slow down", headers={"Retry-After": "0.01"}),
        Fault(500, "oops"),
        Fault(503, "busy"),
        Fault(408, "late"),
        Fault(breaks=True),
        Fault(halves=True),
        Fault(body=b'{"choices": ['),
        Fault(body=b'{"error": {"message": "in disguise"}}'),
        Fault(body=b"<html>proxy</html>"),
        Fault(hangs_s=20),
    ],
    ids=lambda fault: str(fault)[6:60],
)
def test_what_may_pass_is_tried_again(fault: Fault) -> None:
    with ChatServer(lambda body: "fine", faults=(None, fault, fault)) as server:
        done = completed(server, asked(6), most_concurrent=2, timeout_s=0.5 if fault.hangs_s else 30)
    assert [c.text for c in done] == ["fine"] * 6
    assert len(server.seen) == 8


def test_what_does_not_pass_is_a_completion_with_an_error() -> None:
    with ChatServer(lambda body: "fine", faults=(Fault(500, "oops"),) * 3) as server:
        [done] = completed(server, asked(1), most_tries=3)
        assert len(server.seen) == 3
    assert done.error == "500: oops"
    assert done.text == ""


def test_a_request_that_the_server_cannot_take_fails_alone() -> None:
    long = "This model's maximum context length is 512 tokens, for messages, schema and 'max_completion_tokens' instead"
    with ChatServer(
        lambda body: "fine", refuses=lambda body: Fault(400, long) if "1" in body["messages"][0]["content"] else None
    ) as server:
        done = completed(server, asked(3))
    assert {c.request.id: c.error for c in done} == {"0": "", "1": f"400: {long}", "2": ""}
    assert len(server.seen) == 3


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for(as_date: bool) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if as_date else "0.7"
    with ChatServer(lambda body: "fine", faults=(Fault(429, "slow down", headers={"Retry-After": until}),)) as server:
        started = datetime.now(UTC)
        completed(server, asked(1))
    assert (datetime.now(UTC) - started).total_seconds() >= (0.9 if as_date else 0.7)


def test_rows_come_while_others_are_in_flight() -> None:
    released = threading.Event()

    def answer(body: dict[str, object]) -> str:
        if "document 0" in json.dumps(body):
            assert released.wait(20)
        return "fine"

    drawn: list[str] = []

    def requests() -> Iterator[Request]:
        for request in asked(300):
            drawn.append(request.id)
            yield request

    with ChatServer(answer) as server, closing(backend(server, most_concurrent=3)) as made:
        completions = made.complete(requests())
        first = [next(completions).request.id for _ in range(10)]
        assert "0" not in first
        assert len(drawn) <= 3 + 32 + 13, "no more is drawn than can be sent soon"
        released.set()
        rest = [c.request.id for c in completions]
    assert sorted(first + rest, key=int) == [str(k) for k in range(300)]
    assert server.most_at_once <= 3


def test_two_steps_share_the_places_of_one_backend() -> None:
    three, met = threading.Barrier(3), []

    def answer(body: dict[str, Any]) -> str:
        try:
            met.append(three.wait(0.3))
        except threading.BrokenBarrierError:
            return "fine"
        return "too many at once"

    with ChatServer(answer) as server, closing(backend(server, most_concurrent=2)) as made:
        done: list[int] = []
        threads = [threading.Thread(target=lambda: done.append(len(list(made.complete(asked(9)))))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert done == [9, 9, 9]
    assert met == []


def test_a_caller_who_stops_early_gives_the_places_back() -> None:
    released, both = threading.Event(), threading.Barrier(2, timeout=20)

    def answer(body: dict[str, Any]) -> str:
        if body["messages"][0]["content"] == "document 1":
            released.wait(20)
        if "schema" in json.dumps(body):
            both.wait()
        return "fine"

    with ChatServer(answer) as server, closing(backend(server, most_concurrent=2)) as made:
        completions = made.complete(asked(1000, schema=None))
        assert next(completions).request.id == "0"
        completions.close()  # type: ignore[attr-defined]  # a generator
        assert len(list(made.complete([*asked(1), *asked(3)[2:]]))) == 2
        released.set()
    assert len(server.seen) < 9


def test_a_backend_works_again_after_it_was_closed() -> None:
    with ChatServer(lambda body: "fine") as server:
        made = backend(server)
        for _ in range(2):
            assert len(list(made.complete(asked(2)))) == 2
            made.close()
        made.close()


def test_an_error_of_the_asker_is_raised_as_it_is() -> None:
    def requests() -> Iterator[Request]:
        yield from asked(2)
        raise KeyError("planted")

    with ChatServer() as server, closing(backend(server)) as made, pytest.raises(KeyError, match="planted"):
        list(made.complete(requests()))


@pytest.mark.parametrize(
    ("said", "param", "left"),
    [
        ("response_format json_schema is not supported", "response_format", "json_object"),
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "max_tokens", None),
        ("Unsupported value: 'temperature' does not support 0.2 with this model.", "temperature", None),
        ("seed: Extra inputs are not permitted, unexpected", "seed", None),
    ],
)  # fmt: skip
def test_what_a_server_does_not_take_is_left_out_from_then_on(said: str, param: str, left: str | None) -> None:
    def refuses(body: dict[str, object]) -> Fault | None:
        wanted = body.get("response_format")
        schema = isinstance(wanted, dict) and wanted["type"] == "json_schema"
        return Fault(400, said) if (schema if left else param in body) else None

    requests = asked(6, sampling=Sampling(temperature=0.2, seed=1))
    with ChatServer(lambda body: "fine", refuses=refuses) as server:
        done = completed(server, requests, most_concurrent=1)
    assert [c.text for c in done] == ["fine"] * 6
    assert len(server.seen) == 7
    last = server.seen[-1]
    assert last["response_format"] == {"type": left} if left else param not in last
    assert param != "max_tokens" or last["max_completion_tokens"] == 1024


def test_a_server_that_takes_no_form_of_schema_gets_the_prompt_alone() -> None:
    def refuses(body: dict[str, Any]) -> Fault | None:
        return Fault(400, "unknown field response_format") if "response_format" in body else None

    with ChatServer(lambda body: "fine", refuses=refuses) as server:
        done = completed(server, asked(4), most_concurrent=4)
    assert [c.text for c in done] == ["fine"] * 4


def test_a_reply_in_parts_or_in_thoughts_is_read() -> None:
    parts = Said(
        message={"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    )
    thought = Said(message={"role": "assistant", "content": None, "reasoning_content": '{"query": "x"}'})
    refused = Said(message={"role": "assistant", "content": None, "refusal": "I will not."})
    for said, text, finish in (
        (parts, "ab", "stop"),
        (thought, '{"query": "x"}', "stop"),
        (refused, "I will not.", "refusal"),
    ):
        with ChatServer(lambda body, said=said: said) as server:
            [done] = completed(server, asked())
        assert (done.text, done.finish_reason) == (text, finish)


def test_no_server_is_one_line_with_the_cure() -> None:
    with ChatServer() as server:
        url = server.base_url
    made = OpenAI(model="tiny", base_url=url, first_wait_s=0.01)
    with closing(made), pytest.raises(BackendError) as caught:
        list(made.complete(asked(3)))
    assert str(caught.value) == f"{url}: no server answers there; start one, or mend `base_url:`"


def test_a_server_that_goes_away_ends_the_run() -> None:
    with ChatServer() as server:
        made = backend(server, most_tries=3)
        assert len(list(made.complete(asked(2)))) == 2
    with closing(made), pytest.raises(BackendError, match="no server answers there"):
        list(made.complete(asked(2)))


def test_an_unknown_model_is_told_with_those_there_are() -> None:
    with ChatServer(models=("tiny", "qwen3-8b")) as server, pytest.raises(BackendError) as caught:
        completed(server, asked(3), model="qwen3-b8")
    assert "no model is called 'qwen3-b8'; did you mean 'qwen3-8b'?; there are qwen3-8b, tiny" in str(caught.value)


def test_a_model_that_is_not_set_is_told_with_those_there_are() -> None:
    with ChatServer() as server, pytest.raises(BackendError, match="`model:` is not set; there are tiny"):
        completed(server, asked(1), model="")


def test_a_wrong_path_is_told_with_the_likely_cure() -> None:
    with ChatServer() as server, pytest.raises(BackendError, match="does `base_url:` end in /v1"):
        completed(server, asked(1), base_url=server.base_url.removesuffix("/v1"))


def test_a_wrong_key_is_told_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with ChatServer(key="another") as server:
        made = backend(server, key_env="MY_KEY")
        with closing(made), pytest.raises(BackendError) as caught:
            list(made.complete(asked(2)))
    assert server.keys[0] == KEY
    assert "it refuses the key in MY_KEY (401)" in str(caught.value)
    assert KEY not in f"{caught.value!r} {made!r} {made.model_dump()} {made.identity()} {made.__dict__}"


def test_a_server_that_repeats_the_key_does_not_make_it_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer(faults=(Fault(400, f"your key {KEY} may not do this"),)) as server:
        [done] = completed(server, asked(1))
    assert done.error == "400: your key … may not do this"


def test_a_missing_key_is_told_before_anything_is_sent() -> None:
    with closing(OpenAI(model="gpt-5-mini")) as made, pytest.raises(BackendError, match="set OPENAI_API_KEY"):
        list(made.complete(asked(1)))


def test_a_server_that_asks_for_a_key_where_none_is_set_says_so() -> None:
    with (
        ChatServer(key="another") as server,
        pytest.raises(BackendError, match=r"asks for a key .401.; set OPENAI_API_KEY"),
    ):
        completed(server, asked(1))


def test_used_up_credit_ends_the_run_at_once() -> None:
    with ChatServer(faults=(Fault(429, "You exceeded your quota", code="insufficient_quota"),)) as server:
        with pytest.raises(BackendError, match="credit of the key in OPENAI_API_KEY is used up"):
            completed(server, asked(1))
        assert len(server.seen) == 1


def test_a_model_without_a_chat_template_ends_the_run() -> None:
    said = "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template"
    with ChatServer(faults=(Fault(400, said),)) as server, pytest.raises(BackendError, match="has no chat template"):
        completed(server, asked(1))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base_url": "localhost:8000"}, "must be a URL"),
        ({"key_env": KEY}, "must be the name of an environment variable"),
        ({"most_concurrent": 0}, "greater than or equal to 1"),
        ({"api_key": KEY}, "Extra inputs"),
    ],
)
def test_a_wrong_option_is_told(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        OpenAI.model_validate(options)


def test_endpoint_and_concurrency_are_no_part_of_what_decides_the_replies() -> None:
    one, two = OpenAI(model="m", most_concurrent=3), OpenAI(model="m", base_url="http://localhost:1/v1")
    assert one.identity() == two.identity()
    assert one.identity() != OpenAI(model="n").identity()
    assert one.identity() != OpenAI(model="m", sampling=Sampling(temperature=0.1)).identity()


def test_no_request_makes_no_completion_and_no_connection() -> None:
    with ChatServer() as server:
        assert completed(server, []) == []
    assert server.seen == []


def test_a_dead_server_among_several_fails_no_request() -> None:
    with ChatServer() as gone:
        dead = gone.base_url
    with ChatServer(lambda body: "fine") as server:
        done = completed(server, asked(200), base_url=[dead, server.base_url], most_tries=2)
        assert len(server.seen) == 200
    assert {c.error for c in done} == {""}


def test_a_server_that_dies_among_several_fails_no_request() -> None:
    with ChatServer(lambda body: "fine") as staying:
        with ChatServer(lambda body: "fine") as going:
            made = OpenAI(model="tiny", base_url=[going.base_url, staying.base_url], first_wait_s=0.01)
            first = list(made.complete(asked(60)))
            assert going.seen
            assert staying.seen
        with closing(made):
            second = list(made.complete(asked(60)))
    assert {c.error for c in first + second} == {""}


def test_two_servers_share_the_load_by_what_is_in_flight() -> None:
    slow = threading.Event()

    def answer(body: dict[str, Any]) -> str:
        slow.wait(0.2)
        return "fine"

    with ChatServer(answer) as one, ChatServer(lambda body: "fine") as other:
        done = completed(one, asked(120), base_url=[one.base_url, other.base_url], most_concurrent=4)
        assert len(done) == 120
        assert len(other.seen) > 2 * len(one.seen) > 0


def test_a_long_rest_of_one_server_holds_up_none_of_the_others() -> None:
    refused = iter([Fault(429, "slow down")] * 3)  # in a row: this one rests for a second

    with (
        ChatServer(refuses=lambda body: Fault(503, "come back later", headers={"Retry-After": "30"})) as resting,
        ChatServer(lambda body: "fine", refuses=lambda body: next(refused, None) if resting.seen else None) as other,
    ):
        began = time.monotonic()
        done = completed(resting, asked(60), base_url=[resting.base_url, other.base_url], most_concurrent=4)
        assert time.monotonic() - began < 10
    assert {c.error for c in done} == {""}


def test_no_server_of_several_there_is_one_line() -> None:
    urls = []
    for _ in range(2):
        with ChatServer() as server:
            urls.append(server.base_url)
    made = OpenAI(model="tiny", base_url=tuple(urls), first_wait_s=0.01)
    with closing(made), pytest.raises(BackendError, match="no server answers there"):
        list(made.complete(asked(3)))


def test_no_more_is_sent_a_minute_than_is_allowed() -> None:
    with ChatServer(lambda body: "fine") as server:
        started = datetime.now(UTC)
        completed(server, asked(8), requests_per_minute=120)
        assert (datetime.now(UTC) - started).total_seconds() > 1.5


def test_azures_older_paths_hold_the_model_and_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with ChatServer(lambda body: "fine") as server:
        root = server.base_url.removesuffix("/v1")
        done = completed(server, asked(1), base_url=root, api_version="2025-04-01-preview")
        assert server.paths == ["/openai/deployments/tiny/chat/completions?api-version=2025-04-01-preview"]
    assert done[0].text == "fine"


@pytest.mark.parametrize("header", ["Authorization", "api-key", "X-API-Key"])
def test_a_key_in_a_recipes_headers_is_a_mistake(header: str) -> None:
    with pytest.raises(ValidationError, match="keys come from the environment alone"):
        OpenAI(model="tiny", headers={header: KEY})
