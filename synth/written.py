"""What a model's answer makes of a row: the parts that its prompt says it returns, and what later prompts may read.

    returns: {query: {}, positive: {type: text}, negative: {type: text, relevance: 0}, summary: {}}

    {"query": "…", "positive": "…", "negative": "…", "summary": "…"}
    ->  a child with that query, two written documents, and `summary` given to later prompts

A part that is not returned stays the row's own; what is `further` joins the row's positives. A document that a model
wrote has the origin `written`, for good: its style gives it away, and whoever trains on it must be able to tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from synth.axes import Axes
from synth.prompt_header import Header
from synth.rows import to_json
from synth.types import Document, Example, child_of, row_id
from synth.values import document_language_of, language_of, with_given


def written_row(
    row: Example, axes: Axes, fields: Mapping[str, Any], born: tuple[str, int], drawn: Mapping[str, str]
) -> Example:
    """The child that an answer makes of a row; `born` is the step's name and the number of the draw.

    `axes` are the prompt's, `drawn` the values of them: they may say how relevant a document was asked to be.
    """
    parts = {name: axes.header.part_of(name) for name in fields if fields[name] is not None}
    only_query = list(parts.values()) == ["query"]
    text = str(next(iter(fields.values()))) if only_query else to_json(fields)
    child = child_of(row, *born, text)
    child = replace(child, query=row.query, language=language_of(row))
    title = ""
    documents: dict[str, list[Document]] = {"positive": [], "negative": [], "further": []}
    for name, part in parts.items():
        if part in documents:
            returned = axes.header.returns[name]
            made = _documents(fields[name], axes.relevance(name, drawn), row)
            documents["further" if returned.further else part] += _noted(made, returned.notes, fields)
        elif part == "title":
            title = str(fields[name])
        elif part == "query":
            child = replace(child, query=str(fields[name]))
        elif part == "instruction":
            child = replace(child, instruction=str(fields[name]))
    given = {name: fields[name] for name, part in parts.items() if part == "none"}
    return with_given(_with_documents(child, documents, title), given)


def given_names(header: Header) -> Sequence[str]:
    """The fields of an answer that later prompts may read."""
    return [name for name in header.returns if header.part_of(name) == "none"]


def _documents(value: object, relevance: float | None, row: Example) -> list[Document]:
    """The documents that a text, or each text of a list, is; an empty one has no text."""
    texts = [str(each) for each in value] if isinstance(value, list) else [str(value)]
    language = document_language_of(row)
    return [
        Document(text, f"written-{row_id('', 0, text)}", language=language, origin="written", relevance=relevance)
        for text in texts
    ]


def _noted(documents: Sequence[Document], notes: Mapping[str, str], fields: Mapping[str, Any]) -> list[Document]:
    """The documents that have a text, each with what the fields of the answer that `notes` names say of it."""
    there = {name: fields[field] for name, field in notes.items() if fields.get(field) is not None}
    there = {name: value if isinstance(value, list) else [value] for name, value in there.items()}
    made = []
    for place, document in enumerate(documents):
        told = {name: values[place] for name, values in there.items()}
        made.append(replace(document, title=told.pop("title", ""), meta=told))
    return [each for each in made if each.text.strip()]


def _with_documents(child: Example, written: Mapping[str, Sequence[Document]], title: str) -> Example:
    positives, negatives = tuple(written["positive"]), tuple(written["negative"])
    if positives and title:
        positives = (replace(positives[0], title=title), *positives[1:])
    right = positives or child.positives
    if written["further"]:
        right = (*right, *written["further"])
    return replace(child, positives=right, negatives=(*child.negatives, *negatives))
