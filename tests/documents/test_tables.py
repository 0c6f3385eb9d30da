import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.documents.files import CorpusFile, kind_of
from synth.documents.record import Columns, Record, Unreadable
from synth.documents.tables import choose, read_table
from synth.errors import CorpusError


def _read(tmp_path, name, content, columns=None, encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return list(read_table(CorpusFile(path, name, kind_of(name)), columns or Columns(), encoding))


def _plain(found):
    return [(one.doc_id, one.sections[0].title, one.text) if isinstance(one, Record) else one.fault for one in found]


def _json_lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def test_a_beir_corpus_is_read(tmp_path):
    content = _json_lines({"_id": "d1", "title": "The Nile", "text": "It floods."}, {"_id": "d2", "text": "A barge."})
    found = _read(tmp_path, "corpus.jsonl", content)
    assert _plain(found) == [("d1", "The Nile", "It floods."), ("d2", "", "A barge.")]
    assert [str(one.place) for one in found] == ["corpus.jsonl:1", "corpus.jsonl:2"]


@pytest.mark.parametrize("text", ["text", "content", "BODY", "Abstract", "passage"])
@pytest.mark.parametrize("doc_id", ["_id", "id", "doc_id", "ID"])
def test_usual_names_of_columns_are_known_in_any_case(tmp_path, text, doc_id):
    found = _read(
        tmp_path, "a.jsonl", _json_lines({"author": "x", doc_id: "7", text: "It floods.", "Headline": "Nile"})
    )
    assert _plain(found) == [("7", "Nile", "It floods.")]


def test_the_only_column_is_the_text(tmp_path):
    assert _plain(_read(tmp_path, "a.csv", "Satz\nDer Nil.\n")) == [("a.csv:2", "", "Der Nil.")]


def test_named_columns_are_read(tmp_path):
    columns = Columns(text="b", title="t", doc_id="k", language="l")
    found = _read(tmp_path, "a.jsonl", _json_lines({"text": "no", "b": "yes", "t": "T", "k": 5, "l": "de"}), columns)
    assert _plain(found) == [("5", "T", "yes")]
    assert found[0].language == "de"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (Columns(text="txet"), r"no column 'txet'; the columns are texts, name; did you mean 'texts'\?"),
        (Columns(title="titel"), "no column 'titel'"),
        (Columns(), "no column of text; the columns are texts, name: set `text_column`"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_missing_column_is_an_error_that_lists_those_there_are(tmp_path, name, columns, said):
    if name == "a.jsonl":
        (tmp_path / name).write_text(_json_lines({"texts": "x", "name": "y"}))
    elif name == "a.csv":
        (tmp_path / name).write_text("texts,name\nx,y\n")
    else:
        pq.write_table(pa.table({"texts": ["x"], "name": ["y"]}), tmp_path / name)
    with pytest.raises(CorpusError, match=said):
        list(read_table(CorpusFile(tmp_path / name, name, kind_of(name)), columns))


def test_the_list_of_columns_stays_in_one_line():
    with pytest.raises(CorpusError) as caught:
        choose([f"column\n{n} " + "x" * 100 for n in range(500)], Columns(), "a.csv")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"text": "cut off', "not JSON"),
        (b"plain words", "not JSON"),
        (b'["a", "list"]', "found list, expected an object; write one object a line"),
        (b'"a text"', "found str, expected an object"),
        (b"null", "found NoneType"),
        (b'{"text": "caf\xe9"}', "not UTF-8; save it as UTF-8, or set `encoding`"),
        (b'{"text": 5}', "'text' holds int, expected a text"),
        (b'{"text": ["a"]}', "'text' holds list"),
        (b'{"_id": {"a": 1}, "text": "x"}', "the id is dict"),
        (b'{"text": ""}', "no text in 'text'"),
        (b'{"text": null}', "no text in 'text'"),
        (b'{"text": " \\n\\u0000 "}', "no text in 'text'"),
        (b'{"title": "only"}', "no text in 'text'"),
        (b"[" * 100_000, "not JSON"),
        (b'{"text": ' + b"1" * 5000 + b"}", "not JSON"),
    ],
)
def test_a_bad_line_is_told_and_the_others_are_read(tmp_path, line, said):
    good = b'{"_id": "a", "text": "one"}\n'
    found = _read(tmp_path, "a.jsonl", good + line + b"\n" + good.replace(b'"a"', b'"b"'))
    assert [type(one) for one in found] == [Record, Unreadable, Record]
    assert said in found[1].fault
    assert str(found[1].place) == "a.jsonl:2"
    assert "\n" not in found[1].fault


