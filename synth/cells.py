"""Which cell a row is in: its language, its task, a value that was drawn for it, or several of them together.

cell_of(row, ["task", "make.axes.form"])   ->   "retrieval/keywords"
"""

from collections.abc import Iterable, Mapping
from typing import Any

from synth.types import Example


def cell_of(row: Example, by: Iterable[str]) -> str:
    """The cell that a row is in, named by the values of `by`: `task`, `language`, or a path into `meta` with dots.

    >>> cell_of(Example(id="x", task="sts", meta={"make": {"form": "short"}}), ("task", "make.form", "language"))
    'sts/short/?'
    """
    return "/".join(_value(row, name) for name in by)


def _value(row: Example, name: str) -> str:
    """The value of what makes a cell; "?" where the row has none."""
    if name in ("task", "language"):
        return str(getattr(row, name)) or "?"
    value: Any = row.meta
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "?" if value is None else str(value)
