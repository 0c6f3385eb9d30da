"""How much of planted leaks decontamination finds, what it drops of clean rows, and how long it takes.

    python benchmarks/decontamination.py DATA                          BEIR folders scifact, nfcorpus, xquad-*
    python benchmarks/decontamination.py DATA --embedder MODEL         paraphrases too
    python benchmarks/decontamination.py DATA --split calibration      the splits that thresholds were chosen on
    python benchmarks/decontamination.py --time --rows 100000 --references 50000         made-up texts, no data

Leaks are made of the queries and documents of `scifact:test`, `nfcorpus:test` and `xquad-*`: as they stand, in another
case, with one to three words replaced, left out, put in or swapped (at least four words for each that is changed), in
other words (decontamination.jsonl: a paraphrase and the query's id, by hand); documents whole, in pieces, edited. They
lie among the queries of other splits and sets, which are the clean rows; --show prints what of those is dropped, since
real duplicates between splits exist. Thresholds were chosen on `scifact:train`, `nfcorpus:dev`, `xquad-es`, and the
questions of trec6.
"""

import argparse
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synth.embedder import load
from synth.filters.decontamination import Decontamination
from synth.sentences import words
from synth.stage import Context, RowList, Source
from synth.types import Document, Dropped, Example

SETS = {
    "report": ("scifact:test", "nfcorpus:test", "xquad-en", "xquad-de", "xquad-ru", "xquad-tr", "xquad-zh", "xquad-th"),
    "calibration": ("scifact:train", "nfcorpus:dev", "xquad-es"),
}
ENGLISH = ("nfcorpus:train", "nfcorpus:dev", "scifact:train", "trec6 questions")
UNSPACED = {"xquad-zh": 2, "xquad-th": 3}
DOCUMENTS = 300
"""Documents of each set that are leaked."""


class Data:
    """The folder of data sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The rows of a file of JSON lines."""
        return [json.loads(line) for line in (self.folder / name).read_text(encoding="utf-8").splitlines()]

    def queries(self, name: str) -> dict[str, str]:
        """The queries of a set, or of one of its splits, by id."""
        folder, _, split = name.partition(":")
        known = {row["_id"]: row["text"] for row in self.lines(f"{folder}/queries.jsonl")}
        if not split:
            return known
        lines = (self.folder / folder / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]
        return {key: known[key] for key in dict.fromkeys(line.split("\t")[0] for line in lines)}

    def documents(self, name: str) -> list[str]:
        """Documents of a set, title and text."""
        rows = self.lines(f"{name.partition(':')[0]}/corpus.jsonl")
        return [f"{row.get('title') or ''}\n{row['text']}".strip() for row in rows]