def test_an_empty_text_is_no_fault_of_the_file(tmp_path):
    found = _read(tmp_path, "a.jsonl", '{"text": "one"}\n{"text": ""}\nno json\n')
    assert [getattr(one, "reason", "") for one in found] == ["", "empty_document", "unreadable_document"]


def test_ids_may_be_numbers_and_may_be_missing(tmp_path):
    rows = [
        {"id": 7, "text": "a"},
        {"id": 7.0, "text": "b"},
        {"id": None, "text": "c"},
        {"text": "d"},
        {"id": "", "text": "e"},
    ]
    found = _read(tmp_path, "a.jsonl", _json_lines(*rows))
    assert [one.doc_id for one in found] == ["7", "7", "a.jsonl:3", "a.jsonl:4", "a.jsonl:5"]


def test_rows_can_be_numbered_instead(tmp_path):
    found = _read(tmp_path, "a.jsonl", _json_lines({"id": "x", "text": "a"}), Columns(number_rows=True))
    assert found[0].doc_id == "a.jsonl:1"


def test_blank_lines_are_passed_over_and_counted(tmp_path):
    found = _read(tmp_path, "a.jsonl", '\n{"text": "one"}\n\n  \n{"text": "two"}')
    assert [one.place.line for one in found] == [2, 5]


