"""Draw what a row is to be like before anybody writes it: its language, and the values of axes of your own.

    - {use: sample, per_document: 3, languages: {en: 0.4, sw: 0.3, zh-Hant: 0.3}}
    - {use: sample, axes: {length: {short: {weight: 3, means: "at most five words"}, long: {means: "a paragraph"}}}}
    - {use: sample, tasks: {short_long: 7, sts: 7, short_short: 2}}
    - {use: sample, per_document: 6, lists: {label: {of: labels, tail: 0.5}}}

    a row  ->  three children: language sw, length "at most five words"; language en, length "a paragraph"; …

What is drawn here holds for every prompt that follows; what only one prompt needs belongs into its own header.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from synth.axes import Axes, spread
from synth.errors import RecipeError, did_you_mean
from synth.language_names import check_languages
from synth.prompt_header import NAME, Header, Returned, Value
from synth.stage import Context, Stage
from synth.types import Dropped, Example, child_of
from synth.values import OWN, given_to, with_draw, with_given

Weights = dict[str, float]
LANGUAGE, DOCUMENTS, PAIR, TASK = "language", "document_language", "pair", "task"


class Items(BaseModel):
    """A list that an earlier step gave, and the part of it that is drawn from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: str = Field(min_length=1, description="the name of the list, as the step that gave it calls it")
    tail: float = Field(default=1.0, gt=0, le=1, description="share of the list, from its end, that is drawn from")

    def among(self, texts: Sequence[str]) -> Sequence[str]:
        """The texts that are drawn from, at least one where there is any.

        >>> Items(of="labels", tail=0.4).among(["spam", "order", "refund", "praise", "recall"])
        ['praise', 'recall']
        """
        return texts[len(texts) - max(1, round(self.tail * len(texts))) :] if texts else texts


