"""Replies are counted, pruned, and taken elsewhere, while runs go on."""

import json
import math
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from synth.backend import Completion, Message, Request, Token
from synth.replies import Kept, Keys, Payer, ReplyStore, Spent
from synth.reply_book import mean_reply_tokens
from tests.conftest import Synth, write_corpus
from tests.servers import ChatServer

LINE = {"key": "0123456789abcdef0123456789abcdef", "day": "2026-01-31", "text": "hi", "model": "tiny"}


def asked(number: int) -> Request:
    return Request(id=str(number), messages=(Message("user", f"number {number}"),))


def kept(number: int, model: str, heard: threading.Semaphore) -> Kept:
    """A reply on its way into a store, which tells `heard` when it is there."""
    told = Completion(
        request=asked(number),
        text=f'{{"query": "wie heißt Nummer {number}?\\n"}}',
        finish_reason="stop",
        prompt_tokens=100,
        completion_tokens=number % 50 + 1,
        model=model,
        latency_s=0.125,
        logprobs=(Token("wie", -0.5, {"was": -1.5}), Token("?", -math.inf)) if number % 7 == 0 else (),
    )
    key = Keys(model).of(asked(number))
    return Kept(told, key, Spent(1, 100, 10), Payer("run", "step"), lambda outcome: heard.release())


def filled(path: Path, replies: int, model: str = "tiny", first: int = 0) -> Path:
    """A store with so many replies of a model."""
    store, heard = ReplyStore(path), threading.Semaphore(0)
    for number in range(first, first + replies):
        store.put(kept(number, model, heard))
    store.close()
    return path


def days_ago(path: Path, days: int, model: str) -> None:
    """Make the replies of a model so many days older."""
    with sqlite3.connect(path) as store:
        store.execute("UPDATE replies SET day = day - ? WHERE model = ?", (days, model))
    store.close()


def rows(path: Path) -> list[tuple[object, ...]]:
    store = sqlite3.connect(path)
    found = store.execute("SELECT key, reply, model, day FROM replies ORDER BY key").fetchall()
    store.close()
    return found


def command(*words: object) -> "subprocess.CompletedProcess[str]":
    """`synth replies …` in a process of its own: locks are held by processes."""
    return subprocess.run(
        [sys.executable, "-m", "synth", "replies", *map(str, words)], capture_output=True, text=True, check=False
    )


def test_sizes_are_told_by_model(synth: Synth, tmp_path: Path) -> None:
    path = filled(tmp_path / "outputs" / "replies.sqlite", 30)
    filled(path, 5, "large", first=30)
    days_ago(path, 40, "large")
    told = json.loads(synth("replies", "--json").out)
    assert told["replies"] == 35
    assert told["bytes"] >= path.stat().st_size
    tiny, large = told["models"]
    assert (tiny["model"], tiny["replies"], large["model"], large["replies"]) == ("tiny", 30, "large", 5)
    assert tiny["bytes"] == sum(len(str(row[1]).encode()) for row in rows(path) if row[2] == "tiny")
    assert large["since"] < tiny["since"] == tiny["until"]
    said = synth("replies")
    assert "large" in said.out
    assert max(map(len, said.out.splitlines())) <= 80


def test_replies_come_back_from_a_file_as_they_were_and_only_once(synth: Synth, tmp_path: Path) -> None:
    path = filled(tmp_path / "a.sqlite", 1200)
    out = tmp_path / "replies.jsonl"
    assert json.loads(synth("replies", "export", out, "--replies", path, "--json").out)["replies"] == 1200
    there = out.read_bytes()
    first = json.loads(there.splitlines()[0])
    assert set(first) >= {"key", "day", "text", "model", "finish_reason", "prompt_tokens"}

    other = tmp_path / "sub" / "b.sqlite"
    told = json.loads(synth("replies", "import", out, "--replies", other, "--json").out)
    assert (told["imported"], told["there_already"]) == (1200, 0)
    assert rows(other) == rows(path)
    told = json.loads(synth("replies", "import", out, "--replies", other, "--json").out)
    assert (told["imported"], told["there_already"]) == (0, 1200)
    assert synth("replies", "export", out, "--replies", other).code == 0
    assert out.read_bytes() == there

    store = ReplyStore(other)
    found = store.find(Keys("tiny").of(asked(7)), asked(7))
    store.close()
    assert found is not None
    assert found.logprobs == (Token("wie", -0.5, {"was": -1.5}), Token("?", -math.inf))