def test_windows_line_ends_and_a_mark_at_the_beginning_do_no_harm(tmp_path):
    content = b'\xef\xbb\xbf{"_id": "a", "text": "one"}\r\n{"_id": "b", "text": "two"}\r\n'
    assert _plain(_read(tmp_path, "a.jsonl", content)) == [("a", "", "one"), ("b", "", "two")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_utf_16_is_known_by_its_mark(tmp_path, name, encoding):
    rows = '{"_id": "ä", "text": "Übung 今天"}\n' * 2 if name == "a.jsonl" else "_id,text\nä,Übung 今天\nö,x\n"
    assert _plain(_read(tmp_path, name, rows.encode(encoding)))[0] == ("ä", "", "Übung 今天")


def test_utf_16_that_is_cut_off_is_told(tmp_path):
    content = '{"text": "one"}\n{"text": "two"}\n'.encode("utf-16") + b"a"
    found = _read(tmp_path, "a.jsonl", content)
    assert isinstance(found[-1], Unreadable)
    assert "not utf-16" in found[-1].fault


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_another_encoding_can_be_named(tmp_path, name):
    rows = '{"text": "Übung"}\n' if name == "a.jsonl" else "text,x\nÜbung,1\n"
    assert _plain(_read(tmp_path, name, rows.encode("latin-1"), encoding="latin-1"))[0][2] == "Übung"


def test_control_characters_and_half_surrogates_are_taken_out_of_texts(tmp_path):
    found = _read(
        tmp_path,
        "a.jsonl",
        b'{"_id": "a\\ud800", "title": "T\\n\\u0000t", "text": "x\\u0000y \\ud83d \\ud83d\\ude00"}\n',
    )
    assert _plain(found) == [("a\ufffd", "T t", "x y \ufffd 😀")]
    json.dumps(found[0].text).encode("utf-8")


def test_a_line_of_ten_megabytes_is_read(tmp_path):
    found = _read(tmp_path, "a.jsonl", _json_lines({"text": "x" * 10_000_000}, {"text": "y"}))
    assert [len(one.text) for one in found] == [10_000_000, 1]


def test_gzip_is_unpacked(tmp_path):
    found = _read(tmp_path, "a.jsonl.gz", gzip.compress(b'{"_id": "a", "text": "one"}\n'))
    assert _plain(found) == [("a", "", "one")]
    assert _plain(_read(tmp_path, "a.tsv.gz", gzip.compress(b"id\ttext\n1\tone\n"))) == [("1", "", "one")]


@pytest.mark.parametrize("content", [b"not gzip at all", b"\x1f\x8b\x08\x00rubbish", b"\x1f\x8b"])
@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
def test_a_broken_gzip_file_is_told(tmp_path, name, content):
    (found,) = _read(tmp_path, name, content)
    assert "cannot be read on" in found.fault


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz"])
def test_of_a_gzip_file_cut_short_the_beginning_is_read(tmp_path, name):
    row = '{"text": "%s"}\n' if name == "a.jsonl.gz" else "%s,x\n"
    rows = ("" if name == "a.jsonl.gz" else "text,b\n") + "".join(
        row % f"number {n} {n * n * 7919}" for n in range(9000)
    )
    found = _read(tmp_path, name, gzip.compress(rows.encode())[:-3000])
    assert found[0].text.startswith("number 0")
    assert "cannot be read on" in found[-1].fault
    assert sum(isinstance(one, Unreadable) for one in found) == 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.csv.gz"])
def test_an_empty_file_holds_nothing(tmp_path, name):
    content = gzip.compress(b"") if name.endswith(".gz") else b""
    assert _read(tmp_path, name, content) == []


def test_cells_of_csv_may_hold_line_ends_quotes_and_commas(tmp_path):
    content = 'id,title,text\r\n1,"The ""Nile""","It floods,\nevery year."\r\n2,,plain\r\n'
    found = _read(tmp_path, "a.csv", content)
    assert _plain(found) == [("1", 'The "Nile"', "It floods,\nevery year."), ("2", "", "plain")]
    assert [one.place.line for one in found] == [3, 4]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_what_separates_columns_is_seen_in_the_header(tmp_path, mark):
    assert _plain(_read(tmp_path, "a.csv", f"id{mark}text\n1{mark}one\n")) == [("1", "", "one")]


def test_bad_rows_of_csv_are_told_and_the_others_are_read(tmp_path):
    content = b'id,text\n1,one\n2,too,many\n3,caf\xe9\n4\n5,"quoted" badly\n\n6,six\n'
    found = _read(tmp_path, "a.csv", content)
    assert _plain(found) == [
        ("1", "", "one"),
        "3 cells where the header names 2 columns",
        "not UTF-8; save it as UTF-8, or set `encoding`",
        "no text in 'text'",
        "not CSV: ',' expected after '\"'",
        ("6", "", "six"),
    ]
    assert [one.place.line for one in found] == [2, 3, 4, 5, 6, 8]


def test_a_quote_that_is_never_closed_is_told(tmp_path):
    found = _read(tmp_path, "a.csv", 'id,text\n1,one\n2,"open\n3,three\n')
    assert _plain(found)[0] == ("1", "", "one")
    assert "not CSV" in found[-1].fault


def test_a_cell_of_a_megabyte_is_read(tmp_path):
    assert len(_read(tmp_path, "a.csv", "id,text\n1," + "x" * 1_000_000 + "\n")[0].text) == 1_000_000


def test_a_header_with_a_mark_at_the_beginning_is_read(tmp_path):
    assert _plain(_read(tmp_path, "a.csv", b"\xef\xbb\xbftext,id\none,1\n")) == [("1", "", "one")]


def _parquet(tmp_path, columns, **options):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return list(read_table(CorpusFile(path, "a.parquet", "parquet"), Columns()))


def test_parquet_is_read_and_null_cells_are_empty(tmp_path):
    found = _parquet(tmp_path, {"id": [1, 2, None], "title": ["T", None, None], "text": ["one", None, "three"]})
    assert _plain(found) == [("1", "T", "one"), "no text in 'text'", ("a.parquet:3", "", "three")]


def test_many_row_groups_are_one_table(tmp_path):
    found = _parquet(tmp_path, {"text": [f"text {n}" for n in range(5000)]}, row_group_size=700)
    assert [one.place.line for one in found] == list(range(1, 5001))
    assert found[4321].text == "text 4321"


def test_a_column_of_lists_is_no_text(tmp_path):
    (found,) = _parquet(tmp_path, {"text": [["a", "b"]]})
    assert found.fault == "'text' holds list, expected a text"


def test_a_table_without_rows_holds_nothing(tmp_path):
    assert _parquet(tmp_path, {"text": pa.array([], pa.string())}) == []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"rubbish" * 100, b"PAR1" + b"\0" * 100 + b"PAR1"])
def test_what_is_no_parquet_is_told(tmp_path, content):
    (found,) = _read(tmp_path, "a.parquet", content)
    assert found.fault.startswith("not Parquet: ")
    assert "\n" not in found.fault


def test_parquet_with_damaged_pages_is_told(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"some text {n * 7919}" for n in range(20_000)]}), path)
    raw = bytearray(path.read_bytes())
    raw[1000:9000] = bytes(8000)
    found = _read(tmp_path, "a.parquet", bytes(raw))
    assert any(isinstance(one, Unreadable) for one in found)
