"""`synth list`: what there is to use, read from the files themselves.

domain    Search queries that a model writes …    2209.11755 2406.06519    corpus, writer, judge
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.errors import RecipeError, SynthError, did_you_mean
from synth.needs import of_recipe
from synth.recipe import Recipe, load
from synth.registry import KINDS, known
from synth.yaml12 import read_yaml

if TYPE_CHECKING:
    from rich.console import Console

_ARXIV = re.compile(r"(?<![\d.])\d{2}(?:0[1-9]|1[0-2])\.\d{4,5}(?![\d.]*\d)")
_ABOUT = re.compile(r"^about:.*(?:\n[ \t].*)*", re.MULTILINE)
"""The one key of a prompt's header that is wanted: reading all of it takes ten times as long."""
_END = re.compile(r"(?<!\bal)(?<!\be\.g)(?<!\bi\.e)(?<!\bcf)\.\s+(?=[^a-z])")


@dataclass(frozen=True, slots=True)
class Entry:
    """A part: what its file says of itself, the papers it follows, and what a recipe needs that it does not bring."""

    about: str
    papers: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {"about": self.about, "papers": list(self.papers), "needs": list(self.needs)}


Entries = Mapping[str, Mapping[str, Entry]]


def entries(kind: str) -> dict[str, dict[str, Entry]]:
    """The parts of a kind, or of each, by their names. RecipeError for an unknown kind."""
    if kind and kind not in KINDS:
        raise RecipeError(f"{kind!r} is no kind of part{did_you_mean(kind, KINDS)}; there are {', '.join(KINDS)}")
    chosen = [each for each in KINDS if not kind or each == kind]
    return {each: {name: _entry(path, each == "recipes") for name, path in known(each).items()} for each in chosen}


def print_entries(found: Entries, console: "Console") -> None:
    """A table a kind, within the width of the terminal."""
    from rich.table import Table

    for kind, parts in found.items():
        of_recipes = kind == "recipes"
        grid = Table(box=None, pad_edge=False, show_header=of_recipes, title=kind, header_style="dim")
        grid.title_justify, grid.title_style = "left", "bold"
        grid.add_column("name", no_wrap=True)
        grid.add_column("makes", overflow="fold")
        if of_recipes:
            grid.add_column("after", width=10)
            grid.add_column("needs", min_width=9, max_width=18, overflow="fold")
        for name, entry in parts.items():
            more = (" ".join(entry.papers), ", ".join(entry.needs)) if of_recipes else ()
            grid.add_row(name, entry.about, *more)
        console.print(grid)
        console.print()


def about(path: Path) -> str:
    """The first sentence that a part's file says of itself: docstring, `about:` or opening comment."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        opening, _, _ = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")
        return sentence(opening)
    if path.suffix == ".jinja":
        found = _ABOUT.search(text)
        return sentence(str(read_yaml(found[0], str(path))["about"])) if found else ""
    return sentence(comment_of(text))


def comment_of(text: str) -> str:
    """The opening comment of a recipe."""
    lines = text.splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:end])


def papers_of(text: str) -> tuple[str, ...]:
    """The arXiv numbers in a text, each once.

    >>> papers_of("After E5-mistral (2401.00368), 500 rows; version 1.2345.67890; see 2401.00368 and 2410.18634.")
    ('2401.00368', '2410.18634')
    """
    return tuple(dict.fromkeys(_ARXIV.findall(text)))


def needs_of(recipe: Recipe) -> Sequence[str]:
    """What a recipe needs that does not come with it, or that it cannot be told."""
    try:
        return of_recipe(recipe)
    except SynthError:
        return ["see synth check"]


def sentence(text: str) -> str:
    """The first sentence of a text, on one line.

    >>> sentence("Drop short rows: they say nothing. More follows.")
    'Drop short rows: they say nothing.'
    >>> sentence("Inverse cloze (Lee et al. 2019), for all. More.")
    'Inverse cloze (Lee et al. 2019), for all.'
    """
    flat = " ".join(text.split())
    end = _END.search(flat)
    return flat[: end.start() + 1] if end else flat


def _entry(path: Path, is_recipe: bool) -> Entry:
    if not is_recipe:
        return Entry(about(path))
    text = comment_of(path.read_text(encoding="utf-8"))
    try:
        needs = needs_of(load(str(path)))
    except SynthError:  # an extra that is not installed: `synth check` tells which
        needs = ["see synth check"]
    return Entry(sentence(text), papers_of(text), tuple(needs))
