"""Drop rows whose query is copied out of its positive: they teach string matching, not meaning.

"the nile floods the fields of egypt"    with "Every summer the Nile floods the fields of Egypt, and …"
100 % of the query in one run, 7 words long; ROUGE-L 1.0
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from synth.sentences import words
from synth.stage import Context, Stage
from synth.types import Dropped, Example


class Leakage(Stage):
    """Keep queries with at most this share of their words in one run of the words of a positive.

    With `most_run` also those whose longest copied run has at most so many words, for queries as long as a paragraph;
    with `most_rouge` those whose words stand in the positive in their order, with others between them, up to a share
    (the recall of ROUGE-L, Lin 2004, aclanthology.org/W04-1013). Case, spaces and punctuation do not count; in scripts
    without spaces each character is a word. Queries of few words name what their positive is about and pass, as do rows
    without a query. Rows tagged `left_in` were copied on
    purpose (inverse cloze leaves some sentences in, 1906.00300) and are left alone, unless `where` says otherwise.
    """

    default_where: ClassVar[dict[str, object]] = {"without_tag": "left_in"}

    most: float = Field(default=0.8, ge=0, le=1, description="largest share of the query copied in one run")
    most_run: int | None = Field(default=None, ge=1, description="longest run of copied words")
    most_rouge: float | None = Field(
        default=None, ge=0, le=1, description="largest share of the query's words that stand in a positive in order"
    )
    least_words: int = Field(default=6, ge=1, description="queries of fewer words pass unmeasured")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Measure each query against its own positives, titles included."""
        for row in rows:
            detail = self._copied(row)
            yield Dropped(row, "leakage", detail) if detail else row

    def _copied(self, row: Example) -> str:
        """How much of the query is copied, "" where that is not too much or not measured."""
        query = _words(row.query)
        if len(query) < self.least_words:
            return ""
        texts = [_words(each.full_text) for each in row.positives]
        run = max((copied_run(query, text) for text in texts), default=0)
        if run / len(query) > self.most:
            return f"{run / len(query):.0%} of the query is copied"
        if self.most_run is not None and run > self.most_run:
            return f"{run} words of the query are copied in one run"
        if self.most_rouge is not None:
            share = max((in_order(query, text) for text in texts), default=0) / len(query)
            return f"{share:.0%} of the query's words stand there in order" if share > self.most_rouge else ""
        return ""


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


def in_order(query: Sequence[str], text: Sequence[str]) -> int:
    """The number of words in the longest sequence that query and text have in common, gaps allowed.

    By Hunt and Szymanski (1977, doi 10.1145/359581.359603): quick where most words are rare.

    >>> in_order("the nile in july floods".split(), "every july the blue nile rises and floods".split())
    3
    """
    places: dict[str, list[int]] = {}
    for place in range(len(text) - 1, -1, -1):
        places.setdefault(text[place], []).append(place)
    ends: list[int] = []  # ends[n]: where the earliest common sequence of n + 1 words ends in the text
    for word in query:
        for place in places.get(word, ()):
            ends[(at := bisect_left(ends, place)) : at + 1] = [place]
    return len(ends)
