"""One row's whole life is told as it was: what was asked word for word, what came back, and where the row is now."""

import io
import json
import re
import shutil
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.cells import cell_len
from rich.console import Console

from synth.build import build
from synth.errors import CorpusError
from synth.explain import Explained, explain
from synth.progress import Show
from synth.recipe import load
from synth.runs import RunFolder
from tests.servers import Body, ChatServer, scripted_answer

REPLIES = Path(__file__).parent / "replies"


class Domain(NamedTuple):
    """A run of `questions`, and what its server was asked."""

    run: Path
    seen: list[Body]

    def row(self, begins: str) -> Any:
        return explain(self.run, begins).to_json()


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Domain:
    folder = tmp_path_factory.mktemp("outputs")
    with ChatServer(scripted_answer(str(REPLIES / "domain.jsonl"))) as server:
        sets = [f"corpus={REPLIES / 'domain-corpus.jsonl'}", "train=null", "backends.writer.sampling.seed=0"]
        for role in ("writer", "judge"):
            sets += [f"backends.{role}.base_url={server.base_url}", f"backends.{role}.model=tiny"]
            sets += [f"backends.{role}.price={{prompt: 1, completion: 10, cached: 0}}"]
        build(load(str(REPLIES / "questions.yaml"), sets), folder / "run", Show(), replies=folder / "replies.sqlite")
    return Domain(folder / "run", server.seen)


def text_of(explained: Explained, width: int = 80) -> str:
    out = io.StringIO()
    explained.print(Console(file=out, width=width, highlight=False, markup=False, emoji=False))
    return out.getvalue()


def one_line(text: str) -> str:
    return " ".join(text.split())


def messages(body: Body) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"]} for message in body["messages"]]


def test_every_request_of_every_row_is_word_for_word_what_the_server_got(domain: Domain) -> None:
    sent = [messages(body) for body in domain.seen]
    told = []
    for step in RunFolder(domain.run).steps[-1:]:
        for row_id in [*step.kept.column("id")[::2], *(dropped.example.id for dropped in step.dropped())]:
            turns = [turn for stop in domain.row(row_id)["way"] for turn in stop["asked"]]
            assert len(turns) >= 2
            assert all(turn["as_sent"] and turn["reply"] for turn in turns)
            told += [turn["messages"] for turn in turns]
    assert all(each in sent for each in told)
    assert len({json.dumps(each) for each in told}) >= 20


def test_a_kept_row_is_told_from_its_document_to_its_split(domain: Domain) -> None:
    run = RunFolder(domain.run)
    row = next(row for row in run.steps[-1].kept if row.positive.doc_id == "bread" and "levain" in row.query)
    told = domain.row(row.id)
    assert [stop["step"] for stop in told["way"]] == [*(step.name for step in run.steps), "dataset/retrieval/train"]
    assert [stop["fate"] for stop in told["way"]] == ["made", "made", *["kept"] * 6, "exported"]
    assert told["fate"]["told"] == "exported to dataset/retrieval/train"
    assert not told["fate"]["dropped"]
    [document] = told["began"]
    assert document["doc_id"] == "bread"
    assert document["meta"]["path"] == "domain-corpus.jsonl"
    generate, judge = told["way"][1], told["way"][7]
    assert set(generate["wrote"]["generate"]["axes"]) == {"form", "angle"}
    [turn] = generate["asked"]
    assert json.loads(turn["reply"]["text"].strip("`json\n"))["query"] == row.query
    assert generate["replies"] == "sent by this run"
    reply = turn["reply"]
    tokens = reply["prompt_tokens"] - reply["cached_tokens"] + 10 * reply["completion_tokens"]
    assert reply["usd"] == pytest.approx(tokens / 1e6)
    assert reply["cached_tokens"] == 3
    assert reply["latency_s"] > 0
    assert len(reply["day"]) == 10
    assert judge["wrote"]["judge"]["score"] == 3
    assert judge["changed"]["positives"].startswith("bread")
    assert "judge=3" in judge["changed"]["positives"]


