"""Rows that an earlier run made, as rows of a source: what they came from is no row of this run.

    meta   {"parents": ["9c1f…"], "generate": {…}}   ->   {"from_run": {"parents": ["9c1f…"]}, "generate": {…}}

A source's own rows have no parents, and the documents of those are the corpus that later steps search.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from synth.errors import CorpusError, did_you_mean
from synth.export import read_dataset
from synth.rows import KEPT
from synth.stage import Context
from synth.store import StoredRows
from synth.types import Example
from synth.values import given_to

LOOKED_AT = 1000
"""Rows of a file that are looked at for what earlier steps gave them."""


def adopted(row: Example, ctx: Context) -> Example:
    """The row as one of this step's own: its id and all it holds stay, its parents stand under the step's name.

    >>> row = Example(id="x", meta={"parents": ["p"], "make": {"draw": 2}})
    >>> dict(adopted(row, Context(step="from_run")).meta)
    {'make': {'draw': 2}, 'from_run': {'parents': ['p']}}
    """
    if not row.parents:
        return row
    kept = {name: value for name, value in row.meta.items() if name != "parents"}
    return replace(row, meta={**kept, ctx.step: {"parents": list(row.parents)}})


def names_given(rows: Iterable[Example]) -> list[str]:
    """The names of what earlier steps gave to the first thousand rows, for prompts to read."""
    return sorted({name for row in islice(rows, LOOKED_AT) for name in given_to(row)})


def is_own(columns: Iterable[str]) -> bool:
    """True for the columns of a table of rows, as every run and every dataset of synth has them."""
    return set(KEPT.names) <= set(columns)


def own_files(path: Path, split: str = "") -> Sequence[StoredRows]:
    """The rows in a file or a dataset folder that synth wrote, a part for each file; none where it is something else.

    Raises CorpusError where the folder has no such split; "" takes all of them.
    """
    if path.is_file():
        is_one = path.suffix == ".parquet" and not split and is_own(_columns(path))
        return [StoredRows(path)] if is_one else []
    if not any(is_own(_columns(file)) for file in sorted(path.glob("*/train.parquet"))[:1]):
        return []
    splits = read_dataset(path)
    if split and not splits.get(split):
        known = [name for name, parts in splits.items() if parts]
        raise CorpusError(f"{path}: no split {split!r}; found {', '.join(known)}{did_you_mean(split, known)}")
    return [part for name, parts in splits.items() if split in ("", name) for part in parts]


def _columns(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return []
