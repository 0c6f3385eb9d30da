"""near_dedup beside datasketch and semhash: passages of which one in twenty is a near copy of an earlier one.

    python benchmarks/near_dedup.py --rows 100000
    python benchmarks/near_dedup.py --rows 1000000 --peers-rows 100000 --semhash-python peers/bin/python
    python benchmarks/near_dedup.py --rows 200000 --words 8 --threshold 0.7 --peers

Passages are made-up words as frequent as a language's, or with --corpus the words of text files, cut into pieces. A
copy differs from its source in 1 to 20 % of its words: another word, one more, one less. Each tool runs in a process of
its own over the same file and measures itself: processor time from the first passage read to the last one judged, and
the most memory its process ever held. synth reads rows from a parquet file, as a step of a run does.

Truth is the share of common runs of four letters (true Jaccard). Recall counts the planted copies that went, by how
much they resemble their source; precision the dropped passages that resemble one that they are said to repeat by
--threshold or more. datasketch is its own MinHash and MinHashLSH in a plain loop, over the same runs of letters and
over words; semhash has another notion of alike, and stands here with a vector at random for each word, since a model of
its own needs a download: pip install semhash in an environment of its own and name its python.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

PLANTED = 0.05
BLOCK = 1000
SHARES = (0.8, 0.85, 0.9, 1.01)
Doubles = dict[int, list[int]]
"""For each passage that is dropped, the passages that it is said to repeat."""


def main() -> None:
    """Make the passages, let each tool judge them, print what it took and what was right."""
    given = _arguments()
    if given.tool:
        _measure(given.tool, given.folder, given.threshold)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        for rows, tools in _rounds(given):
            folder = Path(name) / str(rows)
            folder.mkdir(exist_ok=True)
            sources = write(folder, passages(rows, given.words, given.corpus), given.field)
            told = {tool: _child(tool, python, folder, given.threshold) for tool, python in tools.items()}
            print(f"\n{rows:,} passages of {given.words} words, threshold {given.threshold}, {len(sources):,} copies")
            print(table(told, sources, (folder / "texts").read_text().split("\n")[:-1], given.threshold))


def _arguments() -> argparse.Namespace:
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("--rows", type=int, default=200_000)
    reads.add_argument("--peers-rows", type=int, help="fewer passages for the peers, with synth beside them again")
    reads.add_argument("--words", type=int, default=100)
    reads.add_argument("--threshold", type=float, default=0.8)
    reads.add_argument("--field", choices=["positive", "query"], default="positive", help="where a passage stands")
    reads.add_argument("--corpus", type=Path, nargs="*", default=[], help="text files whose words are taken")
    reads.add_argument("--peers", nargs="*", default=["letters", "words", "semhash"], help="letters words semhash")
    reads.add_argument("--semhash-python", help="the python of an environment with semhash")
    reads.add_argument("--folder", type=Path, help="where to work [default: a temporary folder]")
    reads.add_argument("--tool", help=argparse.SUPPRESS)
    return reads.parse_args()


def _rounds(given: argparse.Namespace) -> Iterator[tuple[int, dict[str, str]]]:
    """How many passages, and the tools that judge them, each with its python."""
    peers = {peer: sys.executable for peer in given.peers if peer != "semhash"}
    if "semhash" in given.peers and given.semhash_python:
        peers["semhash"] = given.semhash_python
    if given.peers_rows and given.peers_rows != given.rows:
        yield given.peers_rows, {"synth": sys.executable, **peers}
        peers = {}
    yield given.rows, {"synth": sys.executable, **peers}


def passages(rows: int, words: int, corpus: Sequence[Path] = ()) -> Iterator[tuple[int, str]]:
    """Each passage with the number of the one it is a copy of, -1 for one of its own. Only these have copies."""
    dice = np.random.default_rng(0)
    known, frequency = _vocabulary(dice)
    pieces = _pieces(corpus, words) if corpus else _made_up(dice, known, frequency, words)
    own: list[tuple[int, str]] = []
    for number in range(rows):
        if len(own) > BLOCK and dice.random() < PLANTED:
            source, text = own[int(dice.integers(len(own)))]
            yield source, _edited(text.split(), dice, known)
            continue
        piece = next(pieces, None)
        if piece is None:
            return
        text = " ".join(piece)
        if len(own) < 20 * BLOCK or dice.random() < 0.01:  # copies have sources everywhere, few of them held here
            own.append((number, text))
        yield -1, text


def _vocabulary(dice: np.random.Generator) -> tuple[list[str], np.ndarray]:
    lengths = dice.integers(2, 10, 30_000)
    known = ["".join(map(chr, dice.integers(97, 123, length))) for length in lengths]
    frequency = np.cumsum(1 / np.arange(1, len(known) + 1))
    return known, frequency / frequency[-1]


def _made_up(dice: np.random.Generator, known: list[str], frequency: np.ndarray, words: int) -> Iterator[list[str]]:
    while True:
        for row in np.searchsorted(frequency, dice.random((BLOCK, words))).tolist():
            yield [known[place] for place in row]


def _pieces(corpus: Sequence[Path], words: int) -> Iterator[list[str]]:
    for path in corpus:
        text = path.read_text(encoding="utf-8", errors="replace").split()
        yield from (text[start : start + words] for start in range(0, len(text) - words + 1, words))


def _edited(parts: list[str], dice: np.random.Generator, known: list[str]) -> str:
    """A copy with 1 to 20 % of its words changed, one at least."""
    for _ in range(max(1, round(dice.uniform(0.01, 0.2) * len(parts)))):
        place, word, kind = int(dice.integers(len(parts))), known[int(dice.integers(len(known)))], dice.integers(4)
        if kind == 0 and len(parts) > 1:
            del parts[place]
        elif kind == 1:
            parts.insert(place, word)
        else:
            parts[place] = word
    return " ".join(parts)


def write(folder: Path, made: Iterator[tuple[int, str]], field: str) -> dict[int, int]:
    """Write the passages as rows and, for the peers, as lines; give back the source of each copy."""
    import pyarrow.parquet as pq

    from synth.rows import KEPT, to_table
    from synth.types import Document, Example

    sources: dict[int, int] = {}
    waiting: list[Example] = []
    with pq.ParquetWriter(folder / "kept.parquet", KEPT) as rows, (folder / "texts").open("w") as texts:
        for number, (source, text) in enumerate(made):
            if source >= 0:
                sources[number] = source
            texts.write(f"{text}\n")
            name = f"{number:012}"
            positives = (Document(text, doc_id=name),) if field == "positive" else ()
            waiting.append(Example(id=name, query=text if field == "query" else "", positives=positives))
            if len(waiting) == BLOCK:
                rows.write_table(to_table(waiting))
                waiting = []
        rows.write_table(to_table(waiting))
    (folder / "field").write_text(field)
    return sources


def _child(tool: str, python: str, folder: Path, threshold: float) -> dict[str, Any]:
    command = [python, __file__, "--tool", tool, "--folder", str(folder), "--threshold", str(threshold)]
    subprocess.run(command, check=True, stdout=sys.stderr)
    told: dict[str, Any] = json.loads((folder / f"{tool}.json").read_text())
    return told


def _measure(tool: str, folder: Path, threshold: float) -> None:
    """Judge all passages with one tool, in this process, and write down what it found and took."""
    judge = {"synth": by_synth, "letters": by_letters, "words": by_words, "semhash": by_semhash}[tool]
    begun, wall = time.process_time(), time.monotonic()
    doubles = judge(folder, threshold)
    told = {"cpu_s": time.process_time() - begun, "wall_s": time.monotonic() - wall, "peak_gb": _peak_gb()}
    (folder / f"{tool}.json").write_text(json.dumps({**told, "doubles": list(doubles.items())}))


def _peak_gb() -> float:
    """The most memory this process held. `getrusage` would count what the parent held before it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e9