def test_what_a_person_reads_says_the_same(domain: Domain) -> None:
    run = RunFolder(domain.run)
    row = next(row for row in run.steps[-1].kept if row.positive.doc_id == "bread" and "levain" in row.query)
    text = one_line(text_of(explain(domain.run, row.id)))
    for part in (
        "fate exported to dataset/retrieval/train",
        f"query {row.query}",
        "began as bread, domain-corpus.jsonl, en Keeping a sourdough starter",
        "2 generate: made",
        "You write the queries that people type into a search engine.",
        "8 judge: kept positives bread bm25=",
        "reason Once a week cold, daily at room temperature.",
        "siblings f5fe335f82d424670d2a exported to dataset/retrieval/train my bread culture",
        f"replies {domain.run.parent / 'replies.sqlite'}",
    ):
        assert part in text
    assert re.search(r"asked tiny, sent by this run, 4\d\d tokens in, 20 out, 3 of them cached, \$0\.0006", text)


def test_nothing_is_wider_than_the_screen(domain: Domain) -> None:
    for row in (row for row in RunFolder(domain.run).steps[-1].kept if row.language in ("ja", "hi", "th")):
        head, *lines = text_of(explain(domain.run, row.id)).splitlines()
        assert head.endswith(row.id)
        wide = [line for line in lines if cell_len(line) > 80 and not line.startswith("replies")]
        assert wide == []


def test_every_dropped_row_names_its_step_its_reason_and_what_was_measured(domain: Domain) -> None:
    reasons = set()
    for step in RunFolder(domain.run).steps:
        for dropped in step.dropped():
            explained = explain(domain.run, dropped.example.id)
            fate = explained.to_json()["fate"]
            assert (fate["step"], fate["fate"], fate["detail"]) == (step.name, dropped.reason, dropped.detail)
            assert fate["dropped"]
            assert f"fate dropped by {step.name} as {dropped.reason}" in one_line(text_of(explained))
            reasons.add(dropped.reason)
    assert {"refusal", "truncated_answer", "inconsistent", "unreadable_answer"} <= reasons


def test_a_reply_that_was_asked_for_again_is_told_with_both_attempts(domain: Domain) -> None:
    [dropped] = [d for d in RunFolder(domain.run).step("judge").dropped() if d.reason == "unreadable_answer"]
    explained = explain(domain.run, dropped.example.id)
    first, second = explained.to_json()["way"][-1]["asked"]
    assert first["reply"]["text"] == "I would call this a good match."
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert second["messages"][-2] == {"role": "assistant", "content": "I would call this a good match."}
    text = text_of(explained)
    assert text.count("You grade how well a document answers") == 1
    assert "all of the above, and then" in text


def test_a_document_that_became_queries_tells_them(domain: Domain) -> None:
    source = next(row for row in RunFolder(domain.run).steps[0].kept if row.positive.doc_id == "bread")
    told = domain.row(source.id)
    assert told["fate"]["told"] == "other rows were made of it"
    assert len(told["children"]) == 2
    assert {child["fate"] for child in told["children"]} == {"exported"}
    assert told["siblings"] == told["parents"] == []
    [child, other] = told["children"]
    kin = domain.row(child["id"])
    assert [row["id"] for row in kin["parents"]] == [source.id]
    assert [row["id"] for row in kin["siblings"]] == [other["id"]]


@pytest.mark.parametrize(("begins", "says"), [("zz", "no row's id begins with 'zz'"), ("", "rows' ids begin with ''")])
def test_a_row_that_is_not_there_or_not_the_only_one_is_an_error_of_one_line(
    domain: Domain, begins: str, says: str
) -> None:
    with pytest.raises(CorpusError, match=says):
        explain(domain.run, begins)


def spoilt(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 50)


