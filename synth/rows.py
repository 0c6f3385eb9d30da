"""Rows as Arrow tables: the columns of `kept.parquet` and `dropped.parquet`, and the way there and back.

A document is a struct; `scores` and `meta` are JSON texts, "" where empty, so that every file has the same columns.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

import pyarrow as pa

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
    columns = [
        _texts(row.id for row in rows),
        _texts(row.task for row in rows),
        _texts(row.instruction for row in rows),
        _texts(row.query for row in rows),
        _documents([row.positives for row in rows]),
        _documents([row.negatives for row in rows]),
        _texts(row.language for row in rows),
        pa.array([sorted(row.tags) for row in rows], pa.list_(pa.string())),
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


def _texts(values: Iterable[str]) -> pa.Array:
    texts = list(values)
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([text.encode("utf-8", "replace").decode() for text in texts], pa.string())


def _documents(groups: Sequence[Sequence[Document]]) -> pa.ListArray:
    flat = list(chain.from_iterable(groups))
    offsets = pa.array([0, *accumulate(len(group) for group in groups)], pa.int32())
    arrays = [
        _texts(d.text for d in flat),
        _texts(d.doc_id for d in flat),
        _texts(d.title for d in flat),
        _texts(d.parent_id for d in flat),
        _texts(d.language for d in flat),
        _texts(d.origin for d in flat),
        pa.array([d.relevance for d in flat], pa.float64()),
        _texts(to_json(d.scores) for d in flat),
        _texts(to_json(d.meta) for d in flat),
    ]
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(arrays, fields=list(DOCUMENT)))
