"""Text filled into the width of a terminal: paragraphs anew, lines that somebody laid out as far as they fit.

    - {use: judge, least: 2}                              a grade from 0 to 3, as UMBRELA has it
->  - {use: judge, least: 2}  a grade from 0 to 3, as
            UMBRELA has it
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from synth.terminal import shown

LEAST_WIDTH = 20
"""Columns below which nothing is made narrower."""
_LAID_OUT = re.compile(r"^[\s\-{|]|\S\s{2,}\S|->")
"""What marks a line as laid out by hand."""
_GAP = re.compile(r"\s{2,}")


def filled(text: str, width: int, lead: str = "", hang: str | None = None) -> list[str]:
    """The lines of a text, each within so many columns: the first of each after `lead`, what is left over after `hang`.

    >>> filled("one two three four five", 20, "- ", "  ")
    ['- one two three four', '  five']
    """
    follow = lead if hang is None else hang
    lines = []
    for line in text.splitlines() or [""]:
        inner = max(width - max(len(lead), len(follow)), LEAST_WIDTH)
        for number, part in enumerate(_parts(shown(line), inner)):
            lines.append(((follow if number else lead) + part).rstrip())
    return lines


def docstring(text: str, width: int) -> Iterator[str]:
    r"""The lines of a docstring: paragraphs are filled anew, examples and tables keep their lines.

    >>> list(docstring("Drop rows\nthat repeat.\n\n    a       what is long and stands at the right", 40))
    ['Drop rows that repeat.', '', '    a  what is long and stands at', '        the right']
    """
    for number, block in enumerate(text.strip().split("\n\n")):
        if number:
            yield ""
        lines = block.splitlines()
        if not any(map(_LAID_OUT.search, lines)):
            yield from filled(" ".join(line.strip() for line in lines), width)
            continue
        for line in lines:
            lead = line[: len(line) - len(line.lstrip())]
            fits = len(line) <= width
            yield from [shown(line)] if fits else filled(_GAP.sub("  ", line.strip()), width, lead, lead + "    ")


@lru_cache(maxsize=1024)
def _parts(line: str, width: int) -> tuple[str, ...]:
    """A line cut between words, by the columns that its characters take; long words are cut too."""
    if len(line) <= width and line.isascii():
        return (line,)
    from rich.console import Console
    from rich.text import Text

    return tuple(part.plain.rstrip() for part in Text(line).wrap(Console(width=width), width)) or ("",)
