"""Batches outlive runs: whatever ends a run at whatever moment, the next pays for nothing that is paid for."""

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synth.backend import Completion
from synth.backends.openai_batch import OpenAIBatch
from synth.batch_run import Closed
from synth.errors import BackendError, BudgetSpent
from tests.batch_runs import answers, ask_in_a_child, completed, options, questions, records, texts
from tests.batch_server import BatchServer, Plan, Trap


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where batches are remembered."""
    return tmp_path / "batches"


def test_what_is_sent_is_written_down_before_it_is_sent(folder: Path) -> None:
    seen: list[tuple[str, list[dict[str, Any]]]] = []
    with BatchServer() as server:
        server.hears = lambda call: seen.append((call, records(folder)))
        completed(server, folder, questions(2))
        content = hashlib.blake2b(server.files["file-1"], digest_size=16).hexdigest()
    states = {call: found for call, [found] in seen}
    assert [found["state"] for found in states.values()] == ["made", "uploaded", "created", "created"]
    assert {found["content"] for found in states.values()} == {content}
    assert states["POST /v1/batches"]["file_id"] == "file-1"
    assert states["GET /v1/batches/batch_1"]["batch_id"] == "batch_1"
    assert server.batches["batch_1"].metadata == {"synth": states["POST /v1/files"]["name"]}
    assert [found["state"] for found in records(folder)] == ["ended"]


def test_a_larger_set_of_requests_sends_only_the_new_ones(folder: Path) -> None:
    with BatchServer() as server:
        assert texts(completed(server, folder, questions(5))) == answers(5)
        assert texts(completed(server, folder, list(reversed(questions(8))))) == answers(8)
    assert server.sent() == [5, 3]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_killed_at_any_call_pays_for_nothing_twice(tmp_path: Path, when: Any) -> None:
    killed = 0
    for number in range(1, 40):
        trap, folder, noted = Trap(number=number, when=when), tmp_path / str(number), tmp_path / f"{number}.txt"
        with BatchServer(traps=[trap], looks=0) as server:
            asked = options(server, folder, most_requests_a_file=2)
            child = started(asked, 4, noted)
            while not trap.caught.wait(0.005) and child.is_alive():
                pass
            died = child.is_alive()
            child.kill()
            child.join()
            trap.go.set()
            assert texts(completed(server, folder, questions(4), most_requests_a_file=2)) == answers(4)
            assert server.paid.most_common(1)[0][1] == 1, f"killed {when} call {number}: {server.calls}"
            assert server.sent() == [2, 2], f"killed {when} call {number}: {server.calls}"
        if not died:
            break
        killed += 1
    assert killed >= 8


def started(asked: dict[str, Any], count: int, noted: Path) -> multiprocessing.Process:
    """A process of its own that asks, forked from one that has read all modules."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.batch_runs", "openai.resources.batches", "openai.resources.files", "httpx2"])
    child = context.Process(target=ask_in_a_child, args=(asked, count, str(noted)))
    child.start()
    return child  # type: ignore[return-value]  # of the same kind


def test_a_batch_that_comes_into_being_after_the_run_was_killed_is_found(folder: Path, tmp_path: Path) -> None:
    trap = Trap("POST /v1/batches", works_later=True)
    with BatchServer(traps=[trap], echoes_metadata=False) as server:
        child = started(options(server, folder), 3, tmp_path / "noted")
        assert trap.caught.wait(30)
        child.kill()
        child.join()
        [record] = folder.glob("*.json")
        os.utime(record)
        server.heard = lambda call: trap.go.set() if call == "GET /v1/batches" else None
        assert texts(completed(server, folder, questions(3), poll_s=0.5)) == answers(3)
    assert server.sent() == [3]
    assert server.called("GET /v1/batches") >= 2


@pytest.mark.parametrize(
    "trap",
    [
        Trap("POST /v1/batches", when="after", cuts=True),
        Trap("POST /v1/batches", when="after", status=500),
        Trap("POST /v1/batches", when="after", body=b"<html>proxy</html>"),
        Trap("POST /v1/batches", when="before", cuts=True),
        Trap("POST /v1/batches", when="before", status=429),
        Trap("POST /v1/files", when="after", cuts=True),
        Trap("POST /v1/files", when="after", body=b"{}"),
        Trap("POST /v1/files", status=503, times=2),
        Trap("GET /v1/batches", status=500, times=9),
        Trap("GET /v1/batches", body=b'{"object": "batch"}', times=2),
        Trap("GET /v1/files", cuts=True, times=2),
        Trap("GET /v1/files", halves=True, times=2),
    ],
    ids=lambda trap: f"{trap.call} {trap.when} {trap.status or trap.body}",
)
def test_a_call_that_fails_for_a_while_is_made_again_and_makes_no_second_batch(folder: Path, trap: Trap) -> None:
    trap = replace(trap, caught=threading.Event(), go=threading.Event())
    with BatchServer(traps=[trap]) as server:
        done = completed(server, folder, questions(3))
    assert trap.caught.is_set()
    assert texts(done) == answers(3)
    assert server.sent() == [3]


