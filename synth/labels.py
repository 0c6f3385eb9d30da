r"""Labels: what people say of (query, document) pairs of a run, as JSONL that anybody can write and read.

    {"id": "9c1f…", "row": "41ab…", "query": "when does the Nile flood?", "document": "The Nile floods …", "verdict": 3}

Needed are `row` (the row's id), `query`, `document` (its text) and `verdict`:

    0  nothing to do with the query     1  the same subject, answers nothing
    2  answers a part, or unclearly     3  answers directly and fully        null  skipped, or taken back

`synth label` also writes, and a reader may leave out:

    id          of the pair: the hash of row, title and document; `row` and `doc_id` find the pair too
    instruction, title, doc_id, language, role ("positive" or "negative" of its row)
    weight      how many pairs of the run this one stood for when it was drawn: `of` / those drawn of the stratum
    stratum     what it was drawn from: role, and in which quarter of its scale the judge's grade lies, 0 is lowest
    of          how many pairs the stratum has
    by, at, seconds     who, when (UTC), and how long it took
    blind       false where the judge's grade is told after each verdict
    revised     true where the verdict took the place of an earlier one

Lines are only ever added: the last line of a person on a pair is the one that counts. Where all weights are the same
the labels are taken for a plain random sample of the judged pairs; where they differ, for one drawn as above.
"""

import hashlib
import heapq
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synth.errors import CorpusError
from synth.mistakes import explain
from synth.runs import RunFolder
from synth.stage import Context
from synth.store import writing
from synth.types import Document, Example
from synth.yaml12 import read_yaml

Role = Literal["positive", "negative"]
JUDGE = "judge"
LEVELS = 4
TOPS = (1, 3, 5, 10, 100)
"""What scales of grades may end at."""
MIDDLE = 1.25
"""How many labels a grade in the middle gets for one of a grade at an end: there a judge is unsure."""
UNGRADED = 0.5
"""The same for pairs without a grade, where others have one."""


class Label(BaseModel):
    """One line of a file of labels; see the top of this file."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    id: str = Field(default="", description="the pair")
    row: str = Field(description="the id of its row", min_length=1)
    query: str = Field(description="the query")
    document: str = Field(description="the document's text")
    instruction: str = Field(default="", description="what stands before the query at embedding time")
    title: str = Field(default="", description="the document's title")
    doc_id: str = Field(default="", description="the document's id")
    language: str = Field(default="", description="of the query")
    role: Literal["positive", "negative", ""] = Field(default="", description="what the document is to its row")
    verdict: int | None = Field(ge=0, le=3, description="0 to 3, null for skipped")
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="pairs of the run it stands for")
    stratum: str = Field(default="", description="what it was drawn from")
    of: int = Field(default=0, ge=0, description="pairs that the stratum has")
    by: str = Field(default="", description="who said it")
    at: str = Field(default="", description="when, in UTC")
    seconds: float = Field(default=0.0, ge=0, description="how long it took")
    blind: bool = Field(default=True, description="false where the judge's grade is told after each verdict")
    revised: bool = Field(default=False, description="it took the place of an earlier one")

    @property
    def pair(self) -> str:
        """The id of the pair, which is known without being told."""
        return self.id or pair_id(self.row, self.title, self.document)


def read_labels(path: Path) -> list[Label]:
    """The lines that count, in the order of the file: the last of each person on each pair.

    Raises CorpusError, with the line's number, for a file that is not there, empty, or holds a line that is no label.
    """
    last: dict[tuple[str, str], Label] = {}
    for label in _lines(path):
        last.pop((label.by, label.pair), None)
        last[label.by, label.pair] = label
    if not last:
        raise CorpusError(f"{path}: it holds no labels; `synth label RUN` asks for them")
    return list(last.values())


def _lines(path: Path) -> Iterator[Label]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"{path}: no labels are here; `synth label RUN` asks for them") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from error
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.strip():
            yield _label(line, f"{path}:{number}")


def _label(line: bytes, place: str) -> Label:
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise CorpusError(f"{place}: this is not JSON: a label is one object on one line, in UTF-8") from None
    if not isinstance(found, dict):
        raise CorpusError(f'{place}: a label is an object such as {{"row": …, "query": …, "verdict": 2}}')
    try:
        return Label.model_validate(found)
    except ValidationError as error:
        raise CorpusError(f"{place}: {explain(error, Label)}") from None


def append(path: Path, label: Label) -> None:
    """Add a line, on the disk before this returns. Raises OutputError."""
    line = (label.model_dump_json(exclude_defaults=False) + "\n").encode("utf-8", "replace")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            while line:
                line = line[os.write(handle, line) :]
            os.fsync(handle)
        finally:
            os.close(handle)


def mend(path: Path) -> None:
    """End the last line of a file, or take it out where the power failed while it was written. Raises OutputError."""
    if not path.exists() or not (raw := path.read_bytes()) or raw.endswith(b"\n"):
        return
    rest = raw.rpartition(b"\n")[2]
    with writing(path), path.open("r+b") as file:
        try:
            json.loads(rest)
        except ValueError:
            file.truncate(len(raw) - len(rest))
        else:
            file.seek(0, os.SEEK_END)
            file.write(b"\n")


# The pairs of a run


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and a document of a row as it stood last; `fate` is "kept", or why the row was dropped.

    `beside_grades` is true where a document of the row has a judge's grade.
    """

    row: Example
    document: Document
    role: Role
    fate: str
    beside_grades: bool

    @property
    def id(self) -> str:
        """What it is known by in files of labels."""
        return pair_id(self.row.id, self.document.title, self.document.text)

    @property
    def grades(self) -> dict[str, float]:
        """What judges said, by the name of the score: "judge", "judge_strong" …"""
        return {name: float(score) for name, score in self.document.scores.items() if name.startswith(JUDGE)}

    @property
    def grade(self) -> float | None:
        """What the judge said, or the first of several by name; None where none did."""
        grades = self.grades
        return grades[min(grades, key=lambda name: (name != JUDGE, name))] if grades else None


