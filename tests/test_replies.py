"""The reply store: what is in it is never asked for again, by anyone; what is not is asked for once."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from synth.backend import Backend, Completion, Message, Request, Sampling, Token
from synth.backends.openai import OpenAI
from synth.budget import Budget, Caps
from synth.errors import BudgetSpent, OutputError
from synth.replies import Kept, Payer, ReplyStore, Spent, key_of
from synth.stored import Account, Stored
from tests.servers import ChatServer, Fault, Said

RUN = Payer("run", "step")


def asked(n: int, **more: object) -> list[Request]:
    return [Request(id=str(k), messages=(Message("user", f"document {k}"),), **more) for k in range(n)]  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ReplyStore]:
    with closing(ReplyStore(tmp_path / "replies.sqlite")) as opened:
        yield opened


def behind(store: ReplyStore, inner: Backend, caps: Caps | None = None) -> Stored:
    return Stored.over(inner, Account(store, Budget(caps or Caps()), RUN))


def openai(server: ChatServer, **options: object) -> OpenAI:
    return OpenAI.model_validate({"model": "tiny", "base_url": server.base_url, "first_wait_s": 0.01, **options})


def texts(backend: Backend, requests: list[Request]) -> dict[str, str]:
    return {done.request.id: done.text for done in backend.complete(iter(requests))}


def test_what_was_answered_once_is_not_sent_again(store: ReplyStore) -> None:
    with ChatServer(lambda body: f"about {body['messages'][0]['content']}") as server, closing(openai(server)) as inner:
        first = texts(behind(store, inner), asked(40))
        again = list(behind(store, inner).complete(iter(asked(40))))
        assert len(server.seen) == 40
    assert {done.request.id: done.text for done in again} == first
    assert all(done.from_store for done in again)
    assert {done.key for done in again} == {key_of(request, "tiny") for request in asked(40)}


def test_one_more_request_sends_one_request(store: ReplyStore) -> None:
    with ChatServer() as server, closing(openai(server)) as inner:
        texts(behind(store, inner), asked(30))
        assert len(texts(behind(store, inner), asked(31))) == 31
        assert len(server.seen) == 31
        assert server.seen[-1]["messages"][0]["content"] == "document 30"


@pytest.mark.parametrize(
    "other",
    [
        {"messages": (Message("system", "document 0"),)},
        {"messages": (Message("user", "document 0"), Message("assistant", "x"))},
        {"sampling": Sampling(temperature=0.5)},
        {"sampling": Sampling(extra={"top_k": 5})},
        {"schema": {"type": "object"}},
        {"sample": 1},
        {"top_logprobs": 0},
        {"prompt_logprobs": True},
    ],
    ids=str,
)
def test_another_request_has_another_key(other: dict[str, object]) -> None:
    [request] = asked(1)
    assert key_of(request, "tiny") != key_of(replace(request, **other), "tiny")  # type: ignore[arg-type]


def test_the_key_is_of_the_request_and_the_model_and_nothing_else(tmp_path: Path) -> None:
    [request] = asked(1)
    assert key_of(request, "tiny") == key_of(replace(request, id="another", more=3), "tiny")
    assert key_of(request, "tiny") != key_of(request, "tiny@2")
    one = OpenAI(model="tiny", base_url="http://one:1/v1", key_env="A_KEY", most_concurrent=3)
    other = OpenAI(model="tiny", base_url="http://other:2/v1", timeout_s=3)
    assert one.model_identity() == other.model_identity()
    assert OpenAI(model="tiny", revision="b").model_identity() != one.model_identity()


def test_all_of_a_completion_comes_back(store: ReplyStore) -> None:
    [request] = asked(1, top_logprobs=1, prompt_logprobs=True)
    told = threading.Event()
    whole = Completion(
        request=request, text='{"q": "ไทย \x00 😀"}', finish_reason="length", prompt_tokens=5, completion_tokens=3,
        cached_tokens=2, model="tiny-2", latency_s=0.5, logprobs=(Token("a", -0.5, {"b": -2.0}),),
        prompt_logprobs=(Token("x", None), Token("y", -1.5)),
    )  # fmt: skip
    key = bytes.fromhex(key_of(request, "tiny"))
    assert store.claim(key, lambda outcome: None) == "ours"
    store.put(Kept(whole, key, Spent(), RUN, lambda outcome: told.set()))
    assert told.wait(20)
    assert store.find(key, request) == replace(whole, from_store=True, key=key.hex())


def test_a_failed_request_is_not_kept(store: ReplyStore) -> None:
    with ChatServer(faults=(Fault(400, "no"),)) as server, closing(openai(server)) as inner:
        [failed] = behind(store, inner).complete(iter(asked(1)))
        [done] = behind(store, inner).complete(iter(asked(1)))
    assert failed.error == "400: no"
    assert done.text


def test_the_same_request_twice_at_once_is_sent_once(store: ReplyStore) -> None:
    doubled = [replace(request, id=f"{request.id}{n}") for request in asked(20) for n in "abc"]
    with ChatServer(lambda body: body["messages"][0]["content"]) as server, closing(openai(server)) as inner:
        done = texts(behind(store, inner), doubled)
        assert len(server.seen) == 20
    assert done == {request.id: request.messages[0].content for request in doubled}


def test_two_steps_at_once_send_each_request_once(store: ReplyStore) -> None:
    with ChatServer(lambda body: body["messages"][0]["content"]) as server, closing(openai(server)) as inner:
        found: list[dict[str, str]] = []
        threads = [
            threading.Thread(target=lambda: found.append(texts(behind(store, inner), asked(60)))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.seen) == 60
    assert found == [{str(k): f"document {k}" for k in range(60)}] * 3


def test_samples_of_one_request_are_asked_for_together_and_only_those_that_are_missing(store: ReplyStore) -> None:
    def answer(body: dict[str, object]) -> Said:
        n = body.get("n", 1)
        assert isinstance(n, int)
        return Said("one", prompt_tokens=100, completion_tokens=10 * n, choices=tuple(f"s{k}" for k in range(n)))

    def samples(n: int) -> list[Request]:
        return [replace(asked(1)[0], id=str(k), sample=k, more=n - 1 - k) for k in range(n)]

    with ChatServer(answer) as server, closing(openai(server)) as inner:
        assert sorted(texts(behind(store, inner), samples(3)).values()) == ["s0", "s1", "s2"]
        assert len(texts(behind(store, inner), samples(7))) == 7
        assert [body.get("n") for body in server.seen] == [3, 4]
        assert store.spent("run") == Spent(7, 200, 70, 6)


def test_a_server_that_gives_one_choice_of_several_is_asked_for_the_rest(store: ReplyStore) -> None:
    group = [replace(asked(1)[0], id=str(k), sample=k, more=3 - k) for k in range(4)]
    with ChatServer(lambda body: "fine") as server, closing(openai(server)) as inner:
        assert texts(behind(store, inner), group) == dict.fromkeys("0123", "fine")
        assert len(server.seen) == 4


def test_a_reply_is_on_disk_before_anybody_sees_it(tmp_path: Path, store: ReplyStore) -> None:
    with ChatServer() as server, closing(openai(server)) as inner:
        for done in behind(store, inner).complete(iter(asked(12))):
            with closing(sqlite3.connect(store.path)) as other:
                held = other.execute("SELECT count(*) FROM replies WHERE key = ?", [bytes.fromhex(done.key)]).fetchone()
            assert held == (1,)


ASKS = """
import sys
from contextlib import closing
from pathlib import Path
from synth.backend import Message, Request
from synth.backends.openai import OpenAI
from synth.budget import Budget
from synth.replies import Payer, ReplyStore
from synth.stored import Account, Stored

