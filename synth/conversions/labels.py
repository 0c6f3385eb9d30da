"""Classification rows as contrastive ones: a text with its label beside others, or two texts of one label.

"the screen cracked"  ->  complaint        labels seen with this instruction: complaint, praise, question

label_pairs   "the screen cracked"  ->  complaint   not praise, not question
same_label    "the screen cracked"  ->  "it broke after a day"   not "works like a charm"
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

from synth.stage import Context, Rows
from synth.types import Document, Dropped, Example, Origin, child_of
from synth.values import language_of

ID_LENGTH = 8
"""Hex digits that tell the texts of one row from those of all others in its batch."""

Kind = tuple[str, str, str]
"""What labels must have in common to be each other's alternatives: task, instruction, language."""


def label_of(document: Document) -> str:
    """What a label is known by: its id, or its words where a model wrote it or it has no id.

    >>> label_of(Document("Praise", doc_id="label/1")), label_of(Document("Praise!", "written-1f", origin="written"))
    ('label/1', 'praise')
    """
    from synth.resemblance import folded

    has_id = document.doc_id and document.origin != "written"
    return document.doc_id if has_id else folded(document.full_text) or document.full_text


def label_pairs(rows: Rows, negatives: int, ctx: Context) -> Iterator[Example]:
    """Each row with up to so many other labels as negatives: of its task, its instruction and the label's language.

    Rows without a query or a label pass.
    """
    labels = _labels(rows)
    short = 0
    for row in rows:
        if not row.query or not row.positives:
            yield row
            continue
        own = {label_of(document) for document in (*row.positives, *row.negatives)}
        others = labels[_kind(row, row.positive.language)]
        drawn = ctx.rng(row, "labels").sample(sorted(others), min(len(others), negatives + len(own)))
        found = [others[name] for name in drawn if name not in own][:negatives]
        short += len(found) < negatives
        yield replace(row, negatives=(*row.negatives, *found))
    if short:
        ctx.warn(f"{short} rows got fewer than {negatives} labels: there are no more of their task and instruction")


def _labels(rows: Rows) -> Mapping[Kind, Mapping[str, Document]]:
    """The labels of each kind, by what they are known by."""
    found: dict[Kind, dict[str, Document]] = defaultdict(dict)
    for row in rows:
        for document in row.positives if row.query else ():
            bare = replace(document, relevance=None, scores={}, meta={})
            known = found[_kind(row, document.language)]
            name = label_of(document)
            known[name] = min(known.get(name, bare), bare, key=lambda each: (each.full_text, str(each)))
    return found


def _kind(row: Example, language: str) -> Kind:
    return (row.task, row.instruction, language)


class _Text(NamedTuple):
    """A text that has labels: of which row, and whether a model wrote it."""

    row_id: str
    text: str
    labels: frozenset[str]
    language: str
    origin: Origin

    def document(self, unique: str) -> Document:
        """The text as a document of one row."""
        born = f"{self.row_id}-{unique}" if unique else self.row_id
        text, label = with_id(self.text, unique), min(self.labels, default="")
        return Document(text, born, language=self.language, origin=self.origin, meta={"label": label})


def with_id(text: str, unique: str) -> str:
    """The text with a unique id behind it; as it is where there is none."""
    return f"{text} {unique}" if unique else text


def same_label(rows: Rows, negatives: int, unique_ids: bool, ctx: Context) -> Iterator[Example | Dropped]:
    """For each row its text with another one of its first label, and up to so many that share none of its labels.

    Of the row's own task, instruction and language, drawn by its id. Without another text the row is dropped as
    `lone_label`; rows without a query or a label pass. Gecko (arXiv 2403.20327) puts a unique id behind all texts of
    a row, so that no text of another row in the batch is taken for a negative that is none.
    """
    texts = _Texts(rows)
    for row in rows:
        if not row.query or not row.positives:
            yield row
            continue
        label, rng = label_of(row.positive), ctx.rng(row, "texts")
        partner = texts.partner(row, label, rng)
        if partner is None:
            yield Dropped(row, "lone_label", f"no other text has the label {label}")
            continue
        child = child_of(row, ctx.step, 0, row.query)
        unique = child.id[:ID_LENGTH] if unique_ids else ""
        others = texts.others(row, partner, negatives, rng)
        yield replace(
            child,
            query=with_id(row.query, unique),
            positives=(partner.document(unique),),
            negatives=tuple(other.document(unique) for other in others),
            meta={**child.meta, ctx.step or "convert": {"label": label}},
        )


@dataclass(slots=True)
class _OfKind:
    """The texts of one kind by label, and its labels, sorted."""

    by_label: dict[str, list[_Text]]
    labels: list[str]


class _Texts:
    """All texts that have labels."""

    def __init__(self, rows: Rows) -> None:
        self._kinds: dict[Kind, _OfKind] = {}
        for kind, text in sorted(_texts(rows), key=lambda each: each[1].row_id):
            known = self._kinds.setdefault(kind, _OfKind(defaultdict(list), []))
            for label in text.labels:
                known.by_label[label].append(text)
        for known in self._kinds.values():
            known.labels = sorted(known.by_label)

    def partner(self, row: Example, label: str, rng: Random) -> _Text | None:
        """Another text of a label, drawn; None where there is none but the row's own words."""
        from synth.resemblance import folded

        own = folded(row.query)
        texts = self._kinds[_kind(row, language_of(row))].by_label[label]
        return _first(texts, rng, lambda each: folded(each.text) != own)

    def others(self, row: Example, partner: _Text, count: int, rng: Random) -> list[_Text]:
        """Up to so many texts that have none of the labels of the row and its partner; of each label in turn."""
        own = {label_of(document) for document in row.positives} | partner.labels
        known = self._kinds[_kind(row, language_of(row))]
        drawn = rng.sample(known.labels, min(len(known.labels), count + len(own)))
        labels = [label for label in drawn if label not in own]
        found: list[_Text] = []
        seen = {row.query, partner.text}
        before = -1
        while before < len(found) < count:
            before = len(found)
            for label in labels[: count - before]:
                other = _first(known.by_label[label], rng, lambda each: each.text not in seen and not own & each.labels)
                if other is not None:
                    found.append(other)
                    seen.add(other.text)
        return found


def _texts(rows: Rows) -> Iterator[tuple[Kind, _Text]]:
    for row in rows:
        if row.query and row.positives:
            language = language_of(row)
            labels = frozenset(map(label_of, row.positives))
            yield _kind(row, language), _Text(row.id, row.query, labels, language, _origin(row))


def _origin(row: Example) -> Origin:
    """`written` for a text that a model wrote: a step noted its prompt and its draw."""
    told = (value for value in row.meta.values() if isinstance(value, Mapping))
    return "written" if any({"prompt", "draw", "model"} <= value.keys() for value in told) else "corpus"


def _first(texts: Sequence[_Text], rng: Random, fits: Callable[[_Text], Any]) -> _Text | None:
    """The first text that fits, from a place that is drawn onwards."""
    start = rng.randrange(len(texts)) if texts else 0
    places = (*range(start, len(texts)), *range(start))
    return next((texts[place] for place in places if fits(texts[place])), None)
