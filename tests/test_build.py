"""A whole run: from documents to an embedder that is measured beside BM25 and itself untrained."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RECIPE, Synth, write_corpus

TOPICS = {
    "river": "flood bank water stream boat bridge fish current delta mud",
    "kitchen": "bread flour oven yeast dough salt butter knife pan heat",
    "bicycle": "chain wheel brake saddle pedal spoke tyre gear frame bell",
    "garden": "soil seed root leaf moss worm spade hedge rain bloom",
}


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A recipe over sixty documents on four topics, and a test set whose questions each have one right answer."""
    rng = random.Random(4)
    texts, queries, qrels = {}, [], ["query-id\tcorpus-id\tscore"]
    for number in range(60):
        name, words = rng.choice(sorted(TOPICS.items()))
        own = [f"{word}{rng.randint(1, 9)}" for word in rng.sample(words.split(), 6)]
        texts[f"d{number}"] = (
            ". ".join(f"The {name} has {' and '.join(rng.sample(own, 4))} in it" for _ in range(4)) + "."
        )
        queries.append(json.dumps({"_id": f"q{number}", "text": f"{name} with {own[0]} {own[1]} {own[2]}"}))
        qrels.append(f"q{number}\td{number}\t1")
    write_corpus(tmp_path / "corpus", texts)
    questions = tmp_path / "questions"
    (questions / "qrels").mkdir(parents=True)
    (questions / "queries.jsonl").write_text("\n".join(queries))
    (questions / "qrels" / "test.tsv").write_text("\n".join(qrels) + "\n")
    train = "train: {base: static, dims: 64, vocabulary: 500, epochs: 3}\nevaluate: [./questions]\n"
    (tmp_path / "recipe.yaml").write_text(RECIPE + train)
    return tmp_path


def test_a_run_ends_with_a_measured_embedder(world: Path, synth: Synth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = synth("run", "recipe.yaml", "--output", "run")
    assert said.code == 0, said.err
    assert max(map(len, said.out.splitlines())) <= 80
    assert "Traceback" not in said.err
    told = json.loads((world / "run" / "run.json").read_text())
    scores = {score["model"]: score for score in told["evaluation"]}
    assert set(scores) == {"trained", "start", "untrained", "bm25", "fused"}
    assert all(0 <= s["low"] <= s["ndcg@10"] <= s["high"] <= 1 and s["corpus_seen"] is True for s in scores.values())
    assert scores["trained"]["ndcg@10"] > scores["untrained"]["ndcg@10"]
    assert "What training on it gives" in (world / "run" / "dataset" / "README.md").read_text()

    before = (world / "run" / "model" / "model.safetensors").stat().st_mtime_ns
    again = json.loads(synth("run", "recipe.yaml", "--output", "run", "--json").out)
    assert again["evaluation"] == told["evaluation"]
    assert (world / "run" / "model" / "model.safetensors").stat().st_mtime_ns == before

    embedded = synth("embed", "run/model", "corpus/corpus.jsonl", "--output", "vectors.npy", "--json")
    vectors = np.load(world / "vectors.npy")
    assert json.loads(embedded.out)["texts"] == len(vectors) == 60
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    loaded = _plainly_loaded(world / "run" / "model").encode(["The river has flood1 in it"], normalize_embeddings=True)
    assert loaded.shape == (1, vectors.shape[1])

    assert synth("train", "run", "--output", "other", "--epochs", "1").code == 0
    for folder in ("corpus/corpus.jsonl",):
        (world / "questions" / "corpus.jsonl").write_text((world / folder).read_text())
    measured = json.loads(synth("eval", "run/model", "questions", "--against", "bm25", "--json").out)
    first = {score["model"]: score["ndcg@10"] for score in measured["scores"]}
    assert first["bm25"] == pytest.approx(scores["bm25"]["ndcg@10"], abs=1e-4)


def test_what_was_deleted_is_made_again(world: Path, synth: Synth) -> None:
    import shutil

    bare = ["--set", "train=null", "--set", "evaluate=[]", "--output", "run"]
    synth("run", "recipe.yaml", *bare)
    shutil.rmtree(world / "run" / "dataset")
    assert synth("run", "recipe.yaml", *bare).code == 0
    assert (world / "run" / "dataset" / "README.md").is_file()


def _plainly_loaded(path: Path):  # type: ignore[no-untyped-def]
    """As anybody would load it who does not know of synth."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(path))


SHOWS = """---
about: one query, after examples of others
reads: [examples, document]
returns: {query: {least: 3, most: 300}}
---
[user]
{% for example in examples %}
{{ example.document }} -> {{ example.query }}
{% endfor %}
{{ document }}
"""


def test_questions_that_were_shown_to_the_writer_are_not_measured_on(world: Path, synth: Synth) -> None:
    questions = world / "questions"
    (questions / "corpus.jsonl").write_text((world / "corpus" / "corpus.jsonl").read_text())
    (world / "shows.jinja").write_text(SHOWS)
    generate = "  - {use: generate, prompt: shows, examples: ./questions, shots: 5}\n"
    text = (world / "recipe.yaml").read_text().replace("  - {use: extract, per_document: 3}\n", generate)
    (world / "recipe.yaml").write_text(text + "backends: {writer: {use: scripted}}\n")
    said = synth("run", "recipe.yaml", "--output", "run")
    assert said.code == 0, said.err
    assert "questions: 5 queries were shown to a model as examples and are left out" in said.out
    assert "questions (55)" in said.out
    told = json.loads((world / "run" / "run.json").read_text())
    assert len(told["left_out"]["questions"]) == 5
    all_of_them = synth("run", "recipe.yaml", "--output", "other", "--set", "generate.shots=50")
    assert all_of_them.code == 0
    queries = (questions / "queries.jsonl").read_text().splitlines()[:40]
    (questions / "queries.jsonl").write_text("\n".join(queries))
    qrels = (questions / "qrels" / "test.tsv").read_text().splitlines()[:41]
    (questions / "qrels" / "test.tsv").write_text("\n".join(qrels) + "\n")
    none_left = synth("run", "recipe.yaml", "--output", "third", "--set", "generate.shots=50")
    assert none_left.code == 2
    assert "every query of questions is shown to a model as an example" in none_left.err
