"""`synth check` tells what each step of a run would ask, shows it, and sends nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CORPUS, Synth, write_corpus
from tests.test_tokens import tokenizer

HEAD = """\
corpus: ./corpus
backends:
  writer: {use: openai, model: gpt-5-mini}
  judge: {use: openai, model: qwen3-8b, base_url: "http://localhost:8000/v1"}
  strong: {use: openai, model: unheard-of}
  local: {use: vllm, model: Qwen/Qwen3-8B}
embedders: {miner: intfloat/e5-small}
steps:
"""
FROM_CORPUS, GENERATE = "from_corpus}", "generate, prompt: grounded/question, per_document: 2}"
WANTING = '''\
"""A step that needs a package."""

from synth.errors import need
from synth.stage import Stage


class Wanting(Stage):
    """Pass all rows."""

    def run(self, rows, ctx):
        """Each row as it is."""
        yield from rows

    def content_read(self, ctx):
        """Nothing but what it needs."""
        need("no_such_package", "files", "wanting")
        return ""
'''
PLAIN = "---\nabout: Something.\nreads: [{reads}]\nreturns: {{{returns}}}\n---\n[user]\n{body}\n"


class Checked:
    """A recipe of these steps, and what `check` says of it."""

    def __init__(self, synth: Synth, folder: Path) -> None:
        self._synth = synth
        self.folder = folder

    def __call__(self, *steps: str, head: str = HEAD) -> dict[str, Any]:
        self.path.write_text(head + "".join(f"  - {{use: {step}\n" for step in steps))
        said = self._synth("check", self.path, "--json")
        assert said.code == 0, said.err
        told: dict[str, Any] = json.loads(said.out)
        return told

    def prompt(self, name: str, **parts: str) -> None:
        (self.folder / f"{name}.jinja").write_text(PLAIN.format(**parts))

    @property
    def path(self) -> Path:
        return self.folder / "recipe.yaml"


@pytest.fixture
def checked(synth: Synth, tmp_path: Path, corpus: Path) -> Checked:
    del corpus
    return Checked(synth, tmp_path)


def requests(told: dict[str, Any]) -> dict[str, int]:
    return {step["step"]: step["requests"] for step in told["steps"]}


def test_each_step_that_asks_is_told_with_a_prompt_and_its_answer_in_eighty_columns(
    checked: Checked, synth: Synth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    checked(FROM_CORPUS, GENERATE, "exact_dedup}", "judge}")
    said = synth("check", checked.path).out
    assert max(map(len, said.splitlines())) <= 80
    for line in (
        "generate (step 2): 16 requests to writer, gpt-5-mini",
        "judge (step 4): 16 requests to judge, qwen3-8b",
        "estimated by script",
        "    <document>",
        "  [answer]",
        "    score: integer, 0 to 3, the verdict",
        "cost:  nothing",
        "16 rows come of it if no filter drops any",
    ):
        assert line in said
    assert "made up" in said.partition("judge (step 4)")[2]


def test_a_prompt_is_shown_as_it_begins_and_ends_or_whole(checked: Checked, synth: Synth) -> None:
    body = "\n".join(f"line {number}" for number in range(40)) + "\n{{ document }}"
    checked.prompt("long", reads="document", returns="query: {}", body=body)
    told = checked(FROM_CORPUS, "generate, prompt: long}")
    assert "line 20" in told["steps"][0]["prompt"][0]["content"]
    said = synth("check", checked.path).out
    assert "line 20" not in said
    assert "lines more, which --whole shows" in said
    for end in ("line 0", "line 7", "line 39"):
        assert f"    {end}\n" in said
    whole = synth("check", checked.path, "--whole").out
    assert all(f"    line {number}\n" in whole for number in range(40))


def test_json_holds_all_of_it(checked: Checked) -> None:
    told = checked(FROM_CORPUS, GENERATE)
    [step] = told["steps"]
    assert (step["step"], step["role"], step["model"], step["requests"]) == ("generate", "writer", "gpt-5-mini", 16)
    assert [message["role"] for message in step["prompt"]] == ["system", "user"]
    assert step["schema"]["properties"]["query"]["type"] == "string"
    assert step["tokens_counted"] == "estimated by script"
    assert step["usd"] == pytest.approx((step["tokens_in"] * 0.25 + step["most_tokens_out"] * 2) / 1e6, abs=1e-6)
    assert told["tokens"] == step["tokens_in"] + step["most_tokens_out"]
    assert (told["rows"], told["documents"], told["made"], told["missing"]) == (8, 8, 16, [])
    assert told["needs"] == ["writer"]


def test_rows_out_of_topics_have_no_documents_and_makers_multiply_them(checked: Checked, synth: Synth) -> None:
    checked.prompt("ideas", reads="topic, wanted", returns="ideas: {type: list}", body="{{ wanted }} of {{ topic }}")
    checked.prompt("write", reads="idea", returns="query: {}, positive: {type: text, least: 900}", body="{{ idea }}")
    told = checked(
        "from_topics, topics: [tides, bread, tax law]}",
        "brainstorm, prompt: ideas, makes: idea, per_row: 50}",
        "sample, per_document: 2, languages: {en: 1, sw: 1}}",
        "generate, prompt: write, per_document: 3}",
        "judge}",
    )
    assert (told["rows"], told["documents"], told["made"]) == (3, 0, 3 * 50 * 2 * 3)
    assert requests(told) == {"brainstorm": 3 * 4, "generate": 900, "judge": 900}
    assert "3 rows, 0 unreadable" in synth("check", checked.path).out


def test_rows_are_counted_by_the_steps_that_are_for_them(checked: Checked) -> None:
    checked.prompt("on", reads="topic", returns="query: {}", body="{{ topic }}")
    topics = "from_topics, topics: {tides: 97, bread: 2, tax: 1}, rows: 100, task: topic}"
    told = checked(
        topics,
        "generate, name: tides, prompt: on, where: {task: tides}}",
        "generate, name: tax, prompt: on, per_document: 30, where: {task: tax}}",
        "generate, name: rest, prompt: on, where: {task: [bread, tax]}}",
    )
    assert requests(told) == {"tides": 97, "tax": 30, "rest": 32}


def test_many_documents_of_two_sources_are_counted_by_some_of_each(checked: Checked, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", {f"d{n}": f"Document {n} tells of the river and the field." for n in range(300)})
    checked.prompt("on", reads="task", returns="query: {}", body="{{ task }}")
    told = checked(
        FROM_CORPUS, "from_topics, topics: [tides, bread]}", "generate, prompt: on, per_document: 3}", "judge}"
    )
    assert (told["rows"], told["documents"]) == (302, 300)
    assert requests(told) == {"generate": 906, "judge": 900}


@pytest.mark.parametrize(
    ("rows", "few", "many"), [(1, 1, 299), (40, 40, 260), (299, 299, 1), (300, 300, 0), (999, 300, 0)]
)
def test_rows_that_are_cut_or_tagged_are_counted_as_many_as_there_will_be(
    checked: Checked, tmp_path: Path, rows: int, few: int, many: int
) -> None:
    write_corpus(tmp_path / "corpus", {f"d{n}": f"Document {n} tells of the river and the field." for n in range(300)})
    cut = checked(FROM_CORPUS, f"stratify, rows: {rows}}}", "generate, name: few}")
    assert (requests(cut), cut["made"]) == ({"few": few}, few)
    stages = (
        "generate, name: few, where: {tag: shown}}",
        "demonstrate}",
        "generate, name: many, prompt: promptagator/query, where: {without_tag: shown}}",
    )
    told = checked(FROM_CORPUS, f"stratify, rows: {rows}, tag: shown}}", *stages)
    assert requests(told) == {"few": few} | ({"many": many} if many else {})
    assert told["made"] == 300


def test_each_of_several_judges_is_counted_and_the_last_word_at_its_most(checked: Checked) -> None:
    told = checked(FROM_CORPUS, GENERATE, "judge, backend: [judge, writer], then: strong}")
    asked = [(step["role"], step["model"], step["requests"]) for step in told["steps"][1:]]
    assert asked == [("judge", "qwen3-8b", 16), ("writer", "gpt-5-mini", 16), ("strong", "unheard-of", 16)]
    assert told["usd"] is None
    assert told["steps"][1]["usd"] == 0


def test_what_a_search_would_find_is_judged_in_the_forecast(checked: Checked) -> None:
    told = checked(FROM_CORPUS, GENERATE, "mine, negatives: 4}", "false_negatives}")
    assert requests(told) == {"generate": 16, "false_negatives": 16 * 4}


@pytest.mark.parametrize(
    ("step", "needs"),
    [
        ("generate, samples: 4, keep: best}", ["log-probabilities"]),
        ("generate, backend: local}", ["a GPU"]),
        ("score, by: relevance}", ["log-probabilities"]),
        ("score, by: query_likelihood}", ["log-probabilities of the prompt"]),
        ("judge, prompt: judge/yes_no}", ["log-probabilities"]),
        ("judge}", []),
    ],
)
def test_a_step_says_what_its_model_must_be_able_to_do(
    step: str, needs: list[str], checked: Checked, synth: Synth
) -> None:
    steps = [FROM_CORPUS, step] if step.startswith("generate") else [FROM_CORPUS, GENERATE, step]
    told = checked(*steps)
    assert told["steps"][-1]["needs"] == needs
    assert [need for need in told["needs"] if need not in ("writer", "judge", "local")] == needs
    said = synth("check", checked.path).out
    assert (f"needs: {', '.join(needs)}" in said) == bool(needs)


def test_steps_that_ask_an_embedder_say_which(checked: Checked, synth: Synth) -> None:
    told = checked(FROM_CORPUS, "extract}", "mine, retriever: dense, embedder: miner}")
    assert told["embedders"] == {"mine": ["embedder miner (intfloat/e5-small)"]}
    assert told["needs"] == ["embedder miner"]
    said = synth("check", checked.path).out
    assert "mine asks the embedder miner (intfloat/e5-small)" in said
    assert "no model is asked" in said


def test_tokens_are_counted_by_the_models_own_tokenizer_where_it_is_here(checked: Checked, tmp_path: Path) -> None:
    checked.prompt("on", reads="document", returns="query: {}", body="{{ document }}")
    local = HEAD.replace("Qwen/Qwen3-8B", str(tokenizer(tmp_path / "tiny")))
    [step] = checked(FROM_CORPUS, "generate, prompt: on, backend: local}", head=local)["steps"]
    words = sum(len(text.split()) for text in CORPUS.values())
    assert step["tokens_in"] == words + 8 * (5 + 3)
    assert step["tokens_counted"] == "counted by tiny's tokenizer"


def test_who_sends_a_bill_counts_the_schema_too(checked: Checked) -> None:
    [hosted] = checked(FROM_CORPUS, GENERATE)["steps"]
    own = HEAD.replace("model: gpt-5-mini", 'model: gpt-5-mini, base_url: "http://localhost:8000/v1"')
    [local] = checked(FROM_CORPUS, GENERATE, head=own)["steps"]
    assert hosted["tokens_in"] > local["tokens_in"] + 16 * 20


def test_a_quota_that_may_ask_for_more_says_so(checked: Checked) -> None:
    told = checked(FROM_CORPUS, GENERATE, "quota, rows: 500}")
    assert ["quota: where a cell is short, generate is asked for more" in text for text in told["warnings"]] == [True]
    assert checked(FROM_CORPUS, GENERATE, "quota, rows: 500, most_rounds: 0}")["warnings"] == []


def test_what_made_up_replies_lead_to_is_no_warning(checked: Checked) -> None:
    checked.prompt("ideas", reads="wanted", returns="ideas: {type: list, most: 1}", body="{{ wanted }}")
    told = checked(FROM_CORPUS, "brainstorm, prompt: ideas, per_row: 100}")
    assert told["warnings"] == []


def test_files_that_only_filters_read_are_missed_too(checked: Checked, synth: Synth) -> None:
    checked.path.write_text(
        HEAD + "  - use: from_corpus\n  - use: extract\n  - {use: decontamination, against: [./gone]}\n"
    )
    said = synth("check", checked.path)
    assert said.code == 2
    assert "gone" in said.err


def test_a_package_that_only_a_filter_wants_is_told_as_missing(checked: Checked) -> None:
    (checked.folder / "wanting.py").write_text(WANTING)
    told = checked(FROM_CORPUS, GENERATE, "wanting}")
    assert told["missing"] == ["wanting needs no_such_package: pip install 'synth-embed[files]'"]


def test_a_source_that_gives_nothing_is_an_error(checked: Checked, synth: Synth, tmp_path: Path) -> None:
    (tmp_path / "corpus" / "corpus.jsonl").write_text("not json\n")
    checked.path.write_text(HEAD + "  - use: from_corpus\n")
    said = synth("check", checked.path)
    assert said.code == 2
    assert said.err.count("\n") == 1


def test_a_check_writes_nothing(checked: Checked, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    checked(FROM_CORPUS, GENERATE, "judge}")
    assert sorted(set(tmp_path.rglob("*")) - set(before)) == [checked.path]
