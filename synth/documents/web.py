"""HTML as sections: the text below each heading, without scripts, menus and footers.

    <title>Guide</title><nav>Home</nav><h1>Install</h1><p>Unpack it.</p>
    ->  Section(("Install",), "Unpack it.")

Where a page does not mark its main text and the extra `files` is installed, trafilatura (Barbaresi, 2021) finds it.
"""

import re
from html.parser import HTMLParser
from importlib.metadata import version
from importlib.util import find_spec

from synth.documents.files import encoding_of
from synth.documents.markup import Outline
from synth.documents.record import Fault, Section

_LEFT_OUT = frozenset({
    "script", "style", "noscript", "template", "nav", "footer", "aside", "button", "select", "svg", "math", "iframe",
    "object", "dialog",
})  # fmt: skip
_BLOCKS = frozenset({
    "address", "article", "blockquote", "body", "br", "caption", "center", "dd", "details", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "form", "header", "hr", "html", "li", "main", "ol", "option", "p", "pre",
    "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
})  # fmt: skip
_HEADING = re.compile(r"h[1-6]\Z")
_INLINE_CODE = re.compile(r"<pre>([^<\n]*)</pre>")
"""How trafilatura writes code of one line, also within a sentence."""

_ANCHORS = "¶§🔗 "
"""Signs that link a heading to itself."""

_MOST_OPEN = 1_000
"""Signs `<` without a `>`: older parsers of Python take quadratic time over them."""

_CHARSET = re.compile(rb"""<(?:meta|\?xml)[^>]+?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)


def html_sections(page: str) -> list[Section]:
    """The sections of a page's main text; a page without headings has its `<title>` as heading. Raises Fault.

    That is what stands in `<main>`, in an element of that role, or in the only `<article>`; where a page has none, what
    trafilatura takes for it, or all that is no menu.
    """
    marked = _Page(only_main=True, only_article=page.lower().count("<article") == 1)
    marked.read(page)
    if found := marked.sections():
        return found
    if find_spec("trafilatura") is not None:
        main = _Page()
        main.read(_main_text(page))
        if found := main.sections(marked.page_title):
            return found
    return sections_of_plain_html(page)


def sections_of_plain_html(page: str) -> list[Section]:
    """The sections of HTML that is all text, as converters write it."""
    whole = _Page()
    whole.read(page)
    return whole.sections()


def reader_name() -> str:
    """What finds the main text here, with its version: part of what a corpus of HTML is known by."""
    return f"trafilatura {version('trafilatura')}" if find_spec("trafilatura") else "html.parser"


def _main_text(page: str) -> str:
    """The page's main text as plain HTML; "" where trafilatura finds none."""
    from trafilatura import extract

    found = extract(page, output_format="html", include_comments=False, include_tables=True) or ""
    return _INLINE_CODE.sub(r"<code>\1</code>", found)


def decode_page(content: bytes, encoding: str) -> str:
    """A page as text: in the encoding that its first kilobyte declares, else in the one given. Raises Fault."""
    found = _CHARSET.search(content[:1024])
    declared = encoding_of(content[:4], found.group(1).decode("ascii") if found else encoding)
    try:
        return content.decode(declared)
    except (UnicodeDecodeError, LookupError) as error:
        raise Fault(f"not {declared}, which it should be; save it as UTF-8, or set `encoding`") from error


class _Page(HTMLParser):
    """Follows a page and gives its texts to an outline."""

    def __init__(self, *, only_main: bool = False, only_article: bool = False) -> None:
        super().__init__(convert_charrefs=True)
        self.page_title = ""
        self._only_main = only_main
        self._only_article = only_article
        self._main: list[str] = []
        self._outline = Outline()
        self._words: list[str] = []
        self._closed: list[str] = []
        self._in_title = False
        self._verbatim = 0
        self._level = 0

    def read(self, page: str) -> None:
        """Read a whole page; what is not closed ends with it. Raises Fault where the parser gives up."""
        if page.count("<") > 2 * page.count(">") + _MOST_OPEN:
            raise Fault("not HTML: most of its tags are not closed")
        try:
            self.feed(page)
            self.close()
        except AssertionError as error:  # what it raises for declarations that it does not know
            raise Fault(f"not HTML: {error}") from error
        self._end_block()

    def sections(self, title: str = "") -> list[Section]:
        """What has been found, below the page's title where the page has no heading of its own."""
        self._outline.close()
        title = self.page_title or title
        found = self._outline.sections
        if title and not any(section.headings for section in found):
            return [Section((title,), section.text, section.line) for section in found]
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a block, a heading, or a part that is left out."""
        if self._main[:1] == [tag] or (not self._main and self._is_main(tag, attrs)):
            self._main.append(tag)
        if tag in _LEFT_OUT:
            self._closed.append(tag)
        elif tag == "title":
            self._in_title = True
        elif tag in _BLOCKS or _HEADING.match(tag):
            self._end_block()
            self._level = int(tag[1]) if _HEADING.match(tag) else 0
            self._verbatim += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened."""
        if tag in self._main:
            self._end_block()
            self._main.pop()
        if tag in self._closed:
            while self._closed.pop() != tag:
                pass
        elif tag == "title":
            self._in_title = False
        elif tag in _BLOCKS or _HEADING.match(tag):
            self._end_block()
            self._verbatim = max(0, self._verbatim - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        """Take the words of the block that is open."""
        if self._in_title:
            self.page_title = " ".join(f"{self.page_title}{data}".split())
        elif not self._closed and (self._main or not self._only_main):
            self._words.append(data)

    def _is_main(self, tag: str, attrs: list[tuple[str, str | None]]) -> bool:
        return tag == "main" or (tag == "article" and self._only_article) or ("role", "main") in attrs

    def _end_block(self) -> None:
        words = "".join(self._words)
        text = words.strip("\n") if self._verbatim else " ".join(words.split())
        self._words = []
        if self._level and text.strip():
            self._outline.heading(self._level, text.rstrip(_ANCHORS))
        elif text.strip():
            self._outline.text(text)
        self._level = 0
