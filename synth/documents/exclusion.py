"""Documents of a test set that nothing may be made from: named by their ids, known again by their texts too.

exclude:
  - ./my-test-set                     a BEIR folder: the documents that answer a query of any of its qrels
  - ./my-test-set:test                the same of one split
  - ./my-test-set/corpus.jsonl        documents: all of them
  - ./my-test-set/qrels/test.tsv      judgements: the documents that answer a query (score above 0), by id
  - ./not-these.txt                   an id a line; a file's id is its path in the corpus

A document whose text is given is known by that too, where another corpus calls it otherwise: by the same text, a near
copy, or a passage of 13 words.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from synth.contamination import Closeness, References
from synth.documents.files import BEIR, CorpusFile, kind_of, read_text
from synth.documents.record import Columns, Fault, Record, clean
from synth.documents.tables import read_table
from synth.errors import CorpusError, did_you_mean
from synth.stage import Source

QRELS = "corpus-id"


class _Copied(NamedTuple):
    """A document that is excluded, as the file calls it, with its text."""

    file: str
    doc_id: str
    text: str


@dataclass(frozen=True)
class Excluded:
    """What is excluded: ids with the file that names each, and hashes of texts as they count for equality.

    `documents` are those whose text is known; `copies` what `compare` found of them.
    """

    ids: dict[str, str]
    texts: dict[bytes, str]
    documents: Sequence[_Copied] = ()
    copies: dict[bytes, str] = field(default_factory=dict)

    def compare(self, texts: Sequence[str]) -> None:
        """Look for near copies and passages among texts that `why` is soon asked about; earlier ones are forgotten."""
        self.copies.clear()
        if not self.documents:
            return
        for text, match in zip(texts, self._index.find(texts), strict=True):
            if match is not None:
                found = self.documents[match.number]
                self.copies[text_hash(text)] = f"{found.file} holds {found.doc_id}, which it repeats: {match.how}"

    def why(self, doc_ids: Iterable[str], text: str) -> str:
        """Why a document that goes by these ids is excluded; "" where it is not."""
        for doc_id in doc_ids:
            if doc_id in self.ids:
                return f"{self.ids[doc_id]} names {doc_id}"
        if not self.texts:
            return ""
        known = text_hash(text)
        if found := self.texts.get(known):
            return f"{found} holds the same text"
        return self.copies.get(known, "")

    @cached_property
    def _index(self) -> References:
        return References([each.text for each in self.documents], Closeness(edits=0))


def text_hash(text: str) -> bytes:
    """The hash of a text as it counts for equality: in any case, with any spaces and punctuation."""
    from synth.resemblance import folded

    return hashlib.blake2b(folded(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def excluded(source: Source) -> Excluded:
    """All that a recipe's `exclude` names. Raises CorpusError for a file that is missing or of no such kind."""
    ids: dict[str, str] = {}
    texts: dict[bytes, str] = {}
    documents: list[_Copied] = []
    for name in source.exclude:
        for doc_id, text in _named(name, source):
            ids.setdefault(doc_id, name)
            if text:
                texts.setdefault(text_hash(text), name)
                documents.append(_Copied(name, doc_id, text))
    return Excluded(ids, texts, documents)


def exclusion_files(source: Source) -> list[CorpusFile]:
    """The files that `exclude` names, those of folders too. Raises CorpusError as `excluded` does."""
    return [file for name in source.exclude for file in _files(name, source)]


def exclusion_hash(source: Source) -> str:
    """A hash of the bytes of those files, and of how they are compared with a corpus."""
    digest = hashlib.blake2b(b"near copies and passages", digest_size=16)
    for file in exclusion_files(source):
        digest.update(file.name.encode("utf-8", "surrogatepass") + b"\0" + file_hash(file))
    return digest.hexdigest()


def file_hash(file: CorpusFile) -> bytes:
    """The hash of a file's bytes, 16 of them. Raises CorpusError where it cannot be read."""
    try:
        with file.path.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError as error:
        raise CorpusError(f"{file.path}: cannot be read: {error.strerror}") from error


class BeirFolder(NamedTuple):
    """The files of a test set; `qrels` are those of the split that was named, or all."""

    queries: CorpusFile | None
    corpus: CorpusFile | None
    qrels: tuple[CorpusFile, ...]
    split: str


