"""Lists that rows are made of, topics or personas: a text a line of a file, or a column of a table, wherever it lies.

topics.txt      Science > Physics > Optics
personas.jsonl  {"persona": "a nurse on night shifts who keeps bees"}
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from synth.documents.record import Place, clean
from synth.documents.table_set import TableSet, table_set
from synth.documents.tables import MissingColumn, in_words, named, peeked
from synth.errors import CorpusError, did_you_mean
from synth.prompt import SHIPPED
from synth.prompt_header import NAME
from synth.stage import Context, Source
from synth.types import Dropped, Example, row_id
from synth.values import OWN

KINDS = ("text", "jsonl", "csv", "parquet")
"""Kinds of files that a list may stand in."""


class Line(NamedTuple):
    """One text of a list on one line and where it stands; "" with a fault where it cannot be read."""

    place: Place
    text: str
    fault: str = ""


def listed(place: str, source: Source) -> TableSet:
    """The file, folder or dataset of a list: beside the recipe, or a shipped one such as `lists/personas.txt`.

    Raises CorpusError where it is not there or of no such kind.
    """
    shipped = SHIPPED / place
    if not source.path_of(place).exists() and shipped.is_file():
        place = str(shipped)
    return table_set(place, source, kinds=KINDS)


def lines(found: TableSet, column: str, usual: Sequence[str]) -> Iterator[Line]:
    """Each text of a list. The column is the one named, else the first `usual` name, else the only one there is.

    Raises MissingColumn where there is no such column.
    """
    for table in found.tables():
        known, rows = peeked(table.rows)
        chosen = _column(known, column, usual, table.name)
        for row in rows:
            place = Place(table.name, row.number)
            if row.values is None:
                yield Line(place, "", row.fault)
                continue
            value = row.values.get(chosen)
            text = on_one_line(value) if isinstance(value, str) else ""
            yield Line(place, text, "" if text else f"no text in {chosen!r}")


def check_list(found: TableSet, column: str, usual: Sequence[str]) -> None:
    """Raise CorpusError for files that have no such column, or hold nothing; a dataset on the Hub is not asked."""
    if not found.on_hub and next(lines(found, column, usual), None) is None:
        raise CorpusError(f"{found.place}: it holds nothing; write a text a line")


def on_one_line(text: str) -> str:
    """A text without line breaks, control characters and space at its ends."""
    return " ".join(clean(text).split())


def check_name(name: str) -> str:
    """A name under which prompts may read what a list gives. Raises ValueError for one that cannot be, or is taken."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: lower-case letters, digits and _, beginning with a letter")
    if name in OWN:
        raise ValueError(f"{name!r} is what every row has by itself; call it something else")
    return name


GivenName = Annotated[str, AfterValidator(check_name)]
"""An option that is the name under which prompts read something, checked when the recipe is read."""


def unreadable(place: Place, fault: str, ctx: Context) -> Dropped:
    """The row of what cannot be read. Raises CorpusError where the run is strict."""
    detail = f"{place}: {fault}"
    if ctx.source.strict:
        raise CorpusError(f"{detail}; mend it, or run without --strict to leave it out")
    meta = {"path": place.path, "line": place.line} if place.line else {"path": place.path}
    return Dropped(Example(id=row_id(ctx.step, 0, detail), meta=meta), "unreadable_row", detail)


def _column(known: Sequence[str], column: str, usual: Sequence[str], name: str) -> str:
    chosen = column or named(known, usual) or (known[0] if len(known) == 1 else "")
    if known and chosen not in known:
        asked = f"no column {column!r}" if column else f"no column {' or '.join(map(repr, usual))}"
        raise MissingColumn(
            f"{name}: {asked}; the columns are {in_words(known)}: set `column` to one{did_you_mean(chosen, known)}"
        )
    return chosen
