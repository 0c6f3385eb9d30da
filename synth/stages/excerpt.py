"""One paragraph of a long document, to ask about, while the whole of it stays the positive.

    - {use: from_corpus, chunk: false}
    - {use: excerpt, per_document: 2}
    - {use: generate, prompt: my/question_about_excerpt}       a prompt that reads `excerpt`, `before` and `after`

    an article of 5,000 words  ->  two rows of it, with paragraphs from its beginning and its last third

So BGE-M3 (arXiv 2402.03216) made MLDR, its queries for long documents: a paragraph is drawn, a query is written about
it, and the article is to be found by it.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from synth.axes import spread
from synth.chunks import LONGEST_WORD, chunks, word_count
from synth.sentences import word_spans
from synth.stage import Context, Stage
from synth.types import Document, Dropped, Example, child_of
from synth.values import with_draw, with_given

GIVES = ("excerpt", "before", "after")
_GAP = re.compile(r"\n[^\S\n]*\n\s*")


class Excerpt(Stage):
    """Make `per_document` rows of each document, each with a paragraph of it that prompts read as `excerpt`.

    Paragraphs end at blank lines; short ones are joined to the next, long ones cut between sentences, so that each has
    `least_words` to `most_words`. They are drawn by the row's id and each once, `even`ly over the length of the
    document or at `random`; more draws change no earlier one. `before` and `after` are up to `window_words` around it.
    Where it stands is kept as `meta["excerpt"]`: `start` and `end` in characters, and `share`, its middle from 0 to 1.
    A document too short for a paragraph is one row with its whole text. Rows with a query, and rows without a text,
    pass.
    """

    per_document: int = Field(default=1, ge=1, le=1000, description="paragraphs of each document")
    least_words: int = Field(default=40, ge=1, le=10_000, description="shortest paragraph, in words")
    most_words: int = Field(default=250, ge=10, le=10_000, description="longest paragraph, in words")
    window_words: int = Field(default=50, ge=0, le=10_000, description="words before and after that are given too")
    spread: Literal["even", "random"] = Field(
        default="even", description="where in the document they stand: at distances as even as can be, or anywhere"
    )

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.least_words > self.most_words:
            raise ValueError(f"least_words is {self.least_words} and most_words {self.most_words}; turn them round")
        return self

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """The rows of each document."""
        for row in rows:
            if row.query or not row.positives or not row.positive.text.strip():
                yield row
                continue
            found = paragraphs(row.positive, self.least_words, self.most_words)
            for draw, place in enumerate(self._drawn(found, row, ctx)):
                yield self._child(row, draw, place, ctx)

    def gives(self, ctx: Context) -> Sequence[str]:
        """The paragraph, and what stands around it."""
        del ctx
        return GIVES

    def _drawn(self, found: Sequence["Place"], row: Example, ctx: Context) -> list["Place"]:
        """Up to `per_document` of the paragraphs, in the order of the draws."""
        if self.spread == "random":
            return ctx.rng(row, "place").sample(found, len(found))[: self.per_document]
        left, first = list(found), ctx.share(row, "place")
        length = max(place.end for place in found)
        drawn = []
        for draw in range(min(self.per_document, len(found))):
            aim = spread(first, draw, 0) * length
            nearest = min(left, key=lambda place: place.distance(aim))
            left.remove(nearest)
            drawn.append(nearest)
        return drawn

    def _child(self, row: Example, draw: int, place: "Place", ctx: Context) -> Example:
        text = row.positive.text
        excerpt = text[place.start : place.end]
        before = _last_words(text[: place.start], self.window_words)
        after = _first_words(text[place.end :], self.window_words)
        middle = round((place.start + place.end) / 2 / len(text), 5)
        told = {"start": place.start, "end": place.end, "share": middle}
        child = with_draw(replace(child_of(row, ctx.step, draw, excerpt), query=""), draw)
        child = replace(child, meta={**child.meta, "excerpt": told})
        return with_given(child, dict(zip(GIVES, (excerpt, before, after), strict=True)))


class Place(NamedTuple):
    """Where in a text something stands, in characters."""

    start: int
    end: int

    def distance(self, aim: float) -> float:
        """How far it is from a place; 0 where that lies in it."""
        return max(self.start - aim, aim - self.end, 0.0)


def paragraphs(document: Document, least: int, most: int) -> list[Place]:
    r"""The paragraphs of a document that have `least` to `most` words; the whole of it where it has none.

    >>> paragraphs(Document("# Nile\n\nIt floods in July.\n\nIt is long, and old."), 4, 8)
    [Place(start=0, end=26), Place(start=28, end=48)]
    """
    text = document.text
    found: list[tuple[Place, int]] = []
    for place in _pieces(document, most):
        words = word_count(text[place.start : place.end])
        if found and found[-1][1] < least and found[-1][1] + words <= most:
            before, count = found.pop()
            place, words = Place(before.start, place.end), count + words
        found.append((place, words))
    if len(found) > 1 and found[-1][1] < least and found[-1][1] + found[-2][1] <= most:
        (last, words), (before, count) = found.pop(), found.pop()
        found.append((Place(before.start, last.end), count + words))
    fitting = [place for place, words in found if words >= least]
    return fitting or [Place(*_stripped(text, 0, len(text)))]


def _pieces(document: Document, most: int) -> Iterator[Place]:
    """What stands between blank lines, cut between sentences where it is too long."""
    text, start = document.text, 0
    for end, following in (*(gap.span() for gap in _GAP.finditer(text)), (len(text), len(text))):
        place = Place(*_stripped(text, start, end))
        start = following
        cursor = place.start
        for piece in chunks(text[place.start : place.end], document.language, most) if place.end > place.start else ():
            cursor = text.find(piece, cursor)
            yield Place(cursor, cursor + len(piece))
            cursor += len(piece)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """A part without the space around it."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def _last_words(text: str, most: int) -> str:
    """The end of a text, of up to so many words.

    >>> _last_words("one two three ", 2)
    'two three'
    """
    near = text[len(text) - min(len(text), most * LONGEST_WORD) :].rstrip()
    starts = [start for start, _ in word_spans(near)][::-1]
    count = bisect_right(starts, most, key=lambda start: word_count(near[start:]))
    return near[starts[count - 1] :] if count else ""


def _first_words(text: str, most: int) -> str:
    """The beginning of a text, of up to so many words.

    >>> _first_words(" one two three", 2)
    'one two'
    """
    near = text.lstrip()[: most * LONGEST_WORD]
    ends = [end for _, end in word_spans(near)]
    count = bisect_right(ends, most, key=lambda end: word_count(near[:end]))
    return near[: ends[count - 1]] if count else ""
