"""Rows of a dataset on the Hugging Face Hub, streamed.

hf://BeIR/scifact/corpus:corpus          owner/name, then /config, then :split
hf://wikimedia/wikipedia@b04c8d1/20231101.de
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from synth.documents.record import Columns, Record, Unreadable
from synth.documents.tables import Row, choose, records
from synth.errors import CorpusError, did_you_mean

SCHEME = "hf://"
_NAME = re.compile(
    r"hf://(?:datasets/)?(?P<repo>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[^/:]+))?(?:/(?P<config>[^/:]+))?(?::(?P<split>[^/:]+))?\Z"
)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's id and what of it is to be read; "" for its default."""

    repo: str
    revision: str = ""
    config: str = ""
    split: str = ""


def parse(name: str) -> Dataset:
    """What a `hf://` name says. Raises CorpusError where it says nothing.

    >>> parse("hf://BeIR/scifact/corpus:corpus")
    Dataset(repo='BeIR/scifact', revision='', config='corpus', split='corpus')
    """
    found = _NAME.match(name)
    if found is None:
        raise CorpusError(f"corpus {name!r}: expected hf://owner/name, hf://owner/name/config or hf://owner/name:split")
    return Dataset(**{key: value or "" for key, value in found.groupdict().items()})


def read_hub(name: str, columns: Columns) -> Iterator[Record | Unreadable]:
    """The records of a dataset on the Hub. Raises CorpusError where it cannot be had or has no such split or column."""
    dataset = parse(name)
    yield from stream_records(_open(dataset), columns, dataset.repo)


def open_rows(name: str) -> Iterable[Mapping[str, Any]]:
    """The rows of a dataset on the Hub with all their columns, streamed. Raises CorpusError where it is not there."""
    return _open(parse(name))


def label_names(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """What the numbers in the columns of labels stand for, of a dataset that is open; {} where nothing says so."""
    features = getattr(rows, "features", None) or {}
    return {column: list(feature.names) for column, feature in features.items() if hasattr(feature, "names")}


def stream_records(rows: Iterable[Mapping[str, Any]], columns: Columns, name: str) -> Iterator[Record | Unreadable]:
    """The records of a dataset that is open; its features say its columns where they are known."""
    features = getattr(rows, "features", None)
    if features:
        columns = choose(list(features), columns, name)
    yield from records((Row(number, values) for number, values in enumerate(rows, 1)), columns, name)


def revision_of(name: str) -> str:
    """The commit that a name stands for now; "" where the Hub cannot be asked."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of the client that it uses

    dataset = parse(name)
    try:
        return HfApi().dataset_info(dataset.repo, revision=dataset.revision or None, timeout=10).sha or ""
    except (HTTPError, OSError):
        return ""


def _open(dataset: Dataset) -> Iterable[Mapping[str, Any]]:
    """The rows of one split, as a stream."""
    from datasets import get_dataset_split_names, load_dataset

    config, revision = dataset.config or None, dataset.revision or None
    try:
        splits = get_dataset_split_names(dataset.repo, config, revision=revision)
        split = dataset.split or ("train" if "train" in splits else splits[0])
        if split not in splits:
            found = ", ".join(splits)
            raise CorpusError(f"hf://{dataset.repo}: no split {split!r}; found {found}{did_you_mean(split, splits)}")
        rows: Iterable[Mapping[str, Any]] = load_dataset(
            dataset.repo, config, split=split, revision=revision, streaming=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        cure = "look to the network" if isinstance(error, ConnectionError) else "look to its name, config and split"
        raise CorpusError(f"hf://{dataset.repo}: cannot be read: {_first_line(error)}; {cure}") from error
    return rows


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
