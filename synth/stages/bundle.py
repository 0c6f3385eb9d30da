"""Several documents in one row, before anything is written: for queries that need more than one, or tell two apart.

    - {use: bundle, size: 3, of: siblings}                            multi-hop: a query that takes all three
    - {use: bundle, of: similar, place: negatives, last_rank: 10}     JH-POLO: a query that the first one alone answers

    nile#2  ->  nile#2, nile#1, nile#3            nile#2  ->  nile#2, and beside it amazon#0, which is much like it

JH-POLO (arXiv 2305.00331) shows two similar passages to the writer, so that the second is a hard negative by design.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from synth.candidates import Among, Avoid, Found, Kind, found_in, hits_of
from synth.stage import Context, Rows, Stage, in_blocks, replayable
from synth.types import Document, Dropped, Example

if TYPE_CHECKING:
    from synth.retrieval import Retriever

MOST_ASKED = 2000
"""Characters of a document that are searched with."""
TRIES = 64
"""Documents that are looked at for each that is drawn at random."""


class Bundle(Stage):
    """Give each row that has a document and no query `size - 1` more, of all these rows' documents or the corpus's.

    `siblings` are pieces of the same parent, the nearest first; `similar` what a search with the row's document finds
    among other families, from `first_rank` to `last_rank`, the best first; `random` is drawn by the row's id. The last
    two are of the same language, and never nearly the same text. With `place: positives` they stand behind the row's
    own document, which a prompt reads as `documents`; with `negatives` they are negatives, similar ones with `mined`
    as their origin, their rank and their score. A row keeps its id. What is found for too few is told; a row for which
    nothing is found is dropped as `alone`, unless `keep_alone`. Rows with a query or without a document pass.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"
    fitted: ClassVar[Literal["", "row", "all"]] = "all"

    size: int = Field(default=2, ge=2, le=100, description="documents of a row, its own with them")
    of: Literal["siblings", "similar", "random"] = Field(default="similar", description="where the others come from")
    place: Literal["positives", "negatives"] = Field(default="positives", description="what the others are to the row")
    retriever: Kind = Field(default="bm25", description="what finds similar ones: words, an embedder, or both by rank")
    embedder: str = Field(default="", description="the embedder that dense and fused ask, by its name in the recipe")
    first_rank: int = Field(default=1, ge=1, description="best rank of a similar one, its own family left out")
    last_rank: int = Field(default=100, ge=1, le=10_000, description="worst rank of a similar one")
    among: Among = Field(
        default="rows",
        description="where they are looked for: the documents of all rows that this step gets, or the corpus",
    )
    keep_alone: bool = Field(
        default=False, description="keep a row for which nothing is found, in place of dropping it"
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for name in ("retriever", "embedder", "first_rank", "last_rank"):
            if self.of != "similar" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is for `of: similar`, which searches; {self.of} does not; leave it out")
        if (self.retriever == "bm25") == bool(self.embedder):
            cure = "needs an embedder: name one of the recipe's `embedders:`" if not self.embedder else "asks none"
            raise ValueError(f"retriever: {self.retriever} {cure}")
        if self.last_rank - self.first_rank + 1 < self.size - 1:
            window = f"{self.first_rank} to {self.last_rank}"
            raise ValueError(f"last_rank must leave room for {self.size - 1} documents, not only ranks {window}")
        if (self.of, self.place) == ("siblings", "negatives"):
            raise ValueError("siblings are never each other's negatives: set `place: positives`, or `of: similar`")
        return self

    def embedders_used(self) -> Sequence[str]:
        """The embedder, where it asks one."""
        return [self.embedder] if self.embedder else []

    def reads_corpus(self) -> bool:
        """True where it looks there."""
        return self.among == "corpus"

    def finds(self) -> int:
        """The negatives of a row."""
        return self.size - 1 if self.place == "negatives" else 0

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Look for the others of each row."""
        rows = replayable(rows)
        shelf = _Shelf(ctx.corpus.documents if self.among == "corpus" else _of(rows))
        short = 0
        for block in in_blocks(rows):
            found = self._found([row for row in block if _is_open(row)], shelf, ctx)
            for row in block:
                others = found.get(row.id, [])
                short += _is_open(row) and 0 < len(others) < self.size - 1
                yield self._fate(row, others, ctx)
        if short:
            ctx.warn(f"{short} rows got some and fewer than {self.size - 1} more documents")

    def _found(self, rows: Sequence[Example], shelf: "_Shelf", ctx: Context) -> dict[str, list[Document]]:
        """Up to `size - 1` further documents for each row, by its id."""
        lists = (
            shelf.similar(rows, self, ctx)
            if self.of == "similar"
            else map(shelf.siblings, rows)
            if self.of == "siblings"
            else (shelf.drawn(row, self.size - 1, ctx) for row in rows)
        )
        found = {}
        for row, others in zip(rows, lists, strict=True):
            avoid = Avoid(row.positives, (*row.positives, *row.negatives))
            found[row.id] = list(islice(filter(avoid.lets, others), self.size - 1))
        return found

    def _fate(self, row: Example, others: Sequence[Document], ctx: Context) -> Example | Dropped:
        if not _is_open(row):
            return row
        if not others:
            return row if self.keep_alone else Dropped(row, "alone", f"no document is found to go with it: {self.of}")
        told = {"of": self.of, "documents": [document.doc_id for document in others]}
        noted = replace(row, meta={**row.meta, ctx.step or "bundle": told})
        if self.place == "positives":
            return replace(noted, positives=(*row.positives, *others))
        return replace(noted, negatives=(*row.negatives, *others))


def _is_open(row: Example) -> bool:
    """True for a row that gets more documents."""
    return not row.query and bool(row.positives)


def _of(rows: Rows) -> list[Document]:
    """The first documents of all rows that get more, each once."""
    own = {(row.positive.doc_id, row.positive.full_text): row.positive for row in rows if _is_open(row)}
    return list(own.values())


class _Shelf:
    """Documents to be looked through."""

    def __init__(self, documents: Sequence[Document]) -> None:
        from synth.retrieval import Corpus

        self._corpus = Corpus(documents)
        self._pieces: dict[str, list[Document]] = defaultdict(list)
        for document in sorted(self._corpus.documents, key=_place):
            if document.parent_id:
                self._pieces[document.parent_id].append(document)

    def siblings(self, row: Example) -> list[Document]:
        """The pieces of the same parent, the nearest first, of two as near the earlier one."""
        own = row.positive
        pieces = self._pieces.get(own.parent_id, [])
        place = next((number for number, piece in enumerate(pieces) if piece.doc_id == own.doc_id), 0)
        return [pieces[n] for n in sorted(range(len(pieces)), key=lambda n: (abs(n - place), n)) if n != place]

    def drawn(self, row: Example, count: int, ctx: Context) -> Iterator[Document]:
        """Documents of other families and the same language, at random."""
        total = len(self._corpus)
        family = set(self._corpus.families(row.positives).tolist())
        for n in ctx.rng(row, "others").sample(range(total), min(total, TRIES * count + len(family))):
            document = self._corpus.documents[n]
            if n not in family and document.language == row.positive.language:
                yield document

    def similar(self, rows: Sequence[Example], stage: Bundle, ctx: Context) -> Iterator[Iterator[Document]]:
        """For each row what is found with its own document; rank and score are noted where it is to be a negative."""
        asked = [row.positive.full_text[:MOST_ASKED] for row in rows]
        without = [self._corpus.families(row.positives) for row in rows]
        hits = hits_of(self._searches(stage, ctx), asked, stage.last_rank, without)
        for number, row in enumerate(rows):
            yield self._near(found_in(hits, number, self._corpus, stage.first_rank), row, stage)

    def _near(self, found: Iterable[Found], row: Example, stage: Bundle) -> Iterator[Document]:
        for each in found:
            if each.document.language == row.positive.language:
                yield each.noted(stage.retriever) if stage.place == "negatives" else each.document

    def _searches(self, stage: Bundle, ctx: Context) -> "dict[str, Retriever]":
        embedder = ctx.embedder(stage.embedder).for_all() if stage.embedder else None
        return self._corpus.searches(stage.retriever, embedder)


def _place(document: Document) -> tuple[str, int, str]:
    """Where a document stands among its siblings: by the number that its id ends with, `guide.md#3`."""
    _, _, number = document.doc_id.rpartition("#")
    return document.parent_id, int(number) if number.isdecimal() else 0, document.doc_id
