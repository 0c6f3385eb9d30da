"""Judges against verdicts written by hand: 112 pairs, 26 comparisons and 14 lists in 27 languages (`tests/replies`).

The replies stand in the files as models write them, a quarter of them not clean. The figures that are expected here
were counted apart from this code, from the confusion tables of the files' own `*_score` fields.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

from synth.backend import Backend, Completion, Request, Token
from synth.filters.comparison import Comparison
from synth.filters.judge import Judge
from synth.stage import Context
from synth.types import Document, Dropped, Example

FOLDER = Path(__file__).parent / "replies"


@cache
def items(name: str) -> tuple[Mapping[str, Any], ...]:
    return tuple(map(json.loads, (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()))


class Written(Backend):
    """Answers each request with what stands in the file for its row."""

    _said: Callable[[Request], tuple[str, Sequence[Token]]] = PrivateAttr()
    _asked: list[str] = PrivateAttr(default_factory=list)

    @classmethod
    def by(cls, said: Callable[[Request], tuple[str, Sequence[Token]]]) -> "Written":
        made = cls()
        made._said = said
        return made

    @property
    def asked(self) -> list[str]:
        return self._asked

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            self._asked.append(request.id)
            text, tokens = self._said(request)
            cut = text.startswith("{") and text.count("{") > text.count("}")
            reason = "length" if cut else "stop"
            yield Completion(request=request, text=text, finish_reason=reason, logprobs=tuple(tokens))


def replies(column: str) -> Written:
    said = {item["id"]: item[column] for item in items("judged")}
    return Written.by(lambda request: (said[request.id], ()))


def judged(stage: Judge, **backends: Backend) -> dict[str, float | None]:
    """The score that each pair gets, None where no verdict could be read."""
    rows = [
        Example(id=i["id"], query=i["query"], positives=(Document(i["document"], title=i["title"]),))
        for i in items("judged")
    ]
    outcomes = list(stage.run(rows, Context(step="judge", backends=backends)))
    found = [o.example if isinstance(o, Dropped) else o for o in outcomes]
    kept = {o.id for o in outcomes if isinstance(o, Example)}
    scores = {row.id: row.positive.scores.get("judge") for row in found}
    assert kept == {name for name, score in scores.items() if score is not None and score >= (stage.least or 0)}
    return scores


def exact(scores: Mapping[str, float | None]) -> tuple[int, int]:
    """How many were read, and how many of these are the verdict written by hand."""
    read = [(score, item["verdict"]) for item in items("judged") if (score := scores[item["id"]]) is not None]
    return len(read), sum(score == verdict for score, verdict in read)


def decided(scores: Mapping[str, float | None], least: float) -> tuple[int, int, int, int]:
    """Right ones kept, wrong ones kept, right ones dropped, wrong ones dropped; right is a verdict of 2 or 3."""
    counts = Counter(
        (score >= least, item["verdict"] >= 2) for item in items("judged") if (score := scores[item["id"]]) is not None
    )
    return counts[True, True], counts[True, False], counts[False, True], counts[False, False]


def test_the_files_hold_what_they_should() -> None:
    pairs = items("judged")
    assert len(pairs) >= 100
    assert len({item["language"] for item in pairs}) >= 12
    assert sum(item["language"] == "en" for item in pairs) <= 0.4 * len(pairs)
    assert len({item["id"] for name in ("judged", "compared", "ranked") for item in items(name)}) == 112 + 26 + 14


@pytest.mark.parametrize(
    ("column", "prompt", "read", "right"),
    [
        ("cheap", "judge/relevance", 109, 72),
        ("strong", "judge/relevance", 111, 101),
        ("third", "judge/relevance", 110, 79),
        ("against", "judge/against_first", 109, 93),
    ],
)
def test_each_reply_is_read_as_a_careful_reader_reads_it(column: str, prompt: str, read: int, right: int) -> None:
    scores = judged(Judge(prompt=prompt, least=2, attempts=1), judge=replies(column))
    assert scores == {item["id"]: item[f"{column}_score"] for item in items("judged")}
    assert exact(scores) == (read, right)


def test_criteria_are_read_and_averaged() -> None:
    scores = judged(Judge(prompt="judge/criteria", least=7, attempts=1), judge=replies("criteria"))
    for item in items("judged"):
        criteria = item["criteria_scores"]
        assert scores[item["id"]] == (sum(criteria) / 4 if criteria else None), item["id"]
    assert decided(scores, 7) == (49, 0, 8, 54)


@pytest.mark.parametrize(
    ("vote", "counts"),
    [("median", (56, 2, 1, 53)), ("majority", (53, 0, 4, 55)), ("mean", (49, 2, 8, 53)), ("lowest", (44, 0, 13, 55))],
)
def test_three_judges_vote_as_worked_out_by_hand(vote: Any, counts: tuple[int, int, int, int]) -> None:
    stage = Judge(backend=("cheap", "strong", "third"), vote=vote, least=2, attempts=1)
    scores = judged(stage, **{name: replies(name) for name in ("cheap", "strong", "third")})
    assert decided(scores, 2) == counts
    rights = {"median": 103, "majority": 100, "mean": 56, "lowest": 80}
    assert exact(scores) == (112, rights[vote])


def test_the_second_judge_of_a_cascade_sees_sixty_pairs_and_mends_twenty() -> None:
    strong = replies("strong")
    stage = Judge(backend="cheap", then="strong", least=2, attempts=1)
    scores = judged(stage, cheap=replies("cheap"), strong=strong)
    assert len(strong.asked) == 60  # a cheap 1 or 2, or no verdict
    assert exact(scores) == (111, 92)  # 72 with the cheap one alone
    assert decided(scores, 2) == (56, 7, 1, 47)


def test_a_yes_is_worth_its_probability() -> None:
    yes = {item["id"]: item["yes"] for item in items("judged")}

    def said(request: Request) -> tuple[str, Sequence[Token]]:
        import math

        top = {"yes": math.log(yes[request.id]), "no": math.log(1 - yes[request.id])}
        word = max(top, key=lambda each: top[each])
        tokens = [Token('{"answer": "', 0.0), Token(word, top[word], top), Token('"}', 0.0)]
        return "".join(token.text for token in tokens), tokens

    scores = judged(Judge(prompt="judge/yes_no", least=0.5), judge=Written.by(said))
    assert scores == {name: pytest.approx(value, abs=2e-5) for name, value in yes.items()}
    assert decided(scores, 0.5) == (49, 11, 8, 44)


def compared(prompt: str, rows: list[Example], judge: Written) -> dict[str, Example | Dropped]:
    stage = Comparison(prompt=prompt, attempts=1, least=0)
    outcomes = list(stage.run(rows, Context(step="comparison", backends={"judge": judge})))
    return {(o.example if isinstance(o, Dropped) else o).id: o for o in outcomes}


def test_pairs_are_won_lost_and_unsure_as_worked_out_by_hand() -> None:
    rows = [
        Example(
            id=i["id"],
            query=i["query"],
            positives=(Document(i["better"]["document"], title=i["better"]["title"]),),
            negatives=(Document(i["other"]["document"], title=i["other"]["title"]),),
        )
        for i in items("compared")
    ]
    texts = {f"{i['id']}:{n}": i[("straight", "swapped")[n]] for i in items("compared") for n in (0, 1)}
    found = compared("judge/which", rows, Written.by(lambda request: (texts[request.id], ())))
    wins = {"better": 1.0, "unsure": 0.5, "other": 0.0}
    for item in items("compared"):
        outcome = found[item["id"]]
        if item["outcome"] is None:
            assert isinstance(outcome, Dropped), item["id"]
        else:
            assert isinstance(outcome, Example), item["id"]
            assert outcome.positive.scores["wins"] == wins[item["outcome"]], item["id"]
    assert Counter(item["outcome"] for item in items("compared")) == {"better": 14, "unsure": 7, "other": 3, None: 2}


def test_lists_are_put_in_the_order_that_a_careful_reader_takes_from_them() -> None:
    from synth.filters.comparison import ranking

    ranks = []
    for item in items("ranked"):
        rows = [Example(id=item["id"], query=item["query"], positives=(Document("x"),), negatives=(Document("y"),))]
        stage = Comparison(prompt="judge/order", attempts=1)

        def said(request: Request, item: Mapping[str, Any] = item) -> tuple[str, Sequence[Token]]:
            return item["reply"], ()

        [outcome] = stage.run(rows, Context(step="comparison", backends={"judge": Written.by(said)}))
        meta = (outcome.example if isinstance(outcome, Dropped) else outcome).meta["comparison"]["judges"][0]
        if item["order"] is None:
            assert "unread" in meta, item["id"]
            continue
        names = [document["id"] for document in item["documents"]]
        order = [names[place] for place in ranking(meta["order"], len(names))]
        assert order == item["order"], item["id"]
        ranks.append(1 + order.index(item["right"]))
    assert (sum(ranks), len(ranks)) == (15, 12)
