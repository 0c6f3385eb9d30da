"""What every part speaks in: a document, a query with judged documents, a row that was dropped.

A row fresh from a source has a document and no query yet; a maker gives it one:

    Example(id="9c1f…", positives=(Document("The Nile floods each summer.", doc_id="nile"),))
    Example(id="41ab…", query="when does the Nile flood?", positives=(Document("The Nile …", doc_id="nile"),),
            negatives=(Document("The Amazon …", doc_id="amazon", origin="mined", scores={"bm25": 7.2}),))
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Origin = Literal["corpus", "mined", "written"]


@dataclass(frozen=True, slots=True)
class Document:
    """A text that a query can be judged against.

    `parent_id` is the file or article it was cut from: siblings are never each other's negatives, and splits go by it.
    `relevance` is graded, 0 to 1; `scores` are what models and indexes said of it; `meta` is JSON that no trainer sees.
    """

    text: str
    doc_id: str = ""
    title: str = ""
    parent_id: str = ""
    language: str = ""
    origin: Origin = "corpus"
    relevance: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """What its siblings share: the parent's id, or its own where it has no parent."""
        return self.parent_id or self.doc_id

    @property
    def full_text(self) -> str:
        """The title and the text, as an index or an embedder reads them."""
        return f"{self.title}\n{self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A query with judged documents; triplets, scored pairs and graded lists are views of it.

    `id` is the content address given at birth (`row_id`) and never changed; `meta["parents"]` are the ids it came from.
    """

    id: str
    task: str = "retrieval"
    instruction: str = ""
    query: str = ""
    positives: tuple[Document, ...] = ()
    negatives: tuple[Document, ...] = ()
    language: str = ""
    tags: frozenset[str] = frozenset()
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def positive(self) -> Document:
        """The first positive; an IndexError where the row has none."""
        return self.positives[0]

    @property
    def parents(self) -> tuple[str, ...]:
        """The ids of the rows this one was made from; empty for a source's own."""
        return tuple(self.meta.get("parents", ()))


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that a step let go: the row itself, a slug that reports count, and what was measured."""

    example: Example
    reason: str
    detail: str = ""


def row_id(step: str, draw: int, text: str, parents: Sequence[str] = ()) -> str:
    """The content address of a row: the same parents, step, draw and text have the same id in every run.

    >>> row_id("extract", 0, "when does the Nile flood?", ["ab"])
    '71e9a12c7a635f0ffa88'
    >>> row_id("extract", 0, "a", ["b"]) == row_id("extract", 0, "ab")
    False
    """
    digest = hashlib.blake2b(digest_size=10)
    for part in (*parents, "", step, str(draw), text):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def digest_of(*parts: object) -> str:
    """32 hex digits for plain data: what keys are made of. Mappings with the same items have the same digest."""
    plain = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def child_of(row: Example, step: str, draw: int, query: str) -> Example:
    """What a maker makes of `row` in its draw number `draw`: a new id, this query, and `row` as its parent."""
    born = row_id(step, draw, query, [row.id])
    return replace(row, id=born, query=query, meta={**row.meta, "parents": [row.id]})
