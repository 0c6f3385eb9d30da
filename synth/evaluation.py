"""How an embedder does on real queries, beside BM25 and the model it was trained from.

    evaluate([read("scifact")], {"trained": trained, "untrained": base}, corpus).differences[0]
    ->  Difference("scifact", "trained", "untrained", mean=0.428, low=0.38, high=0.47, queries=300)

nDCG@10 as trec_eval's ndcg_cut has it (the gain is the grade itself; Järvelin & Kekäläinen, TOIS 2002), Recall@100
and MRR@10. Intervals are bootstraps over queries (percentiles; Sakai, SIGIR 2006), the same draws for every model.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synth.beir import TestSet
from synth.errors import CorpusError
from synth.retrieval import Corpus, Dense, Hits, Retriever, fuse
from synth.scores import LEAST_QUERIES, Difference, Evaluation, Score
from synth.types import Document

if TYPE_CHECKING:
    from synth.embedder import Embedder

CUT, DEPTH, FUSED_DEPTH = 10, 100, 1000
RESAMPLES = 10_000
CELLS = 4_000_000
"""Random numbers drawn at once in the bootstrap: bounds its memory."""
NOT_LETTERS = re.compile(r"[\W_]+")
ORDER = ("trained", "start", "untrained")
TOLD = ("start", "untrained", "bm25")
"""What `trained` is compared with; `fused` is compared with bm25."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Each query's own figures, float64 of shape (queries,), in the order of the test set's queries."""

    ndcg_10: NDArray[np.float64]
    recall_100: NDArray[np.float64]
    mrr_10: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean of something over queries and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


def evaluate(
    tests: Sequence[TestSet], models: Mapping[str, "Embedder"], corpus: Sequence[Document], seed: int = 0
) -> Evaluation:
    """The models `trained` and what it was before (`start`, `untrained`), `bm25` and `fused` (BM25 with trained).

    `corpus` is what the training data was made of: it is searched where a test set brings no documents, and decides
    `corpus_seen`. Raises CorpusError where qrels name documents that are not there.
    """
    searched: dict[str, Embedder | None] = {name: models[name] for name in ORDER if name in models} | {"bm25": None}
    pairs = [("trained", name) for name in TOLD if name in searched] + [("fused", "bm25")]
    run = Corpus(corpus)
    parts = [_one(test, searched, pairs, run, seed) for test in tests]
    return _joined(parts)


def compare(
    tests: Sequence[TestSet], models: Mapping[str, "Embedder | None"], corpus: Sequence[Document] = (), seed: int = 0
) -> Evaluation:
    """Any models on each test set, the first of them against each other one; None stands for BM25.

    `corpus_seen` stays unknown (None) without a `corpus`. Raises CorpusError as `evaluate` does.
    """
    first, *others = models
    pairs = [(first, other) for other in others]
    run = Corpus(corpus)
    return _joined([_one(test, models, pairs, run, seed) for test in tests])


def measures(test: TestSet, corpus: Corpus, hits: Hits) -> Measures:
    """Each query's figures from the documents found for it; `hits` is in the order of `test.queries`.

    Where the qrels name a parent, its best piece stands for it. A document with the query's own id is passed over
    unless it is judged relevant: some sets (ArguAna, Quora) hold their queries in the corpus; BEIR passes over them so.
    """
    names = np.array([*_names(test, corpus), ""], dtype=object)
    found = [_grades(test, query, names[row].tolist()) for query, row in zip(test.queries, hits.indices, strict=True)]
    judged = [sorted(test.qrels[query].values(), reverse=True) for query in test.queries]
    grades = np.array([_padded(row) for row in found], dtype=np.float64)
    ideal = np.array([_padded(row) for row in judged], dtype=np.float64)
    relevant = np.array([sum(grade > 0 for grade in row) for row in judged])
    return Measures(_dcg(grades) / _dcg(ideal), (grades > 0).sum(axis=1) / relevant, _reciprocal_rank(grades))


def bootstrap(values: NDArray[np.float64], seed: int) -> list[Interval]:
    """A 95 % interval of each column's mean; `values` is (queries, columns), resampled by row, so columns stay paired.

    With fewer than 6 queries the bounds say that nothing is known: -1 and 1.
    """
    means = values.mean(axis=0)
    if len(values) < LEAST_QUERIES:
        return [Interval(_told(mean), -1.0, 1.0) for mean in means]
    low, high = np.percentile(_resampled_means(values, seed), [2.5, 97.5], axis=0)
    return [Interval(_told(m), _told(a), _told(b)) for m, a, b in zip(means, low, high, strict=True)]


