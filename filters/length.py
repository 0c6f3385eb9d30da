"""Drop rows whose query or positives are too short or too long to learn from."""

from collections.abc import Iterable, Iterator
from typing import Self

from pydantic import Field, model_validator

from synth.sentences import words
from synth.stage import Context, Stage
from synth.types import Dropped, Example


class Length(Stage):
    """Keep rows whose query and every positive have a number of words between two bounds.

    In scripts that put no spaces between words each character counts as one. A row without a query yet is held to the
    bounds of positives alone, a row without positives to those of the query.
    """

    least_query: int = Field(default=1, ge=0, description="fewest words of a query")
    most_query: int = Field(default=300, ge=1, description="most words of a query")
    least_positive: int = Field(default=1, ge=0, description="fewest words of a positive, without its title")
    most_positive: int = Field(default=5000, ge=1, description="most words of a positive, without its title")

    @model_validator(mode="after")
    def _bounds_agree(self) -> Self:
        for part in ("query", "positive"):
            least, most = getattr(self, f"least_{part}"), getattr(self, f"most_{part}")
            if least > most:
                raise ValueError(f"least_{part} must be at most most_{part}, which is {most}, not {least}")
        return self

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Count each row's words."""
        for row in rows:
            detail = self._misfit(row)
            yield Dropped(row, "length", detail) if detail else row

    def _misfit(self, row: Example) -> str:
        """What is too short or too long, "" where nothing is."""
        texts = [("query", row.query, self.least_query, self.most_query)] if row.query else []
        texts += [("positive", each.text, self.least_positive, self.most_positive) for each in row.positives]
        for part, text, least, most in texts:
            count = len(words(text))
            if count < least:
                return f"the {part} has {count} words, fewer than {least}"
            if count > most:
                return f"the {part} has {count} words, more than {most}"
        return ""
