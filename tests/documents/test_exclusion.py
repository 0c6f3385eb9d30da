import json

import pytest

from synth.documents.exclusion import excluded, text_hash
from synth.errors import CorpusError
from synth.stage import Source


def _excluded(tmp_path, **files):
    for name, text in files.items():
        (tmp_path / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return excluded(Source(folder=tmp_path, exclude=tuple(name.replace("__", ".") for name in files)))


def test_a_list_names_ids_a_line(tmp_path):
    found = _excluded(tmp_path, ids__txt="d1\n\n guide/a b.md \r\n")
    assert found.ids == {"d1": "ids.txt", "guide/a b.md": "ids.txt"}
    assert found.why(["x", "d1"], "") == "ids.txt names d1"
    assert found.why(["d2"], "") == ""


@pytest.mark.parametrize("header", ["query-id\tcorpus-id\tscore\n", ""])
def test_judgements_name_the_documents_that_answer(tmp_path, header):
    found = _excluded(tmp_path, test__tsv=f"{header}q1\td1\t1\nq1\td2\t0\nq2\td3\t2\n")
    assert set(found.ids) == {"d1", "d3"}


def test_documents_are_known_by_id_and_by_text(tmp_path):
    rows = [{"_id": "d1", "title": "T", "text": "The Nile floods."}]
    found = _excluded(tmp_path, corpus__jsonl="".join(json.dumps(row) + "\n" for row in rows))
    assert found.why(["d1"], "another text") == "corpus.jsonl names d1"
    assert found.why(["other"], "the  NILE floods") == "corpus.jsonl holds the same text"
    assert found.why(["other"], "The Nile floods in July.") == ""


def test_a_table_of_documents_with_tabs_is_no_list_of_judgements(tmp_path):
    found = _excluded(tmp_path, docs__tsv="id\ttext\nd1\tThe Nile floods.\n")
    assert found.why(["x"], "The Nile floods!")


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere.txt", "no such file"), (".", "a folder; name its corpus.jsonl"), ("a.md", "expected documents")],
)
def test_what_names_no_documents_is_an_error(tmp_path, name, said):
    (tmp_path / "a.md").write_text("text")
    with pytest.raises(CorpusError, match=said):
        excluded(Source(folder=tmp_path, exclude=(name,)))


@pytest.mark.parametrize("name", ["bad.jsonl", "bad.txt"])
def test_what_cannot_be_read_is_an_error_so_that_nothing_slips_through(tmp_path, name):
    (tmp_path / name).write_bytes(b'{"_id": "d1", "text": "x"}\ncaf\xe9\n')
    with pytest.raises(CorpusError, match=rf"exclude .*{name}"):
        excluded(Source(folder=tmp_path, exclude=(name,)))


def test_an_empty_file_excludes_nothing(tmp_path):
    found = _excluded(tmp_path, a__txt="", b__tsv="", c__jsonl="")
    assert (found.ids, found.texts) == ({}, {})


def test_texts_are_equal_in_any_case_spaces_and_punctuation():
    assert text_hash("The Nile floods.") == text_hash(" the  nile\nFLOODS ")
    assert text_hash("C++") != text_hash("C#")
