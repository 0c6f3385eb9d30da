"""Vectors and scores over the wire: /v1/embeddings as OpenAI has it, /score as vLLM's server has it.

{"data": [{"index": 0, "embedding": "AACAPw…"}]}  ->  float32 of shape (1, dim), of unit length
"""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synth.chat_api import BadReply, utf8

if TYPE_CHECKING:
    from synth.chat_client import ChatClient


async def vectors_of(client: "ChatClient", texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of unit length, float32 of shape (len(texts), dim). Raises WireError or BadReply."""
    wanted = {
        "model": client.endpoint.model,
        "input": [utf8(text) or " " for text in texts],
        "encoding_format": "base64",
    }
    rows = _in_order(await client.post("/embeddings", wanted), len(texts))
    vectors = np.stack([_vector(row.get("embedding")) for row in rows])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


async def scores_of(client: "ChatClient", pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
    """The relevance of each (query, document), float32 of shape (len(pairs),). Raises WireError or BadReply."""
    first, second = [utf8(query) for query, _ in pairs], [utf8(document) for _, document in pairs]
    wanted = {"model": client.endpoint.model, "text_1": first, "text_2": second}
    rows = _in_order(await client.post(_above_v1(client, "/score"), wanted), len(pairs))
    return np.asarray([float(row["score"]) for row in rows], np.float32)


def _above_v1(client: "ChatClient", path: str) -> str:
    """The path seen from the server's root: what vLLM adds of its own stands beside /v1."""
    return client.endpoint.base_url.removesuffix("/v1") + path


def _in_order(plain: Mapping[str, Any], many: int) -> list[Mapping[str, Any]]:
    """The rows of an answer by their index. Raises BadReply where some are missing."""
    rows = plain.get("data")
    good = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if sorted(row.get("index", -1) for row in good) != list(range(many)):
        raise BadReply(f"the reply has {len(good)} results for {many} texts")
    return sorted(good, key=lambda row: int(row["index"]))


def _vector(given: object) -> NDArray[np.float32]:
    """One vector, as base64 of little-endian floats or as a list of numbers. Raises BadReply."""
    try:
        if isinstance(given, str):
            return np.frombuffer(base64.b64decode(given), dtype="<f4")
        return np.asarray(given, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise BadReply("a vector of the reply cannot be read") from error
