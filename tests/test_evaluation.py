import json
import math
import zlib
from collections.abc import Sequence
from io import StringIO
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from synth.beir import TestSet
from synth.embedder import Embedder
from synth.errors import CorpusError
from synth.evaluation import bootstrap, compare, evaluate, measures
from synth.retrieval import Corpus, Hits
from synth.scores import Difference, Evaluation, Score, notes, table
from synth.types import Document


class Words(Embedder):
    """A tiny embedder: a text is the sum of one random vector a word; a query of another `salt` is lost."""

    def __init__(self, salt: str = "") -> None:
        self.name, self._salt = f"words{salt}", salt

    @property
    def dim(self) -> int:
        return 64

    def encode(
        self, texts: Sequence[str], *, kind: Literal["query", "document"] = "document", instruction: str = ""
    ) -> NDArray[np.float32]:
        salt = self._salt if kind == "query" else ""
        vectors = np.stack([sum(self._word(salt + word) for word in text.lower().split()) for text in texts])
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def _word(self, word: str) -> NDArray[np.float64]:
        return np.random.default_rng(zlib.crc32(word.encode())).normal(size=self.dim)


RIVERS = ("nile", "rhine", "volga", "indus", "congo", "ganges", "loire", "tigris", "oder", "amur")
DOCUMENTS = tuple(Document(f"the river {name} is long", doc_id=f"d-{name}") for name in RIVERS)
TEST = TestSet(
    "rivers",
    "test",
    {f"q{i}": f"how long is {name}" for i, name in enumerate(RIVERS)},
    {f"q{i}": {f"d-{name}": 1} for i, name in enumerate(RIVERS)},
    DOCUMENTS,
)


def hits_of(rows: Sequence[Sequence[int]], k: int = 4) -> Hits:
    indices = np.full((len(rows), k), -1, np.int64)
    for row, places in enumerate(rows):
        indices[row, : len(places)] = places
    return Hits(indices, np.where(indices >= 0, 1.0, -np.inf).astype(np.float32))


ABCD = Corpus([Document(name, doc_id=name) for name in "abcd"])


def judged(**qrels: dict[str, int]) -> TestSet:
    return TestSet("t", "test", {query: query for query in qrels}, qrels, ABCD.documents)


def test_the_figures_are_those_worked_out_by_hand() -> None:
    found = measures(
        judged(q={"a": 2, "b": 1, "d": 0}, r={"c": 1, "d": 1}, s={"a": 1}), ABCD, hits_of([[1, 2, 0], [3], []])
    )
    dcg, ideal = 1 / math.log2(2) + 2 / math.log2(4), 2 / math.log2(2) + 1 / math.log2(3)
    assert found.ndcg_10 == pytest.approx([dcg / ideal, 1 / (1 + 1 / math.log2(3)), 0])
    assert found.recall_100 == pytest.approx([1, 0.5, 0])
    assert found.mrr_10 == pytest.approx([1, 1, 0])


def test_ranks_past_the_cuts_do_not_count() -> None:
    corpus = Corpus([Document("x", doc_id=f"{i:03d}") for i in range(120)])
    qrels = {name: {doc_id: 1} for name, doc_id in zip("qrst", ("009", "010", "099", "100"), strict=True)}
    test = TestSet("t", "test", dict.fromkeys(qrels, "x"), qrels, corpus.documents)
    found = measures(test, corpus, hits_of([range(120)] * 4, 120))
    assert found.ndcg_10 == pytest.approx([1 / math.log2(11), 0, 0, 0])
    assert found.mrr_10 == pytest.approx([0.1, 0, 0, 0])
    assert found.recall_100 == pytest.approx([1, 1, 1, 0])


def test_a_grade_below_zero_takes_nothing_away() -> None:
    found = measures(judged(q={"a": 1, "b": -2}), ABCD, hits_of([[1, 0]]))
    assert found.ndcg_10 == pytest.approx([1 / math.log2(3)])


