"""Drop rows whose query is copied out of its positive: they teach string matching, not meaning."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from synth.sentences import words
from synth.stage import Context, Stage
from synth.types import Dropped, Example


class Leakage(Stage):
    """Keep queries with at most this share of their words in one run of the words of a positive.

    Case, spaces and punctuation do not count; in scripts without spaces each character is a word. Queries of few words
    name what their positive is about and pass, as do rows without a query. Rows tagged `left_in` were copied on
    purpose (inverse cloze leaves some sentences in, 1906.00300) and are left alone, unless `where` says otherwise.
    """

    default_where: ClassVar[dict[str, object]] = {"without_tag": "left_in"}

    most: float = Field(default=0.8, ge=0, le=1, description="largest share of the query copied in one run")
    least_words: int = Field(default=6, ge=1, description="queries of fewer words pass unmeasured")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Measure each query against its own positives, titles included."""
        for row in rows:
            share = self._share(row)
            if share <= self.most:
                yield row
            else:
                yield Dropped(row, "leakage", f"{share:.0%} of the query is copied")

    def _share(self, row: Example) -> float:
        """The share of the query in one run of a positive's words; 0 where it is not measured."""
        query = _words(row.query)
        if len(query) < self.least_words:
            return 0.0
        return max((copied_run(query, _words(each.full_text)) for each in row.positives), default=0) / len(query)


def _words(text: str) -> list[str]:
    from synth.resemblance import folded

    return words(folded(text))


def copied_run(query: Sequence[str], text: Sequence[str]) -> int:
    """The number of words in the longest run of the query that stands in the text.

    >>> copied_run("does the nile flood in july".split(), "every summer the nile flood brings mud".split())
    3
    """
    whole, longest = f" {' '.join(text)} ", 0
    for start in range(len(query)):
        while start + longest < len(query) and f" {' '.join(query[start : start + longest + 1])} " in whole:
            longest += 1
    return longest
