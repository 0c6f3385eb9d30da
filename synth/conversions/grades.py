"""Graded rows: a list of graded documents into pairs with a grade each, and rows of one query into one list.

"when does the Nile flood?"   0.9 "It floods in July."   0.3 "It is long."

pairs_of_grades   two rows, each with one document and its relevance: what losses for scored pairs read
graded_list       the other way round: the rows of a query are one row again, its documents on two sides of a grade
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from synth.stage import Context, Rows
from synth.types import Document, Dropped, Example, child_of, row_id


def pairs_of_grades(rows: Rows, ctx: Context) -> Iterator[Example]:
    """A row for each document that has a relevance, with it as the only positive, be it high or low.

    Documents without one are left out. Rows without a query or a graded document pass, as do those that are such a pair
    already.
    """
    for row in rows:
        documents = (*row.positives, *row.negatives)
        graded = [(n, document) for n, document in enumerate(documents) if document.relevance is not None]
        if not row.query or not graded or (len(documents) == 1 and row.positives):
            yield row
            continue
        for number, document in graded:
            child = child_of(row, ctx.step, number, row.query)
            yield replace(child, positives=(document,), negatives=())


def graded_list(rows: Rows, least: float, ctx: Context) -> Iterator[Example | Dropped]:
    """One row for each query of a task, an instruction and a language, with the documents of all its rows.

    Those with a relevance of `least` or more are its positives, the best first, the others its negatives. One that
    stands in several rows has the mean of its grades; one without a grade stays on its side, with the positives where
    it stands on both. A list without a positive is dropped as `no_positive`. Rows without a query pass.
    """
    columns = zip(*(rows.column(name) for name in ("task", "instruction", "language", "query")), strict=True)
    waiting = Counter(_key(*values) for values in columns)
    groups: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        if not row.query:
            yield row
            continue
        key = _key(row.task, row.instruction, row.language, row.query)
        groups[key].append(row)
        waiting[key] -= 1
        if not waiting[key]:
            yield _listed(groups.pop(key), least, ctx)


def _key(*parts: str) -> str:
    return "\0".join(" ".join(part.split()) for part in parts)


@dataclass(slots=True)
class _Graded:
    """What the rows of a query say of one document."""

    first: Document
    grades: tuple[float, ...] = ()
    is_positive: bool = False

    def add(self, document: Document, *, is_positive: bool) -> None:
        """Take what one more row says."""
        self.first = replace(self.first, scores={**document.scores, **self.first.scores})
        self.is_positive = self.is_positive or is_positive
        if document.relevance is not None:
            self.grades = (*self.grades, document.relevance)

    def document(self) -> Document:
        """The document with the mean of its grades."""
        mean = round(math.fsum(self.grades) / len(self.grades), 5) if self.grades else None
        return replace(self.first, relevance=mean)

    def is_right(self, least: float) -> bool:
        """True where its grade is at least that; without one, where some row has it for a positive."""
        relevance = self.document().relevance
        return self.is_positive if relevance is None else relevance >= least


def _listed(group: Sequence[Example], least: float, ctx: Context) -> Example | Dropped:
    """The rows of a query as one; one that is alone keeps its id."""
    rows = sorted(group, key=lambda row: row.id)
    first, graded = rows[0], _graded(rows)
    right = _by_grade([each.document() for each in graded if each.is_right(least)])
    wrong = _by_grade([each.document() for each in graded if not each.is_right(least)])
    whole = replace(first, positives=right, negatives=wrong)
    if len(rows) > 1:
        parents = [row.id for row in rows]
        tags = frozenset(tag for row in rows for tag in row.tags)
        born = row_id(ctx.step, 0, first.query, parents)
        whole = replace(whole, id=born, tags=tags, meta={**first.meta, "parents": parents})
    if right:
        return whole
    best = max((document.relevance or 0 for document in wrong), default=None)
    return Dropped(whole, "no_positive", "it has no document" if best is None else f"the best grade is {best:g}")


def _graded(rows: Sequence[Example]) -> list[_Graded]:
    found: dict[tuple[str, str], _Graded] = {}
    for row in rows:
        for documents, is_positive in ((row.positives, True), (row.negatives, False)):
            for document in documents:
                known = found.setdefault((document.doc_id, document.full_text), _Graded(document))
                known.add(document, is_positive=is_positive)
    return list(found.values())


def _by_grade(documents: Sequence[Document]) -> tuple[Document, ...]:
    """The best grades first, and before them what has none, as that came."""
    return tuple(sorted(documents, key=lambda each: -math.inf if each.relevance is None else -each.relevance))
