"""The front matter of a prompt: what it reads, what is drawn for it, and the shape of the answer it asks for.

It opens the prompt's file, between two lines of three dashes:

    about: One question that the document answers.
    paper: Promptagator, arXiv 2209.11755
    reads: [document]
    axes:
      form: {question: {weight: 3, means: a full question}, keywords: {means: two to five keywords}}
    returns: {query: {type: string, most: 300, about: the question}}

What an answer returns under the name of a part of a row becomes that part: `query`, `instruction`, `title`, `positive`,
`negative`, `positives`, `negatives`. Another name can say so: `{part: negative, relevance: 0.3}`. A document may
keep other fields of the answer, in a list each its own: `negatives: {type: list, notes: {breaks: requirements}}`.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator

from synth.axis_check import Check

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""What a value, a field or an axis may be called."""

MOST_REPEATED = 2000
"""How often llama.cpp's grammars repeat a thing at the least: more they refuse."""
MOST_CHOICES = 1000
"""How many values OpenAI's strict schemas take."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

MOST_AT_ONCE, MOST_BOUNDED = 128, 1024
"""Repetitions that a schema's pattern asks for in one piece, and in all.

xgrammar 0.2.8, which vLLM 0.32 stands on, takes no more in one piece, and compiles many pieces slowly (600 characters
in 0.5 s). Longer texts are bounded when they are read.
"""

Kind = Literal["string", "text", "integer", "number", "boolean", "list"]
Part = Literal["query", "instruction", "title", "positive", "negative", "none"]
"""What of a row a field of an answer becomes; `none` for what only later prompts and people read."""
PARTS: dict[str, Part] = {
    "query": "query",
    "instruction": "instruction",
    "title": "title",
    "positive": "positive",
    "positives": "positive",
    "negative": "negative",
    "negatives": "negative",
}
"""The part that a field is by its name alone."""


class Returned(BaseModel):
    """One field of an answer.

    `string` is one line, `text` may have more. `least` and `most` bound a number, the characters of a string or the
    items of a list. `choices` are the only strings allowed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Kind = "string"
    about: str = Field(default="", description="what it is, for the model and for whoever reads the prompt")
    least: float | None = Field(default=None, allow_inf_nan=False, description="smallest number, length or count")
    most: float | None = Field(default=None, allow_inf_nan=False, description="largest number, length or count")
    choices: tuple[str, ...] = Field(default=(), description="the only values, of a string or of a list's items")
    optional: bool = Field(default=False, description="asked for like the others, and an answer without it is read too")
    part: Part | None = Field(default=None, description="the part of a row it becomes; by its own name unless said")
    relevance: float | str | None = Field(
        default=None,
        description="of a document, how relevant it is meant to be: 0 to 1, or the axis whose value says so",
    )
    further: bool = Field(
        default=False,
        description="a positive that stands behind those which the row has, in place of standing for them",
    )
    notes: dict[str, str] = Field(
        default={},
        description="what a document keeps in its meta, or as its `title`: the name, and the field that holds it",
    )

    @model_validator(mode="after")
    def _bounds_fit(self) -> "Returned":
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least is {self.least:g} and most is {self.most:g}; turn them round")
        if self.choices and self.type not in ("string", "list"):
            raise ValueError(f"choices are for strings and lists, not for {self.type}")
        if isinstance(self.relevance, float | int) and not 0 <= self.relevance <= 1:
            raise ValueError(f"relevance is from 0 to 1, or the name of an axis; it is {self.relevance:g}")
        return self

    @model_validator(mode="after")
    def _servers_take_it(self) -> "Returned":
        """Refuse what makes a schema that a server would refuse, or that nothing fits."""
        bounds = {name: bound for name in ("least", "most") if (bound := getattr(self, name)) is not None}
        for name, bound in bounds.items():
            if self.type not in ("number", "boolean") and bound != int(bound):
                raise ValueError(f"{name} is {bound:g}; of {self.type} it must be a whole number")
            if self.type in ("string", "text", "list") and bound < (name == "most"):
                raise ValueError(f"{name} is {bound:g}; lengths and counts begin at {int(name == 'most')}")
        if self.type in ("string", "list") and bounds.get("least", 0) > MOST_REPEATED:
            raise ValueError(f"least is {self.least:g}; guided decoding demands at most {MOST_REPEATED:,} at once")
        if len(self.choices) > MOST_CHOICES:
            raise ValueError(f"choices: there are {len(self.choices):,}; hosted APIs take at most {MOST_CHOICES:,}")
        twice = [choice for choice, times in Counter(self.choices).items() if times > 1]
        if twice:
            raise ValueError(f"choices: {twice[0]!r} stands twice")
        return self

    def schema_of(self) -> dict[str, Any]:
        """Its JSON schema, in the subset that servers with guided decoding and strict hosted APIs both take.

        Strings are bounded by a pattern, since grammars made from `maxLength` let raw control characters through.
        """
        plain = {"description": self.about} if self.about else {}
        if self.type == "list":
            items = {"type": "string", "enum": list(self.choices)} if self.choices else {"type": "string"}
            return plain | {"type": "array", "items": items} | self._bounds("minItems", "maxItems")
        if self.type in ("string", "text"):
            return plain | self._string()
        if self.type == "boolean":
            return plain | {"type": "boolean"}
        return plain | {"type": self.type} | self._bounds("minimum", "maximum")

    def python(self) -> tuple[Any, Any]:
        """Its type and bounds as pydantic takes them; None where it is optional and missing."""
        kind, bounds = self._python()
        return (Annotated[kind, bounds] | None, None) if self.optional else (Annotated[kind, bounds], ...)

    def _python(self) -> tuple[Any, Any]:
        if self.type in ("string", "text"):
            return self._string_type(), Field()
        if self.type == "list":
            item: Any = Literal[self.choices] if self.choices else str
            one: Any = Annotated[item, BeforeValidator(self._chosen if self.choices else _in_words)]
            return list[one], Field(min_length=_whole(self.least), max_length=_whole(self.most))
        if self.type == "boolean":
            return bool, Field()
        if self.type == "integer":
            return int, Field(ge=_whole(self.least), le=_whole(self.most))
        return float, Field(ge=self.least, le=self.most, allow_inf_nan=False)

    def _string(self) -> dict[str, Any]:
        if self.choices:
            return {"type": "string", "enum": list(self.choices)}
        if self.most is None or self.type == "text":
            return {"type": "string"}
        least = 1 if self.least is None else _whole(self.least)
        return {"type": "string", "pattern": _line_of(int(least or 0), int(self.most))}

    def _string_type(self) -> Any:
        tidy: Callable[[object], object] = _one_line if self.type == "string" else _stripped
        if self.choices:
            return Annotated[Literal[self.choices], BeforeValidator(self._chosen)]
        least = 1 if self.least is None else int(self.least)
        return Annotated[str, Field(min_length=least, max_length=_whole(self.most)), BeforeValidator(tidy)]

    def _chosen(self, value: object) -> object:
        """The choice that is meant, in whatever case and with whatever quotes or stops it is written."""
        plain = _one_line(value)
        if not isinstance(plain, str) or plain in self.choices:
            return plain
        bare = plain.strip(" \"'.!`*").casefold()
        meant = [choice for choice in self.choices if choice.casefold() == bare]
        return meant[0] if len(meant) == 1 else plain

    def _bounds(self, low: str, high: str) -> dict[str, int | float]:
        whole = self.type != "number"
        bounds = ((low, self.least), (high, self.most))
        return {name: int(bound) if whole else bound for name, bound in bounds if bound is not None}


