"""Texts to vectors, with a sentence-transformers model.

embedder = load("outputs/extract-3f/model")
embedder.encode(["how long is the Nile"], kind="query").shape  ->  (1, 512)
"""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from synth.errors import BackendError, need
from synth.types import Example

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

STATIC_BATCH, BATCH = 1024, 32
"""Texts at once, by a model without a limit of tokens and by one with."""


class Embedder:
    """A loaded model and the path or id it came from."""

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
        """Vectors of unit length, float32 of shape (len(texts), dim); of zeros for a text with nothing to read.

        An `instruction` stands before each text; without one the model's own prompt for queries or documents does.
        """
        if not texts:
            return np.zeros((0, self.dim), np.float32)
        encode = self._model.encode_query if kind == "query" else self._model.encode_document
        vectors = encode(
            [_readable(text) for text in texts],
            prompt=instruction or None,
            batch_size=STATIC_BATCH if self._model.max_seq_length == math.inf else BATCH,
            show_progress_bar=False,
            normalize_embeddings=True,
        )
        return np.asarray(vectors, dtype=np.float32)

    def for_row(self, row: Example) -> "Embedder":
        """The model that may judge a row, because it has not seen it: itself, but where `fit` made several."""
        del row
        return self

    def for_rows(self, rows: Iterable[Example]) -> "Iterator[tuple[Embedder, list[Example]]]":
        """The model of each row, with all its rows of these; they keep their order."""
        groups: dict[int, tuple[Embedder, list[Example]]] = {}
        for row in rows:
            model = self.for_row(row)
            groups.setdefault(id(model), (model, []))[1].append(row)
        yield from groups.values()

    def for_all(self) -> "Embedder":
        """One model to compare the texts of several rows with each other: itself, but where `fit` made several."""
        return self

    def identity(self) -> str:
        """What goes into the key of a step that asks it; see `identity_of`."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        return identity_of(self.name)


def identity_of(name: str) -> str:
    """What a model is known by, without loading it: the hash of a folder's files, so that one retrained is another.

    A hub id stands for itself: name a revision in the recipe where it matters.
    """
    folder = Path(name)
    if not folder.is_dir():
        return name
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode("utf-8", "surrogatepass") + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest())
    return digest.hexdigest()


def load(name: str) -> Embedder:
    """The embedder in a folder, or of a hub id.

    Raises MissingExtra without sentence-transformers, BackendError where no model can be loaded by that name.
    """
    return Embedder(load_model(name), name)


def load_model(name: str) -> "SentenceTransformer":
    """The model itself, to train it further; raises as `load` does."""
    need("sentence_transformers", "train", "an embedder")
    from sentence_transformers import SentenceTransformer

    try:
        return SentenceTransformer(name)
    except (OSError, ValueError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise BackendError(
            f"the embedder {name!r} cannot be loaded ({said[0]}); "
            "expected the folder of a sentence-transformers model or its id on the hub"
        ) from error


def _readable(text: str) -> str:
    """The text as tokenizers take it: half a surrogate pair, as broken JSON has it, becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