path, url, count = sys.argv[1:]
inner = OpenAI(model="tiny", base_url=url, first_wait_s=0.01)
with closing(ReplyStore(Path(path))) as store, closing(inner):
    backend = Stored.over(inner, Account(store, Budget(), Payer(path, "step")))
    requests = (Request(id=str(k), messages=(Message("user", f"document {k}"),)) for k in range(int(count)))
    print(sum(not done.error for done in backend.complete(requests)), flush=True)
"""


def other_process(store: Path, server: ChatServer, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", ASKS, str(store), server.base_url, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_send_each_request_once(tmp_path: Path) -> None:
    with ChatServer() as server:
        both = [other_process(tmp_path / "replies.sqlite", server, 300) for _ in range(2)]
        assert [process.communicate()[0].strip() for process in both] == ["300", "300"]
        words = [body["messages"][0]["content"] for body in server.seen]
    assert len(words) == len(set(words)) == 300


OPENS = """
import sys, time
from pathlib import Path
from synth.replies import ReplyStore

folder, count = Path(sys.argv[1]), int(sys.argv[2])
for number in range(count):
    while not (folder / f"begin-{number}").exists():
        pass
    ReplyStore(folder / f"{number}.sqlite").close()
    (folder / f"opened-{number}-{sys.argv[3]}").touch()