def beir_folder(name: str, source: Source) -> BeirFolder | None:
    """The test set in a folder, or in `folder:split`; None for what is no folder.

    Raises CorpusError where the folder has no such split.
    """
    path, split = source.path_of(name), ""
    if not path.is_dir() and ":" in path.name:
        path, split = path.with_name(path.name.rpartition(":")[0]), path.name.rpartition(":")[2]
    if not path.is_dir():
        return None
    found = sorted(each for each in path.glob("qrels/*.tsv"))
    qrels = [CorpusFile(each, f"{path.name}/qrels/{each.name}", "csv") for each in found if split in ("", each.stem)]
    if split and not qrels:
        known = [each.stem for each in found]
        raise CorpusError(f"{name}: no split {split!r}; found {', '.join(known) or 'none'}{did_you_mean(split, known)}")
    queries = _first_there(path, ("queries.jsonl", "queries.jsonl.gz"))
    return BeirFolder(queries, _first_there(path, BEIR), tuple(qrels), split)


def _first_there(folder: Path, names: Sequence[str]) -> CorpusFile | None:
    there = (folder / name for name in names if (folder / name).is_file())
    return next((CorpusFile(path, f"{folder.name}/{path.name}", "jsonl") for path in there), None)


def judgements(file: CorpusFile, place: str) -> Iterator[tuple[str, str, bool]]:
    """Query, document, and whether it is relevant, of each line of qrels. Raises CorpusError, which names `place`."""
    for row in _rows(file, place):
        if len(row) == 3 and row[1] != QRELS:
            yield clean(row[0]), clean(row[1]), _is_relevant(row[2])


def _files(name: str, source: Source) -> list[CorpusFile]:
    folder = beir_folder(name, source)
    if folder is None:
        return [_file(name, source)]
    return [*_qrels(name, folder), *([folder.corpus] if folder.corpus else [])]


def _qrels(name: str, folder: BeirFolder) -> tuple[CorpusFile, ...]:
    if not folder.qrels:
        raise CorpusError(
            f"exclude {name}: a folder without qrels/*.tsv, which would say what is relevant; name its corpus.jsonl "
            "to exclude all of it"
        )
    return folder.qrels


def _file(name: str, source: Source) -> CorpusFile:
    path = source.path_of(name)
    if not path.is_file():
        raise CorpusError(
            f"exclude {name}: no such file; name a BEIR folder, a corpus.jsonl, a qrels/*.tsv or a .txt with an id "
            "a line"
        )
    kind = kind_of(path.name)
    if kind not in {"jsonl", "csv", "parquet", "text"}:
        raise CorpusError(f"exclude {name}: expected documents (.jsonl .csv .parquet), qrels (.tsv) or ids (.txt)")
    return CorpusFile(path, path.name, kind)


def _named(name: str, source: Source) -> Iterator[tuple[str, str]]:
    """The ids in a file or folder, with their texts where it has them."""
    folder = beir_folder(name, source)
    if folder is None:
        yield from _named_in(name, _file(name, source))
        return
    judged = (line for file in _qrels(name, folder) for line in judgements(file, f"exclude {name}"))
    relevant = {doc_id: "" for _, doc_id, is_relevant in judged if is_relevant}
    yield from relevant.items()
    if folder.corpus is not None:
        yield from (each for each in _documents(folder.corpus) if each[0] in relevant)


def _named_in(name: str, file: CorpusFile) -> Iterator[tuple[str, str]]:
    """The ids in a file, with their texts where it has them."""
    if file.kind == "text" or file.name.lower().endswith(".tsv"):
        rows = _rows(file, f"exclude {name}")
        is_qrels = file.kind != "text" and (QRELS in rows[0] or len(rows[0]) == 3) if rows else False
        if is_qrels:
            yield from ((doc_id, "") for _, doc_id, relevant in judgements(file, f"exclude {name}") if relevant)
            return
        if file.kind == "text":
            yield from ((clean("\t".join(row)), "") for row in rows)
            return
    yield from _documents(file)


def _documents(file: CorpusFile) -> Iterator[tuple[str, str]]:
    """The documents of a table. Raises CorpusError for one that cannot be read."""
    for found in read_table(file, Columns()):
        if not isinstance(found, Record):
            raise CorpusError(f"exclude {found.place}: {found.fault}")
        yield found.doc_id, found.text


def _is_relevant(score: str) -> bool:
    """True unless the score is 0 or less; what is no number counts as relevant, so that nothing slips through."""
    try:
        return float(score) > 0
    except ValueError:
        return True


def _rows(file: CorpusFile, place: str) -> list[list[str]]:
    """The lines that are not blank, cut at their tabs."""
    try:
        return [line.split("\t") for line in read_text(file, "utf-8").splitlines() if line.strip()]
    except Fault as fault:
        raise CorpusError(f"{place}: {fault}") from fault
