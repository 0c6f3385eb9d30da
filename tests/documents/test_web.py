import pytest

from synth.documents.record import Fault
from synth.documents.web import decode_page, html_sections, sections_of_plain_html

PAGE = """<!DOCTYPE html><html><head><title>Nile | Rivers</title><style>p {color: red}</style>
<script>track("Buy now");</script></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/a">All rivers</a></li></ul></nav>
<main><h1>The Nile</h1>
<p>The Nile is a river in the north-east of Africa, and it flows to the north into the Mediterranean Sea.</p>
<h2>Floods &amp; fields</h2>
<p>Each summer the river rose and left black mud behind, on which the farmers of Egypt <b>sowed</b> their grain.</p>
<p>Since the dam was built the river has not flooded the fields, and farmers have to buy fertiliser instead.</p>
<pre>def height(day):
    return 8.5</pre>
</main><footer>Copyright by nobody. All rights are left.</footer></body></html>"""


def _plain(sections):
    return [(section.title, section.text) for section in sections]


@pytest.mark.parametrize("read", [html_sections, sections_of_plain_html])
def test_the_text_stands_below_its_headings_without_menus_and_scripts(read):
    sections = read(PAGE)
    assert [section.title for section in sections] == ["The Nile", "The Nile > Floods & fields"]
    text = "\n".join(section.text for section in sections)
    assert "farmers of Egypt sowed their grain." in text
    assert "def height(day):\n    return 8.5" in text
    for gone in ("Home", "All rivers", "Buy now", "color", "Copyright"):
        assert gone not in text


def test_menus_that_only_their_class_tells_are_found_with_the_extra():
    pytest.importorskip("trafilatura")
    page = PAGE.replace("<nav>", '<div class="sidebar menu">').replace("</nav>", "</div>")
    assert "All rivers" not in "".join(section.text for section in html_sections(page))


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        ("<main>", "</main>"),
        ('<div role="main"><div>', "</div></div>"),
        ("<article>", "</article>"),
        ('<section role="main">', "</section>"),
    ],
)
def test_what_a_page_marks_as_its_main_text_is_all_that_is_read(begin, end):
    page = f"<div><p>Before</p>{begin}<h1>Nile¶</h1><p>It <code>floods</code>.</p>{end}<p>After</p></div>"
    assert _plain(html_sections(page)) == [("Nile", "It floods.")]


def test_a_list_of_articles_is_read_whole():
    page = "<article><p>The first of them.</p></article><article><p>The second of them.</p></article>"
    text = "".join(section.text for section in html_sections(page))
    assert "first" in text
    assert "second" in text


def test_code_within_a_sentence_stays_there():
    words = "Some words about it, and then some more of them. " * 5
    page = f"<body><h1>Nile</h1><p>{words}Call <code>flood()</code> once.</p><p>{words}</p></body>"
    assert "Call flood() once." in html_sections(page)[0].text


def test_a_page_without_headings_has_its_title():
    page = f"<title> A\n page </title><body><p>{'Some words about it, and then some more. ' * 5}</p></body>"
    assert [section.title for section in html_sections(page)] == ["A page"]


def test_blocks_are_kept_apart_and_lines_of_the_source_are_not():
    page = "<p>one\n  two<b>three</b></p><p>four</p><ul><li>a<li>b</ul>x<br>y<table><tr><td>c<td>d</table>"
    assert _plain(sections_of_plain_html(page)) == [("", "one twothree\n\nfour\n\na\n\nb\n\nx\n\ny\n\nc\n\nd")]


def test_signs_written_as_names_are_read():
    assert _plain(sections_of_plain_html("<p>a &lt;b&gt; &eacute; &#8364; &unknown;</p>")) == [
        ("", "a <b> é € &unknown;")
    ]


@pytest.mark.parametrize("page", ["", " ", "<html></html>", "<script>x</script>", "<title>only</title>", "<!-- x -->"])
def test_a_page_without_text_gives_no_section(page):
    assert html_sections(page) == []


@pytest.mark.parametrize(
    "page",
    ["<p>unclosed <b>bold", "</div></p>text", "<p/>text<", "<a href=>text</a>", "text<![if x]>", "text &#xFFFFFFFF;"],
)
def test_broken_pages_are_read_as_far_as_they_go(page):
    assert any(word in "".join(section.text for section in html_sections(page)) for word in ("text", "unclosed"))


@pytest.mark.parametrize("page", ["<!--" * 50_000, '<a href="' * 50_000, "<p" * 50_000, "<![foo[ x"])
def test_what_is_no_html_is_a_fault_in_a_moment(page):
    with pytest.raises(Fault, match="not HTML"):
        html_sections(page)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<p>Übung".encode(), "<p>Übung"),
        (b"\xef\xbb\xbf" + "<p>Übung".encode(), "<p>Übung"),
        ('<meta charset="latin-1"><p>Übung'.encode("latin-1"), '<meta charset="latin-1"><p>Übung'),
        ("<p>Übung".encode("utf-16"), "<p>Übung"),
        (
            '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">Нил'.encode("cp1251"),
            '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">Нил',
        ),
    ],
)
def test_the_page_says_its_encoding(content, text):
    assert decode_page(content, "utf-8") == text


@pytest.mark.parametrize("content", [b"<p>caf\xe9", b'<meta charset="utf-8">caf\xe9', b'<meta charset="klingon">x'])
def test_a_page_that_is_not_in_its_encoding_is_a_fault(content):
    with pytest.raises(Fault, match="which it should be"):
        decode_page(content, "utf-8")
