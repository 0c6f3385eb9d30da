"""Tricks that tell a positive from its negatives without understanding, measured over a set of rows.

    measure(rows)["longer"]   ->  value 0.93: the longer document is the positive in 93% of pairs
    measure(rows)["source"]   ->  value 0.88: a classifier that never sees the query tells the positive in 88% of pairs
    measure(rows).telling[0]  ->  the word 'notably' stands in 2% of positives and 93% of negatives

A model that is trained on such rows learns the trick. Labels of NLI sets could be told from the hypothesis alone
(Gururangan et al. 2018, arXiv 1803.02324; Poliak et al. 2018, arXiv 1805.01042), hard negatives of image captions from
their style (SugarCrepe, arXiv 2306.14610), and negatives that a model wrote from mined text (CausalNeg, 2606.01304).
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from copy import copy
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import regex
from numpy.typing import NDArray

from synth.bm25 import BM25, words
from synth.ranks import ranked
from synth.retrieval import Corpus
from synth.stage import Context, replayable
from synth.types import Document, Example

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # scipy has no types

LEAST_ROWS, MOST_ROWS = 30, 5_000
BLIND = ("source", "written", "blind")
MEASURES = ("longer", "shorter", "overlap", "copied", "bm25_first", "bm25_easy", "off_topic", *BLIND)
LEAST_WORDS = 6
"""Queries of fewer words name what they are about, and that stands in the positive."""
FOLDS, LEAST_GROUPS = 5, 10
OTHERS = 3
"""Documents of other rows that a negative is compared with; drawn, as many stand in for negatives."""
LEAST_SHARE = 0.01
"""Words in fewer texts are left out, and rare ones weigh no more: a word of one topic is no trick. With tf-idf a word
planted in every negative had an AUC of 0.22, since most paragraphs were positive here and negative there."""
_MARK = regex.compile(r"[^\p{L}\p{M}\p{N} ]")


class Reading(NamedTuple):
    """How far a trick solves one row: 1 is wholly, what guessing gives is 0.5, or 0 for the shares and for `blind`.

    `gap` says by how much, to order rows that are solved alike; `chance` is the nDCG@10 of guessing, for `blind`.
    """

    wins: float
    gap: float = 0.0
    chance: float = 0.0


@dataclass(frozen=True, slots=True)
class Measure:
    """One trick over all rows: the mean of the rows, and between which bounds it lies at 95 %.

    The bounds are Wilson's (1927) with the number of independent groups of positives as n: rows of one document count
    as one draw. That is wider than DeLong's or Hanley and McNeil's would be, and right for two rows and a value of 1.
    """

    name: str
    value: float
    low: float
    high: float
    rows: int
    groups: int
    said: str

    def exceeds(self, bound: float) -> bool:
        """True where the value is above a bound beyond doubt."""
        return self.low > bound


@dataclass(frozen=True, slots=True)
class Telling:
    """A word or mark by which texts are told, and the share of the positives and of the negatives that carry it."""

    word: str
    positives: float
    negatives: float

    @property
    def said(self) -> str:
        """One plain clause.

        >>> Telling("notably", 0.02, 0.93).said
        "the word 'notably' stands in 2% of positives and 93% of negatives"
        """
        kind = "mark" if _MARK.fullmatch(self.word) else "word"
        shares = f"{self.positives:.0%} of positives and {self.negatives:.0%} of negatives"
        return f"the {kind} {self.word!r} stands in {shares}"


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """What was found: a measure for each trick that could be tried, and the words that tell most.

    `rows` were measured. `drawn` is true where rows had no negatives and positives of other rows stood in for them.
    """

    rows: int
    drawn: bool = False
    measures: tuple[Measure, ...] = ()
    telling: tuple[Telling, ...] = ()

    def __getitem__(self, name: str) -> Measure:
        """The measure of a trick; a KeyError where it was not measured."""
        return {each.name: each for each in self.measures}[name]

    def to_json(self) -> dict[str, Any]:
        """As plain data, for `run.json`."""
        return {
            "rows": self.rows,
            "drawn": self.drawn,
            "measures": {each.name: {k: v for k, v in asdict(each).items() if k != "name"} for each in self.measures},
            "telling": [asdict(each) for each in self.telling],
        }


def measure(
    rows: Iterable[Example], corpus: Corpus | None = None, seed: int = 0, most_rows: int = MOST_ROWS
) -> Shortcuts:
    """Try every trick on at most `most_rows` rows, drawn by their ids; on fewer than LEAST_ROWS none.

    Rows count that have a query, a positive and negatives. Where too few have negatives, positives of other rows stand
    in for them, and `off_topic`, which would compare like with like, is left out. `bm25_easy` needs a corpus, the
    classifier scikit-learn (extra `train`). The order of rows changes nothing.
    """
    return Gauge(rows, corpus, seed, most_rows).found


class Gauge:
    """All tricks, made ready on a sample of rows, no more of which are held; `read` tries them on any row."""

    def __init__(self, rows: Iterable[Example], corpus: Corpus | None, seed: int, most_rows: int) -> None:
        rows, self._draws = replayable(rows), Context(step="shortcut", seed=seed)
        self.drawn = sum(bool(row.negatives) for row in rows if row.query and row.positives) < LEAST_ROWS
        usable = (row for row in rows if row.query and row.positives and (self.drawn or row.negatives))
        chosen = heapq.nsmallest(most_rows, usable, key=lambda row: (self._draws.share(row.id, "sample"), row.id))
        chosen.sort(key=lambda row: row.id)
        self._pool = [row.positives[0] for row in chosen]
        self.rows = [row for row in map(self._posed, chosen) if row.negatives]
        self.readings: dict[str, dict[str, Reading]] = {}
        if len(self.rows) >= LEAST_ROWS:
            self._words = _Words(self.rows, corpus)
            self._tried = {row.id: self._words.read(row, self._others(row)) for row in self.rows}
            self._learn()

    def _learn(self) -> None:
        self._blind = _Blind(self.rows)
        self.readings = {row.id: {**self._tried[row.id], **self._blind.read(row)} for row in self.rows}

    def without(self, gone: Set[str]) -> "Gauge":
        """The same for the rows that are left when those of these ids go: what is learned is learned anew."""
        left = copy(self)
        left.rows = [row for row in self.rows if row.id not in gone]
        left._learn()
        return left

    def read(self, row: Example, name: str) -> Reading | None:
        """One trick tried on one row; None where it cannot be."""
        if row.id in self.readings:
            return self.readings[row.id].get(name)
        row = self._posed(row)
        if not (row.query and row.positives and row.negatives):
            return None
        return (self._blind.read(row) if name in BLIND else self._words.read(row, self._others(row))).get(name)

    def _posed(self, row: Example) -> Example:
        """The row with what counts as its negatives."""
        return replace(row, negatives=tuple(self._others(row))) if self.drawn and row.positives else row

    def _others(self, row: Example) -> list[Document]:
        """Some positives of other rows, drawn by its id, none of the families or with the text of the row's own."""
        families = {each.family for each in row.positives} - {""}
        texts = {each.full_text for each in (*row.positives, *(() if self.drawn else row.negatives))}
        found: list[Document] = []
        for n in range(20):
            other = self._pool[int(self._draws.share(row.id, f"other {n}") * len(self._pool))]
            if other.family not in families and other.full_text not in texts and len(found) < OTHERS:
                found.append(other)
                texts.add(other.full_text)
        return found

    @property
    def found(self) -> Shortcuts:
        """The measures over the sample; none where the rows are too few."""
        if not self.readings:
            return Shortcuts(len(self.rows), self.drawn)
        told: dict[str, list[tuple[Reading, str]]] = {name: [] for name in MEASURES}
        for row in self.rows:
            for name, reading in self.readings[row.id].items():
                told[name].append((reading, self._blind.texts.group[row.positives[0].full_text]))
        measures = [_mean(name, each) for name, each in told.items() if len(each) >= LEAST_ROWS]
        return Shortcuts(len(self.rows), self.drawn, tuple(measures), self._blind.telling())


