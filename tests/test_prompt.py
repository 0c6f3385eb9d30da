"""Prompts: found, checked when loaded, filled in with texts that stay texts."""

from pathlib import Path

import pytest

from synth.backend import Message
from synth.errors import RecipeError
from synth.prompt import Prompt, parse_prompt

LINE = r'[^"\\\u0000-\u001f]'
"""A character of one line, without quotes and backslashes."""
HEADER = """\
about: One question.
reads: [document]
returns: {query: {type: string, most: 300}}
"""
BODY = "[system]\nYou ask.\n[user]\nText: {{ document }}\n"


def written(folder: Path, header: str = HEADER, body: str = BODY, name: str = "mine") -> Prompt:
    (folder / f"{name}.jinja").write_text(f"---\n{header}---\n{body}", encoding="utf-8")
    return Prompt.load(name, folder)


def test_a_prompt_is_filled_in_part_by_part(tmp_path: Path) -> None:
    prompt = written(tmp_path)
    assert prompt.render({"document": "The Nile."}) == (
        Message("system", "You ask."),
        Message("user", "Text: The Nile."),
    )


def test_a_prompt_may_do_without_a_system_part(tmp_path: Path) -> None:
    assert [m.role for m in written(tmp_path, body="[user]\n{{ document }}").render({"document": "x"})] == ["user"]


def test_if_and_for_are_there(tmp_path: Path) -> None:
    header = HEADER.replace("[document]", "[documents, title]")
    body = "[user]\n{% if title %}\n{{ title }}:\n{% endif %}\n"
    body += "{% for d in documents %}\n{{ loop.index }}. {{ d | trim }}\n{% endfor %}\n"
    prompt = written(tmp_path, header, body)
    assert prompt.render({"documents": [" a ", "b"], "title": "T"})[0].content == "T:\n1. a\n2. b"
    assert prompt.render({"documents": ["a"], "title": ""})[0].content == "1. a"


def test_values_can_be_compared(tmp_path: Path) -> None:
    header = HEADER.replace("[document]", "[task]")
    body = '[user]\n{% if task == "sts" %}\nalike\n{% endif %}\n{{ task }}\n'
    prompt = written(tmp_path, header, body)
    assert prompt.render({"task": "sts"})[0].content == "alike\nsts"
    assert prompt.render({"task": "retrieval"})[0].content == "retrieval"


@pytest.mark.parametrize(
    "text",
    [
        "{{ 7 * 7 }} {% if x %}",
        "a\n[user]\nb\n[system]\nc",
        "---\nabout: x\n---\n",
        "{{ document.__class__ }}",
        "<b>&amp;</b>",
        "{# #} {% raw %}",
        "ไทย हिन्दी עברית العربية \u202e e\u0301 👩‍👩‍👧",
    ],
)
def test_what_a_document_holds_stays_a_text(tmp_path: Path, text: str) -> None:
    messages = written(tmp_path).render({"document": text})
    assert [m.role for m in messages] == ["system", "user"]
    assert messages[1].content == f"Text: {text}".strip()


def test_half_a_character_is_replaced(tmp_path: Path) -> None:
    assert written(tmp_path).render({"document": "a\ud83d b\U0001f600"})[1].content == "Text: a\ufffd b\U0001f600"


def test_each_declared_name_must_be_filled_and_no_other(tmp_path: Path) -> None:
    prompt = written(tmp_path)
    with pytest.raises(RecipeError, match="prompt mine: nothing fills 'document'"):
        prompt.render({})
    with pytest.raises(RecipeError, match="prompt mine: it does not read 'titel'; its header declares document"):
        prompt.render({"document": "x", "titel": "y"})


def test_a_prompt_beside_the_recipe_comes_before_one_in_its_folder_of_prompts_and_that_before_the_packages(
    tmp_path: Path,
) -> None:
    name = "grounded/question"
    shipped = Prompt.load(name, tmp_path).text_hash
    (tmp_path / "prompts" / "grounded").mkdir(parents=True)
    near = written(tmp_path / "prompts", body="[user]\nnear {{ document }}", name=name)
    assert Prompt.load(name, tmp_path).text_hash == near.text_hash != shipped
    (tmp_path / "grounded").mkdir()
    nearest = written(tmp_path, body="[user]\nnearest {{ document }}", name=name)
    assert Prompt.load(name, tmp_path).text_hash == nearest.text_hash != near.text_hash
    assert Prompt.load(f"{name}.jinja", tmp_path).name == name


def test_a_change_of_wording_or_header_changes_the_hash(tmp_path: Path) -> None:
    texts = [(HEADER, BODY), (HEADER, BODY + "."), (HEADER.replace("One", "A"), BODY)]
    assert len({written(tmp_path, *text).text_hash for text in texts}) == 3
    assert written(tmp_path).text_hash == written(tmp_path).text_hash


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    text = f"---\n{HEADER}---\n{BODY}"
    odd = "\ufeff" + text.replace("\n", "\r\n")
    assert parse_prompt(odd, "x", tmp_path).text_hash == parse_prompt(text, "x", tmp_path).text_hash


