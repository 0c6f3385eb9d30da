"""The figures of whole runs' rows, small enough to be counted by hand."""

import io
import json
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import synth.quality as module
from synth.axis_check import Check
from synth.card import Fate
from synth.diversity import Figure
from synth.quality import Cost, Quality, RunFacts, Varied, Yield, quality
from synth.quality_table import lines
from synth.retrieval import Corpus
from synth.row_figures import Fifths, Histogram, Ranks
from synth.rows import to_table
from synth.stage import RowList
from synth.store import SortedWriter, StoredRows
from synth.types import Document, Dropped, Example

FIGURES = {
    "rows", "diversity", "instructions", "documents", "queries", "positives", "questions", "languages", "axes",
    "grades", "ranks", "candidate_grades", "candidate_ranks", "evidence_in_document", "piece_in_parent", "negatives",
    "cost", "yields",
}  # fmt: skip


def row(number: int, query: str = "when does the river flood?", **parts: Any) -> Example:
    document = parts.pop("document", Document("the river floods in July", f"d{number}"))
    return Example(id=f"{number:04}", query=query, positives=(document,), **parts)


def rows(count: int = 40) -> list[Example]:
    """Rows in two languages and two tasks, with all that steps note."""
    made = []
    for n in range(count):
        document = Document(
            f"In year {n} the river rose by {n * 7} feet. The fields of village {n} were flooded until autumn came.",
            doc_id=f"d{n // 2}",
            language="en",
            scores={"judge": float(n % 4), "cosine": n / count},
        )
        made.append(
            row(
                n,
                f"how high did the river rise in year {n}" + "?" * (n % 2),
                document=document,
                negatives=(Document(f"a barge {n}", f"n{n}", origin="mined", scores={"cosine": 0.1}),) * (n % 3),
                language="en" if n % 4 else "de",
                task="retrieval" if n % 5 else "sts",
                instruction="find it" if n % 2 else "",
                meta={"generate": {"prompt": "p", "axes": {"form": "question"}}, "ranks": {"bm25": 1 + n}},
            )
        )
    return made


def of(made: Iterable[Example], **facts: Any) -> Quality:
    return quality(RowList(made), RunFacts(**facts))


def test_what_is_told_is_plain_data_that_can_be_read_back() -> None:
    found = of(rows(), steps=[Fate("a", 40, {"x": 2})], usage={"sent": 4}, checks={})
    told = json.loads(json.dumps(found.to_json()))
    assert set(told) == FIGURES
    assert Quality.from_json(told) == found
    assert told["rows"] == 40
    assert told["diversity"]["all"]["distinct_1"]["n"] == 40


def test_the_order_of_the_rows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ", 25)
    made, told = rows(), set()
    corpus = Corpus([document for each in made for document in each.positives])
    for seed in range(4):
        random.Random(seed).shuffle(made)
        told.add(json.dumps(of(made, seed=3, corpus=lambda: corpus).to_json()))
    assert len(told) == 1
    assert json.dumps(of(made, seed=4).to_json()["diversity"]) != json.dumps(of(made, seed=3).to_json()["diversity"])


def test_rows_in_a_file_are_as_rows_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = SortedWriter[Example](tmp_path / "kept.parquet", to_table)
    for each in rows():
        writer.add(each)
    writer.close()
    for read in (25, 99):
        monkeypatch.setattr(module, "READ", read)
        assert quality(StoredRows(tmp_path / "kept.parquet")) == of(rows())


def test_of_many_rows_those_of_the_smallest_ids_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ", 10)
    dropped = [Dropped(row(n, document=Document("x", scores={"judge": 0.0})), "irrelevant") for n in (3, 9, 10, 77)]
    found = of(reversed(rows()), dropped=dropped)
    assert found == of(rows(), dropped=dropped)
    assert (found.rows, found.queries.n, found.questions.n, found.negatives.n) == (40, 10, 40, 10)
    assert found.grades["judge"].counts == {"0": 3, "1": 3, "2": 2, "3": 2}
    assert found.candidate_grades["judge"].counts == {"0": 5, "1": 3, "2": 2, "3": 2}


