"""What a prompt may read of a row: its own parts, and what earlier steps gave it.

    reads: [document, language_name, persona]

    document        the first positive's text                     of every row that has one
    language_name   "Swahili (Kiswahili)"                         of the row's own language
    persona         "a nurse on night shifts"                     given by an earlier step, in `meta["given"]`

Steps that draw or write something for later prompts say so (`Stage.gives`), so that a prompt which reads what nothing
gives is found before anything is asked.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from zlib import crc32

from synth.errors import RecipeError, did_you_mean
from synth.language_names import told
from synth.types import Document, Example

OWN = (
    "document",
    "title",
    "documents",
    "negatives",
    "document_language",
    "document_language_name",
    "language",
    "language_name",
    "instruction",
    "query",
    "task",
)
"""What every row has by itself. Each of `documents` and `negatives` has a `text`, a `title` and a `language`."""
OF_DOCUMENTS = frozenset({"document", "title", "documents"})
"""Of these, what a row without a document has not."""
GIVEN = "given"
"""Where in a row's `meta` stands what steps gave it."""
DRAWS = "draws"
"""Where in it stand the numbers of the draws that it comes from."""


def with_given(row: Example, values: Mapping[str, Any]) -> Example:
    """The row with values that later prompts may read; each is JSON, and a later step's stands for an earlier one's."""
    if not values:
        return row
    return replace(row, meta={**row.meta, GIVEN: {**given_to(row), **values}})


def given_to(row: Example) -> Mapping[str, Any]:
    """What earlier steps gave the row, by name.

    >>> given_to(with_given(Example(id="x"), {"topic": "tides"}))
    {'topic': 'tides'}
    """
    given = row.meta.get(GIVEN)
    return given if isinstance(given, Mapping) else {}


def values_of(row: Example, names: Iterable[str]) -> dict[str, Any]:
    """The values of these names; a KeyError names one that the row has not."""
    given = given_to(row)
    own = _own(row)
    return {name: given[name] if name in given else own[name] for name in names}


def with_draw(row: Example, draw: int) -> Example:
    """A child that was drawn: it remembers the number of its draw, and those of the rows that it comes from."""
    return replace(row, meta={**row.meta, DRAWS: [*row.meta.get(DRAWS, ()), draw]})


def first_sample(row: Example) -> int:
    """The number of the first sample that is asked for a row: 0, but for what later draws made.

    Two draws of one row may come to the same words of a prompt. They are two rows, so they are two samples of it.

    >>> first_sample(Example(id="x")), first_sample(with_draw(Example(id="x"), 3)) > 1000
    (0, True)
    """
    draws = row.meta.get(DRAWS, ())
    return crc32(json.dumps(list(draws)).encode()) << 17 if any(draws) else 0


def language_of(row: Example) -> str:
    """The language of a row's query: its own, else that of its document."""
    return row.language or (row.positives[0].language if row.positives else "")


def document_language_of(row: Example) -> str:
    """The language in which a row's documents are, or are to be written."""
    of_document = row.positives[0].language if row.positives else ""
    return of_document or str(given_to(row).get("document_language", "")) or row.language


def check_reads(reads: Iterable[str], given: Iterable[str], place: str) -> None:
    """Raise RecipeError for a name that neither every row has nor an earlier step gives."""
    there = [*OWN, *sorted(set(given) - set(OWN))]
    for name in reads:
        if name not in there:
            cure = f"{did_you_mean(name, there)}; there are {', '.join(there)}, and its own axes"
            raise RecipeError(f"{place} reads {name!r}, which nothing here fills{cure}")


def _own(row: Example) -> dict[str, Any]:
    document = row.positives[0] if row.positives else Document("")
    language, other = language_of(row), document_language_of(row)
    return {
        "document": document.text,
        "title": document.title,
        "documents": [_readable(each) for each in row.positives],
        "negatives": [_readable(each) for each in row.negatives],
        "document_language": other,
        "document_language_name": told(other),
        "language": language,
        "language_name": told(language),
        "instruction": row.instruction,
        "query": row.query,
        "task": row.task,
    }


def _readable(document: Document) -> dict[str, str]:
    return {"text": document.text, "title": document.title, "language": document.language}
