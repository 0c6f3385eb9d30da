"""Does the gate find planted tricks and stay quiet on honest rows, and how long does it take.

    python benchmarks/shortcuts.py ../data                      the table of found and quiet
    python benchmarks/shortcuts.py ../data --rows 100000        seconds for so many rows, to warn and to cap

DATA holds BEIR folders: `xquad-<code>`, `scifact` (its train split), `nfcorpus` (dev). Rows are human queries with
their first relevant document and five negatives that `mine` finds by BM25. Each trick is planted into so large a share
of them: `positives doubled` and `negatives cut` a length, `copied` queries that are runs of words of the positive,
`marker` a word in written negatives, `one written` the same in one negative of five, `off topic` documents drawn from
all instead of mined.
"""

import argparse
import random
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from synth.beir import read
from synth.filters.shortcut import Shortcut
from synth.retrieval import Corpus
from synth.shortcuts import MEASURES, measure
from synth.stage import Context, RowList
from synth.stages.mine import Mine
from synth.types import Document, Dropped, Example, row_id

TUNED = ("xquad-en", "xquad-th", "xquad-zh", "xquad-ar", "xquad-de", "xquad-tr", "scifact:train", "nfcorpus:dev")
"""The sets whose honest rows were looked at when the bounds were chosen; the others were not."""
PLANTED = ("xquad-en", "xquad-zh", "scifact:train")
Plant = Callable[[Example, random.Random, list[Document]], Example]


def honest(name: str, folder: Path) -> tuple[list[Example], list[Document]]:
    """The pairs of a set with mined negatives, and its documents."""
    test = read(f"{folder}/{name}")
    documents = {each.doc_id: each for each in test.documents or ()}
    corpus = Corpus(list(documents.values()))
    rows = []
    for query_id, query in test.queries.items():
        right = [documents[doc_id] for doc_id, grade in sorted(test.qrels[query_id].items()) if grade > 0]
        rows.append(Example(id=row_id("shortcuts", 0, query, [query_id]), query=query, positives=tuple(right[:1])))
    mined = Mine(negatives=5).run(RowList(rows), Context(step="mine", corpus_of=lambda: corpus))
    return [each for each in mined if isinstance(each, Example)], list(corpus.documents)


def halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def doubled(row: Example, dice: random.Random, pool: list[Document]) -> Example:
    text = row.positive.text
    return replace(row, positives=(replace(row.positive, text=text + halves(text)[1]),))


def cut(row: Example, dice: random.Random, pool: list[Document]) -> Example:
    return replace(row, negatives=tuple(replace(each, text=halves(each.text)[0]) for each in row.negatives))


def copied(row: Example, dice: random.Random, pool: list[Document]) -> Example:
    parts, glue, size = row.positive.text.split(), " ", 10
    if len(parts) < 40:  # a script without spaces
        parts, glue, size = list(row.positive.text), "", 20
    start = dice.randrange(max(1, len(parts) - size))
    return replace(row, query=glue.join(parts[start : start + size]))


def marked(each: Document, dice: random.Random) -> Document:
    place = dice.randrange(len(each.text))
    return replace(each, text=f"{each.text[:place]} notably {each.text[place:]}", origin="written", doc_id="")


def marker(row: Example, dice: random.Random, pool: list[Document]) -> Example:
    return replace(row, negatives=tuple(marked(each, dice) for each in row.negatives))


def one_written(row: Example, dice: random.Random, pool: list[Document]) -> Example:
    return replace(row, negatives=(*row.negatives[:-1], *(marked(each, dice) for each in row.negatives[-1:])))


def one_plain(row: Example, dice: random.Random, pool: list[Document]) -> Example:
    last = (replace(each, origin="written", doc_id="") for each in row.negatives[-1:])
    return replace(row, negatives=(*row.negatives[:-1], *last))


