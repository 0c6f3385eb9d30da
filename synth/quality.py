"""What a person needs to know of the rows that a run made: `run.json` has it under "quality", the terminal a table.

    found = quality(rows, RunFacts(seed=7, steps=fates, usage=usage))
    found.to_json()["diversity"]["all"]["vendi"]   ->  {"n": 1000, "value": 412.3}
    found.print(console)

Each figure says of how many rows it is, and is None where it cannot be measured. Queries are drawn by the hash of
their row's id and the seed; what is read whole are the READ rows of the smallest ids, which are hashes too. So the
order of the rows changes nothing, and more rows cost little more.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from synth.axis_check import Checks
from synth.card import Fate
from synth.compliance import Asked, Axes, Languages, languages, questions
from synth.diversity import SAMPLE, Diversity, Figure, diversity, effective_number
from synth.quality_table import NOTE, table
from synth.ranks import ranked
from synth.retrieval import Corpus
from synth.row_figures import (
    DEPTH,
    Fifths,
    Histogram,
    Lengths,
    Negatives,
    Ranks,
    RowTally,
    evidence_place,
    fifths,
    piece_place,
    pieces_of,
    ranks_of,
    share,
)
from synth.stage import Rows
from synth.types import Document, Dropped, Example

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from synth.embedder import Embedder

READ = 20_000
"""Rows that are read whole; of all others only the query, the language, the task and the instruction."""
IDENTIFIED = 5_000
"""Queries whose language is identified."""
RANKED, POOL = 1_000, 10_000
"""Rows whose positive is ranked here where no step did, and documents of the corpus that they are ranked among."""
GROUP, GROUP_PAIRS, MOST_GROUPS = 1_000, 200, 12
"""Queries of a language or task whose diversity is measured by itself, of them compared, and how many such groups."""


def _no_corpus() -> Corpus | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a run knows beside its rows.

    `usage` are the totals of `usage.total`, `priced` whether what models cost is known. `corpus` gives what the sources
    kept, or None where that is not to be read. The `embedder`, where there is one, is asked for the vectors of up to
    1,000 queries. `dropped` are rows that judges or searches let go: with them it can be told what all candidates were
    like. `checks` say what a machine can see of the axes of the prompts.
    """

    seed: int = 0
    steps: Sequence[Fate] = ()
    usage: Mapping[str, float] = field(default_factory=dict)
    priced: bool = False
    corpus: Callable[[], Corpus | None] = _no_corpus
    embedder: "Embedder | None" = None
    dropped: Iterable[Dropped] = ()
    checks: Checks = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Varied:
    """How varied something is that n rows have: how many different ones, and how many equally frequent ones that is."""

    n: int
    different: int
    effective: float | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What 1,000 of n kept rows took: requests, tokens, dollars; None where nothing was asked or no price is known."""

    n: int
    requests: float | None
    from_store: float | None
    prompt_tokens: float | None
    completion_tokens: float | None
    usd: float | None


@dataclass(frozen=True, slots=True)
class Yield:
    """What a step made of the n rows that came in: `share` is kept / n, above 1 where it makes several of one."""

    step: str
    n: int
    kept: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Quality:
    """The figures of one run's rows. `candidates` are those of kept and dropped rows together, empty if none is known.

    In `diversity` "all" stands beside "language de", "task sts" where there are several.
    """

    rows: int
    diversity: Mapping[str, Diversity]
    instructions: Varied
    documents: Varied
    queries: Lengths
    positives: Lengths
    questions: Figure
    languages: Languages
    axes: tuple[Asked, ...]
    grades: Mapping[str, Histogram]
    ranks: Mapping[str, Ranks]
    candidate_grades: Mapping[str, Histogram]
    candidate_ranks: Mapping[str, Ranks]
    evidence_in_document: Fifths
    piece_in_parent: Fifths
    negatives: Negatives
    cost: Cost
    yields: tuple[Yield, ...]

    def to_json(self) -> dict[str, Any]:
        """What `run.json` holds under "quality": all of it as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "Quality":
        """The figures that `to_json` told. Raises pydantic's ValidationError for anything else."""
        return TypeAdapter(cls).validate_python(told)

    def table(self) -> "Table":
        """What could be measured as a rich table, within 80 columns."""
        return table(self)

    def print(self, console: "Console") -> None:
        """Print the table, and how to read it."""
        console.print(self.table())
        if self.diversity["all"].distinct_1.n:
            console.print(NOTE)


