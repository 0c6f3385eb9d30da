"""Markdown and reStructuredText as sections: the text below each heading, and the way to it as its title.

reStructuredText is read line by line: its own parser loses what stands in directives it does not know, and in
documentation those are most.

    # Guide
    ## Install
    Unpack the *archive*.            ->  Section(("Guide", "Install"), "Unpack the archive.", 3)
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from textwrap import dedent

from markdown_it import MarkdownIt
from markdown_it.token import Token

from synth.documents.record import Section, clean

_EMPTY_LINES = re.compile(r"\n{3,}")
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)\n(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(['\"]?)(.+?)\1[ \t]*$", re.MULTILINE)
_MOST_FRONT_MATTER = 20_000


@dataclass(slots=True)
class Outline:
    """Collects sections while a file is read from top to bottom: headings by their level, and texts between them."""

    headings: dict[int, str] = field(default_factory=dict)
    sections: list[Section] = field(default_factory=list)
    _texts: list[str] = field(default_factory=list)
    _line: int = 0

    def heading(self, level: int, text: str) -> None:
        """Begin a section below the headings of lower levels."""
        self.close()
        self.headings = {known: title for known, title in self.headings.items() if known < level}
        if title := " ".join(clean(text).split()):
            self.headings[level] = title

    def text(self, text: str, line: int = 0) -> None:
        """Add a paragraph to the section that is open."""
        if text := clean(text):
            self._line = self._line or line
            self._texts.append(text)

    def close(self) -> None:
        """End the section that is open, if it has a text."""
        if self._texts:
            way = [self.headings[level] for level in sorted(self.headings)]
            way = [title for title, above in zip(way, ["", *way], strict=False) if title != above]
            self.sections.append(Section(tuple(way), "\n\n".join(self._texts), self._line))
        self._texts, self._line = [], 0


def tidy(text: str) -> str:
    r"""Plain text with no space at line ends and no more than one empty line at a time.

    >>> tidy("one  \n \n\n\n  two")
    'one\n\n  two'
    """
    return _EMPTY_LINES.sub("\n\n", "\n".join(line.rstrip() for line in clean(text).split("\n")))


def markdown_sections(text: str) -> list[Section]:
    r"""The sections of a Markdown file. A `title` of its front matter stands above all headings of a lower level.

    >>> markdown_sections("# Guide\n## Install\nUnpack the *archive*.")
    [Section(headings=('Guide', 'Install'), text='Unpack the archive.', line=3)]
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    title, body, skipped = _front_matter(text)
    tokens = _parser().parse(body)
    outline = Outline()
    if title and not any(token.type == "heading_open" and token.tag == "h1" for token in tokens):
        outline.heading(0, title)
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            outline.heading(int(token.tag[1:]), _inline(tokens[i + 1]))
        elif not (i and tokens[i - 1].type == "heading_open"):
            outline.text(_block(token), skipped + token.map[0] + 1 if token.map else 0)
    outline.close()
    return outline.sections


def _front_matter(text: str) -> tuple[str, str, int]:
    """The title that the front matter gives, the text below it, and how many lines it takes."""
    found = _FRONT_MATTER.match(text[:_MOST_FRONT_MATTER])
    if found is None:
        return "", text, 0
    title = _TITLE.search(found.group(2))
    return title.group(2) if title else "", text[found.end() :], text.count("\n", 0, found.end())


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def _block(token: Token) -> str:
    """The text of one token: a paragraph or a table's cell, or code as it stands; nothing for raw HTML."""
    if token.type == "inline":
        return _inline(token)
    return token.content if token.type in {"fence", "code_block"} else ""


def _inline(token: Token) -> str:
    """The words of a line without their marks."""
    return "".join(_words(child) for child in token.children or ())


def _words(token: Token) -> str:
    if token.type in {"softbreak", "hardbreak"}:
        return " " if token.type == "softbreak" else "\n"
    return token.content if token.type in {"text", "code_inline", "image"} else ""


_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{1,}[ \t]*\Z")
_RULE = re.compile(r"[ \t]*[-=+|~^_*# ]*")
"""A line between paragraphs, a border of a table."""
_EXPLICIT = re.compile(r"\.\.(?:[ \t]|\Z)")
_DIRECTIVE = re.compile(r"\.\.[ \t]+([\w:.+-]+?)::(?=[ \t]|\Z)")
_ITEM = re.compile(r"(?:[-*+|•]|#\.|\w{1,3}[.)])[ \t]")
_FIELD = re.compile(r"[ \t]*:[\w-]+:")
_CODE = frozenset({"code-block", "code", "sourcecode", "parsed-literal", "doctest", "testcode"})
_SHOWN = frozenset({
    "note", "warning", "tip", "hint", "important", "caution", "danger", "error", "attention", "admonition", "seealso",
    "versionadded", "versionchanged", "deprecated", "topic", "sidebar", "rubric", "epigraph", "describe", "function",
    "method", "class", "attribute", "data", "exception", "module", "glossary", "table", "list-table", "centered",
})  # fmt: skip
"""Directives whose contents are read; of all others nothing is."""