def pair_id(row: str, title: str, text: str) -> str:
    """The hash of a row's id and a document: 20 hex digits."""
    parts = [part.encode("utf-8", "surrogatepass") for part in (row, title, text)]
    return hashlib.blake2b(b"".join(len(p).to_bytes(8, "big") + p for p in parts), digest_size=10).hexdigest()


def pairs(run: RunFolder, step: str = "", ids: Set[str] | None = None) -> Iterator[Pair]:
    """Every query of a run with each of its documents, once, as the row stood when it was kept or dropped.

    `step`: only rows that this step kept or dropped, as it left them. `ids`: only these rows. Raises CorpusError.
    """
    steps = [run.step(step)] if step else run.steps
    kept = steps[-1].kept if ids is None else steps[-1].kept.find(ids)
    fates = chain(((d.example, d.reason) for each in steps for d in each.dropped(ids)), ((row, "kept") for row in kept))
    for row, fate in fates:
        yield from _of_row(row, fate)


def _of_row(row: Example, fate: str) -> Iterator[Pair]:
    if not row.query.strip():
        return
    beside = any(name.startswith(JUDGE) for d in (*row.positives, *row.negatives) for name in d.scores)
    roles: tuple[tuple[Role, Sequence[Document]], ...] = (("positive", row.positives), ("negative", row.negatives))
    seen: set[tuple[str, str]] = set()
    for role, documents in roles:
        for document in documents:
            text = (document.title, document.text)
            if document.text.strip() and text not in seen:
                seen.add(text)
                yield Pair(row, document, role, fate, beside)


class Kind(NamedTuple):
    """What strata are made of: the role, the grade (None without one) and whether the row has any grade."""

    role: Role
    grade: float | None
    beside_grades: bool


class Strata:
    """How many pairs of each kind a run has, and the stratum of each kind."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self.counts = Counter(kinds)

    @staticmethod
    def kind(pair: Pair) -> Kind:
        """The kind of a pair, its grade to two places."""
        return Kind(pair.role, None if pair.grade is None else round(pair.grade, 2), pair.beside_grades)

    def name(self, kind: Kind) -> str:
        """The stratum of a kind; "" where it is not asked about: rows that no judge saw, in a run that has a judge."""
        if kind.grade is None:
            return f"{kind.role} ungraded" if kind.beside_grades or not self._top else ""
        return f"{kind.role} {JUDGE} {min(max(int(LEVELS * kind.grade / (self._top or 1)), 0), LEVELS - 1)}"

    @cached_property
    def _top(self) -> float | None:
        """Where the judge's scale ends; None where there are no grades."""
        grades = [kind.grade for kind in self.counts if kind.grade is not None]
        return top_of(max(grades)) if grades else None

    def sizes(self) -> dict[str, int]:
        """How many pairs each stratum has, by its name."""
        found: Counter[str] = Counter()
        for kind, count in self.counts.items():
            found[self.name(kind)] += count
        return {name: count for name, count in sorted(found.items()) if name}


def top_of(highest: float) -> float:
    """Where a scale ends, as far as its highest grade tells.

    >>> top_of(2), top_of(0.93), top_of(8.25)
    (3.0, 1.0, 10.0)
    """
    return float(next((top for top in TOPS if highest <= top), highest))


# The draw


@dataclass(frozen=True, slots=True)
class Drawn:
    """A pair that a person is asked about, its stratum and how many pairs that has, and how many were drawn of it."""

    pair: Pair
    stratum: str
    of: int
    drawn: int

    def label(self, verdict: int | None) -> Label:
        """What a person said of it, None for skipped, with all that is known of the pair."""
        row, document = self.pair.row, self.pair.document
        return Label(
            id=self.pair.id,
            row=row.id,
            query=row.query,
            document=document.text,
            instruction=row.instruction,
            title=document.title,
            doc_id=document.doc_id,
            language=row.language,
            role=self.pair.role,
            verdict=verdict,
            weight=round(self.of / self.drawn, 5),
            stratum=self.stratum,
            of=self.of,
        )


