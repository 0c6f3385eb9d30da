"""A prompt: a Jinja file whose header says what it reads and what it returns (`prompt_header.py`).

    ---
    about: One question that the document answers.
    reads: [document]
    returns: {query: {type: string, most: 300, about: the question}}
    ---
    [system]
    You write questions.
    [user]
    Document: {{ document }}

A line `[system]` or `[user]` opens a part. Parts are split before anything is filled in, and what is filled in is
never parsed, so a document can open no part and run no template. Between the lines `[shuffled]` and `[end]` stand
points, each of which begins with `- `: they come in another order for each request, since models heed the first ones
most; a point that comes out empty is left out. Of Jinja there are `if`, `for`, comparisons and the
filters `join`, `length` and `trim`. A name that is used and not declared is an error when the prompt is loaded, and so
is a name that is declared and not used.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ValidationError

from synth.backend import Message
from synth.errors import RecipeError, did_you_mean
from synth.mistakes import explain
from synth.prompt_header import Header, encodable
from synth.yaml12 import read_yaml

SHIPPED = Path(__file__).parent / "prompts"
"""The prompts of the package."""

FILTERS = ("join", "length", "trim")
"""The Jinja filters that a prompt may use."""

Role = Literal["system", "user"]

_PART = re.compile(r"^\[(system|user)\][ \t]*$", re.MULTILINE)
_SHUFFLED = re.compile(r"^\[shuffled\][ \t]*\n(.*?)^\[end\][ \t]*$\n?", re.MULTILINE | re.DOTALL)
_POINT = re.compile(r"^(?=- )", re.MULTILINE)
_MARKS = re.compile(r"^\[(?:shuffled|end)\][ \t]*$", re.MULTILINE)
_FENCE = re.compile(r"\A---[ \t]*\n(.*?)^---[ \t]*\n", re.MULTILINE | re.DOTALL)
_NODES = (
    nodes.Template | nodes.Output | nodes.TemplateData | nodes.Name | nodes.Const | nodes.If | nodes.For | nodes.Getattr
    | nodes.Compare | nodes.Operand | nodes.And | nodes.Or | nodes.Not | nodes.Filter
)  # fmt: skip


class _Part(NamedTuple):
    role: Role
    body: str
    line: int


Filled = Template | str
"""A template, or its text where that is the same whatever is filled in."""
Piece = Filled | tuple[Filled, ...]
"""What a part is made of: texts in their order, and points whose order is drawn."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that has been read and checked.

    `declared` is every name that the body may use: what it reads, and
    its axes. `answer` is the pydantic model of what it returns, `schema` the same as JSON schema, `text_hash` the hash
    of the whole file: a change of wording is a change of behaviour, so it is part of the key of each step that uses it.
    """

    name: str
    path: Path
    header: Header
    parts: tuple[tuple[Role, tuple[Piece, ...]], ...]
    schema: Mapping[str, Any]
    answer: type[BaseModel]
    text_hash: str
    declared: frozenset[str]

    @property
    def is_shuffled(self) -> bool:
        """True where it has points that come in another order for each request."""
        return any(isinstance(piece, tuple) for _, pieces in self.parts for piece in pieces)

    @classmethod
    def load(cls, name: str, folder: Path = Path()) -> "Prompt":
        """The prompt called `name`: `<name>.jinja` beside the recipe or in its `prompts/`, else in the package.

        Raises RecipeError where there is none, or where header or body are wrong; the error names the file.
        """
        path = find_prompt(name, folder)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: the prompt cannot be read: {error}") from error
        return parse_prompt(text, name.removesuffix(".jinja"), path)

    def render(self, values: Mapping[str, Any], order: Random | None = None) -> tuple[Message, ...]:
        """The messages for these values; each declared name must be among them, others are an error too.

        What a text holds that no encoding can carry (half a surrogate pair) is replaced by U+FFFD. Points that may come
        in any order come in the one that `order` draws, or as they are written.
        """
        if values.keys() != self.declared:
            missing, extra = sorted(self.declared - values.keys()), sorted(values.keys() - self.declared)
            said = f"nothing fills {missing[0]!r}" if missing else f"it does not read {extra[0]!r}"
            raise RecipeError(f"prompt {self.name}: {said}; its header declares {', '.join(sorted(self.declared))}")
        plain = {name: encodable(value) if isinstance(value, str) else value for name, value in values.items()}
        try:
            return tuple(Message(role, _rendered(pieces, plain, order)) for role, pieces in self.parts)
        except (TemplateError, TypeError) as error:
            raise RecipeError(f"prompt {self.name}: it cannot be filled in: {error}") from error


def find_prompt(name: str, folder: Path = Path()) -> Path:
    """The file of a prompt; RecipeError with the names there are where it is not found."""
    file = name if name.endswith(".jinja") else f"{name}.jinja"
    for place in (folder / file, folder / "prompts" / file, SHIPPED / file):
        if place.is_file():
            return place
    known = sorted(path.relative_to(SHIPPED).with_suffix("").as_posix() for path in SHIPPED.rglob("*.jinja"))
    cure = did_you_mean(name, known) or "; `synth list prompts` names those there are"
    raise RecipeError(f"no prompt is called {name!r}{cure}")


@lru_cache(maxsize=256)
def parse_prompt(text: str, name: str, path: Path) -> Prompt:
    """The prompt that `text` holds. Raises RecipeError with `path` and what to mend."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    fence = _FENCE.match(text)
    if not fence:
        raise RecipeError(
            f"{path}: it has no header; a prompt begins with a line `---`, `about:`, `reads:`, `returns:`, `---`"
        )
    header = _header(fence[1], path)
    parts = _parts(text[fence.end() :], text.count("\n", 0, fence.end()), path)
    _check_names(parts, header, path)
    return Prompt(
        name=name,
        path=path,
        header=header,
        parts=tuple((part.role, tuple(_pieces(part.body))) for part in parts),
        schema=header.schema_of(),
        answer=header.answer_model(),
        text_hash=hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest(),
        declared=frozenset((*header.reads, *header.axes)),
    )


