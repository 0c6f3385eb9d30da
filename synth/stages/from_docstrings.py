"""Documents out of Python source: the docstrings of functions, classes and modules. Nothing is imported.

    doc_id      difflib.get_close_matches
    title       difflib get close matches
    text        get_close_matches(word, possibilities, n=3, cutoff=0.6)

                Use SequenceMatcher to return list of the best "good enough" matches. …
    parent_id
    meta        {"kind": "function", "path": "difflib.py", "line": 666}

By default it reads the standard library of the Python that runs: a corpus that every machine has. What is written in C
has no source to read, so it has no document.
"""

import ast
import hashlib
import os
import re
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from pydantic import Field

from synth.documents.exclusion import Excluded, excluded, exclusion_files
from synth.documents.record import clean
from synth.errors import CorpusError
from synth.stage import Context, Source, Stage
from synth.types import Document, Dropped, Example, row_id

STDLIB = "stdlib"
NOT_READ = (
    *("test", "tests", "site-packages", "dist-packages", "__pycache__", "config-*"),
    *("distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "tkinter", "turtledemo"),
)
"""Tests, installed packages and build files; then what some systems leave out of the standard library."""

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_WORD_ENDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z][A-Z])(?=[A-Z][a-z])|[._]+")
_FIRST_OF_METHOD = re.compile(r"^(self|cls|mcls|metacls)(, /)?(, |$)")


