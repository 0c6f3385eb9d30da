"""What an evaluation found: scores, differences with their intervals, and how both are told.

    data             model      nDCG@10         95 %  Recall@100  MRR@10  seen
    scifact (300)    trained      0.653  0.608-0.697       0.924   0.621   yes
                     bm25         0.685  0.641-0.729       0.921   0.652   yes

The interval is of the nDCG@10; `seen` says whether the training data was made of the documents that are searched.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

LEAST_QUERIES = 6
"""Fewer pairs can never tell two models apart at 5 %: even if all point one way, a sign test gives 2 / 2**5."""


@dataclass(frozen=True, slots=True)
class Score:
    """One model on one test set: means over its queries; `low` and `high` bound the nDCG@10 at 95 %.

    `corpus_seen` says whether documents of the test were in what the training data was made of; None where that is
    not known.
    """

    data: str
    model: str
    ndcg_10: float
    recall_100: float
    mrr_10: float
    low: float
    high: float
    corpus_seen: bool | None
    queries: int

    def to_json(self) -> dict[str, Any]:
        """The row of `run.json`."""
        return {
            "data": self.data,
            "model": self.model,
            "ndcg@10": self.ndcg_10,
            "recall@100": self.recall_100,
            "mrr@10": self.mrr_10,
            "low": self.low,
            "high": self.high,
            "corpus_seen": self.corpus_seen,
            "queries": self.queries,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Score":
        """The score that a row of `run.json` tells."""
        names = {"ndcg@10": "ndcg_10", "recall@100": "recall_100", "mrr@10": "mrr_10"}
        return cls(**{names.get(key, key): value for key, value in row.items()})


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more nDCG@10 `model` has than `over`, query by query; `low` and `high` bound the mean at 95 %."""

    data: str
    model: str
    over: str
    mean: float
    low: float
    high: float
    queries: int

    def to_json(self) -> dict[str, Any]:
        """The row of `evaluation.json`."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def verdict(self) -> str:
        """One plain clause.

        >>> Difference("scifact", "trained", "bm25", -0.021, -0.05, 0.004, 300).verdict
        'no difference between trained and bm25 can be seen (-0.02, 95 % from -0.05 to +0.00)'
        """
        if self.queries < LEAST_QUERIES:
            return f"{self.queries} queries are too few to tell {self.model} from {self.over}"
        bounds = f"95 % from {self.low:+.2f} to {self.high:+.2f}"
        if self.low > 0:
            return f"{self.model} beats {self.over} by {self.mean:.2f} ({bounds})"
        if self.high < 0:
            return f"{self.model} is worse than {self.over} by {-self.mean:.2f} ({bounds})"
        return f"no difference between {self.model} and {self.over} can be seen ({self.mean:+.2f}, {bounds})"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All scores and differences of one evaluation; `bm25` names the BM25 of each test set."""

    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    bm25: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """What `evaluation.json` holds."""
        return {
            "scores": [score.to_json() for score in self.scores],
            "differences": [difference.to_json() for difference in self.differences],
            "bm25": dict(self.bm25),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Evaluation":
        """The evaluation that `to_json` told."""
        scores = tuple(Score.from_json(row) for row in value["scores"])
        return cls(scores, tuple(Difference(**row) for row in value["differences"]), dict(value["bm25"]))


def table(evaluation: Evaluation) -> "Table":
    """The scores as a rich table that fits 80 columns; the interval is of the nDCG@10."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("data", overflow="fold", max_width=18)
    grid.add_column("model", overflow="fold", max_width=18)
    for name in ("nDCG@10", "95 %", "Recall@100", "MRR@10", "seen"):
        grid.add_column(name, justify="right", no_wrap=True)
    previous = ""
    for score in evaluation.scores:
        data = "" if score.data == previous else f"{score.data} ({score.queries})"
        grid.add_row(Text(data), Text(score.model), *_figures(score))
        previous = score.data
    return grid


def _figures(score: Score) -> Iterator[str]:
    yield f"{score.ndcg_10:.3f}"
    yield f"{score.low:.3f}-{score.high:.3f}" if score.queries >= LEAST_QUERIES else "-"
    yield f"{score.recall_100:.3f}"
    yield f"{score.mrr_10:.3f}"
    yield {True: "yes", False: "no", None: "?"}[score.corpus_seen]


def notes(evaluation: Evaluation) -> list[str]:
    """What stands below the table: the verdicts, which BM25 it was, and what `seen` means."""
    lines = [f"{difference.data}: {difference.verdict}" for difference in evaluation.differences]
    by_name: dict[str, list[str]] = {}
    for data, description in evaluation.bm25.items():
        by_name.setdefault(description, []).append(data)
    lines += [f"bm25{_on(data) if len(by_name) > 1 else ''}: {name}" for name, data in by_name.items()]
    if any(score.model == "start" for score in evaluation.scores):
        lines.append("start: vocabulary and vectors from the corpus alone, before any row; untrained: random vectors")
    if any(score.corpus_seen for score in evaluation.scores):
        lines.append("seen: documents of the test are among those that the training data was made of")
    return lines


def _on(data: list[str]) -> str:
    return f" on {', '.join(data)}"
