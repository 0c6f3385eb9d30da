"""Several judges, a second one for the unsure, and the kinds of verdict that prompts ask for."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth.backend import Completion, Request
from synth.backends.scripted import Scripted
from synth.errors import RecipeError
from synth.filters.judge import Judge
from synth.judging import ROUND
from synth.stage import Context, Source
from synth.types import Document, Dropped, Example, row_id


def row(query: str) -> Example:
    return Example(id=row_id("t", 0, query), query=query, positives=(Document(f"About {query}.", doc_id="d"),))


def scripted(folder: Path, role: str, *lines: dict[str, Any]) -> Scripted:
    file = folder / f"{role}.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return Scripted(replies=str(file), model=role)


def grades(folder: Path, role: str, **scores: Any) -> Scripted:
    """A judge that gives each query its score, or a text that is no verdict."""
    lines = [
        {"when": f"About {query}.", **({"text": said} if isinstance(said, str) else {"reply": {"score": said}})}
        for query, said in scores.items()
    ]
    return scripted(folder, role, *lines)


def judged(stage: Judge, rows: Iterable[Example], **backends: Any) -> dict[str, Example | Dropped]:
    outcomes = list(stage.run(rows, Context(step="judge", backends=backends)))
    return {(o.example if isinstance(o, Dropped) else o).query: o for o in outcomes}


def scores_of(outcome: Example | Dropped) -> dict[str, float]:
    example = outcome.example if isinstance(outcome, Dropped) else outcome
    return dict(example.positive.scores)


@pytest.mark.parametrize(
    ("vote", "score", "kept"),
    [("median", 2.0, True), ("mean", 1.66667, False), ("majority", 2.0, True), ("lowest", 1.0, False)],
)
def test_several_judges_vote(tmp_path: Path, vote: Any, score: float, kept: bool) -> None:
    roles = {name: grades(tmp_path, name, nile=said) for name, said in (("a", 2), ("b", 1), ("c", 2))}
    outcome = judged(Judge(backend=("a", "b", "c"), vote=vote), [row("nile")], **roles)["nile"]
    assert isinstance(outcome, Example) == kept
    assert scores_of(outcome) == {"judge": score, "judge_a": 2.0, "judge_b": 1.0, "judge_c": 2.0}
    meta = (outcome.example if isinstance(outcome, Dropped) else outcome).meta["judge"]
    assert meta["agreement"] == 0.33333  # one of the three pairs agrees
    assert [(each["role"], each["score"], each["model"]) for each in meta["judges"]] == [
        ("a", 2.0, "a"),
        ("b", 1.0, "b"),
        ("c", 2.0, "c"),
    ]


def test_a_judge_that_cannot_be_read_does_not_vote(tmp_path: Path) -> None:
    roles = {
        "a": grades(tmp_path, "a", nile="three, I think", rhine="?"),
        "b": grades(tmp_path, "b", nile=3, rhine="?"),
    }
    found = judged(Judge(backend=("a", "b"), attempts=1), [row("nile"), row("rhine")], **roles)
    assert isinstance(found["nile"], Example)
    assert scores_of(found["nile"]) == {"judge": 3.0, "judge_b": 3.0}
    lost = found["rhine"]
    assert isinstance(lost, Dropped)
    assert (lost.reason, lost.detail) == ("unreadable_answer", "no JSON object: ?")


def test_judges_too_far_apart_are_a_dispute(tmp_path: Path) -> None:
    roles = {"a": grades(tmp_path, "a", nile=3, rhine=3), "b": grades(tmp_path, "b", nile=1, rhine=2)}
    found = judged(Judge(backend=("a", "b"), most_apart=1), [row("nile"), row("rhine")], **roles)
    disputed = found["nile"]
    assert isinstance(disputed, Dropped)
    assert (disputed.reason, disputed.detail) == ("disputed", "judged 3, 1: more than 1 apart")
    assert isinstance(found["rhine"], Example)


def test_a_second_judge_has_the_last_word_on_what_the_first_is_unsure_of(tmp_path: Path) -> None:
    cheap = grades(tmp_path, "cheap", no=0, low=1, high=2, sure=3, lost="?")
    strong = grades(tmp_path, "strong", low=3, high=1, lost=2)
    found = judged(
        Judge(backend="cheap", then="strong", attempts=1), map(row, ("no", "low", "high", "sure", "lost")),
        cheap=cheap, strong=strong,
    )  # fmt: skip
    assert {query: isinstance(outcome, Example) for query, outcome in found.items()} == {
        "no": False,
        "low": True,
        "high": False,
        "sure": True,
        "lost": True,
    }
    assert scores_of(found["low"]) == {"judge": 3.0, "judge_cheap": 1.0, "judge_strong": 3.0}
    assert scores_of(found["sure"]) == {"judge": 3.0}


def test_what_the_second_judge_does_not_say_is_not_decided_by_the_first(tmp_path: Path) -> None:
    cheap, strong = grades(tmp_path, "cheap", nile=2), grades(tmp_path, "strong", nile="?")
    lost = judged(Judge(backend="cheap", then="strong", attempts=1), [row("nile")], cheap=cheap, strong=strong)["nile"]
    assert isinstance(lost, Dropped)
    assert lost.reason == "unreadable_answer"


def test_a_dispute_goes_to_the_second_judge(tmp_path: Path) -> None:
    roles = {"a": grades(tmp_path, "a", nile=3), "b": grades(tmp_path, "b", nile=3), "strong": grades(tmp_path, "s")}
    sure = judged(Judge(backend=("a", "b"), then="strong", most_apart=0.5), [row("nile")], **roles)
    assert isinstance(sure["nile"], Example)
    roles |= {"b": grades(tmp_path, "b", nile=0), "strong": grades(tmp_path, "s", nile=2)}
    stage = Judge(backend=("a", "b"), then="strong", most_apart=0.5, unsure=(0, 0), vote="lowest")
    kept = judged(stage, [row("nile")], **roles)["nile"]
    assert scores_of(kept) == {"judge": 2.0, "judge_a": 3.0, "judge_b": 0.0, "judge_strong": 2.0}
    assert isinstance(kept, Example)


def test_more_rows_than_a_round_come_back_each_once_and_only_the_unsure_cost_twice() -> None:
    asked: list[str] = []

    class Counts(Scripted):
        def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
            for request in requests:
                asked.append(request.id)
                yield from super().complete([request])

    rows = [row(f"number {n}") for n in range(2 * ROUND + 7)]
    found = judged(Judge(backend="cheap", then="strong"), iter(rows), cheap=Scripted(), strong=Counts())
    assert len(found) == len(rows)
    unsure = [query for query, outcome in found.items() if "judge_strong" in scores_of(outcome)]
    assert len(asked) == len(unsure)
    assert 0.3 < len(unsure) / len(rows) < 0.7


def test_criteria_are_averaged_and_each_stays_on_the_document(tmp_path: Path) -> None:
    reply = {"reason": "half of it", "relevance": 9, "answer": 6, "support": 8, "clarity": 4}
    judge = scripted(tmp_path, "judge", {"when": "About nile.", "reply": reply})
    stage = Judge(prompt="judge/criteria")
    low = judged(stage, [row("nile")], judge=judge)["nile"]
    assert isinstance(low, Dropped)
    assert low.detail == "judged 6.75, least is 7: half of it"
    criteria = {"judge_relevance": 9.0, "judge_answer": 6.0, "judge_support": 8.0, "judge_clarity": 4.0}
    assert scores_of(low) == {"judge": 6.75, **criteria}
    assert low.example.positive.relevance == 0.63889  # (6.75 - 1) / 9
    assert isinstance(judged(Judge(prompt="judge/criteria", least=6.75), [row("nile")], judge=judge)["nile"], Example)


@pytest.mark.parametrize(("yes", "kept"), [(0.93, True), (0.5, True), (0.31, False)])
def test_a_yes_is_weighed_by_its_probability(tmp_path: Path, yes: float, kept: bool) -> None:
    chances = {"yes": yes, "no": round(1 - yes, 2)}
    answer = "yes" if yes >= 0.5 else "no"
    judge = scripted(tmp_path, "judge", {"when": "About nile.", "reply": {"answer": answer}, "chances": chances})
    outcome = judged(Judge(prompt="judge/yes_no"), [row("nile")], judge=judge)["nile"]
    assert isinstance(outcome, Example) == kept
    assert scores_of(outcome) == {"judge": pytest.approx(yes, abs=2e-5)}


def test_the_case_against_is_the_reason_told(tmp_path: Path) -> None:
    reply = {"against": "It is about another river.", "holds": "all of it", "score": 0}
    judge = scripted(tmp_path, "judge", {"when": "About nile.", "reply": reply})
    lost = judged(Judge(prompt="judge/against_first"), [row("nile")], judge=judge)["nile"]
    assert isinstance(lost, Dropped)
    assert lost.detail == "judged 0, least is 2: It is about another river."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": ()}, "name at least one role"),
        ({"backend": ("a", "a")}, "each once"),
        ({"backend": "a", "then": "a"}, "a has been asked already"),
        ({"then": "b", "unsure": (2, 1)}, "turn them round"),
        ({"unsure": (1, 2)}, "which is not set"),
    ],
)
def test_options_that_do_not_agree_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Judge(**options)


@pytest.mark.parametrize(("prompt", "least"), [("judge/relevance", 4), ("judge/yes_no", 2), ("judge/criteria", 0.5)])
def test_a_bound_off_the_scale_is_told_before_anything_is_asked(prompt: str, least: float) -> None:
    with pytest.raises(RecipeError, match="least: must be between"):
        Judge(prompt=prompt, least=least).content_read(Context(step="judge", source=Source()))


def test_a_judge_that_always_says_ten_keeps_all_and_one_that_says_nothing_drops_all(tmp_path: Path) -> None:
    tens = {"relevance": 10, "answer": 10, "support": 10, "clarity": 10}
    found = judged(
        Judge(prompt="judge/criteria"),
        [row("nile"), row("rhine")],
        judge=scripted(tmp_path, "judge", {"when": "About", "reply": tens}, {"when": "About", "reply": tens}),
    )
    assert all(isinstance(outcome, Example) for outcome in found.values())
    mute = judged(Judge(), [row("nile")], judge=scripted(tmp_path, "mute", {"when": "x", "text": ""}))["nile"]
    assert isinstance(mute, Dropped)
    assert mute.reason == "failed_request"
