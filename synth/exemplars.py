"""Examples that a prompt shows a model: real questions with their documents, or a file of one's own.

    examples: ./my-test-set:train        a BEIR folder and its split: queries with a document that answers each
    examples: ./examples.jsonl           a line each: {"query": "…", "document": "…", "language": "sw"}
    examples: lists/questions.jsonl      the shipped ones, in 16 languages

A prompt reads them as `examples`: `{% for example in examples %}{{ example.document }} … {{ example.query }}`. A query
that was shown to the writer is no test of what the writer taught: the evaluation leaves it out (`Stage.shows`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from synth.beir import read
from synth.errors import CorpusError, RecipeError
from synth.prompt import SHIPPED
from synth.types import digest_of

Example = dict[str, Any]
"""One example: its `query`, its `document`, and whatever else a line of a file holds."""


@dataclass(frozen=True, slots=True)
class Exemplars:
    """All the examples of one place, in its order; `is_test_set` for those of a BEIR folder."""

    place: str
    lines: tuple[Example, ...]
    is_test_set: bool = False

    def chosen(self, language: str, most: int, share: Callable[[str], float]) -> list[Example]:
        """At most so many of them, the same for each request in a language: its own ones first, then any.

        `share(name)` draws a number for each.
        """
        base = language.partition("-")[0]
        drawn = [(share(str(number)), line) for number, line in enumerate(self.lines)]
        ranked = sorted(drawn, key=lambda each: (not _is_in(each[1], language, base), each[0]))
        return [line for _, line in ranked[:most]]

    @property
    def content(self) -> str:
        """A hash of all of them."""
        return digest_of(self.lines)


def exemplars(place: str, folder: Path) -> Exemplars:
    """The examples of a file or of a BEIR folder. Raises SynthError where they cannot be read or have no text."""
    path, _, split = place.partition(":")
    beside = folder / Path(path).expanduser()
    if not beside.exists() and (SHIPPED / path).is_file():
        beside = SHIPPED / path
    return _read(str(beside), split, _stamp(beside))


def _stamp(place: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells one state of a file, or of a folder's files, from another."""
    files = sorted(place.rglob("*.*")) if place.is_dir() else [place] * place.exists()
    told = [(file.name, file.stat()) for file in files]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in told)


@lru_cache(maxsize=16)
def _read(path: str, split: str, stamp: tuple[tuple[str, int, int], ...]) -> Exemplars:
    del stamp
    if Path(path).is_dir():
        return Exemplars(path, tuple(_of_test_set(path, split)), is_test_set=True)
    return Exemplars(path, tuple(_of_file(Path(path))))


def _of_test_set(path: str, split: str) -> Sequence[Example]:
    test = read(f"{path}:{split}" if split else path)
    texts = {document.doc_id: document for document in test.documents or ()}
    lines = []
    for query_id, query in test.queries.items():
        judged = test.qrels.get(query_id, {})
        right = [name for name in sorted(judged, key=lambda name: (-judged[name], name)) if judged[name] > 0]
        document = next((texts[name] for name in right if name in texts and texts[name].text.strip()), None)
        if document is not None:
            lines.append({"query": query, "document": document.text, "title": document.title})
    if not lines:
        raise CorpusError(f"{path}: no query of it has a document with a text; examples need both")
    return lines


def _of_file(path: Path) -> Sequence[Example]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: the examples cannot be read: {error}") from error
    lines = []
    for number, raw in enumerate(text.splitlines(), start=1):
        if not raw.strip():
            continue
        try:
            line = json.loads(raw)
        except ValueError as error:
            raise RecipeError(f"{path}:{number}: this is no JSON: {error}") from error
        if not isinstance(line, dict) or not str(line.get("query", "")).strip():
            raise RecipeError(f'{path}:{number}: an example is `{{"query": "…", "document": "…"}}`; it has no query')
        lines.append({"document": "", "title": "", **line})
    if not lines:
        raise RecipeError(f"{path}: it holds no examples")
    return lines


def _is_in(line: Example, language: str, base: str) -> bool:
    own = str(line.get("language", ""))
    return bool(own) and (own == language or own.partition("-")[0] == base)
