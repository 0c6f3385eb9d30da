import json
from collections import Counter

import pytest

from synth.errors import CorpusError, OutputError
from synth.recipe import load
from synth.stage import Source
from synth.survey import Survey, init, quoted, recipe_for, survey
from synth.yaml12 import read_yaml

NILE = "The river rises every summer and floods the fields along its banks."
FLUSS = "Der Fluss steigt jeden Sommer und überflutet die Felder an seinen Ufern."


@pytest.fixture
def corpus(tmp_path):
    rows = [
        {"_id": "1", "title": "The Nile", "text": NILE},
        {"_id": "2", "text": NILE.upper()},
        {"_id": "3", "text": FLUSS},
        {"_id": "4", "text": "这条河每年夏天都会上涨，淹没两岸的田地。"},
        {"_id": "5", "text": "too short"},
        {"_id": "6", "text": "12 34 56 78 90 12 34 56 78"},
        {"_id": "7", "text": NILE * 60},
        {"_id": "8", "text": ""},
    ]
    path = tmp_path / "docs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "rubbish\n")
    return path


def test_a_survey_counts_what_is_in_a_corpus(corpus):
    found = survey(Source(str(corpus)))
    assert (found.documents, found.whole, found.titled, found.duplicates) == (7, True, 1, 1)
    assert (found.few_words, found.few_letters, found.unreadable, found.empty) == (1, 1, 1, 1)
    assert (found.languages["en"], found.languages["de"], found.languages["zh"]) == (4, 1, 1)
    assert found.scripts == {"Latin": 5, "Han": 1, "": 1}
    assert found.faults == [
        "docs.jsonl:8: no text in 'text'",
        "docs.jsonl:9: not JSON: Expecting value: line 1 column 1 (char 0)",
    ]
    assert (found.words_at(0.5), found.words_at(1)) == (12, 661)
    assert found.pieces == 9


def test_only_the_first_documents_are_looked_at(corpus):
    found = survey(Source(str(corpus)), most_documents=3)
    assert (found.documents, found.whole) == (3, False)
    assert "the first 3" in found.lines()[0]


def test_the_table_fits_80_columns_whatever_is_in_it(tmp_path):
    for n in range(40):
        (tmp_path / f"{'long name ' * 12}{n}.txt").write_bytes(b"caf\xe9" * 50 if n % 2 else NILE.encode())
        (tmp_path / f"{n}.{'x' * 30}{n}").write_text("x")
    lines = survey(Source(str(tmp_path))).lines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("cannot be read  ") for line in lines)


@pytest.mark.parametrize("length", range(50, 75))
def test_a_number_stays_on_a_line_with_its_per_cent(length):
    found = Survey("docs", documents=1, words=[9], languages=Counter({"x" * length: 1}))
    assert not [line for line in found.lines() if line.strip() == "%"]


def test_a_survey_is_json(corpus):
    plain = json.loads(json.dumps(survey(Source(str(corpus))).to_json()))
    assert plain["words"] == {"least": 2, "5%": 2, "50%": 12, "95%": 661, "most": 661}
    assert plain["languages"]["de"] == 1


@pytest.mark.parametrize(("content", "said"), [("", "it is empty"), ("rubbish\n", "none of its documents has a text")])
def test_a_corpus_of_nothing_is_an_error(tmp_path, content, said):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(CorpusError, match=said):
        survey(Source(str(tmp_path / "a.jsonl")))


@pytest.mark.parametrize("writer", [False, True])
def test_the_recipe_is_checked_and_names_the_corpus_from_where_it_lies(corpus, tmp_path, monkeypatch, writer):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    output = tmp_path / "recipes" / "mine.yaml"
    init("docs.jsonl", output, writer)
    recipe = load(str(output))
    assert recipe.head.corpus == "../docs.jsonl"
    assert recipe.source.path_of(recipe.head.corpus).resolve() == corpus
    assert ("writer" in recipe.backends) is writer
    uses = [step.use for step in recipe.steps]
    assert uses[:4] == ["from_corpus", "length", "exact_dedup", "generate" if writer else "extract"]


def test_a_clean_corpus_needs_no_cleaning_steps(tmp_path):
    (tmp_path / "a.txt").write_text(NILE)
    text = recipe_for(survey(Source(str(tmp_path))), "./a.txt")
    assert "length" not in text
    assert "documents_once" not in text


def test_a_recipe_that_is_there_is_not_written_over(corpus, tmp_path):
    output = tmp_path / "recipe.yaml"
    output.write_text("mine")
    with pytest.raises(OutputError, match="already there"):
        init(str(corpus), output)
    assert output.read_text() == "mine"


def test_a_folder_that_is_not_there_is_told(corpus, tmp_path):
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        init(str(corpus), tmp_path / "nowhere" / "recipe.yaml")


@pytest.mark.parametrize(
    "name",
    ["./docs", "../my docs", "no", "- a", "a: b", "a #b", "&a", "*a", '"', "'", "a\nsteps: []", "今天/ä", "😀", "\t",
     "~", "hf://me/mine@v1/de:train", "hf://me/mine: x", "C:\\docs", "{a}", "[a]", "%a", "./a\x00b", "\x85",
     "\u2028", "1e5", "", "😀\udcff\x00"],
)  # fmt: skip
def test_a_path_is_read_back_as_it_was(name):
    assert read_yaml(f"corpus: {quoted(name)}\nseed: 7\n", "here") == {"corpus": name, "seed": 7}