def quality(rows: Rows, facts: RunFacts | None = None) -> Quality:
    """The figures of rows, the same in whatever order they come."""
    facts = facts or RunFacts()
    asked = _Columns.of(rows, facts.seed)
    corpus = facts.corpus()
    read = _read(rows, asked, facts, corpus)
    candidates = _candidates(read.tally, facts.dropped, read.last)
    instructions = Counter(filter(None, rows.column("instruction")))
    return Quality(
        rows=len(asked.ids),
        diversity=_diversities(asked, facts.embedder),
        instructions=Varied(instructions.total(), len(instructions), effective_number(instructions.values())),
        documents=Varied(read.documents.total(), len(read.documents), effective_number(read.documents.values())),
        queries=read.tally.queries(),
        positives=read.tally.positives(),
        questions=Figure(*questions(asked.first(SAMPLE)[0])),
        languages=languages(*asked.first(IDENTIFIED)),
        axes=read.axes.found(),
        grades=read.tally.grades(),
        ranks=read.tally.ranks() | _measured(read, corpus, facts.seed),
        candidate_grades=candidates.grades() if candidates else {},
        candidate_ranks=candidates.ranks() if candidates else {},
        evidence_in_document=fifths(read.evidence),
        piece_in_parent=fifths(read.pieces),
        negatives=read.tally.negative_figures(),
        cost=_cost(facts, len(asked.ids)),
        yields=tuple(_yields(facts.steps)),
    )


def drawn(name: str, seed: int) -> int:
    """The number by which a row or document is drawn into a sample: the smallest come first."""
    raw = f"{seed}\0{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class _Columns:
    """Of each row its id, query, language and task; `order` is the fair one in which samples are taken."""

    ids: list[str]
    queries: list[str]
    languages: list[str]
    tasks: list[str]
    order: list[int]

    @classmethod
    def of(cls, rows: Rows, seed: int) -> "_Columns":
        ids = rows.column("id")
        draws = np.fromiter((drawn(each, seed) for each in ids), np.uint64, len(ids))
        order = np.argsort(draws, kind="stable").tolist()
        return cls(ids, rows.column("query"), rows.column("language"), rows.column("task"), order)

    def first(self, most: int) -> tuple[list[str], list[str]]:
        """The first queries of a fair sample that say anything, and the language of each."""
        there = list(islice((place for place in self.order if self.queries[place].strip()), most))
        return [self.queries[place] for place in there], [self.languages[place] for place in there]


def _diversities(asked: _Columns, embedder: "Embedder | None") -> dict[str, Diversity]:
    """The diversity of all queries, and of each language's and task's where there are several."""
    found = {"all": diversity([asked.queries[place] for place in asked.order], embedder)}
    for name, column in (("language", asked.languages), ("task", asked.tasks)):
        counts = Counter(column)
        largest = sorted(counts, key=lambda each: (-counts[each], each))[:MOST_GROUPS]
        for each in largest if len(counts) > 1 else ():
            group = [asked.queries[place] for place in asked.order if column[place] == each]
            found[f"{name} {each or 'unknown'}"] = diversity(group, None, GROUP, GROUP_PAIRS)
    return found


@dataclass(slots=True)
class _Read:
    """What came of the rows that were read whole; `last` is the largest of their ids, "" where all were."""

    axes: Axes
    last: str = ""
    tally: RowTally = field(default_factory=RowTally)
    documents: Counter[str] = field(default_factory=Counter)
    evidence: list[float | None] = field(default_factory=list)
    pieces: list[float | None] = field(default_factory=list)
    to_rank: list[Example] = field(default_factory=list)