def by_synth(folder: Path, threshold: float) -> Doubles:
    """The step itself, over rows that lie in a file."""
    from synth.filters.near_dedup import NearDedup
    from synth.stage import Context
    from synth.store import StoredRows
    from synth.types import Dropped

    step = NearDedup.model_validate({"threshold": threshold, "field": (folder / "field").read_text()})
    fates = step.run(StoredRows(folder / "kept.parquet"), Context())
    return {int(o.example.id): [int(o.detail.split(" of ")[1])] for o in fates if isinstance(o, Dropped)}


def by_letters(folder: Path, threshold: float) -> Doubles:
    """MinHashLSH over runs of four letters."""
    return _by_datasketch(folder, threshold, lambda line: {line[n : n + 4] for n in range(len(line) - 3)})


def by_words(folder: Path, threshold: float) -> Doubles:
    """MinHashLSH over words, as its README has it."""
    return _by_datasketch(folder, threshold, lambda line: set(line.split()))


def _by_datasketch(folder: Path, threshold: float, parts_of: Callable[[str], set[str]]) -> Doubles:
    from datasketch import MinHash, MinHashLSH

    index, doubles = MinHashLSH(threshold=threshold, num_perm=128), Doubles()
    for number, line in enumerate(_lines(folder)):
        sketch = MinHash(num_perm=128)
        sketch.update_batch([part.encode() for part in parts_of(line)])
        near = index.query(sketch)
        if near:
            doubles[number] = near
        else:
            index.insert(number, sketch)
    return doubles


