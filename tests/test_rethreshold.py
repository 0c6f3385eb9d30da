"""Another threshold is tried on the replies that are there: nothing is sent, and the old run stays as it is."""

import io
import json
import shlex
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from synth.build import build
from synth.errors import BackendError, OutputError, RecipeError
from synth.progress import Show
from synth.recipe import load
from synth.rethreshold import Rethresholded, rethreshold
from synth.runs import RunFolder
from tests.conftest import Synth, write_corpus
from tests.servers import Body, ChatServer, Said, scripted_answer

REPLIES = Path(__file__).parent / "replies"
DEAD = "http://127.0.0.1:9/v1"
"""Where nobody listens."""


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, without a key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path


def sets_of(base_url: str) -> list[str]:
    sets = [f"corpus={REPLIES / 'domain-corpus.jsonl'}", "backends.writer.sampling.seed=0"]
    for role in ("writer", "judge"):
        sets += [f"backends.{role}.base_url={base_url}", f"backends.{role}.model=tiny"]
    return sets


def domain(outputs: Path, *more: str) -> Path:
    """A run of `questions` whose server is gone, and whose address leads nowhere."""
    with ChatServer(scripted_answer(str(REPLIES / "domain.jsonl"))) as server:
        sets = [*sets_of(server.base_url), "train=null", *more]
        recipe = load(str(REPLIES / "questions.yaml"), sets)
        run = build(recipe, None, Show(), replies=outputs / "replies.sqlite").folder
    file = run / "recipe.yaml"
    file.write_text(file.read_text().replace(server.base_url, DEAD))
    return run


def answered(body: Body) -> str | Said:
    """As `domain.jsonl` says, and where that says nothing, something."""
    try:
        return scripted_answer(str(REPLIES / "domain.jsonl"))(body)
    except LookupError:
        asked = "".join(message["content"] for message in body["messages"])
        return json.dumps({"query": f"what of {sorted(asked.split())[-1]}?"} if "Write one query" in asked else JUDGED)


