"""Texts to vectors, with a sentence-transformers model.

embedder = load("outputs/extract-3f/model")
embedder.encode(["how long is the Nile"], kind="query").shape  ->  (1, 512)
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from synth.errors import need

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Embedder:
    """A loaded model. `name` is the path or id it came from, `dim` the length of its vectors."""

    def __init__(self, model: "SentenceTransformer", name: str) -> None:
        self._model = model
        self.name = name

    @property
    def dim(self) -> int:
        """The length of its vectors."""
        return int(self._model.get_embedding_dimension() or 0)

    def encode(
        self, texts: Sequence[str], *, kind: Literal["query", "document"] = "document", instruction: str = ""
    ) -> NDArray[np.float32]:
        """Vectors of unit length: float32 of shape (len(texts), dim).

        An `instruction` stands before each text; without one the model's own prompt for queries or documents does.
        """
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        encode = self._model.encode_query if kind == "query" else self._model.encode_document
        prompt = instruction or None
        vectors = encode(list(texts), prompt=prompt, batch_size=256, show_progress_bar=False, normalize_embeddings=True)
        return np.asarray(vectors, dtype=np.float32)

    def identity(self) -> str:
        """What goes into the key of a step that asks it."""
        return self.name


def load(name: str) -> Embedder:
    """The model of a folder or a hub id. Raises MissingExtra without sentence-transformers, CorpusError never."""
    need("sentence_transformers", "train", "an embedder")
    from sentence_transformers import SentenceTransformer

    return Embedder(SentenceTransformer(name), name)
