"""Show rows that have queries to whoever writes the others: a strong model writes a few, a cheap one goes by them.

    - {use: stratify, rows: 40, tag: shown}
    - {use: generate, name: few, backend: strong, per_document: 5, where: {tag: shown}}
    - {use: demonstrate, shots: 3, sets: 5}
    - {use: generate, name: many, prompt: promptagator/query, where: {without_tag: shown}}

    "The Nile floods each summer…"   ->   examples: [{"document": "The Amazon …", "query": "how wide is …"}, …]

UDAPDR (arXiv 2303.00807) had GPT-3 write for 20 passages, made five prompts of three examples each of that, and had
Flan-T5 write the mass by those.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from synth.stage import Context, Stage, replayable
from synth.types import Document, Dropped, Example
from synth.values import language_of, with_given


class Demonstrate(Stage):
    """Give each row that has no query `shots` rows that have one, as `examples` for a prompt to read.

    Examples are rows with a query and a document, of the row's own language first; `from_tag` names the rows that may
    be some. There are `sets` different choices of them for a language, and the seed decides which a row gets: prompts
    of one set begin alike, which servers read once, and several sets make queries of more kinds than one does. No two
    examples of a set are about the same document, and none is about the row's own. Rows that have a query pass. Where
    there are no examples the others pass as they are, and that is told. All examples are in memory, so be they few.
    """

    scope: ClassVar[Any] = "set"

    shots: int = Field(default=3, ge=1, le=50, description="examples for each row")
    sets: int = Field(default=5, ge=1, le=1000, description="different choices of examples for each language")
    from_tag: str = Field(default="", description="only rows with this tag are examples; all with a query unless given")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Find the examples, then give them to the rows."""
        rows = replayable(rows)
        choices = _Choices(self, [_Shown.of(row) for row in rows if self._is_example(row)], ctx)
        without = 0
        for row in rows:
            if row.query.strip():
                yield row
                continue
            lines = choices.of(row)
            without += not lines
            yield with_given(row, {"examples": lines}) if lines else row
        if without:
            ctx.warn(f"{ctx.step or 'demonstrate'}: {without:,} rows got no examples: no row has a query to show them")

    def gives(self, ctx: Context) -> Sequence[str]:
        """The examples."""
        del ctx
        return ["examples"]

    def _is_example(self, row: Example) -> bool:
        has_both = bool(row.query.strip() and row.positives)
        return has_both and (not self.from_tag or self.from_tag in row.tags)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A row as an example: what a prompt reads of it, and what it is known by."""

    row_id: str
    family: str
    base: str
    line: dict[str, str]

    @classmethod
    def of(cls, row: Example) -> "_Shown":
        """A row that has a query and a document."""
        document = row.positive
        line = {"document": document.text, "title": document.title, "query": row.query, "language": language_of(row)}
        return cls(row.id, family_of(document), base_of(row), line)

    def is_about(self, row: Example) -> bool:
        """True where it is about a document of the row, or a piece of the same one."""
        return any(family_of(document) == self.family for document in row.positives)


class _Choices:
    """Which examples are shown to whom: those of each set of each language are chosen when first wanted."""

    def __init__(self, stage: Demonstrate, shown: Sequence[_Shown], ctx: Context) -> None:
        self._stage, self._shown, self._ctx = stage, shown, ctx
        self._sets: dict[tuple[str, int], list[_Shown]] = {}

    def of(self, row: Example) -> list[dict[str, str]]:
        """The examples for a row, best first."""
        number = int(self._ctx.share(row, "set") * self._stage.sets)
        key = (base_of(row), number)
        if key not in self._sets:
            self._sets[key] = self._chosen(*key)
        others = [each.line for each in self._sets[key] if not each.is_about(row)]
        return others[: self._stage.shots]

    def _chosen(self, base: str, number: int) -> list[_Shown]:
        """One set for a language: each example is about another document, and there is one to spare."""
        drawn = [(self._ctx.share(each.row_id, f"of set {number}"), each) for each in self._shown]
        ranked = sorted(drawn, key=lambda pair: (pair[1].base != base, pair[0], pair[1].row_id))
        of_documents: dict[str, _Shown] = {}
        for _, each in ranked:
            of_documents.setdefault(each.family, each)
        return list(of_documents.values())[: self._stage.shots + 1]


def base_of(row: Example) -> str:
    """The language of a row without its script and region.

    >>> base_of(Example(id="r", language="zh-Hant"))
    'zh'
    """
    return language_of(row).partition("-")[0]


def family_of(document: Document) -> str:
    """What a document and its pieces have in common: the id of the whole, or its text where it has no id."""
    return document.family or document.text