def stood(folder: Path) -> dict[str, tuple[bytes, int]]:
    """The bytes of every file of a folder, and when it was changed."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files} | {
        str(path): (b"", path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")] if path.is_dir()
    }


def kept(run: Path) -> list[str]:
    return RunFolder(run).steps[-1].kept.column("id")


def text_of(told: Rethresholded) -> str:
    out = io.StringIO()
    told.print(Console(file=out, width=80, highlight=False, markup=False, emoji=False))
    return out.getvalue()


def test_a_stricter_judge_loses_rows_without_a_request_and_without_a_touch(working: Path) -> None:
    run = domain(working / "outputs")
    before = stood(run)
    found = rethreshold(run, ["judge.least=3"])
    assert stood(run) == before
    assert found.new.folder.parent == run.parent
    assert found.new.folder != run
    told = found.to_json()
    assert told["requests"] == {"sent": 0, "from_store": 21}
    *others, judge = told["steps"]
    assert all(each["before"] == each["after"] for each in others)
    gone = judge["after"]["dropped"]["irrelevant"]
    assert judge["before"] == {"kept": 19, "dropped": {"unreadable_answer": 1}}
    assert judge["after"] == {"kept": 19 - gone, "dropped": {"unreadable_answer": 1, "irrelevant": gone}}
    assert told["rows"] == {"before": 19, "after": 19 - gone, "gained": 0, "lost": gone, "changed": 0}
    assert set(kept(found.new.folder)) < set(kept(run))
    assert 0 < len(told["lost"]) <= 3
    assert all(row["else"]["fate"] == "irrelevant" and "least is 3" in row["else"]["detail"] for row in told["lost"])
    assert (found.new.folder / "dataset" / "retrieval" / "train.parquet").is_file()
    text = text_of(found)
    assert "judge        19 -> 17  1 -> 3" in text
    assert "rows gained: 0, lost: 2, changed: 0; nothing was sent" in text
    assert "now: dropped by judge as irrelevant: judged 2, least is 3" in text
    assert [line for line in text.splitlines() if cell_len(line) > 80 and "  " not in line] == []


def test_it_keeps_what_a_run_with_that_option_would_keep(working: Path) -> None:
    run = domain(working / "outputs")
    found = rethreshold(run, ["judge.least=3", "leakage.most=0.2"])
    again = domain(working / "other", "judge.least=3", "leakage.most=0.2")
    marks = [[step.mark[name] for name in ("key", "kept", "dropped", "content")] for step in RunFolder(again).steps]
    assert [[step.mark[name] for name in ("key", "kept", "dropped", "content")] for step in found.new.steps] == marks


def test_a_looser_threshold_gains_the_rows_that_it_let_go(working: Path) -> None:
    run = domain(working / "outputs", "judge.least=3")
    told = rethreshold(run, ["judge.least=2"]).to_json()
    assert told["rows"] == {"before": 17, "after": 19, "gained": 2, "lost": 0, "changed": 0}
    assert {row["else"]["fate"] for row in told["gained"]} == {"irrelevant"}
    assert all("least is 3" in row["else"]["detail"] for row in told["gained"])


def test_the_steps_before_are_not_done_again_and_lie_on_disk_once(working: Path) -> None:
    run = domain(working / "outputs")
    found = rethreshold(run, ["judge.least=3"], output=working / "elsewhere" / "new")
    for old, new in zip(RunFolder(run).steps[:-1], found.new.steps[:-1], strict=True):
        assert (old.folder / "kept.parquet").stat().st_ino == (new.folder / "kept.parquet").stat().st_ino
        assert new.mark["usage"] == {}


def test_the_corpus_of_the_run_need_not_be_there_any_more(working: Path) -> None:
    corpus = shutil.copy(REPLIES / "domain-corpus.jsonl", working / "corpus.jsonl")
    run = domain(working / "outputs", f"corpus={corpus}")
    corpus.unlink()
    found = rethreshold(run, ["judge.least=3"], output=working / "elsewhere" / "new")
    assert found.to_json()["rows"]["lost"] == 2
    assert not [line for line in found.warnings if "made again" in line]


def test_what_has_no_reply_is_counted_and_the_command_that_pays_for_it_works(working: Path, synth: Synth) -> None:
    run = domain(working / "outputs")
    before = stood(run)
    with pytest.raises(BackendError) as error:
        rethreshold(run, ["generate.per_document=3"])
    assert stood(run) == before
    told = str(error.value)
    assert "\n" not in told
    assert told.startswith("step generate: 12 of its 38 requests have no reply in outputs/replies.sqlite (later steps")
    assert not list(working.glob("outputs/*/01-generate/done.json"))[1:]
    words = shlex.split(told.rpartition("to pay for them: ")[2])
    assert words[:3] == ["synth", "run", str(REPLIES / "questions.yaml")]
    assert "generate.per_document=3" in words
    with ChatServer(answered) as server:
        words = [word.replace(DEAD, server.base_url) for word in words]
        said = synth(*words[1:], "--json")
        assert said.code == 0, said.err
        assert len(server.seen) >= 12
    paid = json.loads(said.out)
    assert paid["requests"]["from_store"] == 26 + 21
    assert paid["requests"]["sent"] == len(server.seen) < 26
    found = rethreshold(run, ["generate.per_document=3"])
    assert found.from_store == 0
    assert [step["after"]["kept"] for step in found.to_json()["steps"]][-1] == paid["rows"]["kept"]


def test_the_store_that_is_not_there_is_named_and_not_made(working: Path) -> None:
    run = domain(working / "outputs")
    (working / "outputs" / "replies.sqlite").unlink()
    with pytest.raises(
        BackendError, match="20 of its 20 requests have no reply in outputs/replies.sqlite, which is not there"
    ):
        rethreshold(run, ["judge.least=3"])
    assert (
        rethreshold(run, ["consistency.most_rank=1", "judge.where={tag: none}"], output=working / "new").difference.lost
        == 0
    )
    assert not (working / "outputs" / "replies.sqlite").exists()


@pytest.mark.parametrize("pruned", [1, 7])
def test_what_was_pruned_is_missing(pruned: int, working: Path) -> None:
    run = domain(working / "outputs")
    judged = [row.meta["judge"]["reply_key"] for row in RunFolder(run).steps[-1].kept]
    with sqlite3.connect(working / "outputs" / "replies.sqlite") as store:
        store.executemany("DELETE FROM replies WHERE key = ?", [(bytes.fromhex(key),) for key in judged[:pruned]])
    store.close()
    with pytest.raises(BackendError, match=f"step judge: {pruned} of its 21 requests"):
        rethreshold(run, ["judge.least=3"])


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["judge.least=2"], "judge.least=2: the run had this already; nothing would change"),
        ([], "no option: the run had this already"),
        (["judge.leest=3"], r"step 4 \(judge\): no option is called 'leest'; did you mean 'least'\?"),
        (["jugde.least=3"], "no step or key is called 'jugde'; did you mean 'judge'?"),
        (["judge.least"], "must be step.option=value"),
        (["judge.least=9"], "least: must be between 0 and 3"),
    ],
)
def test_an_override_that_is_wrong_is_an_error_of_one_line(overrides: list[str], says: str, small: Path) -> None:
    with pytest.raises(RecipeError, match=says):
        rethreshold(small, overrides)


def test_no_folder_that_holds_something_else_is_taken(small: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="this is the run itself"):
        rethreshold(small, ["judge.least=3"], output=small)
    with pytest.raises(OutputError, match="it holds files that are no run's"):
        rethreshold(small, ["judge.least=3"], output=tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


RECIPE = """\
# A small recipe.
corpus: ./corpus
backends:
  writer: {use: scripted, model: w}
  judge: {use: scripted, model: j, replies: replies.jsonl}