def test_the_figures_are_those_of_sentence_transformers() -> None:
    evaluation = pytest.importorskip("sentence_transformers.sentence_transformer.evaluation")
    rng = np.random.default_rng(3)
    names = [f"{i:03d}" for i in range(150)]
    corpus = Corpus([Document("x", doc_id=name) for name in names])
    qrels = {f"q{i}": dict.fromkeys(rng.choice(names, 1 + i % 15, replace=False).tolist(), 1) for i in range(40)}
    order = np.stack([rng.permutation(150)[:100] for _ in qrels])
    found = measures(
        TestSet("t", "test", {q: q for q in qrels}, qrels, corpus.documents), corpus, hits_of(order.tolist(), 100)
    )
    judge = evaluation.InformationRetrievalEvaluator(
        {q: q for q in qrels}, dict.fromkeys(names, "x"), {q: set(docs) for q, docs in qrels.items()}, mrr_at_k=[10]
    )
    ranked = [[{"corpus_id": names[i], "score": -rank} for rank, i in enumerate(row)] for row in order]
    theirs = judge.compute_metrics(ranked)
    assert found.ndcg_10.mean() == pytest.approx(theirs["ndcg@k"][10])
    assert found.mrr_10.mean() == pytest.approx(theirs["mrr@k"][10])


def test_a_document_with_the_querys_own_id_is_passed_over_unless_it_is_right() -> None:
    found = measures(judged(a={"b": 1}, c={"c": 1}), ABCD, hits_of([[0, 1], [0, 2]]))
    assert found.mrr_10 == pytest.approx([1, 0.5])


def test_pieces_stand_for_the_parent_that_the_qrels_name_once() -> None:
    corpus = Corpus(
        [*(Document("x", doc_id=f"nile-{i}", parent_id="nile") for i in range(3)), Document("x", doc_id="po")]
    )
    test = TestSet("t", "test", {"q": "x", "r": "x"}, {"q": {"nile": 1, "po": 1}, "r": {"po": 1}})
    found = measures(test, corpus, hits_of([[2, 0, 1, 3], [0, 1, 2, 3]]))
    assert found.ndcg_10 == pytest.approx([1, 1 / math.log2(3)])
    assert found.mrr_10 == pytest.approx([1, 0.5])


def test_an_evaluation_measures_four_models_and_their_differences() -> None:
    found = evaluate([TEST], {"trained": Words(), "untrained": Words("lost")}, DOCUMENTS, seed=1)
    by_model = {score.model: score for score in found.scores}
    assert list(by_model) == ["trained", "untrained", "bm25", "fused"]
    assert by_model["trained"].ndcg_10 == by_model["fused"].mrr_10 == 1
    assert by_model["untrained"].ndcg_10 < 0.9
    assert all(score.corpus_seen and score.queries == 10 for score in found.scores)
    pairs = {(difference.model, difference.over): difference for difference in found.differences}
    assert list(pairs) == [("trained", "untrained"), ("trained", "bm25"), ("fused", "bm25")]
    better = pairs["trained", "untrained"]
    assert better.mean == pytest.approx(1 - by_model["untrained"].ndcg_10, abs=2e-5)
    assert 0 < better.low < better.mean < better.high
    assert "k1=1.2" in found.bm25["rivers"]
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert evaluate([TEST], {"trained": Words(), "untrained": Words("lost")}, DOCUMENTS, seed=1) == found


def test_a_model_with_the_same_name_is_embedded_for_itself() -> None:
    lost = Words("lost")
    lost.name = Words().name
    figures = {
        score.model: score.ndcg_10
        for score in evaluate([TEST], {"trained": Words(), "untrained": lost}, DOCUMENTS).scores
    }
    assert figures["trained"] > figures["untrained"]


def test_without_an_untrained_model_the_rest_is_measured() -> None:
    assert [score.model for score in evaluate([TEST], {"trained": Words()}, ()).scores] == ["trained", "bm25", "fused"]


def test_any_models_are_compared_with_the_first() -> None:
    found = compare([TEST], {"mine": Words(), "bm25": None, "theirs": Words("lost")})
    assert [score.model for score in found.scores] == ["mine", "bm25", "theirs"]
    assert [(d.model, d.over) for d in found.differences] == [("mine", "bm25"), ("mine", "theirs")]
    assert {score.corpus_seen for score in found.scores} == {None}
    alone = compare([TEST], {"bm25": None})
    assert (len(alone.scores), alone.differences) == (1, ())


SEEN = {
    "the same text under another id": (Document("The River NILE is long.", doc_id="z"), True),
    "a piece of it": (Document("river nile", doc_id="d-nile#1", parent_id="d-nile"), True),
    "the id with another text": (Document("the mountain Etna is high", doc_id="d-nile"), False),
    "nothing of it": (Document("the mountain Etna is high", doc_id="z"), False),
    "no text": (Document("...", doc_id="d-nile"), False),
}