def _resampled_means(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of rows drawn with replacement, float64 of shape (RESAMPLES, columns)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    queries = len(values)
    at_once = max(1, CELLS // queries)
    draws = np.empty((RESAMPLES, values.shape[1]))
    for start in range(0, RESAMPLES, at_once):
        chosen = rng.integers(0, queries, (min(at_once, RESAMPLES - start), queries))
        for column in range(values.shape[1]):
            draws[start : start + len(chosen), column] = values[:, column][chosen].mean(axis=1)
    return draws


def _told(number: float) -> float:
    """A figure as it is reported: to 1e-5, since the last bits differ between machines."""
    return round(float(number), 5)


def _names(test: TestSet, corpus: Corpus) -> list[str]:
    """What the qrels call each document of the corpus: its own id, or its parent's where only that is judged."""
    judged = {doc_id for grades in test.qrels.values() for doc_id in grades}
    return [document.doc_id if document.doc_id in judged else document.family for document in corpus.documents]


def _grades(test: TestSet, query_id: str, names: Sequence[str]) -> list[int]:
    """The grade at each rank, each name once; places that are empty or not judged are 0."""
    judged = test.qrels[query_id]
    once = dict.fromkeys(names)
    return [judged.get(name, 0) for name in once if name != query_id or judged.get(name, 0) > 0]


def _padded(grades: Sequence[int]) -> list[int]:
    """The first DEPTH grades, negative ones as 0."""
    row = [max(grade, 0) for grade in grades[:DEPTH]]
    return row + [0] * (DEPTH - len(row))


def _dcg(grades: NDArray[np.float64]) -> NDArray[np.float64]:
    """Discounted gain of the first 10 ranks of each row: sum of grade / log2(rank + 1)."""
    discounts = 1.0 / np.log2(np.arange(2, CUT + 2))
    return np.asarray((grades[:, :CUT] * discounts).sum(axis=1))


def _reciprocal_rank(grades: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / rank of the first relevant document among the first 10, else 0."""
    right = grades[:, :CUT] > 0
    return np.where(right.any(axis=1), 1.0 / (right.argmax(axis=1) + 1), 0.0)


def _one(
    test: TestSet,
    models: Mapping[str, "Embedder | None"],
    pairs: Sequence[tuple[str, str]],
    run: Corpus,
    seed: int,
) -> Evaluation:
    """One test set: search with each model, measure, compare."""
    corpus = run if test.documents is None else Corpus(test.documents)
    _check_known(test, corpus)
    queries = list(test.queries.values())
    found = {name: _search(corpus, model, queries) for name, model in models.items()}
    if any("fused" in pair for pair in pairs) and "fused" not in found:
        found["fused"] = fuse([found["bm25"], found["trained"]], FUSED_DEPTH)
    figures = {name: measures(test, corpus, hits) for name, hits in found.items()}
    named = {test.label: corpus.bm25().description} if "bm25" in found else {}
    seen = _seen(test, run)
    scores = tuple(_score(test, name, figures[name], seen, seed) for name in figures)
    differences = tuple(_difference(test, pair, figures, seed) for pair in pairs)
    return Evaluation(scores, differences, named)


def _search(corpus: Corpus, model: "Embedder | None", queries: Sequence[str]) -> Hits:
    """The hits of one model. Vectors are made afresh: a model trained again into the same folder has the same name."""
    retriever: Retriever = corpus.bm25() if model is None else Dense(corpus.documents, model)
    return retriever.search(queries, min(FUSED_DEPTH, len(corpus)))


def _check_known(test: TestSet, corpus: Corpus) -> None:
    """Raise CorpusError where the qrels name a document that is not searched."""
    known = set(_names(test, corpus))
    for query_id, grades in test.qrels.items():
        unknown = next((doc_id for doc_id in grades if doc_id not in known), None)
        if unknown is not None:
            raise CorpusError(
                f"{test.name}/qrels/{test.split}.tsv: query {query_id!r} names document {unknown!r}, which is not "
                f"among the {len(corpus)} documents searched; add a corpus.jsonl, or correct the qrels"
            )


def _score(test: TestSet, model: str, figures: Measures, seen: bool | None, seed: int) -> Score:
    interval = bootstrap(figures.ndcg_10[:, None], seed)[0]
    return Score(
        data=test.label,
        model=model,
        ndcg_10=interval.mean,
        recall_100=_told(figures.recall_100.mean()),
        mrr_10=_told(figures.mrr_10.mean()),
        low=max(interval.low, 0.0),
        high=interval.high,
        corpus_seen=seen,
        queries=len(test.queries),
    )


def _difference(test: TestSet, pair: tuple[str, str], figures: Mapping[str, Measures], seed: int) -> Difference:
    model, over = pair
    delta = figures[model].ndcg_10 - figures[over].ndcg_10
    interval = bootstrap(delta[:, None], seed)[0]
    return Difference(test.label, model, over, interval.mean, interval.low, interval.high, len(test.queries))


def _joined(parts: Sequence[Evaluation]) -> Evaluation:
    scores = tuple(score for part in parts for score in part.scores)
    differences = tuple(difference for part in parts for difference in part.differences)
    return Evaluation(scores, differences, {data: name for part in parts for data, name in part.bm25.items()})


def _seen(test: TestSet, run: Corpus) -> bool | None:
    """Whether a document of the test is in the corpus of the run, whole or as a piece; None where there is no run."""
    if test.documents is None:
        return True
    if not len(run):
        return None
    pieces: dict[str, list[str]] = {}
    for document in run.documents:
        pieces.setdefault(document.family, []).append(_letters(document.text))
    texts = {text for texts in pieces.values() for text in texts if text}
    return any(_found(document, texts, pieces) for document in test.documents)


def _found(document: Document, texts: set[str], pieces: Mapping[str, Sequence[str]]) -> bool:
    """Whether the text is one of `texts`, or a piece of the document of this name is a part of it."""
    text = _letters(document.text)
    return text in texts or any(piece and piece in text for piece in pieces.get(document.doc_id, ()))


def _letters(text: str) -> str:
    """Only what is letter or number, in lower case: equal for texts that differ in spaces, marks and width.

    >>> _letters("The Nile, 6,650 km")
    'thenile6650km'
    """
    return NOT_LETTERS.sub("", unicodedata.normalize("NFKC", text).casefold())