@pytest.mark.parametrize("made", [[], [Example(id="a"), Example(id="b", positives=(Document("a text"),))]])
def test_nothing_is_made_up_of_rows_without_queries(made: list[Example]) -> None:
    found = of(made)
    everything = found.diversity["all"]
    assert found.rows == len(made)
    assert everything.distinct_1 == everything.vendi == everything.compression == Figure(0, None)
    assert (found.queries.n, found.queries.words, found.questions) == (0, None, Figure(0, None))
    assert (found.languages.n, found.languages.mismatch, found.languages.table) == (0, None, {})
    assert (found.grades, found.ranks, found.axes, found.candidate_grades) == ({}, {}, (), {})
    assert (found.evidence_in_document, found.piece_in_parent) == (Fifths(0, None), Fifths(0, None))
    assert (found.negatives.mean, found.negatives.written) == (None, None)
    assert found.cost == Cost(len(made), None, None, None, None, None)
    assert Quality.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_one_row_and_equal_rows_have_what_can_be_told_of_them() -> None:
    one, same = of([row(1)]), of([row(n) for n in range(9)])
    assert (one.diversity["all"].vendi, one.diversity["all"].self_bleu) == (Figure(1, 1.0), Figure(1, None))
    assert (same.diversity["all"].vendi, same.diversity["all"].self_bleu) == (Figure(9, 1.0), Figure(9, 1.0))
    assert same.questions == Figure(9, 1.0)
    assert same.instructions == Varied(0, 0, None)


def test_each_language_and_task_is_measured_where_there_are_several() -> None:
    found = of(rows())
    assert list(found.diversity) == ["all", "language en", "language de", "task retrieval", "task sts"]
    assert [each.distinct_1.n for each in found.diversity.values()] == [40, 30, 10, 32, 8]
    assert list(of([row(1), row(2)]).diversity) == ["all"]
    assert "language unknown" in of([row(1), row(2, language="de")]).diversity


def test_instructions_and_documents_are_counted_by_how_even_they_are() -> None:
    made = [row(n, instruction=("a", "b", "")[n % 3], document=Document("x", "d0")) for n in range(6)]
    found = of(made)
    assert found.instructions == Varied(4, 2, 2.0)
    assert found.documents == Varied(6, 1, 1.0)


def test_ranks_are_measured_where_no_step_noted_them() -> None:
    corpus = Corpus([Document(text, text[:1]) for text in ("a river in July", "b barge", "c violins of spruce")])
    made = [
        row(1, "river", document=Document("the river floods in July", "x")),  # shorter a river scores higher
        row(2, "violins", document=corpus.documents[2]),
        row(3, "tax forms", document=Document("nothing of that", "y")),
        row(4, "violins", document=Document("Geigen aus Fichte", "z", language="de"), language="en"),
        row(5, "", document=corpus.documents[1]),
    ]
    expected = Ranks(3, round(1 / 3, 5), round(2 / 3, 5), round(1 / 3, 5), documents=3)
    assert of(made, corpus=lambda: corpus).ranks == {"bm25": expected}
    assert of(made).ranks == {}
    assert of(made, corpus=lambda: Corpus([])).ranks == {}
    noted = [replace(each, meta={"ranks": {"bm25": 1}}) for each in made]
    assert of(noted, corpus=lambda: corpus).ranks == {"bm25": Ranks(5, 1.0, 1.0, 0.0)}


def test_of_a_large_corpus_a_fair_sample_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POOL", 10)
    corpus = Corpus([Document(f"the river {n}", f"d{n}") for n in range(50)])
    found = of([row(n, f"river {n}") for n in range(5)], corpus=lambda: corpus)
    assert (found.ranks["bm25"].n, found.ranks["bm25"].documents) == (5, 10)


def test_which_positives_are_ranked_is_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RANKED", 6)
    corpus = Corpus([Document(f"the river {n}", f"d{n}") for n in range(10)])
    made = [row(n, f"river {n % 2}", document=corpus.documents[0]) for n in range(30)]
    found = [of(made, seed=seed, corpus=lambda: corpus).ranks["bm25"] for seed in range(6)]
    assert {each.n for each in found} == {6}
    assert len({each.first for each in found}) > 1


def test_evidence_is_looked_for_in_the_document_that_was_cut() -> None:
    whole = "Mud lies on the fields now. Farmers wait for the water again. Then they sow what they kept from last year."
    corpus = Corpus([Document(whole, "a"), *(Document("x", f"g#{n}", parent_id="g") for n in range(10))])
    made = [
        row(1, "Mud lies on the", document=Document(whole.partition(". ")[2], "a")),
        row(2, "kept from last year", document=Document("else", "a")),
        row(3, "who?", document=Document("x", "g#5", parent_id="g")),
    ]
    found = of(made, corpus=lambda: corpus)
    assert found.evidence_in_document == Fifths(2, (1, 0, 0, 0, 1))
    assert found.piece_in_parent == Fifths(1, (0, 0, 1, 0, 0))
    assert of(made).piece_in_parent == Fifths(0, None)


