"""An embedder that a recipe's own rows have trained, as `fit` leaves it: a model for each fold, and who is in which.

03-fit/
  model-0/  model-1/    sentence-transformers models; model-0 has seen every row but those of fold 0
  folds.parquet         key, fold: the hash of a query or of a document's family, and the fold of all its rows
  fit.json              what the models are; written last

A row's fold is looked up by its query and by the family of its first positive, and by nothing else: a child with
another id, a row that was changed on its way, one that was never trained on itself but has siblings that were, each
comes to a model that has seen neither it nor them.
"""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synth.embedder import Embedder, load
from synth.errors import RecipeError
from synth.resemblance import folded
from synth.types import Example, digest_of

MARK, FOLDS = "fit.json", "folds.parquet"


class Folds:
    """The fold of every query and every family that was trained on.

    `keys` is uint64 (n,), sorted, each once; `numbers` int64 (n,), the fold of each, from 0 up to but not with `count`.
    """

    def __init__(self, keys: NDArray[np.uint64], numbers: NDArray[np.int64], count: int) -> None:
        self.keys, self.numbers, self.count = keys, numbers, count

    def of(self, row: Example) -> int:
        """The fold of a row: its query's, else its family's. One of which neither was trained on has any, the same."""
        keys = keys_of(row)
        for key in keys:
            place = int(np.searchsorted(self.keys, np.uint64(key)))
            if place < len(self.keys) and int(self.keys[place]) == key:
                return int(self.numbers[place])
        return keys[-1] % self.count if keys else 0


def keys_of(row: Example) -> list[int]:
    """What decides the fold of a row, as 64-bit hashes: its query, as folded, and the family of its first positive."""
    told = [f"query\0{folded(row.query)}"] if row.query else []
    if row.positives:
        told.append(f"family\0{row.positive.family or row.positive.text}")
    return [_hash(text) for text in told]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class Fitted(Embedder):
    """The models of a finished `fit`, each loaded when it is first asked for. It is asked for rows, or for all at once.

    What asks it as if it were one model gets a RecipeError: half of the rows would be judged by a model that forgives
    them. `mark` is what `fit.json` holds.
    """

    def __init__(self, name: str, folder: Path, mark: dict[str, Any]) -> None:
        self.name = name
        self._folder = folder
        self._mark = mark
        self._loading = threading.RLock()
        self._models: dict[int, Embedder] = {}
        self._folds: Folds | None = None
        self._all: Embedder | None = None

    @property
    def dim(self) -> int:
        """Raises RecipeError."""
        raise RecipeError(self._refusal())

    def encode(
        self, texts: Sequence[str], *, kind: Literal["query", "document"] = "document", instruction: str = ""
    ) -> NDArray[np.float32]:
        """Raises RecipeError."""
        raise RecipeError(self._refusal())

    def identity(self) -> str:
        """What goes into the key of a step that asks it: its models and its folds."""
        return digest_of(self._mark)

    def for_row(self, row: Example) -> Embedder:
        """The model of the row's fold. Raises RecipeError where there is but one, and it may not judge what it saw."""
        if len(self._mark["models"]) > 1:
            return self._of_fold(self._fold_of(row))
        if not self._mark["allow_seen"]:
            raise RecipeError(seen_all(self.name))
        return self._of_fold(0)

    def for_all(self) -> Embedder:
        """All models as one: its cosines are the mean of theirs, and each row was seen by as many as any other."""
        with self._loading:
            if self._all is None:
                models = [self._of_fold(number) for number in range(len(self._mark["models"]))]
                self._all = models[0] if len(models) == 1 else Together(self.name, models)
            return self._all

    def _of_fold(self, number: int) -> Embedder:
        with self._loading:
            if number not in self._models:
                self._models[number] = load(str(self._folder / f"model-{number}"))
            return self._models[number]

    def _fold_of(self, row: Example) -> int:
        with self._loading:
            if self._folds is None:
                self._folds = read_folds(self._folder / FOLDS, len(self._mark["models"]))
        return self._folds.of(row)

    def _refusal(self) -> str:
        return f"{self.name!r} is made by `fit`, a model for each fold: ask for the one of a row, or for all of them"


class Together(Embedder):
    """Several embedders as one, whose cosine of two texts is the mean of theirs: their vectors one after the other."""

    def __init__(self, name: str, models: Sequence[Embedder]) -> None:
        self.name = name
        self._parts = models

    @property
    def dim(self) -> int:
        """The length of its vectors: that of all theirs."""
        return sum(each.dim for each in self._parts)

    def encode(
        self, texts: Sequence[str], *, kind: Literal["query", "document"] = "document", instruction: str = ""
    ) -> NDArray[np.float32]:
        """Vectors of unit length, float32 of shape (len(texts), dim), unless one of the models reads nothing."""
        vectors = [each.encode(texts, kind=kind, instruction=instruction) for each in self._parts]
        return np.asarray(np.concatenate(vectors, axis=1) / np.sqrt(len(vectors)), np.float32)

    def identity(self) -> str:
        """What goes into the key of a step that asks it."""
        return digest_of([each.identity() for each in self._parts])


def seen_all(name: str) -> str:
    """Why the one model of a `fit` in one fold may judge no row, in words."""
    return (
        f"{name!r} has seen every row (`folds: 1`), and a model forgives what it was trained on: give its `fit` "
        "`folds: 2` or more, or `allow_seen: true`"
    )


def write_folds(folds: Folds, path: Path) -> None:
    """Write the folds as a table; the same folds, the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"key": folds.keys, "fold": folds.numbers}), path)


def read_folds(path: Path, count: int) -> Folds:
    """What `write_folds` wrote."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return Folds(table["key"].to_numpy(), table["fold"].to_numpy(), count)
