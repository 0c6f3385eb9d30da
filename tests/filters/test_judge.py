"""judge: a grade from 0 to 3 for each row's positive."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from synth.backend import Sampling
from synth.backends.scripted import Scripted
from synth.errors import RecipeError
from synth.filters.judge import Judge
from synth.stage import Context, Source
from synth.types import Document, Dropped, Example, row_id

VERDICT = {"wanted": "its height", "reason": "it tells of the railway", "match": 1, "trust": 3, "score": 1}


def row(query: str, text: str = "The railway climbs the Zugspitze.", **changes: Any) -> Example:
    document = Document(text, doc_id="z", title="Zugspitze", scores={"bm25": 7.0}, relevance=0.1)
    return Example(id=row_id("t", 0, query), **{"query": query, "positives": (document,), **changes})


def script(folder: Path, *lines: dict[str, Any]) -> Scripted:
    file = folder / "replies.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return Scripted(replies=str(file))


def judged(stage: Judge, rows: Iterable[Example], backend: Scripted, **context: Any) -> list[Example | Dropped]:
    return list(stage.run(rows, Context(step="judge", backends={"judge": backend}, **context)))


@pytest.mark.parametrize("least", [0, 1, 2, 3])
@pytest.mark.parametrize("score", [0, 1, 2, 3])
def test_a_row_is_kept_from_the_least_grade_on(tmp_path: Path, score: int, least: int) -> None:
    backend = script(tmp_path, {"when": "how high", "reply": VERDICT | {"score": score}})
    [outcome] = judged(Judge(least=least), [row("how high is it?")], backend)
    assert isinstance(outcome, Dropped) == (score < least)


def test_the_grade_stays_on_the_positive_of_kept_and_dropped_rows(tmp_path: Path) -> None:
    backend = script(
        tmp_path,
        {"when": "how high", "reply": VERDICT},
        {"when": "what climbs", "reply": VERDICT | {"score": 2, "reason": "it says so"}},
    )
    low, high = judged(Judge(), [row("how high is it?"), row("what climbs up?")], backend)
    assert isinstance(low, Dropped)
    assert (low.reason, low.detail) == ("irrelevant", "judged 1, least is 2: it tells of the railway")
    assert low.example.positive.scores == {"bm25": 7.0, "judge": 1.0}
    assert low.example.positive.relevance == 0.33333
    assert isinstance(high, Example)
    assert high.positive.scores == {"bm25": 7.0, "judge": 2.0}
    assert high.positive.relevance == 0.66667
    assert high.meta["judge"]["reason"] == "it says so"
    assert high.meta["judge"]["model"] == "scripted"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"score": 3}', 3.0),
        ('{"score": "3"}', 3.0),
        ('{"reason": "fits", "score": 3.0}', 3.0),
        ('<think>{"score": 0}?</think>```json\n{"score": 3}\n```', 3.0),
    ],
)
def test_a_verdict_without_its_reasons_is_read(tmp_path: Path, text: str, score: float) -> None:
    [kept] = judged(Judge(), [row("how high is it?")], script(tmp_path, {"when": "how high", "text": text}))
    assert isinstance(kept, Example)
    assert kept.positive.scores["judge"] == score


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"text": "I would say 3."}, "unreadable_answer"),
        ({"text": '{"score": 4}'}, "unreadable_answer"),
        ({"text": '{"score": 2.5}'}, "unreadable_answer"),
        ({"text": '{"score": null}'}, "unreadable_answer"),
        ({"text": '{"score": 3', "finish_reason": "length"}, "truncated_answer"),
        ({"text": "I cannot judge this."}, "refusal"),
        ({"error": "500: oops"}, "failed_request"),
    ],
)
def test_a_verdict_that_cannot_be_read_drops_the_row(tmp_path: Path, line: dict[str, Any], reason: str) -> None:
    asked = row("how high is it?")
    [lost] = judged(Judge(attempts=1), [asked], script(tmp_path, {"when": "how high", **line}))
    assert isinstance(lost, Dropped)
    assert lost.example.id == asked.id
    assert lost.reason == reason
    assert line.get("text", line.get("error", "")) in lost.detail


def test_it_is_asked_again_where_told(tmp_path: Path) -> None:
    lines = {"when": "how high", "text": "three"}, {"when": "how high", "turn": 1, "reply": VERDICT | {"score": 3}}
    [kept] = judged(Judge(attempts=2), [row("how high is it?")], script(tmp_path, *lines))
    assert isinstance(kept, Example)
    assert kept.meta["judge"]["attempts"] == 2


def test_a_row_without_query_or_positive_is_dropped_unasked(tmp_path: Path) -> None:
    rows = [row(" "), row("how high?", positives=()), row("")]
    outcomes = judged(Judge(), rows, script(tmp_path))
    assert [o.detail for o in outcomes if isinstance(o, Dropped)] == [
        "there is no query",
        "there is no positive to judge",
        "there is no query",
    ]


def test_only_the_first_positive_is_judged_and_the_rest_stays_as_it_is(tmp_path: Path) -> None:
    other = Document("Another text.", doc_id="o")
    asked = row("how high is it?", positives=(*row("x").positives, other), negatives=(other,), language="en")
    backend = script(tmp_path, {"when": ["how high", "railway"], "reply": VERDICT | {"score": 3}})
    [kept] = judged(Judge(), [asked], backend)
    assert isinstance(kept, Example)
    assert kept.positives[1] == other
    assert (kept.negatives, kept.language, kept.query) == ((other,), "en", asked.query)


def test_the_instruction_title_and_document_are_shown(tmp_path: Path) -> None:
    when = ["how high is it?", "Find heights.", "Zugspitze\n\nThe railway climbs"]
    backend = script(tmp_path, {"when": when, "reply": VERDICT | {"score": 3}})
    [kept] = judged(Judge(), [row("how high is it?", instruction="Find heights.")], backend)
    assert isinstance(kept, Example)


@pytest.mark.parametrize(
    ("backend", "own", "temperature"),
    [
        (Sampling(), None, 0),
        (Sampling(temperature=0.6), None, 0.6),
        (Sampling(temperature=0.6), Sampling(temperature=0.2), 0.2),
    ],
)
def test_verdicts_are_drawn_cold_unless_told(backend: Sampling, own: Sampling | None, temperature: float) -> None:
    seen = []

    class Looks(Scripted):
        def complete(self, requests):  # type: ignore[no-untyped-def]
            for request in requests:
                seen.append(request.sampling.temperature)
                yield from super().complete([request])

    judged(Judge(sampling=own), [row("how high is it?")], Looks(sampling=backend))
    assert seen == [temperature]


@pytest.mark.parametrize(
    ("returns", "reads", "said"),
    [
        ("{verdict: {}}", "query", "must return a verdict: `score: {type: integer, least: 0, most: 3}`"),
        ("{score: {type: integer}}", "query", "must return a verdict"),
        ("{score: {type: integer, least: 3, most: 3}}", "query", "must return a verdict"),
        ("{a: {type: integer, least: 1, most: 5}, b: {type: integer, least: 1, most: 10}}", "query", "the same bounds"),
        ("{answer: {choices: [yes, maybe]}}", "query", "or `answer: {choices: [yes, no]}`"),
        (
            "{score: {type: integer, least: 0, most: 3}}",
            "querry",
            "reads 'querry', which nothing here fills; did you mean",
        ),
    ],
)
def test_a_prompt_that_does_not_suit_is_told(tmp_path: Path, returns: str, reads: str, said: str) -> None:
    text = f"---\nabout: mine\nreads: [{reads}]\nreturns: {returns}\n---\n[user]\n{{{{ {reads} }}}}"
    (tmp_path / "mine.jinja").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        judged(Judge(prompt="mine"), [], Scripted(), source=Source(folder=tmp_path))
    assert said in str(caught.value)


def test_without_a_judge_the_ways_to_get_one_are_told() -> None:
    with pytest.raises(RecipeError, match=r"no backend is called 'judge'; did you mean"):
        list(Judge().run([row("x")], Context(step="judge", backends={"judges": Scripted()})))


def test_the_wording_of_the_prompt_is_part_of_what_it_reads(tmp_path: Path) -> None:
    returns = "{score: {type: integer, least: 0, most: 3}}"
    text = f"---\nabout: mine\nreads: [query]\nreturns: {returns}\n---\n[user]\n{{{{ query }}}}"
    hashes = []
    for end in ("", "?", ""):
        (tmp_path / "mine.jinja").write_text(text + end, encoding="utf-8")
        hashes.append(Judge(prompt="mine").content_read(Context(source=Source(folder=tmp_path))))
    assert hashes[0] == hashes[2] != hashes[1]
    assert Judge().backends_used() == ("judge",)


def test_many_rows_come_back_each_once() -> None:
    rows = [row(f"question number {n}?") for n in range(100)]
    outcomes = judged(Judge(), rows, Scripted())
    ids = [o.example.id if isinstance(o, Dropped) else o.id for o in outcomes]
    assert sorted(ids) == sorted(r.id for r in rows)
    assert {o.reason for o in outcomes if isinstance(o, Dropped)} == {"irrelevant"}
    assert any(isinstance(o, Example) for o in outcomes)
