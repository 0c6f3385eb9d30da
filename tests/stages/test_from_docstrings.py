import sys
from pathlib import Path

import pytest

from synth.errors import CorpusError
from synth.stage import Context, Source
from synth.stages.from_docstrings import FromDocstrings
from synth.types import Document, Dropped, Example

SHOP = '''"""Selling apples by the crate."""

import not_installed_anywhere

raise SystemExit("nobody may run this")


def price(crates: int, *, rebate=0.1) -> float:
    """
    What so many crates cost.

        >>> price(2)
    """

    def rounded():
        """Never seen from outside."""


def silent(): ...


def _secret():
    """Not for everybody's eyes."""


class Till(list[int]):
    """The drawer with the money."""

    def add(self, coin):
        """Put one coin in."""

    @classmethod
    def full(cls): "A drawer with all coins."

    class Lock:
        """What keeps thieves out."""

        def turn(self, /, way="left"):
            """Close it with the key."""
'''


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def outcomes(stage: FromDocstrings, **source) -> list[Example | Dropped]:
    return list(stage.run((), Context(step="from_docstrings", source=Source(**source))))


def documents(stage: FromDocstrings, **source) -> dict[str, Document]:
    kept = [row for row in outcomes(stage, **source) if isinstance(row, Example)]
    return {row.positive.doc_id: row.positive for row in kept}


def dropped(stage: FromDocstrings, **source) -> list[tuple[str, str]]:
    return [(row.reason, row.detail) for row in outcomes(stage, **source) if isinstance(row, Dropped)]


def test_functions_classes_methods_and_modules_become_documents_and_nothing_is_run(tmp_path):
    found = documents(FromDocstrings(code=("shop.py",)), folder=write(tmp_path, {"shop.py": SHOP}))
    assert {name: (d.meta["kind"], d.meta["line"]) for name, d in found.items()} == {
        "shop": ("module", 1),
        "shop.price": ("function", 8),
        "shop.Till": ("class", 26),
        "shop.Till.add": ("method", 29),
        "shop.Till.full": ("method", 33),
        "shop.Till.Lock": ("class", 35),
        "shop.Till.Lock.turn": ("method", 38),
    }
    assert "shop" not in sys.modules


def test_a_document_has_its_name_as_words_its_signature_and_its_docstring_without_the_margin(tmp_path):
    found = documents(FromDocstrings(code=("shop.py",)), folder=write(tmp_path, {"shop.py": SHOP}))
    assert found["shop.price"] == Document(
        "price(crates: int, *, rebate=0.1) -> float\n\nWhat so many crates cost.\n\n    >>> price(2)",
        doc_id="shop.price",
        title="shop price",
        language="en",
        meta={"kind": "function", "path": "shop.py", "line": 8},
    )
    firsts = {name: d.text.splitlines()[0] for name, d in found.items()}
    assert firsts["shop"] == "Selling apples by the crate."
    assert firsts["shop.Till"] == "class Till(list[int])"
    assert firsts["shop.Till.full"] == "full()"
    assert firsts["shop.Till.Lock"] == "class Lock"
    assert firsts["shop.Till.Lock.turn"] == "turn(way='left')"


def test_a_class_and_its_methods_are_one_family_and_the_functions_of_a_module_are_none(tmp_path):
    found = documents(FromDocstrings(code=("shop.py",)), folder=write(tmp_path, {"shop.py": SHOP}))
    assert {name: d.family for name, d in found.items()} == {
        "shop": "shop",
        "shop.price": "shop.price",
        "shop.Till": "shop.Till",
        "shop.Till.add": "shop.Till",
        "shop.Till.full": "shop.Till",
        "shop.Till.Lock": "shop.Till",
        "shop.Till.Lock.turn": "shop.Till",
    }


def test_private_names_are_read_when_asked_for(tmp_path):
    files = {"shop.py": SHOP, "_back/room.py": '"""Where the crates stand."""', "app/__main__.py": '"""Run the app."""'}
    folder = write(tmp_path, files)
    everything = set(documents(FromDocstrings(code=(".",), private=True), folder=folder))
    public = set(documents(FromDocstrings(code=(".",)), folder=folder))
    assert everything - public == {"shop._secret", "_back.room", "app.__main__"}


