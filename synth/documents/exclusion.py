"""Documents of a test set that nothing may be made from: named by their ids, known again by their texts too.

exclude:
  - ./my-test-set/corpus.jsonl        documents: known by id, and by text where another corpus calls them otherwise
  - ./my-test-set/qrels/test.tsv      judgements: the documents that answer a query (score above 0)
  - ./not-these.txt                   an id a line; a file's id is its path in the corpus
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from synth.documents.files import CorpusFile, kind_of, read_text
from synth.documents.record import Columns, Fault, Record, clean
from synth.documents.tables import read_table
from synth.errors import CorpusError
from synth.stage import Source

QRELS = "corpus-id"


@dataclass(frozen=True, slots=True)
class Excluded:
    """What is excluded: ids with the file that names each, and hashes of texts as they count for equality."""

    ids: dict[str, str]
    texts: dict[bytes, str]

    def why(self, doc_ids: Iterable[str], text: str) -> str:
        """Why a document that goes by these ids is excluded; "" where it is not."""
        for doc_id in doc_ids:
            if doc_id in self.ids:
                return f"{self.ids[doc_id]} names {doc_id}"
        if self.texts and (found := self.texts.get(text_hash(text))):
            return f"{found} holds the same text"
        return ""


def text_hash(text: str) -> bytes:
    """The hash of a text as it counts for equality: in any case, with any spaces and punctuation."""
    from synth.resemblance import folded

    return hashlib.blake2b(folded(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def excluded(source: Source) -> Excluded:
    """All that a recipe's `exclude` names. Raises CorpusError for a file that is missing or of no such kind."""
    ids: dict[str, str] = {}
    texts: dict[bytes, str] = {}
    for name in source.exclude:
        for doc_id, text in _named_in(name, _file(name, source)):
            ids.setdefault(doc_id, name)
            if text:
                texts.setdefault(text_hash(text), name)
    return Excluded(ids, texts)


def exclusion_files(source: Source) -> list[CorpusFile]:
    """The files that `exclude` names. Raises CorpusError as `excluded` does."""
    return [_file(name, source) for name in source.exclude]


def _file(name: str, source: Source) -> CorpusFile:
    path = source.path_of(name)
    if path.is_dir():
        raise CorpusError(f"exclude {name}: a folder; name its corpus.jsonl or one of its qrels/*.tsv")
    if not path.is_file():
        raise CorpusError(
            f"exclude {name}: no such file; name a corpus.jsonl, a qrels/*.tsv or a .txt with an id a line"
        )
    kind = kind_of(path.name)
    if kind not in {"jsonl", "csv", "parquet", "text"}:
        raise CorpusError(f"exclude {name}: expected documents (.jsonl .csv .parquet), qrels (.tsv) or ids (.txt)")
    return CorpusFile(path, path.name, kind)


def _named_in(name: str, file: CorpusFile) -> Iterator[tuple[str, str]]:
    """The ids in a file, with their texts where it has them."""
    if file.kind == "text" or file.name.lower().endswith(".tsv"):
        rows = [line.split("\t") for line in _text(name, file).splitlines() if line.strip()]
        is_qrels = file.kind != "text" and (QRELS in rows[0] or len(rows[0]) == 3) if rows else False
        if file.kind == "text" or is_qrels:
            yield from _answers(rows) if is_qrels else ((clean("\t".join(row)), "") for row in rows)
            return
    for found in read_table(file, Columns()):
        if not isinstance(found, Record):
            raise CorpusError(f"exclude {found.place}: {found.fault}")
        yield found.doc_id, found.text


def _answers(rows: list[list[str]]) -> Iterator[tuple[str, str]]:
    """The documents that answer a query, of lines of query-id, corpus-id and score."""
    for row in rows:
        if len(row) == 3 and row[1] != QRELS and _is_relevant(row[2]):
            yield clean(row[1]), ""


def _is_relevant(score: str) -> bool:
    """True unless the score is 0 or less; what is no number counts as relevant, so that nothing slips through."""
    try:
        return float(score) > 0
    except ValueError:
        return True


def _text(name: str, file: CorpusFile) -> str:
    try:
        return read_text(file, "utf-8")
    except Fault as fault:
        raise CorpusError(f"exclude {name}: {fault}") from fault