def _mean(name: str, told: Sequence[tuple[Reading, str]]) -> Measure:
    """The mean of rows of which each comes with its group."""
    wins, _, chances = np.array([reading for reading, _ in told]).T
    groups = len({group for _, group in told})
    chance = float(chances.mean())
    ndcg = float((chances + (1 - chances) * wins).mean())  # where chance is 0, the mean itself
    value = (ndcg - chance) / (1 - chance)
    low, high = ((bound - chance) / (1 - chance) for bound in wilson(ndcg, groups))
    said = _SAID[name].format(v=value, ndcg=ndcg, chance=chance) + f" (from {low:.0%} to {high:.0%} at 95 %)"
    return Measure(name, round(value, 4), round(low, 4), round(high, 4), len(told), groups, said)


_SAID = {
    "longer": "the longer document is the positive in {v:.0%} of pairs",
    "shorter": "the shorter document is the positive in {v:.0%} of pairs",
    "overlap": "the document with more of the query's words is the positive in {v:.0%} of pairs",
    "copied": "the positive has all words of the query in {v:.0%} of rows with a query of six words or more",
    "bm25_first": "BM25 puts the positive before all its negatives in {v:.0%} of rows",
    "bm25_easy": "BM25 finds the positive first in the corpus for {v:.0%} of rows",
    "off_topic": "another row's document is nearer to the query than the negative in {v:.0%} of pairs",
    "source": "a classifier that never sees the query tells the positive in {v:.0%} of pairs",
    "written": "a classifier that never sees the query tells the positive from a written negative in {v:.0%} of pairs",
    "blind": "ranked without the query, positives have an nDCG@10 of {ndcg:.2f} where chance gives {chance:.2f}: "
    "{v:.0%} of the way to 1",
}


