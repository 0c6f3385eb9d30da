"""comparison: does a row's positive beat its negatives?"""

import json
from pathlib import Path
from typing import Any

import pytest

from synth.backends.scripted import Scripted
from synth.errors import RecipeError
from synth.filters.comparison import Comparison
from synth.stage import Context, Source
from synth.types import Document, Dropped, Example


def row(negatives: int = 1, **changes: Any) -> Example:
    documents = tuple(Document(f"wrong {n}", doc_id=f"n{n}") for n in range(negatives))
    plain = {"query": "how high?", "positives": (Document("right", doc_id="p"),), "negatives": documents}
    return Example(id="r1", **{**plain, **changes})


def judge(folder: Path, *lines: dict[str, Any]) -> Scripted:
    file = folder / "replies.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return Scripted(replies=str(file))


def pair(number: int, straight: str, exchanged: str) -> list[dict[str, Any]]:
    """What is said of the positive and the negative of this number, as they stand and exchanged."""
    wrong = f"wrong {number}"
    return [
        {"when": f"<first>\nright\n</first>\n\n<second>\n{wrong}\n", "reply": {"winner": straight}},
        {"when": f"<first>\n{wrong}\n</first>\n\n<second>\nright\n", "reply": {"winner": exchanged}},
    ]


def fates(stage: Comparison, rows: list[Example], backend: Scripted, counts: dict[str, float] | None = None) -> Any:
    told: dict[str, float] = {} if counts is None else counts

    def count(name: str, by: float = 1) -> None:
        told[name] = told.get(name, 0) + by

    return list(stage.run(rows, Context(step="comparison", backends={"judge": backend}, count=count)))


@pytest.mark.parametrize(
    ("straight", "exchanged", "wins", "kept"),
    [
        ("first", "second", 1.0, True),
        ("second", "first", 0.0, False),
        ("first", "first", 0.5, True),
        ("second", "second", 0.5, True),
        ("neither", "neither", 0.5, True),
        ("first", "neither", 0.5, True),
    ],
)
def test_a_pair_is_won_only_by_both_orders(
    tmp_path: Path, straight: str, exchanged: str, wins: float, kept: bool
) -> None:
    [outcome] = fates(Comparison(), [row()], judge(tmp_path, *pair(0, straight, exchanged)))
    assert isinstance(outcome, Example) == kept
    found = outcome if isinstance(outcome, Example) else outcome.example
    assert found.positive.scores == {"wins": wins}
    assert found.negatives[0].scores == {"wins": 1 - wins}


def test_wins_are_shares_of_all_comparisons_and_place_bias_is_counted(tmp_path: Path) -> None:
    lines = [*pair(0, "second", "first"), *pair(1, "second", "second"), *pair(2, "first", "second")]
    counts: dict[str, float] = {}
    [lost] = fates(Comparison(least=0.6), [row(4)], judge(tmp_path, *lines), counts)
    assert isinstance(lost, Dropped)
    # the fourth pair was answered by no line of the file: three are left
    assert (lost.reason, lost.detail) == ("outranked", "it wins 50% of 3 comparisons, least is 60%")
    assert [negative.scores for negative in lost.example.negatives] == [{"wins": 1.0}, {"wins": 0.5}, {"wins": 0.0}, {}]
    assert counts == {"pairs compared both ways": 3, "pairs in which the place decided": 1}


def test_a_list_is_put_in_order_and_the_positive_beats_what_stands_after_it(tmp_path: Path) -> None:
    seen: list[str] = []

    class Looks(Scripted):
        def complete(self, requests):  # type: ignore[no-untyped-def]
            from synth.backend import Completion

            for request in requests:
                seen.append(request.messages[-1].content)
                shown = [part.split("\n")[1] for part in seen[-1].split("<document ")[1:]]
                place = {text: n for n, text in enumerate(shown, start=1)}
                order = [str(place[text]) for text in ("wrong 1", "right", "wrong 2", "wrong 0")]
                yield Completion(request=request, text=json.dumps({"order": order}), finish_reason="stop")

    [kept] = fates(Comparison(prompt="judge/order"), [row(3)], Looks())
    assert isinstance(kept, Example)
    assert kept.positive.scores == {"wins": 0.66667}
    assert [negative.scores["wins"] for negative in kept.negatives] == [0.0, 1.0, 0.0]
    assert 'document number="1"' in seen[0]
    [lost] = fates(Comparison(prompt="judge/order", least=0.9), [row(3)], Looks())
    assert isinstance(lost, Dropped)


def test_the_order_of_a_list_is_drawn_for_the_row_and_always_the_same() -> None:
    rows = [Example(id=f"r{n}", **_plain(row(5))) for n in range(20)]
    first, again = (fates(Comparison(prompt="judge/order"), rows, Scripted()) for _ in range(2))
    assert first == again
    wins = {(o.example if isinstance(o, Dropped) else o).positive.scores["wins"] for o in first}
    assert len(wins) > 2


def _plain(example: Example) -> dict[str, Any]:
    return {name: getattr(example, name) for name in ("query", "positives", "negatives")}


def test_what_cannot_be_compared_passes_or_is_dropped_for_it(tmp_path: Path) -> None:
    rows = [row(0), row(query=" "), row(positives=())]
    outcomes = fates(Comparison(), rows, judge(tmp_path, {"when": "x", "text": "x"}))
    assert outcomes[0] == rows[0]
    assert [(o.reason, o.detail) for o in outcomes[1:]] == [
        ("incomparable", "there is no query"),
        ("incomparable", "there is no positive to compare"),
    ]


@pytest.mark.parametrize("prompt", ["judge/which", "judge/order"])
def test_a_row_none_of_whose_comparisons_can_be_read_is_dropped_for_that(tmp_path: Path, prompt: str) -> None:
    backend = judge(tmp_path, {"when": "right", "text": "Both are fine."}, {"when": "right", "text": "Both."})
    [lost] = fates(Comparison(prompt=prompt, attempts=1), [row()], backend)
    assert isinstance(lost, Dropped)
    assert (lost.reason, lost.detail) == ("unreadable_answer", "no JSON object: Both are fine.")


@pytest.mark.parametrize(
    ("reads", "returns"),
    [
        ("[query, first, second]", "{score: {type: integer}}"),
        ("[query, first]", "{winner: {choices: [first, second]}}"),
        ("[query, documents, title]", "{order: {type: list}}"),
        ("[query]", "{order: {type: list}}"),
    ],
)
def test_a_prompt_that_compares_nothing_is_told(tmp_path: Path, reads: str, returns: str) -> None:
    names = reads.strip("[]").split(", ")
    body = " ".join(f"{{{{ {name} }}}}" for name in names)
    text = f"---\nabout: mine\nreads: {reads}\nreturns: {returns}\n---\n[user]\n{body}"
    (tmp_path / "mine.jinja").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match="must read `query`, `first`, `second`"):
        Comparison(prompt="mine").content_read(Context(step="comparison", source=Source(folder=tmp_path)))