def test_a_reply_that_is_there_stays_as_it_is(synth: Synth, tmp_path: Path) -> None:
    path = filled(tmp_path / "a.sqlite", 1)
    before = rows(path)
    file = tmp_path / "other.jsonl"
    file.write_text(json.dumps({**LINE, "key": bytes(before[0][0]).hex(), "text": "another"}) + "\n")  # type: ignore[arg-type]
    assert synth("replies", "import", file, "--replies", path).code == 0
    assert rows(path) == before


def test_the_replies_of_one_model_can_be_taken_alone(synth: Synth, tmp_path: Path) -> None:
    path = filled(filled(tmp_path / "a.sqlite", 10), 3, "large", first=10)
    out = tmp_path / "large.jsonl"
    assert synth("replies", "export", out, "--replies", path, "--model", "large").code == 0
    assert [json.loads(line)["model"] for line in out.read_text().splitlines()] == ["large"] * 3
    said = synth("replies", "export", out, "--replies", path, "--model", "largo")
    assert said.code == 2
    assert "did you mean 'large'" in said.err


def test_a_run_is_repeated_from_exported_replies_without_any_server(synth: Synth, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    recipe = tmp_path / "recipe.yaml"
    with ChatServer(lambda body: json.dumps({"query": f"what of {hash(json.dumps(body)) % 997}?"})) as server:
        recipe.write_text(
            "corpus: ./corpus\nseed: 3\n"
            f"backends: {{writer: {{use: openai, model: tiny, base_url: {server.base_url}, most_tries: 1}}}}\n"
            "steps:\n  - use: from_corpus\n  - {use: generate, prompt: grounded/question, per_document: 2}\n"
        )
        assert synth("run", recipe, "--output", "one/run").code == 0
        assert len(server.seen) == 16
    assert synth("replies", "export", "replies.jsonl").code == 0
    assert synth("replies", "import", "replies.jsonl", "--replies", "other.sqlite").code == 0
    said = synth("run", recipe, "--output", "two/run", "--replies", "other.sqlite", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["requests"] == {"sent": 0, "from_store": 16, "failed": 0}
    one, two = tmp_path / "one" / "run" / "dataset", tmp_path / "two" / "run" / "dataset"
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("not json", "no JSON"),
        ("[1]", "object"),
        (json.dumps({**LINE, "key": "xyz"}), "key"),
        (json.dumps({**LINE, "day": "yesterday"}), "day"),
        (json.dumps({**LINE, "day": "1969-12-31"}), "day"),
        (json.dumps({name: value for name, value in LINE.items() if name != "key"}), "key"),
        (json.dumps({**LINE, "txt": "hi"}), "no option is called 'txt'"),
        (json.dumps({**LINE, "prompt_tokens": -1}), "prompt_tokens"),
        (json.dumps({**LINE, "prompt_tokens": "12"}), "prompt_tokens"),
        (json.dumps({**LINE, "logprobs": [["a", "b", {}]]}), "logprobs"),
        (json.dumps(LINE).replace("hi", "\\ud800"), "no JSON"),
        (json.dumps(LINE)[:-9], "no JSON"),
    ],
)
def test_what_is_no_reply_is_refused_with_its_line_and_nothing_is_taken(
    line: str, wrong: str, synth: Synth, tmp_path: Path
) -> None:
    path = filled(tmp_path / "a.sqlite", 3)
    before = rows(path)
    file = tmp_path / "bad.jsonl"
    file.write_text(json.dumps(LINE) + "\n" + line + "\n" + json.dumps(LINE) + "\n")
    for store in (path, tmp_path / "none.sqlite"):
        said = synth("replies", "import", file, "--replies", store)
        assert said.code == 2
        assert "bad.jsonl:2: " in said.err
        assert wrong in said.err
        assert said.err.count("\n") == 1
    assert rows(path) == before
    assert not (tmp_path / "none.sqlite").exists()


def test_old_replies_are_deleted_of_all_models_or_of_one(synth: Synth, tmp_path: Path) -> None:
    path = filled(filled(tmp_path / "a.sqlite", 1100), 20, "large", first=1100)
    days_ago(path, 30, "tiny")
    days_ago(path, 31, "large")
    assert json.loads(synth("replies", "prune", "--older-than", 31, "--replies", path, "--json").out)["pruned"] == 0
    only = ("--older-than", 29, "--model", "large")
    assert json.loads(synth("replies", "prune", *only, "--replies", path, "--json").out)["pruned"] == 20
    assert {row[2] for row in rows(path)} == {"tiny"}
    size = path.stat().st_size
    told = json.loads(synth("replies", "prune", "--older-than", 29, "--replies", path, "--json").out)
    assert (told["pruned"], told["shrunk"]) == (1100, True)
    assert rows(path) == []
    assert told["bytes"] <= path.stat().st_size < size / 2
    store = ReplyStore(path)
    assert store.spent("run").requests == 1120
    store.close()