def _header(text: str, path: Path) -> Header:
    plain = read_yaml(text, f"{path}: header:")
    if not isinstance(plain, dict):
        raise RecipeError(f"{path}: header: it must be `about:`, `reads:` and `returns:`, each on its line")
    try:
        return Header.model_validate(plain)
    except ValidationError as error:
        raise RecipeError(f"{path}: header: {explain(error, Header)}") from error


def _parts(body: str, line: int, path: Path) -> list[_Part]:
    """The body, which begins after `line` lines of the file, cut at its marker lines before anything is filled in."""
    before, *rest = _PART.split(body)
    roles = rest[::2]
    if before.strip() or roles not in (["user"], ["system", "user"]):
        raise RecipeError(
            f"{path}: the body must be a line `[system]`, its text, a line `[user]`, its text (a prompt may do without "
            "the system part)"
        )
    if not rest[-1].strip():
        raise RecipeError(f"{path}: the [user] part is empty")
    starts = [line + body.count("\n", 0, found.start()) for found in _PART.finditer(body)]
    kinds: list[Role] = ["system", "user"] if len(roles) > 1 else ["user"]
    return [_Part(kind, text, start) for kind, text, start in zip(kinds, rest[1::2], starts, strict=True)]


def _check_names(parts: list[_Part], header: Header, path: Path) -> None:
    used: set[str] = set()
    for part in parts:
        try:
            tree = _environment().parse(_MARKS.sub("", part.body))
            for piece in _SHUFFLED.findall(part.body):
                _check_points(piece, f"{path}: line {part.line + part.body[: part.body.index(piece)].count(chr(10))}")
        except TemplateSyntaxError as error:
            raise RecipeError(f"{path}: line {part.line + error.lineno}: {error.message}") from error
        for node in _walk(tree):
            _check_node(node, f"{path}: line {part.line + (node.lineno or 1)}")  # an operand has no line
        used |= meta.find_undeclared_variables(tree)
    declared = {*header.reads, *header.axes}
    for name in sorted(used - declared):
        near = did_you_mean(name, declared)
        raise RecipeError(f"{path}: the body uses {name!r}, which the header does not declare{near}")
    for name in sorted(declared - used):
        raise RecipeError(f"{path}: the header declares {name!r}, which the body does not use; take it out or use it")


def _check_points(text: str, place: str) -> None:
    """Raise RecipeError where what may be shuffled is not two points or more, each a template of its own."""
    before, *points = _POINT.split(text)
    if before.strip() or len(points) < 2:
        raise RecipeError(f"{place}: between [shuffled] and [end] stand two points or more, each beginning with `- `")
    for point in points:
        try:
            _environment().parse(point)
        except TemplateSyntaxError as error:
            raise RecipeError(f"{place}: point {point.strip()[:40]!r}: {error.message}") from error


def _pieces(body: str) -> Iterator[Piece]:
    """A part cut at its points that are shuffled."""
    for number, text in enumerate(_SHUFFLED.split(body)):
        if number % 2:
            yield tuple(map(_ready, _POINT.split(text)[1:]))
        elif text:
            yield _ready(text)


def _ready(text: str) -> Filled:
    template = _environment().from_string(text)
    return template if meta.find_undeclared_variables(_environment().parse(text)) else template.render()


def _rendered(pieces: Sequence[Piece], values: Mapping[str, Any], order: Random | None) -> str:
    """A part filled in."""
    texts = []
    for piece in pieces:
        if not isinstance(piece, tuple):
            texts.append(piece if isinstance(piece, str) else piece.render(values))
            continue
        points = [(point if isinstance(point, str) else point.render(values)).strip() for point in piece]
        if order is not None:
            order.shuffle(points)
        texts += [f"{point}\n" for point in points if point.removeprefix("-").strip()]
    return "".join(texts).strip()


def _walk(tree: nodes.Node) -> Iterator[nodes.Node]:
    yield tree
    for child in tree.iter_child_nodes():
        yield from _walk(child)


def _check_node(node: nodes.Node, place: str) -> None:
    if not isinstance(node, _NODES):
        raise RecipeError(
            f"{place}: `{type(node).__name__.lower()}` is not for prompts; there are `if`, `for` and names"
        )
    if isinstance(node, nodes.Filter) and node.name not in FILTERS:
        raise RecipeError(f"{place}: the filter `{node.name}` is not for prompts; there are {', '.join(FILTERS)}")
    if isinstance(node, nodes.For) and node.recursive:
        raise RecipeError(f"{place}: a recursive `for` is not for prompts")


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    """Jinja for plain text: nothing is escaped, nothing may be called, a name without a value is an error."""
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.clear()  # `range`, `namespace` and such: nothing may be called, and each render copies them
    return environment
