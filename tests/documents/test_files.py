import gzip
import os

import pytest

from synth.documents.files import MOST_BYTES, CorpusFile, find, kind_of, lines, read_text
from synth.documents.record import Fault
from synth.errors import CorpusError


def _names(found):
    return [file.name for file in found.files]


def _write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("The Nile floods.", encoding="utf-8")


def test_a_folder_is_read_with_all_its_folders_in_the_order_of_paths(tmp_path):
    _write(tmp_path, "b/2.md", "a.txt", "b/1.html", "b/c/d/deep.rst", "ä ö/mit Leerzeichen.md", "Z.pdf")
    assert _names(find(tmp_path)) == sorted(
        ["b/2.md", "a.txt", "b/1.html", "b/c/d/deep.rst", "ä ö/mit Leerzeichen.md", "Z.pdf"]
    )


def test_hidden_files_and_folders_are_not_read(tmp_path):
    _write(tmp_path, "a.txt", ".hidden.txt", ".git/b.txt")
    assert _names(find(tmp_path)) == ["a.txt"]


def test_files_of_other_kinds_are_counted(tmp_path):
    _write(tmp_path, "a.txt", "b.png", "c.PNG", "Makefile")
    assert dict(find(tmp_path).others) == {".png": 2, "": 1}


def test_of_a_beir_folder_only_the_corpus_is_read(tmp_path):
    _write(tmp_path, "corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "README.md")
    assert _names(find(tmp_path)) == ["corpus.jsonl"]


def test_a_pattern_picks_by_name_or_by_path(tmp_path):
    _write(tmp_path, "a.md", "guide/b.md", "guide/c.txt")
    assert _names(find(tmp_path, "*.md")) == ["a.md", "guide/b.md"]
    assert _names(find(tmp_path, "guide/*")) == ["guide/b.md", "guide/c.txt"]


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    _write(tmp_path, "outside/secret.txt", "docs/a.txt", "docs/sub/b.txt")
    (tmp_path / "docs/link.txt").symlink_to(tmp_path / "outside/secret.txt")
    (tmp_path / "docs/folder").symlink_to(tmp_path / "outside")
    (tmp_path / "docs/dead.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "docs/loop").symlink_to(tmp_path / "docs")
    found = find(tmp_path / "docs")
    assert _names(found) == ["a.txt", "sub/b.txt"]
    assert found.links == 4


def test_a_folder_beside_with_the_same_beginning_is_outside_too(tmp_path):
    _write(tmp_path, "docs/a.txt", "docs-secret/b.txt")
    (tmp_path / "docs/b.txt").symlink_to(tmp_path / "docs-secret/b.txt")
    assert _names(find(tmp_path / "docs")) == ["a.txt"]


def test_a_link_within_the_folder_is_read(tmp_path):
    _write(tmp_path, "a.txt")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    assert _names(find(tmp_path)) == ["a.txt", "b.txt"]


def test_a_corpus_that_is_itself_a_link_is_read(tmp_path):
    _write(tmp_path, "docs/a.txt")
    (tmp_path / "link").symlink_to(tmp_path / "docs")
    assert _names(find(tmp_path / "link")) == ["a.txt"]


def test_a_pipe_is_not_waited_for(tmp_path):
    _write(tmp_path, "a.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    assert _names(find(tmp_path)) == ["a.txt"]


def test_a_name_that_is_no_utf_8_can_be_written_down(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.txt")
    with open(path, "wb") as file:
        file.write(b"The Nile floods.")
    (found,) = find(tmp_path).files
    assert found.name == "caf\ufffd.txt"
    assert read_text(found, "utf-8") == "The Nile floods."


def test_a_name_with_a_line_end_is_told_in_one_line(tmp_path):
    _write(tmp_path, "a\nb.txt")
    assert _names(find(tmp_path)) == ["a b.txt"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "nowhere", "no such file or folder"),
        (lambda folder: _made(folder / "empty"), "the folder holds no files"),
        (lambda folder: _made(folder / "pictures", "a.png"), "found 1 .png"),
        (lambda folder: _made(folder, "a.xlsx") / "a.xlsx", "a kind of file that is not read"),
    ],
)
def test_what_holds_no_corpus_is_an_error_in_one_line(tmp_path, make, said):
    with pytest.raises(CorpusError, match=said) as caught:
        find(make(tmp_path))
    assert "\n" not in str(caught.value)


def _made(folder, *names):
    folder.mkdir(exist_ok=True)
    _write(folder, *names)
    return folder


def test_a_pattern_that_fits_nothing_is_an_error(tmp_path):
    _write(tmp_path, "a.md")
    with pytest.raises(CorpusError, match=r"'\*\.txt'"):
        find(tmp_path, "*.txt")


@pytest.mark.parametrize(
    ("content", "encoding", "text"),
    [
        ("Die Übung".encode(), "utf-8", "Die Übung"),
        (b"\xef\xbb\xbf" + "Die Übung".encode(), "utf-8", "Die Übung"),
        ("Die Übung".encode("utf-16"), "utf-8", "Die Übung"),
        ("Die Übung".encode("utf-32"), "utf-8", "Die Übung"),
        (b"\xfe\xff" + "Die Übung".encode("utf-16-be"), "utf-8", "Die Übung"),
        ("Die Übung".encode("latin-1"), "latin-1", "Die Übung"),
        ("Die Übung".encode("utf-16-le"), "utf-16-le", "Die Übung"),
        (b"", "utf-8", ""),
    ],
)
def test_the_mark_at_the_beginning_says_the_encoding(tmp_path, content, encoding, text):
    assert read_text(_file(tmp_path, content), encoding) == text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"one\ntwo\ncaf\xe9", r"not UTF-8 \(line 3\)"),
        (b"MZ\x00\x01\x02 text", "binary, not text"),
        (b"\xff\xfea\x00b", "not utf-16"),
    ],
)
def test_what_is_no_text_is_a_fault(tmp_path, content, said):
    with pytest.raises(Fault, match=said):
        read_text(_file(tmp_path, content), "utf-8")


def _file(folder, content, name="a.txt"):
    path = folder / name
    path.write_bytes(content)
    return CorpusFile(path, name, kind_of(name))


def test_a_file_too_large_for_one_document_is_a_fault(tmp_path):
    file = _file(tmp_path, b"")
    with file.path.open("r+b") as stream:
        stream.truncate(MOST_BYTES + 1)
    with pytest.raises(Fault, match="larger than 64 MiB"):
        read_text(file, "utf-8")


def test_a_line_too_long_is_passed_over_and_the_next_is_read(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(b"one\n" + b"x" * (2 * MOST_BYTES + 5) + b"\nthree\n")
    assert list(lines(CorpusFile(path, "a.jsonl.gz", "jsonl"))) == [b"one\n", None, b"three\n"]