class Plants:
    """Leaked queries and documents of one set, by kind."""

    def __init__(self, data: Data, name: str) -> None:
        self.data, self.name = data, name
        self.queries = data.queries(name)
        self.dice = random.Random(name)
        self.unit = UNSPACED.get(name, 1)
        self.vocabulary = [word for text in self.queries.values() for word in self.cut(text)]

    def cut(self, text: str) -> list[str]:
        """The words of a text; pairs or triples of characters where it has no spaces."""
        if self.unit == 1:
            return text.split()
        parts = words(text)
        return ["".join(parts[start : start + self.unit]) for start in range(0, len(parts), self.unit)]

    def changed(self, text: str, times: int) -> str:
        """The text after so many words were replaced, left out, put in or swapped with the next."""
        parts = self.cut(text)
        for _ in range(times):
            place = self.dice.randrange(len(parts))
            how = self.dice.choice(("replace", "leave out", "put in", "swap"))
            if how == "replace":
                parts[place] = self.dice.choice(self.vocabulary)
            elif how == "leave out":
                del parts[place]
            elif how == "put in":
                parts.insert(place, self.dice.choice(self.vocabulary))
            else:
                place = min(place, len(parts) - 2)
                parts[place : place + 2] = parts[place : place + 2][::-1]
        return (" " if self.unit == 1 else "").join(parts)

    def of_queries(self) -> Iterator[tuple[str, str]]:
        """Kind and text of each leaked query."""
        for text in self.queries.values():
            yield "same words", text
            yield "case and punctuation", f"  {text.upper().rstrip('?.!')} …"
            for times in (1, 2, 3):
                if len(self.cut(text)) >= 4 * times:
                    yield f"{times} words changed", self.changed(text, times)
        folder, _, split = self.name.partition(":")
        for row in map(json.loads, Path(__file__).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()):
            if row["set"] == folder and split in ("", row["split"]):
                yield "paraphrase", row["text"]

    def of_documents(self) -> Iterator[tuple[str, str]]:
        """Kind and text of each leaked document."""
        texts = self.data.documents(self.name)
        for text in self.dice.sample(texts, min(DOCUMENTS, len(texts))):
            parts = self.cut(text)
            yield "whole document", text
            yield "document, 1 word in 20 changed", self.changed(text, max(1, len(parts) // 20))
            yield "document, 1 word in 10 changed", self.changed(text, max(1, len(parts) // 10))
            for size in (300, 60):
                if len(parts) >= size:
                    start = self.dice.randrange(len(parts) - size + 1)
                    piece = (" " if self.unit == 1 else "").join(parts[start : start + size])
                    yield f"piece of {size} words", piece
                    yield f"piece of {size} words, 1 in 20 changed", self.changed(piece, size // 20)


def clean_rows(data: Data, split: str) -> Iterator[tuple[str, Example]]:
    """Rows of other splits and other sets than those that are leaked, with what they are called."""
    others = ("nfcorpus:train", "nfcorpus:dev", "scifact:train") if split == "report" else ("nfcorpus:train",)
    texts = {name: list(data.queries(name).values()) for name in others}
    texts |= {"trec6 questions": [row["text"] for row in data.lines("classification/trec6/train.jsonl")]}
    if split == "report":
        texts |= {
            "banking77 questions": [row["text"] for row in data.lines("classification/banking77/train.jsonl")],
            "STS sentences": [row["sentence1"] for row in data.lines("sts/stsb-en/train.jsonl")],
            "xquad-ro, xquad-vi": [t for name in ("xquad-ro", "xquad-vi") for t in data.queries(name).values()],
        }
    for name, queries in texts.items():
        for number, text in enumerate(queries):
            yield name, Example(id=f"clean {name} {number}", query=text)


def planted(data: Data, sets: tuple[str, ...], documents: bool) -> Iterator[tuple[tuple[str, str], Example]]:
    """Leaks, each with its set and kind."""
    for name in sets:
        plants = Plants(data, name)
        for number, (kind, text) in enumerate(plants.of_queries()):
            yield (name, kind), Example(id=f"{name} {number}", query=text)
        for number, (kind, text) in enumerate(plants.of_documents() if documents else ()):
            yield (name, kind), Example(id=f"{name} d{number}", positives=(Document(text),))


def clean_documents(data: Data) -> Iterator[tuple[str, Example]]:
    """Documents of one set, to be held against another's: medical abstracts against medical abstracts."""
    for number, text in enumerate(data.documents("nfcorpus")):
        yield "nfcorpus, against scifact", Example(id=f"clean document {number}", positives=(Document(text),))


def measure(data: Data, given: argparse.Namespace) -> None:
    """Recall by set and kind, and what is dropped of clean rows."""
    sets = SETS[given.split][:3] if given.embedder else SETS[given.split]
    options: dict[str, Any] = {"embedder": "asked"} if given.embedder else {}
    if given.least_cosine is not None:
        options["least_cosine"] = given.least_cosine
    context = Context(
        source=Source(folder=data.folder),
        embedders={"asked": load(given.embedder)} if given.embedder else {},
        warn=print,
    )
    leaks, clean = list(planted(data, sets, documents=not given.embedder)), list(clean_rows(data, given.split))
    if given.embedder:
        leaks = [leak for leak in leaks if leak[0][1] == "paraphrase"]
        clean = [row for row in clean if row[0] in ENGLISH]
    gone = dropped(Decontamination(against=sets, **options), [*leaks, *clean], context)
    table("recall", leaks, gone)
    if not given.embedder:
        documents = list(clean_documents(data))
        clean += documents
        gone |= dropped(Decontamination(against=("scifact",)), documents, context)
    table("dropped of clean rows", [((name, "clean"), row) for name, row in clean], gone)
    for name, row in clean if given.show else ():
        if row.id in gone:
            print(f"{name}\t{row.query or row.positive.text[:80]!r}\t{gone[row.id].detail}")


def dropped(stage: Decontamination, rows: Sequence[tuple[Any, Example]], context: Context) -> dict[str, Dropped]:
    """What the filter drops, by the row's id."""
    outcomes = stage.run(RowList(row for _, row in rows), context)
    return {each.example.id: each for each in outcomes if isinstance(each, Dropped)}


def table(head: str, rows: list[tuple[tuple[str, str], Example]], gone: dict[str, Dropped]) -> None:
    """One line for each set and kind: how many, and what share of them was dropped."""
    counts, found, how = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[str]()
    for key, row in rows:
        for each in (key, ("all", key[1])):
            counts[each] += 1
            found[each] += row.id in gone
        if row.id in gone:
            how[gone[row.id].detail.partition(":")[0].translate({ord(digit): "" for digit in "0123456789"})] += 1
    print(f"\n| set | kind | rows | {head} |\n| --- | --- | --- | --- |")
    for (name, kind), count in counts.items():
        print(f"| {name} | {kind} | {count:,} | {found[name, kind] / count:.2%} |")
    print(f"found by: {dict(how.most_common())}")


def measure_time(given: argparse.Namespace) -> None:
    """Seconds for rows of a query of 10 words and a document of 200 against as many texts; one row in 100 is a leak."""
    dice = np.random.default_rng(0)
    text = made_up(dice)
    folder = Path(given.folder or ".")
    queries, documents = ([text(size) for _ in range(given.references // 2)] for size in (10, 200))
    write(folder / "timed" / "queries.jsonl", queries)
    write(folder / "timed" / "corpus.jsonl", documents)
    rows = []
    for number in range(given.rows):
        leaks = number % 100 == 0
        query = queries[number % len(queries)] + " please" if leaks else text(10)
        document = documents[number % len(documents)] if number % 200 == 0 else text(200)
        rows.append(Example(id=f"{number:09}", query=query, positives=(Document(document),)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    started, used = time.monotonic(), time.process_time()
    outcomes = Decontamination(against=("timed",)).run(RowList(rows), Context(source=Source(folder=folder), warn=print))
    reasons = Counter(each.reason if isinstance(each, Dropped) else "kept" for each in outcomes)
    seconds, cpu = time.monotonic() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{given.rows:,} rows against {given.references:,} texts: {seconds:.0f} s, {cpu:.0f} s of CPU; {dict(reasons)}"
    )
    print(f"memory {peak:.2f} GB at most, {before:.2f} GB before it began (the rows themselves)")


def made_up(dice: np.random.Generator) -> Callable[[int], str]:
    """A function that makes texts of so many words, which are as frequent as a language's."""
    known = np.array(["".join(map(chr, dice.integers(97, 123, size))) for size in dice.integers(2, 10, 30_000)])
    shares = np.cumsum(1 / np.arange(1, len(known) + 1))
    return lambda size: " ".join(known[np.searchsorted(shares, dice.random(size) * shares[-1])])


def write(path: Path, texts: list[str]) -> None:
    """Texts as one file of a BEIR folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"_id": str(n), "text": text}) + "\n" for n, text in enumerate(texts)))


def main() -> None:
    """Read the command line, measure, print."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("data", type=Path, nargs="?", help="the folder with scifact, nfcorpus, xquad-*, classification")
    reads.add_argument("--split", choices=sorted(SETS), default="report")
    reads.add_argument("--embedder", default="", help="a sentence-transformers model, for paraphrases")
    reads.add_argument("--least-cosine", type=float, default=None)
    reads.add_argument("--show", action="store_true", help="print the clean rows that are dropped")
    reads.add_argument("--time", action="store_true")
    reads.add_argument("--rows", type=int, default=100_000)
    reads.add_argument("--references", type=int, default=50_000)
    reads.add_argument("--folder", default="", help="where --time writes its references")
    given = reads.parse_args()
    if given.time:
        measure_time(given)
    elif given.data is None or not (given.data / "scifact").is_dir():
        print("no data: name the folder that holds scifact, nfcorpus and xquad-*; or measure --time")
    else:
        measure(Data(given.data), given)


if __name__ == "__main__":
    main()