@pytest.mark.parametrize(("document", "seen"), SEEN.values(), ids=SEEN)
def test_a_row_says_whether_the_corpus_was_seen(document: Document, seen: bool) -> None:
    assert {score.corpus_seen for score in evaluate([TEST], {"trained": Words()}, [document]).scores} == {seen}


def test_without_a_corpus_of_its_own_the_runs_documents_are_searched() -> None:
    test = TestSet(TEST.name, "dev", TEST.queries, TEST.qrels)
    found = evaluate([test], {"trained": Words()}, DOCUMENTS)
    assert found.scores[0].ndcg_10 == 1
    assert (found.scores[0].data, found.scores[0].corpus_seen) == ("rivers:dev", True)
    with pytest.raises(CorpusError, match=r"rivers/qrels/dev\.tsv: query 'q9' names document 'd-amur'.* 9 documents"):
        evaluate([test], {"trained": Words()}, DOCUMENTS[:9])
    with pytest.raises(CorpusError, match="0 documents"):
        compare([test], {"bm25": None})


def test_bm25_stems_in_the_language_of_the_test_set() -> None:
    texts = ("Each summer the river floods the fields of the farmers.", "The mountains were climbed by many people.")
    documents = tuple(Document(text, doc_id=str(i)) for i, text in enumerate(texts))
    test = TestSet("t", "test", {"q": "flooded farmer"}, {"q": {"0": 1}}, documents)
    found = compare([test], {"bm25": None})
    assert found.scores[0].ndcg_10 == 1
    assert "english" in found.bm25["t"]


def test_intervals_narrow_with_queries_and_hold_the_mean() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, (400, 1))
    wide, narrow = bootstrap(values[:50], 0)[0], bootstrap(values, 0)[0]
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)
    assert narrow.low < values.mean() < narrow.high
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert bootstrap(values, 0) == bootstrap(values, 0) != bootstrap(values, 1)


def test_every_query_is_drawn() -> None:
    for place in (0, 9):
        values = np.zeros((10, 1))
        values[place] = 1
        assert bootstrap(values, 0)[0].high > 0.1


def test_columns_are_resampled_together() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.2, (300, 1))
    one, other = bootstrap(np.hstack([values, values + 1]), 0)
    assert other.low == pytest.approx(one.low + 1, abs=2e-5)


def test_a_handful_of_queries_tells_nothing() -> None:
    assert (bootstrap(np.ones((5, 1)), 0)[0].low, bootstrap(np.ones((6, 1)), 0)[0].low) == (-1, 1)
    few = TestSet("t", "test", dict(list(TEST.queries.items())[:5]), dict(list(TEST.qrels.items())[:5]), DOCUMENTS)
    found = evaluate([few], {"trained": Words(), "untrained": Words("lost")}, ())
    assert found.scores[0].low == 0
    assert "5 queries are too few to tell trained from untrained" in notes(found)[0]


VERDICTS = {
    (0.41, 0.38, 0.44): "a beats b by 0.41 (95 % from +0.38 to +0.44)",
    (-0.2, -0.3, -0.1): "a is worse than b by 0.20 (95 % from -0.30 to -0.10)",
    (0.01, -0.02, 0.04): "no difference between a and b can be seen (+0.01, 95 % from -0.02 to +0.04)",
    (0.0, 0.0, 0.0): "no difference between a and b can be seen (+0.00, 95 % from +0.00 to +0.00)",
}


@pytest.mark.parametrize(("figures", "says"), VERDICTS.items(), ids=str)
def test_the_verdict_says_what_the_interval_says(figures: tuple[float, float, float], says: str) -> None:
    assert Difference("d", "a", "b", *figures, queries=100).verdict == says


def test_the_table_fits_80_columns_whatever_things_are_called() -> None:
    score = Score("a-very-long-name-of-a-data-set:development", "a[bold]name", 0.1234, 1, 0.5, 0.1, 0.2, None, 12345)
    other = Score("scifact", "bm25", 1, 1, 1, 0.99, 1, False, 3)
    found = Evaluation((score, other), (), {"scifact": "BM25 one", "nfcorpus": "BM25 two"})
    said = StringIO()
    Console(file=said, width=80).print(table(found))
    lines = said.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "[bold]" in said.getvalue()
    assert "0.123  0.100-0.200" in said.getvalue()
    assert [line for line in lines if "scifact" in line and " - " in line and line.endswith("no")]
    assert notes(found) == ["bm25 on scifact: BM25 one", "bm25 on nfcorpus: BM25 two"]