def emptied(path: Path) -> None:
    with sqlite3.connect(path) as store:
        store.execute("DELETE FROM replies")
    store.close()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (Path.unlink, "replies.sqlite: there is no reply store; name one with --replies"),
        (spoilt, "replies.sqlite: the reply store cannot be used: file is not a database"),
        (emptied, "replies.sqlite"),
    ],
)
def test_without_the_replies_the_prompts_are_told_all_the_same(
    domain: Domain, tmp_path: Path, harm: Any, says: str
) -> None:
    store = tmp_path / "replies.sqlite"
    shutil.copy(domain.run.parent / "replies.sqlite", store)
    harm(store)
    row = next(iter(RunFolder(domain.run).steps[-1].kept))
    explained = explain(domain.run, row.id, store)
    told = explained.to_json()
    turns = [turn for stop in told["way"] for turn in stop["asked"]]
    assert [turn["reply"] for turn in turns] == [None, None]
    assert all(turn["as_sent"] and messages(turn) in map(messages, domain.seen) for turn in turns)
    assert says in told["replies"]
    assert "(not in the reply store)" in text_of(explained)
    assert sorted(path.name for path in tmp_path.iterdir()) == ([store.name] if store.exists() else [])


def test_a_prompt_that_was_changed_since_is_not_passed_off_as_the_one_that_was_sent(
    domain: Domain, tmp_path: Path
) -> None:
    run = shutil.copytree(domain.run, tmp_path / "run")
    mark = json.loads((run / "01-generate" / "done.json").read_text())
    (run / "01-generate" / "done.json").write_text(json.dumps(mark | {"content_read": "another"}))
    row = next(iter(RunFolder(run).steps[-1].kept))
    explained = explain(run, row.id, domain.run.parent / "replies.sqlite")
    [turn] = explained.to_json()["way"][1]["asked"]
    assert turn["messages"] is None
    assert row.query in turn["reply"]["text"]
    assert "the prompt is not known" in one_line(text_of(explained))


RECIPE = """\
# A small recipe.
corpus: ./corpus
backends:
  writer: {use: scripted, model: w, replies: replies.jsonl}
  judge: {use: scripted, model: j, replies: replies.jsonl}
steps:
  - use: from_corpus
  - use: generate
  - use: exact_dedup
  - {use: judge, least: 2}
export: [dataset]
"""
WRITER = "{use: scripted, model: w, replies: replies.jsonl}"
EVIL = "\x1b[2J\x1b[31mfate      exported\x1b[0m \u202egnipeels\u202c"


def small_run(folder: Path, recipe: str = RECIPE, *sets: str) -> Path:
    """A run over six documents: two asked the same, one that fails, one that lies, one with an address, one broken."""
    texts = {
        "nile": "The Nile floods each summer.",
        "twin": "The Nile comes over its banks in summer.",
        "mute": "Salt melts ice.",
        "evil": f"Owls turn their heads. {EVIL}",
        "mail": "Write to jane.doe@example.org for bread.",
    }
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"_id": name, "text": text, "license": "cc0"}) for name, text in texts.items()]
    (folder / "corpus" / "a.jsonl").write_text("\n".join([*lines, "{broken", ""]))
    judged = {"wanted": "w", "reason": "it says so", "match": 3, "trust": 3, "score": 3}
    replies = [
        {"when": ["The Nile", "Write one query."], "reply": {"query": "When does the Nile flood?"}},
        {"when": ["Owls", "Write one query."], "reply": {"query": f"owls {EVIL}"}},
        {"when": ["bread", "Write one query."], "reply": {"query": "whom do I write to for bread?"}},
        {"when": ["Owls", "Reply with one JSON object"], "reply": judged | {"score": 1, "reason": f"no: {EVIL}"}},
        {"when": ["<query>"], "reply": judged},
    ]
    (folder / "replies.jsonl").write_text("".join(json.dumps(each) + "\n" for each in replies))
    (folder / "recipe.yaml").write_text(recipe)
    build(load(str(folder / "recipe.yaml"), sets), folder / "run", Show(), replies=folder / "replies.sqlite")
    return folder / "run"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("small"))


