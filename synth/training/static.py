"""A static model from nothing but a corpus: one vector a piece of a word; a text's vector is the mean of its pieces'.

The first weights are latent semantic analysis (Deerwester et al., JASIS 1990): the right singular vectors of the matrix
of documents and pieces. Pieces of the same documents start out near each other, and rare ones long; before any training
this finds documents nearly as well as BM25. `random` is the start that knows nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synth.training.tokenizer import learn_tokenizer

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # scipy has no types
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    from synth.training import TrainOptions

MOST_DOCUMENTS = 50_000
"""Documents that vocabulary and analysis are made of; of a larger corpus as many, drawn evenly."""
KEPT_LENGTH = 0.25
"""Power of a piece's length in the analysis that its first weights keep; the rest of their length is its idf."""
FILLER = 0.3
"""Length of the random part where a corpus has fewer documents than the vectors have dimensions."""


def static_models(
    texts: Sequence[str], options: "TrainOptions", seed: int
) -> "tuple[SentenceTransformer, SentenceTransformer]":
    """Two models over one vocabulary of these texts: random weights, and the weights that training starts from."""
    drawn = _drawn(texts, seed)
    tokenizer = learn_tokenizer(drawn, options.vocabulary)
    shape = (tokenizer.get_vocab_size(), options.dims)
    chance = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape, dtype=np.float32)
    start = chance if options.start == "random" else analysed_weights(_counts(tokenizer, drawn), chance, seed)
    return _model(tokenizer, chance), _model(tokenizer, start)


def analysed_weights(counts: "csr_matrix", chance: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """First weights of each piece, float32 of the shape of `chance`, (pieces, dims).

    `counts` is (documents, pieces). Their squares have mean 1, as those of `chance` have.
    """
    idf = _idf(counts)
    dims = chance.shape[1]
    k = min(dims, min(counts.shape) - 1)
    vectors = _singular_vectors(_weighted(counts, idf), k, seed)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    weights = chance * np.float32(FILLER / np.sqrt(max(dims - k, 1)))
    weights[:, :k] = vectors / np.maximum(length, 1e-6) * length**KEPT_LENGTH
    weights *= idf[:, None]
    size = np.sqrt(np.square(weights).mean())
    return np.asarray(weights / size if size > 0 else chance, dtype=np.float32)


def _idf(counts: "csr_matrix") -> NDArray[np.float32]:
    """Inverse document frequency of each piece as BM25 has it, 0 for one never found: float32 of shape (pieces,)."""
    documents = counts.shape[0]
    found = np.bincount(counts.indices, minlength=counts.shape[1])
    idf = np.log(1 + (documents - found + 0.5) / (found + 0.5))
    return np.where(found > 0, idf, 0).astype(np.float32)


def _weighted(counts: "csr_matrix", idf: NDArray[np.float32]) -> "csr_matrix":
    """Counts as tf-idf, log(1 + tf) times idf, with rows of unit length."""
    from sklearn.preprocessing import normalize  # type: ignore[import-untyped]  # sklearn has no types

    weighted = counts.copy()
    weighted.data = np.log1p(weighted.data) * idf[weighted.indices]
    return normalize(weighted)


def _singular_vectors(matrix: "csr_matrix", k: int, seed: int) -> NDArray[np.float32]:
    """The first k right singular vectors, float32 of shape (columns, k)."""
    from sklearn.utils.extmath import randomized_svd  # type: ignore[import-untyped]  # sklearn has no types

    if k < 1:
        return np.zeros((matrix.shape[1], 0), np.float32)
    _, _, right = randomized_svd(matrix, k, n_iter=2, random_state=seed)
    return np.asarray(right.T, dtype=np.float32)


def _counts(tokenizer: "Tokenizer", texts: Sequence[str]) -> "csr_matrix":
    """How often each piece stands in each text: float32, (texts, pieces)."""
    from scipy.sparse import csr_matrix

    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    ends = np.cumsum([0, *map(len, ids)])
    pieces = np.fromiter((piece for row in ids for piece in row), np.int64, int(ends[-1]))
    counts = csr_matrix((np.ones(len(pieces), np.float32), pieces, ends), shape=(len(ids), tokenizer.get_vocab_size()))
    counts.sum_duplicates()
    return counts


def _drawn(texts: Sequence[str], seed: int) -> Sequence[str]:
    """The texts themselves, or MOST_DOCUMENTS of them."""
    if len(texts) <= MOST_DOCUMENTS:
        return texts
    chosen = np.random.Generator(np.random.PCG64(seed)).choice(len(texts), MOST_DOCUMENTS, replace=False)
    return [texts[i] for i in np.sort(chosen)]


def _model(tokenizer: "Tokenizer", weights: NDArray[np.float32]) -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights.copy())], device="cpu")
