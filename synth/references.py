"""Evaluation data that rows are held against, read as queries and documents.

against:
  - ./scifact                     a BEIR folder: the queries of queries.jsonl, the documents of corpus.jsonl
  - ./nfcorpus:test               only the queries that qrels/test.tsv judges, and all documents
  - hf://owner/name/config:split  a dataset on the Hub
  - ./questions.csv               a table (.jsonl .csv .tsv .parquet)
  - ./questions.txt               a text a line

The texts of a table or dataset are taken for queries, unless it is called `corpus`. Of its columns `query`, `question`,
`anchor`, `sentence1` and `sentence2` are read where they are there, else its text, by the usual names for one.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from synth.documents.exclusion import beir_folder, file_hash, judgements
from synth.documents.files import CorpusFile, kind_of, read_text
from synth.documents.hub import SCHEME, parse, read_hub, revision_of
from synth.documents.record import Columns, Fault, Record, Unreadable
from synth.documents.tables import MissingColumn, read_table
from synth.errors import CorpusError, RecipeError
from synth.stage import Source

QUERY_COLUMNS = ("query", "question", "anchor", "sentence1", "sentence2")
MOST_QUOTED = 80
"""Characters of a reference that are ever shown."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A text of an evaluation: the file or dataset it stands in, its id there, and what it is."""

    text: str
    place: str
    ref_id: str
    is_document: bool = False

    def __str__(self) -> str:
        """What a reason says of it: where it stands, and how it begins."""
        shown = " ".join(self.text.split())
        beginning = shown if len(shown) <= MOST_QUOTED else f"{shown[:MOST_QUOTED]}…"
        return f"{self.place} {self.ref_id} “{beginning}”"


@dataclass(frozen=True, slots=True)
class Evaluations:
    """What a step is told to hold rows against; `documents` says whether documents count, or queries alone.

    `columns` are the ones of tables that hold the texts, where they are not to be found by their names.
    """

    source: Source
    against: Sequence[str]
    documents: bool = True
    columns: Sequence[str] = ()

    def read(self, warn: Callable[[str], None]) -> list[Reference]:
        """All references. Raises RecipeError for what is not there, CorpusError for what cannot be read."""
        return [reference for part in self._parts(warn) for reference in self._references(part) if reference.text]

    def content_hash(self) -> str:
        """A hash of all that is read: bytes of files, commits of datasets.

        Raises as `read` does for what is not there or has no such column; of what a file holds it reads the first text.
        """
        digest = hashlib.blake2b(digest_size=16)
        for part in self._parts(_unheard):
            if part.file is not None:
                next(self._references(part), None)
            said = revision_of(part.name).encode() if part.file is None else file_hash(part.file)
            digest.update(f"{part.name}\0{part.is_document}\0".encode("utf-8", "surrogatepass") + said + b"\0")
            for file in part.judged_by:
                digest.update(file_hash(file))
        return digest.hexdigest()

    def _parts(self, warn: Callable[[str], None]) -> list["_Part"]:
        return [part for name in self.against for part in self._parts_of(name, warn)]

    def _parts_of(self, name: str, warn: Callable[[str], None]) -> list["_Part"]:
        """The files that an entry stands for, or the dataset."""
        if name.startswith(SCHEME):
            dataset = parse(name)
            return self._counted([_Part(name, None, "corpus" in (dataset.config, dataset.split))])
        folder = beir_folder(name, self.source)
        if folder is None:
            return self._counted([_table(name, self.source)])
        if folder.queries is None and (folder.corpus is None or not self.documents):
            raise RecipeError(
                f"against {name}: no queries.jsonl in this folder; expected a BEIR folder (queries.jsonl, "
                "qrels/*.tsv, corpus.jsonl), a table, a list of texts (.txt) or hf://owner/name"
            )
        parts = []
        if folder.queries is None:
            warn(f"against {name}: no queries.jsonl in this folder, so documents alone are checked")
        else:
            parts = [_Part(folder.queries.name, folder.queries, False, folder.qrels if folder.split else ())]
        if folder.corpus is not None:
            parts.append(_Part(folder.corpus.name, folder.corpus, True))
        return self._counted(parts)

    def _counted(self, parts: list["_Part"]) -> list["_Part"]:
        return [part for part in parts if self.documents or not part.is_document]

    def _references(self, part: "_Part") -> Iterator[Reference]:
        if part.file is not None and part.file.kind == "text":
            for number, line in enumerate(_lines(part), 1):
                yield Reference(line.strip(), part.name, str(number))
            return
        judged = {query for file in part.judged_by for query, _, _ in judgements(file, f"against {file.name}")}
        for found in self._records(part):
            if isinstance(found, Record) and (not part.judged_by or found.doc_id in judged):
                title = found.sections[0].title if part.is_document else ""
                yield Reference(f"{title}\n{found.text}".strip(), part.name, found.doc_id, part.is_document)
            elif isinstance(found, Unreadable) and found.reason != "empty_document":
                raise CorpusError(f"against {found.place}: {found.fault}")

    def _records(self, part: "_Part") -> Iterator[Record | Unreadable]:
        """The records of a table or dataset: one for each of its columns of queries, else for its column of text."""
        if self.columns:
            for name in self.columns:
                yield from part.read(Columns(text=name))
            return
        found = False
        for name in () if part.is_document else QUERY_COLUMNS:
            records = part.read(Columns(text=name))
            try:
                first = next(records, None)
            except MissingColumn:
                continue
            if first is not None:
                found = True
                yield from chain([first], records)
        if not found:
            yield from self._text_column(part)

    def _text_column(self, part: "_Part") -> Iterator[Record | Unreadable]:
        try:
            yield from part.read(Columns())
        except MissingColumn as error:
            said = str(error).rpartition(": set `text_column`")[0] or str(error)
            raise RecipeError(f"against {said}: set `columns` to those that hold its texts") from error


@dataclass(frozen=True, slots=True)
class _Part:
    """One file or dataset; `judged_by` are the qrels without which none of its queries counts."""

    name: str
    file: CorpusFile | None
    is_document: bool
    judged_by: tuple[CorpusFile, ...] = ()

    def read(self, columns: Columns) -> Iterator[Record | Unreadable]:
        """Its records. Raises MissingColumn where it has no such column."""
        return read_hub(self.name, columns) if self.file is None else read_table(self.file, columns)


def _table(name: str, source: Source) -> _Part:
    path = source.path_of(name)
    if not path.is_file():
        raise RecipeError(f"against {name}: no such file or folder; a path is relative to the recipe")
    kind = "jsonl" if path.suffix.lower() == ".json" else kind_of(path.name)
    if kind not in {"jsonl", "csv", "parquet", "text"}:
        raise RecipeError(f"against {name}: expected a BEIR folder, a table (.jsonl .csv .parquet) or a list (.txt)")
    return _Part(path.name, CorpusFile(path, path.name, kind), path.name.startswith("corpus."))


def _lines(part: _Part) -> list[str]:
    if part.file is None:
        return []
    try:
        return read_text(part.file, "utf-8").splitlines()
    except Fault as fault:
        raise CorpusError(f"against {part.name}: {fault}") from fault


def _unheard(text: str) -> None:
    del text
