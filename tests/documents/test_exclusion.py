import json

import pytest

from synth.documents.exclusion import excluded, exclusion_hash, text_hash
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
    [("nowhere.txt", "no such file"), (".", "a folder without qrels/"), ("a.md", "expected documents")],
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


RIVER = (
    "The Nile rises in July when the rains of the Ethiopian highlands reach it and floods the fields along both of its "
    "banks until October. Farmers once waited for the black mud that it leaves behind, since nothing else fed their "
    "wheat. A dam at Aswan holds the water back today, and fertilizer has taken the place of the mud."
)
VIOLIN = "A violin is made of spruce and maple, and its front is carved from a split log."


@pytest.fixture
def exam(tmp_path):
    """A folder with a test set: `nile` answers a query of test, `violin` one of dev, `mud` none."""
    (tmp_path / "exam" / "qrels").mkdir(parents=True)
    rows = [{"_id": "nile", "title": "Nile", "text": RIVER}, {"_id": "violin", "text": VIOLIN}]
    rows.append({"_id": "mud", "text": "Mud is a mixture of earth and water that dries to clay or crumbles to dust."})
    (tmp_path / "exam" / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "exam" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tnile\t1\nq1\tmud\t0\n")
    (tmp_path / "exam" / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq2\tviolin\t2\n")
    return tmp_path


def _why(folder, name, text):
    found = excluded(Source(folder=folder, exclude=(name,)))
    found.compare([text, "another one"])
    return found.why(["x"], text)


def test_a_folder_stands_for_the_documents_that_answer_in_any_of_its_splits(exam):
    assert set(excluded(Source(folder=exam, exclude=("exam",))).ids) == {"nile", "violin"}
    assert set(excluded(Source(folder=exam, exclude=("exam:dev",))).ids) == {"violin"}
    assert _why(exam, "exam", VIOLIN) == "exam holds the same text"
    assert _why(exam, "exam:test", VIOLIN) == ""
    assert _why(exam, "exam", "Mud is a mixture of earth and water that dries to clay or crumbles to dust.") == ""


def test_a_folder_without_its_corpus_gives_ids(exam):
    (exam / "exam" / "corpus.jsonl").unlink()
    found = excluded(Source(folder=exam, exclude=("exam",)))
    assert (found.ids, found.texts) == ({"nile": "exam", "violin": "exam"}, {})


def test_a_split_that_is_not_there_is_an_error(exam):
    with pytest.raises(CorpusError, match=r"exam:tset: no split 'tset'; found dev, test; did you mean 'test'\?"):
        excluded(Source(folder=exam, exclude=("exam:tset",)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (RIVER.replace("July", "June"), "of the letters (Jaccard)"),
        (" ".join(RIVER.split()[20:45]), "25 words in a row"),
        (f"A long introduction, and then: {' '.join(RIVER.split()[30:43])}", "13 words in a row"),
        (" ".join(word for n, word in enumerate((RIVER + VIOLIN).split()) if n % 11), "of its runs of 8 words"),
        (" ".join(RIVER.split()[20:27]), ""),
        ("The Danube rises in the Black Forest and reaches the Black Sea after ten countries.", ""),
        ("", ""),
    ],
)
def test_near_copies_and_passages_of_excluded_documents_are_known(exam, text, said):
    why = _why(exam, "exam", text)
    assert why.startswith("exam holds nile, which it repeats: ") == bool(said)
    assert said in why


def test_what_was_compared_before_is_forgotten(exam):
    near = RIVER.replace("July", "June")
    found = excluded(Source(folder=exam, exclude=("exam",)))
    found.compare([near])
    assert found.why([], near)
    found.compare([])
    assert found.why([], near) == ""


def test_from_corpus_drops_them_and_reads_no_further_than_its_limit(exam):
    from synth.stage import Context
    from synth.stages.from_corpus import FromCorpus
    from synth.types import Dropped

    near = RIVER.replace("July", "June")
    rows = [{"_id": "1", "text": near}, *({"_id": str(n), "text": f"Text {n} on {n * n} frogs."} for n in range(2, 99))]
    (exam / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"_id": "2", "text": "x"}\n')
    source = Source("corpus.jsonl", exam, exclude=("exam",), limit=97)
    gone, *kept = FromCorpus().run((), Context(source=source))
    assert isinstance(gone, Dropped)
    assert (gone.reason, gone.detail.partition(":")[0]) == ("excluded", "exam holds nile, which it repeats")
    assert [row.positive.doc_id for row in kept] == [str(n) for n in range(2, 99)]


def test_the_files_of_an_excluded_folder_are_part_of_the_key_and_an_empty_list_changes_none(exam):
    from synth.documents.reading import content_hash
    from synth.stage import Context
    from synth.stages.from_corpus import FromCorpus

    (exam / "corpus.jsonl").write_text('{"_id": "1", "text": "x"}\n')

    def key(*names):
        return FromCorpus().content_read(Context(source=Source("corpus.jsonl", exam, exclude=names)))

    assert key() == content_hash(Source("corpus.jsonl", exam), "")
    assert key("exam") != content_hash(Source("corpus.jsonl", exam, exclude=("exam",)), "")
    before, hashed = key("exam"), exclusion_hash(Source(folder=exam, exclude=("exam",)))
    (exam / "exam" / "qrels" / "dev.tsv").write_text("q2\tmud\t1\n")
    assert len({key(), before, key("exam"), key("exam:test")}) == 4
    assert exclusion_hash(Source(folder=exam, exclude=("exam",))) != hashed
