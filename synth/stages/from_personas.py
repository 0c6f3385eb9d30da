"""Rows out of a file of personas: one for each, without document and query; prompts write as them, or for them.

- {use: from_personas, file: ./personas.jsonl}
- {use: from_personas, file: hf://proj-persona/PersonaHub/persona, most: 20000}

{"persona": "A nurse on night shifts who keeps bees"}   ->   persona   A nurse on night shifts who keeps bees
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from synth.errors import CorpusError
from synth.language_names import LanguageCode
from synth.lists import GivenName, Line, check_list, lines, listed, unreadable
from synth.resemblance import folded
from synth.stage import Context, Stage
from synth.types import Dropped, Example, row_id
from synth.values import with_given

USUAL = ("persona", "input persona", "personas", "description", "text")
"""What a column of personas is called, most likely first."""


class FromPersonas(Stage):
    """Make a row for each persona of a file or a dataset, which prompts read as `persona`.

    Of more than `most` those stay that the seed draws. The set is read once from its beginning to its end, and only
    what is drawn stays in memory. Personas that are the same in any case, with any spaces and punctuation, count once.
    Who writes shows in a query's form and interests: Persona Hub (arXiv 2406.20094) has a billion of them.
    """

    file: str = Field(
        min_length=1, description="a file beside the recipe, .txt .jsonl .csv .parquet, or hf://owner/name"
    )
    column: str = Field(default="", description="the table's column of personas; found by its name unless given")
    most: int = Field(default=10_000, ge=1, description="personas to draw where there are more")
    task: str = Field(default="retrieval", description="the task of the rows")
    makes: GivenName = Field(default="persona", description="the name under which prompts read it")
    language: LanguageCode = Field(default="", description="the language of the rows, where it is known")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Give the rows of the personas that are drawn. Raises CorpusError where there is none to be read."""
        del rows
        most = self.most if ctx.source.limit is None else min(self.most, ctx.source.limit)
        drawn = _Drawn(most)
        for line in lines(listed(self.file, ctx.source), self.column, USUAL):
            if line.fault:
                yield unreadable(line.place, line.fault, ctx)
            else:
                self._draw(line, drawn, ctx)
        if not drawn.found:
            raise CorpusError(f"{ctx.step}: {self.file}: no persona in it can be read")
        for born in sorted(drawn.found):
            yield from self._outcomes(born, drawn.found[born], ctx)
        if drawn.left_out:
            ctx.count("personas_left_out", drawn.left_out)

    def gives(self, ctx: Context) -> Sequence[str]:
        """The persona."""
        del ctx
        return [self.makes]

    def content_read(self, ctx: Context) -> str:
        """A hash of the file. Raises CorpusError where it is not there or has no such column."""
        found = listed(self.file, ctx.source)
        check_list(found, self.column, USUAL)
        return found.content()

    def _draw(self, line: Line, drawn: "_Drawn", ctx: Context) -> None:
        born = row_id(ctx.step, 0, folded(line.text))
        drawn.add(born, ctx.share(born), line.text)

    def _outcomes(self, born: str, found: "_Persona", ctx: Context) -> Iterator[Example | Dropped]:
        """The row of a persona, and one that is dropped for each time it stands there again."""
        row = Example(id=born, task=self.task, language=self.language)
        yield with_given(row, {self.makes: found.text})
        for number in range(1, found.times):
            again = Example(id=row_id(ctx.step, number, "", [born]), task=self.task, language=self.language)
            detail = f"{found.text[:200]!r} is there already"
            yield Dropped(with_given(again, {self.makes: found.text}), "duplicate_persona", detail)


@dataclass(slots=True)
class _Persona:
    """A persona that is drawn as it stands now: its text, and how often it was met."""

    text: str
    times: int = 1


@dataclass(slots=True)
class _Drawn:
    """The personas of the smallest draws so far. One that has left never comes back: the bound only falls."""

    most: int
    found: dict[str, _Persona] = field(default_factory=dict)
    left_out: int = 0
    _largest: list[tuple[float, str]] = field(default_factory=list)

    def add(self, born: str, share: float, text: str) -> None:
        """Take a persona, or one more time the one of this id; what then is too much leaves."""
        if known := self.found.get(born):
            known.times += 1
            known.text = min(known.text, text)
            return
        if len(self.found) == self.most and (-share, born) < self._largest[0]:
            self.left_out += 1
            return
        self.found[born] = _Persona(text)
        heapq.heappush(self._largest, (-share, born))
        if len(self.found) > self.most:
            _, gone = heapq.heappop(self._largest)
            self.left_out += self.found.pop(gone).times
