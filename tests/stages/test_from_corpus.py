import gzip
import json
import os
import random

import pytest
from pydantic import ValidationError

from synth.chunks import word_count
from synth.errors import CorpusError
from synth.stage import Context, Source
from synth.stages.from_corpus import FromCorpus
from synth.types import Dropped, Example

NILE = "The Nile rises in July. "
LONG = "The river rises every summer and floods the fields along its banks. " * 60
ZH = "这条河每年夏天都会上涨，淹没两岸的田地。村里的人并不介意。田地毕竟需要泥土。" * 40
TH = "แม่น้ำสูงขึ้นทุกฤดูร้อนและท่วมทุ่งนาริมฝั่ง ชาวบ้านไม่มีใครสนใจเรื่องนี้มากนัก ทุ่งนาต้องการโคลนอยู่แล้ว " * 60
AR = "يرتفع النهر كل صيف ويغمر الحقول. لا أحد في القرية يهتم بذلك كثيرا؟ الحقول تحتاج إلى الطين. " * 60


class Reader:
    """Runs the stage over files made in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.warnings = []

    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))

    def lines(self, name, *rows):
        self.write(name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

    def context(self, corpus=".", **source):
        return Context(step="from_corpus", source=Source(corpus, self.folder, **source), warn=self.warnings.append)

    def run(self, corpus=".", source=None, **options):
        return list(FromCorpus(**options).run((), self.context(corpus, **(source or {}))))

    def kept(self, *args, **options):
        return [row.positive for row in self.run(*args, **options) if isinstance(row, Example)]

    def dropped(self, *args, **options):
        return [row for row in self.run(*args, **options) if isinstance(row, Dropped)]


@pytest.fixture
def docs(tmp_path):
    return Reader(tmp_path)


def test_a_row_has_the_document_as_its_positive_and_no_query(docs):
    docs.lines("corpus.jsonl", {"_id": "nile", "title": "The Nile", "text": NILE})
    (row,) = docs.run()
    assert (row.query, row.language, row.negatives) == ("", "en", ())
    document = row.positive
    assert (document.doc_id, document.parent_id, document.title, document.text) == (
        "nile",
        "",
        "The Nile",
        NILE.strip(),
    )
    assert (document.language, document.origin) == ("en", "corpus")
    assert document.meta == {"path": "corpus.jsonl"}


def test_rows_in_another_order_are_the_same_rows(docs):
    rows = [{"_id": f"d{n}", "title": f"T{n}", "text": f"{NILE}{n}"} for n in range(9)]
    docs.lines("a/corpus.jsonl", *rows)
    docs.lines("b/corpus.jsonl", *rows[::-1])
    assert docs.run("a") == docs.run("b")[::-1]


def test_ids_of_rows_are_the_same_in_every_run_and_each_its_own(docs):
    docs.lines("corpus.jsonl", *({"_id": f"d{n}", "text": NILE} for n in range(50)), {"_id": "long", "text": LONG})
    ids = [row.id for row in docs.run()]
    assert ids == [row.id for row in docs.run()]
    assert len(set(ids)) == len(ids) > 52


@pytest.mark.parametrize(("text", "language"), [(LONG, "en"), (ZH, "zh"), (TH, "th"), (AR, "ar")])
def test_a_long_document_is_cut_and_its_pieces_know_where_they_come_from(docs, text, language):
    docs.lines("corpus.jsonl", {"_id": "a", "title": "T", "text": text})
    pieces = docs.kept()
    assert [piece.doc_id for piece in pieces] == [f"a#{n}" for n in range(len(pieces))]
    assert len(pieces) > 1
    assert {(piece.parent_id, piece.title, piece.language) for piece in pieces} == {("a", "T", language)}
    assert all(word_count(piece.text) <= 300 for piece in pieces)
    assert "".join("".join(piece.text.split()) for piece in pieces) == "".join(text.split())


def test_chunk_false_leaves_documents_whole(docs):
    docs.lines("corpus.jsonl", {"_id": "a", "text": LONG})
    (document,) = docs.kept(chunk=False)
    assert (document.doc_id, document.parent_id, document.text) == ("a", "", LONG.strip())


def test_most_words_is_how_long_a_piece_may_be(docs):
    docs.lines("corpus.jsonl", {"_id": "a", "text": LONG})
    assert len(docs.kept(most_words=50)) > len(docs.kept(most_words=300)) > 1


def test_a_folder_of_many_kinds_is_read_in_order(docs):
    docs.write("b guide/one.md", "# Guide\nWelcome to it.\n## Install\nUnpack the archive.\n")
    docs.write("b guide/zwei.rst", "Führer\n======\n\nWillkommen im Tal des Nils.\n")
    docs.write("a.txt", "The river rises every summer.\n")
    docs.write("c.html", "<title>Page</title><p>The river falls again in the autumn of each year.</p>")
    docs.lines("d.jsonl", {"id": 1, "text": "A barge goes down the river."})
    assert [(d.doc_id, d.parent_id, d.title) for d in docs.kept()] == [
        ("a.txt", "", ""),
        ("b guide/one.md#0", "b guide/one.md", "Guide"),
        ("b guide/one.md#1", "b guide/one.md", "Guide > Install"),
        ("b guide/zwei.rst", "", "Führer"),
        ("c.html", "", "Page"),
        ("1", "", ""),
    ]


def test_an_uncut_file_keeps_its_headings_in_its_text(docs):
    docs.write("a.md", "# Guide\nWelcome.\n## Install\nUnpack.\n")
    (document,) = docs.kept(chunk=False)
    assert (document.doc_id, document.parent_id) == ("a.md", "")
    assert (document.title, document.text) == ("Guide", "Welcome.\n\nInstall\nUnpack.")


def test_a_section_says_on_which_line_it_begins(docs):
    docs.write("a.md", "# Guide\n\nWelcome.\n\n## Install\n\nUnpack.\n")
    assert [document.meta for document in docs.kept()] == [{"path": "a.md", "line": 3}, {"path": "a.md", "line": 7}]


def test_pdf_and_docx_are_read_with_the_extra(docs):
    pytest.importorskip("pypdf")
    docs.write("bad.pdf", b"%PDF-1.4 rubbish")
    docs.write("bad.docx", b"PK rubbish")
    docs.write("good.txt", NILE)
    assert [row.reason for row in docs.dropped()] == ["unreadable_document"] * 2


def test_the_language_is_told_for_each_document(docs):
    docs.lines("a.jsonl", {"id": 1, "text": LONG}, {"id": 2, "text": ZH[:50]}, {"id": 3, "text": "12 + 30"})
    assert {document.family: document.language for document in docs.kept()} == {"1": "en", "2": "zh", "3": ""}


def test_the_language_can_be_given_or_stand_in_a_column(docs):
    docs.lines("a.jsonl", {"id": 1, "text": NILE, "lang": "sco"}, {"id": 2, "text": NILE})
    assert [document.language for document in docs.kept(language_column="lang")] == ["sco", "en"]
    assert [document.language for document in docs.kept(language="la")] == ["la", "la"]


def test_what_cannot_be_read_is_dropped_with_its_place_and_told_once(docs):
    docs.write(
        "a.jsonl", b'{"id": 1, "text": "one"}\n{"id": 2, \n{"id": 3, "text": "caf\xe9"}\n[]\n{"id": 5, "text": " "}\n'
    )
    docs.write("b.txt", b"caf\xe9")
    docs.write("c.txt", b"")
    gone = docs.dropped()
    assert [(row.reason, row.detail.split(" ")[0]) for row in gone] == [
        ("unreadable_document", "a.jsonl:2:"),
        ("unreadable_document", "a.jsonl:3:"),
        ("unreadable_document", "a.jsonl:4:"),
        ("empty_document", "a.jsonl:5:"),
        ("unreadable_document", "b.txt:"),
        ("empty_document", "c.txt:"),
    ]
    assert gone[0].example.meta == {"path": "a.jsonl", "line": 2}
    assert gone[0].example.positive.text == '{"id": 2,'
    assert len({row.example.id for row in gone}) == len(gone)
    assert docs.warnings == [
        "corpus .: documents left out: 4 unreadable_document, 2 empty_document (first: a.jsonl:2); "
        "`synth look RUN --step from_corpus` shows them"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"id": 1, "text": "one"}\nno json\n', r"^a\.jsonl:2: not JSON.*without --strict"),
        (b'{"id": 1, "text": "one"}\n\n{"text": "caf\xe9"}\n', r"^a\.jsonl:3: not UTF-8"),
    ],
)
def test_strict_makes_it_an_error_with_file_and_line(docs, content, said):
    docs.write("a.jsonl", content)
    with pytest.raises(CorpusError, match=said) as caught:
        docs.run(source={"strict": True})
    assert "\n" not in str(caught.value)


def test_strict_lets_empty_documents_be_dropped(docs):
    docs.lines("a.jsonl", {"id": 1, "text": ""}, {"id": 2, "text": "two"})
    assert [row.reason for row in docs.dropped(source={"strict": True})] == ["empty_document"]


@pytest.mark.parametrize("strict", [True, False])
def test_an_id_with_another_text_is_an_error_that_names_both_lines(docs, strict):
    docs.lines("corpus.jsonl", {"_id": "a", "text": "one"}, {"_id": "b", "text": "x"}, {"_id": "a", "text": "two"})
    with pytest.raises(
        CorpusError, match=r"^corpus.jsonl:3: the id 'a' already stands at corpus.jsonl:1 with another text"
    ):
        docs.run(source={"strict": strict})


def test_another_title_is_another_document_too(docs):
    docs.lines("corpus.jsonl", {"_id": "a", "title": "T", "text": "one"}, {"_id": "a", "title": "U", "text": "one"})
    with pytest.raises(CorpusError, match="the id 'a' already stands"):
        docs.run()


def test_the_same_document_twice_is_dropped_once(docs):
    docs.lines("corpus.jsonl", {"_id": "a", "text": "one"}, {"_id": "a", "text": "one"}, {"_id": "b", "text": "one"})
    (gone,) = docs.dropped()
    assert (gone.reason, gone.detail) == (
        "duplicate_document",
        "a already stands at corpus.jsonl:1, with the same text",
    )
    assert [document.doc_id for document in docs.kept()] == ["a", "b"]
    outcomes = [each.example if isinstance(each, Dropped) else each for each in docs.run()]
    assert len({row.id for row in outcomes}) == 3  # a dropped copy is not the row that is kept


@pytest.mark.parametrize("turn", [1, -1])
def test_an_id_that_looks_like_a_piece_of_another_is_seen(docs, turn):
    docs.lines("corpus.jsonl", *[{"_id": "a", "text": LONG}, {"_id": "a#0", "text": "one"}][::turn])
    with pytest.raises(CorpusError, match="the id 'a#0' already stands"):
        docs.run()


def test_rows_of_several_files_can_be_numbered(docs):
    docs.lines("a.jsonl", {"id": 0, "text": "one"})
    docs.lines("b.jsonl", {"id": 0, "text": "two"})
    with pytest.raises(CorpusError, match="number_rows"):
        docs.run()
    assert [document.doc_id for document in docs.kept(number_rows=True)] == ["a.jsonl:1", "b.jsonl:1"]


def test_limit_is_a_number_of_documents(docs):
    docs.lines("a.jsonl", {"id": 0, "text": ""}, *({"id": n, "text": LONG} for n in range(1, 9)))
    assert {document.parent_id for document in docs.kept(source={"limit": 3})} == {"1", "2", "3"}


def test_a_limit_reads_no_further(docs):
    docs.lines("a.jsonl", *({"id": n, "text": "one"} for n in range(300)))
    with (docs.folder / "a.jsonl").open("ab") as file:
        file.write(b'{"id": 0, "text": "another"}\n')
    assert len(docs.kept(source={"limit": 300})) == 300


def test_excluded_documents_are_dropped_by_id_and_by_text(docs):
    docs.lines(
        "a.jsonl", {"id": "1", "text": "one"}, {"id": "2", "text": "The Nile floods."}, {"id": "3", "text": LONG}
    )
    docs.lines("out/corpus.jsonl", {"_id": "other", "text": "the nile FLOODS"})
    docs.write("out/ids.txt", "1\n3\n")
    source = {"exclude": ("out/corpus.jsonl", "out/ids.txt")}
    with pytest.raises(CorpusError, match="none of its documents can be used: 3 excluded"):
        docs.run("a.jsonl", source)
    docs.write("out/ids.txt", "1\n")
    gone = docs.dropped("a.jsonl", source)
    assert [(row.reason, row.detail) for row in gone] == [
        ("excluded", "out/ids.txt names 1"),
        ("excluded", "out/corpus.jsonl holds the same text"),
    ]
    assert {document.family for document in docs.kept("a.jsonl", source)} == {"3"}


def test_all_pieces_of_an_excluded_document_are_dropped(docs):
    docs.lines("a.jsonl", {"id": "1", "text": "one"}, {"id": "3", "text": LONG})
    docs.write("ids.txt", "3#1\n")
    gone = docs.dropped("a.jsonl", {"exclude": ("ids.txt",)})
    assert {row.example.positive.parent_id for row in gone} == {"3"}
    assert len(gone) > 1


def test_an_exclusion_that_fits_nothing_is_told(docs):
    docs.lines("a.jsonl", {"id": "1", "text": "one"})
    docs.write("ids.txt", "one\n")
    docs.run("a.jsonl", {"exclude": ("ids.txt",)})
    assert docs.warnings == ["exclude ids.txt: none of these documents is in the corpus"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nowhere", None, "no such file or folder"),
        ("", None, "no corpus: set `corpus:`"),
        ("a.jsonl", b"", "it holds no documents"),
        ("a.jsonl", b"\n\n", "it holds no documents"),
        ("a.csv", b"id,text\n", "it holds no documents"),
        (
            "a.jsonl",
            b"rubbish\nrubbish\n",
            r"none of its documents can be used: 2 unreadable_document \(first: a.jsonl:1\)",
        ),
        ("a.jsonl.gz", gzip.compress(mtime=0, data=b'{"text": "one"}')[:20], "1 unreadable_document"),
        ("a.parquet", b"rubbish", "1 unreadable_document"),
        ("a.txt", b"", "1 empty_document"),
        ("a.jsonl", b'{"a": 1, "b": "x"}', "no column of text"),
        ("a.xyz", b"text", "a kind of file that is not read"),
    ],
)
def test_a_corpus_of_nothing_is_an_error_in_one_line(docs, name, content, said):
    if content is not None:
        docs.write(name, content)
    with pytest.raises(CorpusError, match=said) as caught:
        docs.run(name)
    assert "\n" not in str(caught.value)


def test_a_table_without_texts_among_other_files_is_dropped(docs):
    docs.write("prices.csv", "a,b\n1,2\n")
    docs.write("a.md", NILE)
    assert [row.detail for row in docs.dropped()] == [
        "prices.csv: prices.csv: no column of text; the columns are a, b: set `text_column` to one"
    ]


def test_what_is_left_out_of_a_folder_is_told(docs):
    docs.write("a.md", NILE)
    docs.write("b.png", b"x")
    (docs.folder / "c.md").symlink_to("/etc/hostname")
    docs.run()
    assert docs.warnings == ["corpus .: 1 files of other kinds are left out (1 .png); 1 links are not followed"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_dropped(docs):
    docs.write("a.md", NILE)
    docs.write("b.md", NILE)
    docs.write("c/d.md", NILE)
    (docs.folder / "b.md").chmod(0)
    (docs.folder / "c").chmod(0)
    assert len(docs.dropped()) == 2
    (docs.folder / "c").chmod(0o700)


def test_a_pattern_picks_files(docs):
    docs.write("a.md", NILE)
    docs.write("b.txt", NILE)
    assert [document.doc_id for document in docs.kept(pattern="*.txt")] == ["b.txt"]


@pytest.mark.parametrize(
    "options",
    [{"most_words": 5}, {"encoding": "klingon"}, {"encoding": "zip"}, {"textcolumn": "x"}, {"chunk": "maybe"}],
)
def test_options_out_of_bounds_are_refused(options):
    with pytest.raises(ValidationError):
        FromCorpus(**options)


def _key(docs, stage=None, **source):
    return (stage or FromCorpus()).content_read(docs.context(**source))


def test_the_hash_of_the_content_changes_with_files_names_and_exclusions(docs):
    docs.write("docs/a.md", NILE)
    keys = [_key(docs, corpus="docs")]
    docs.write("docs/a.md", NILE + " ")
    keys.append(_key(docs, corpus="docs"))
    docs.write("docs/b.md", "")
    keys.append(_key(docs, corpus="docs"))
    (docs.folder / "docs/b.md").rename(docs.folder / "docs/c.md")
    keys.append(_key(docs, corpus="docs"))
    docs.write("ids.txt", "x")
    keys.append(_key(docs, corpus="docs", exclude=("ids.txt",)))
    docs.write("ids.txt", "y")
    keys.append(_key(docs, corpus="docs", exclude=("ids.txt",)))
    assert len(set(keys)) == len(keys)
    assert _key(docs, corpus="docs", exclude=("ids.txt",)) == keys[-1]


def test_the_hash_is_the_same_wherever_the_folder_lies(docs):
    docs.write("one/a.md", NILE)
    docs.write("two/a.md", NILE)
    assert _key(docs, corpus="one") == _key(docs, corpus="two")


def test_files_of_other_kinds_are_no_part_of_the_hash(docs):
    docs.write("docs/a.md", NILE)
    before = _key(docs, corpus="docs")
    docs.write("docs/b.png", b"x")
    assert _key(docs, corpus="docs") == before


def test_rows_are_data_that_can_be_stored_whatever_the_bytes(docs):
    draws = random.Random(7)
    names = ["a.jsonl", "b.csv", "c.md", "d.rst", "e.html", "f.txt", "g.tsv", "h.jsonl.gz", "i.parquet"]
    seed = b'{"id": 1, "text": "caf\xc3\xa9 \\ud800 \\u0000"}\nid,text\n1,"x\n<p>a</p>\n# T\n===\n\xff\xfe\x00'
    for turn in range(60):
        for name in names:
            docs.write(f"t{turn}/{name}", bytes(draws.choice(seed) for _ in range(draws.randrange(400))))
        docs.write(f"t{turn}/z.txt", NILE)
        for outcome in docs.run(f"t{turn}"):
            row = outcome.example if isinstance(outcome, Dropped) else outcome
            for document in row.positives:
                (document.text + document.title + document.doc_id).encode("utf-8")
                assert "\x00" not in document.text
                json.dumps(dict(document.meta))
