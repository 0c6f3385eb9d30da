"""Tokenise once, train many epochs: else the trainer does it for each batch, two fifths of a static model's time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class RememberedTokens:
    """Does what a static model's `preprocess` does, and keeps the token ids of every text it has seen."""

    def __init__(self, model: "SentenceTransformer") -> None:
        self._preprocess = model.preprocess
        self._known: dict[str, NDArray[np.int32]] = {}

    def __call__(self, inputs: Sequence[str], **options: Any) -> dict[str, Any]:
        """Token ids of all the texts one after another, and where each text begins: two int64 tensors."""
        import torch

        new = [text for text in dict.fromkeys(inputs) if text not in self._known]
        if new:
            self._learn(new, options)
        rows = [self._known[text] for text in inputs]
        starts = np.cumsum([0, *(len(row) for row in rows[:-1])])
        ids = np.concatenate(rows).astype(np.int64)
        return {"input_ids": torch.from_numpy(ids), "offsets": torch.from_numpy(starts)}

    def _learn(self, texts: list[str], options: dict[str, Any]) -> None:
        made = self._preprocess(texts, **options)
        parts = np.split(made["input_ids"].numpy().astype(np.int32), made["offsets"].numpy()[1:])
        self._known.update(zip(texts, parts, strict=True))