class Value(BaseModel):
    """One value of an axis: how often it is drawn beside the others, and the words that the prompt gets for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="how often, relative to the other values")
    means: str = Field(description="the words that stand in the prompt")
    in_language: dict[str, str] = Field(
        default={},
        description="other words for texts in some languages, by code: characters where no spaces are written",
    )
    relevance: float | None = Field(default=None, ge=0, le=1, description="of a document that is asked for with it")
    check: Check | None = Field(default=None, description="what a machine can see of it in the row")

    def words(self, language: str = "") -> str:
        """What it means, for a text in a language: `zh-Hant` has the words of its own, else those of `zh`.

        >>> Value(means="ten words", in_language={"zh": "twenty characters"}).words("zh-Hant")
        'twenty characters'
        """
        own = self.in_language.get(language)
        return own or self.in_language.get(language.partition("-")[0], self.means)


class Header(BaseModel):
    """The front matter of a prompt, checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str = Field(min_length=1, description="one line: what the prompt asks for")
    paper: str = Field(default="", description="whose idea it is, with an arXiv number")
    reads: tuple[str, ...] = Field(default=(), description="the values it is filled with")
    axes: dict[str, dict[str, Value]] = Field(default={}, description="what is drawn for each request: name, values")
    probability: dict[str, float] = Field(
        default={}, description="how often an axis is drawn at all; its words are empty otherwise, for `if` to see"
    )
    returns: dict[str, Returned] = Field(min_length=1, description="the fields of the answer")

    @model_validator(mode="after")
    def _axes_fit(self) -> "Header":
        for name, share in self.probability.items():
            if name not in self.axes or not 0 < share <= 1:
                raise ValueError(f"probability.{name}: it must be an axis, with a share above 0 and up to 1")
        for name, returned in self.returns.items():
            if returned.relevance is not None and self.part_of(name) not in ("positive", "negative"):
                raise ValueError(f"returns.{name}: relevance is for documents; say `part: positive` or `negative`")
            self._check_notes(name, returned)
            if isinstance(returned.relevance, str) and not self._graded(returned.relevance):
                axis = returned.relevance
                raise ValueError(f"returns.{name}: relevance: each value of an axis {axis!r} must have a `relevance`")
        return self

    def _check_notes(self, name: str, returned: Returned) -> None:
        part = self.part_of(name)
        if returned.further and part != "positive":
            raise ValueError(f"returns.{name}: further is for positives; say `part: positive`")
        for other in returned.notes.values():
            kinds = [each.type == "list" for each in (returned, self.returns.get(other)) if each is not None]
            if kinds not in ([True, True], [False, False]) or part not in ("positive", "negative"):
                raise ValueError(
                    f"returns.{name}: notes: {other!r} must be another field: of a document one text, of a list a list"
                )

    @model_validator(mode="after")
    def _names_fit(self) -> "Header":
        names = [*self.reads, *self.axes]
        for name in (*names, *self.returns):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name: lower-case letters, digits and _, beginning with a letter")
        for name in self.returns:
            if hasattr(BaseModel, name):
                raise ValueError(f"returns.{name}: this name is taken; call the field something else")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is declared twice")
        for name, values in self.axes.items():
            if sum(value.weight for value in values.values()) <= 0:
                raise ValueError(f"axes.{name}: it has no value with a weight above 0")
        return self

    def _graded(self, axis: str) -> bool:
        return axis in self.axes and all(value.relevance is not None for value in self.axes[axis].values())

    def part_of(self, name: str) -> Part:
        """The part of a row that a field of the answer becomes."""
        return self.returns[name].part or PARTS.get(name, "none")

    def schema_of(self) -> dict[str, Any]:
        """The JSON schema of an answer: an object with exactly the fields of `returns`."""
        return {
            "type": "object",
            "properties": {name: returned.schema_of() for name, returned in self.returns.items()},
            "required": list(self.returns),
            "additionalProperties": False,
        }

    def answer_model(self) -> type[BaseModel]:
        """The pydantic model of an answer. It ignores what a model returns beyond its fields."""
        fields: dict[str, Any] = {name: returned.python() for name, returned in self.returns.items()}
        config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())
        lists = {name: returned.notes for name, returned in self.returns.items() if returned.type == "list"}
        beside = [(name, other) for name, notes in lists.items() for other in notes.values()]

        def as_many(answer: Any) -> Any:
            for name, other in beside:
                documents, notes = getattr(answer, name), getattr(answer, other)
                if None not in (documents, notes) and len(documents) != len(notes):
                    raise ValueError(f"{other} has {len(notes)} items and {name} has {len(documents)}: one for each")
            return answer

        checks: dict[str, Any] = {"as_many": model_validator(mode="after")(as_many)} if beside else {}
        return create_model("Answer", __config__=config, __validators__=checks, **fields)