def shares_of(sizes: Mapping[str, int], most: int) -> dict[str, int]:
    """How many pairs are drawn of each stratum: as many of each grade, more of those in the middle.

    One after the other goes to the stratum that lacks most, so that a larger `most` only ever adds.

    >>> shares_of({f"positive judge {level}": 500 for level in range(4)}, 150)
    {'positive judge 0': 33, 'positive judge 1': 42, 'positive judge 2': 42, 'positive judge 3': 33}
    """
    graded = any(JUDGE in name for name in sizes)
    drawn = dict.fromkeys(sizes, 0)
    for _ in range(min(most, sum(sizes.values()))):
        unfilled = [name for name in sizes if drawn[name] < sizes[name]]
        drawn[max(unfilled, key=lambda name: _importance(name, graded) / (2 * drawn[name] + 1))] += 1
    return {name: count for name, count in drawn.items() if count}


def _importance(name: str, graded: bool) -> float:
    if not name[-1].isdigit():
        return UNGRADED if graded else 1.0
    return MIDDLE if 0 < int(name[-1]) < LEVELS - 1 else 1.0


def draw(run: RunFolder, step: str = "", most: int = 150) -> list[Drawn]:
    """The pairs to ask about, in the order in which they are asked: by hashes of the run's seed and each pair's id.

    Within a stratum every pair has the same chance, and fates and languages have their share; at whatever moment a
    person stops, the strata have been asked about alike. Raises CorpusError where the run has no pairs.
    """
    ctx = Context(step="label", seed=_seed(run))
    cells = _Cells(most)
    for pair in pairs(run, step):
        cells.add(pair, ctx.share(pair.id))
    strata = Strata(cells.kinds())
    sizes = strata.sizes()
    if not sizes:
        place = f"step {step}" if step else "this run"
        raise CorpusError(f"{run.folder}: no row of {place} has a query and a document to label")
    ordered: list[tuple[float, str, str, str]] = []
    shares = shares_of(sizes, most)
    for stratum, count in shares.items():
        chosen = cells.spread(strata, stratum, ctx)[:count]
        ordered += [
            ((n + ctx.share(pair, "order")) / count, pair, row, stratum) for n, (pair, row) in enumerate(chosen)
        ]
    found = {pair.id: pair for pair in pairs(run, step, frozenset(row for _, _, row, _ in ordered))}
    return [Drawn(found[pair], name, sizes[name], shares[name]) for _, pair, _, name in sorted(ordered)]


def _seed(run: RunFolder) -> int:
    place = run.folder / "recipe.yaml"
    seed = read_yaml(place.read_text(encoding="utf-8"), str(place)).get("seed", 0)
    return seed if isinstance(seed, int) else 0


class _Cells:
    """Of each kind, fate and language the pairs with the lowest draws, and how many there are."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._counts: Counter[tuple[Kind, str, str]] = Counter()
        self._lowest: dict[tuple[Kind, str, str], list[tuple[float, str, str]]] = {}

    def add(self, pair: Pair, drawn: float) -> None:
        cell = (Strata.kind(pair), pair.fate, pair.row.language or pair.document.language)
        self._counts[cell] += 1
        lowest = self._lowest.setdefault(cell, [])
        if len(lowest) < self._most:
            heapq.heappush(lowest, (-drawn, pair.id, pair.row.id))
        elif -drawn > lowest[0][0]:
            heapq.heapreplace(lowest, (-drawn, pair.id, pair.row.id))

    def kinds(self) -> Iterator[Kind]:
        """The kind of every pair."""
        return chain.from_iterable(repeat(kind, count) for (kind, _, _), count in self._counts.items())

    def spread(self, strata: Strata, stratum: str, ctx: Context) -> list[tuple[str, str]]:
        """The pairs of a stratum and their rows, so ordered that each fate and language has its share of any beginning.

        The n-th of a cell of N stands at (n + u) / N, with one u from 0 to 1 for the cell: every beginning takes each
        pair with the same chance.
        """
        sizes: Counter[tuple[str, str]] = Counter()
        lowest: dict[tuple[str, str], list[tuple[float, str, str]]] = {}
        for (kind, *cell), count in self._counts.items():
            if strata.name(kind) == stratum:
                sizes[cell[0], cell[1]] += count
                lowest.setdefault((cell[0], cell[1]), []).extend(self._lowest[kind, cell[0], cell[1]])
        places = [
            ((n + ctx.share(f"{stratum}/{cell}")) / sizes[cell], pair, row)
            for cell, found in lowest.items()
            for n, (_, pair, row) in enumerate(sorted(found, reverse=True)[: self._most])
        ]
        return [(pair, row) for _, pair, row in sorted(places)]