"""


def test_many_processes_begin_a_store_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENS, str(tmp_path), "20"]
    processes = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(4)]
    for number in range(20):
        (tmp_path / f"begin-{number}").touch()
        while len(list(tmp_path.glob(f"opened-{number}-*"))) < 4 and all(p.poll() is None for p in processes):
            time.sleep(0.005)
    assert [process.communicate()[1] for process in processes] == [""] * 4


def test_a_killed_process_lets_go_of_what_it_was_sending(tmp_path: Path) -> None:
    stuck, released = threading.Event(), threading.Event()

    def answer(body: dict[str, object]) -> str:
        if not stuck.is_set():
            stuck.set()
            released.wait(20)
        return "fine"

    with ChatServer(answer) as server:
        first = other_process(tmp_path / "replies.sqlite", server, 1)
        assert stuck.wait(20)
        second = other_process(tmp_path / "replies.sqlite", server, 1)
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(timeout=2)
        assert len(server.seen) == 1, "the second waits for the reply of the first"
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
        assert second.communicate()[0].strip() == "1"
        released.set()


def test_a_file_that_is_no_database_is_kept_aside(tmp_path: Path) -> None:
    path, said = tmp_path / "replies.sqlite", list[str]()
    path.write_bytes(b"rubbish " * 1000)
    with ChatServer() as server, closing(openai(server)) as inner, closing(ReplyStore(path, said.append)) as store:
        assert len(texts(behind(store, inner), asked(3))) == 3
    [aside] = tmp_path.glob("replies.sqlite.corrupted-*")
    assert aside.read_bytes() == b"rubbish " * 1000
    assert len(said) == 1
    assert f"it is kept as {aside.name}" in said[0]


def test_a_torn_file_is_kept_aside_at_the_latest_when_the_run_is_started_again(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    with ChatServer(lambda body: "long " * 200) as server, closing(openai(server)) as inner:
        with closing(ReplyStore(path)) as store:
            texts(behind(store, inner), asked(200))
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] + b"\xff" * (len(whole) // 2))

        def started() -> str:
            try:
                with closing(ReplyStore(path)) as store:
                    return str(len(texts(behind(store, inner), asked(200))))
            except OutputError as error:
                return str(error)

        first, second = started(), started()
    [aside] = tmp_path.glob("replies.sqlite.corrupted-*[0-9]")
    assert first == "200" or f"it is kept as {aside.name}: run the same command again" in first
    assert second == "200"


def test_a_store_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("not a folder")
    with pytest.raises(OutputError, match="cannot be written"):
        ReplyStore(folder / "replies.sqlite")


def test_what_a_run_has_spent_is_known_after_it_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    with ChatServer(lambda body: Said("x", prompt_tokens=10, completion_tokens=2)) as server:
        process = other_process(path, server, 50)
        process.communicate()
    with closing(ReplyStore(path)) as store:
        assert store.spent(str(path)) == Spent(50, 500, 100, 150)
        assert store.spent(str(path), "step") == store.spent(str(path))
        assert store.spent("another") == Spent()


def test_a_budget_is_never_passed_whatever_the_replies_are_like(store: ReplyStore) -> None:
    def answer(body: dict[str, object]) -> Said:
        k = int(str(body["messages"][0]["content"]).rpartition(" ")[2])  # type: ignore[index]
        return Said("x", prompt_tokens=4 + 36 * (k % 3 == 0), completion_tokens=10 + 90 * (k % 2))

    with ChatServer(answer) as server, closing(openai(server)) as inner:
        stored = behind(store, inner, Caps(tokens=4000))
        done: list[Completion] = []
        with pytest.raises(BudgetSpent, match=r"the budget of 4,000 tokens"):
            done.extend(stored.complete(iter(asked(500, sampling=Sampling(most_tokens=100)))))
        used = store.spent("run").tokens
        assert 3600 < used <= 4000
        assert len(server.seen) == store.spent("run").requests


def test_a_caller_who_leaves_early_holds_nothing_back(store: ReplyStore) -> None:
    with ChatServer() as server, closing(openai(server)) as inner:
        backend = behind(store, inner)
        completions = backend.complete(iter(asked(100)))
        next(completions)
        completions.close()  # type: ignore[attr-defined]  # a generator
        assert len(texts(backend, asked(100))) == 100
        assert len(server.seen) <= 200


def test_replies_that_come_while_the_caller_is_busy_are_stored_at_once(store: ReplyStore) -> None:
    def slow() -> Iterator[Request]:
        yield from asked(5)
        until = time.monotonic() + 20
        while store.spent("run").requests < 5 and time.monotonic() < until:
            threading.Event().wait(0.01)
        assert store.spent("run").requests == 5, "what was answered is stored while the next request is long in coming"

    with ChatServer() as server, closing(openai(server)) as inner:
        assert len(list(behind(store, inner).complete(slow()))) == 5


def test_the_key_of_an_api_is_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-in-store-77")
    path, key = tmp_path / "replies.sqlite", "sk-planted-in-store-77"
    with ChatServer(key=key) as server, closing(openai(server)) as inner, closing(ReplyStore(path)) as store:
        assert len(texts(behind(store, inner), asked(5))) == 5
    for path in tmp_path.rglob("*"):
        assert b"sk-planted" not in path.read_bytes(), path


def test_a_stored_reply_is_plain_json(store: ReplyStore) -> None:
    with ChatServer(lambda body: Said("hm", prompt_tokens=3)) as server, closing(openai(server)) as inner:
        texts(behind(store, inner), asked(1))
    with closing(sqlite3.connect(store.path)) as other:
        [(reply, model)] = other.execute("SELECT reply, model FROM replies").fetchall()
    assert {"text": "hm", "prompt_tokens": 3}.items() <= json.loads(reply).items()
    assert model == "tiny"
