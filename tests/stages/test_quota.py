"""quota: exactly so many rows of each cell, and more is drawn where one is short."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth.runs import RunFolder
from synth.stage import Context, RowList
from synth.stages.quota import Quota
from synth.types import Dropped, Example
from tests.conftest import Said, Synth, write_corpus
from tests.servers import Body, ChatServer

ENGLISH = {f"e{n}": f"The gate number {n} of the old town opens at noon and closes at night." for n in range(6)}
GERMAN = {f"d{n}": f"Das Tor Nummer {n} der alten Stadt wird am Mittag geöffnet und abends." for n in range(4)}

RECIPE = """\
corpus: ./corpus
seed: 7
backends:
  writer: {{use: openai, model: tiny, base_url: {url}}}
steps:
  - use: from_corpus
  - {{use: generate, prompt: grounded/question, per_document: 1}}
  - use: exact_dedup
  - {{use: quota, rows: {rows}, by: language, most_rounds: {rounds}}}
export: [dataset]
"""


class Writer:
    """Answers every call with a question of its own, but every second one about an English document with the same."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.lock = threading.Lock()

    def __call__(self, body: Body) -> str:
        asked = json.dumps(body["messages"])
        with self.lock:
            self.calls[asked] += 1
            number = self.calls[asked]
        drawn = hashlib.blake2b(asked.encode(), digest_size=4).hexdigest()
        same = "gate number" in asked and int(drawn, 16) % 2 == 0
        return json.dumps({"query": "what is it?" if same else f"{drawn} told {number} times?"})


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(Writer()) as server:
        yield server


def run(synth: Synth, folder: Path, server: ChatServer, rows: str, rounds: int = 4) -> Said:
    write_corpus(folder / "corpus", {**ENGLISH, **GERMAN})
    (folder / "recipe.yaml").write_text(RECIPE.format(url=server.base_url, rows=rows, rounds=rounds))
    return synth("run", "recipe.yaml", "--output", "run")


def cells(folder: Path) -> Counter[str]:
    return Counter(row.language for row in RunFolder(folder / "run").steps[-1].kept)


def test_more_is_drawn_until_each_cell_is_met_and_the_next_run_asks_nothing(
    synth: Synth, tmp_path: Path, server: ChatServer
) -> None:
    said = run(synth, tmp_path, server, "9")
    assert said.code == 0, said.err
    assert cells(tmp_path) == {"en": 9, "de": 9}
    asked = len(server.seen)
    mark = json.loads((tmp_path / "run" / "marks" / "quota-quota.json").read_text())
    assert asked == 10 * mark["draws"]  # ten documents, and nothing was asked twice
    assert mark["draws"] >= 3

    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/done.json")}
    assert run(synth, tmp_path, server, "9").code == 0
    assert len(server.seen) == asked
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_a_cell_that_stays_short_is_told(synth: Synth, tmp_path: Path, server: ChatServer) -> None:
    said = run(synth, tmp_path, server, "{en: 2, sw: 5}", rounds=2)
    assert said.code == 0
    assert cells(tmp_path) == {"en": 2}
    assert "quota: sw has 0 of 5 rows" in said.out
    assert len(server.seen) == 10 * 4 * 4  # 1, 4, 16 draws
    before = len(server.seen)
    assert run(synth, tmp_path, server, "{en: 2, sw: 5}", rounds=2).code == 0
    assert len(server.seen) == before


def test_without_rounds_it_only_cuts(synth: Synth, tmp_path: Path, server: ChatServer) -> None:
    assert run(synth, tmp_path, server, "3", rounds=0).code == 0
    assert len(server.seen) == 10
    assert cells(tmp_path)["de"] == 3


def row(name: str, **more: Any) -> Example:
    return Example(id=name, query=name, **more)


def fates(stage: Quota, rows: list[Example]) -> dict[str, str]:
    outcomes = list(stage.run(RowList(rows), Context(step="quota")))
    return {
        o.example.id if isinstance(o, Dropped) else o.id: o.reason if isinstance(o, Dropped) else "" for o in outcomes
    }


def test_the_rows_that_stay_are_drawn_and_not_the_first_and_order_changes_nothing() -> None:
    rows = [row(f"r{n:03}", language="en") for n in range(100)]
    found = fates(Quota(rows=30), rows)
    kept = [name for name, reason in found.items() if not reason]
    assert len(kept) == 30
    assert kept != [r.id for r in rows[:30]]
    assert fates(Quota(rows=30), rows[::-1]) == found
    assert set(kept) < {name for name, reason in fates(Quota(rows=50), rows).items() if not reason}


@pytest.mark.parametrize(
    ("by", "cell"),
    [
        ("task", "sts"),
        (("task", "language"), "sts/?"),
        ("make.axes.form", "short"),
        ("make.axes.none", "?"),
        ("make.axes.form.deeper", "?"),
    ],
)
def test_a_cell_is_named_by_what_makes_it(by: Any, cell: str) -> None:
    assert Quota(by=by).cell_of(row("x", task="sts", meta={"make": {"axes": {"form": "short"}}})) == cell


def test_cells_that_are_not_named_keep_nothing() -> None:
    found = fates(Quota(rows={"en": 1}, by="language"), [row("a", language="en"), row("b", language="de")])
    assert found == {"a": "", "b": "over_quota"}


@pytest.mark.parametrize("rows", [0, {}, {"en": 0}])
def test_a_quota_of_nothing_is_told(rows: Any) -> None:
    with pytest.raises(ValidationError, match="at least 1 row"):
        Quota(rows=rows)
