"""Who a row belongs with, and what became of them: its parents, its children, its siblings, those with its query."""

import json
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from synth.registry import is_source, known
from synth.runs import RunFolder
from synth.types import Example

if TYPE_CHECKING:
    import pyarrow as pa


class Fate(NamedTuple):
    """What became of a row in the end: `exported`, `kept`, `parent` or the reason it was dropped for; where; details.

    A `parent` is neither left nor dropped: other rows were made of it.
    """

    step: str
    fate: str
    detail: str = ""

    @property
    def is_dropped(self) -> bool:
        """True where `fate` is a reason."""
        return self.fate not in {"exported", "kept", "parent"}

    @property
    def told(self) -> str:
        """In words.

        >>> Fate("judge", "irrelevant", "judged 1, least is 2").told
        'dropped by judge as irrelevant: judged 1, least is 2'
        """
        if self.is_dropped:
            return f"dropped by {self.step} as {self.fate}" + (f": {self.detail}" if self.detail else "")
        if self.fate == "parent":
            return "other rows were made of it"
        return f"exported to {self.step}" if self.fate == "exported" else f"kept by {self.step}"


def fates(run: RunFolder, ids: Set[str]) -> dict[str, Fate]:
    """What became of the rows of these ids; those that the run does not know are left out."""
    found: dict[str, Fate] = {}
    for step in run.steps:
        found |= {row_id: Fate(step.name, "parent") for (row_id,) in _some(step.folder / "kept.parquet", ids)}
        for row_id, reason, detail in _some(step.folder / "dropped.parquet", ids, "reason", "detail"):
            found[row_id] = Fate(step.name, reason, detail)
    last = run.steps[-1]
    found |= {row_id: Fate(last.name, "kept") for (row_id,) in _some(last.folder / "kept.parquet", ids)}
    for path in sorted(run.folder.glob("dataset/*/*.parquet")):
        place = path.relative_to(run.folder).with_suffix("").as_posix()
        found |= {row_id: Fate(place, "exported") for (row_id,) in _some(path, ids)}
    return found


def _some(path: Path, ids: Set[str], *columns: str) -> Iterator[tuple[str, ...]]:
    """The rows of a file that have these ids: the id, and the texts of some columns; the others are not read."""
    import pyarrow.parquet as pq

    names = ["id", *columns]
    if ids:
        table = pq.read_table(path, columns=names, filters=[("id", "in", sorted(ids))])
        yield from zip(*(table.column(name).to_pylist() for name in names), strict=True)


@dataclass(slots=True)
class Kin:
    """The ids of the rows that a row belongs with, each with its query.

    `children` were made of it, `siblings` of its parents too; `pieces` were cut from the same file; and `same_query`
    ask the same, but for case, spaces and punctuation.
    """

    parents: dict[str, str]
    children: dict[str, str]
    siblings: dict[str, str]
    pieces: dict[str, str]
    same_query: dict[str, str]

    def ids(self) -> set[str]:
        """All of them."""
        return {*self.parents, *self.children, *self.siblings, *self.pieces, *self.same_query}


def kin(run: RunFolder, row: Example) -> Kin:
    """The rows that a row belongs with. Shipped filters are not read: they make no row and change no query."""
    from synth.resemblance import folded

    found = Kin({}, {}, {}, _pieces(run, row), {})
    asked, seen = folded(row.query), dict[str, str]()
    for path in _files(run):
        ids, queries, of = _columns(path, {row.id, *row.parents})
        for number, (row_id, query) in enumerate(zip(ids, queries, strict=True)):
            if row_id == row.id:
                continue
            if row_id in row.parents:
                found.parents[row_id] = query
            if row.id in of.get(number, ()):
                found.children[row_id] = query
            elif of.get(number, set()).intersection(row.parents):
                found.siblings[row_id] = query
            if asked and seen.get(row_id) != query and folded(query) == asked:
                found.same_query[row_id] = query
            seen[row_id] = query
    return found


def _files(run: RunFolder) -> Iterator[Path]:
    filters = known("filters")
    for step in run.steps:
        if step.mark["use"] not in filters:
            yield from (step.folder / "kept.parquet", step.folder / "dropped.parquet")


def _columns(path: Path, parents: Set[str]) -> tuple[list[str], list[str], dict[int, set[str]]]:
    """The ids and queries of a file, and the parents of those rows that name one of `parents`, by their places."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["id", "query", "meta"])
    of: dict[int, set[str]] = {}
    for parent in sorted(parents):
        places = pc.indices_nonzero(pc.match_substring(table["meta"], parent)).to_pylist()
        of |= {place: set(json.loads(table["meta"][place].as_py()).get("parents", ())) for place in places}
    return table["id"].to_pylist(), table["query"].to_pylist(), of


def _pieces(run: RunFolder, row: Example) -> dict[str, str]:
    """The other rows of the file that a source cut this one from."""
    file = row.positives[0].parent_id if row.positives and not row.parents else ""
    found: dict[str, str] = {}
    for step in run.steps if file else ():
        if is_source(str(step.mark["use"])):
            for name in ("kept.parquet", "dropped.parquet"):
                found |= _cut_from(file, step.folder / name)
    found.pop(row.id, None)
    return found


def _cut_from(file: str, path: Path) -> dict[str, str]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as opened:  # which reads one column of the documents
        table: pa.Table = opened.read(columns=["id", "query", "positives.list.element.parent_id"])
    rows = zip(table["id"].to_pylist(), table["query"].to_pylist(), table["positives"].to_pylist(), strict=True)
    return {row_id: query for row_id, query, documents in rows if any(d["parent_id"] == file for d in documents)}
