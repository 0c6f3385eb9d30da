import json
import re
from collections import Counter
from pathlib import Path

import pytest

from synth.stage import Context
from synth.stages.from_docstrings import FromDocstrings
from synth.types import Example

QUESTIONS = Path(__file__).parents[1] / "recipes" / "quickstart" / "questions"
SHORT_NAME = 5
"""Letters. Shorter names (`copy`, `split`, `get`) are everyday words, which nobody can ask without."""
MOST_SHARED = 4
"""Words in a row that a question may share with the docstring that answers it."""


def words(text):
    return re.findall(r"\w+", text.lower())


@pytest.fixture(scope="module")
def texts():
    rows = FromDocstrings().run((), Context(step="from_docstrings"))
    return {row.positive.doc_id: row.positive.text for row in rows if isinstance(row, Example)}


@pytest.fixture(scope="module")
def queries():
    lines = (QUESTIONS / "queries.jsonl").read_text("utf-8").splitlines()
    return {line["_id"]: line["text"] for line in map(json.loads, lines)}


@pytest.fixture(scope="module")
def splits():
    return {split: read_qrels(QUESTIONS / "qrels" / f"{split}.tsv") for split in ("dev", "test")}


def read_qrels(path):
    header, *lines = path.read_text("utf-8").splitlines()
    assert header == "query-id\tcorpus-id\tscore"
    return [tuple(line.split("\t")) for line in lines]


@pytest.fixture(scope="module")
def answers(splits):
    return [(query, document) for rows in splits.values() for query, document, _ in rows]


def test_there_are_enough_questions_and_no_two_are_alike(queries):
    assert len(queries) >= 150
    assert len({" ".join(words(text)) for text in queries.values()}) == len(queries)


def test_every_question_is_judged_in_exactly_one_of_two_equal_halves(queries, splits):
    dev, test = ({query for query, _, _ in rows} for rows in splits.values())
    assert not dev & test
    assert dev | test == set(queries)
    assert abs(len(dev) - len(test)) <= 1


def test_every_judgement_says_relevant_and_stands_once(splits, answers):
    assert {score for rows in splits.values() for _, _, score in rows} == {"1"}
    assert max(Counter(answers).values()) == 1


def test_every_answer_is_a_document_of_the_python_that_runs(answers, texts):
    assert [answer for answer in answers if answer[1] not in texts] == []


def test_no_question_names_the_function_it_asks_for(queries, answers):
    named = [
        (queries[query], document)
        for query, document in answers
        if len(name := document.rpartition(".")[2].lower()) > SHORT_NAME and name in words(queries[query])
    ]
    assert named == []


def test_no_question_is_copied_out_of_the_docstring_that_answers_it(queries, answers, texts):
    def shares_a_run(question, text):
        said, n = words(question), MOST_SHARED + 1
        there = f" {' '.join(words(text))} "
        return any(f" {' '.join(said[i : i + n])} " in there for i in range(len(said) - n + 1))

    assert [(queries[q], d) for q, d in answers if shares_a_run(queries[q], texts[d])] == []


def test_the_answers_are_spread_over_the_library(answers):
    modules = Counter(document.partition(".")[0] for _, document in answers)
    assert len(modules) >= 100
    assert max(modules.values()) <= len(answers) / 10
