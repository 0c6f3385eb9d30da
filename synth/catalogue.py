"""`synth list`, `show` and `copy`: what there is to use, read from the files themselves."""

import ast
import inspect
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from synth.errors import OutputError, RecipeError, did_you_mean
from synth.recipe import load
from synth.registry import KINDS, Kind, find_backend, find_stage, known
from synth.store import writing
from synth.yaml12 import read_yaml

if TYPE_CHECKING:
    from rich.console import Console


BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a part."""

    name: str
    kind: str
    default: str
    about: str


@dataclass(frozen=True, slots=True)
class Described:
    """A part as `synth show` tells it: its options, or its text."""

    name: str
    kind: Kind
    about: str
    options: tuple[Option, ...] = ()
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        options = [{"name": o.name, "type": o.kind, "default": o.default, "about": o.about} for o in self.options]
        return {"name": self.name, "kind": self.kind, "about": self.about, "options": options, "text": self.text}

    def lines(self) -> Iterator[str]:
        """The same for a person."""
        if self.text:
            yield self.text.rstrip()
            return
        yield f"{self.name} ({self.kind})"
        yield self.about
        for option in self.options:
            yield ""
            yield f"  {option.name}: {option.kind} = {option.default}"
            yield f"      {option.about}"


def entries(kind: str) -> dict[str, dict[str, str]]:
    """Each kind's parts with the first line that their files say of themselves. RecipeError for an unknown kind."""
    if kind and kind not in KINDS:
        raise RecipeError(f"{kind!r} is no kind of part{did_you_mean(kind, KINDS)}; there are {', '.join(KINDS)}")
    chosen = [k for k in KINDS if not kind or k == kind]
    return {k: {name: about(path) for name, path in known(k).items()} for k in chosen}


def print_entries(found: dict[str, dict[str, str]], console: "Console") -> None:
    """A table a kind, within the width of the terminal."""
    from rich.table import Table

    for kind, parts in found.items():
        grid = Table(box=None, pad_edge=False, show_header=False, title=kind, title_justify="left", title_style="bold")
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for name, line in parts.items():
            grid.add_row(name, line)
        console.print(grid)
        console.print()


def about(path: Path) -> str:
    """The first sentence that a part's file says of itself: docstring, `about:` or opening comment."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return _sentence(ast.get_docstring(ast.parse(text)) or "")
    if path.suffix == ".jinja":
        header = read_yaml(text.split("---")[1], str(path))
        return _sentence(str(header.get("about", "")))
    comment = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    return _sentence(" ".join(comment))


def describe(name: str) -> Described:
    """A part by its name, whatever kind it is. Raises RecipeError where there is none."""
    for kind in KINDS:
        path = known(kind).get(name)
        if path is not None:
            return _described(name, kind, path)
    names = [part for kind in KINDS for part in known(kind)]
    raise RecipeError(f"nothing is called {name!r}{did_you_mean(name, names)}; `synth list` names what there is")


def copy_part(name: str, dest: Path) -> list[Path]:
    """Copy a shipped recipe with what it needs beside it, or a prompt, into a folder; the files written.

    Raises RecipeError where there is no such part, OutputError where a file of that name is there already.
    """
    recipes, prompts = known("recipes"), known("prompts")
    if name in prompts:
        return [_copied(prompts[name], dest / "prompts" / f"{name}.jinja")]
    if name not in recipes:
        names = [*recipes, *prompts]
        raise RecipeError(f"no recipe or prompt is called {name!r}{did_you_mean(name, names)}")
    path = recipes[name]
    if path.stem == "recipe":
        files = sorted(file for file in path.parent.rglob("*") if file.is_file())
        return [_copied(file, dest / name / file.relative_to(path.parent)) for file in files]
    used = [getattr(step.stage, "prompt", "") for step in load(str(path)).steps]
    written = [_copied(path, dest / path.name)]
    return written + [_copied(prompts[p], dest / "prompts" / f"{p}.jinja") for p in dict.fromkeys(used) if p in prompts]


def _copied(source: Path, target: Path) -> Path:
    if target.exists():
        raise OutputError(f"{target} is there already; name another folder, or remove it")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return target


def _described(name: str, kind: Kind, path: Path) -> Described:
    if kind in {"recipes", "prompts"}:
        return Described(name, kind, about(path), text=path.read_text(encoding="utf-8"))
    part: type[BaseModel] = find_backend(name, Path()) if kind == "backends" else find_stage(name, Path())
    said = inspect.cleandoc(inspect.getmodule(part).__doc__ or "")
    return Described(name, kind, said, tuple(_option(n, field) for n, field in part.model_fields.items()))


def _option(name: str, field: FieldInfo) -> Option:
    default = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
    kind = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
    bounds = [f"{words} {bound}" for attribute, words in BOUNDS.items() for bound in _bounds(field, attribute)]
    bounded = f" ({', '.join(bounds)})" if bounds else ""
    about_it = f"{field.description or ''}{bounded}"
    return Option(name, kind.replace("typing.", ""), default, about_it)


def _bounds(field: FieldInfo, attribute: str) -> list[object]:
    return [getattr(bound, attribute) for bound in field.metadata if getattr(bound, attribute, None) is not None]


def _sentence(text: str) -> str:
    """The first sentence of a text, on one line.

    >>> _sentence("Drop short rows: they say nothing. More follows.")
    'Drop short rows: they say nothing.'
    """
    flat = " ".join(text.split())
    head, dot, _ = flat.partition(". ")
    return head + dot.rstrip()