def wilson(share: float, n: int) -> tuple[float, float]:
    """The bounds of a share at 95 %, seen in n independent draws (Wilson 1927).

    >>> [round(bound, 3) for bound in wilson(1.0, 30)]
    [0.886, 1.0]
    """
    square = 1.96**2 / n
    centre, spread = share + square / 2, math.sqrt(max(0.0, square * share * (1 - share)) + square**2 / 4)
    return max(0.0, (centre - spread) / (1 + square)), min(1.0, (centre + spread) / (1 + square))


def won(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The share of pairs of which ours is the higher, ties half: the AUC within one row.

    >>> won([3], [1, 2, 3, 4])
    0.625
    """
    pairs = [(a > b) + (a == b) / 2 for a in ours for b in theirs]
    return sum(pairs) / len(pairs)


def ranks(own: float, theirs: Sequence[float]) -> range:
    """The ranks that something with this score may have among others: as many as there are ties, and one.

    >>> ranks(2, [3, 2, 1])
    range(2, 4)
    """
    above = sum(each > own for each in theirs)
    return range(above + 1, above + 2 + sum(each == own for each in theirs))


class _Words:
    """The tricks that need nothing learned: length, and words of the query."""

    def __init__(self, rows: Sequence[Example], corpus: Corpus | None) -> None:
        documents = {each.full_text: each for row in rows for each in (*row.positives, *row.negatives)}
        self._bm25 = BM25([documents[text] for text in sorted(documents)])
        self._corpus = corpus

    def read(self, row: Example, others: Sequence[Document]) -> dict[str, Reading]:
        """What can be measured of one row."""
        query, cut = words(row.query), len(row.positives)
        documents = (*row.positives, *row.negatives)
        sizes = [len(each.full_text) for each in documents]
        shares = [len({*query} & {*words(each.full_text)}) / max(1, len({*query})) for each in documents]
        found = {
            "longer": Reading(won(sizes[:cut], sizes[cut:]), math.log((1 + sizes[0]) / (1 + max(sizes[cut:])))),
            "shorter": Reading(won(sizes[cut:], sizes[:cut]), math.log((1 + min(sizes[cut:])) / (1 + sizes[0]))),
            "overlap": Reading(won(shares[:cut], shares[cut:]), shares[0] - max(shares[cut:])),
        }
        if len(query) >= LEAST_WORDS:
            found["copied"] = Reading(float(max(shares[:cut]) == 1))
        if self._corpus is not None and len(self._corpus):
            for _, rank in ranked([row], self._corpus, self._corpus.searches("bm25"), 1):
                found["bm25_easy"] = Reading(float(rank is not None and rank.rank == 1))
        others = [each for each in others if each not in row.negatives]
        scores = self._bm25.score([row.query] * len((*documents, *others)), (*documents, *others)).tolist()
        theirs, strange = scores[cut : len(documents)], scores[len(documents) :]
        first = [(1 in places) / len(places) for places in (ranks(own, theirs) for own in scores[:cut])]
        found["bm25_first"] = Reading(float(np.mean(first)))
        if strange and max(scores[:cut]) > 0:  # else, as where languages differ, words do not tell what is off topic
            found["off_topic"] = Reading(won(strange, theirs))
        return found


class _Texts:
    """The distinct texts of rows: how often each is a positive and a negative, and the group it belongs to."""

    def __init__(self, rows: Sequence[Example]) -> None:
        positive = Counter(each.full_text for row in rows for each in row.positives)
        self.times = positive, Counter(each.full_text for row in rows for each in row.negatives)
        families = {each.family for row in rows for each in row.positives} - {""}
        self._by_family = len(families) >= LEAST_GROUPS
        self.group: dict[str, str] = {}
        for row in rows:
            for each in (*row.positives, *row.negatives):
                name = self.named(each, row)
                self.group[each.full_text] = min(name, self.group.get(each.full_text, name))

    def named(self, document: Document, row: Example) -> str:
        """Its family, or its text where families are few; a negative written for one row goes with the positive."""
        positive, negative = (times[document.full_text] for times in self.times)
        if document.origin == "written" and not positive and negative <= 1:
            document = row.positives[0]
        return (self._by_family and document.family) or document.full_text


class _Blind:
    """A classifier of texts without their queries: logistic regression on which words and marks a text has.

    Presence, at unit length, of the words of `bm25.words` (pairs of characters in scripts without spaces), and of marks
    and line breaks. A text is scored by the model of its fold, which has seen no text of its group.
    """

    def __init__(self, rows: Sequence[Example]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer  # type: ignore[import-untyped]  # no types
        from sklearn.preprocessing import normalize  # type: ignore[import-untyped]  # sklearn has no types

        self.texts = _Texts(rows)
        texts = sorted(self.texts.group)
        self._times = np.array([[each[text] for text in texts] for each in self.texts.times])
        least = max(min(3, len(texts)), math.ceil(LEAST_SHARE * len(texts)))
        self._counter = CountVectorizer(analyzer=_tokens, binary=True, min_df=least, dtype=np.float64)
        self._matrix = normalize(self._counter.fit_transform(texts))
        order = {name: sha256(name.encode("utf-8", "surrogatepass")).digest() for name in self.texts.group.values()}
        self._folds = {name: n % FOLDS for n, name in enumerate(sorted(order, key=order.__getitem__))}
        folds = np.array([self._folds[self.texts.group[text]] for text in texts])
        parts = [np.flatnonzero(folds != fold) for fold in range(FOLDS)]
        self._weights = np.array([_fitted(self._matrix[part], self._times[:, part]) for part in parts])
        scores = (self._matrix @ self._weights.T)[np.arange(len(texts)), folds]
        self._scores: dict[str, float] = dict(zip(texts, np.round(scores, 6).tolist(), strict=True))
        self._is_mixed = len({each.origin == "written" for row in rows for each in row.negatives}) == 2

    def _score(self, document: Document, row: Example) -> float:
        """How much it looks like a positive to a model that has not seen it or its kin."""
        if document.full_text in self._scores:
            return self._scores[document.full_text]
        weights, known = self._weights[self._folds.get(self.texts.named(document, row), 0)], self._counter.vocabulary_
        has = sorted({known[token] for token in _tokens(document.full_text) if token in known})
        return round(float(weights[has].sum()) / math.sqrt(len(has)), 6)

    def read(self, row: Example) -> dict[str, Reading]:
        """How far the positives of one row are told from its negatives."""
        ours, theirs = ([self._score(each, row) for each in group] for group in (row.positives, row.negatives))
        written = [score for each, score in zip(row.negatives, theirs, strict=True) if each.origin == "written"]
        gap = float(np.mean(ours) - np.mean(theirs))
        chance = float(np.mean([gain(rank) for rank in range(1, len(theirs) + 2)]))
        ndcg = float(np.mean([np.mean([*map(gain, ranks(own, theirs))]) for own in ours]))
        found = {"source": Reading(won(ours, theirs), gap)}
        found["blind"] = Reading((ndcg - chance) / (1 - chance), gap, chance)
        if written and self._is_mixed:
            found["written"] = Reading(won(ours, written), float(np.mean(ours) - np.mean(written)))
        return found

    def telling(self, most: int = 5) -> tuple[Telling, ...]:
        """Of the words that weigh most those whose shares differ most."""
        weights = np.abs(self._weights.mean(axis=0)).round(6)
        heaviest = 1 + np.argsort(-weights[1:], kind="stable")[:20]
        shares = (self._times @ (self._matrix[:, heaviest].toarray() > 0)) / self._times.sum(axis=1, keepdims=True)
        order = np.argsort(-np.abs(shares[0] - shares[1]), kind="stable")[:most]
        names = self._counter.get_feature_names_out()[heaviest]
        return tuple(Telling(str(names[n]), *(round(share, 4) for share in shares[:, n].tolist())) for n in order)


def _fitted(matrix: "csr_matrix", times: NDArray[np.int64]) -> NDArray[np.float64]:
    """The weights of the words, float64 (words,), learned from texts that are so often positives and negatives."""
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # sklearn has no types

    sides = [np.flatnonzero(each) for each in times]
    if not len(sides[0]) or not len(sides[1]):
        return np.zeros(matrix.shape[1])
    weights = [each[side] / each.sum() * len(times[0]) / 2 for each, side in zip(times, sides, strict=True)]
    model = LogisticRegression(C=1.0, max_iter=1000, fit_intercept=False)
    model.fit(matrix[np.concatenate(sides)], np.repeat([1, 0], [*map(len, sides)]), np.concatenate(weights))
    return np.asarray(model.coef_[0])


def gain(rank: int) -> float:
    """What the one right document adds to nDCG@10 at a rank.

    >>> gain(1), gain(3), gain(11)
    (1.0, 0.5, 0.0)
    """
    return 1 / math.log2(1 + rank) if rank <= 10 else 0.0


def _tokens(text: str) -> list[str]:
    """The words and marks of a text, and "", which every text has: a constant, and never an empty vocabulary."""
    return ["", *words(text), *_MARK.findall(text)]