class FromDocstrings(Stage):
    """Read a document for each docstring in Python source; nothing is imported.

    A method's parent is its class: the two tell of one thing and often answer the same question. What stands side by
    side in a module has no parent: there the near misses are, `mean` beside `median`, that make the hardest negatives.
    """

    code: tuple[str, ...] = Field(
        default=(),
        description="stdlib, import names of packages, folders, files; none: the recipe's corpus, or else stdlib",
    )
    skip: tuple[str, ...] = Field(
        default=NOT_READ, description="files and folders not to read, by name or path (test*, json/tool.py)"
    )
    least_words: int = Field(default=3, ge=1, description="shortest docstring, in words")
    private: bool = Field(default=False, description="read names that begin with an underscore too")
    language: str = Field(default="en", description="the language the docstrings are written in")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Give a row without a query for each docstring, in the order of modules and lines.

        What the recipe's `exclude` names is dropped. Raises CorpusError for code that is not there or has no docstring
        and, where the run is strict, for a file that cannot be parsed.
        """
        del rows
        fates: Counter[str] = Counter()
        for outcome in self._outcomes(ctx):
            fates[outcome.reason if isinstance(outcome, Dropped) else "kept"] += 1
            yield outcome
            if fates["kept"] == ctx.source.limit:
                break
        if not fates["kept"]:
            raise CorpusError(f"from_docstrings: {', '.join(self._named(ctx.source))}: no docstring in it can be used")
        if n := fates["unreadable_document"]:
            ctx.warn(
                f"source files that cannot be parsed: {n}; `synth look RUN --dropped unreadable_document` shows them"
            )

    def content_read(self, ctx: Context) -> str:
        """A hash of the source files, by name and bytes, of the parser, and of the files that `exclude` names."""
        digest = hashlib.blake2b("{}.{}".format(*sys.version_info).encode(), digest_size=16)
        read = [(file.module, file.place, file.path) for file in self._files(ctx.source)]
        for module, place, path in (*read, *(("", file.name, file.path) for file in exclusion_files(ctx.source))):
            raw = _bytes(path)
            digest.update(f"{module}\0{place}\0{len(raw)}\0".encode("utf-8", "surrogatepass") + raw)
        return digest.hexdigest()

    def _outcomes(self, ctx: Context) -> Iterator[Example | Dropped]:
        out, seen = excluded(ctx.source), set[str]()
        for file in self._files(ctx.source):
            try:
                found = _docstrings(file, self.private)
            except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
                yield _unreadable(file, error, ctx)
                continue
            for docstring in found:
                row = self._row(docstring, file, ctx)
                reason, detail = self._fault(docstring, seen, out)
                seen.add(docstring.name)
                yield Dropped(row, reason, detail) if reason else row

    def _row(self, found: "_Docstring", file: "_File", ctx: Context) -> Example:
        meta = {"kind": found.kind, "path": file.place, "line": found.line}
        document = Document(found.document, found.name, _as_words(found.name), found.parent, self.language, meta=meta)
        born = row_id(ctx.step or "from_docstrings", 0, document.text, [found.name, file.place])
        return Example(id=born, positives=(document,), language=self.language)

    def _fault(self, found: "_Docstring", seen: Set[str], out: Excluded) -> tuple[str, str]:
        """Why a docstring is dropped, as a slug and in words; two empty texts where it is kept."""
        if found.name in seen:
            return "same_name", f"{found.name} stands in another file too"
        if why := out.why([found.name], found.document):
            return "excluded", why
        n = len(found.text.split())
        return ("short_document", f"{n} words") if n < self.least_words else ("", "")

    def _named(self, source: Source) -> tuple[str, ...]:
        return self.code or (source.corpus or STDLIB,)

    def _files(self, source: Source) -> Iterator["_File"]:
        """The source files, each once: one named code after the other, each in the order of its modules."""
        seen: set[Path] = set()
        for name in self._named(source):
            files = [file for top in _tops(name, source) for file in self._files_under(top)]
            if not files:
                raise CorpusError(f"from_docstrings: {name}: no Python source in it, or `skip` leaves it all out")
            for file in sorted(files, key=lambda file: (file.module, file.place)):
                if file.path not in seen:
                    seen.add(file.path)
                    yield file

    def _files_under(self, top: Path) -> Iterator["_File"]:
        base = _import_folder(top)
        for path in _walk(top, base, self.skip):
            place = path.relative_to(base)
            parts = [part for part in place.with_suffix("").parts if part != "__init__"]
            if parts and (self.private or not any(part.startswith("_") for part in parts)):
                yield _File(path, place.as_posix(), ".".join(parts))


@dataclass(frozen=True, slots=True)
class _File:
    """A source file, its path relative to the folder it would be imported from, and the module it would be there."""

    path: Path
    place: str
    module: str


@dataclass(frozen=True, slots=True)
class _Docstring:
    """A docstring as it was found, and what it stands in."""

    name: str
    kind: str
    parent: str
    line: int
    signature: str
    text: str

    @property
    def document(self) -> str:
        """The text of its document."""
        return f"{self.signature}\n\n{self.text}" if self.signature else self.text


def _tops(name: str, source: Source) -> list[Path]:
    """The folders and files that one entry of `code` names. An import name comes before a path of the same name."""
    if name == STDLIB:
        return [Path(sysconfig.get_path("stdlib"))]
    tops = _package(name) if name.isidentifier() else []
    path = source.path_of(name)
    if not tops and not path.exists():
        raise CorpusError(
            f"from_docstrings: no package that is installed here and no folder or file is called {name!r}; "
            "give the name it is imported by, a path, or stdlib"
        )
    return tops or [path.resolve()]


def _package(name: str) -> list[Path]:
    """Where a package or module of this import name lies; found, not imported. Empty where there is none."""
    try:
        spec = PathFinder.find_spec(name) or find_spec(name)
    except ValueError:  # a module in memory that came from no file, such as __main__
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return sorted(Path(place) for place in spec.submodule_search_locations)
    return [Path(spec.origin)] if spec.origin else []


def _import_folder(top: Path) -> Path:
    """The folder that `top` is imported from: above the outermost package; a folder that is no package itself."""
    folder = top if top.is_dir() else top.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _walk(top: Path, base: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """The .py files in a folder, or the file itself. A folder that is skipped is not entered, a link not followed."""
    if top.is_file():
        yield from (top,) if top.suffix == ".py" else ()
        return
    for folder, folders, files in os.walk(top):
        here = Path(folder)
        folders[:] = [name for name in folders if not _skipped((here / name).relative_to(base), patterns)]
        for name in files:
            if name.endswith(".py") and not _skipped((here / name).relative_to(base), patterns):
                yield here / name


def _skipped(place: Path | PurePosixPath, patterns: Sequence[str]) -> bool:
    """True where a pattern fits the last name of a path, or all of it.

    >>> _skipped(PurePosixPath("json/tool.py"), ["json/*"]), _skipped(PurePosixPath("a/test_x.py"), ["test"])
    (True, False)
    """
    return any(fnmatchcase(place.name, pattern) or fnmatchcase(place.as_posix(), pattern) for pattern in patterns)


def _docstrings(file: _File, private: bool) -> list[_Docstring]:
    """All that a file documents, from top to bottom; of several definitions of one name, the first with a docstring."""
    with warnings.catch_warnings(action="ignore"):  # of old escapes in somebody's strings
        tree = ast.parse(file.path.read_bytes())
    found: dict[str, _Docstring] = {}
    if text := clean(ast.get_docstring(tree) or ""):
        found[file.module] = _Docstring(file.module, "module", "", 1, "", text)
    for name, parent, node in _definitions(tree, file.module, "", private):
        if text := clean(ast.get_docstring(node) or ""):
            signature = clean(_signature(node, is_method=bool(parent)))
            found.setdefault(name, _Docstring(name, _kind(node, parent), parent, node.lineno, signature, text))
    return list(found.values())


def _definitions(node: ast.AST, prefix: str, parent: str, private: bool) -> Iterator[tuple[str, str, _Definition]]:
    """Name, outermost class and node of each definition, under `if` and `try` too, but not inside of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Definition):
            if private or not child.name.startswith("_"):
                name = f"{prefix}.{child.name}"
                yield name, parent, child
                if isinstance(child, ast.ClassDef):
                    yield from _definitions(child, name, parent or name, private)
        elif isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _definitions(child, prefix, parent, private)


