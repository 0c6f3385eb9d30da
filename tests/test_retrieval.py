"""Searches over a corpus: BM25, dense, fused, and the rank of a text that is not in it."""

import random

import numpy as np
import pytest

from synth import retrieval
from synth.bm25 import BM25, words
from synth.embedder import Embedder
from synth.hits import Hits, best, fuse
from synth.ranks import Pair, ranks
from synth.retrieval import Corpus
from synth.types import Document
from tests.letters import embedder

RIVERS = {
    "nile": "The Nile floods each summer and leaves black mud.",
    "rhine": "The Rhine flows from the Alps to the North Sea.",
    "amazon": "The Amazon floods forests for months.",
    "kettle": "A kettle boils faster on a mountain.",
}


def rivers() -> Corpus:
    return Corpus([Document(text, doc_id=name, language="en") for name, text in RIVERS.items()])


def found(corpus: Corpus, hits: Hits, row: int = 0) -> list[str]:
    return [corpus.documents[i].doc_id for i in hits.indices[row] if i >= 0]


def many(count: int = 400, seed: int = 3) -> list[Document]:
    """Documents of words drawn as in a language, a few common and many rare."""
    dice = random.Random(seed)
    vocabulary = ["".join(dice.choices("abcdefgh", k=dice.randint(2, 7))) for _ in range(600)]
    weights = [1 / rank for rank in range(1, 601)]
    return [
        Document(" ".join(dice.choices(vocabulary, weights, k=dice.randint(3, 60))), doc_id=f"d{n:04}")
        for n in range(count)
    ]


def test_bm25_finds_by_words_and_their_stems_and_nothing_that_shares_none() -> None:
    corpus = rivers()
    hits = corpus.bm25().search(["flooding of the nile", "kettles", "zzz", ""], k=3)
    assert found(corpus, hits)[0] == "nile"
    assert found(corpus, hits, 1) == ["kettle"]
    assert found(corpus, hits, 2) == found(corpus, hits, 3) == []
    assert hits.indices.dtype == np.int64
    assert hits.scores.dtype == np.float32
    assert hits.scores[2].tolist() == [-np.inf] * 3


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("zh", "尼罗河每年夏天泛滥", "夏天泛滥"),
        ("ja", "ナイル川は毎年夏に氾濫する", "夏に氾濫"),
        ("th", "แม่น้ำไนล์ท่วมทุกฤดูร้อน", "ฤดูร้อน"),
        ("ko", "나일강은 매년 여름에 범람한다", "여름"),
        ("hi", "नील नदी हर गर्मी में बहती है", "नदियों"),
        ("ru", "Нил разливается каждое лето", "разливался"),
        ("ar", "يفيض النيل كل صيف", "النيل"),
        ("de", "Der Nil überschwemmt die Felder", "auf Feldern"),
    ],
)
def test_bm25_finds_in_any_script(language: str, text: str, query: str) -> None:
    others = [Document(other, doc_id=name) for name, other in RIVERS.items()]
    corpus = Corpus([Document(text, doc_id="it", language=language), *others])
    assert found(corpus, corpus.bm25().search([query], k=2)) == ["it"]


def test_the_same_words_in_another_width_or_case_are_found() -> None:
    assert words("Ｎｉｌｅ ﬁelds") == words("nile fields") == ["nile", "fields"]
    assert words("re\u00adtrieval") == ["retrieval"]
    assert words("河") == ["河"]
    assert words("\ud800 …") == []


def test_bm25_scores_texts_outside_the_index_as_it_would_score_them_inside() -> None:
    corpus = Corpus(many())
    queries = [" ".join(document.text.split()[:5]) for document in corpus.documents[:60]]
    hits = corpus.bm25().search(queries, k=20)
    for row, query in enumerate(queries):
        documents = [corpus.documents[i] for i in hits.indices[row] if i >= 0]
        scores = corpus.bm25().score([query] * len(documents), documents)
        assert scores.tolist() == hits.scores[row, : len(documents)].tolist()