def _line_of(least: int, most: int) -> str:
    r"""A pattern for so many characters of one line without quotes and backslashes.

    >>> _line_of(2, 60), _line_of(2, 9999)
    ('^[^"\\\\\\u0000-\\u001f]{2,60}$', '^[^"\\\\\\u0000-\\u001f]{2,}$')
    """
    one = r'[^"\\\u0000-\u001f]'
    if most > MOST_BOUNDED:
        return f"^{one}{{{least},}}$"
    pieces = []
    for begins in range(0, most, MOST_AT_ONCE):
        least_here = min(max(least - begins, 0), MOST_AT_ONCE)
        pieces.append(f"{one}{{{least_here},{min(most - begins, MOST_AT_ONCE)}}}")
    return f"^{''.join(pieces)}$"


def encodable(text: str) -> str:
    """The text with halves of surrogate pairs, which no encoding carries, replaced by U+FFFD.

    >>> encodable("a" + chr(0xD800))
    'a\ufffd'
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _one_line(value: object) -> object:
    """A text without line breaks, control characters and double spaces; what is no text as it is."""
    return " ".join(_CONTROL.sub(" ", encodable(value)).split()) if isinstance(value, str) else value


def _in_words(value: object) -> object:
    """A text on one line; a number of a list as its digits, as models write `[2, 1]` where `["2", "1"]` is asked."""
    return str(value) if type(value) in (int, float) else _one_line(value)


def _stripped(value: object) -> object:
    """A text without control characters but line breaks and tabs; what is no text as it is."""
    return _CONTROL.sub(" ", encodable(value)).strip() if isinstance(value, str) else value


def _whole(bound: float | None) -> int | None:
    return None if bound is None else int(bound)