@pytest.mark.parametrize(
    ("name", "said"),
    [("grounded/questoin", "did you mean 'grounded/question'"), ("zzz", "`synth list prompts` names those there are")],
)
def test_an_unknown_prompt_is_told_with_the_nearest(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Prompt.load(name, tmp_path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("header", "body", "said"),
    [
        (HEADER, "[user]\n{{ document }} {{ title }}", "uses 'title', which the header does not declare"),
        (HEADER, "[user]\n{{ documents }}", "did you mean 'document'"),
        (HEADER, "[user]\nno name", "declares 'document', which the body does not use"),
        (HEADER, "{{ document }}", "must be a line `[system]`"),
        (HEADER, "before\n[user]\n{{ document }}", "must be a line `[system]`"),
        (HEADER, "[user]\n{{ document }}\n[user]\nmore", "must be a line `[system]`"),
        (HEADER, "[system]\n{{ document }}\n[user]\n  \n", "the [user] part is empty"),
        (HEADER, "[user]\n\n{{ document }", "line 8: "),
        (HEADER, "[system]\nx\n[user]\n{% if document %}", "line 9: "),
        (HEADER, "[user]\n{% set x = 1 %}{{ document }}", "`assign` is not for prompts"),
        (HEADER, "[user]\n{% include 'x' %}{{ document }}", "`include` is not for prompts"),
        (HEADER, "[user]\n{% macro x() %}{% endmacro %}{{ document }}", "`macro` is not for prompts"),
        (HEADER, "[user]\n{{ document.format(1) }}", "`call` is not for prompts"),
        (HEADER, "[user]\n{{ document * 99999999 }}", "`mul` is not for prompts"),
        (
            HEADER,
            "[user]\n{{ document | pprint }}",
            "the filter `pprint` is not for prompts; there are join, length, trim",
        ),
        (HEADER, "[user]\n{% for d in document recursive %}{{ d }}{% endfor %}", "recursive"),
        (HEADER.replace("reads", "read"), BODY, "header: no option is called 'read'; did you mean 'reads'?"),
        (HEADER.replace("about: One question.\n", ""), BODY, "header: about: it is missing"),
        (HEADER.replace("{query: {type: string, most: 300}}", "{}"), BODY, "header: returns"),
        (HEADER.replace("string", "strings"), BODY, "returns.query.type"),
        (HEADER.replace("most: 300", "most: 3, least: 4"), BODY, "least is 4 and most is 3"),
        (HEADER.replace("most: 300", "max: 3"), BODY, "there are type, about, least, most"),
        (HEADER.replace("most: 300", "notes: {why: query}"), BODY, "notes: 'query' must be another field"),
        (HEADER.replace("most: 300", "further: true"), BODY, "further is for positives"),
        (HEADER.replace("query:", "model_fields:"), BODY, "this name is taken"),
        (HEADER.replace("query:", "Query:"), BODY, "is no name"),
        (HEADER.replace("[document]", "[document, document]"), BODY, "'document' is declared twice"),
        (HEADER + "axes: {form: {a: {weight: 0, means: x}}}\n", BODY + "{{ form }}", "no value with a weight above 0"),
        (HEADER + "axes: {form: {a: {weight: -1, means: x}}}\n", BODY + "{{ form }}", "greater than or equal to 0"),
        (HEADER + "axes: {document: {a: {means: x}}}\n", BODY, "'document' is declared twice"),
        ("just words\n", BODY, "header: it must be `about:`"),
        ("about: [\n", BODY, "this is no YAML"),
    ],
)
def test_a_mistake_is_told_when_the_prompt_is_loaded_with_its_file(
    tmp_path: Path, header: str, body: str, said: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        written(tmp_path, header, body)
    assert str(caught.value).startswith(str(tmp_path / "mine.jinja"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_header_or_in_another_encoding_is_told(tmp_path: Path) -> None:
    (tmp_path / "bare.jinja").write_text("[user]\nhello", encoding="utf-8")
    with pytest.raises(RecipeError, match="it has no header; a prompt begins with a line `---`"):
        Prompt.load("bare", tmp_path)
    (tmp_path / "odd.jinja").write_bytes(b"---\nabout: \xff\n---\n")
    with pytest.raises(RecipeError, match="the prompt cannot be read"):
        Prompt.load("odd", tmp_path)


def test_attributes_that_lead_out_of_the_sandbox_do_not(tmp_path: Path) -> None:
    prompt = written(tmp_path, body="[user]\n{{ document.__class__ }}")
    with pytest.raises(RecipeError, match="prompt mine: it cannot be filled in"):
        prompt.render({"document": "x"})


def test_the_schema_is_what_the_header_says(tmp_path: Path) -> None:
    returns = """
  query: {type: string, least: 3, most: 300, about: the question}
  body: {type: text, most: 3000}
  gap: {type: string, least: 0, most: 9}
  kind: {type: string, choices: [a, b]}
  score: {type: integer, least: 0, most: 3, optional: true}
  share: {type: number, most: 1}
  fits: {type: boolean}
  tags: {type: list, most: 3}
"""
    prompt = written(tmp_path, HEADER.replace("{query: {type: string, most: 300}}", returns))
    assert prompt.schema == {
        "type": "object",
        "properties": {
            "query": {
                "description": "the question",
                "type": "string",
                "pattern": "^" + LINE + "{3,128}" + LINE + "{0,128}" + LINE + "{0,44}$",
            },
            "body": {"type": "string"},
            "gap": {"type": "string", "pattern": r'^[^"\\\u0000-\u001f]{0,9}$'},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "score": {"type": "integer", "minimum": 0, "maximum": 3},
            "share": {"type": "number", "maximum": 1},
            "fits": {"type": "boolean"},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        },
        "required": ["query", "body", "gap", "kind", "score", "share", "fits", "tags"],
        "additionalProperties": False,
    }
    answer = {"query": " a\nb\x07c ", "body": "a\nb ", "gap": "", "kind": "a", "share": 1, "fits": True, "tags": []}
    assert prompt.answer.model_validate({**answer, "more": 1}).model_dump() == {
        "query": "a b c",
        "body": "a\nb",
        "gap": "",
        "kind": "a",
        "score": None,
        "share": 1.0,
        "fits": True,
        "tags": [],
    }