_MOST_MARKED = 20_000
"""Characters of a paragraph in which marks are looked for: what is longer was not written by hand."""

_ROLE = re.compile(r":[\w:.+-]+:`!?~?([^`<]*?)(?:\s*<[^`>]*>)?`")
_LINK = re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?")
_MARK = re.compile(r"``(.+?)``|\*\*(.+?)\*\*|\*([^\s*](?:[^*]*[^\s*])?)\*|`([^`]+)`__?|`([^`]+)`")


def rst_sections(text: str) -> list[Section]:
    r"""The sections of a reStructuredText file, without comments, targets, tables of contents and pictures.

    >>> rst_sections("Guide\n=====\n\nInstall\n-------\nSee :func:`run`.")
    [Section(headings=('Guide', 'Install'), text='See run.', line=6)]
    """
    rows = clean(text).expandtabs(8).split("\n")
    outline, styles = Outline(), list[str]()
    paragraph: list[str] = []
    began = 0
    for number, kind, row in (*_rst_rows(rows), (0, "text", "")):
        if kind in {"text", "code"} and row:
            began = began or number
            paragraph.append(row)
            continue
        outline.text(_joined(paragraph), began)
        paragraph, began = [], 0
        if kind not in {"text", "code"}:
            if kind not in styles:
                styles.append(kind)
            outline.heading(styles.index(kind) + 1, _rst_words(row))
    outline.close()
    return outline.sections


def _joined(rows: Sequence[str]) -> str:
    """The lines of a paragraph as one; code, and the lines of lists and tables, by themselves."""
    if any(row.startswith((" ", ">>>")) for row in rows):
        return dedent("\n".join(rows))
    return _rst_words(("\n" if any(_ITEM.match(row) for row in rows) else " ").join(rows))


def _rst_rows(rows: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Number, kind and text of the lines to read: `text`, `code`, or for a heading the way it is adorned."""
    i, literal = 0, -1
    while i < len(rows):
        row = rows[i]
        if literal >= 0 and row.strip() and _indent(row) <= literal:
            literal = -1
        if literal >= 0:
            yield i + 1, "code", row.rstrip()
            i += 1
        elif style := _heading_at(rows, i):
            over = len(style) - 1
            yield i + 1 + over, style, rows[i + over]
            i += 2 + over
        elif _EXPLICIT.match(row.lstrip()):
            name = _directive(row)
            yield i + 1, "text", ""
            literal = _indent(row) if name in _CODE else -1
            i = _after_options(rows, i + 1) if name in _SHOWN or name in _CODE else _after_block(rows, i)
        else:
            literal = _indent(row) if row.rstrip().endswith("::") else -1
            yield i + 1, "text", "" if _RULE.fullmatch(row) else re.sub(r"::\Z", ":", row.strip())
            i += 1


def _directive(row: str) -> str:
    """The name of the directive that a line begins, without its domain; "" for a comment or a target."""
    found = _DIRECTIVE.match(row.lstrip())
    return found.group(1).rpartition(":")[2] if found else ""


def _heading_at(rows: Sequence[str], i: int) -> str:
    """The mark under the heading that begins here, twice where it also stands above; "" for no heading."""
    here, below = rows[i].strip(), rows[i + 1].rstrip() if i + 1 < len(rows) else ""
    if _ADORNMENT.match(rows[i]) and i + 2 < len(rows) and rows[i + 2].rstrip() == rows[i].rstrip() and below:
        return here[0] * 2
    under = not rows[i].startswith(" ") and _ADORNMENT.match(below) is not None and len(below) >= min(len(here), 4)
    return below[0] if here and under and not _ADORNMENT.match(here) else ""


def _indent(row: str) -> int:
    return len(row) - len(row.lstrip())


def _after_block(rows: Sequence[str], i: int) -> int:
    """The line after a directive or comment and all that is indented below it."""
    depth = _indent(rows[i])
    i += 1
    while i < len(rows) and (not rows[i].strip() or _indent(rows[i]) > depth):
        i += 1
    return i


def _after_options(rows: Sequence[str], i: int) -> int:
    """The line after a directive's options (`:name: value`)."""
    while i < len(rows) and _FIELD.match(rows[i]):
        i += 1
    return i


def _rst_words(text: str) -> str:
    """A paragraph without its marks: roles, links, emphasis and literals leave their words.

    >>> _rst_words("the `docs <https://x.y>`_ of :mod:`os.path` and ``*args``")
    'the docs of os.path and *args'
    """
    if len(text) > _MOST_MARKED:
        return text
    text = _LINK.sub(r"\1", _ROLE.sub(r"\1", text))
    return _MARK.sub(lambda match: next(group for group in match.groups() if group is not None), text)