def _kind(node: _Definition, parent: str) -> str:
    if isinstance(node, ast.ClassDef):
        return "class"
    return "method" if parent else "function"


def _signature(node: _Definition, *, is_method: bool) -> str:
    """How it is written in its definition, without `self`.

    >>> _signature(ast.parse("def split(self, s, most=-1) -> list: ...").body[0], is_method=True)
    'split(s, most=-1) -> list'
    """
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    arguments = ast.unparse(node.args)
    if is_method:
        arguments = _FIRST_OF_METHOD.sub("", arguments)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{node.name}({arguments}){returns}"


def _as_words(name: str) -> str:
    """A qualified name as words: a word of a question can meet a word of a name.

    >>> [_as_words(name) for name in ("difflib.get_close_matches", "html.parser.HTMLParser", "ipaddress.IPv4Address")]
    ['difflib get close matches', 'html parser HTML Parser', 'ipaddress IPv4 Address']
    """
    return _WORD_ENDS.sub(" ", name).strip()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _unreadable(file: _File, error: Exception, ctx: Context) -> Dropped:
    """The row of a file that cannot be read or parsed; a CorpusError where the run is strict."""
    line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
    fault = (error.msg if isinstance(error, SyntaxError) else getattr(error, "strerror", None)) or str(error)
    detail = f"{file.place}{line}: {fault or type(error).__name__}"
    if ctx.source.strict:
        raise CorpusError(f"{detail}; leave the file out with `skip`, or run without --strict") from error
    born = row_id(ctx.step or "from_docstrings", 0, detail, [file.place])
    meta = {"path": file.place}
    return Dropped(
        Example(id=born, positives=(Document("", file.place, meta=meta),), meta=meta), "unreadable_document", detail
    )
