"""brainstorm: ideas in rounds, each told of those before, no idea twice, every reply and row with its fate."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synth.backend import Backend, Completion, Request
from synth.errors import RecipeError
from synth.stage import Context, RowList, Source
from synth.stages.brainstorm import Brainstorm
from synth.types import Dropped, Example
from synth.values import with_given

PROMPT = """---
about: ideas
reads: [topic, known, wanted]
returns: {ideas: {type: list}}
---
[user]
{{ wanted }} ideas about {{ topic }}
{% for idea in known %}
not: {{ idea }}
{% endfor %}
"""
WORDS = [
    "tide",
    "kettle",
    "olive",
    "tram",
    "goat",
    "ferry",
    "owl",
    "moss",
    "salt",
    "bridge",
    "chain",
    "bread",
    "rice",
    "futon",
    "well",
    "market",
    "loom",
    "sail",
]


class Thinker(Backend):
    """Names `fresh` words that a question does not name yet and `stale` that it does, or says what it is told."""

    fresh: int = 3
    stale: int = 0
    says: str = ""
    asked: list[Request] = []  # noqa: RUF012  # pydantic copies it

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in reversed(list(requests)):  # in any order
            self.asked.append(request)
            text = request.messages[-1].content
            known = [word for word in WORDS if f"not: {word}" in text]
            new = [word for word in WORDS if word not in known]
            ideas = [*new[: self.fresh], *known[: self.stale]]
            yield Completion(request=request, text=self.says or json.dumps({"ideas": ideas}), finish_reason="stop")


def storm(folder: Path, backend: Backend, rows: Iterable[Example], **options: Any) -> list[Example | Dropped]:
    (folder / "ideas.jinja").write_text(PROMPT)
    stage = Brainstorm(prompt="ideas", **options)
    ctx = Context(
        step="brainstorm",
        seed=7,
        source=Source(folder=folder),
        backends={"writer": backend},
        given=frozenset({"topic"}),
        warn=WARNED.append,
    )
    WARNED.clear()
    return list(stage.run(RowList(rows), ctx))


WARNED: list[str] = []


def row(name: str = "rivers") -> Example:
    return with_given(Example(id=name, task="retrieval"), {"topic": name})


def instructions(outcomes: Iterable[Example | Dropped]) -> list[str]:
    return [o.instruction for o in outcomes if isinstance(o, Example)]


def test_each_round_is_told_of_the_ideas_of_the_rounds_before(tmp_path: Path) -> None:
    thinker = Thinker(asked=[])
    outcomes = storm(tmp_path, thinker, [row()], per_row=9, calls=1)
    assert instructions(outcomes) == WORDS[:9]
    told = [request.messages[-1].content.count("not: ") for request in thinker.asked]
    assert told == [0, 3, 6]
    assert thinker.asked[0].messages[-1].content.startswith("20 ideas about rivers")
    assert all(outcome.parents == ("rivers",) for outcome in outcomes if isinstance(outcome, Example))


def test_an_idea_that_is_there_already_is_dropped_whoever_had_it(tmp_path: Path) -> None:
    outcomes = storm(tmp_path, Thinker(asked=[]), [row("lakes"), row("rivers")], per_row=3, calls=1, most_rounds=1)
    reasons = Counter(o.reason for o in outcomes if isinstance(o, Dropped))
    assert instructions(outcomes) == WORDS[:3]
    assert reasons == {"duplicate_idea": 3}
    assert all("there is already: " in o.detail for o in outcomes if isinstance(o, Dropped))


def test_a_row_with_enough_drops_what_is_more(tmp_path: Path) -> None:
    outcomes = storm(tmp_path, Thinker(asked=[]), [row()], per_row=2, calls=1)
    assert instructions(outcomes) == WORDS[:2]
    assert [o.reason for o in outcomes if isinstance(o, Dropped)] == ["surplus_idea"]


def test_it_stops_where_little_is_new(tmp_path: Path) -> None:
    thinker = Thinker(fresh=1, stale=9, asked=[])
    storm(tmp_path, thinker, [row()], per_row=50, calls=1, least_novelty=0.3)
    assert len(thinker.asked) == 4  # 1 of 1, 1 of 2, 1 of 3, then 1 of 4 is less than 0.3
    assert WARNED == ["1 of 1 rows got fewer than 50 ideas"]


def test_a_reply_that_cannot_be_read_is_a_dropped_child_and_a_row_without_ideas_has_its_fate(tmp_path: Path) -> None:
    outcomes = storm(tmp_path, Thinker(says="hm", asked=[]), [row()], calls=2, attempts=1)
    assert [o.reason for o in outcomes if isinstance(o, Dropped)] == ["unreadable_answer"] * 2
    assert all(isinstance(o, Dropped) and o.example.parents == ("rivers",) for o in outcomes)
    [lost] = storm(tmp_path, Thinker(says='{"ideas": []}', asked=[]), [row()], calls=1)
    assert isinstance(lost, Dropped)
    assert (lost.example.id, lost.reason) == ("rivers", "no_ideas")


def test_a_row_that_lacks_what_the_prompt_reads_is_dropped_unasked(tmp_path: Path) -> None:
    thinker = Thinker(asked=[])
    [lost] = storm(tmp_path, thinker, [Example(id="bare")])
    assert isinstance(lost, Dropped)
    assert lost.reason == "missing_value"
    assert thinker.asked == []


def test_an_idea_may_be_something_that_later_prompts_read(tmp_path: Path) -> None:
    [query, *_] = storm(tmp_path, Thinker(asked=[]), [row()], makes="query", per_row=3, calls=1)
    assert (query.query, query.instruction) == ("tide", "")
    [first, *_] = storm(tmp_path, Thinker(asked=[]), [row()], makes="subtopic", per_row=3, calls=1)
    assert isinstance(first, Example)
    assert first.meta["given"] == {"topic": "rivers", "subtopic": "tide"}
    assert Brainstorm(prompt="ideas", makes="subtopic").gives(Context()) == ["subtopic"]


def test_the_order_of_rows_and_replies_changes_nothing_and_nothing_is_asked_in_another_way_twice(
    tmp_path: Path,
) -> None:
    rows = [row(f"topic {n}") for n in range(5)]
    first, again = Thinker(asked=[]), Thinker(asked=[])
    one = storm(tmp_path, first, rows, per_row=4)
    other = storm(tmp_path, again, rows[::-1], per_row=4)
    assert one == other
    assert {r.messages for r in first.asked} == {r.messages for r in again.asked}


def test_every_candidate_has_an_id_of_its_own(tmp_path: Path) -> None:
    outcomes = storm(tmp_path, Thinker(stale=3, asked=[]), [row("lakes"), row("rivers")], per_row=9)
    ids = [o.example.id if isinstance(o, Dropped) else o.id for o in outcomes]
    assert len(ids) == len(set(ids)) > 20


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PROMPT.replace("{ideas: {type: list}}", "{ideas: {type: list}, why: {}}"), "here it must return one list"),
        (PROMPT.replace("topic", "persona"), "reads 'persona', which nothing here fills"),
    ],
)
def test_a_prompt_that_does_not_suit_is_told_before_anything_is_asked(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.jinja").write_text(text)
    ctx = Context(step="brainstorm", source=Source(folder=tmp_path), given=frozenset({"topic"}))
    with pytest.raises(RecipeError, match=said):
        Brainstorm(prompt="mine").content_read(ctx)
