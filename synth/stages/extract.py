"""Queries by rule, cut out of the documents themselves: no model, no network, any language.

    positive   title "Nile", text "The Nile floods each summer. Its silt feeds the fields. Dams ended that in 1970."
    title      query "Nile"                             positive "The Nile floods each summer. Its silt feeds …"
    sentence   query "Its silt feeds the fields."       positive "Nile / The Nile floods each summer. Dams ended …"
    span       query "silt feeds the"                   positive the same
    crop       query "floods each summer"               positive the whole document
    keywords   query "silt fields"                      positive the whole document

`title` asks for the text by its title, as the title-body pairs of E5 do (Wang et al. 2022, 2212.03533).
`sentence` is the inverse cloze task (Lee et al. 2019, 1906.00300): the sentence is cut out of its document and stays
in it one time in ten, so that a student learns words and meaning. `span` asks with a part of the sentence that was
cut out. `crop` asks with a span that stays, as one of Contriever's two crops (Izacard et al. 2021, 2112.09118).
`keywords` asks with a few words of one sentence, longer ones more often: in any language rare words are long (Zipf
1935, The Psycho-Biology of Language).
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field, field_validator

from synth.sentences import has_letters, sentence_spans, terms, word_spans
from synth.stage import Context, Stage
from synth.types import Document, Dropped, Example, child_of

Rule = Literal["title", "sentence", "span", "crop", "keywords"]
LEFT_IN = "left_in"
"""The tag of a row whose query still stands word for word in its positive."""
MOST_WORDS = 64
"""Longest query, in words; of a longer sentence its beginning."""
DRAWS = 2
"""Draws for each query wanted: some give a query that is there already."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A query and what is left of its document."""

    rule: Rule
    query: str
    document: Document
    left_in: bool = False


class Extract(Stage):
    """Cut queries out of each document by rule; its positive is stored as it will be trained on."""

    per_document: int = Field(default=5, ge=1, le=1000, description="most queries of a document")
    rules: dict[Rule, float] = Field(
        default={"title": 1, "sentence": 1, "span": 1},
        min_length=1,
        description="rules and how often each is drawn, or a list of rules; a title is always taken where there is one",
    )
    left_in: float = Field(
        default=0.1, ge=0, le=1, description="share of cut sentences that stay in their document, tagged left_in"
    )
    least: int = Field(default=20, ge=1, description="shortest sentence that is cut, in characters")

    @field_validator("rules", mode="before")
    @classmethod
    def _list_means_equal(cls, value: object) -> object:
        return dict.fromkeys(value, 1) if isinstance(value, list | tuple) else value

    @field_validator("rules")
    @classmethod
    def _weights_are_positive(cls, value: dict[Rule, float]) -> dict[Rule, float]:
        if any(weight <= 0 for weight in value.values()):
            raise ValueError("every weight must be above 0; leave out a rule that is not wanted")
        return value

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Draw the queries of each document; the same ones in whatever order the rows come."""
        for row in rows:
            children = self._children(row, ctx)
            if not children:
                yield Dropped(row, "nothing_to_extract", "no title, and no sentence to cut out of others")
            yield from children

    def _children(self, row: Example, ctx: Context) -> list[Example]:
        """At most `per_document` rows with different queries."""
        found: dict[str, Example] = {}
        if not row.positives:
            return []
        for draw, cut in enumerate(self._cuts(row.positive, ctx.rng(row))):
            if cut is not None and cut.query not in found:
                found[cut.query] = _child(row, ctx.step, draw, cut)
            if len(found) == self.per_document:
                break
        return list(found.values())

    def _cuts(self, document: Document, rng: random.Random) -> Iterator[Cut | None]:
        """The title, then draws of the other rules; None where a draw gives no query."""
        if "title" in self.rules and has_letters(document.title) and has_letters(document.text):
            yield Cut("title", document.title.strip(), replace(document, title=""))
        rules = [rule for rule in self.rules if rule != "title"]
        spans = self._places(document) if rules else []
        if not spans:
            return
        weights = [self.rules[rule] for rule in rules]
        for rule in rng.choices(rules, weights, k=DRAWS * self.per_document):
            yield self._cut(rule, document, rng.choice(spans), rng)

    def _places(self, document: Document) -> list[tuple[int, int]]:
        """Where the sentences stand that are long enough."""
        spans = sentence_spans(document.text, document.language)
        return [(start, end) for start, end in spans if end - start >= self.least]

    def _cut(self, rule: Rule, document: Document, place: tuple[int, int], rng: random.Random) -> Cut | None:
        """One query from the sentence at `place`; None where nothing with a letter comes of it."""
        sentence = document.text[slice(*place)]
        if rule == "keywords":
            query, left = _keywords(sentence, rng), document
        else:
            query = _beginning(sentence) if rule == "sentence" else _span(sentence, rng)
            left = document if rule == "crop" or rng.random() < self.left_in else _without(document, place)
        if not has_letters(query) or not has_letters(left.text):
            return None
        return Cut(rule, query, left, left is document and rule != "keywords")


def _child(row: Example, step: str, draw: int, cut: Cut) -> Example:
    """The row that a cut makes: it says its rule, and its document is what the cut left."""
    born = child_of(row, step, draw, cut.query)
    tags = born.tags | {LEFT_IN} if cut.left_in else born.tags
    language = cut.document.language or row.language
    return replace(born, positives=(cut.document,), tags=tags, language=language, meta={**born.meta, "rule": cut.rule})


def _without(document: Document, place: tuple[int, int]) -> Document:
    """The document with one sentence cut out and the space around it closed up."""
    before, after = document.text[: place[0]].rstrip(), document.text[place[1] :].lstrip()
    gap = max(document.text[len(before) : place[0]], document.text[place[1] : len(document.text) - len(after)], key=len)
    return replace(document, text=before + gap + after if before and after else before + after)


def _beginning(sentence: str) -> str:
    """The sentence, or its first MOST_WORDS words."""
    if len(sentence) <= MOST_WORDS:
        return sentence
    places = word_spans(sentence)
    return sentence if len(places) <= MOST_WORDS else sentence[: places[MOST_WORDS - 1][1]]


def _span(sentence: str, rng: random.Random) -> str:
    """A run of 30 to 70 % of the sentence's words."""
    places = word_spans(sentence)
    n = min(max(1, round(len(places) * rng.uniform(0.3, 0.7))), MOST_WORDS)
    start = rng.randint(0, max(0, len(places) - n))
    return sentence[places[start][0] : places[start + n - 1][1]] if places else ""


def _keywords(sentence: str, rng: random.Random) -> str:
    """Two to five different words of the sentence in their order, longer ones more often."""
    found = list(dict.fromkeys(terms(sentence)))
    wanted = rng.randint(2, 5)
    drawn = sorted(range(len(found)), key=lambda i: rng.random() ** (1 / len(found[i])), reverse=True)[:wanted]
    return " ".join(found[i] for i in sorted(drawn))
