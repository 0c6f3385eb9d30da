"""false_negatives: negatives that are right, found by judges, an embedder or a cross-encoder."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from synth.backends.scripted import Scripted
from synth.errors import RecipeError
from synth.stage import Context, Stage
from synth.stages.false_negatives import FalseNegatives
from synth.types import Document, Dropped, Example
from tests.letters import embedder

NILE = "when does the nile flood each year"


@cache
def letters() -> Any:
    return embedder([NILE, "the nile floods in july", "barges carry stone"])


def document(text: str, **more: Any) -> Document:
    return Document(text, doc_id=text, origin="mined", **more)


def row(*negatives: str, query: str = NILE, name: str = "r1") -> Example:
    made = tuple(map(document, negatives))
    return Example(id=name, query=query, positives=(Document("the nile floods in july", doc_id="p"),), negatives=made)


def judge(folder: Path, **grades: Any) -> Scripted:
    """A judge that knows documents by their text."""
    lines = [
        {"when": f"<document>\n{text}\n", **({"text": said} if isinstance(said, str) else {"reply": {"score": said}})}
        for text, said in grades.items()
        for _ in range(3)
    ]
    file = folder / "replies.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return Scripted(replies=str(file))


class Reranker(Scripted):
    """A cross-encoder that knows documents by their text."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Any:
        known = {"the nile floods in july": 0.82, "a": 0.8, "flood": 0.8}
        return np.array([known.get(text, 0.2) for _, text in pairs], np.float32)


def settled(stage: Stage, rows: Sequence[Example], *, counts: dict[str, float] | None = None, **named: Any) -> Any:
    told: dict[str, float] = {} if counts is None else counts

    def count(name: str, by: float = 1) -> None:
        told[name] = told.get(name, 0) + by

    embedders = {"letters": letters()} if stage.embedders_used() else {}
    ctx = Context(step="false_negatives", backends=named, embedders=embedders, count=count)
    return list(stage.run(rows, ctx))


def texts(documents: Sequence[Document]) -> list[str]:
    return [each.text for each in documents]


@pytest.mark.parametrize(
    ("fate", "positives", "negatives"),
    [
        ("drop", ["the nile floods in july"], ["barge"]),
        ("relabel", ["the nile floods in july", "flood"], ["barge"]),
        ("soft", ["the nile floods in july"], ["flood", "barge"]),
        ("note", ["the nile floods in july"], ["flood", "barge"]),
    ],
)
def test_a_negative_that_is_right_becomes_what_is_wanted(
    tmp_path: Path, fate: Any, positives: list[str], negatives: list[str]
) -> None:
    counts: dict[str, float] = {}
    [kept] = settled(
        FalseNegatives(fate=fate), [row("flood", "barge")], counts=counts, judge=judge(tmp_path, flood=2, barge=1)
    )
    assert (texts(kept.positives), texts(kept.negatives)) == (positives, negatives)
    assert counts == {"mined negatives": 2, "mined negatives that are right": 1}
    assert kept.meta["false_negatives"]["right"] == [{"doc_id": "flood", "origin": "mined", "why": "judged 2"}]
    marked = {each.text: each for each in (*kept.positives, *kept.negatives)}
    assert marked["barge"].scores == {"judge": 1.0}
    if fate != "drop":
        assert (marked["flood"].scores, marked["flood"].relevance) == ({"judge": 2.0}, 0.66667)


def test_the_whole_row_may_go(tmp_path: Path) -> None:
    [lost] = settled(FalseNegatives(fate="row"), [row("barge", "flood")], judge=judge(tmp_path, flood=3, barge=0))
    assert isinstance(lost, Dropped)
    assert (lost.reason, lost.detail) == ("false_negative", "1 of 2 are right: judged 3")
    assert [each.scores["judge"] for each in lost.example.negatives] == [0.0, 3.0]


@pytest.mark.parametrize(("unread", "left"), [("drop", ["barge"]), ("keep", ["mist", "barge"])])
def test_a_negative_that_nobody_can_judge_is_taken_out_unless_told(
    tmp_path: Path, unread: Any, left: list[str]
) -> None:
    stage = FalseNegatives(unread=unread, attempts=1)
    [kept] = settled(stage, [row("mist", "barge")], judge=judge(tmp_path, mist="hard to say", barge=0))
    assert texts(kept.negatives) == left
    assert kept.meta["false_negatives"]["unread"][0]["doc_id"] == "mist"


def test_a_row_none_of_whose_negatives_can_be_judged_is_dropped_for_that(tmp_path: Path) -> None:
    stage = FalseNegatives(attempts=1)
    [lost] = settled(stage, [row("mist", "fog")], judge=judge(tmp_path, mist="?", fog="?"))
    assert isinstance(lost, Dropped)
    assert lost.reason == "unreadable_answer"
    assert texts(lost.example.negatives) == ["mist", "fog"]


