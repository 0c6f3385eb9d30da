"""A tiny real embedder for tests: letters and pairs of letters, hashed; no model file, no network."""

from collections.abc import Sequence

import numpy as np

from synth.embedder import Embedder


def embedder(texts: Sequence[str], dims: int = 512) -> Embedder:
    """An embedder that knows the words of these texts."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = sorted({word for text in texts for word in text.lower().split()})
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(["?", *words])}, unk_token="?"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = np.random.default_rng(1).standard_normal((len(words) + 1, dims), dtype=np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
    return Embedder(model, f"words of {len(texts)} texts")