steps:
  - use: from_corpus
  - {use: generate, per_document: 3}
  - use: near_dedup
  - {use: judge, least: 2}
export: [dataset]
"""
JUDGED = {"wanted": "w", "reason": "it says so", "match": 3, "trust": 3, "score": 3}


def small_run(folder: Path, recipe: str = RECIPE, texts: dict[str, str] | None = None) -> Path:
    """A run over eight documents in which one query in a few cannot be judged."""
    write_corpus(folder / "corpus", texts)
    scores = {"Nile": 0, "Water boils": 1, "chain": 2}
    replies = [{"when": ["<query>", name], "reply": JUDGED | {"score": score}} for name, score in scores.items()]
    replies += [{"when": ["<query>", "Moss"], "error": "503: the server is busy"}]
    replies += [{"when": ["<query>"], "reply": JUDGED}]
    (folder / "replies.jsonl").write_text("".join(json.dumps(each) + "\n" for each in replies))
    (folder / "recipe.yaml").write_text(recipe)
    return build(load(str(folder / "recipe.yaml")), folder / "run", Show(), replies=folder / "replies.sqlite").folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("small"))


def after(told: Rethresholded, step: str) -> dict[str, Any]:
    [found] = [each["after"] for each in told.to_json()["steps"] if each["step"] == step]
    return dict(found)


def test_requests_that_failed_in_the_run_fail_again(small: Path, tmp_path: Path) -> None:
    failed = RunFolder(small).step("judge").mark["dropped"]["failed_request"]
    assert failed > 0
    found = rethreshold(small, ["judge.least=1"], output=tmp_path / "new")
    assert after(found, "judge")["dropped"]["failed_request"] == failed
    assert found.difference.gained > 0
    [dropped, *_] = [d for d in found.new.step("judge").dropped() if d.reason == "failed_request"]
    assert dropped.detail == "503: the server is busy"


def test_nothing_kept_is_an_answer_too(tmp_path: Path) -> None:
    run = small_run(tmp_path, RECIPE.replace("- use: near_dedup", "- use: length"))
    found = rethreshold(run, ["length.least_query=250"])
    assert found.to_json()["rows"]["after"] == 0
    assert found.exported == {}


def test_an_option_that_is_no_threshold_is_tried_too(small: Path, tmp_path: Path) -> None:
    found = rethreshold(small, ["generate.per_document=2", "export=[dataset, pairs]"], output=tmp_path / "new")
    assert after(found, "generate")["kept"] == 16
    assert found.difference.lost > 0
    assert (tmp_path / "new" / "pairs" / "train.jsonl").is_file()


def test_rows_that_stay_and_are_not_as_they_were_are_counted(tmp_path: Path) -> None:
    recipe = RECIPE.replace("  - {use: judge, least: 2}\n", "  - {use: mine, negatives: 1}\n")
    run = small_run(tmp_path, recipe)
    found = rethreshold(run, ["mine.negatives=2"])
    assert found.difference.changed > 0
    assert (found.difference.gained, found.difference.lost) == (0, 0)


@pytest.mark.parametrize("more", ["", "engine: {workers: 4}\n"])
def test_of_several_writers_and_workers_each_missing_reply_is_counted(more: str, tmp_path: Path) -> None:
    both = "[{use: scripted, model: w}, {use: scripted, model: v}]"
    run = small_run(tmp_path, RECIPE.replace("{use: scripted, model: w}", both) + more)
    with pytest.raises(BackendError, match="step generate: 16 of its 40 requests"):
        rethreshold(run, ["generate.per_document=5"])
    found = rethreshold(run, ["generate.per_document=2"])
    models = Counter(row.meta["generate"]["model"] for row in found.new.step("generate").kept)
    assert set(models) == {"w", "v"}


def test_of_a_step_with_several_workers_each_missing_reply_is_counted(tmp_path: Path) -> None:
    steps = "  - use: near_dedup\n  - use: leakage\n  - {use: judge, least: 2}\nengine: {workers: 4}\n"
    recipe = RECIPE.replace("  - use: near_dedup\n  - {use: judge, least: 2}\n", steps)
    texts = {f"d{n}": f"River {n} runs to the sea past {n + 7} mills." for n in range(90)}
    run = small_run(tmp_path, recipe, texts)
    with sqlite3.connect(tmp_path / "replies.sqlite") as store:
        store.execute("DELETE FROM replies WHERE model = 'j'")
    store.close()
    count = RunFolder(run).step("leakage").mark["kept"]
    assert count > 150
    with pytest.raises(BackendError, match=f"step judge: {count} of its {count} requests"):
        rethreshold(run, ["leakage.most=1"])


def test_nothing_is_trained(small: Path, tmp_path: Path) -> None:
    found = rethreshold(small, ["judge.least=1", "train={base: static}"], output=tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir() if path.is_dir() and path.name[0] not in "0.") == [
        "dataset",
        "marks",
    ]
    assert "--set train.base=static" in found.command
    whole = json.loads((tmp_path / "new" / "run.json").read_text()) | {"evaluation": [{"model": "trained"}]}
    (tmp_path / "new" / "run.json").write_text(json.dumps(whole))
    rethreshold(small, ["judge.least=1", "train={base: static}"], output=tmp_path / "new")
    assert json.loads((tmp_path / "new" / "run.json").read_text()) == whole


def test_a_quota_draws_as_it_did_and_lacks_what_was_never_drawn(tmp_path: Path) -> None:
    steps = "  - {use: generate, per_document: 1}\n  - use: near_dedup\n  - {use: quota, rows: 12, by: task}\n"
    recipe = RECIPE.replace("  - {use: generate, per_document: 3}\n  - use: near_dedup\n", steps)
    run = small_run(tmp_path, recipe)
    assert RunFolder(run).step("quota").mark["kept"] == 12
    found = rethreshold(run, ["judge.least=0"], output=tmp_path / "elsewhere" / "new")
    assert found.difference.gained > 0
    files = [each.step("generate").folder / "kept.parquet" for each in (RunFolder(run), found.new)]
    assert files[0].samefile(files[1])
    assert after(found, "quota") == {"kept": 12, "dropped": dict(RunFolder(run).step("quota").mark["dropped"])}
    assert after(rethreshold(run, ["quota.rows=6", "judge.where={tag: none}"]), "quota")["kept"] == 6
    with pytest.raises(BackendError, match="step generate: .* requests have no reply"):
        rethreshold(run, ["quota.rows=60"])


VECTORS = '''"""Vectors by hash, and a count of the texts that were asked for."""
import hashlib
from pathlib import Path
import numpy as np
from synth.backend import Backend

class Vectors(Backend):
    """Vectors."""

    def complete(self, requests):
        """Nothing."""
        yield from ()

    def embed(self, texts):
        """A vector for each text."""
        asked = Path(__file__).with_name("asked")
        asked.write_text(asked.read_text() + "x" * len(texts))
        rows = [np.frombuffer(hashlib.blake2b(t.encode(), digest_size=32).digest(), np.uint8) for t in texts]
        vectors = np.array(rows, np.float32) - 127
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
'''


def test_a_served_embedder_has_the_vectors_that_were_kept_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "vectors.py").write_text(VECTORS)
    asked = tmp_path / "asked"
    asked.write_text("")
    consistency = "  - {use: consistency, retriever: dense, embedder: miner, most_rank: 4}\n"
    recipe = RECIPE.replace("  - use: near_dedup\n", consistency) + "embedders: {miner: {use: vectors, model: m}}\n"
    run = small_run(tmp_path, recipe)
    count = len(asked.read_text())
    assert count > 8
    found = rethreshold(run, ["consistency.most_rank=1", "judge.least=1"])
    assert after(found, "consistency")["dropped"]["inconsistent"] > 0
    with pytest.raises(BackendError, match=r"step consistency: \d+ texts or more have no vector or score of 'm' kept"):
        rethreshold(run, ["embedders.miner.query_prompt=query"])
    assert len(asked.read_text()) == count


def test_a_run_that_stopped_halfway_is_compared_as_far_as_it_went(small: Path, tmp_path: Path) -> None:
    run = shutil.copytree(small, tmp_path / "run")
    shutil.copy(small.parent / "replies.sqlite", tmp_path)
    shutil.rmtree(run / "03-judge")
    with pytest.raises(BackendError, match="step judge: 3 of its 24 requests"):  # those that failed before it stopped
        rethreshold(run, ["near_dedup.threshold=0.9", "judge.least=1"])
    told = rethreshold(run, ["near_dedup.threshold=0.2", "judge.where={tag: none}"]).to_json()
    assert told["steps"][-1]["before"] is None
    assert told["steps"][-1]["after"]["kept"] == told["steps"][-2]["after"]["kept"]
    assert told["rows"]["lost"] > 0


def test_the_command_of_a_recipe_that_is_gone_names_the_new_run(tmp_path: Path, synth: Synth) -> None:
    run = small_run(tmp_path)
    (tmp_path / "recipe.yaml").unlink()
    found = rethreshold(run, ["judge.least=3"], output=tmp_path / "new")
    said = synth(*shlex.split(found.command)[1:], "--json")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["requests"]["sent"] == told["requests"]["failed"]
    assert told["rows"]["kept"] == found.new.steps[-1].mark["kept"]
    assert Path(told["folder"]) == tmp_path / "new"