def test_a_strong_judge_sees_only_what_the_cheap_one_is_unsure_of(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    named = {"judge": judge(tmp_path, no=0, low=1, high=2, sure=3), "strong": judge(tmp_path / "s", low=3, high=0)}
    [kept] = settled(FalseNegatives(then="strong", fate="relabel"), [row("no", "low", "high", "sure")], **named)
    assert texts(kept.negatives) == ["no", "high"]
    assert texts(kept.positives[1:]) == ["low", "sure"]


def test_rows_with_nothing_to_judge_pass_and_rows_never_mix(tmp_path: Path) -> None:
    rows = [row(), row("flood", query=" "), *(row("flood", "barge", name=f"r{n}") for n in range(50))]
    rows = [
        Example(id=f"x{n}", query=r.query, positives=r.positives, negatives=r.negatives) for n, r in enumerate(rows)
    ]
    outcomes = settled(FalseNegatives(), rows, judge=judge(tmp_path, flood=3, barge=0))
    found = {outcome.id: outcome for outcome in outcomes}
    assert len(outcomes) == len(found) == len(rows)
    assert (found["x0"], found["x1"]) == (rows[0], rows[1])
    assert all(texts(found[f"x{n}"].negatives) == ["barge"] for n in range(2, 52))


def test_only_the_first_negatives_are_judged_where_told(tmp_path: Path) -> None:
    stage = FalseNegatives(most_negatives=1)
    [kept] = settled(stage, [row("flood", "flood too")], judge=judge(tmp_path, flood=3))
    assert texts(kept.negatives) == ["flood too"]


@pytest.mark.parametrize("scorer", ["judge", "reranker"])
def test_negatives_of_another_origin_are_spared_and_keep_their_place(tmp_path: Path, scorer: Any) -> None:
    plain = row("flood", "barge", "mist")
    written = replace(plain.negatives[1], origin="written", relevance=0.5)
    plain = replace(plain, negatives=(plain.negatives[0], written, plain.negatives[2]))
    backend = judge(tmp_path, flood=3, mist=0) if scorer == "judge" else Reranker()
    stage, counts = FalseNegatives(scorer=scorer, fate="soft", origin="mined"), dict[str, float]()
    [kept] = settled(stage, [plain], counts=counts, judge=backend)
    assert texts(kept.negatives) == ["flood", "barge", "mist"]
    assert kept.negatives[1] == written
    assert all(each.scores for each in (kept.negatives[0], kept.negatives[2]))
    assert counts["mined negatives"] == 2
    [passed] = settled(stage, [replace(plain, negatives=(written,))], judge=backend)
    assert passed.negatives == (written,)


def test_a_row_whose_only_judged_negative_nobody_can_judge_keeps_those_that_are_spared(tmp_path: Path) -> None:
    plain = row("mist", "barge")
    plain = replace(plain, negatives=(plain.negatives[0], replace(plain.negatives[1], origin="written")))
    [kept] = settled(FalseNegatives(origin="mined", attempts=1), [plain], judge=judge(tmp_path, mist="?"))
    assert texts(kept.negatives) == ["barge"]


def test_an_embedder_finds_what_is_as_near_as_the_positive() -> None:
    stage = FalseNegatives(scorer="embedder", embedder="letters", relative_margin=0.05, fate="relabel")
    near, far = "the nile floods in july", "barges carry stone"
    rows = [row(near, far), row(), row(far, query="", name="r3")]
    [kept, *passed] = settled(stage, rows)
    assert texts(kept.negatives) == [far]
    assert texts(kept.positives) == [near, near]
    assert kept.positive.scores["cosine"] == kept.positives[1].scores["cosine"] > kept.negatives[0].scores["cosine"]
    assert passed == rows[1:]


@pytest.mark.parametrize(("least", "left"), [(None, ["b"]), (0.85, ["a", "b"])])
def test_a_backend_that_scores_pairs_can_be_the_judge(least: float | None, left: list[str]) -> None:
    stage = FalseNegatives(scorer="reranker", backend="reranker", least=least)
    [kept] = settled(stage, [row("a", "b")], reranker=Reranker())
    assert texts(kept.negatives) == left


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scorer": "embedder"}, "needs one"),
        ({"embedder": "letters"}, "judge asks none"),
        ({"relative_margin": 2}, "less than or equal to 1"),
    ],
)
def test_options_that_do_not_agree_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FalseNegatives(**options)


def test_a_bound_off_the_scale_is_told() -> None:
    with pytest.raises(RecipeError, match="least: must be between 0 and 3"):
        settled(FalseNegatives(least=7), [row("x")], judge=Scripted())
