"""A backend that answers from a file of replies, writes down what it is asked and cannot answer, and embeds letters."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from synth.backend import Completion, Request
from synth.backends.scripted import Scripted, request_hash
from synth.tokens import estimate

LETTERS = 512


class Asking(Scripted):
    """Replies by hand; vectors of pairs of letters; the relevance of a pair by the letters that it shares."""

    log: str = Field(default="", description="where requests that no reply answers are written")

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """One completion for each request."""
        for completion in super().complete(requests):
            if self.log and completion.error:
                self._note(completion.request)
            asked = sum(estimate(message.content, "qwen") for message in completion.request.messages)
            told = {"prompt_tokens": round(asked), "completion_tokens": round(estimate(completion.text, "qwen"))}
            yield replace(completion, **told)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of the pairs of letters, float32 (n, LETTERS)."""
        vectors = np.full((len(texts), LETTERS), 1e-3, np.float32)
        for row, text in enumerate(texts):
            for pair in zip(text.lower(), text.lower()[1:], strict=False):
                vectors[row, (ord(pair[0]) * 31 + ord(pair[1])) % LETTERS] += 1
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Cosines of those."""
        queries, documents = self.embed([query for query, _ in pairs]), self.embed([text for _, text in pairs])
        return np.asarray((queries * documents).sum(axis=1), np.float32)

    def _note(self, request: Request) -> None:
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        wanted = {"request": request_hash(request), "sample": request.sample, "messages": messages}
        with Path(self.log).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**wanted, "schema": request.schema}, ensure_ascii=False) + "\n")
