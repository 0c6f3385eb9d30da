"""from_dataset: training sets of others and of synth as rows, whatever their columns are called."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from pydantic import ValidationError

from synth.documents.hub import label_names
from synth.documents.table_set import Table
from synth.documents.tables import Row
from synth.errors import CorpusError
from synth.export import read_dataset
from synth.rows import to_table
from synth.runs import RunFolder
from synth.stage import Context, Source
from synth.stages.from_dataset import FromDataset
from synth.store import StoredRows
from synth.types import Document, Dropped, Example
from synth.values import given_to
from tests.conftest import Synth, write_corpus
from tests.test_bad_input import assert_one_line


def write(folder: Path, *rows: Any, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return folder


def context(folder: Path, **source: Any) -> Context:
    return Context(step="from_dataset", seed=7, source=Source(folder=folder, **source))


def outcomes(folder: Path, limit: int | None = None, **options: Any) -> list[Example | Dropped]:
    stage = FromDataset(**{"data": "./a.jsonl", **options})
    return list(stage.run((), context(folder, limit=limit)))


def kept(folder: Path, **options: Any) -> list[Example]:
    return [row for row in outcomes(folder, **options) if isinstance(row, Example)]


def dropped(folder: Path, **options: Any) -> list[tuple[str, str]]:
    return [(row.reason, row.detail) for row in outcomes(folder, **options) if isinstance(row, Dropped)]


def texts(row: Example) -> tuple[str, list[str], list[str]]:
    return row.query, [d.text for d in row.positives], [d.text for d in row.negatives]


LAYOUTS: list[tuple[dict[str, Any], tuple[str, list[str], list[str]]]] = [
    ({"anchor": "q", "positive": "p"}, ("q", ["p"], [])),
    ({"query": "q", "positive": "p", "negative": "n"}, ("q", ["p"], ["n"])),
    (
        {"anchor": "q", "positive": "p", "negative_1": "n", "negative_2": "m", "negative_3": None},
        ("q", ["p"], ["n", "m"]),
    ),
    ({"Query": "q", "Pos": ["p", "r"], "Neg": ["n", "m"]}, ("q", ["p", "r"], ["n", "m"])),
    ({"query": "q", "pos": ["p", " "], "neg": []}, ("q", ["p"], [])),
    ({"question": "q", "answer": "p"}, ("q", ["p"], [])),
    ({"sent0": "q", "sent1": "p", "hard_neg": "n"}, ("q", ["p"], ["n"])),
    ({"user_query": "q", "positive_document": "p", "hard_negative_document": "n"}, ("q", ["p"], ["n"])),
    ({"sentence1": "q", "sentence2": "p", "score": 0.5}, ("q", ["p"], [])),
    ({"text": "q", "label": "refund"}, ("q", ["refund"], [])),
    ({"text": "q", "label": 3, "label_text": "refund"}, ("q", ["refund"], [])),
    ({"query": "q", "intent": ["refund", "late"]}, ("q", ["refund", "late"], [])),
]


@pytest.mark.parametrize(("row", "found"), LAYOUTS)
def test_columns_are_found_by_their_usual_names(
    row: dict[str, Any], found: tuple[str, list[str], list[str]], tmp_path: Path
) -> None:
    [made] = kept(write(tmp_path, row))
    assert texts(made) == found
    assert made.parents == ()


def test_tevatron_passages_keep_their_ids_and_titles(tmp_path: Path) -> None:
    passage = {"docid": "12", "title": "The Nile", "text": "It floods."}
    row = {
        "query_id": "1",
        "query": "q",
        "positive_passages": [passage],
        "negative_passages": [{"docid": 7, "text": "n"}],
    }
    [made] = kept(write(tmp_path, row))
    assert made.positives == (Document("It floods.", "12", "The Nile"),)
    assert made.negatives == (Document("n", "7", origin="mined"),)


def test_a_document_without_an_id_has_one_by_its_content(tmp_path: Path) -> None:
    first, second = kept(write(tmp_path, {"query": "a", "pos": "same text", "neg": "x"}, {"query": "b", "pos": "x"}))
    assert first.positive.doc_id != first.negatives[0].doc_id == second.positive.doc_id
    assert len(first.positive.doc_id) == 20


def test_scores_of_a_teacher_stand_beside_their_documents(tmp_path: Path) -> None:
    row = {"query": "q", "pos": ["p"], "neg": ["n", "m"], "pos_scores": [0.9], "neg_scores": [0.3, None]}
    [made] = kept(write(tmp_path, row))
    assert [dict(d.scores) for d in (*made.positives, *made.negatives)] == [{"teacher": 0.9}, {"teacher": 0.3}, {}]
    [gone] = dropped(write(tmp_path, {**row, "neg_scores": [0.3]}, {"query": "b", "pos": ["p"]}))
    assert gone == ("unreadable_row", "a.jsonl:1: 'neg_scores' has 1 scores for 2 texts")


def test_a_score_is_how_relevant_the_partner_is(tmp_path: Path) -> None:
    (tmp_path / "sts.csv").write_text("sentence1,sentence2,score\na,b,3.8\nc,d,0\ne,f,\ng,h,5\n")
    rows = kept(tmp_path, data="sts.csv", score_scale=5, task="sts")
    assert [row.positive.relevance for row in rows] == [0.76, 0.0, None, 1.0]
    assert {row.task for row in rows} == {"sts"}
    [row] = kept(write(tmp_path, {"sentence1": "a", "sentence2": "b", "label": True}))
    assert row.positive.relevance == 1.0
    [row] = kept(write(tmp_path, {"query": "a", "positive": "b", "negative": "c", "score": 7.5}))
    assert row.positive.relevance is None  # a margin
    [row] = kept(write(tmp_path, {"query": "a", "positive": "b", "score": 7.5}), columns={"relevance": []})
    assert row.positive.relevance is None


@pytest.mark.parametrize("score", [5.5, -1, "high", float("nan"), [1]])
def test_a_score_that_is_none_or_out_of_its_scale_drops_the_row(score: object, tmp_path: Path) -> None:
    rows = [{"sentence1": f"s{n}", "sentence2": "b", "score": 4.0} for n in range(100)]
    write(tmp_path, *rows, {"sentence1": "a", "sentence2": "b", "score": score})
    [(reason, detail)] = dropped(tmp_path, score_scale=5)
    assert reason == "unreadable_row"
    assert "a.jsonl:101: 'score'" in detail


def test_a_label_is_the_right_document_and_its_own_id(tmp_path: Path) -> None:
    [row] = kept(write(tmp_path, {"text": "where is my card", "label": "card_arrival"}), task="classification")
    assert row.positives == (Document("card_arrival", "card_arrival"),)
    assert row.positive.relevance is None


def test_columns_may_be_named(tmp_path: Path) -> None:
    row = {"query": "no", "body": "q", "good": "p", "bad": "n", "worse": ["m"], "why": "Find it: ", "lang": "sw"}
    write(tmp_path, row)
    columns = {
        "query": "body", "positive": "good", "negative": ["bad", "worse"], "instruction": "why", "language": "lang"
    }  # fmt: skip
    [made] = kept(tmp_path, columns=columns)
    assert texts(made) == ("q", ["p"], ["n", "m"])
    assert (made.instruction, made.language, made.positive.language) == ("Find it: ".strip(), "sw", "sw")


def test_other_columns_are_given_to_prompts_only_where_they_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"query": "q", "pos": "p", "topic": "tides", "Asked On": ["2024"], "other": 1})
    [row] = kept(tmp_path)
    assert row.meta == {}
    [row] = kept(tmp_path, give=["topic", "other"])
    assert given_to(row) == {"topic": "tides", "other": 1}
    stage = FromDataset(data="./a.jsonl", give={"asked_on": "Asked On"})
    assert stage.gives(context(tmp_path)) == ["asked_on"]
    assert [given_to(row) for row in kept(tmp_path, give={"asked_on": "Asked On"})] == [{"asked_on": ["2024"]}]


def test_what_json_cannot_hold_is_given_as_text(tmp_path: Path) -> None:
    table = pa.table({"query": ["q"], "pos": ["p"], "day": pa.array([19000], pa.date32())})
    pq.write_table(table, tmp_path / "a.parquet")
    [row] = kept(tmp_path, data="a.parquet", give="day")
    assert given_to(row) == {"day": "2022-01-08"}


def test_task_language_and_the_origin_of_negatives_hold_for_all_rows(tmp_path: Path) -> None:
    write(tmp_path, {"query": "q", "pos": "p", "neg": "n"})
    [row] = kept(tmp_path, task="qa", language="sw", negatives="written")
    assert (row.task, row.language, row.positive.language) == ("qa", "sw", "sw")
    assert (row.positive.origin, row.negatives[0].origin) == ("corpus", "written")


UNREADABLE = [
    ("{not json", "not JSON"),
    ('{"query": "", "pos": "p"}', "no text in 'query'"),
    ('{"query": "q", "pos": []}', "no text in 'pos'"),
    ('{"query": "q"}', "no text in 'pos'"),
    ('{"query": 7, "pos": "p"}', "'query' holds int, expected a text"),
    ('{"query": "q", "pos": 7}', "'pos' holds int, expected a text, or an object with a text"),
    ('{"query": "q", "pos": {"docid": "1"}}', "'pos' holds an object without a text; it has docid"),
    ('{"query": "q", "pos": ["p"], "neg": [null]}', "'neg' holds NoneType"),
]


@pytest.mark.parametrize(("line", "said"), UNREADABLE)
def test_a_row_that_cannot_be_read_is_dropped_and_strictly_an_error(line: str, said: str, tmp_path: Path) -> None:
    write(tmp_path, {"query": "a", "pos": "p", "neg": "n"}, line)
    [(reason, detail)] = dropped(tmp_path)
    assert (reason, detail[: len("a.jsonl:2: ") + len(said)]) == ("unreadable_row", f"a.jsonl:2: {said}")
    assert len(kept(tmp_path)) == 1
    with pytest.raises(CorpusError, match=r"a.jsonl:2: .*without --strict"):
        list(FromDataset(data="a.jsonl").run((), context(tmp_path, strict=True)))


def test_a_row_that_stands_there_twice_is_kept_once_and_order_changes_no_id(tmp_path: Path) -> None:
    rows = [{"query": f"q{n % 4}", "pos": "p", "neg": f"n{n // 8}"} for n in range(12)]
    first = outcomes(write(tmp_path, *rows))
    assert sum(isinstance(row, Example) for row in first) == 8
    assert [row.reason for row in first if isinstance(row, Dropped)] == ["duplicate_row"] * 4
    assert len({row.example.id if isinstance(row, Dropped) else row.id for row in first}) == 12
    again = {row.id for row in kept(write(tmp_path, *rows[::-1]))}
    assert again == {row.id for row in first if isinstance(row, Example)}


def test_an_id_goes_by_the_texts_and_not_by_what_holds_for_the_whole_set(tmp_path: Path) -> None:
    write(tmp_path, {"query": "q", "pos": "p", "neg": "n"})
    [first], [again] = kept(tmp_path), kept(tmp_path, language="en", task="qa", negatives="written")
    assert first.id == again.id
    write(tmp_path, {"query": "q", "pos": "p", "neg": "n", "neg_scores": 0.1})
    assert kept(tmp_path)[0].id != first.id


def test_a_limited_run_stops_reading(tmp_path: Path) -> None:
    write(tmp_path, *({"query": f"q{n}", "pos": "p"} for n in range(9)), "{not json")
    assert len(outcomes(tmp_path, limit=3)) == 3


def test_a_folder_may_hold_tables_of_several_layouts_and_kinds(tmp_path: Path) -> None:
    write(tmp_path, {"anchor": "q1", "positive": "p"}, name="set/a.jsonl")
    (tmp_path / "set" / "b.tsv").write_text("query\tpos\nq2\tp\n")
    (tmp_path / "set" / "c.json").write_text('[{"text": "q3", "label": "l"}]')
    (tmp_path / "set" / "README.md").write_text("# about")
    assert [row.query for row in kept(tmp_path, data="set")] == ["q1", "q2", "q3"]


def test_of_a_folder_train_is_read_unless_another_split_is_named(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write(tmp_path, {"query": name, "pos": "p"}, name=f"set/{name}.jsonl")
    assert [row.query for row in kept(tmp_path, data="set")] == ["train"]
    assert [row.query for row in kept(tmp_path, data="set", split="test")] == ["test"]


def test_the_numbers_of_a_hub_datasets_labels_become_their_names(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["card_lost", "top_up"])})
    rows = Dataset.from_list([{"text": "a", "label": 1}], features=features).to_iterable_dataset()
    table = Table("me/mine", (Row(n, row) for n, row in enumerate(rows, 1)), label_names(rows))
    stage = FromDataset(data="hf://me/mine")
    reader, numbered = stage._opened(table)
    assert reader is not None
    assert reader.parts(next(numbered).values or {}).positives[0].doc_id == "top_up"


def words(number: int, many: int) -> str:
    """So many words out of 256, others for each number."""
    return " ".join(hashlib.sha256(f"{number} {many} {n}".encode()).hexdigest()[:2] for n in range(many))


@pytest.fixture
def dataset(tmp_path: Path, synth: Synth, recipe: Path) -> Path:
    """The dataset of a finished run of the small recipe, over enough documents for a validation split."""
    write_corpus(tmp_path / "corpus", {f"d{n}": f"{words(n, 9)}. {words(n, 12)}." for n in range(60)})
    said = synth("run", recipe, "--output", "run")
    assert said.code == 0, said.err
    return tmp_path / "run" / "dataset"


def test_a_dataset_of_synth_comes_back_as_it_is(dataset: Path, tmp_path: Path) -> None:
    written = [row for parts in read_dataset(dataset).values() for part in parts for row in part]
    rows = kept(tmp_path, data="./run/dataset")
    assert {row.id for row in rows} == {row.id for row in written}
    assert len(rows) == len(written)
    by_id = {row.id: row for row in written}
    for row in rows:
        before = by_id[row.id]
        assert (row.query, row.positives, row.negatives, row.tags) == (
            before.query, before.positives, before.negatives, before.tags
        )  # fmt: skip
        assert row.parents == ()
        assert tuple(row.meta["from_dataset"]["parents"]) == before.parents
    for split in ("train", "validation"):
        chosen = kept(tmp_path, data="./run/dataset", split=split)
        assert {row.id for row in chosen} == {row.id for part in read_dataset(dataset)[split] for row in part}
    one = kept(tmp_path, data="./run/dataset/retrieval/validation.parquet")
    assert {row.id for row in one} == {row.id for part in read_dataset(dataset)["validation"] for row in part}


def test_rows_of_synth_are_known_on_the_hub_too(dataset: Path, tmp_path: Path) -> None:
    path = dataset / "retrieval" / "train.parquet"
    rows = pq.read_table(path).to_pylist()
    stage = FromDataset(data="hf://me/mine")
    reader, numbered = stage._opened(Table("me/mine", (Row(n, row) for n, row in enumerate(rows, 1))))
    made = [stage._row(row, reader, context(tmp_path)) for row in numbered]
    assert to_table(made).drop_columns("meta") == to_table(list(StoredRows(path))).drop_columns("meta")


def test_its_documents_are_the_corpus_that_later_steps_search(dataset: Path, synth: Synth, tmp_path: Path) -> None:
    (tmp_path / "next.yaml").write_text(
        "steps:\n  - {use: from_dataset, data: ./run/dataset}\n  - {use: mine, negatives: 2}\nexport: [triplets]\n"
    )
    said = synth("run", "next.yaml", "--output", "next")
    assert said.code == 0, said.err
    assert any(row.negatives for row in RunFolder(tmp_path / "next").steps[-1].kept)


def test_what_is_exported_for_others_can_be_read_back(dataset: Path, synth: Synth, tmp_path: Path) -> None:
    rows = kept(tmp_path, data="./run/pairs")
    written = [row for part in read_dataset(dataset)["train"] for row in part]
    assert {(row.query, row.positive.text) for row in rows} == {(row.query, row.positive.full_text) for row in written}


def test_the_content_that_is_read_is_that_of_the_files(tmp_path: Path) -> None:
    stage, ctx = FromDataset(data="./a.jsonl"), context(write(tmp_path, {"query": "a", "pos": "p"}))
    before = stage.content_read(ctx)
    write(tmp_path, {"query": "b", "pos": "p"})
    assert stage.content_read(ctx) != before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", ["step 1 (from_dataset)", "data: it is missing"]),
        ("data: ./nowhere", ["./nowhere: no such file or folder"]),
        (
            "data: ./corpus",
            ["no column is known to hold the query", "there are _id, title, text", "columns: {query: COLUMN}"],
        ),
        ("data: ./x.jsonl", ["x.jsonl: no column is known to hold the positive", "question, comment"]),
        ("data: ./x.jsonl, columns: {positive: coment}", ["no column 'coment'", "did you mean 'comment'"]),
        ("data: ./x.jsonl, columns: {answer: comment}", ["columns.answer"]),
        ("data: ./a.jsonl, give: [topc]", ["give: no column 'topc'", "did you mean 'topic'"]),
        ("data: ./a.jsonl, give: [Topic]", ["give: 'Topic' is no name"]),
        ("data: ./a.jsonl, split: test", ["a single file has no splits"]),
        ("data: ./sts.jsonl", ["the scores in 'score' go up to 4.5", "set `score_scale`", "columns: {relevance: []}"]),
        ("data: ./beir", ["./beir: a BEIR folder; `use: from_qrels` reads it"]),
        ("data: ./run", ["./run: a run; read its ./run/dataset, or `use: from_run`"]),
        ("data: ./a.jsonl, language: klingon", ["'klingon' is no language"]),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    options: str, words: list[str], synth: Synth, tmp_path: Path
) -> None:
    write_corpus(tmp_path / "corpus")
    write(tmp_path, {"query": "q", "pos": "p", "topic": "t"})
    write(tmp_path, {"question": "q", "comment": "p"}, name="x.jsonl")
    write(tmp_path, {"sentence1": "q", "sentence2": "p", "score": 4.5}, name="sts.jsonl")
    write(tmp_path, "", name="beir/qrels/test.tsv")
    write(tmp_path, "", name="run/recipe.yaml")
    entry = f"{{use: from_dataset, {options}}}" if options else "use: from_dataset"
    (tmp_path / "recipe.yaml").write_text(f"steps:\n  - {entry}\n")
    assert_one_line(synth("run", "recipe.yaml", "--output", "out"), *words)
    assert not list(tmp_path.glob("out/*/kept.parquet"))


def test_a_set_in_which_nothing_can_be_read_is_told_with_its_first_fault(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"a.jsonl: no row can be read: 2 unreadable_row; a.jsonl:1: not JSON"):
        outcomes(write(tmp_path, "{", "{"))
    with pytest.raises(CorpusError, match=r"a.jsonl: it has no rows"):
        outcomes(write(tmp_path))


def test_a_dataset_of_synth_without_the_split_is_told(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no split 'test'; found train, validation"):
        outcomes(tmp_path, data="./run/dataset", split="test")


@pytest.mark.parametrize("options", [{"score_scale": 0}, {"negatives": "corpus"}, {"data": ""}, {"columns": ["query"]}])
def test_options_that_do_not_fit_are_told(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FromDataset(**{"data": "a", **options})


def test_rows_that_are_left_out_are_told_at_the_end(tmp_path: Path) -> None:
    told: list[str] = []
    source = Source(folder=write(tmp_path, {"query": "q", "pos": "p"}, "{"))
    list(FromDataset(data="a.jsonl").run((), Context(step="from_dataset", source=source, warn=told.append)))
    assert len(told) == 1
    assert told[0].startswith("a.jsonl: rows left out: 1 unreadable_row (first: a.jsonl:2: not JSON")
