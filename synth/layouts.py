"""How finished training sets are laid out: which column is a query, its positives, its negatives, their scores.

anchor, positive, negative_1 …                      sentence-transformers
query, pos, neg, pos_scores, neg_scores, prompt     FlagEmbedding: lists; the scores are a teacher's
query, positive_passages, negative_passages         Tevatron: lists of {docid, title, text}
sentence1, sentence2, score                         pairs with a score
text, label                                         a classification: the label is the right document
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from synth.documents.record import Fault, clean
from synth.documents.tables import ID, TEXT, TITLE, MissingColumn, in_words, named
from synth.errors import did_you_mean
from synth.types import Document, Origin, row_id

Part = Literal[
    "query",
    "positive",
    "negative",
    "positive_scores",
    "negative_scores",
    "relevance",
    "label",
    "instruction",
    "language",
]
"""What of a row a column may hold."""

USUAL: Mapping[Part, tuple[str, ...]] = {
    "query": ("query", "anchor", "question", "sentence1", "sentence_1", "text1", "sent0", "user_query"),
    "positive": (
        *("positive", "pos", "positives", "positive_passages", "positive_document", "answer", "passage", "document"),
        *("sentence2", "sentence_2", "text2", "sent1", "response"),
    ),
    "negative": (
        *("negative", "neg", "negatives", "negative_passages", "hard_negative", "hard_neg", "hard_negatives"),
        "hard_negative_document",
    ),
    "positive_scores": ("pos_scores", "positive_scores"),
    "negative_scores": ("neg_scores", "negative_scores"),
    "relevance": ("score", "similarity_score", "relevance", "similarity", "label", "labels"),
    "label": ("label_text", "label_name", "label", "intent", "category", "class"),
    "instruction": ("instruction", "prompt"),
    "language": (),
}
"""What the column of each part is called, most likely first."""
LABELLED = ("text", "sentence", "content", "utterance")
"""What the texts of a classification are called."""
TEACHER = "teacher"
"""The name of the scores that a training set brings."""

_NUMBERED = re.compile(r"(?:hard_)?neg(?:ative)?_\d+")
_DOC_ID = ("docid", *ID)
Columns = Mapping[Part, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of each part of a table, of which only negatives have several.

    `labels` tells what numbers in a column of labels stand for.
    """

    columns: Columns
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of(self, part: Part) -> str:
        """The column of a part; "" where there is none."""
        return next(iter(self.columns[part]), "")


def layout_of(known: Sequence[str], wanted: Columns, name: str, labels: Mapping[str, Sequence[str]]) -> Layout:
    """The layout of a table with these columns. What is `wanted` stands for the usual names, and none for no column.

    Raises MissingColumn where one that is wanted is not there, or none holds queries or positives.
    """
    for column in (each for columns in wanted.values() for each in columns):
        if column not in known:
            cure = did_you_mean(column, known)
            raise MissingColumn(f"{name}: no column {column!r}; the columns are {in_words(known)}{cure}")
    found = {part: wanted.get(part, _usual(known, part)) for part in USUAL}
    if found["positive"]:
        found["label"] = ()
    elif found["label"] and not found["query"]:
        column = named(known, LABELLED)
        found["query"] = (column,) if column else ()
    if found["label"] or found["negative"]:  # a score beside a negative is a margin between the two
        found["relevance"] = wanted.get("relevance", ())
    if not found["query"]:
        raise _missing(name, "query", known)
    if not found["positive"] and not found["label"]:
        raise _missing(name, "positive", known)
    return Layout(found, labels)


def _missing(name: str, part: Part, known: Sequence[str]) -> MissingColumn:
    cure = f"name it in `columns: {{{part}: COLUMN}}`"
    return MissingColumn(f"{name}: no column is known to hold the {part}; there are {in_words(known)}: {cure}")


def _usual(known: Sequence[str], part: Part) -> tuple[str, ...]:
    first = named(known, USUAL[part])
    if part != "negative":
        return (first,) if first else ()
    return tuple(name for name in known if name == first or _NUMBERED.fullmatch(name.strip().lower()))