def rows_of(run: Path, step: str, reason: str) -> list[str]:
    return [dropped.example.id for dropped in RunFolder(run).step(step).dropped() if dropped.reason == reason]


def test_a_document_that_could_not_be_read_tells_where_it_stands(small: Path) -> None:
    [row_id] = rows_of(small, "from_corpus", "unreadable_document")
    explained = explain(small, row_id)
    told = explained.to_json()
    assert told["began"][0]["meta"] == {"line": 6, "path": "a.jsonl"}
    assert told["began"][0]["text"] == "{broken"
    assert "fate dropped by from_corpus as unreadable_document: a.jsonl:6: " in one_line(text_of(explained))


def test_rows_that_ask_the_same_are_named(small: Path) -> None:
    [row_id] = rows_of(small, "exact_dedup", "exact_duplicate")
    [twin] = explain(small, row_id).to_json()["same_query"]
    assert twin["fate"] == "exported"
    [back] = explain(small, twin["id"]).to_json()["same_query"]
    assert (back["id"], back["fate"]) == (row_id, "exact_duplicate")


def test_a_request_that_failed_is_told_with_its_prompt(small: Path) -> None:
    [row_id] = rows_of(small, "generate", "failed_request")
    told = explain(small, row_id).to_json()
    [turn] = told["way"][-1]["asked"]
    assert "Salt melts ice." in turn["messages"][-1]["content"]
    assert turn["reply"] is None
    assert not turn["as_sent"]
    assert "no line of it answers" in told["fate"]["told"]


def test_what_documents_and_models_say_steers_no_screen(small: Path) -> None:
    [row_id] = rows_of(small, "judge", "irrelevant")
    text = text_of(explain(small, row_id))
    assert text.count("gnipeels") >= 4
    assert [letter for letter in text if letter != "\n" and not letter.isprintable()] == []
    assert [line for line in text.splitlines() if line.startswith("fate")] == [
        line for line in text.splitlines() if line.startswith("fate       dropped by judge")
    ]


def test_personal_data_that_was_not_sent_is_not_told_as_sent(tmp_path: Path) -> None:
    run = small_run(tmp_path, RECIPE.replace("model: w,", "model: w, redact: true,"))
    row = next(row for row in RunFolder(run).steps[-1].kept if row.positive.doc_id == "mail")
    [turn] = explain(run, row.id).to_json()["way"][1]["asked"]
    assert turn["as_sent"]
    assert "Write to [email] for bread." in turn["messages"][-1]["content"]


def test_of_several_writers_the_one_that_was_drawn_is_told(tmp_path: Path) -> None:
    both = f"[{WRITER}, {WRITER.replace('model: w', 'model: v')}]"
    run = small_run(tmp_path, RECIPE.replace(WRITER, both))
    found = [explain(run, row.id).to_json()["way"][1] for row in RunFolder(run).steps[-1].kept]
    assert all(turn["as_sent"] for stop in found for turn in stop["asked"])
    assert [stop["asked"][0]["reply"]["model"] for stop in found] == [
        stop["wrote"]["generate"]["model"] for stop in found
    ]


OWN = '''"""Code of a run's own, which leaves a trace."""
from pathlib import Path
from synth.backends.scripted import Scripted
from synth.stages.generate import Generate

ran = Path(__file__).with_name("ran")
ran.write_text(ran.read_text() + "x")
'''
OWN_STEP = 'class Own(Generate):\n    """Generate."""\n'
OWN_MODEL = 'class Own(Scripted):\n    """A model."""\n'


