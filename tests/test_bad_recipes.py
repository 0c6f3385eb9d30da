"""What is wrong with a recipe, its prompts or its examples is one line with exit code 2, before any step has run."""

import json
from pathlib import Path

import pytest

from tests.conftest import Synth
from tests.test_bad_input import assert_one_line

PROMPT = """\
---
about: One question about a document.
reads: [document]
axes: {form: {question: {weight: 3, means: a full question}, keywords: {means: a few words}}}
returns: {query: {type: string, least: 3, most: 300, about: the question}}
---
[system]
You write questions.
[user]
{{ document }}
As {{ form }}. Reply with {"query": "…"}
"""
JUDGING = """\
---
about: How good a pair is.
reads: [query, document]
returns: {score: {type: integer, least: 0, most: 3}}
---
[user]
{{ query }} {{ document }}
"""
RECIPE = """\
corpus: ./corpus
backends:
  writer: {use: scripted}
  judge: {use: scripted}
  hosted: {use: openai, model: gpt-5-mini}
steps:
  - use: from_corpus
  - {use: generate, prompt: mine}
  - {use: judge, prompt: judging}
"""
GENERATE = "{use: generate, prompt: mine}"


@pytest.fixture
def files(tmp_path: Path, corpus: Path) -> dict[str, Path]:
    """A recipe that runs, and the files that it reads."""
    named = {"recipe.yaml": RECIPE, "mine.jinja": PROMPT, "judging.jinja": JUDGING, "examples.jsonl": ""}
    for name, text in named.items():
        (tmp_path / name).write_text(text)
    return {name: tmp_path / name for name in named}


def assert_refused(synth: Synth, tmp_path: Path, *words: str) -> None:
    """`run` and `check` say it in one line with these words, and no step has run."""
    for command in ("check", "run"):
        assert_one_line(synth(command, "recipe.yaml"), *words)
    assert not list(tmp_path.glob("outputs/*/*/done.json"))


def test_the_recipe_that_is_spoilt_below_runs(synth: Synth, files: dict[str, Path]) -> None:
    del files
    assert synth("check", "recipe.yaml").code == 0
    assert synth("run", "recipe.yaml").code == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("---\nabout", "about"), ["mine.jinja", "it has no header"]),
        (("reads: [document]", "reads: [document"), ["mine.jinja: header", "no YAML"]),
        (("reads: [document]", "raeds: [document]"), ["mine.jinja: header", "'raeds'", "did you mean 'reads'"]),
        (("about: One question about a document.\n", ""), ["mine.jinja: header", "about: it is missing"]),
        (("As {{ form }}", "As {{ from }}"), ["mine.jinja", "'from'", "did you mean 'form'"]),
        (("As {{ form }}. ", ""), ["mine.jinja", "declares 'form'", "does not use"]),
        (("As {{ form }}", "As {{ form"), ["mine.jinja: line 11"]),
        (("As {{ form }}", "{% set x = 1 %}{{ form }}"), ["mine.jinja: line 11", "not for prompts"]),
        (("[user]\n", ""), ["mine.jinja", "[user]"]),
        (("reads: [document]", "reads: [document, persona]"), ["mine.jinja", "'persona'"]),
        (("weight: 3", "weight: -3"), ["mine.jinja: header: axes.form.question.weight", "-3"]),
        (("weight: 3", "wieght: 3"), ["mine.jinja: header", "wieght", "did you mean 'weight'"]),
        (
            ("weight: 3, means: a full question}, keywords: {", "weight: 0, means: a, relevance: 2}, keywords: {"),
            ["relevance"],
        ),
        (
            ("weight: 3, means: a full question}, keywords: {", "weight: 0, means: a}, keywords: {weight: 0, "),
            ["axes.form", "no value"],
        ),
        (("returns: {query:", "probability: {from: 0.5}\nreturns: {query:"), ["probability.from", "must be an axis"]),
        (("returns: {query: {type: string, least: 3, most: 300, about: the question}}", "returns: {}"), ["returns"]),
        (("query: {type: string", "json: {type: string"), ["returns.json", "taken"]),
        (("query: {type: string", "Query: {type: string"), ["'Query' is no name"]),
        (("type: string", "type: sting"), ["returns.query.type", "sting"]),
        (("least: 3, most: 300", "least: 300, most: 3"), ["returns.query", "turn them round"]),
        (("most: 300", "most: .inf"), ["returns.query.most", "finite"]),
        (("least: 3", "least: .nan"), ["returns.query.least", "finite"]),
        (("least: 3, most: 300", "most: 0"), ["returns.query", "most", "1"]),
        (("least: 3", "least: -3"), ["returns.query", "least", "0"]),
        (("least: 3", "least: 2.5"), ["returns.query", "least", "whole"]),
        (("least: 3, most: 300", "least: 2500, most: 3000"), ["returns.query", "least", "2,000"]),
        (("least: 3, most: 300", "choices: [a, b, a]"), ["returns.query", "choices", "'a'", "twice"]),
        (
            ("least: 3, most: 300", f"choices: [{', '.join(f'c{n}' for n in range(1001))}]"),
            ["returns", "1,001", "1,000"],
        ),
        (("least: 3, most: 300", "relevance: 0.5"), ["returns.query", "relevance is for documents"]),
        (
            ("query: {type: string", "positive: {relevance: form, type: string"),
            ["returns.positive", "'form'", "relevance"],
        ),
    ],
)
def test_a_mistake_in_a_prompt_is_found_with_its_place(
    change: tuple[str, str], words: list[str], synth: Synth, files: dict[str, Path]
) -> None:
    assert change[0] in PROMPT
    files["mine.jinja"].write_text(PROMPT.replace(*change, 1))
    assert_refused(synth, files["recipe.yaml"].parent, *words)


