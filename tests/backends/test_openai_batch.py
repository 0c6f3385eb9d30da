"""The openai_batch backend against a real Batch API on this machine: what is sent, and what comes back."""

import json
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth.backend import Completion, Message, Request, Sampling
from synth.backends.openai import OpenAI
from synth.backends.openai_batch import OpenAIBatch
from synth.batch_limits import Limits, Queue
from synth.errors import BackendError
from tests.batch_runs import answers, completed, options, questions, records, texts
from tests.batch_server import BatchServer, Plan, Trap

KEY = "sk-planted-key-7713"
EXPIRED = Plan(status="expired", done=3)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where batches are remembered."""
    return tmp_path / "batches"


def test_each_request_gets_its_own_completion_out_of_files_that_hold_no_more_than_they_may(folder: Path) -> None:
    with BatchServer() as server:
        done = completed(server, folder, questions(10), most_requests_a_file=4)
    assert texts(done) == answers(10)
    assert server.sent() == [4, 4, 2]
    assert {(c.prompt_tokens, c.completion_tokens, c.cached_tokens, c.model) for c in done} == {(11, 7, 3, "tiny")}


def test_a_line_is_the_request_under_the_key_of_its_reply(folder: Path) -> None:
    sampling = Sampling(temperature=0.5, most_tokens=77, seed=3)
    request = replace(questions(1)[0], sampling=sampling, schema={"type": "object"}, sample=2)
    with BatchServer() as server:
        completed(server, folder, [request])
    [line] = [json.loads(raw) for raw in server.files["file-1"].splitlines()]
    assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
    assert [line["custom_id"]] == records(folder)[0]["keys"]
    assert line["body"] == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "question 0"}],
        "max_tokens": 77,
        "temperature": 0.5,
        "seed": 5,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": {"type": "object"}},
        },
    }


def test_a_file_is_no_larger_than_it_may_be_and_a_request_that_is_larger_fails_alone(folder: Path) -> None:
    long = Request(id="long", messages=(Message("user", "x" * 2000),))
    with BatchServer() as server:
        done = completed(server, folder, [*questions(4), long, *questions(4, start=4)], most_megabytes_a_file=0.0005)
    assert max(len(raw) for raw in server.files.values()) < 1500
    assert "a file may have 500" in texts(done).pop("long")
    assert {k: v for k, v in texts(done).items() if k != "long"} == answers(8)
    assert sum(server.sent()) == 8


def test_no_more_batches_are_out_than_may_be_and_requests_are_drawn_as_they_are_sent(folder: Path) -> None:
    drawn: list[int] = []

    def source() -> Iterator[Request]:
        for number, request in enumerate(questions(9)):
            drawn.append(number)
            yield request

    with BatchServer() as server:
        backend = OpenAIBatch.model_validate(options(server, folder, most_requests_a_file=2, most_batches=1))
        completions = backend.complete(source())
        first = next(completions)
        assert len(drawn) == 2
        assert texts([first, *completions]) == answers(9)
    looked = [call for call in server.calls if call in ("POST /v1/batches", "GET /v1/files/file-2/content")]
    assert looked[:3] == ["POST /v1/batches", "GET /v1/files/file-2/content", "POST /v1/batches"]


def test_the_same_request_twice_is_sent_once_and_both_have_the_reply(folder: Path) -> None:
    twice = [*questions(2), replace(questions(1)[0], id="again")]
    with BatchServer() as server:
        done = completed(server, folder, twice)
    assert texts(done) == {**answers(2), "again": "about question 0"}
    assert server.sent() == [2]


@pytest.mark.parametrize(
    ("plan", "sent"),
    [
        (EXPIRED, [6, 3]),
        (Plan(status="expired", done=0), [6, 6]),
        (Plan(status="cancelled", done=5), [6, 1]),
        (Plan(left_out=frozenset({0, 4})), [6, 2]),
        (Plan(doubled=frozenset({1, 2})), [6]),
        (Plan(empty=frozenset({5})), [6, 1]),
        (Plan(statuses={0: 429, 3: 500, 5: 503}), [6, 3]),
        (Plan(tail=b'{"custom_id": "x", "resp\n\n[1]\n{"custom_id": 7}\n{"response": {}}'), [6]),
        (Plan(status="failed", errors=({"code": "token_limit_exceeded", "message": "limit"},)), [6, 3, 3]),
    ],
)
def test_what_a_batch_does_not_answer_is_put_into_the_next(folder: Path, plan: Plan, sent: list[int]) -> None:
    with BatchServer(plans=[plan]) as server:
        done = completed(server, folder, questions(6))
    assert texts(done) == answers(6)
    assert server.sent() == sent
    assert server.paid.total() == 6 + len(plan.empty)


def test_a_request_that_no_batch_answers_has_failed_after_so_many(folder: Path) -> None:
    with BatchServer(plans=[Plan(statuses={2: 500}), Plan(statuses={0: 500}), Plan()]) as server:
        done = completed(server, folder, questions(3), most_tries=2)
    assert texts(done) == {**answers(2), "2": "500: planted"}
    with BatchServer(plans=[Plan(status="expired", done=0)] * 2) as server:
        [lost] = completed(server, folder, questions(1), most_tries=2)
    assert lost.error == "its batch has expired"


def test_a_line_that_fails_for_good_is_an_error_and_is_not_sent_again(folder: Path) -> None:
    with BatchServer(plans=[Plan(statuses={1: 400}, says="the context length is 512 tokens")]) as server:
        done = completed(server, folder, questions(3))
    assert texts(done) == {**answers(3), "1": "400: the context length is 512 tokens"}
    assert server.sent() == [3]


def test_what_a_model_does_not_take_is_left_out_from_then_on_and_in_later_runs(folder: Path) -> None:
    said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    with BatchServer(plans=[Plan(statuses=dict.fromkeys(range(3), 400), says=said)]) as server:
        assert texts(completed(server, folder, questions(3), most_tries=1)) == answers(3)
        assert texts(completed(server, folder, questions(4), most_tries=1)) == answers(4)
    bodies = [line["body"] for batch in server.batches.values() for line in batch.lines]
    assert ["max_tokens" in body for body in bodies] == [True] * 3 + [False] * 4
    assert bodies[-1]["max_completion_tokens"] == 1024


def test_a_file_refused_for_one_line_is_sent_again_without_it(folder: Path) -> None:
    errors = ({"code": "invalid_request", "message": "line 2 is bad", "line": 2, "param": None},)
    with BatchServer(plans=[Plan(status="failed", errors=errors)]) as server:
        done = completed(server, folder, questions(3))
    assert texts(done) == {**answers(3), "1": "line 2 is bad"}
    assert server.sent() == [3, 2]


@pytest.mark.parametrize(
    "errors",
    [
        ({"code": "invalid_file", "message": "this key may not use batches"},),
        tuple({"code": "mismatched_model", "message": "this key may not use batches", "line": n} for n in (1, 2)),
        ({"code": "model_not_found", "message": "this key may not use batches", "line": 1},),
    ],
)
def test_a_file_refused_as_a_whole_ends_the_run(folder: Path, errors: tuple[dict[str, Any], ...]) -> None:
    with BatchServer(plans=[Plan(status="failed", errors=errors)]) as server:
        with pytest.raises(BackendError, match="it refuses the file of requests: this key may not use batches$"):
            completed(server, folder, questions(2))
        assert texts(completed(server, folder, questions(2))) == answers(2)


def test_a_full_queue_is_waited_for_while_batches_are_out(folder: Path) -> None:
    full = Plan(status="failed", errors=({"code": "token_limit_exceeded", "message": "Enqueued token limit reached"},))
    with BatchServer(plans=[Plan(), full]) as server:
        done = completed(server, folder, questions(6), most_requests_a_file=2)
    assert texts(done) == answers(6)
    assert server.sent() == [2, 2, 2, 2]


def test_a_queue_that_was_full_is_filled_by_one_more_after_each_batch_that_ends() -> None:
    queue = Queue(Limits(requests=8, batches=4))
    assert [queue.has_room(out) for out in (0, 3, 4)] == [True, True, False]
    queue.full(2, 8, "planted")
    assert [queue.has_room(out) for out in (1, 2)] == [True, False]
    queue.moved()
    assert [queue.has_room(out) for out in (2, 3)] == [True, False]
    queue.full(0, 8, "planted")
    assert queue.most_requests == 4
    assert not queue.has_room(0)


def test_a_queue_that_was_full_takes_more_again_when_batches_have_ended(folder: Path) -> None:
    full = Plan(status="failed", errors=({"code": "token_limit_exceeded", "message": "Enqueued token limit reached"},))
    with BatchServer(plans=[Plan(), full], looks=0) as server:
        completed(server, folder, questions(6), most_requests_a_file=1, most_batches=4)
    steps = "".join("c" if call == "POST /v1/batches" else "l" for call in server.calls if "/files" not in call)
    assert steps == "cccc" + "llll" + "ccc" + "lll"


def test_a_queue_that_stays_full_ends_the_run_and_loses_nothing(folder: Path) -> None:
    full = Plan(status="failed", errors=({"code": "token_limit_exceeded", "message": "Enqueued token limit reached"},))
    with BatchServer(plans=[full] * 21, looks=0) as server:
        with pytest.raises(BackendError, match="Enqueued token limit reached; nothing is lost"):
            completed(server, folder, questions(2), poll_s=1e-6)
        assert texts(completed(server, folder, questions(2))) == answers(2)


def test_a_model_that_is_not_there_ends_the_run_and_one_odd_line_does_not(folder: Path) -> None:
    gone = Plan(statuses={0: 404, 1: 404}, says="The model `tiny` does not exist")
    with BatchServer(plans=[gone, Plan(statuses={0: 404})]) as server:
        with pytest.raises(BackendError, match="/v1: 404: The model `tiny` does not exist$"):
            completed(server, folder, questions(2))
        assert texts(completed(server, folder, questions(2))) == {"0": "404: planted", "1": "about question 1"}


def test_used_up_credit_ends_the_run_after_what_was_answered_is_handed_over(folder: Path) -> None:
    came: list[Completion] = []
    spent = Plan(statuses={1: 429}, says="You exceeded your quota", code="insufficient_quota")
    with BatchServer(plans=[spent]) as server:
        backend = OpenAIBatch.model_validate(options(server, folder))
        with pytest.raises(BackendError, match="You exceeded your quota"):
            came.extend(backend.complete(questions(3)))
        assert sorted(c.request.id for c in came) == ["0", "2"]
        assert texts(completed(server, folder, questions(3))) == answers(3)
    assert server.sent() == [3, 1]
    assert set(server.paid.values()) == {1}


def test_a_server_without_a_batch_api_is_asked_line_by_line(folder: Path) -> None:
    with BatchServer(has_batches=False) as server, closing(OpenAIBatch(**options(server, folder))) as backend:
        assert texts(list(backend.complete(questions(5)))) == answers(5)
        assert texts(list(backend.complete(questions(3)))) == answers(3)
    assert (len(server.chats), server.called("POST /v1/files")) == (8, 1)
    assert records(folder) == []


def test_a_server_without_a_batch_api_is_told_where_nothing_else_is_wanted(folder: Path) -> None:
    with (
        BatchServer(has_batches=False) as server,
        pytest.raises(BackendError, match=r"it has no Batch API \(404: Not Found\); set `fallback: true`"),
    ):
        completed(server, folder, questions(2), fallback=False)
    assert server.chats == []


def test_a_request_that_cannot_be_sent_has_failed_also_where_there_is_no_batch_api(folder: Path) -> None:
    empty = Request(id="empty", messages=())
    with BatchServer(has_batches=False) as server:
        done = completed(server, folder, [*questions(2), empty])
    assert texts(done) == {**answers(2), "empty": "the request has no messages"}


def test_a_server_that_fails_with_success_has_no_batch_api(folder: Path) -> None:
    says = Trap("POST /v1/files", body=b'{"error":"Unexpected endpoint or method. (POST /v1/files)"}')
    with BatchServer(traps=[says]) as server:
        assert texts(completed(server, folder, questions(4))) == answers(4)
    assert (len(server.chats), server.sent()) == (4, [])


def test_a_server_that_takes_no_more_batches_is_not_asked_line_by_line_for_what_is_in_them(folder: Path) -> None:
    with BatchServer() as server:

        def ends(call: str) -> None:
            server.traps = server.traps or [Trap("POST /v1/files", status=404, says="gone")]

        server.heard = ends
        with pytest.raises(BackendError, match="it takes no more batches: 404: gone"):
            completed(server, folder, questions(4), most_requests_a_file=2)
        assert texts(completed(server, folder, questions(4), most_requests_a_file=2)) == answers(4)
    assert (server.chats, server.sent()) == ([], [2, 2])


def test_files_without_batches_are_no_batch_api_either(folder: Path) -> None:
    with BatchServer(traps=[Trap("POST /v1/batches", status=405)]) as server:
        assert texts(completed(server, folder, questions(4))) == answers(4)
    assert (len(server.chats), server.sent()) == (4, [])


def test_the_key_goes_to_the_server_and_nowhere_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    repeats = Plan(statuses={1: 400}, says=f"your key {KEY} may not ask this")
    with BatchServer(plans=[repeats], key=KEY) as server:
        backend = OpenAIBatch.model_validate(options(server, folder, key_env="MY_KEY"))
        with closing(backend):
            done = list(backend.complete(questions(2)))
    assert server.keys == {KEY}
    assert texts(done)["1"] == "400: your key … may not ask this"
    assert not [path for path in folder.rglob("*") if path.is_file() and KEY in path.read_text(errors="replace")]
    assert KEY not in f"{backend!r} {backend.model_dump()} {backend.identity()} {backend.__dict__}"


def test_a_wrong_key_is_told_and_never_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with BatchServer(key="another") as server, pytest.raises(BackendError) as caught:
        completed(server, folder, questions(2))
    assert "it refuses the key in OPENAI_API_KEY (401)" in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_missing_key_is_told_before_anything_is_written(folder: Path) -> None:
    backend = OpenAIBatch(model="gpt-5-mini", folder=str(folder))
    with pytest.raises(BackendError, match="set OPENAI_API_KEY"):
        list(backend.complete(questions(1)))
    assert not folder.exists()


def test_no_server_is_one_line_with_the_cure(folder: Path) -> None:
    with BatchServer() as server:
        url = server.base_url
    backend = OpenAIBatch(model="tiny", base_url=url, folder=str(folder), first_wait_s=0.001)
    with pytest.raises(BackendError) as caught:
        list(backend.complete(questions(3)))
    assert str(caught.value) == f"{url}: no server answers there; start one, or mend `base_url:`"


def test_an_error_of_the_asker_is_raised_as_it_is(folder: Path) -> None:
    def requests() -> Iterator[Request]:
        yield from questions(2)
        raise PermissionError(13, "planted")

    with BatchServer() as server, pytest.raises(PermissionError, match="planted"):
        list(OpenAIBatch.model_validate(options(server, folder)).complete(requests()))


def test_no_request_makes_no_completion_no_call_and_no_folder(folder: Path) -> None:
    with BatchServer() as server:
        assert completed(server, folder, []) == []
    assert server.calls == []
    assert not folder.exists()


def test_a_request_that_is_no_json_fails_alone(folder: Path) -> None:
    odd = [
        replace(questions(1)[0], id="nan", sampling=Sampling(extra={"top_k": math.nan})),
        Request(id="", messages=()),
    ]
    with BatchServer() as server:
        done = completed(server, folder, [*odd, *questions(2)])
    assert {"nan", "", "0", "1"} == set(texts(done))
    assert "cannot be written as JSON" in texts(done)["nan"]
    assert server.sent() == [2]


def test_what_decides_the_replies_is_what_decides_those_of_the_openai_backend() -> None:
    assert OpenAIBatch(model="m", poll_s=1).identity() == OpenAI(model="m").identity()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"base_url": "localhost:8000"}, "must be a URL"),
        ({"key_env": KEY}, "must be the name of an environment variable"),
        ({"headers": {"Authorization": "Bearer x"}}, "holds a key"),
        ({"window": "soon"}, "should match pattern"),
        ({"most_requests_a_file": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_option_is_told(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        OpenAIBatch.model_validate(wrong)


def test_a_model_that_is_not_set_is_told() -> None:
    with pytest.raises(BackendError, match="`model:` is not set"):
        list(OpenAIBatch().complete(questions(1)))
