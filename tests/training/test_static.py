"""A vocabulary and first weights from a corpus, in any script."""

import numpy as np
import pytest

pytest.importorskip("sentence_transformers")

from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

from synth.training import TrainOptions
from synth.training.loss import ranking_loss
from synth.training.static import static_models
from synth.training.tokenizer import UNKNOWN, learn_tokenizer
from tests.contracts import TEXTS

RIVERS = ["the river floods the bank", "a stream floods its bank", "the river has a stream"]
KITCHEN = ["flour and yeast make dough", "dough of flour and salt", "yeast eats salt"]
CORPUS = [*RIVERS, *KITCHEN] * 3


def pieces(text: str, corpus: list[str], most: int = 1000) -> list[str]:
    return list(learn_tokenizer(corpus, most).encode(text, add_special_tokens=False).tokens)


@pytest.mark.parametrize("text", TEXTS)
def test_no_script_of_the_corpus_is_unknown_however_long_its_words_are(text: str) -> None:
    assert UNKNOWN not in pieces(text.replace(" ", "") * 4, list(TEXTS))


def test_marks_are_kept_for_they_are_vowels_and_tones() -> None:
    assert "".join(pieces("กำ กา กี", ["กำ กา กี"] * 9)).replace("##", "") == "กํากากี"
    assert pieces("má mà ma", ["má mà ma"] * 9) == ["má", "mà", "ma"]


def test_case_and_width_make_no_difference() -> None:
    assert pieces("ＲＩＶＥＲ River", CORPUS) == ["river", "river"]


def test_a_word_of_fewer_than_three_places_is_cut_into_pieces_that_others_share() -> None:
    corpus = ["walking talking"] * 5 + ["balking"]
    assert pieces("walking", corpus) == ["walking"]
    assert len(pieces("balking", corpus)) > 1


def test_chinese_characters_are_pieces_by_themselves() -> None:
    assert pieces("今天天气", ["今天天气很好。"] * 9) == ["今", "天", "天", "气"]


def test_the_same_texts_give_the_same_vocabulary() -> None:
    tied = [f"{a}{b}{c}" for a in "abcdef" for b in "ghijkl" for c in "mnop"] * 3
    found = {learn_tokenizer(tied, 60).to_str() for _ in range(5)}
    assert len(found) == 1


def test_pieces_of_the_same_documents_start_out_near_each_other_and_random_ones_do_not() -> None:
    words = ["river", "bank", "dough"]
    near = static_models(CORPUS, TrainOptions(dims=8, vocabulary=300), seed=1)[1].encode(
        words, normalize_embeddings=True
    )
    assert near[0] @ near[1] > abs(near[0] @ near[2]) + 0.15
    chance = TrainOptions(dims=8, vocabulary=300, start="random")
    far = static_models(CORPUS, chance, seed=1)[1].encode(words, normalize_embeddings=True)
    assert far[0] @ far[1] < 0.1


def test_what_the_corpus_never_had_weighs_nothing() -> None:
    model = static_models(CORPUS, TrainOptions(dims=64, vocabulary=300), seed=1)[1]
    plain, odd = model.encode(["river flour", "river ☃ flour"], normalize_embeddings=True)
    assert np.allclose(plain, odd, atol=1e-6)


@pytest.mark.parametrize("corpus", [["one"], ["a", "b"], ["", " "], ["same", "same"]])
def test_the_smallest_corpora_have_a_start_too(corpus: list[str]) -> None:
    model = static_models(corpus, TrainOptions(dims=8), seed=1)[1]
    vectors = model.encode(["one a b same"])
    assert vectors.shape == (1, 8)
    assert np.isfinite(vectors).all()


def test_the_loss_has_the_whole_length_and_the_shorter_ones_that_fit() -> None:
    model = static_models(CORPUS, TrainOptions(dims=64), seed=1)[1]
    loss = ranking_loss(model, TrainOptions(dims=64, matryoshka=(16, 128, 32), scale=5))
    assert isinstance(loss, MatryoshkaLoss)
    assert list(loss.matryoshka_dims) == [64, 32, 16]
    assert isinstance(loss.loss, MultipleNegativesRankingLoss)
    assert loss.loss.scale == 5
    plain = ranking_loss(model, TrainOptions(matryoshka=(), symmetric=True))
    assert isinstance(plain, MultipleNegativesRankingLoss)
    assert tuple(plain.directions) == ("query_to_doc", "doc_to_query")
