"""Drop rows whose query, positive or both another row has too, but for case, spaces and punctuation.

    "When does the Nile flood?"  ==  "when does  the nile flood"

The row with the smallest id stays, whatever the order they come in.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from pydantic import Field

from synth.stage import Context, Rows, Stage, replayable
from synth.types import Dropped, Example


class ExactDedup(Stage):
    """Of rows that are the same in `field`, keep the one with the smallest id.

    Texts count as NFKC, case folded, with spaces and punctuation as one space; signs that tell words apart (C++, C#)
    stay. Tasks are kept apart: a query may stand once in each. Rows whose `field` is empty pass.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"

    field: Literal["query", "positive", "pair"] = Field(
        default="query", description="what may not repeat: the query, the first positive, or the two together"
    )

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Find the smallest id of each text, then judge each row by it."""
        rows = replayable(rows)
        keys = self._keys(rows)
        smallest: dict[bytes, str] = {}
        for key, born in zip(keys, rows.column("id"), strict=True):
            if key:
                smallest[key] = min(smallest.get(key, born), born)
        for key, row in zip(keys, rows, strict=True):
            kept = smallest.get(key, row.id)
            yield row if kept == row.id else Dropped(row, "exact_duplicate", f"the same as {kept}")

    def _keys(self, rows: Rows) -> list[bytes]:
        """A hash of what each row may not repeat; b"" where that is empty."""
        columns = [rows.column(name) for name in (("query", "positive") if self.field == "pair" else (self.field,))]
        return [_key(task, texts) for task, *texts in zip(rows.column("task"), *columns, strict=True)]


def _key(task: str, texts: list[str]) -> bytes:
    """The same for texts that are the same when folded, else different.

    >>> _key("sts", ["A b."]) == _key("sts", ["a  B"]) != _key("retrieval", ["a  B"])
    True
    """
    from synth.resemblance import folded

    forms = [folded(text) for text in texts]
    if not all(forms):
        return b""
    return hashlib.blake2b("\0".join([task, *forms]).encode("utf-8", "surrogatepass"), digest_size=16).digest()
