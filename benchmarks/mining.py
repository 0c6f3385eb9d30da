"""consistency and mine beside sentence-transformers' mine_hard_negatives, over the same documents, rows and vectors.

    python benchmarks/mining.py --documents 100000 --rows 100000
    python benchmarks/mining.py --corpus corpus.jsonl --rows 5000 --tools mine:dense peer

Documents are made-up words, half of them of the document's topic, or with --corpus the texts of a BEIR corpus; a row's
query is words out of its positive and of its topic, so that some negatives are nearer than the margin allows. The
embedder is a static one with a vector at random for each word. Each tool runs in a process of its own and measures
itself, from reading documents and rows to the last row given, index and vectors included; all embed 1,024 texts at a
time and take 5 negatives of the first 100, `mine:dense` and `peer` with a relative margin of 0.05. `peer` is
mine_hard_negatives without faiss, giving n-tuples. In a run mine finds the index that consistency made.

A row is lost where it comes out of a miner no more, short where it has fewer than 5 negatives.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 1000
TOPICS, TOPIC_WORDS = 1000, 60
NEGATIVES, DEPTH, MARGIN = 5, 100, 0.05
TOOLS = ["mine:dense", "peer", "consistency:dense", "mine:bm25", "consistency:bm25"]
Told = dict[str, float]
"""What a tool took and gave."""


def main() -> None:
    """Make documents and rows, let each tool mine, print what it took and what came of the rows."""
    given = _arguments()
    if given.tool:
        _measure(given.tool, given.folder)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        count = write(folder, pairs(given.documents, given.corpus), given.rows)
        write_embedder(folder, given.dims)
        print(f"{count:,} documents, {min(count, given.rows):,} rows, {given.dims} dimensions\n")
        print("| tool | min | min CPU | peak GB | rows out | dropped | lost | short |")
        print("|---|---|---|---|---|---|---|---|")
        quiet = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}  # as `synth run` has it: waiting threads burn no time
        for tool in given.tools:
            command = [sys.executable, __file__, "--tool", tool, "--folder", str(folder)]
            subprocess.run(command, check=True, stdout=sys.stderr, env=quiet)
            print(_line(tool, json.loads((folder / f"{tool}.json").read_text())), flush=True)


def _arguments() -> argparse.Namespace:
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("--documents", type=int, default=100_000)
    reads.add_argument("--rows", type=int, default=100_000)
    reads.add_argument("--dims", type=int, default=256)
    reads.add_argument("--corpus", type=Path, help="a BEIR corpus.jsonl whose texts are taken")
    reads.add_argument("--tools", nargs="*", default=TOOLS, help=" ".join(TOOLS))
    reads.add_argument("--folder", type=Path, help="where to work [default: a temporary folder]")
    reads.add_argument("--tool", help=argparse.SUPPRESS)
    return reads.parse_args()


def _line(tool: str, told: Told) -> str:
    took = f"{told['wall_s'] / 60:.2f} | {told['cpu_s'] / 60:.2f} | {told['peak_gb']:.2f}"
    counts = " | ".join(f"{told[name]:,.0f}" for name in ("rows", "dropped", "lost", "short"))
    return f"| {tool} | {took} | {counts} |"


def pairs(documents: int, corpus: Path | None) -> Iterator[tuple[str, str]]:
    """A document and a query for it, again and again."""
    dice = np.random.default_rng(0)
    if corpus is not None:
        with corpus.open() as lines:
            for line in islice(lines, documents):
                text = json.loads(line)["text"]
                words = text.split() or ["?"]
                start = int(dice.integers(len(words)))
                yield text, " ".join(words[start : start + 8])
        return
    lengths = dice.integers(2, 10, 30_000)
    known = ["".join(map(chr, dice.integers(97, 123, length))) for length in lengths]
    frequency = np.cumsum(1 / np.arange(1, len(known) + 1))
    topics = dice.integers(1000, len(known), (TOPICS, TOPIC_WORDS))
    for start in range(0, documents, BLOCK):
        drawn = np.searchsorted(frequency / frequency[-1], dice.random((BLOCK, 100)))
        topic = topics[dice.integers(TOPICS, size=BLOCK)]
        drawn[:, ::2] = np.take_along_axis(topic, dice.integers(TOPIC_WORDS, size=(BLOCK, 50)), axis=1)
        asked = np.take_along_axis(drawn, dice.integers(100, size=(BLOCK, 8)), axis=1)
        asked[:, :2] = np.take_along_axis(topic, dice.integers(TOPIC_WORDS, size=(BLOCK, 2)), axis=1)
        for text, query in islice(zip(drawn.tolist(), asked.tolist(), strict=True), documents - start):
            yield " ".join(known[place] for place in text), " ".join(known[place] for place in query)


def write(folder: Path, made: Iterable[tuple[str, str]], most_rows: int) -> int:
    """Write documents and rows as a run has them; how many documents there were."""
    import pyarrow.parquet as pq

    from synth.rows import KEPT, to_table
    from synth.types import Document, Example

    count = 0
    with (
        pq.ParquetWriter(folder / "corpus.parquet", KEPT) as corpus,
        pq.ParquetWriter(folder / "rows.parquet", KEPT) as rows,
    ):
        pieces = iter(made)
        while block := list(islice(pieces, BLOCK)):
            several = [
                Example(id=f"{n:09}", query=query, positives=(Document(text, doc_id=f"d{n:09}"),))
                for n, (text, query) in enumerate(block, start=count)
            ]
            corpus.write_table(to_table(several))
            rows.write_table(to_table(several[: max(0, most_rows - count)]))
            count += len(several)
    return count


def write_embedder(folder: Path, dims: int) -> None:
    """Write a static model with a vector at random for each word."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = sorted({word for row in _rows(folder, "corpus") for word in row.positive.text.split()})
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    weights = np.random.default_rng(1).standard_normal((len(words) + 1, dims), dtype=np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
    model.save(str(folder / "embedder"))


def _rows(folder: Path, name: str) -> Any:
    from synth.store import StoredRows

    return StoredRows(folder / f"{name}.parquet")


def _measure(tool: str, folder: Path) -> None:
    """Mine with one tool, in this process, and write down what it took and gave."""
    ready = by_peer(folder) if tool == "peer" else by_synth(folder, *tool.split(":"))
    begun, wall = time.process_time(), time.monotonic()
    given = {"dropped": 0, "lost": 0, "short": 0, **ready()}
    took = {"cpu_s": time.process_time() - begun, "wall_s": time.monotonic() - wall, "peak_gb": _peak_gb()}
    (folder / f"{tool}.json").write_text(json.dumps({**given, **took}))


def _peak_gb() -> float:
    """The most memory this process held. `getrusage` would count what the parent held before it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e9


def by_synth(folder: Path, name: str, retriever: str) -> Callable[[], Told]:
    """One of the two steps, over documents and rows that lie in files."""
    from synth.embedder import load
    from synth.registry import find_stage
    from synth.retrieval import Corpus
    from synth.stage import Context
    from synth.types import Dropped

    options: dict[str, object] = {"retriever": retriever}
    if retriever == "dense":
        options["embedder"] = "static"
    if name == "mine":
        options |= {"negatives": NEGATIVES, "last_rank": DEPTH}
        options |= {"relative_margin": MARGIN} if retriever == "dense" else {}
    step = find_stage(name, Path()).model_validate(options)
    model = load(str(folder / "embedder"))

    def ran() -> Told:
        corpus = Corpus([row.positive for row in _rows(folder, "corpus")])
        context = Context(embedders={"static": model}, corpus_of=lambda: corpus)
        rows = _rows(folder, "rows")
        kept = dropped = short = 0
        for outcome in step.run(rows, context):
            if isinstance(outcome, Dropped):
                dropped += 1
            else:
                kept += 1
                short += name == "mine" and len(outcome.negatives) < NEGATIVES
        return {"rows": kept, "dropped": dropped, "lost": len(rows) - kept - dropped, "short": short}

    return ran


def by_peer(folder: Path) -> Callable[[], Told]:
    """Mine with sentence-transformers, over the same documents, queries and model."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    model = SentenceTransformer(str(folder / "embedder"), device="cpu")

    def ran() -> Told:
        rows = [(row.query, row.positive.text) for row in _rows(folder, "rows")]
        found = mine_hard_negatives(
            Dataset.from_dict({"query": [query for query, _ in rows], "positive": [text for _, text in rows]}),
            model,
            corpus=[row.positive.text for row in _rows(folder, "corpus")],
            range_max=DEPTH,
            relative_margin=MARGIN,
            num_negatives=NEGATIVES,
            output_format="n-tuple",
            batch_size=1024,
            verbose=False,
        )
        return {"rows": len(found), "lost": len(rows) - len(found)}

    return ran


if __name__ == "__main__":
    main()
