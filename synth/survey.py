"""A first look at a corpus, and a recipe for it: what `synth init` prints and writes.

documents    5,183
languages    en 100 %
words        5 % have at most 95, half at most 200, 95 % at most 380; 1,600 at most
titles       100 %
pieces       about 5,700 of at most 300 words
"""

import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from textwrap import wrap
from typing import Any

from synth.chunks import word_count
from synth.documents.exclusion import text_hash
from synth.documents.hub import SCHEME
from synth.documents.reading import Reading, read
from synth.documents.record import Record, Unreadable
from synth.errors import CorpusError, OutputError
from synth.languages import identify
from synth.stage import Source

MOST_DOCUMENTS = 20_000
"""How many documents are looked at, from the beginning."""

PIECE = 300
FEW_WORDS = 5
FEW_LETTERS = 0.5
_SAMPLED = 5_000
_COLUMNS = 80


@dataclass(slots=True)
class Survey:
    """What is in a corpus. Shares are of `documents`: those that could be read and have a text, before any cut."""

    corpus: str
    documents: int = 0
    whole: bool = True
    languages: Counter[str] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)
    words: list[int] = field(default_factory=list)
    titled: int = 0
    duplicates: int = 0
    few_words: int = 0
    few_letters: int = 0
    unreadable: int = 0
    empty: int = 0
    faults: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def pieces(self) -> int:
        """How many rows from_corpus will make of it, about."""
        return sum(math.ceil(words / PIECE) for words in self.words)

    def words_at(self, share: float) -> int:
        """The number of words that this share of the documents, 0 to 1, does not exceed; 0 where there are none."""
        ranked = sorted(self.words)
        return ranked[min(len(ranked) - 1, math.ceil(share * len(ranked)) - 1)] if ranked else 0

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values; of the lengths, in words, five quantiles."""
        plain = asdict(self) | {"languages": dict(self.languages), "scripts": dict(self.scripts), "pieces": self.pieces}
        marks = {"least": 0.0, "5%": 0.05, "50%": 0.5, "95%": 0.95, "most": 1.0}
        return plain | {
            "words": {name: self.words_at(share) if share else min(self.words) for name, share in marks.items()}
        }

    def lines(self) -> list[str]:
        """A table of it, each line at most 80 columns wide."""
        names = [name for name, _ in self._table()]
        width = max(map(len, names)) + 2
        return [line for name, text in self._table() for line in _table_lines(name, text, width)]

    def _table(self) -> Iterator[tuple[str, str]]:
        n = self.documents
        yield "documents", f"{n:,}" if self.whole else f"the first {n:,}"
        yield "languages", _shares(self.languages, n)
        yield "scripts", _shares(self.scripts, n)
        yield (
            "words",
            (
                f"5 % have at most {self.words_at(0.05):,}, half at most {self.words_at(0.5):,}, "
                f"95 % at most {self.words_at(0.95):,}; {self.words_at(1):,} at most"
            ),
        )
        yield "titles", _share(self.titled, n)
        yield "pieces", f"about {self.pieces:,} of at most {PIECE} words"
        for name, count in (
            ("same text as another", self.duplicates),
            (f"fewer than {FEW_WORDS} words", self.few_words),
            ("mostly no letters", self.few_letters),
        ):
            if count:
                yield name, f"{count:,} ({_share(count, n)})"
        if self.empty:
            yield "empty", f"{self.empty:,}"
        if self.unreadable:
            yield "cannot be read", f"{self.unreadable:,}: {'; '.join(self.faults)}"
        for text in self.left_out:
            yield "left out", text


def survey(source: Source, most_documents: int = MOST_DOCUMENTS) -> Survey:
    """Look at the first documents of a corpus. Raises CorpusError where there is none, or none can be read."""
    found = Survey(source.corpus)
    seen: set[bytes] = set()
    records = read(source, Reading(), lambda text: found.left_out.append(text.partition(": ")[2]))
    for record in islice(records, most_documents):
        if isinstance(record, Unreadable):
            _count_unreadable(record, found)
        else:
            _count(record, found, seen)
    found.whole = next(records, None) is None
    if not found.documents:
        why = (
            f"none of its documents has a text that can be read ({found.faults[0]})" if found.faults else "it is empty"
        )
        raise CorpusError(f"corpus {source.corpus}: {why}; see that `corpus` names the right file or folder")
    return found


def _count_unreadable(found: Unreadable, into: Survey) -> None:
    if found.reason == "empty_document":
        into.empty += 1
    else:
        into.unreadable += 1
    if len(into.faults) < 3:
        into.faults.append(f"{found.place}: {found.fault}")


def _count(record: Record, into: Survey, seen: set[bytes]) -> None:
    text = record.text
    sample = text[:_SAMPLED]
    words = word_count(text)
    into.documents += 1
    into.words.append(words)
    into.languages[identify(sample).code] += 1
    into.scripts[script_of(sample)] += 1
    into.titled += bool(record.sections[0].headings)
    into.few_words += words < FEW_WORDS
    into.few_letters += _letters(sample) < FEW_LETTERS * len("".join(sample.split()))
    mark = text_hash(text)
    into.duplicates += mark in seen
    seen.add(mark)


def _letters(text: str) -> int:
    """How many characters are letters, or marks on them."""
    return sum(unicodedata.category(letter)[0] in "LM" for letter in text)


def script_of(text: str) -> str:
    """The script that most letters of a text's beginning are in, "" where it has none.

    >>> script_of("Der Nil"), script_of("尼罗河"), script_of("42")
    ('Latin', 'Han', '')
    """
    letters = Counter(_script(letter) for letter in islice(filter(str.isalpha, text), 100))
    return min(letters, key=lambda name: (-letters[name], name)) if letters else ""


@cache
def _script(letter: str) -> str:
    """The script of one letter, by the name that Unicode gives the letter."""
    first = unicodedata.name(letter, "other").split()[0].capitalize()
    return {"Canadian": "Canadian syllabics", "Cjk": "Han", "Katakana-hiragana": "Katakana"}.get(first, first)


def _share(count: int, of: int) -> str:
    """A share in whole per cent, as it should be read.

    >>> _share(1, 1000), _share(999, 1000), _share(0, 5), _share(1, 3)
    ('below 1 %', 'above 99 %', 'none', '33 %')
    """
    if not count:
        return "none"
    percent = round(100 * count / of)
    if percent == 0:
        return "below 1 %"
    return "above 99 %" if percent == 100 and count < of else f"{percent} %"


def _shares(counts: Mapping[str, int], of: int, most: int = 12) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{name or 'unknown'} {_share(count, of)}" for name, count in ranked[:most]]
    return ", ".join(shown) + (f" and {len(ranked) - most} more" if len(ranked) > most else "")


def _table_lines(name: str, text: str, width: int) -> list[str]:
    """One entry of the table, wrapped; a number stays on a line with its per cent."""
    space = " " * width
    unbroken = text.replace(" %", "\u00a0%")
    found = wrap(unbroken, _COLUMNS, initial_indent=name.ljust(width), subsequent_indent=space, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in found]


def recipe_for(found: Survey, corpus: str, has_writer: bool = False) -> str:
    """A recipe for a corpus as YAML, ready to run; `corpus` as it should stand in it.

    With `has_writer` an LLM writes the queries: its name and address are to be filled in. Else they are cut by rule.
    """
    head = [f"# Made by `synth init`. {_in_words(found)}", f"corpus: {quoted(corpus)}", "seed: 7"]
    lines = [*head, *(_written(found) if has_writer else _cut(found))]
    return "\n".join(
        [*lines, "# evaluate: [./my-test-set]    # a BEIR folder of real queries: what the data bought", ""]
    )


def _in_words(found: Survey) -> str:
    languages = _shares(found.languages, found.documents, most=5)
    return f"The corpus: {'' if found.whole else 'more than '}{found.documents:,} documents; languages: {languages}."


def _cut(found: Survey) -> list[str]:
    """The steps of the way without a model."""
    return [
        "steps:",
        *_documents(found),
        "  - use: extract                        # queries cut from the documents by rule: no model, no network",
        "  - use: exact_dedup",
        "  - use: near_dedup",
        "  - {use: mine, retriever: bm25, negatives: 5}",
        "export: [dataset, beir]",
        "train: {base: static}",
        "# An LLM writes better queries. Put this step in the place of extract, and its server above the steps:",
        "#   - {use: generate, prompt: grounded/question, per_document: 2}",
        "# backends:",
        "#   writer: {use: openai, model: NAME, base_url: http://localhost:8000/v1}",
    ]


def _written(found: Survey) -> list[str]:
    """The steps of the way in which an LLM writes and judges."""
    return [
        f"# About {2 * found.pieces:,} requests to the writer, and four to the judge for each query that is left.",
        "# Any server that speaks OpenAI's API will do (vLLM, llama.cpp, Ollama, a hosted one with its key in",
        "# OPENAI_API_KEY): name its model and its address.",
        "backends:",
        "  writer: {use: openai, model: qwen3-8b, base_url: http://localhost:8000/v1}",
        "  judge: {use: openai, model: qwen3-8b, base_url: http://localhost:8000/v1}",
        "steps:",
        *_documents(found),
        "  - {use: generate, prompt: grounded/question, per_document: 2}",
        "  - use: exact_dedup",
        "  - use: near_dedup",
        "  - use: refusal",
        "  - use: language",
        "  - use: leakage",
        "  - {use: fit, makes: student}           # a small embedder of these rows, cross-fitted, to check and mine by",
        "  - {use: consistency, retriever: dense, embedder: student, most_rank: 10}",
        "  - {use: judge, least: 2}",
        "  - {use: mine, retriever: fused, embedder: student, negatives: 3}",
        "  - {use: false_negatives, fate: relabel}",
        "export: [dataset, beir]",
        "train: {base: static}",
    ]


def _documents(found: Survey) -> list[str]:
    """The steps that read the documents, and leave out those that the survey found wanting."""
    lines = ["  - use: from_corpus"]
    if found.few_words:
        lines.append(f"  - {{use: length, name: long_enough, least_positive: {FEW_WORDS}}}")
    if found.duplicates:
        lines.append("  - {use: exact_dedup, name: documents_once, field: positive}")
    return lines


def quoted(text: str) -> str:
    r"""A text as YAML reads it back, whatever is in it.

    >>> quoted("./docs"), quoted("my: docs"), quoted("no")
    ('./docs', '"my: docs"', '"no"')
    """
    if re.fullmatch(r"\.{1,2}/[\w./-]*|hf://[\w./@:-]*\w", text, re.ASCII):
        return text
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    """One character between YAML's double quotes."""
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"


def init(corpus: str, output: Path, writer: bool = False) -> Survey:
    """Look at a corpus, named as on the command line, and write a recipe for it.

    Raises CorpusError where nothing can be read, OutputError where the recipe cannot be written or is already there.
    """
    if output.exists():
        raise OutputError(f"{output} is already there; name another file with --output, or take it away")
    found = survey(Source(corpus))
    text = recipe_for(found, _seen_from(corpus, output), writer)
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror}; name another file with --output") from error
    return found


def _seen_from(corpus: str, output: Path) -> str:
    """A corpus as the recipe should name it: a relative path is relative to the recipe's folder."""
    path = Path(corpus).expanduser()
    if corpus.startswith(SCHEME) or path.is_absolute():
        return corpus
    relative = Path(os.path.relpath(path, output.parent)).as_posix()
    return relative if relative.startswith("../") else f"./{relative}"