def test_a_word_the_index_does_not_know_counts_as_one_of_a_single_document() -> None:
    bm25 = rivers().bm25()
    known, unknown = bm25.score(["kettle", "volga"], [Document("kettle"), Document("volga")])
    assert known == unknown > 0


def test_equal_scores_go_by_doc_id_whatever_the_order_of_the_documents() -> None:
    documents = [Document("the same text", doc_id=f"{n:03}") for n in range(300)]
    for seed in range(3):
        corpus = Corpus(random.Random(seed).sample(documents, len(documents)))
        assert found(corpus, corpus.bm25().search(["text"], k=4)) == ["000", "001", "002", "003"]


def test_the_search_agrees_with_scoring_everything() -> None:
    corpus = Corpus(many(700))
    queries = [" ".join(document.text.split()[:3]) for document in corpus.documents[::50]]
    hits = corpus.bm25().search(queries, k=7)
    for row, query in enumerate(queries):
        scores = corpus.bm25().score([query] * len(corpus), corpus.documents)
        order = sorted(range(len(corpus)), key=lambda i: (-scores[i], i))[:7]
        assert hits.indices[row].tolist() == [i if scores[i] > 0 else -1 for i in order]


def test_what_is_left_out_is_not_found() -> None:
    corpus = rivers()
    out = [np.array([corpus.position["nile"]], np.int64)]
    assert found(corpus, corpus.bm25().search(["nile floods"], 4, without=out)) == ["amazon"]
    dense = corpus.dense(embedder(list(RIVERS.values())))
    assert "nile" not in found(corpus, dense.search(["nile floods"], 4, without=out))


def test_dense_finds_by_cosine_and_scores_pairs_alike() -> None:
    corpus = rivers()
    dense = corpus.dense(embedder(list(RIVERS.values())))
    hits = dense.search(["amazon floods forests", "kettle boils"], k=9)
    assert [found(corpus, hits, row)[0] for row in (0, 1)] == ["amazon", "kettle"]
    assert len(found(corpus, hits)) == 4
    pairs = dense.score(["kettle boils"] * 4, [corpus.documents[i] for i in hits.indices[1, :4]])
    assert pairs.tolist() == hits.scores[1, :4].tolist()


def test_a_document_of_the_index_is_not_embedded_again_unless_its_text_is_another() -> None:
    documents = [Document("black mud", doc_id="a"), Document("white sand", doc_id="b"), Document("red clay")]
    read: list[str] = []

    class Noting(Embedder):
        def encode(self, texts, **options):  # type: ignore[no-untyped-def]
            read.extend(texts)
            return super().encode(texts, **options)

    model = embedder(["black mud white sand red clay"])
    dense = Corpus(documents).dense(Noting(model._model, "noting"))
    others = [Document("black mud", doc_id="b"), Document("black mud"), documents[2], documents[0]]
    read.clear()
    scores = dense.score(["black mud"] * 4, others)
    assert read == ["black mud"] * 4 + ["black mud"] * 2
    assert scores.tolist() == pytest.approx(Corpus([]).dense(model).score(["black mud"] * 4, others).tolist(), abs=2e-5)


def test_blocks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = many()
    dense = Corpus(documents).dense(embedder([document.text for document in documents]))
    asked = [document.text for document in documents[:50]]
    without = [np.array([place], np.int64) for place in range(50)]
    whole = dense.search(asked, 10, without=without)
    monkeypatch.setattr(retrieval, "BLOCK_SCORES", 3000)
    parts = dense.search(asked, 10, without=without)
    assert (parts.indices == whole.indices).all()
    assert np.allclose(parts.scores, whole.scores, atol=2e-5)
    assert dense.search([], 10).indices.shape == (0, 10)


def test_an_index_is_made_once() -> None:
    corpus, model = rivers(), embedder(list(RIVERS.values()))
    assert corpus.bm25() is corpus.bm25()
    assert corpus.dense(model) is corpus.dense(model)