def test_a_store_that_a_run_uses_is_not_made_smaller_under_its_hands(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.sqlite", 50)
    store = ReplyStore(path)
    key = Keys("tiny").of(asked(999))
    assert store.claim(key, lambda outcome: None) == "ours"
    told = json.loads(command("prune", "--older-than", 0, "--replies", path, "--json").stdout)
    assert told["shrunk"] is False
    store.let_go(key, None)
    told = json.loads(command("prune", "--older-than", 0, "--replies", path, "--json").stdout)
    assert told["shrunk"] is True
    assert store.find(Keys("tiny").of(asked(1)), asked(1)) is not None
    store.close()


def test_everything_may_be_done_while_a_run_writes(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.sqlite", 1500)
    days_ago(path, 100, "tiny")
    more = tmp_path / "more.jsonl"
    more.write_text("".join(json.dumps({**LINE, "key": f"{number:032x}"}) + "\n" for number in range(3000)))
    store, heard, over = ReplyStore(path), threading.Semaphore(0), threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not over.is_set():
            for _ in range(20):
                store.put(kept(10_000 + written, "writing", heard))
                written += 1
            for _ in range(20):
                assert heard.acquire(timeout=30)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for words in (
            ("export", tmp_path / "out.jsonl"),
            ("import", more),
            ("prune", "--older-than", 50),
            ("--json",),
        ):
            done = command(*words, "--replies", path)
            assert done.returncode == 0, done.stderr
    finally:
        over.set()
        writing.join(30)
        store.close()
    assert written > 0
    models = [row[2] for row in rows(path)]
    assert models.count("writing") == written
    assert models.count("tiny") == 0
    exported = [json.loads(line)["model"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert exported.count("tiny") == 1500


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (("prun",), "did you mean 'prune'"),
        (("prune",), "needs --older-than"),
        (("export",), "needs FILE"),
        (("import",), "needs FILE"),
        (("import", "more.jsonl", "--model", "tiny"), "takes no --model"),
        (("--older-than", 3), "takes no --older-than"),
        (("export", "out.jsonl"), "there is no reply store"),
        ((), "there is no reply store"),
        (("--replies", "text.txt"), "cannot be used"),
        (("--replies", "empty"), "no reply store of this version"),
        (("import", "gone.jsonl"), "cannot be read"),
        (("export", "text.txt", "--replies", "a.sqlite"), "something else"),
        (("export", "a.sqlite", "--replies", "a.sqlite"), "something else"),
        (("export", ".", "--replies", "a.sqlite"), "folder"),
        (("export", "text.txt/out.jsonl", "--replies", "a.sqlite"), "cannot be written"),
    ],
)
def test_a_mistake_is_one_line_with_its_cure(
    words: tuple[object, ...], cure: str, synth: Synth, tmp_path: Path
) -> None:
    filled(tmp_path / "a.sqlite", 2)
    (tmp_path / "text.txt").write_text("my own notes\n")
    (tmp_path / "empty").touch()
    before = (tmp_path / "a.sqlite").read_bytes()
    said = synth("replies", *words)
    assert said.code == 2
    assert said.err.count("\n") == 1
    assert cure in said.err
    assert (tmp_path / "text.txt").read_text() == "my own notes\n"
    assert (tmp_path / "a.sqlite").read_bytes() == before


def test_the_command_has_help_within_eighty_columns(synth: Synth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = synth("replies", "--help")
    assert "Example: synth replies" in said.out
    for word in ("--json", "--older-than", "--model", "--replies", "prune", "export", "import"):
        assert word in said.out
    assert max(map(len, said.out.splitlines())) <= 80


def test_how_long_replies_mostly_are_is_known_from_the_latest_of_a_model(tmp_path: Path) -> None:
    path = filled(filled(tmp_path / "a.sqlite", 50), 50, "tiny-2026-01-02", first=50)
    assert mean_reply_tokens(path, "tiny") == pytest.approx(sum(n % 50 + 1 for n in range(100) if n % 7) / 85)
    filled(path, 10, "other", first=100)
    assert mean_reply_tokens(path, "other") is None
    assert mean_reply_tokens(tmp_path / "none.sqlite", "tiny") is None
