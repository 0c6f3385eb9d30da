import time

import pytest

from synth.documents.markup import markdown_sections, rst_sections, tidy


def _plain(sections):
    return [(section.title, section.text) for section in sections]


def test_each_heading_begins_a_section_with_the_way_to_it_as_title():
    text = "before\n# Guide\nintro\n## Install\nunpack\n### Linux\napt\n## Use\nrun\n# Help\nask"
    assert _plain(markdown_sections(text)) == [
        ("", "before"),
        ("Guide", "intro"),
        ("Guide > Install", "unpack"),
        ("Guide > Install > Linux", "apt"),
        ("Guide > Use", "run"),
        ("Help", "ask"),
    ]


def test_a_heading_without_text_only_leads_to_those_below():
    assert _plain(markdown_sections("# Guide\n## Install\nunpack")) == [("Guide > Install", "unpack")]


def test_a_heading_that_repeats_the_one_above_stands_once_in_the_title():
    assert _plain(markdown_sections("# Guide\n## Guide\ntext\n### Use\nrun")) == [
        ("Guide", "text"),
        ("Guide > Use", "run"),
    ]


def test_underlined_headings_count_too():
    assert _plain(markdown_sections("Guide\n=====\na\n\nInstall\n---\nb")) == [("Guide", "a"), ("Guide > Install", "b")]


def test_a_sign_in_code_is_no_heading():
    text = "# Guide\n```sh\n# a comment\nmake   x\n```\n\n    # indented\n"
    assert _plain(markdown_sections(text)) == [("Guide", "# a comment\nmake   x\n\n# indented")]


def test_marks_are_taken_off_and_words_stay():
    text = "a *b* **c** `__init__` [link](http://x.y) ![picture](p.png) <b>d</b>\nnext <!-- gone -->"
    assert _plain(markdown_sections(text)) == [("", "a b c __init__ link picture d next")]


def test_lists_quotes_and_tables_are_read():
    text = "- one\n- two\n\n> said\n\n| a | b |\n|---|---|\n| c | d |\n"
    assert _plain(markdown_sections(text)) == [("", "one\n\ntwo\n\nsaid\n\na\n\nb\n\nc\n\nd")]


@pytest.mark.parametrize("front", ["---\ntitle: The Guide\ntags: [a]\n---\n", '+++\ntitle = "The Guide"\n+++\n'])
def test_front_matter_gives_the_title_and_is_no_text(front):
    assert _plain(markdown_sections(front + "text\n## Install\nmore")) == [
        ("The Guide", "text"),
        ("The Guide > Install", "more"),
    ]


def test_a_heading_of_its_own_stands_before_the_title_of_the_front_matter():
    assert _plain(markdown_sections("---\ntitle: x\n---\n# Guide\ntext")) == [("Guide", "text")]


def test_front_matter_that_does_not_end_is_text():
    assert "title: x" in markdown_sections("---\ntitle: x\n\ntext")[0].text


def test_lines_are_counted_from_the_top_of_the_file():
    sections = markdown_sections("---\ntitle: x\n---\n\ntext\r\n\r\n## Install\r\n\r\nmore")
    assert [section.line for section in sections] == [5, 9]


def test_raw_html_is_no_text():
    assert _plain(markdown_sections("<div>\n<script>alert(1)</script>\n</div>\n\ntext")) == [("", "text")]


@pytest.mark.parametrize("text", ["", "   ", "# ", "#\n#\n", "---\n---\n", "<!-- only -->"])
def test_what_holds_no_text_gives_no_section(text):
    assert markdown_sections(text) == []


@pytest.mark.parametrize("piece", ["[", "*a ", ">", "`", "- ", "![]((", "a\n=", "<!--", "| a ", "\x00"])
@pytest.mark.parametrize("read", [markdown_sections, rst_sections])
def test_rubbish_is_read_in_a_moment(read, piece):
    began = time.process_time()
    read(piece * 10_000)
    assert time.process_time() - began < 5


def test_a_line_of_rubbish_is_not_searched_for_marks():
    began = time.process_time()
    assert rst_sections(":a" * 100_000)[0].text == ":a" * 100_000
    assert time.process_time() - began < 5


def test_rst_headings_are_told_apart_by_how_they_are_adorned():
    text = (
        "=====\nGuide\n=====\n\nintro\n\nInstall\n-------\nunpack\n\nLinux\n~~~~~\napt\n\nUse\n---\nrun\n\n"
        "====\nHelp\n====\nask\n"
    )
    assert _plain(rst_sections(text)) == [
        ("Guide", "intro"),
        ("Guide > Install", "unpack"),
        ("Guide > Install > Linux", "apt"),
        ("Guide > Use", "run"),
        ("Help", "ask"),
    ]


def test_rst_roles_links_and_marks_leave_their_words():
    text = (
        "See :func:`os.path.join`, :class:`~a.B`, :ref:`the guide <guide>`, `docs <http://x.y>`_, ``*args``, **bold**, "
        "*it* and `a\nlong link <http://x.y>`__."
    )
    assert _plain(rst_sections(text)) == [
        ("", "See os.path.join, a.B, the guide, docs, *args, bold, it and a long link.")
    ]


def test_rst_notes_are_read_and_comments_targets_and_contents_are_not():
    text = (
        ".. _target:\n\n.. a comment\n   that goes on\n\n.. toctree::\n   :maxdepth: 2\n\n   one\n   two\n\n"
        ".. image:: a.png\n   :alt: a picture\n\n.. note::\n   Mind the step.\n\n"
        ".. function:: join(a, b)\n   :noindex:\n\n   Joins the two.\n\nText.\n"
    )
    assert _plain(rst_sections(text)) == [("", "Mind the step.\n\nJoins the two.\n\nText.")]


def test_rst_code_keeps_its_lines():
    text = (
        "Do this::\n\n    if x:\n        y()\n\n.. code-block:: python\n   :linenos:\n\n   a = `b`\n   c = *d*\n\nDone."
    )
    assert _plain(rst_sections(text)) == [("", "Do this:\n\nif x:\n    y()\n\na = `b`\nc = *d*\n\nDone.")]


def test_rst_lists_keep_their_lines_and_paragraphs_are_joined():
    text = "One line\nand the next.\n\n- first\n- second\n\n>>> 1 + 1\n2\n"
    assert _plain(rst_sections(text)) == [("", "One line and the next.\n\n- first\n- second\n\n>>> 1 + 1\n2")]


def test_rst_lines_are_counted():
    assert [section.line for section in rst_sections("Guide\n=====\n\ntext\n\nUse\n---\n\nmore")] == [4, 9]


@pytest.mark.parametrize("text", ["", "\n\n", "=====\n", ".. comment\n", "Title\n=====\n", ".. toctree::\n\n   a\n"])
def test_rst_without_text_gives_no_section(text):
    assert rst_sections(text) == []


def test_plain_text_keeps_indents_and_loses_empty_space():
    assert tidy("  \none  \r\n \n\n\n  two\x00\n") == "one\n\n  two"
    assert len(tidy("a" + " " * 2_000_000 + "b")) == 2_000_002