def test_a_batch_whose_answer_was_lost_is_looked_for_before_anything_else(folder: Path) -> None:
    begun = time.monotonic()
    odd = Trap("GET /v1/batches", body=b'{"data": 1}')
    with BatchServer(traps=[Trap("POST /v1/batches", when="after", cuts=True), odd], looks=0) as server:
        completed(server, folder, questions(3), poll_s=60)
    assert time.monotonic() - begun < 60, "it waited before it looked"
    assert [call for call in server.calls if "/files" not in call][:2] == ["POST /v1/batches", "GET /v1/batches"]
    assert server.calls.count("GET /v1/batches") == 2


def test_a_server_that_lists_no_batches_is_not_asked_again_for_one_it_may_have(folder: Path) -> None:
    lost = Trap("POST /v1/batches", when="after", cuts=True)
    with BatchServer(traps=[lost, Trap("GET /v1/batches", status=404, times=10**6)]) as server:
        for _ in range(2):
            with pytest.raises(BackendError, match="it does not list its batches"):
                completed(server, folder, questions(3))
        [left] = records(folder)
    assert (left["state"], server.sent(), server.chats) == ("uploaded", [3], [])


def test_half_a_file_of_replies_is_thrown_away(folder: Path) -> None:
    long = "x" * 3_000_000
    with BatchServer(lambda body: long, traps=[Trap("GET /v1/files", halves=True)]) as server:
        assert texts(completed(server, folder, questions(1))) == {"0": long}
    assert server.sent() == [1]


def test_a_batch_is_found_far_down_in_the_servers_list(folder: Path) -> None:
    cut = Trap("POST /v1/batches", when="after", cuts=True)
    with BatchServer(traps=[cut]) as server:
        name = server.keep(b"")
        backend = OpenAIBatch.model_validate(options(server, folder))
        original = server.create

        def with_others(asked: dict[str, Any]) -> Any:
            mine = original(asked)
            for _ in range(250):
                original({"input_file_id": name})
            return mine

        server.create = with_others  # type: ignore[method-assign]  # other people's batches
        with closing(backend):
            assert texts(list(backend.complete(questions(2)))) == answers(2)
    assert server.calls.count("GET /v1/batches") == 3
    assert sum(server.sent()) == 2


def test_ctrl_c_leaves_the_batch_running_says_so_and_the_next_run_picks_it_up(folder: Path) -> None:
    trap = Trap("GET /v1/batches/")
    with BatchServer(traps=[trap]) as server:

        def interrupt() -> None:
            trap.caught.wait(30)
            os.kill(os.getpid(), signal.SIGINT)

        pressing = threading.Thread(target=interrupt)
        pressing.start()
        with pytest.raises(KeyboardInterrupt) as stopped:
            completed(server, folder, questions(3))
        pressing.join()
        trap.go.set()
        assert "nothing is lost" in stopped.value.__notes__[0]
        assert not server.called("POST /v1/batches/batch_1/cancel")
        assert texts(completed(server, folder, questions(3))) == answers(3)
    assert server.sent() == [3]


def test_closing_ends_the_waiting_and_leaves_the_batch_running(folder: Path) -> None:
    ended: list[Closed] = []
    with BatchServer(looks=10**9) as server:
        backend = OpenAIBatch.model_validate(options(server, folder, poll_s=60))
        looked = threading.Event()
        server.heard = lambda call: looked.set() if call.startswith("GET /v1/batches/") else None

        def wait() -> None:
            try:
                list(backend.complete(questions(2)))
            except Closed as error:
                ended.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert looked.wait(30)
        backend.close()
        waiting.join(30)
        assert not waiting.is_alive()
        server.looks = 1
        assert texts(completed(server, folder, questions(2))) == answers(2)
    assert len(ended) == 1
    assert server.sent() == [2]


def test_at_the_deadline_the_run_stops_and_the_next_goes_on(folder: Path) -> None:
    with BatchServer(looks=10**9) as server:
        with pytest.raises(BudgetSpent) as stopped:
            completed(server, folder, questions(3), deadline_s=0.05)
        assert "3 requests wait for 1 batches" in str(stopped.value)
        server.looks = 0
        assert texts(completed(server, folder, questions(3))) == answers(3)
    assert server.sent() == [3]


def test_two_that_ask_the_same_at_once_pay_once(folder: Path) -> None:
    done: list[list[Completion]] = []
    with BatchServer() as server:
        started = threading.Barrier(3)

        def ask() -> None:
            started.wait(30)
            done.append(completed(server, folder, questions(20), most_requests_a_file=5))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [texts(one) for one in done] == [answers(20)] * 3
    assert set(server.paid.values()) == {1}
    assert sum(server.sent()) == 20