def by_semhash(folder: Path, threshold: float) -> Doubles:
    """SemHash at a cosine of 0.9, its default, with a vector at random for each word."""
    from model2vec import StaticModel
    from semhash import SemHash
    from tokenizers import Tokenizer, models, pre_tokenizers

    del threshold
    lines = [{"number": str(number), "text": line} for number, line in enumerate(_lines(folder))]
    words = sorted({word for line in lines for word in line["text"].split()})
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    vectors = np.random.default_rng(1).standard_normal((len(words) + 1, 256), dtype=np.float32)
    found = SemHash.from_records(lines, columns=["text"], model=StaticModel(vectors, tokenizer)).self_deduplicate()
    return {int(each.record["number"]): [int(each.duplicate_of["number"])] for each in found.filtered}


def _lines(folder: Path) -> Iterator[str]:
    with (folder / "texts").open() as lines:
        yield from (line.rstrip("\n") for line in lines)


def table(told: Mapping[str, Mapping[str, Any]], sources: Mapping[int, int], texts: list[str], least: float) -> str:
    """A line a tool: what it took, its recall by how much copies resemble their source, its precision."""
    from synth.resemblance import jaccard

    shares = {copy: jaccard(texts[copy], texts[source]) for copy, source in sources.items()}
    bounds = [*pairwise(SHARES), (0.85, 1.01)]
    groups = [{copy for copy, share in shares.items() if low <= share < high} for low, high in bounds]
    counts = " | ".join(f"{low} to {min(high, 1):g}: {len(g):,}" for (low, high), g in zip(bounds, groups, strict=True))
    lines = [
        f"| tool | ms CPU a passage | s | peak GB | dropped | precision | recall {counts} |",
        "|---|" + "---|" * (5 + len(groups)),
    ]
    for tool, each in told.items():
        doubles = dict(each["doubles"])
        right = sum(any(jaccard(texts[n], texts[o]) >= least for o in others) for n, others in doubles.items())
        recall = " | ".join(f"{len(group & doubles.keys()) / max(1, len(group)):.4f}" for group in groups)
        took = f"{1000 * each['cpu_s'] / len(texts):.3f} | {each['wall_s']:.0f} | {each['peak_gb']:.2f}"
        lines.append(f"| {tool} | {took} | {len(doubles):,} | {right / max(1, len(doubles)):.4f} | {recall} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