@pytest.mark.parametrize("documents", [[], [Document("", doc_id="a")], [Document("… !", doc_id="a"), Document("b")]])
def test_empty_corpora_and_texts_find_nothing_and_break_nothing(documents: list[Document]) -> None:
    corpus = Corpus(documents)
    assert corpus.bm25().search(["nile", ""], k=2).indices.tolist() == [[-1, -1], [-1, -1]]
    assert corpus.bm25().score(["nile"], [Document("")]).tolist() == [0]
    assert corpus.bm25().search([], k=2).indices.shape == (0, 2)
    dense = corpus.dense(embedder(["nile"]))
    assert dense.search([], k=2).indices.shape == (0, 2)
    assert dense.score([], []).shape == (0,)


def test_the_description_names_what_decides_the_scores() -> None:
    text = BM25(rivers().documents, k1=0.9, b=0.4).description
    assert all(part in text for part in ("bm25s 0.3", "lucene", "k1=0.9", "b=0.4", "english (Latin)", "bigrams"))


def test_the_stemmer_is_that_of_most_documents_of_a_script_and_of_a_sample_where_none_says() -> None:
    mixed = [Document("x", language=code) for code in ("ru", "fr", "fr", "en", "")]
    assert BM25(mixed).stemmers == {"Cyrillic": "russian", "Latin": "french"}
    assert BM25(mixed, language="en").stemmers == {"Latin": "english"}
    assert BM25([Document(text) for text in RIVERS.values()]).stemmers == {"Latin": "english"}


def test_the_k_best_are_those_of_a_full_sort() -> None:
    dice = np.random.default_rng(0)
    for size in (1, 5, 64, 1000, 5000):
        scores = (dice.choice(np.linspace(0, 1, 50), size) + dice.uniform(0, 4e-6, size)).astype(np.float32)
        for k in (1, 3, 60, 2000):
            order = np.argsort(-np.round(scores.astype(np.float64), 5), kind="stable")[:k]
            positions, values = best(scores, k)
            assert positions.tolist() == order.tolist()
            assert np.allclose(values, scores[order], atol=2e-5)


def test_reciprocal_ranks_put_first_what_both_lists_have() -> None:
    one = Hits(np.array([[1, 2, 3]]), np.array([[9, 8, 7]], np.float32))
    two = Hits(np.array([[4, 3, -1]]), np.array([[0.9, 0.8, -np.inf]], np.float32))
    fused = fuse([one, two], 5)
    assert fused.indices.tolist() == [[3, 1, 4, 2, -1]]
    assert fused.scores[0, 0] == pytest.approx(1 / 63 + 1 / 62)
    assert fused.scores[0, 4] == -np.inf


def test_a_text_ranks_as_if_it_stood_in_the_corpus() -> None:
    whole = Corpus([*many(300), *rivers().documents])
    missing = whole.documents[17]
    without = Corpus([document for document in whole.documents if document != missing])
    query = " ".join(missing.text.split()[:2])
    place = found(whole, whole.bm25().search([query], 304)).index(missing.doc_id) + 1
    nothing = np.zeros(0, np.int64)
    (rank,) = ranks(without, {"bm25": without.bm25()}, [Pair(query, missing, nothing)], 300)
    assert abs(rank.rank - place) <= 1
    (inside,) = ranks(whole, {"bm25": whole.bm25()}, [Pair(query, missing, np.array([17]))], 300)
    assert inside.rank == place
    assert inside.scores["bm25"] == pytest.approx(whole.bm25().score([query], [missing])[0])


def test_a_fused_rank_is_that_of_the_fused_list() -> None:
    corpus = Corpus(many(200))
    searches = corpus.searches("fused", embedder([document.text for document in corpus.documents]))
    query = " ".join(corpus.documents[9].text.split()[3:6])
    hits = fuse([retriever.search([query], 200) for retriever in searches.values()], 200)
    for place in (0, 1, 5, 20):
        position = int(hits.indices[0, place])
        pair = Pair(query, corpus.documents[position], np.array([position]))
        (rank,) = ranks(corpus, searches, [pair], 200)
        assert rank.rank == place + 1


def test_a_text_that_shares_no_word_is_not_found_by_bm25() -> None:
    corpus = rivers()
    (rank,) = ranks(corpus, {"bm25": corpus.bm25()}, [Pair("volga", Document("ob"), np.zeros(0, np.int64))], 100)
    assert rank.rank == 101