@dataclass(frozen=True, slots=True)
class Parts:
    """What one row of a table says."""

    query: str
    positives: tuple[Document, ...]
    negatives: tuple[Document, ...]
    instruction: str
    language: str

    @property
    def content(self) -> tuple[object, ...]:
        """All of it that makes the row another one: texts and scores, not what holds for the whole set."""
        return (self.query, self.instruction, _contents(self.positives), _contents(self.negatives))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads the rows of a layout. What it is told holds for all rows: the scale of scores, and what negatives are."""

    layout: Layout
    score_scale: float = 1.0
    language: str = ""
    negative_origin: Origin = "mined"

    def parts(self, values: Mapping[str, Any]) -> Parts:
        """What a row says. Raises Fault where it has no query or no positive, and for what is no text or no score."""
        query = self._text(values, "query")
        if not query:
            raise Fault(f"no text in {self.layout.of('query')!r}")
        language = self._text(values, "language") or self.language
        right = self._labels(values) if self.layout.of("label") else self._documents(values, "positive")
        if not right:
            raise Fault(f"no text in {self.layout.of('positive') or self.layout.of('label')!r}")
        relevance = self._relevance(values)
        positives = [replace(document, language=language, relevance=relevance) for document in right]
        negatives = [
            replace(document, language=language, origin=self.negative_origin)
            for document in self._documents(values, "negative")
        ]
        return Parts(query, tuple(positives), tuple(negatives), self._text(values, "instruction"), language)

    def _text(self, values: Mapping[str, Any], part: Part) -> str:
        column = self.layout.of(part)
        value = values.get(column) if column else None
        if value is None or isinstance(value, str):
            return clean(value or "")
        raise Fault(f"{column!r} holds {type(value).__name__}, expected a text")

    def _relevance(self, values: Mapping[str, Any]) -> float | None:
        """How relevant the positives are, 0 to 1; None where the row does not say."""
        column = self.layout.of("relevance")
        score = number_in(values.get(column), column) if column else None
        if score is None:
            return None
        if not 0 <= score <= self.score_scale:
            raise Fault(f"{column!r} is {score:g}, which is not from 0 to {self.score_scale:g}, the `score_scale`")
        return round(score / self.score_scale, 6)

    def _labels(self, values: Mapping[str, Any]) -> list[Document]:
        """A document for each label of a row; its id is the label."""
        column = self.layout.of("label")
        names = self.layout.labels.get(column, ())
        found = []
        for value in _items(values.get(column)):
            known = isinstance(value, int) and 0 <= value < len(names)
            label = clean(str(names[value] if known else value))
            found.append(Document(label, label))
        return [document for document in found if document.text]

    def _documents(self, values: Mapping[str, Any], part: Literal["positive", "negative"]) -> list[Document]:
        """The documents of a part that have a text, each with the score that stands for it."""
        columns = self.layout.columns[part]
        found = [_document(item, column) for column in columns for item in _items(values.get(column))]
        scores = self._scores(values, "positive_scores" if part == "positive" else "negative_scores", len(found))
        pairs = zip(found, scores, strict=True)
        scored = [replace(each, scores={TEACHER: score}) if score is not None else each for each, score in pairs]
        return [document for document in scored if document.text]

    def _scores(self, values: Mapping[str, Any], part: Part, count: int) -> list[float | None]:
        column = self.layout.of(part)
        scores = _items(values.get(column)) if column else []
        if scores and len(scores) != count:
            raise Fault(f"{column!r} has {len(scores)} scores for {count} texts")
        return [number_in(score, column) for score in scores] or [None] * count


def _contents(documents: Sequence[Document]) -> list[tuple[object, ...]]:
    return [(each.doc_id, each.title, each.text, each.relevance, dict(each.scores)) for each in documents]


def number_in(value: object, column: str) -> float | None:
    """The number that a cell holds, also as text; None where it is empty. Raises Fault for anything else."""
    if value is None or value == "":
        return None
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Fault(f"{column!r} holds {str(value)[:40]!r}, expected a number")
    return number


def _items(value: object) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None else [value]


def _document(item: object, column: str) -> Document:
    """A text, or an object with one, as a document; without an id of its own its content makes one."""
    if isinstance(item, str):
        return with_id(Document(clean(item)))
    if not isinstance(item, Mapping):
        raise Fault(f"{column!r} holds {type(item).__name__}, expected a text, or an object with a text")
    keys = [str(key) for key in item]
    text, title, doc_id = (item.get(named(keys, usual)) for usual in (TEXT, TITLE, _DOC_ID))
    if not isinstance(text, str):
        raise Fault(f"{column!r} holds an object without a text; it has {in_words(keys)}")
    named_so = str(doc_id) if isinstance(doc_id, str | int) else ""
    return with_id(Document(clean(text), clean(named_so), " ".join(clean(str(title or "")).split())))


def with_id(document: Document) -> Document:
    """The document, with an id of its content where it has none: the same text has the same."""
    return document if document.doc_id else replace(document, doc_id=row_id("", 0, document.full_text))