class Sample(Stage):
    """Make `per_document` children of each row, each with a language and a value of each axis, by their weights.

    The draws of one row are spread: each value comes about as often as its weight says within the row already, by a
    sequence of low discrepancy (a Kronecker sequence), and more draws change no earlier one. A row keeps its query
    and its documents. `languages` are those of the queries; unless given they are the recipe's. Documents
    that are written later are in the language of the query, in another one of them (`other`: for bitexts and search
    across languages), or in one drawn by weights of their own; `pairs` draws both at once. A language is a BCP 47 code.

    `tasks` draws the task of a row; `where: {task: …}` of later steps tells whom they are for. `lists` draws a text out
    of a list that a prompt returned, each once before any comes again; `tail` leaves its beginning out, which is what a
    model names first and everybody knows (Gemini Embedding, arXiv 2503.07891). A row without the list is dropped.
    """

    per_document: int = Field(default=1, ge=1, le=100_000, description="draws for each row")
    axes: dict[str, dict[str, Value]] = Field(
        default={}, description="what is drawn: name, values, each with its weight and the words for prompts"
    )
    probability: Weights = Field(default={}, description="how often an axis is drawn at all; its words are empty else")
    languages: Literal["same"] | Weights = Field(
        default={},
        description="weights of the languages of queries; the recipe's unless given; same: each keeps its own",
    )
    documents: Literal["same", "other"] | Weights = Field(
        default="same", description="the language of documents to be written: the query's, another, or by weights"
    )
    pairs: Weights = Field(default={}, description="weights of pairs of languages: {sw>en: 2, de>en: 1}")
    tasks: Weights = Field(default={}, description="weights of the tasks of rows; each keeps its own unless given")
    lists: dict[str, Items] = Field(
        default={}, description="texts drawn out of lists: {label: labels}, or {label: {of: labels, tail: 0.5}}"
    )

    @field_validator("axes", mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        """A weight alone, or a list of values, says as much."""
        return {name: _values(values) for name, values in value.items()} if isinstance(value, dict) else value

    @field_validator("lists", mode="before")
    @classmethod
    def _whole_lists(cls, value: object) -> object:
        """The name of a list alone is all of it."""
        plain = value.items() if isinstance(value, dict) else ()
        return {name: {"of": of} if isinstance(of, str) else of for name, of in plain} if plain else value

    @field_validator("languages", "documents", "pairs", "tasks", mode="before")
    @classmethod
    def _equal_shares(cls, value: object) -> object:
        return dict.fromkeys(value, 1.0) if isinstance(value, list | tuple) else value

    @field_validator("languages", "documents", "pairs")
    @classmethod
    def _are_languages(cls, value: Any, info: ValidationInfo) -> Any:
        codes = [] if isinstance(value, str) else [code for each in value for code in each.split(">")]
        check_languages(codes)
        if info.field_name == "pairs" and any(pair.count(">") != 1 for pair in value):
            raise ValueError("a pair is `query>document`, such as sw>en")
        return value

    @field_validator("languages", "documents", "pairs", "tasks")
    @classmethod
    def _are_weights(cls, value: Any) -> Any:
        if not isinstance(value, str) and value and (min(value.values()) < 0 or sum(value.values()) <= 0):
            raise ValueError("weights are 0 or more, and one of them is above 0")
        return value

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.pairs and (self.languages or self.documents != "same"):
            raise ValueError("pairs: they say both languages; leave `languages` and `documents` out")
        if self.languages == "same" and self.documents != "same":
            raise ValueError("languages: same draws none, and none for documents: leave `documents` out")
        if twice := sorted(self.axes.keys() & self.lists.keys()):
            raise ValueError(f"lists.{twice[0]}: an axis is called so too; call one of them something else")
        for name in (*self.axes, *self.lists):
            if not NAME.fullmatch(name) or name in OWN:
                taken = "every row has that by itself" if name in OWN else "lower-case letters, digits and _"
                place = "axes" if name in self.axes else "lists"
                raise ValueError(f"{place}.{name}: call it something else: {taken}")
        _ = self._drawing  # bounds of axes and probabilities are checked as those of a prompt's header
        return self

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """The children of each row, in the order of their draws."""
        languages = {} if isinstance(self.languages, str) else self.languages or ctx.languages
        if self.documents == "other" and len(languages) == 1:
            ctx.warn(f"documents: other: there is but one language, {next(iter(languages))}")
        self._check_lists(ctx)
        for row in rows:
            texts = {name: items.among(_listed(row, items.of)) for name, items in self.lists.items()}
            if none := [self.lists[name].of for name, found in texts.items() if not found]:
                yield Dropped(row, "missing_value", f"no step has given it a list {none[0]!r} with anything in it")
                continue
            for draw in range(self.per_document):
                yield self._child(row, draw, languages, self._items(row, draw, texts, ctx), ctx)

    def gives(self, ctx: Context) -> Sequence[str]:
        """The axes, what is drawn out of lists, and the language of documents."""
        del ctx
        return [*self.axes, *self.lists, DOCUMENTS]

    def content_read(self, ctx: Context) -> str:
        """Nothing. Raises RecipeError for a list that no step gives."""
        self._check_lists(ctx)
        return ""

    def uses_languages(self) -> bool:
        """It draws from the recipe's languages where it has none of its own."""
        return not self.languages and not self.pairs

    @cached_property
    def _drawing(self) -> Axes:
        return Axes(Header(about="axes", axes=self.axes, probability=self.probability, returns={"any": Returned()}))

    def _check_lists(self, ctx: Context) -> None:
        for name, items in self.lists.items():
            if items.of not in ctx.given:
                near = did_you_mean(items.of, ctx.given)
                cure = near or f"; there are {', '.join(sorted(ctx.given)) or 'none yet'}"
                raise RecipeError(f"step {ctx.step}: lists.{name}: no step before gives {items.of!r}{cure}")

    def _items(self, row: Example, draw: int, texts: Mapping[str, Sequence[str]], ctx: Context) -> dict[str, str]:
        """What is drawn out of each list: its texts in an order of the row's own, one for each draw."""
        orders = {name: ctx.rng(row, name).sample(found, len(found)) for name, found in texts.items()}
        return {name: order[draw % len(order)] for name, order in orders.items()}

    def _child(
        self, row: Example, draw: int, languages: Mapping[str, float], items: Mapping[str, str], ctx: Context
    ) -> Example:
        share = partial(
            _share, ctx, row, draw, [*self.axes, LANGUAGE, DOCUMENTS, PAIR, *([TASK] if self.tasks else [])]
        )
        query, document = self._drawn_languages(languages, share)
        task = _pick(self.tasks, share(TASK)) if self.tasks else row.task
        drawn = self._drawing.drawn(share)
        words = self._drawing.words(drawn, query or row.language)
        told = {**drawn, **items} | ({TASK: task} if self.tasks else {})
        text = "\0".join([query, document, *(f"{name}={value}" for name, value in sorted(told.items()))])
        child = child_of(row, ctx.step, draw, text)
        child = replace(child, query=row.query, language=query or row.language, task=task)
        child = with_given(child, {**words, **items} | ({DOCUMENTS: document} if document else {}))
        child = with_draw(child, draw)
        return replace(child, meta={**child.meta, ctx.step or "sample": {"draw": draw, "axes": drawn}})

    def _drawn_languages(self, languages: Mapping[str, float], share: Any) -> tuple[str, str]:
        """The language of the query and of documents to be written; "" where none is drawn."""
        if self.pairs:
            query, _, document = _pick(self.pairs, share(PAIR)).partition(">")
            return query, document
        query = _pick(languages, share(LANGUAGE)) if languages else ""
        if isinstance(self.documents, dict):
            return query, _pick(self.documents, share(DOCUMENTS))
        others = {code: weight for code, weight in languages.items() if code != query and weight > 0}
        if self.documents == "other" and others:
            return query, _pick(others, share(DOCUMENTS))
        return query, query


def _listed(row: Example, name: str) -> list[str]:
    """The different texts of a list that a step gave a row; none where it is no list."""
    given = given_to(row).get(name)
    return list(dict.fromkeys(str(each) for each in given if str(each).strip())) if isinstance(given, list) else []


def _values(values: object) -> object:
    """Values as the header of a prompt has them: from a list, or from weights alone."""
    plain = dict.fromkeys(map(str, values), 1.0) if isinstance(values, list) else values
    if not isinstance(plain, dict):
        return plain
    return {
        str(name): {"means": str(name), **value} if isinstance(value, dict) else {"weight": value, "means": str(name)}
        for name, value in plain.items()
    }


def _pick(weights: Mapping[str, float], share: float) -> str:
    """The name at this share of the weights.

    >>> _pick({"en": 3, "sw": 1}, 0.74), _pick({"en": 3, "sw": 1}, 0.76)
    ('en', 'sw')
    """
    left = share * sum(weights.values())
    for name, weight in weights.items():
        left -= weight
        if left < 0:
            return name
    return next(name for name in reversed(list(weights)) if weights[name] > 0)


def _share(ctx: Context, row: Example, draw: int, names: Sequence[str], name: str) -> float:
    """The random number of one axis for one draw: the row's own first one, moved on for each draw."""
    base = name.removesuffix("?")
    number = names.index(base) + (len(names) if name != base else 0)
    return spread(ctx.share(row, name), draw, number)
