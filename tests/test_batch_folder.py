"""Requests and replies through files: `offline:` of the openai_batch backend, and what `vllm run-batch` writes."""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synth.backend import Completion, Message, Request, Sampling
from synth.backends.openai_batch import OpenAIBatch
from synth.batch_files import read_line
from synth.errors import BackendError
from tests.batch_runs import questions

MODEL = "Qwen/Qwen3-8B"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files are."""
    return tmp_path / "off line"


def asked(folder: Path, requests: Iterable[Request], **options: object) -> tuple[dict[str, str], str]:
    """What came back by id, and what the run said when it stopped."""
    came: list[Completion] = []
    backend = OpenAIBatch.model_validate({"model": MODEL, "offline": str(folder), **options})
    said = ""
    try:
        for completion in backend.complete(iter(requests)):
            came.append(completion)  # noqa: PERF402  what came before the error counts
    except BackendError as error:
        said = str(error)
    assert len({c.request.id for c in came}) == len(came)
    return {c.request.id: c.error or c.text for c in came}, said


def reply(line: dict[str, Any], text: str = "") -> dict[str, Any]:
    """A line as `vllm run-batch` answers it."""
    said = text or f"about {line['body']['messages'][0]['content']}"
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "model": MODEL, "choices": [choice]}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    response = {"status_code": 200, "request_id": "vllm-batch-1", "body": {**body, "usage": usage}}
    return {"id": "vllm-1", "custom_id": line["custom_id"], "response": response, "error": None}


def failure(line: dict[str, Any], status: int, message: str) -> dict[str, Any]:
    """A line as `vllm run-batch` fails it: no body, and an error inside an error."""
    inner = {"message": message, "type": "BadRequestError", "param": None, "code": status}
    response = {"status_code": status, "request_id": "vllm-batch-1", "body": None}
    return {"id": "vllm-1", "custom_id": line["custom_id"], "response": response, "error": {"error": inner}}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in path.read_bytes().splitlines()]


def write(path: Path, answered: list[dict[str, Any]], tail: str = "") -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in answered) + tail)


def answers(numbers: Iterable[int]) -> dict[str, str]:
    return {str(n): f"about question {n}" for n in numbers}


def test_the_first_run_writes_the_requests_and_tells_the_command_that_answers_them(folder: Path) -> None:
    came, said = asked(folder, questions(1200))
    assert came == {}
    assert said == (
        f"{folder}/requests.jsonl: 1,200 requests are written there; answer them with `vllm run-batch "
        f"-i '{folder}/requests.jsonl' -o '{folder}/replies.jsonl' --model {MODEL}`, then run the same command again"
    )
    written = lines(folder / "requests.jsonl")
    assert len({line["custom_id"] for line in written}) == 1200
    assert written[7]["body"] == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "question 7"}],
        "max_tokens": 1024,
    }
    assert {(line["method"], line["url"]) for line in written} == {("POST", "/v1/chat/completions")}
    assert [path.name for path in folder.iterdir()] == ["requests.jsonl"]
    assert (folder / "requests.jsonl").stat().st_mode & 0o777 == 0o644


def test_a_revision_is_part_of_the_command(folder: Path) -> None:
    _, said = asked(folder, questions(1), revision="3f9c")
    assert f"--model {MODEL} --revision 3f9c`" in said


def test_the_next_run_reads_the_replies_and_goes_on(folder: Path) -> None:
    asked(folder, questions(5))
    write(folder / "replies.jsonl", [reply(line) for line in reversed(lines(folder / "requests.jsonl"))])
    assert asked(folder, questions(5)) == (answers(range(5)), "")
    assert sorted(path.name for path in folder.iterdir()) == ["replies.jsonl", "requests.jsonl"]


def test_what_a_reply_took_is_told(folder: Path) -> None:
    asked(folder, questions(1))
    write(folder / "replies.jsonl", [reply(line) for line in lines(folder / "requests.jsonl")])
    [done] = OpenAIBatch(model=MODEL, offline=str(folder)).complete(questions(1))
    assert (done.prompt_tokens, done.completion_tokens, done.model) == (9, 4, MODEL)


def test_lines_that_are_missing_or_may_do_better_go_into_the_next_file(folder: Path) -> None:
    asked(folder, questions(6))
    first = lines(folder / "requests.jsonl")
    odd = reply(first[3])
    odd["response"]["body"] = {"choices": []}
    answered = [reply(first[0]), failure(first[1], 500, "the engine died"), reply(first[2]), reply(first[2]), odd]
    write(folder / "replies.jsonl", answered, tail=json.dumps(reply(first[4]))[:90])
    came, said = asked(folder, questions(6))
    assert came == answers([0, 2])
    assert "requests-2.jsonl: 4 requests are written there" in said
    assert f"-o '{folder}/replies-2.jsonl'" in said
    second = lines(folder / "requests-2.jsonl")
    assert [line["custom_id"] for line in second] == [first[n]["custom_id"] for n in (1, 3, 4, 5)]
    write(folder / "replies-2.jsonl", [reply(line) for line in second])
    assert asked(folder, questions(6)) == (answers(range(6)), "")


def test_a_line_that_failed_for_good_is_an_error_and_is_not_written_again(folder: Path) -> None:
    asked(folder, questions(2))
    long, fine = lines(folder / "requests.jsonl")
    write(folder / "replies.jsonl", [failure(long, 400, "the model's context length is 512 tokens"), reply(fine)])
    came, said = asked(folder, questions(2))
    assert came == {"0": "400: the model's context length is 512 tokens", "1": "about question 1"}
    assert said == ""


def test_an_answer_in_a_later_file_counts_over_a_failure_in_an_earlier(folder: Path) -> None:
    asked(folder, questions(1))
    [line] = lines(folder / "requests.jsonl")
    write(folder / "replies-2.jsonl", [failure(line, 400, "too long")])
    write(folder / "replies.jsonl", [reply(line)])
    write(folder / "replies-3.jsonl", [failure(line, 400, "too long")])
    assert asked(folder, questions(1)) == (answers([0]), "")


def test_a_file_answered_with_another_model_is_told_and_no_row_is_lost(folder: Path) -> None:
    asked(folder, questions(3))
    said = f"The model `{MODEL}` does not exist."
    write(folder / "replies.jsonl", [failure(line, 404, said) for line in lines(folder / "requests.jsonl")])
    came, told = asked(folder, questions(3))
    assert came == {}
    assert f"{folder}/replies.jsonl: it answers nothing: 404: {said}; remove it and run `vllm run-batch" in told


def test_a_file_that_is_not_answered_yet_is_written_again_with_what_has_come_since(folder: Path) -> None:
    asked(folder, questions(2))
    _, said = asked(folder, questions(4))
    assert "requests.jsonl: 4 requests" in said
    assert len(lines(folder / "requests.jsonl")) == 4


def test_a_request_is_known_by_its_whole_content_and_never_by_its_id(folder: Path) -> None:
    [request] = questions(1)
    asked(folder, [request])
    write(folder / "replies.jsonl", [reply(line) for line in lines(folder / "requests.jsonl")])
    assert asked(folder, [replace(request, id="other")]) == ({"other": "about question 0"}, "")
    for changed in (replace(request, sample=1), replace(request, sampling=Sampling(temperature=0.1))):
        assert asked(folder, [changed])[0] == {}
    assert asked(folder, [request], model="another")[0] == {}


def test_the_same_request_twice_is_written_once_and_both_have_the_reply(folder: Path) -> None:
    twice = [*questions(1), replace(questions(1)[0], id="again")]
    asked(folder, twice)
    written = lines(folder / "requests.jsonl")
    assert len(written) == 1
    write(folder / "replies.jsonl", [reply(line) for line in written])
    assert asked(folder, twice)[0] == {"0": "about question 0", "again": "about question 0"}


def test_a_line_that_would_spoil_the_file_for_all_others_is_not_written(folder: Path) -> None:
    half = Request(id="half", messages=(Message("user", "ไทย \ud800 \x00 😀"),))
    odd = [
        replace(half, id="nan", sampling=Sampling(extra={"top_k": math.nan})),
        replace(half, id="set", sampling=Sampling(extra={"logit_bias": {1, 2}})),
        Request(id="empty", messages=()),
    ]
    came, _ = asked(folder, [*odd, half])
    assert set(came) == {"nan", "set", "empty"}
    [line] = lines(folder / "requests.jsonl")
    assert line["body"]["messages"] == [{"role": "user", "content": "ไทย ? \x00 😀"}]


def test_a_caller_who_stops_early_leaves_no_file_behind(folder: Path) -> None:
    asked(folder, questions(1))
    write(folder / "replies.jsonl", [reply(line) for line in lines(folder / "requests.jsonl")])
    completions = OpenAIBatch(model=MODEL, offline=str(folder)).complete(iter(questions(3)))
    next(completions)
    completions.close()  # type: ignore[attr-defined]  # a generator
    assert sorted(path.name for path in folder.iterdir()) == ["replies.jsonl", "requests.jsonl"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="file.*cannot be written"):
        list(OpenAIBatch(model=MODEL, offline=str(tmp_path / "file" / "below")).complete(questions(1)))


@pytest.mark.parametrize(
    ("raw", "status", "said", "passing"),
    [
        ({"response": None, "error": {"code": "batch_expired", "message": "too late"}}, 0, "too late", True),
        ({"response": {"status_code": 429, "body": {"error": {"message": "slow"}}}}, 429, "429: slow", True),
        ({"response": {"status_code": 503, "body": None}, "error": {"error": {"message": "x"}}}, 503, "503: x", True),
        ({"response": {"status_code": 400, "body": {"detail": "bad"}}}, 400, "400: bad", False),
        ({"response": {"status_code": 422, "body": "no"}, "error": "odd\nwords"}, 422, "422: odd words", False),
        ({"response": {"status_code": 200, "body": None}}, 200, "200: the server said nothing of it", True),
        ({"response": {"status_code": 429, "body": {"error": {"code": "insufficient_quota"}}}}, 429,
         "429: insufficient_quota", False),
        ({}, 0, "the server said nothing of it", True),
    ],
)  # fmt: skip
def test_a_line_that_failed_is_read(raw: dict[str, Any], status: int, said: str, passing: bool) -> None:
    line = read_line(json.dumps({"custom_id": "k", **raw}).encode())
    assert line is not None
    assert (line.key, line.body, line.status, line.said, line.may_pass) == ("k", None, status, said, passing)