def test_two_that_wait_for_the_same_batch_do_not_forget_what_the_other_sends_when_it_fails(folder: Path) -> None:
    refused = Plan(status="failed", errors=({"code": "token_limit_exceeded", "message": "limit"},))
    waiting: list[Completion] = []
    with BatchServer(plans=[refused], looks=10**9) as server:
        with pytest.raises(BudgetSpent):
            completed(server, folder, questions(1), deadline_s=0.01)
        held = Trap("GET /v1/batches/batch_1")
        server.traps.append(held)
        slow = threading.Thread(target=lambda: waiting.extend(completed(server, folder, questions(1))))
        slow.start()
        assert held.caught.wait(30)
        server.looks = 0
        assert texts(completed(server, folder, questions(1))) == answers(1)
        held.go.set()
        slow.join(30)
        assert len(records(folder)) == 1
    assert texts(waiting) == answers(1)
    assert server.sent() == [1, 1]


def test_a_server_that_stays_away_ends_the_run_and_the_next_picks_its_batches_up(folder: Path) -> None:
    trap = Trap("GET /v1/batches/", status=500, times=10**6)
    with BatchServer(traps=[trap]) as server:
        with pytest.raises(BackendError, match="500: planted; nothing is lost: run the same command again later"):
            completed(server, folder, questions(2), first_wait_s=1e-4, poll_s=1e-4)
        server.traps.clear()
        assert texts(completed(server, folder, questions(2))) == answers(2)
    assert server.sent() == [2]


def test_a_server_that_is_away_for_a_while_when_the_next_file_is_sent_is_waited_for(folder: Path) -> None:
    with BatchServer() as server:

        def goes_away(call: str) -> None:
            if call == "POST /v1/batches" and not server.traps:
                server.traps += [Trap("POST /v1/files", status=503, times=15)]

        server.heard = goes_away
        done = completed(server, folder, questions(4), most_requests_a_file=2, first_wait_s=1e-4)
    assert texts(done) == answers(4)
    assert server.sent() == [2, 2]


def test_a_batch_that_is_refused_outright_leaves_nothing_to_wait_for(folder: Path) -> None:
    with BatchServer(
        traps=[Trap("POST /v1/batches", status=400, says="Billing hard limit has been reached")]
    ) as server:
        with pytest.raises(BackendError, match="/v1: 400: Billing hard limit has been reached$"):
            completed(server, folder, questions(2))
        assert records(folder) == []
        assert texts(completed(server, folder, questions(2), poll_s=0.05)) == answers(2)
    assert server.called("GET /v1/batches") == server.called("GET /v1/batches/")


def test_a_batch_that_the_server_does_not_know_is_not_silently_paid_for_again(folder: Path) -> None:
    with BatchServer(looks=10**9) as server:
        with pytest.raises(BudgetSpent):
            completed(server, folder, questions(2), deadline_s=0.01)
        server.looks = 1
        kept = server.batches.pop("batch_1")
        with pytest.raises(BackendError) as caught:
            completed(server, folder, questions(2))
        [record] = folder.glob("*.json")
        assert "it knows no batch batch_1" in str(caught.value)
        assert f"remove {record} to pay for its 2 requests once more" in str(caught.value)
        server.batches["batch_1"] = kept
        assert texts(completed(server, folder, questions(2))) == answers(2)


def test_replies_that_the_server_has_forgotten_are_asked_for_again(folder: Path) -> None:
    with BatchServer() as server:
        assert texts(completed(server, folder, questions(2))) == answers(2)
        del server.files["file-2"]
        assert texts(completed(server, folder, questions(2))) == answers(2)
        server.batches.clear()
        assert texts(completed(server, folder, questions(2))) == answers(2)
    assert server.called("POST /v1/batches") == 3


def test_batches_are_forgotten_when_their_replies_are_long_stored_or_gone(folder: Path) -> None:
    def age(days: float) -> None:
        for path in folder.glob("*.json"):
            os.utime(path, (time.time() - days * 24 * 3600,) * 2)

    with BatchServer() as server:
        completed(server, folder, questions(2))
        age(0.9)
        completed(server, folder, questions(4))
        assert server.sent() == [2, 2]
        age(1.1)
        server.looks = 10**9
        with pytest.raises(BudgetSpent):
            completed(server, folder, questions(5), deadline_s=0.01)
        assert [found["state"] for found in records(folder)] == ["created"]
    age(29)
    with BatchServer() as other:
        completed(other, folder, questions(1))
        assert len(records(folder)) == 2
        age(31)
        completed(other, folder, questions(1))
    assert [found["place"] for found in records(folder)] == [other.base_url]


def test_a_record_that_cannot_be_read_is_told(folder: Path) -> None:
    folder.mkdir()
    (folder / "3f9c.json").write_text('{"name": "3f9c", "st')
    with BatchServer() as server, pytest.raises(BackendError, match=r"3f9c.json: this is no record of a batch"):
        completed(server, folder, questions(1))
    assert server.calls == []


def test_batches_of_another_server_are_none_of_this_one(folder: Path) -> None:
    for _ in range(2):
        with BatchServer() as server:
            assert texts(completed(server, folder, questions(2))) == answers(2)
        assert server.sent() == [2]
