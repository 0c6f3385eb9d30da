"""BEIR folders, read as test sets and written from rows: documents, queries, and which document answers which query.

    questions/corpus.jsonl      {"_id": "os.path.split", "title": "os.path.split", "text": "Split the path …"}
    questions/queries.jsonl     {"_id": "q1", "text": "how do I take the file name off a path"}
    questions/qrels/test.tsv    query-id    corpus-id    score
                                q1          os.path.split    1

`corpus.jsonl` may be absent: then the documents of the run itself are searched.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TextIO

from synth.errors import CorpusError, did_you_mean
from synth.types import Document, Example

HEADER = "query-id, corpus-id and score, separated by tabs"
DEFAULT_SPLIT = "test"


@dataclass(frozen=True, slots=True)
class TestSet:
    """Queries with judged documents. `qrels[query_id][doc_id]` is a grade; above 0 is relevant.

    Only queries with a relevant document in this split are here. `documents` is None where the folder holds no corpus.
    `left_out` are the ids of queries that were taken out, since a model was shown them.
    """

    __test__: ClassVar[bool] = False  # pytest would take the class for a test

    name: str
    split: str
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]
    documents: tuple[Document, ...] | None = None
    left_out: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What a table calls it: the folder's name, with the split where that is not `test`."""
        return self.name if self.split == DEFAULT_SPLIT else f"{self.name}:{self.split}"


def read(folder: Path | str, split: str | None = None) -> TestSet:
    """The test set in a BEIR folder; `folder:dev` names a split too. Default: `test`, or the only split there is.

    Raises CorpusError for what is missing, empty or unreadable, and for qrels that name unknown queries or documents.
    """
    place, named = _place(folder)
    chosen = _qrels_file(place, split or named)
    all_queries = _queries(_there(place / "queries.jsonl"))
    documents = _documents(place / "corpus.jsonl") if (place / "corpus.jsonl").exists() else None
    qrels = _qrels(chosen, all_queries, None if documents is None else {d.doc_id for d in documents})
    queries = {query_id: all_queries[query_id] for query_id in qrels}
    return TestSet(_name(place), chosen.stem, queries, qrels, documents)


def splits(folder: Path | str) -> list[str]:
    """The names of the splits that a BEIR folder has judgements for, sorted."""
    return sorted(path.stem for path in Path(folder).glob("qrels/*.tsv"))


def _place(folder: Path | str) -> tuple[Path, str | None]:
    """The folder and the split of `folder:split`; a folder that is really called so comes first."""
    path = Path(folder).expanduser()
    front, colon, split = str(path).rpartition(":")
    if path.is_dir() or not colon or "/" in split:
        front, split = str(path), ""
    if not Path(front).is_dir():
        raise CorpusError(f"{front}: no such folder; a test set is a folder with queries.jsonl and qrels/*.tsv")
    return Path(front), split or None


def _name(place: Path) -> str:
    """The folder's own name, also where it was given as `.`."""
    return place.resolve().name


