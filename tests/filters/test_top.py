"""What top keeps and drops."""

import pytest
from pydantic import ValidationError

from synth.filters.top import Top
from synth.stage import Context, RowList
from synth.types import Document, Dropped, Example

SCORES = {"a": 3.0, "b": 1.0, "c": 2.0, "d": 2.0, "e": 0.0}


def rows() -> list[Example]:
    return [
        Example(
            id=name,
            language="de" if name in "ab" else "sw",
            positives=(Document(name, scores={"judge": score}),),
            meta={
                "generate": {"logprob": -score},
                "ranks": {"bm25": int(score)},
                "parents": ["x"] if name in "bc" else ["y"],
            },
        )
        for name, score in SCORES.items()
    ]


def kept(**options: object) -> str:
    outcomes = Top.model_validate(options).run(RowList(reversed(rows())), Context())
    return "".join(sorted(each.id for each in outcomes if isinstance(each, Example)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"score": "judge", "most": 1}, "a"),
        ({"score": "judge", "most": 2}, "ac"),
        ({"score": "judge", "most": 3}, "acd"),
        ({"score": "judge", "most": 99}, "abcde"),
        ({"score": "judge", "share": 0.2}, "a"),
        ({"score": "judge", "share": 0.21}, "ac"),
        ({"score": "judge", "share": 0.6}, "acd"),
        ({"score": "judge", "share": 1}, "abcde"),
        ({"score": "judge", "most": 1, "by": "language"}, "ac"),
        ({"score": "judge", "share": 0.5, "by": "language"}, "acd"),
        ({"score": "judge", "most": 1, "by": "parent"}, "ac"),
        ({"score": "generate.logprob", "most": 2}, "be"),
        ({"score": "ranks.bm25", "most": 2, "lowest": True}, "be"),
    ],
)
def test_the_best_stay_and_among_equals_the_smaller_id(options: dict[str, object], expected: str) -> None:
    assert kept(**options) == expected


def test_a_tenth_of_thirty_is_three() -> None:
    thirty = [Example(id=f"{n:02}", meta={"x": {"y": n}}) for n in range(30)]
    assert sum(isinstance(each, Example) for each in Top(score="x.y", share=0.1).run(thirty, Context())) == 3


def test_the_reason_says_how_far_it_fell_short() -> None:
    *_, last = Top(score="judge", most=2, by="language").run(rows(), Context())
    assert isinstance(last, Dropped)
    assert (last.reason, last.detail) == ("not_top", "judge 0; of 3 rows of sw the last that stays has 2")


@pytest.mark.parametrize("value", [None, "3", True, float("nan"), [3]])
def test_a_row_without_the_score_goes_and_the_user_is_told(value: object) -> None:
    said: list[str] = []
    bare = Example(id="z", meta={"generate": {"logprob": value}})
    *_, last = Top(score="generate.logprob", most=5).run([*rows(), bare], Context(step="top", warn=said.append))
    assert last == Dropped(bare, "unscored", "it has no score 'generate.logprob'")
    assert said == ["top: 1 rows have no score 'generate.logprob' and were dropped"]


def test_no_rows_and_rows_all_alike_are_fine() -> None:
    assert list(Top(score="judge", most=1).run([], Context())) == []
    alike = [Example(id=str(n), positives=(Document("x", scores={"judge": 10}),)) for n in range(4)]
    assert [type(each) for each in Top(score="judge", most=2).run(alike, Context())] == [Example] * 2 + [Dropped] * 2


@pytest.mark.parametrize(
    "options", [{"score": ""}, {"most": 1, "share": 0.5}, {"most": 0}, {"share": 1.5}, {"share": 0}]
)
def test_a_wrong_option_is_told(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Top.model_validate({"score": "judge", **options})