def off_topic(row: Example, dice: random.Random, pool: list[Document]) -> Example:
    drawn = [each for each in dice.sample(pool, 7) if each.doc_id != row.positive.doc_id]
    return replace(row, negatives=tuple(replace(each, origin="mined") for each in drawn[: len(row.negatives)]))


PLANTS: dict[str, tuple[Plant, tuple[float, ...]]] = {
    "positives doubled": (doubled, (1, 0.5, 0.25)),
    "negatives cut": (cut, (1, 0.5, 0.25)),
    "copied": (copied, (1, 0.5, 0.25)),
    "marker": (marker, (1, 0.5, 0.25)),
    "one written, marked": (one_written, (1, 0.5, 0.25)),
    "one written, unmarked": (one_plain, (1,)),
    "off topic": (off_topic, (1, 0.5, 0.25)),
}


def planted(rows: list[Example], pool: list[Document], plant: Plant, share: float) -> Iterator[Example]:
    dice = random.Random(5)
    for row in rows:
        chosen = dice.random() < share
        yield plant(row, dice, pool) if chosen and row.negatives else row


def line(name: str, trick: str, rows: list[Example]) -> None:
    """A line of the table: every measure, and what the filter as it comes says."""
    found = measure(rows)
    values = {each.name: f"{each.value:.3f}" for each in found.measures}
    over = [each.name for each in found.measures if each.exceeds(Shortcut().bounds().get(each.name, 1.0))]
    cells = [values.get(name, "") for name in MEASURES if name != "bm25_easy"]
    print(f"| {name} | {trick} | {found.rows:,} | {' | '.join(cells)} | {', '.join(over) or 'quiet'} |", flush=True)


def table(folder: Path) -> None:
    heads = ["set", "planted", "rows", *(name for name in MEASURES if name != "bm25_easy"), "found"]
    print(f"| {' | '.join(heads)} |\n|{len(heads) * '---|'}")
    others = sorted(path.name for path in folder.glob("xquad-*") if path.name not in TUNED)
    for name in (*TUNED, *others):
        rows, pool = honest(name, folder)
        line(name, "nothing", rows)
        for trick, (plant, shares) in PLANTS.items() if name in PLANTED else ():
            for share in shares:
                line(name, f"{trick}, {share:.0%}", list(planted(rows, pool, plant, share)))


def scale(folder: Path, count: int) -> None:
    """Rows repeated with texts that differ in their last words, a marker in half of the negatives."""
    rows, pool = honest("scifact:train", folder)
    rows = list(planted(rows, pool, marker, 0.5))

    def copies() -> Iterator[Example]:
        for n in range(count):
            row, mark = rows[n % len(rows)], f" copy{n // len(rows)}"
            texts = [
                tuple(
                    replace(d, text=d.text + mark, doc_id=d.doc_id + mark, parent_id=d.doc_id or row.positive.doc_id)
                    for d in group
                )
                for group in (row.positives, row.negatives)
            ]
            yield replace(row, id=row_id("copy", n, row.query), positives=texts[0], negatives=texts[1])

    many = RowList(copies())
    for then in ("warn", "cap"):
        said: list[str] = []
        start, ticks = time.monotonic(), time.process_time()
        outcomes = Shortcut.model_validate({"then": then}).run(many, Context(step="shortcut", warn=said.append))
        dropped = sum(isinstance(each, Dropped) for each in outcomes)
        took = f"{time.monotonic() - start:.0f} s, {time.process_time() - ticks:.0f} s of CPU"
        print(f"{then}: {count:,} rows in {took}, {dropped:,} dropped", *said, sep="\n  ")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB at most with the rows themselves")


def main() -> None:
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("data", type=Path, help="the folder with the sets")
    reads.add_argument("--rows", type=int, default=0, help="measure the time for so many rows instead")
    given = reads.parse_args()
    if not given.data.is_dir():
        print(f"{given.data}: no such folder: skipped")
    elif given.rows:
        scale(given.data, given.rows)
    else:
        table(given.data)


if __name__ == "__main__":
    main()
