import json
from pathlib import Path

import pytest

from synth.beir import read, splits, write
from synth.errors import CorpusError
from synth.types import Document, Example

DOCUMENTS = [
    {"_id": "nile", "title": "The Nile", "text": "It floods each summer."},
    {"_id": "rhine", "text": "A river."},
]
QUERIES = [
    {"_id": "q1", "text": "when does it flood"},
    {"_id": "q2", "text": "a river"},
    {"_id": "q3", "text": "unjudged"},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\tnile\t2\nq1\trhine\t0\nq2\trhine\t1\n"


def folder_of(place: Path, documents=DOCUMENTS, queries=QUERIES, **qrels: str) -> Path:
    (place / "qrels").mkdir(parents=True)
    for name, lines in (("corpus", documents), ("queries", queries)):
        if lines is not None:
            (place / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    for split, text in (qrels or {"test": QRELS}).items():
        (place / "qrels" / f"{split}.tsv").write_text(text, encoding="utf-8")
    return place


def test_a_folder_becomes_a_test_set(tmp_path: Path) -> None:
    test = read(folder_of(tmp_path / "rivers"))
    assert (test.name, test.split, test.label) == ("rivers", "test", "rivers")
    assert test.queries == {"q1": "when does it flood", "q2": "a river"}
    assert test.qrels == {"q1": {"nile": 2, "rhine": 0}, "q2": {"rhine": 1}}
    assert test.documents == (
        Document("It floods each summer.", doc_id="nile", title="The Nile"),
        Document("A river.", doc_id="rhine"),
    )


def test_without_a_corpus_the_documents_are_the_runs_own(tmp_path: Path) -> None:
    assert read(folder_of(tmp_path, documents=None)).documents is None


def test_the_path_or_the_argument_names_a_split(tmp_path: Path) -> None:
    place = folder_of(tmp_path / "rivers", test=QRELS, dev="q3\tnile\t1\n")
    assert splits(place) == ["dev", "test"]
    assert read(f"{place}:dev").queries == {"q3": "unjudged"}
    assert read(f"{place}:dev").label == "rivers:dev"
    assert read(place, "dev") == read(f"{place}:dev")


def test_the_only_split_is_the_default(tmp_path: Path) -> None:
    assert read(folder_of(tmp_path, validation=QRELS)).split == "validation"


def test_a_folder_with_a_colon_in_its_name_is_a_folder(tmp_path: Path) -> None:
    assert read(folder_of(tmp_path / "a:b")).name == "a:b"


def test_windows_line_ends_a_bom_blank_lines_and_numbers_as_ids_are_read(tmp_path: Path) -> None:
    place = folder_of(
        tmp_path, documents=[{"_id": 7, "title": None, "text": "seven"}], queries=[{"_id": 1, "text": "q"}]
    )
    (place / "qrels/test.tsv").write_bytes(b"\xef\xbb\xbfqid\tdocid\trel\r\n\r\n1\t7\t1.0\r\n")
    (place / "queries.jsonl").write_bytes(b"\xef\xbb\xbf" + (place / "queries.jsonl").read_bytes())
    assert read(place).qrels == {"1": {"7": 1}}


def test_a_query_without_a_relevant_document_does_not_count(tmp_path: Path) -> None:
    assert set(read(folder_of(tmp_path, test="q1\tnile\t1\nq2\trhine\t0\n")).queries) == {"q1"}


BAD = {
    "no queries": ({"queries": None}, r"queries\.jsonl: no such file"),
    "no documents": ({"documents": []}, r"corpus\.jsonl: no documents"),
    "not an object": ({"queries": [[1]]}, r"queries\.jsonl:1: found list, expected a JSON object"),
    "no id": ({"queries": [{"text": "a"}]}, r"queries\.jsonl:1: no `_id`; found text"),
    "no text": ({"queries": [{"_id": "q1", "text": None}]}, r"queries\.jsonl:1: `text` must be a text; found null"),
    "twice": (
        {"documents": [{"_id": "a", "text": "x"}, {"_id": "a", "text": "y"}]},
        r"corpus\.jsonl:2: `_id` 'a' stands",
    ),
    "query twice": (
        {"queries": [{"_id": "q", "text": "x"}, {"_id": "q", "text": "y"}]},
        r"queries\.jsonl:2: `_id` 'q'",
    ),
    "unknown document": ({"test": "q1\tamazon\t1\n"}, r"test\.tsv:1: unknown document 'amazon'"),
    "unknown query": ({"test": "h\th\th\nq9\tnile\t1\n"}, r"test\.tsv:2: unknown query 'q9'"),
    "two columns": ({"test": "q1\tnile\n"}, r"test\.tsv:1: found 2 columns"),
    "spaces": ({"test": "q1 nile 1\n"}, r"test\.tsv:1: found 1 columns.*separated by tabs"),
    "no number": ({"test": "q1\tnile\t1\nq2\trhine\tyes\n"}, r"test\.tsv:2: the score must be a whole number"),
    "nothing relevant": ({"test": "q1\tnile\t0\n"}, r"test\.tsv: no query has a relevant document"),
    "empty": ({"test": ""}, r"test\.tsv: no query has a relevant document"),
    "no split": ({"train": QRELS, "dev": QRELS}, r"which split\? found dev, train; say .*:dev"),
}


@pytest.mark.parametrize(("parts", "says"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_one_line_with_its_place(tmp_path: Path, parts, says: str) -> None:
    place = folder_of(tmp_path, **parts)
    with pytest.raises(CorpusError, match=says) as told:
        read(place)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("raw", "says"), [(b'{"_id": "a"\n', r":1: not JSON"), (b'\n{"_id": "\xff"}', r":2: not UTF-8")]
)
def test_a_broken_line_is_told_with_its_number(tmp_path: Path, raw: bytes, says: str) -> None:
    (folder_of(tmp_path) / "corpus.jsonl").write_bytes(raw)
    with pytest.raises(CorpusError, match=rf"corpus\.jsonl{says}"):
        read(tmp_path)


def test_a_folder_or_a_split_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"nowhere: no such folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match=r"no judgements"):
        read(tmp_path)
    with pytest.raises(CorpusError, match=r"no split 'tets'; found test; did you mean 'test'"):
        read(f"{folder_of(tmp_path / 'rivers')}:tets")


def example(name: str, *positives: Document, negatives: tuple[Document, ...] = ()) -> Example:
    return Example(id=name, query=f"query of {name}", positives=positives, negatives=negatives)


def written(place: Path, *rows: Example) -> tuple[dict[str, int], Path]:
    place.mkdir()
    return write({"train": [rows[:1], rows[1:]]}, place, lambda row: row.positives), place


def test_what_was_written_reads_the_same(tmp_path: Path) -> None:
    nile, rhine = Document("floods", doc_id="nile", title="The Nile"), Document("a river", doc_id="rhine")
    counts, place = written(tmp_path / "beir", example("a", nile, negatives=(rhine,)), example("b", rhine, nile))
    assert counts == {"documents": 2, "queries": 2, "qrels": 3, "no_positive": 0}
    test = read(place)
    assert test.documents == (nile, rhine)
    assert test.queries == {"a": "query of a", "b": "query of b"}
    assert test.qrels == {"a": {"nile": 1}, "b": {"rhine": 1, "nile": 1}}


def test_the_longest_text_of_an_id_keeps_it_and_cut_ones_get_their_own(tmp_path: Path) -> None:
    whole, cut, other = (
        Document(text, doc_id="nile") for text in ("It floods. It is long.", "It is long.", "It floods.")
    )
    rows = [example("a", cut), example("b", other, negatives=(whole,)), example("c", cut)]
    _, place = written(tmp_path / "one", *rows)
    ids = {document.text: document.doc_id for document in read(place).documents or ()}
    assert ids[whole.text] == "nile"
    assert len(ids) == len(set(ids.values())) == 3
    assert read(place).qrels["a"] == read(place).qrels["c"] == {ids[cut.text]: 1}
    _, again = written(tmp_path / "two", *rows[::-1])
    assert {document.text: document.doc_id for document in read(again).documents or ()} == ids


def test_documents_without_an_id_that_can_stand_in_a_table_get_one(tmp_path: Path) -> None:
    rows = [
        example("a", Document("x"), negatives=(Document("y", origin="written"),)),
        example("b", Document("z", doc_id="t\tb")),
    ]
    _, place = written(tmp_path / "beir", *rows)
    assert len({document.doc_id for document in read(place).documents or ()}) == 3


def test_a_row_without_a_positive_is_left_out_and_counted(tmp_path: Path) -> None:
    counts, place = written(tmp_path / "beir", example("a", Document("x", doc_id="x")), example("b"))
    assert counts["no_positive"] == 1
    assert set(read(place).queries) == {"a"}