def test_definitions_under_if_and_try_are_read_and_the_first_docstring_of_a_name_stays(tmp_path):
    source = """
import sys
if sys.platform == "win32":
    def where(): ...
elif sys.platform == "mars":
    def where():
        "Which way the red sand lies."
else:
    def where():
        "Which way the sea lies."
try:
    import fast
except ImportError:
    class Slow:
        "It takes its time."
match sys.argv:
    case []:
        def usage():
            "How to call it."
"""
    found = documents(FromDocstrings(code=("m.py",)), folder=write(tmp_path, {"m.py": source}))
    assert {name: d.text.splitlines()[-1] for name, d in found.items()} == {
        "m.where": "Which way the red sand lies.",
        "m.Slow": "It takes its time.",
        "m.usage": "How to call it.",
    }


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"x = 1\ndef broken(:\n", "bad.py:2: invalid syntax"),
        (b"x = '\0'", "bad.py"),
        (b"# coding: klingon\n", "bad.py"),
        (b"'''caf\xe9'''", "bad.py"),
        (b"x = " + b"(" * 20_000, "bad.py"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_dropped_with_its_place(tmp_path, content, detail):
    folder = write(tmp_path, {"bad.py": content, "good.py": SHOP})
    assert len(documents(FromDocstrings(code=(".",)), folder=folder)) == 7
    [(reason, found)] = dropped(FromDocstrings(code=(".",)), folder=folder)
    assert reason == "unreadable_document"
    assert found.startswith(detail)
    assert str(tmp_path) not in found


def test_a_file_that_cannot_be_opened_is_dropped_too_and_its_absolute_path_is_not_told(tmp_path):
    folder = write(tmp_path, {"good.py": SHOP})
    (folder / "gone.py").symlink_to(folder / "nowhere.py")
    assert dropped(FromDocstrings(code=(".",)), folder=folder) == [
        ("unreadable_document", "gone.py: No such file or directory")
    ]


def test_in_a_strict_run_a_file_that_cannot_be_parsed_is_an_error(tmp_path):
    folder = write(tmp_path, {"bad.py": "def broken(:", "good.py": SHOP})
    with pytest.raises(CorpusError, match=r"bad.py:1: invalid syntax; leave the file out with `skip`"):
        outcomes(FromDocstrings(code=(".",)), folder=folder, strict=True)


def test_old_escapes_warn_nobody_and_a_declared_encoding_is_obeyed(tmp_path):
    content = "# coding: latin-1\ndef f():\n    '''Une pomme \\d du marché.'''\n".encode("latin-1")
    found = documents(FromDocstrings(code=("m.py",)), folder=write(tmp_path, {"m.py": content}))
    assert found["m.f"].text == "f()\n\nUne pomme \\d du marché."


def test_what_no_file_can_hold_is_taken_out_of_a_docstring(tmp_path):
    source = 'def f(a="\\ud800"):\n    "Half a \\ud83d pair and a \\x00 byte."\n'
    found = documents(FromDocstrings(code=("m.py",)), folder=write(tmp_path, {"m.py": source}))
    assert found["m.f"].text.encode().decode().endswith("Half a \ufffd pair and a   byte.")


def test_a_docstring_of_fewer_words_than_asked_is_dropped(tmp_path):
    folder = write(tmp_path, {"m.py": 'def f():\n    "Too short."\n\ndef g():\n    "Just long enough."\n'})
    assert list(documents(FromDocstrings(code=("m.py",)), folder=folder)) == ["m.g"]
    assert dropped(FromDocstrings(code=("m.py",)), folder=folder) == [("short_document", "2 words")]
    assert len(documents(FromDocstrings(code=("m.py",), least_words=2), folder=folder)) == 2


def test_equal_docstrings_under_two_names_stay_two_documents_with_ids_of_their_own(tmp_path):
    source = 'def split(p):\n    "Take a path apart."\n'
    rows = outcomes(FromDocstrings(code=(".",)), folder=write(tmp_path, {"nt.py": source, "posix.py": source}))
    assert [row.positive.doc_id for row in rows] == ["nt.split", "posix.split"]
    assert len({row.id for row in rows}) == 2


def test_a_name_that_stands_in_two_files_is_kept_once(tmp_path):
    files = {"a/__init__.py": 'def b():\n    "A function called b."\n', "a/b.py": '"""A module called b."""\n'}
    folder = write(tmp_path, files)
    found = documents(FromDocstrings(code=(".",)), folder=folder)
    assert found["a.b"].meta["kind"] == "function"
    assert dropped(FromDocstrings(code=(".",)), folder=folder) == [("same_name", "a.b stands in another file too")]


def test_files_and_folders_are_skipped_by_name_or_by_path(tmp_path):
    names = ["a/x.py", "a/old.py", "a/tests/t.py", "test/t.py", "b/site-packages/p.py", "b/deep/y.py", "tests.py"]
    folder = write(tmp_path, {name: f'"""This is the file {name}."""' for name in names})

    def read(stage):
        return sorted(d.meta["path"] for d in documents(stage, folder=folder).values())

    assert read(FromDocstrings(code=(".",))) == ["a/old.py", "a/x.py", "b/deep/y.py", "tests.py"]
    assert read(FromDocstrings(code=(".",), skip=("a/*", "b", "tests.*"))) == ["test/t.py"]


def test_what_the_recipe_excludes_is_dropped_and_part_of_what_is_read(tmp_path):
    folder = write(tmp_path, {"shop.py": SHOP, "test.tsv": "query-id\tcorpus-id\tscore\nq1\tshop.price\t1\n"})
    stage = FromDocstrings(code=(".",))
    assert "shop.price" not in documents(stage, folder=folder, exclude=("test.tsv",))
    assert dropped(stage, folder=folder, exclude=("test.tsv",)) == [("excluded", "test.tsv names shop.price")]
    assert reads(stage, folder, "test.tsv") != reads(stage, folder)


def test_rows_come_in_the_order_of_modules_whatever_the_disk_says(tmp_path):
    forth = write(tmp_path / "forth", {"a/z.py": SHOP, "a_b.py": SHOP, "a/b.py": SHOP})
    back = write(tmp_path / "back", {"a/b.py": SHOP, "a_b.py": SHOP, "a/z.py": SHOP})
    first, second = (outcomes(FromDocstrings(code=(".",)), folder=folder) for folder in (forth, back))
    assert first == second
    assert list(dict.fromkeys(row.positive.meta["path"] for row in first)) == ["a/b.py", "a/z.py", "a_b.py"]


def test_a_limit_stops_the_reading_after_so_many_documents(tmp_path):
    folder = write(tmp_path, {"shop.py": SHOP})
    assert list(documents(FromDocstrings(code=(".",)), folder=folder, limit=2)) == ["shop", "shop.price"]


def test_a_folder_or_file_of_a_package_keeps_the_names_it_is_imported_by(tmp_path):
    files = {
        "src/shop/__init__.py": "",
        "src/shop/stock/__init__.py": '"""What we have."""',
        "src/shop/stock/a.py": SHOP,
    }
    folder = write(tmp_path, files)
    assert "shop.stock.a.price" in documents(FromDocstrings(code=("src/shop/stock/a.py",)), folder=folder)
    found = documents(FromDocstrings(code=("src/shop/stock",)), folder=folder)
    assert found["shop.stock"].meta["path"] == "shop/stock/__init__.py"
    assert str(tmp_path) not in str(found)


def test_packages_are_found_by_import_name_and_not_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(write(tmp_path, {"orchard/__init__.py": SHOP, "pear.py": SHOP}))
    found = documents(FromDocstrings(code=("orchard", "pear", "orchard")))
    assert len(found) == 14
    assert {d.meta["path"] for d in found.values()} == {"orchard/__init__.py", "pear.py"}
    assert not {"orchard", "pear"} & set(sys.modules)


def test_a_frozen_module_of_the_standard_library_is_read_from_its_file():
    assert "os.walk" in documents(FromDocstrings(code=("os",)))


def test_the_recipes_corpus_is_read_where_no_code_is_named(tmp_path):
    folder = write(tmp_path, {"project/shop.py": SHOP})
    assert "shop.price" in documents(FromDocstrings(), folder=folder, corpus="./project")
    assert "shop.price" in documents(FromDocstrings(), folder=folder, corpus="project")


@pytest.mark.parametrize("name", ["no_such_package", "./no/such/folder", "scikit-something"])
def test_code_that_is_not_there_is_an_error_that_says_what_to_give(name, tmp_path):
    with pytest.raises(CorpusError, match="give the name it is imported by, a path, or stdlib"):
        outcomes(FromDocstrings(code=(name,)), folder=tmp_path)


@pytest.mark.parametrize("name", ["empty", "notes.txt", "empty/tests", "sys"])
def test_code_without_python_source_is_an_error(name, tmp_path):
    folder = write(tmp_path, {"empty/tests/t.py": SHOP, "notes.txt": "apples"})
    stage = FromDocstrings(code=(name,), skip=("t.py",))
    with pytest.raises(CorpusError, match=f"{name}: no Python source in it, or `skip` leaves it all out"):
        outcomes(stage, folder=folder)


def reads(stage, folder, *exclude):
    return stage.content_read(Context(source=Source(folder=folder, exclude=exclude)))


def test_the_content_it_reads_is_known_by_the_sources_and_nothing_else(tmp_path):
    folder = write(tmp_path, {"shop.py": SHOP, "notes.txt": "apples", "tests/t.py": "x = 1"})
    stage = FromDocstrings(code=(".",))
    before = reads(stage, folder)
    write(folder, {"notes.txt": "pears", "tests/t.py": "x = 2"})
    assert reads(stage, folder) == before
    write(folder, {"shop.py": SHOP + "#"})
    changed = reads(stage, folder)
    assert changed != before
    (folder / "shop.py").rename(folder / "store.py")
    assert reads(stage, folder) not in {before, changed}


def test_source_without_a_usable_docstring_is_an_error(tmp_path):
    with pytest.raises(CorpusError, match=r"m.py: no docstring in it can be used"):
        outcomes(FromDocstrings(code=("m.py",)), folder=write(tmp_path, {"m.py": "x = 1"}))


def test_files_that_cannot_be_parsed_are_told_at_the_end(tmp_path):
    told = []
    source = Source(folder=write(tmp_path, {"a.py": SHOP, "b.py": "(", "c.py": ")"}))
    list(FromDocstrings(code=(".",)).run((), Context(source=source, warn=told.append)))
    assert told == ["source files that cannot be parsed: 2; `synth look RUN --dropped unreadable_document` shows them"]


def test_the_standard_library_gives_thousands_of_documents_and_none_of_its_tests():
    found = documents(FromDocstrings())
    assert len(found) > 3000
    assert found["statistics.median"].text.startswith("median(data)\n\nReturn the median")
    assert not any(Path(d.meta["path"]).is_absolute() for d in found.values())
    assert not any({"test", "idlelib", "site-packages"} & set(Path(d.meta["path"]).parts) for d in found.values())
