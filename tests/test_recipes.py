"""Every recipe that asks models runs end to end from replies written by hand, and leaves no row without a reason."""

import json
import re
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from synth.build import Build
from synth.recipe import load
from synth.registry import known
from synth.rows import KEPT
from synth.runs import RunFolder
from tests.plays import fates, play, plays

ASKING = sorted(name for name in known("recipes") if load(name).backends)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plays")


@cache
def played(name: str, folder: Path) -> Build:
    """Each recipe is played once."""
    (folder / name).mkdir()
    return play(name, folder / name)


def test_every_recipe_that_asks_models_has_replies() -> None:
    assert plays() == ASKING


@pytest.mark.parametrize("name", ASKING)
def test_a_recipe_exports_rows_of_the_schema(name: str, folder: Path) -> None:
    done = played(name, folder)
    files = sorted((done.folder / "dataset").glob("*/*.parquet"))
    tables = [pq.read_table(file) for file in files]
    assert sum(table.num_rows for table in tables) >= 1
    for table in tables:
        assert table.schema.names == KEPT.names
        for row in table.to_pylist():
            assert row["query"].strip()
            assert any(document["text"].strip() for document in row["positives"])
            assert not {d["text"] for d in row["positives"]} & {d["text"] for d in row["negatives"]}


@pytest.mark.parametrize("name", ASKING)
def test_every_row_that_a_recipe_drops_has_its_reason(name: str, folder: Path) -> None:
    done = played(name, folder)
    for step, reason, detail, _ in fates(RunFolder(done.folder)):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", reason), step
        assert detail or reason in ("exact_duplicate",), f"{step}: {reason}"


@pytest.mark.parametrize("name", ASKING)
def test_every_reply_that_a_recipe_wants_is_there(name: str, folder: Path) -> None:
    """A request that nobody answers is a failed one: a change of prompt or draw would show here."""
    done = played(name, folder)
    wanted = [detail for _, reason, detail, _ in fates(RunFolder(done.folder)) if reason == "failed_request"]
    assert not wanted, json.dumps(wanted[:3])