def test_a_prompt_that_reads_what_no_step_gives_names_the_step(
    synth: Synth, files: dict[str, Path], tmp_path: Path
) -> None:
    spoilt = PROMPT.replace("[document]", "[document, persona]").replace("As {{ form", "{{ persona }} {{ form")
    files["mine.jinja"].write_text(spoilt)
    assert_refused(synth, tmp_path, "step generate: prompt mine", "'persona'", "nothing here fills")


def test_a_prompt_that_is_no_text_is_said_so(synth: Synth, files: dict[str, Path], tmp_path: Path) -> None:
    files["mine.jinja"].write_bytes(PROMPT.encode() + b"\xff\xfe")
    assert_refused(synth, tmp_path, "mine.jinja", "cannot be read")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("prompt: mine", "prompt: mein"), ["no prompt is called 'mein'"]),
        (("prompt: mine", "prompt: grounded/qestion"), ["did you mean 'grounded/question'"]),
        (("prompt: judging", "prompt: mine"), ["step judge: prompt mine", "'form'"]),
        (("prompt: judging", "prompt: judging, least: 8"), ["step judge: least", "0 and 3"]),
        (("prompt: judging", "prompt: judging, backend: [judge, judge]"), ["step 3 (judge)", "each once"]),
        (("corpus: ./corpus", "corpus: ./corpus\nlanguages: {en: 0.5, de: 0.4}"), ["languages", "make 1", "0.9"]),
        (("corpus: ./corpus", "corpus: ./corpus\nlanguages: {en: 0.5, klingon: 0.5}"), ["'klingon' is no language"]),
        (
            (GENERATE, "{use: sample, languages: {en: 1, xx: 1}}"),
            ["step 2 (sample)", "languages", "'xx' is no language"],
        ),
        ((GENERATE, "{use: sample, languages: {en: 0, de: 0}}"), ["step 2 (sample)", "languages", "above 0"]),
        ((GENERATE, "{use: sample, pairs: {sw-en: 1}}"), ["step 2 (sample)", "pairs"]),
        ((GENERATE, "{use: sample, axes: {form: {short: 0}}}"), ["step 2 (sample)", "axes.form", "weight above 0"]),
        ((GENERATE, "{use: sample, axes: {query: [a, b]}}"), ["step 2 (sample)", "axes.query", "something else"]),
        ((GENERATE, "{use: brainstorm, prompt: mine}"), ["step brainstorm", "must return one list"]),
        ((GENERATE, "{use: score, by: query_likelihood, backend: hosted}"), ["step score", "log-probabilities"]),
        ((GENERATE, "{use: from_topics, topics: []}"), ["from_topics"]),
        (("{use: scripted}\n  judge", "[{use: scripted, weight: 0}]\n  judge"), ["backend writer", "above 0"]),
        (("- use: from_corpus", "- {use: from_corpus, where: {lingo: de}}"), ["from_corpus", "lingo"]),
    ],
)
def test_a_mistake_in_a_recipe_is_found_with_its_place(
    change: tuple[str, str], words: list[str], synth: Synth, files: dict[str, Path]
) -> None:
    assert change[0] in RECIPE
    files["recipe.yaml"].write_text(RECIPE.replace(*change, 1))
    assert_refused(synth, files["recipe.yaml"].parent, *words)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", ["examples.jsonl", "no examples"]),
        ("\n \n", ["examples.jsonl", "no examples"]),
        ('{"document": "The Nile floods."}', ["examples.jsonl:1", "no query"]),
        ('{"query": "  ", "document": "The Nile floods."}', ["examples.jsonl:1", "no query"]),
        ('{"query": "why?", "document": "a"}\nnot json', ["examples.jsonl:2", "no JSON"]),
        ('["why?"]', ["examples.jsonl:1", "no query"]),
    ],
)
def test_examples_without_a_text_are_refused(
    lines: str, words: list[str], synth: Synth, files: dict[str, Path], tmp_path: Path
) -> None:
    shown = "{% for each in examples %}{{ each.query }}{% endfor %}{{ document"
    files["mine.jinja"].write_text(PROMPT.replace("[document]", "[document, examples]").replace("{{ document", shown))
    files["recipe.yaml"].write_text(RECIPE.replace("prompt: mine", "prompt: mine, examples: ./examples.jsonl"))
    files["examples.jsonl"].write_text(lines)
    assert_refused(synth, tmp_path, *words)


def test_a_test_set_without_documents_has_no_examples(synth: Synth, files: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "asked"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d", "text": " "}) + "\n")
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "why?"}) + "\n")
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    files["recipe.yaml"].write_text(RECIPE.replace("prompt: mine", "prompt: mine, examples: ./asked:train"))
    assert_refused(synth, tmp_path, "asked")


@pytest.mark.parametrize(
    "setting",
    ["from_corpus.language=klingon", "generate.where={language: [en, xx]}", "from_corpus.language=zz"],
)
def test_a_language_that_there_is_not_is_found_wherever_it_stands(
    synth: Synth, files: dict[str, Path], setting: str
) -> None:
    del files
    said = synth("run", "recipe.yaml", "--set", setting)
    assert said.code == 2
    assert "is no language; codes are those of BCP 47" in said.err
    assert said.err.count("\n") == 1
