"""`synth show`: one part as it tells of itself, for a person and as plain data.

recipe     what it makes, after which papers, what it needs, its steps; then its text
prompt     what it reads, what is drawn for it, what it returns; then its text
the rest   what the file says, then each option with its default and its bounds
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from synth.catalogue import about, comment_of, needs_of, papers_of
from synth.errors import RecipeError, did_you_mean
from synth.filling import docstring, filled
from synth.option_words import Option, options_of
from synth.prompt import Prompt
from synth.prompt_header import Header, Value
from synth.recipe import Step, load
from synth.registry import KINDS, Kind, find_backend, find_stage, known
from synth.schema_words import told

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Described:
    """A part: what it says of itself, `facts` by their names, its options, or its text."""

    name: str
    kind: Kind
    about: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, list[str]] = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        options = [option.to_json() for option in self.options]
        return {
            "name": self.name,
            "kind": self.kind,
            "about": self.about,
            **self.facts,
            "options": options,
            "text": self.text,
        }

    def print(self, console: "Console") -> None:
        """The same for a person; what is ours fits the terminal, a text stays as it is."""
        for line in self._told(console.width):
            console.print(line, soft_wrap=True)
        if self.text:
            console.print()
            console.print(self.text.rstrip(), soft_wrap=True)

    def _told(self, width: int) -> Iterator[str]:
        yield f"{self.name} ({self.kind.removesuffix('s')})"
        yield from docstring(self.about, width)
        if self.lines:
            yield ""
        column = max(map(len, self.lines), default=0) + 2
        for name, several in self.lines.items():
            for number, line in enumerate(several):
                yield from filled(line, width, f"{'' if number else name:{column}}", " " * column)
        for option in self.options:
            yield ""
            yield from filled(option.first_line(), width, "  ", "      ")
            yield from filled(option.about, width, "      ")


def describe(name: str) -> Described:
    """A part by its name, whatever kind it is; `stages/extract` names the kind too. RecipeError where there is none."""
    kind, _, rest = name.partition("/")
    if kind in KINDS:
        found = {each: known(each)[rest] for each in KINDS if each == kind and rest in known(each)}
    else:
        rest, found = name, {each: known(each)[name] for each in KINDS if name in known(each)}
    if not found:
        names = [part for each in KINDS for part in known(each)]
        raise RecipeError(f"nothing is called {name!r}{did_you_mean(rest, names)}; `synth list` names what there is")
    (first, path), *others = found.items()
    told = _described(rest, first, path)
    also = {"also": [f"synth show {each}/{name}" for each, _ in others]}
    return replace(told, lines={**told.lines, **also}) if others else told


def _described(name: str, kind: Kind, path: Path) -> Described:
    if kind == "recipes":
        return _recipe(name, path)
    if kind == "prompts":
        return _prompt(name, path)
    part: type[BaseModel] = find_backend(name, Path()) if kind == "backends" else find_stage(name, Path())
    module, own = inspect.cleandoc(inspect.getmodule(part).__doc__ or ""), inspect.cleandoc(part.__doc__ or "")
    where = dict(getattr(part, "default_where", {}))
    lines = {"where": [f"{key}: {value}, unless the recipe says otherwise" for key, value in where.items()]}
    facts = {"default_where": where} if kind != "backends" else {}
    return Described(name, kind, f"{module}\n\n{own}", facts, lines if where else {}, tuple(options_of(part)))


def _recipe(name: str, path: Path) -> Described:
    text = path.read_text(encoding="utf-8")
    recipe = load(str(path))
    papers, needs, steps = papers_of(comment_of(text)), list(needs_of(recipe)), [_step(each) for each in recipe.steps]
    lines = {"papers": [", ".join(papers)], "needs": [", ".join(needs) or "nothing"], "steps": [" -> ".join(steps)]}
    facts = {"papers": list(papers), "needs": needs, "steps": steps}
    return Described(name, "recipes", about(path), facts, {k: v for k, v in lines.items() if v != [""]}, text=text)


def _step(step: Step) -> str:
    return step.name if step.name == step.use else f"{step.name} ({step.use})"


def _prompt(name: str, path: Path) -> Described:
    header = Prompt.load(name).header
    schema = header.schema_of()["properties"]
    facts = header.model_dump(mode="json", exclude={"about"}) | {"papers": list(papers_of(header.paper))}
    lines = {"paper": [header.paper]} if header.paper else {}
    lines["reads"] = [", ".join(header.reads) or "nothing"]
    lines |= {axis: list(_values(axis, header)) for axis in header.axes}
    lines["returns"] = [_returned(field, header, schema[field]) for field in header.returns]
    return Described(name, "prompts", header.about, facts, lines, text=path.read_text(encoding="utf-8"))


def _values(axis: str, header: Header) -> Iterator[str]:
    """The values of an axis, each with its share of the draws and the words for it."""
    values: dict[str, Value] = header.axes[axis]
    whole = sum(value.weight for value in values.values())
    often = header.probability.get(axis, 1.0)
    for name, value in values.items():
        yield f"{name}, {100 * often * value.weight / whole:.3g} %: {value.means}"
    if often < 1:
        yield f"none, {100 * (1 - often):.3g} %"


def _returned(name: str, header: Header, schema: Mapping[str, Any]) -> str:
    returned, part = header.returns[name], header.part_of(name)
    becomes = f"; becomes the row's {part}" if part != "none" else ""
    about_it = f", {returned.about}" if returned.about else ""
    return f"{name}: {told(schema)}{' or nothing' if returned.optional else ''}{about_it}{becomes}"
