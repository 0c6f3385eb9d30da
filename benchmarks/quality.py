"""How long the figures of a run's rows take, and how much they hold: made-up rows with grades, ranks and negatives.

    python benchmarks/quality.py --rows 100000
    python benchmarks/quality.py --rows 100000 --stored        the rows in a file, as a run has them

Prints the table, seconds of CPU without what is loaded once, and the memory that came on top of the rows themselves.
`--documents` gives a corpus of so many, in which the rank of 1,000 positives is looked for; without it the ranks are
those noted on the rows.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console

from synth.card import Fate
from synth.quality import RunFacts, quality
from synth.retrieval import Corpus
from synth.rows import to_table
from synth.stage import RowList, Rows
from synth.store import SortedWriter, StoredRows
from synth.types import Document, Example, row_id


class Texts:
    """Made-up words, as frequent as a language's; from a fixed seed."""

    def __init__(self) -> None:
        self._dice = np.random.default_rng(0)
        lengths = self._dice.integers(2, 10, 30_000)
        self._known = np.array(["".join(map(chr, self._dice.integers(97, 123, length))) for length in lengths])
        frequency = 1 / np.arange(1, len(self._known) + 1)
        self._ends = np.cumsum(frequency / frequency.sum())

    def some(self, words: int) -> str:
        """A text of so many words."""
        places = np.searchsorted(self._ends, self._dice.random(words)).clip(max=len(self._known) - 1)
        return " ".join(self._known[places].tolist())

    def score(self, most: int) -> int:
        """A number from 0 up to `most`."""
        return int(self._dice.integers(0, most + 1))


def rows(count: int, texts: Texts, corpus: list[Document], ranked: bool) -> Iterator[Example]:
    """Rows of 8 words for 100, with three negatives, a grade, a rank and two axes."""
    negatives = [Document(texts.some(100), f"n{n}", origin="mined", scores={"cosine": 0.3}) for n in range(100)]
    for number in range(count):
        own = (
            corpus[number % len(corpus)]
            if corpus
            else Document(texts.some(100), f"d{number}#0", parent_id=f"d{number}")
        )
        scores = {"judge": float(texts.score(3)), "cosine": texts.score(100) / 100}
        meta = {
            "generate": {
                "prompt": "grounded/question",
                "draw": 0,
                "axes": {"form": ("question", "need", "keywords")[number % 3], "angle": "gist"},
                "model": "writer",
            },
            **({"ranks": {"bm25": 1 + texts.score(100)}} if ranked else {}),
        }
        yield Example(
            id=row_id("bench", number, ""),
            query=texts.some(8) + "?" * (number % 2),
            positives=(Document(own.text, own.doc_id, parent_id=own.parent_id, scores=scores),),
            negatives=tuple(negatives[(number + n) % 100] for n in range(3)),
            language=("en", "de", "sw", "ja")[number % 4],
            meta=meta,
        )


def stored(made: Iterator[Example], folder: Path) -> Rows:
    """The rows in a file."""
    writer = SortedWriter[Example](folder / "kept.parquet", to_table)
    for row in made:
        writer.add(row)
    writer.close()
    return StoredRows(folder / "kept.parquet")


def main() -> None:
    """Make the rows, measure, print."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("--rows", type=int, default=100_000)
    reads.add_argument("--documents", type=int, default=0)
    reads.add_argument("--stored", action="store_true")
    given = reads.parse_args()
    texts = Texts()
    corpus = [Document(texts.some(100), f"d{n}") for n in range(given.documents)]
    made = rows(given.rows, texts, corpus, ranked=not corpus)
    with tempfile.TemporaryDirectory() as name:
        of = stored(made, Path(name)) if given.stored else RowList(made)
        whole = Corpus(corpus)
        facts = RunFacts(seed=7, steps=[Fate("bench", given.rows)], corpus=lambda: whole)
        quality(RowList(list(rows(50, texts, corpus, ranked=False))), facts)  # what is loaded once: fastText, bm25s
        before, start, wall = _reset(), time.process_time(), time.monotonic()
        found = quality(of, facts)
        used, waited, after = time.process_time() - start, time.monotonic() - wall, _megabytes("VmHWM")
    found.print(Console(width=80))
    print(f"{given.rows:,} rows: {used:.2f} s of CPU, {waited:.2f} s, {after - before:.0f} MB at most beside the rows")


def _reset() -> float:
    """Megabytes held now; from here on the highest is noted anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _megabytes("VmRSS")


def _megabytes(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1e3


if __name__ == "__main__":
    main()
