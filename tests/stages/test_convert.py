"""convert: rows of one kind made into rows of another, each with its fate."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from synth.beir import read as read_beir
from synth.export import export, read_dataset
from synth.splits import to_learn
from synth.stage import Context, RowList
from synth.stages.convert import Convert
from synth.types import Document, Dropped, Example, row_id
from tests import contracts as check
from tests.contracts import query_rows, source_rows
from tests.test_export import rows_of

OPTIONS: dict[str, dict[str, Any]] = {
    "label_pairs": {"negatives": 2},
    "same_label": {"negatives": 2, "unique_ids": True},
    "pairs_of_grades": {},
    "graded_list": {},
    "preference": {"score": "judge"},
    "evaluation": {"share": 0.5},
}


def converted(rows: Sequence[Example], to: str, said: list[str] | None = None, **options: Any) -> list[Any]:
    stage = Convert.model_validate({"to": to, **options})
    ctx = Context(step="convert", seed=7, warn=(said if said is not None else []).append)
    found = list(stage.run(RowList(rows), ctx))
    again = list(stage.run(RowList(rows[::-1]), ctx))
    assert sorted(map(repr, found)) == sorted(map(repr, again)), "the order of the rows changes something"
    return found


def labelled(text: str, *labels: str, **changes: Any) -> Example:
    documents = tuple(Document(label, doc_id=label, language="en") for label in labels)
    plain: dict[str, Any] = {"task": "classification", "instruction": "Tell the mood. ", "language": "en"}
    return Example(id=row_id("make", 0, text), query=text, positives=documents, **{**plain, **changes})


MOODS = [
    labelled("the screen cracked", "complaint"),
    labelled("it broke after a day", "complaint"),
    labelled("works like a charm", "praise"),
    labelled("best one so far", "praise"),
    labelled("does it come in red", "question"),
    labelled("can it be washed", "question"),
]


@pytest.mark.parametrize("rows", [[], source_rows(), query_rows(), MOODS], ids=["none", "sources", "queries", "moods"])
@pytest.mark.parametrize("to", OPTIONS)
def test_every_conversion_settles_every_row_whatever_their_order(to: str, rows: list[Example]) -> None:
    stage = Convert.model_validate({"to": to, **OPTIONS[to]})
    check.settles_every_row(stage, rows)
    check.reasons_are_slugs(stage, rows)
    check.order_changes_nothing(stage, rows)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "label_pairs", "least": 0.7}, "least is for `to: graded_list`, not for label_pairs"),
        ({"to": "evaluation", "unique_ids": True}, "unique_ids is for `to: same_label`"),
        ({"to": "preference"}, "needs a score"),
        ({"to": "pairs"}, "pairs_of_grades"),
    ],
)
def test_options_that_do_not_go_together_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Convert.model_validate(options)


def test_what_a_run_writes_down_with_every_default_reads_back() -> None:
    stage = Convert.model_validate({"to": "evaluation"})
    assert Convert.model_validate(stage.model_dump()) == stage


def test_a_text_with_its_label_gets_other_labels_of_its_task_and_instruction() -> None:
    stranger = labelled("le moulin", "français", instruction="Tell the language. ")
    told: list[str] = []
    found = converted([*MOODS, stranger], "label_pairs", told, negatives=2)
    assert [row.id for row in found] == [row.id for row in (*MOODS, stranger)]
    for row in found[:6]:
        assert {d.doc_id for d in (row.positive, *row.negatives)} == {"complaint", "praise", "question"}
        assert len(row.negatives) == 2
    assert found[6].negatives == ()
    assert "1 rows got fewer than 2 labels" in told[0]


def test_of_many_labels_each_row_draws_its_own_and_none_that_it_has() -> None:
    rows = [labelled(f"text {n}", f"label {n % 30}", f"label {(n + 1) % 30}") for n in range(120)]
    found = converted(rows, "label_pairs", negatives=3)
    drawn: Counter[str] = Counter()
    for row in found:
        own = {document.doc_id for document in row.positives}
        names = [document.doc_id for document in row.negatives]
        assert len(set(names)) == len(names) == 3
        assert not own & set(names)
        drawn.update(names)
    assert len(drawn) == 30


def test_labels_in_another_language_or_by_other_letters_are_no_negatives() -> None:
    written = {"origin": "written"}
    rows = [
        Example(id="a", query="gut", positives=(Document("Lob", "written-1", language="de", **written),)),
        Example(id="b", query="prima", positives=(Document("lob!", "written-2", language="de", **written),)),
        Example(id="c", query="good", positives=(Document("praise", "written-3", language="en", **written),)),
    ]
    assert [row.negatives for row in converted(rows, "label_pairs")] == [(), (), ()]


def test_a_text_goes_with_another_of_its_label_against_texts_of_others() -> None:
    lone = labelled("hm", "nothing")
    found = converted([*MOODS, lone], "same_label", negatives=3)
    label_of = {row.query: row.positive.doc_id for row in MOODS}
    made = [row for row in found if isinstance(row, Example)]
    assert {row.parents[0] for row in made} == {row.id for row in MOODS}
    for row in made:
        assert label_of[row.positive.text] == label_of[row.query] == row.meta["convert"]["label"]
        assert row.positive.text != row.query
        others = [document.meta["label"] for document in row.negatives]
        assert len({document.text for document in row.negatives}) == 3
        assert label_of[row.query] not in others
        assert len(set(others)) == 3, "each other label in turn"
    [lost] = [fate for fate in found if isinstance(fate, Dropped)]
    assert (lost.example.id, lost.reason) == (lone.id, "lone_label")


def test_the_same_words_are_no_partner_and_no_negative() -> None:
    rows = [
        labelled("Ja!", "yes"),
        replace(labelled("ja", "yes"), id="x"),
        labelled("sure", "yes"),
        replace(labelled("no", "no"), id="y"),
        replace(labelled("no", "no"), id="z"),
    ]
    found = converted(rows, "same_label", negatives=3)
    fates = {fate.example.query if isinstance(fate, Dropped) else fate.query: fate for fate in found}
    assert fates["Ja!"].positive.text == fates["ja"].positive.text == "sure"
    assert isinstance(fates["no"], Dropped)
    assert [document.text for document in fates["Ja!"].negatives] == ["no"]


def test_a_text_that_shares_one_of_several_labels_is_no_negative() -> None:
    texts = {"a b": ["one", "two"], "c d": ["one"], "e f": ["two"], "g h": ["three"], "i j": ["three", "two"]}
    rows = [labelled(text, *labels) for text, labels in texts.items()]
    [made] = [row for row in converted(rows, "same_label") if isinstance(row, Example) and row.query == "a b"]
    assert ([made.positive.text], [d.text for d in made.negatives]) == (["c d"], ["g h"])


def test_texts_of_another_language_or_instruction_are_neither() -> None:
    others = [labelled("kaputt", "complaint", language="de"), labelled("bad", "complaint", instruction="Other. ")]
    fates = converted([MOODS[0], *others], "same_label")
    assert {fate.reason for fate in fates} == {"lone_label"}


def test_a_unique_id_stands_behind_every_text_of_a_row() -> None:
    ids = set()
    for row in converted(MOODS, "same_label", unique_ids=True):
        unique = row.query.rpartition(" ")[2]
        assert len(unique) == 8
        assert all(d.text.endswith(f" {unique}") and d.doc_id.endswith(unique) for d in (row.positive, *row.negatives))
        ids.add(unique)
    assert len(ids) == len(MOODS)


def test_a_text_that_a_model_wrote_stays_written_as_a_document() -> None:
    told = {"generate": {"prompt": "p", "draw": 0, "model": "m"}}
    rows = [labelled("a b", "x", meta=told), labelled("c d", "x")]
    origins = {row.positive.text: row.positive.origin for row in converted(rows, "same_label")}
    assert origins == {"a b": "written", "c d": "corpus"}


def graded(born: str, *documents: tuple[str, float | None], wrong: Sequence[tuple[str, float | None]] = ()) -> Example:
    def made(pairs: Sequence[tuple[str, float | None]]) -> tuple[Document, ...]:
        return tuple(Document(f"text {name}", name, relevance=grade, scores={born: 1.0}) for name, grade in pairs)

    return Example(
        id=born, task="sts", query="when?", positives=made(documents), negatives=made(wrong), tags=frozenset({born})
    )


def test_a_graded_list_becomes_pairs_with_a_grade_each() -> None:
    row = graded("a", ("d1", 0.9), wrong=[("d2", 0.25), ("d3", None)])
    found = converted([row], "pairs_of_grades")
    assert [(each.query, each.positive.doc_id, each.positive.relevance) for each in found] == [
        ("when?", "d1", 0.9),
        ("when?", "d2", 0.25),
    ]
    assert len({each.id for each in found}) == 2
    assert all(each.parents == ("a",) and not each.negatives and len(each.positives) == 1 for each in found)


@pytest.mark.parametrize(
    "row", [graded("a", ("d1", 0.4)), graded("a", ("d1", None)), replace(graded("a", ("d1", 0.4), ("d2", 1)), query="")]
)
def test_a_row_that_is_a_pair_or_has_no_grades_passes(row: Example) -> None:
    assert converted([row], "pairs_of_grades") == [row]


def test_rows_of_one_query_become_one_list_on_two_sides_of_a_grade() -> None:
    rows = [
        graded("b", ("d1", 0.9), wrong=[("d2", 0.25)]),
        graded("a", ("d2", 0.75), ("d4", None), wrong=[("d3", 0.6), ("d5", None)]),
        replace(graded("c", ("d1", 1.0)), query="why?"),
    ]
    merged, alone = sorted(converted(rows, "graded_list", least=0.6), key=lambda row: row.query)
    assert [(d.doc_id, d.relevance) for d in merged.positives] == [("d4", None), ("d1", 0.9), ("d3", 0.6)]
    assert [(d.doc_id, d.relevance) for d in merged.negatives] == [("d5", None), ("d2", 0.5)]
    assert (merged.parents, merged.tags) == (("a", "b"), {"a", "b"})
    assert merged.negatives[1].scores == {"a": 1.0, "b": 1.0}
    assert alone == rows[2]


def test_mined_negatives_without_a_grade_stay_in_the_order_of_their_ranks() -> None:
    row = graded("a", ("d1", 1.0), wrong=[("z", None), ("b", None), ("c", 0.2), ("a", None)])
    [listed] = converted([row], "graded_list")
    assert [document.doc_id for document in listed.negatives] == ["z", "b", "a", "c"]


def test_a_list_without_a_positive_is_dropped() -> None:
    [lost] = converted([graded("a", ("d1", 0.4))], "graded_list")
    assert (lost.reason, lost.detail, lost.example.id) == ("no_positive", "the best grade is 0.4", "a")
    both = converted([graded("a", ("d1", 0.4)), graded("b", ("d2", 0.2))], "graded_list")
    assert [fate.reason for fate in both] == ["no_positive"]
    assert both[0].example.parents == ("a", "b")


def test_the_same_words_under_another_task_are_another_query() -> None:
    rows = [graded("a", ("d1", 1.0)), replace(graded("b", ("d2", 1.0)), task="retrieval")]
    assert converted(rows, "graded_list") == rows


def sample(query: str, judged: float | None, draw: int = 0, **changes: Any) -> Example:
    scores = {} if judged is None else {"judge": judged}
    told = {"prompt": "p", "draw": draw, "model": "m", "axes": changes.pop("axes", {}), "reply_key": f"key of {query}"}
    meta = {"parents": [changes.pop("parent", "nile")], "generate": told}
    positives = (Document("It floods.", "nile", "Nile", scores=scores),)
    plain: dict[str, Any] = {"positives": positives, "language": "en", "meta": meta}
    return Example(id=row_id("generate", draw, query), query=query, **{**plain, **changes})


def test_of_the_samples_of_a_draw_the_best_stands_against_the_worst() -> None:
    rows = [sample("when?", 3), sample("hm", 0, 1), sample("so so", 1, 2)]
    [made] = converted(rows, "preference", score="judge")
    assert (made.task, made.query, made.language) == ("preference", "Nile\nIt floods.", "en")
    [chosen], [rejected] = made.positives, made.negatives
    assert (chosen.text, rejected.text, chosen.origin, rejected.origin) == ("when?", "hm", "written", "written")
    assert (chosen.scores, rejected.scores) == ({"judge": 3.0}, {"judge": 0.0})
    assert set(made.parents) == {row.id for row in rows}
    assert made.meta["convert"]["chosen"] == {"reply_key": "key of when?", "score": 3.0}
    assert made.meta["convert"]["prompt"] == "p"


def test_where_documents_were_written_too_the_whole_row_stands_against_the_worst() -> None:
    def row(query: str, judged: float, draw: int, **changes: Any) -> Example:
        right = Document(f"{query}: yes", origin="written", scores={"judge": judged})
        wrong = Document(f"{query}: no", origin="written")
        return sample(query, judged, draw, **{"positives": (right,), "negatives": (wrong,), **changes})

    told = {"instruction": "Find the river that is asked for."}
    [made] = converted([row("when?", 3, 0, **told), row("hm", 1, 1, **told)], "preference", score="judge")
    assert made.query == "Find the river that is asked for."
    assert json.loads(made.positive.text) == {"query": "when?", "positives": ["when?: yes"], "negatives": ["when?: no"]}
    assert json.loads(made.negatives[0].text)["query"] == "hm"
    assert [fate.reason for fate in converted([row("when?", 3, 0)], "preference", score="judge")] == ["no_instruction"]


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        ([sample("a", 3)], ["no_rival"]),
        ([sample("a", 3), sample("b", 1, parent="rhine")], ["no_rival", "no_rival"]),
        ([sample("a", 3), sample("b", 1, axes={"form": "keywords"})], ["no_rival", "no_rival"]),
        ([sample("a", 2), sample("b", 2, 1)], ["no_preference", "no_preference"]),
        ([sample("a", 2), sample("a", 1, 1)], ["no_preference", "no_preference"]),
        ([sample("a", None), sample("b", float("nan"), 1)], ["unscored", "unscored"]),
        ([sample("a", 1, positives=(), meta={**sample("a", 1).meta, "judge": 1})], ["no_document"]),
    ],
)
def test_samples_that_say_no_preference_are_dropped(rows: list[Example], reasons: list[str]) -> None:
    found = converted(rows, "preference", score="judge")
    assert [fate.reason for fate in found if isinstance(fate, Dropped)] == reasons
    assert len(found) == len(reasons)


def test_the_score_may_be_a_path_into_meta_and_rows_of_other_steps_pass() -> None:
    rows = [
        replace(each, meta={**each.meta, "rate": {"sum": n}}) for n, each in enumerate((sample("a", 9), sample("b", 0)))
    ]
    [made] = converted(rows, "preference", score="rate.sum")
    assert (made.positive.text, made.negatives[0].text) == ("b", "a")
    assert converted(rows, "preference", score="rate.sum", step="other") == rows
    assert converted(rows, "preference", score="rate.sum", step=["other", "generate"]) == [made]


def test_a_share_of_whole_families_is_marked_for_evaluation() -> None:
    rows = rows_of(100)
    found = converted(rows, "evaluation", share=0.2)
    marked = {row.positive.family for row in found if "evaluation" in row.tags}
    assert 8 <= len(marked) <= 35
    assert all(("evaluation" in row.tags) == (row.positive.family in marked) for row in found)
    assert [row.id for row in found] == [row.id for row in rows]


def test_a_share_of_one_marks_every_row_and_too_few_groups_are_told() -> None:
    told: list[str] = []
    assert all("evaluation" in row.tags for row in converted(rows_of(3), "evaluation", told))
    assert told == []
    assert not any("evaluation" in row.tags for row in converted(rows_of(3), "evaluation", told, share=0.3))
    assert "too few groups" in told[0]


def test_marked_rows_are_exported_as_test_and_change_no_other_split(tmp_path: Path) -> None:
    rows = rows_of(200)
    found = converted(rows, "evaluation", share=0.2)
    counts = export(found, tmp_path, ["dataset", "beir", "pairs"]).counts
    marked = [row for row in found if "evaluation" in row.tags]
    assert counts["dataset"]["test"] == len(marked)
    splits = read_dataset(tmp_path / "dataset")
    assert {row.id for part in splits["test"] for row in part} == {row.id for row in marked}
    learned = {row.id for name in ("train", "validation") for part in splits[name] for row in part}
    assert learned == {row.id for row in rows} - {row.id for row in marked}
    assert counts["dataset"]["validation"] > 6, "the one draw is not the other's"
    assert set(read_beir(tmp_path / "beir").queries) == {row.id for row in marked}
    export([row for row in found if "evaluation" not in row.tags], tmp_path / "other")
    assert (tmp_path / "dataset/retrieval/train.parquet").read_bytes() == (
        tmp_path / "other/dataset/retrieval/train.parquet"
    ).read_bytes()


def test_what_is_marked_is_neither_trained_nor_validated_on() -> None:
    rows = converted(rows_of(100), "evaluation", share=0.3)
    assert {row.id for row in to_learn(rows)} == {row.id for row in rows if "evaluation" not in row.tags} != set()


def test_a_set_that_is_all_evaluation_is_exported_too(tmp_path: Path) -> None:
    export(converted(rows_of(3), "evaluation"), tmp_path, ["dataset", "beir"])
    assert [path.name for path in (tmp_path / "beir/qrels").iterdir()] == ["test.tsv"]
