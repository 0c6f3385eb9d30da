"""Tables wherever a recipe says they lie, read as plain rows: a file, a folder of files, a dataset on the Hub.

./train.jsonl   ./my-set   ./my-set (split: train)   hf://owner/name   hf://owner/name/config:split

for table in table_set("./my-set", source).tables():
    table.name      "train-00000-of-00002.parquet"
    table.rows      Row(1, {"query": "…", "pos": ["…"]}), Row(2, …)
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from synth.documents import hub
from synth.documents.exclusion import file_hash
from synth.documents.files import BROKEN_STREAM, KINDS, TABLES, CorpusFile, kind_of
from synth.documents.json_array import array_rows, is_array
from synth.documents.tables import Row, plain_rows
from synth.errors import CorpusError, did_you_mean
from synth.stage import Source

TRAIN = "train"
JSON = "json"
"""The kind of a .json file: an array of objects, or an object a line."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what it is called, its rows, to be read once, and what numbers in columns of labels stand for."""

    name: str
    rows: Iterator[Row]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableSet:
    """The tables of one place; without files it is a dataset on the Hub."""

    place: str
    files: tuple[CorpusFile, ...] = ()

    @property
    def on_hub(self) -> bool:
        """True for a dataset on the Hub."""
        return not self.files

    def tables(self) -> Iterator[Table]:
        """Each table, in the order of their paths. Raises CorpusError where the Hub does not give it."""
        if self.on_hub:
            rows = hub.open_rows(self.place)
            numbered = (Row(number, values) for number, values in enumerate(rows, 1))
            yield Table(hub.parse(self.place).repo, numbered, hub.label_names(rows))
        for file in self.files:
            yield Table(file.name, _rows(file))

    def content(self) -> str:
        """A hash of the files by name and bytes; of a dataset on the Hub its name and commit."""
        digest = hashlib.blake2b(digest_size=16)
        if self.on_hub:
            digest.update(f"{self.place}\0{hub.revision_of(self.place)}".encode())
        for file in self.files:
            digest.update(file.name.encode("utf-8", "surrogatepass") + b"\0" + file_hash(file))
        return digest.hexdigest()


def table_set(place: str, source: Source, split: str = "", kinds: Sequence[str] = (*TABLES, JSON)) -> TableSet:
    """The tables of a place that a recipe names. Raises CorpusError where there is nothing of these kinds to read.

    Of a folder and of the Hub `split` picks files by their names; "" takes `train` where there is one, else all.
    """
    if place.startswith(hub.SCHEME):
        dataset = hub.parse(place)
        if split and dataset.split not in ("", split):
            raise CorpusError(f"{place}: it names a split already; leave `split: {split}` out")
        return TableSet(f"{place}:{split}" if split and not dataset.split else place)
    path = source.path_of(place)
    if path.is_file():
        if split:
            raise CorpusError(f"{place}: a single file has no splits; leave `split: {split}` out")
        return TableSet(place, (_file(path, path.name, kinds, place),))
    if not path.is_dir():
        raise CorpusError(f"{place}: no such file or folder; paths start in the recipe's folder")
    return TableSet(place, _of_split(_files(path, kinds, place), split, place))


def _file(path: Path, name: str, kinds: Sequence[str], place: str) -> CorpusFile:
    kind = _kind(name)
    if kind not in kinds:
        raise CorpusError(f"{place}: a kind of file that is not read here; it can be {_suffixes(kinds)}")
    return CorpusFile(path, name, kind)


def _files(folder: Path, kinds: Sequence[str], place: str) -> list[CorpusFile]:
    """All files of these kinds below a folder, in the order of their paths; none that is hidden."""
    found = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if _kind(path.name) in kinds and not any(part.startswith(".") for part in relative.parts) and path.is_file():
            found.append(CorpusFile(path, relative.as_posix(), _kind(path.name)))
    if not found:
        raise CorpusError(f"{place}: no tables in this folder; it may hold {_suffixes(kinds)}")
    return found


def _of_split(files: Sequence[CorpusFile], split: str, place: str) -> tuple[CorpusFile, ...]:
    chosen = tuple(file for file in files if is_of_split(file.name, split or TRAIN))
    if split and not chosen:
        names = [file.name for file in files]
        found = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
        raise CorpusError(f"{place}: no file of a split {split!r}; found {found}{did_you_mean(split, names)}")
    return chosen or tuple(files)


def is_of_split(name: str, split: str) -> bool:
    """True where a file or a folder on its path is named after a split, with whatever numbers behind.

    >>> [is_of_split(n, "train") for n in ("train.jsonl", "data/train-00000-of-00002.parquet", "training.csv")]
    [True, True, False]
    """
    parts = PurePosixPath(name).parts
    return any(part == split or part.startswith(tuple(split + mark for mark in "-_.")) for part in parts)


def _kind(name: str) -> str:
    return JSON if name.lower().endswith(".json") else kind_of(name)


def _suffixes(kinds: Sequence[str]) -> str:
    return " ".join([suffix for suffix, kind in KINDS.items() if kind in kinds] + ([".json"] if JSON in kinds else []))


def _rows(file: CorpusFile) -> Iterator[Row]:
    if file.kind != JSON:
        return plain_rows(file)
    try:
        if is_array(file):
            return array_rows(file)
    except BROKEN_STREAM:
        pass  # what reads it as lines tells why it cannot be read
    return plain_rows(CorpusFile(file.path, file.name, "jsonl"))
