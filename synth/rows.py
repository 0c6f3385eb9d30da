"""Rows as Arrow tables: the columns of `kept.parquet` and `dropped.parquet`, and the way there and back.

A document is a struct; `scores` and `meta` are JSON texts, "" where empty, so that every file has the same columns.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synth.types import Document, Dropped, Example

DOCUMENT = pa.struct(
    [
        pa.field("text", pa.string()),
        pa.field("doc_id", pa.string()),
        pa.field("title", pa.string()),
        pa.field("parent_id", pa.string()),
        pa.field("language", pa.string()),
        pa.field("origin", pa.string()),
        pa.field("relevance", pa.float64()),
        pa.field("scores", pa.string()),
        pa.field("meta", pa.string()),
    ]
)
KEPT = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("task", pa.string()),
        pa.field("instruction", pa.string()),
        pa.field("query", pa.string()),
        pa.field("positives", pa.list_(DOCUMENT)),
        pa.field("negatives", pa.list_(DOCUMENT)),
        pa.field("language", pa.string()),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("meta", pa.string()),
    ]
)
DROPPED = KEPT.append(pa.field("reason", pa.string())).append(pa.field("detail", pa.string()))


def to_table(rows: Sequence[Example]) -> pa.Table:
    """Rows as a table of schema KEPT, in the order given. Lone surrogates, which UTF-8 cannot hold, become "?"."""
    tags_of = [len(row.tags) for row in rows]
    columns = [
        _texts(row.id for row in rows),
        _texts(row.task for row in rows),
        _texts(row.instruction for row in rows),
        _texts(row.query for row in rows),
        _documents([row.positives for row in rows]),
        _documents([row.negatives for row in rows]),
        _texts(row.language for row in rows),
        _lists(tags_of, _texts(tag for row in rows for tag in sorted(row.tags))),
        _texts(to_json(row.meta) for row in rows),
    ]
    return pa.Table.from_arrays(columns, schema=KEPT)


def to_dropped_table(rows: Sequence[Dropped]) -> pa.Table:
    """Dropped rows as a table of schema DROPPED."""
    table = to_table([row.example for row in rows])
    reasons, details = _texts(row.reason for row in rows), _texts(row.detail for row in rows)
    return pa.Table.from_arrays([*table.columns, reasons, details], schema=DROPPED)


def from_table(table: pa.Table | pa.RecordBatch) -> Iterator[Example]:
    """The rows that a table of either schema holds, in its order."""
    columns = [_plain(table.column(name)) for name in KEPT.names]
    for row_id, task, instruction, query, positives, negatives, language, tags, meta in zip(*columns, strict=True):
        yield Example(
            id=row_id,
            task=task,
            instruction=instruction,
            query=query,
            positives=tuple(map(_document, positives)),
            negatives=tuple(map(_document, negatives)),
            language=language,
            tags=frozenset(tags),
            meta=_from_json(meta),
        )


def from_dropped_table(table: pa.Table | pa.RecordBatch) -> Iterator[Dropped]:
    """The dropped rows that a table of schema DROPPED holds, in its order."""
    reasons, details = _plain(table.column("reason")), _plain(table.column("detail"))
    for example, reason, detail in zip(from_table(table), reasons, details, strict=True):
        yield Dropped(example, reason, detail)


def to_json(value: Mapping[str, Any]) -> str:
    """A mapping as JSON with sorted keys; "" where it is empty."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""


def _from_json(text: str) -> dict[str, Any]:
    return json.loads(text) if text else {}


def _plain(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    values: list[Any] = column.to_pylist()
    return values


def _document(value: Mapping[str, Any]) -> Document:
    scores, meta = _from_json(value["scores"]), _from_json(value["meta"])
    return Document(**{**value, "scores": scores, "meta": meta})


def _texts(values: Iterable[str]) -> pa.StringArray:
    """Texts as an array, made of its buffers: `pa.array` would import pandas, which takes half a second."""
    raw = list(map(_utf8, values))
    offsets = _offsets(map(len, raw))
    return pa.StringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(b"".join(raw)))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _offsets(lengths: Iterable[int]) -> NDArray[np.int32]:
    """Where each of several things begins that stand one after another, and where the last ends."""
    return np.fromiter(accumulate(lengths, initial=0), np.int32)


def _lists(lengths: Iterable[int], values: pa.Array) -> pa.ListArray:
    """Lists of these lengths, cut out of `values` one after another."""
    offsets = _offsets(lengths)
    kind = pa.list_(values.type)
    return pa.ListArray.from_buffers(kind, len(offsets) - 1, [None, pa.py_buffer(offsets)], children=[values])


def _numbers(values: Sequence[float | None]) -> pa.DoubleArray:
    """Numbers as an array, None as null."""
    known = np.packbits(np.array([value is not None for value in values], np.bool_), bitorder="little")
    plain = np.array([0.0 if value is None else value for value in values], np.float64)
    return pa.Array.from_buffers(pa.float64(), len(values), [pa.py_buffer(known), pa.py_buffer(plain)])


def _documents(groups: Sequence[Sequence[Document]]) -> pa.ListArray:
    flat = list(chain.from_iterable(groups))
    arrays = [
        _texts(d.text for d in flat),
        _texts(d.doc_id for d in flat),
        _texts(d.title for d in flat),
        _texts(d.parent_id for d in flat),
        _texts(d.language for d in flat),
        _texts(d.origin for d in flat),
        _numbers([d.relevance for d in flat]),
        _texts(to_json(d.scores) for d in flat),
        _texts(to_json(d.meta) for d in flat),
    ]
    return _lists(map(len, groups), pa.StructArray.from_arrays(arrays, fields=list(DOCUMENT)))
