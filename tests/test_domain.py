"""A recipe with writer and judge against a server with hand-written replies: every row's way can be seen."""

import json
from pathlib import Path

import pytest

from tests.conftest import Synth
from tests.servers import ChatServer, scripted_answer

REPLIES = Path(__file__).parent / "replies"


@pytest.fixture
def domain(synth: Synth, tmp_path: Path) -> Path:
    """A run of it over twelve documents in twelve languages."""
    with ChatServer(scripted_answer(str(REPLIES / "domain.jsonl"))) as server:
        sets = [f"corpus={REPLIES / 'domain-corpus.jsonl'}", "train=null", "backends.writer.sampling.seed=0"]
        for role in ("writer", "judge"):
            sets += [f"backends.{role}.base_url={server.base_url}", f"backends.{role}.model=tiny"]
        said = synth(
            "run",
            REPLIES / "questions.yaml",
            *(word for each in sets for word in ("--set", each)),
            "--output",
            "run",
            "--json",
        )
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["requests"]["sent"] >= 24
    assert told["requests"]["failed"] == 0
    assert told["tokens"]["prompt"] > 0
    return tmp_path / "run"


def test_every_row_is_seen_from_prompt_to_dataset(domain: Path, synth: Synth) -> None:
    rows = json.loads(synth("look", domain, "--most", 99, "--json").out)["rows"]
    assert len(rows) >= 15
    for row in rows:
        steps = [stop["step"] for stop in row["way"]]
        assert steps[:2] == ["from_corpus", "generate"]
        assert steps[-2] == "judge"
        assert steps[-1].startswith("dataset/retrieval/")
        whole = json.loads(synth("look", domain, "--row", row["id"], "--json").out)["rows"][0]["way"]
        asked = {stop["step"]: stop["asked"] for stop in whole if "asked" in stop}
        assert set(asked) == {"generate", "judge"}
        assert row["positives"][0]["text"] in asked["generate"][-1]["content"]
        assert row["query"] in asked["judge"][-1]["content"]


def test_every_reply_that_made_no_row_is_seen_with_its_reason(domain: Path, synth: Synth) -> None:
    rows = json.loads(synth("look", domain, "--dropped", "all", "--most", 99, "--json").out)["rows"]
    fates = {row["way"][-1]["fate"] for row in rows}
    assert {"refusal", "truncated_answer", "inconsistent", "unreadable_answer"} <= fates
    assert all(row["way"][-1]["detail"] for row in rows)