def test_what_was_dropped_counts_among_the_candidates() -> None:
    kept = row(1, document=Document("x", scores={"judge": 3.0}), meta={"ranks": {"bm25": 1}})
    bad = row(2, document=Document("x", scores={"judge": 0.0}), meta={"ranks": {"bm25": 101}})
    found = of([kept], dropped=iter([Dropped(bad, "irrelevant"), Dropped(row(3), "leakage")]))
    assert found.grades == {"judge": Histogram(1, 3.0, {"3": 1})}
    assert found.candidate_grades == {"judge": Histogram(2, 1.5, {"0": 1, "3": 1})}
    assert found.ranks == {"bm25": Ranks(1, 1.0, 1.0, 0.0)}
    assert found.candidate_ranks == {"bm25": Ranks(2, 0.5, 0.5, 0.5)}


@pytest.mark.parametrize(
    ("usage", "priced", "expected"),
    [
        ({}, True, (None, None, None, None, None)),
        ({"sent": 0, "from_store": 0}, True, (None, None, None, None, None)),
        (
            {"sent": 80, "prompt_tokens": 40_000, "completion_tokens": 800, "usd": 0.02},
            True,
            (2000, 0, 1e6, 20_000, 0.5),
        ),
        ({"sent": 80, "prompt_tokens": 40_000, "completion_tokens": 800}, False, (2000, 0, 1e6, 20_000, None)),
        ({"from_store": 40}, True, (0, 1000, 0, 0, 0)),
    ],
)
def test_cost_is_of_a_thousand_kept_rows(
    usage: dict[str, float], priced: bool, expected: tuple[float | None, ...]
) -> None:
    assert of(rows(), usage=usage, priced=priced).cost == Cost(40, *expected)
    assert of([], usage=usage, priced=priced).cost == Cost(0, None, None, None, None, None)


def test_a_step_yields_what_it_kept_of_what_came() -> None:
    steps = [Fate("from_corpus", 8, {"empty": 2}), Fate("generate", 20, {"refusal": 1}), Fate("judge", 5, {"x": 15})]
    assert of(rows(), steps=steps).yields == (
        Yield("from_corpus", 10, 8, 0.8),
        Yield("generate", 8, 20, 2.5),
        Yield("judge", 20, 5, 0.25),
    )
    assert of([], steps=[Fate("a", 0), Fate("b", 0)]).yields == (Yield("a", 0, 0, None), Yield("b", 0, 0, None))


def printed(found: Quality) -> str:
    screen = io.StringIO()
    found.print(Console(width=80, file=screen))
    return screen.getvalue()


def test_the_table_holds_what_was_measured_within_80_columns() -> None:
    found = of(
        rows(),
        steps=[Fate("from_corpus", 20), Fate("generate", 41), Fate("judge", 40, {"irrelevant": 1})],
        usage={"sent": 41, "prompt_tokens": 4100, "completion_tokens": 410, "usd": 0.1},
        priced=True,
        checks={"p": {"form": {"question": Check(question_mark=True)}}},
        dropped=[Dropped(row(99, document=Document("x", scores={"judge": 0.0})), "irrelevant")],
    )
    assert max(map(len, printed(found).splitlines())) <= 80
    text = "\n".join(f"{name} {told}" for name, told, _ in lines(found))
    for part in (
        "half have at most 9, 95 % at most 9", "50 % end in a question mark", "20 different", "Vendi", "language en",
        "de 25 %", "axis form", "50 % as asked", "mean 1.50 (0: 25 %", "all candidates", "positive first: 2 %; in ten",
        "1.0 a row (mined 100 %)", "generate 2.0 a row, judge 98 %", "$2.50, 1,025 requests",
    ):  # fmt: skip
        assert part in text, part


def test_the_table_is_silent_on_what_could_not_be_measured() -> None:
    assert printed(of([])).split() == ["quality", "rows"]
    said = printed(of([row(1)]))
    assert "None" not in said
    assert "negatives" not in said
    assert "Vendi" not in said


def test_names_that_rows_bring_neither_steer_the_terminal_nor_break_the_table() -> None:
    wild = "\x1b[31m[bold]" + "x" * 200
    noted = {"g": {"prompt": wild, "axes": {wild: wild}}, "ranks": {wild: 1}}
    made = [
        row(n, language=wild, task=wild + str(n % 2), meta=noted, document=Document("x", scores={f"judge_{wild}": 1.0}))
        for n in range(50)
    ]
    text = printed(of(made, steps=[Fate("a", 1), Fate(wild, 1)], checks={wild: {wild: {wild: Check(most_words=9)}}}))
    assert "\x1b" not in text
    assert "judge_\ufffd[31m[bold]" in text
    assert max(map(len, text.splitlines())) <= 80