def _there(path: Path) -> Path:
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; a test set holds queries.jsonl and qrels/*.tsv (and corpus.jsonl)")
    return path


def _qrels_file(place: Path, split: str | None) -> Path:
    found = splits(place)
    if not found:
        raise CorpusError(f"{place}: no judgements; put them into qrels/test.tsv, with the columns {HEADER}")
    if split is None:
        if DEFAULT_SPLIT not in found and len(found) > 1:
            raise CorpusError(f"{place}: which split? found {', '.join(found)}; say {place}:{found[0]}")
        split = DEFAULT_SPLIT if DEFAULT_SPLIT in found else found[0]
    if split not in found:
        raise CorpusError(f"{place}: no split {split!r}; found {', '.join(found)}{did_you_mean(split, found)}")
    return place / "qrels" / f"{split}.tsv"


def _text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines that are not blank, each with its place; a CorpusError where one is no UTF-8."""
    number = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise CorpusError(f"{path}:{number}: not UTF-8 ({error.reason}); save the file as UTF-8") from error
            if line.strip():
                yield f"{path}:{number}", line.rstrip("\r\n")


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The JSON objects of a file, each with its place."""
    for spot, line in _text_lines(path):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise CorpusError(f"{spot}: not JSON ({error}); each line must be one JSON object") from error
        if not isinstance(value, dict):
            raise CorpusError(f"{spot}: found {type(value).__name__}, expected a JSON object on each line")
        yield spot, value


def _id(line: Mapping[str, Any], spot: str) -> str:
    value = line.get("_id")
    if value is None or str(value).strip() == "":
        raise CorpusError(f"{spot}: no `_id`; found {', '.join(map(str, line)) or 'nothing'}; each line needs one")
    return str(value)


def _text(line: Mapping[str, Any], spot: str, key: str = "text") -> str:
    value = line.get(key)
    if not isinstance(value, str):
        raise CorpusError(f"{spot}: `{key}` must be a text; found {json.dumps(value, ensure_ascii=False)[:60]}")
    return value


def _queries(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for spot, line in _lines(path):
        text = _text(line, spot)
        if found.setdefault(_id(line, spot), text) != text:
            raise CorpusError(f"{spot}: `_id` {_id(line, spot)!r} stands twice with other text; give each its own")
    return found


def _documents(path: Path) -> tuple[Document, ...]:
    found: dict[str, Document] = {}
    for spot, line in _lines(path):
        title = _text(line, spot, "title") if line.get("title") is not None else ""
        document = Document(_text(line, spot), doc_id=_id(line, spot), title=title)
        if found.setdefault(document.doc_id, document) != document:
            raise CorpusError(f"{spot}: `_id` {document.doc_id!r} stands twice with other text; give each its own")
    if not found:
        raise CorpusError(f"{path}: no documents; fill it, or take it away to search the documents of the run")
    return tuple(found.values())


def _judgements(path: Path) -> Iterator[tuple[str, str, str, int]]:
    """Place, query, document and grade of each line; a header is passed over."""
    for spot, line in _text_lines(path):
        parts = line.split("\t")
        if len(parts) != 3 or not all(part.strip() for part in parts):
            raise CorpusError(f"{spot}: found {len(parts)} columns in {line[:60]!r}; expected {HEADER}")
        grade = _whole(parts[2])
        if grade is not None:
            yield spot, parts[0], parts[1], grade
        elif spot != f"{path}:1":
            raise CorpusError(f"{spot}: the score must be a whole number, not {parts[2]!r}")


def _whole(text: str) -> int | None:
    """The whole number that a text says, also as `1.0`; None where it says none.

    >>> _whole("1.0"), _whole("score"), _whole("nan"), _whole("0.5")
    (1, None, None, None)
    """
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _qrels(path: Path, queries: Mapping[str, str], documents: set[str] | None) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for spot, query_id, doc_id, grade in _judgements(path):
        if query_id not in queries:
            raise CorpusError(f"{spot}: unknown query {query_id!r}; all queries of the qrels must be in queries.jsonl")
        if documents is not None and doc_id not in documents:
            raise CorpusError(
                f"{spot}: unknown document {doc_id!r}; all documents of the qrels must be in corpus.jsonl"
            )
        qrels.setdefault(query_id, {})[doc_id] = grade
    judged = {query_id: grades for query_id, grades in qrels.items() if max(grades.values()) > 0}
    if not judged:
        raise CorpusError(f"{path}: no query has a relevant document; each needs a line with a score above 0")
    return judged


def write(
    splits: Mapping[str, Sequence[Iterable[Example]]], folder: Path, right: Callable[[Example], Sequence[Document]]
) -> dict[str, int]:
    """Write rows as a BEIR folder: each row a query, its `right` documents relevant, all its documents in the corpus.

    `splits` are parts that are read twice, in their order; `folder` is there and empty.

    Rows without a right document are left out. A document stands once. Where one id has several texts, as the passages
    that queries were cut out of have, the longest keeps the id and the others get a mark of their text behind it.
    Returns the numbers of documents, queries and judgements, and of the rows left out.
    """
    (folder / "qrels").mkdir()
    names = _Names(row for parts in splits.values() for part in parts for row in part)
    counts = Counter({"documents": 0, "queries": 0, "qrels": 0, "no_positive": 0})
    with _writable(folder / "corpus.jsonl") as corpus, _writable(folder / "queries.jsonl") as queries:
        for split, parts in splits.items():
            with _writable(folder / "qrels" / f"{split}.tsv") as qrels:
                qrels.write("query-id\tcorpus-id\tscore\n")
                for row in chain.from_iterable(parts):
                    counts.update(_write_row(row, right(row), names, _Files(corpus, queries, qrels)))
    return dict(counts)


class _Files(NamedTuple):
    corpus: TextIO
    queries: TextIO
    qrels: TextIO


def _write_row(row: Example, right: Sequence[Document], names: "_Names", files: _Files) -> dict[str, int]:
    """Write what is new of one row; what was written."""
    found = dict.fromkeys(names.of(document) for document in right)
    if not found:
        return {"no_positive": 1}
    new = names.untold((*row.positives, *row.negatives))
    files.corpus.writelines(map(_line, new))
    files.queries.write(_line({"_id": row.id, "text": row.query}))
    files.qrels.writelines(f"{row.id}\t{name}\t1\n" for name in found)
    return {"documents": len(new), "queries": 1, "qrels": len(found)}


class _Names:
    """What each document is called in a folder where an id may stand for one text only."""

    def __init__(self, rows: Iterable[Example]) -> None:
        self._longest: dict[str, tuple[int, str]] = {}
        self._told: set[str] = set()
        for row in rows:
            for document in (*row.positives, *row.negatives):
                size = (len(document.full_text), _mark(document))
                if size > self._longest.get(document.doc_id, (-1, "")):
                    self._longest[document.doc_id] = size

    def of(self, document: Document) -> str:
        """Its id; with a mark of its text where a longer text has the same id, or where no id can stand in a table."""
        mark = _mark(document)
        usable = document.doc_id if document.doc_id.isprintable() else ""
        if usable and self._longest[usable][1] == mark:
            return usable
        return f"{usable or 'text'}#{mark}"

    def untold(self, documents: Iterable[Document]) -> list[dict[str, str]]:
        """The lines of those documents that were not asked for before."""
        new = {name: d for d in documents if (name := self.of(d)) not in self._told}
        self._told.update(new)
        return [{"_id": name, "title": document.title, "text": document.text} for name, document in new.items()]


def _mark(document: Document) -> str:
    content = f"{document.title}\0{document.text}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def _line(value: Mapping[str, str]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _writable(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", newline="\n")