def _read(rows: Rows, asked: _Columns, facts: RunFacts, corpus: Corpus | None) -> _Read:
    smallest = sorted(asked.ids)[:READ]
    read = _Read(Axes(facts.checks), last=smallest[-1] if len(asked.ids) > READ else "")
    pieces = pieces_of(corpus.documents) if corpus is not None else {}
    to_rank = _few(smallest, facts.seed)
    for row in islice(rows, READ) if asked.ids[:READ] == smallest else rows:  # a file is sorted by id
        if read.last and row.id > read.last:
            continue
        read.tally.add(row)
        read.axes.add(row)
        if row.positives:
            read.documents[row.positive.doc_id or row.positive.text] += 1
            read.pieces.append(piece_place(row.positive, pieces))
            read.evidence.append(evidence_place(row, _whole(row, corpus)))
        if row.id in to_rank and row.query and row.positives:
            read.to_rank.append(replace(row, negatives=()))
    return read


def _few(ids: Sequence[str], seed: int) -> frozenset[str]:
    """A fair sample of ids, RANKED at most."""
    return frozenset(sorted(ids, key=lambda each: (drawn(each, seed), each))[:RANKED])


def _whole(row: Example, corpus: Corpus | None) -> str:
    """The text that a row's positive was cut from, as it stands in the corpus; the positive's own where it does not."""
    place = corpus.position.get(row.positive.doc_id) if corpus is not None else None
    return row.positive.text if corpus is None or place is None else corpus.documents[place].text


def _candidates(kept: RowTally, dropped: Iterable[Dropped], last: str) -> RowTally | None:
    """Grades and ranks of kept and dropped rows together: of as large a share of the dropped as of the kept."""
    both: RowTally | None = None
    for each in dropped:
        if last and each.example.id > last:
            continue
        if both is None:
            both = RowTally(
                noted={name: Counter(counts) for name, counts in kept.noted.items()},
                ranked={name: Counter(counts) for name, counts in kept.ranked.items()},
            )
        both.judge(each.example)
    return both


def _measured(read: _Read, corpus: Corpus | None, seed: int) -> dict[str, Ranks]:
    """The ranks of some positives by BM25, where no step noted them and there is a corpus."""
    if "bm25" in read.tally.ranked or corpus is None or not len(corpus):
        return {}
    pool = _pool(corpus, seed)
    same = (row for row in read.to_rank if not _cross_lingual(row))
    counts = Counter(found.rank for _, found in ranked(same, pool, {"bm25": pool.bm25()}, DEPTH) if found)
    return {"bm25": ranks_of(counts, len(pool))} if counts else {}


def _pool(corpus: Corpus, seed: int) -> Corpus:
    """The corpus, or a fair sample of POOL of its documents."""
    if len(corpus) <= POOL:
        return corpus

    def key(document: Document) -> tuple[int, str]:
        return drawn(document.doc_id, seed), document.doc_id

    return Corpus(sorted(corpus.documents, key=key)[:POOL])


def _cross_lingual(row: Example) -> bool:
    ours, theirs = (tag.partition("-")[0] for tag in (row.language, row.positive.language))
    return bool(ours and theirs) and ours != theirs


def _cost(facts: RunFacts, rows: int) -> Cost:
    used = facts.usage
    if not rows or not (used.get("sent") or used.get("from_store")):
        return Cost(rows, None, None, None, None, None)

    def of(name: str) -> float:
        return round(1000 * used.get(name, 0) / rows, 4)

    usd = of("usd") if facts.priced else None
    return Cost(rows, of("sent"), of("from_store"), of("prompt_tokens"), of("completion_tokens"), usd)


def _yields(steps: Sequence[Fate]) -> Iterator[Yield]:
    """Of each step; into the first came what it kept or dropped, into every other what the one before it kept."""
    came: int | None = None
    for step in steps:
        n = step.kept + sum(step.dropped.values()) if came is None else came
        yield Yield(step.step, n, step.kept, share(step.kept, n))
        came = step.kept