@pytest.mark.parametrize(
    ("code", "old", "new"),
    [
        (OWN_STEP, "use: generate", "use: own"),
        (OWN_MODEL, WRITER, WRITER.replace("use: scripted", "use: own")),
        (OWN_MODEL, WRITER, f"[{WRITER}, {WRITER.replace('use: scripted', 'use: own')}]"),
        (OWN_MODEL, "steps:", "embedders: {miner: {use: own, model: m}}\nsteps:"),
    ],
)
def test_code_that_came_with_a_run_is_not_run_and_the_replies_are_told(
    code: str, old: str, new: str, tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(OWN + code)
    (tmp_path / "ran").write_text("")
    run = small_run(tmp_path, RECIPE.replace(old, new))
    assert (tmp_path / "ran").read_text() == "x"
    for name in [name for name in sys.modules if name.startswith("synth_user.")]:
        del sys.modules[name]
    row = next(iter(RunFolder(run).steps[-1].kept))
    [turn] = explain(run, row.id).to_json()["way"][1]["asked"]
    assert (tmp_path / "ran").read_text() == "x"
    assert turn["messages"] is None
    assert row.query in turn["reply"]["text"]


def test_the_pieces_of_a_file_know_each_other(tmp_path: Path) -> None:
    guide = "\n\n".join(f"## Part {n}\n\nThe Nile, part {n}." for n in range(3))
    (tmp_path / "corpus").mkdir(parents=True)
    (tmp_path / "corpus" / "guide.md").write_text(guide)
    run = small_run(tmp_path)
    sources = {row.positive.doc_id: row.id for row in RunFolder(run).steps[0].kept}
    explained = explain(run, sources["guide.md#1"])
    assert {piece["id"] for piece in explained.to_json()["pieces"]} == {sources["guide.md#0"], sources["guide.md#2"]}
    assert "began as guide.md#1, guide.md:7, a piece of guide.md, en " in one_line(text_of(explained))
    assert explain(run, sources["nile"]).to_json()["pieces"] == []


def test_a_run_that_stopped_halfway_says_how_far_its_rows_have_come(small: Path, tmp_path: Path) -> None:
    run = shutil.copytree(small, tmp_path / "run")
    shutil.rmtree(run / "dataset")
    shutil.rmtree(run / "03-judge")
    row = next(iter(RunFolder(run).steps[-1].kept))
    explained = explain(run, row.id, small.parent / "replies.sqlite")
    assert explained.fate == "kept by exact_dedup; the run has not gone on to judge"


def test_the_draws_that_a_quota_came_to_need_are_known(tmp_path: Path) -> None:
    quota = "  - {use: quota, rows: 2, by: task, most_draws: 3}\n"
    recipe = RECIPE.replace("  - use: exact_dedup\n", quota).replace(", replies: replies.jsonl", "")
    run = small_run(tmp_path, recipe.replace("rows: 2", "rows: 14"))
    drawn = [row for row in RunFolder(run).step("generate").kept if row.meta["generate"]["draw"] == 2]
    turns = [explain(run, row.id).to_json()["way"][1]["asked"] for row in drawn[:2]]
    assert len(drawn) > 1
    assert all(turn["as_sent"] and turn["messages"] for [turn] in turns)


class Hub(HTTPServer):
    hits = 0

    def get_request(self) -> Any:
        self.hits += 1
        return super().get_request()


def test_the_hub_is_not_asked_for_a_model_that_is_not_here(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(small, tmp_path / "run")
    recipe = (run / "recipe.yaml").read_text()
    swapped = recipe.replace("use: scripted\n    model: w\n", "use: llamacpp\n    model: owner/name\n")
    assert swapped != recipe
    (run / "recipe.yaml").write_text(re.sub(r"\n    replies: .*", "", swapped))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    row = next(iter(RunFolder(run).steps[-1].kept))
    with Hub(("127.0.0.1", 0), BaseHTTPRequestHandler) as hub:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
        threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        [turn, *others] = explain(run, row.id, small.parent / "replies.sqlite").to_json()["way"][1]["asked"]
        hub.shutdown()
    assert hub.hits == 0
    assert row.positive.text in turn["messages"][-1]["content"]
    assert not turn["as_sent"]
    assert [row.query in other["reply"]["text"] for other in others] == [True]
