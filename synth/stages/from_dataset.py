"""A finished training set, to be cleaned, relabelled or augmented: its queries with their positives and negatives.

- {use: from_dataset, data: ./my-pairs.jsonl}
- {use: from_dataset, data: hf://sentence-transformers/natural-questions/pair}
- {use: from_dataset, data: ./stsb.csv, score_scale: 5, task: sts}
- {use: from_dataset, data: ./tickets.parquet, columns: {query: body, label: queue}, give: [product]}
- {use: from_dataset, data: ./outputs/extract-2b7c9d10/dataset}

{"query": "when does the Nile flood?", "pos": ["The Nile floods …"], "neg": ["The Amazon …"], "neg_scores": [0.3]}
->  a row with one positive, and one mined negative with the score `teacher` 0.3
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from synth.documents.hub import SCHEME
from synth.documents.record import Fault, Place, clean
from synth.documents.table_set import Table, TableSet, table_set
from synth.documents.tables import PEEKED, MissingColumn, Row, in_words, peeked
from synth.earlier_rows import adopted, is_own, names_given, own_files
from synth.errors import CorpusError, did_you_mean
from synth.language_names import LanguageCode
from synth.layouts import Part, Reader, layout_of, number_in
from synth.lists import check_name, unreadable
from synth.rows import KEPT, from_table
from synth.stage import Context, Stage
from synth.store import StoredRows, content_hash
from synth.types import Dropped, Example, digest_of, row_id
from synth.values import with_given


class FromDataset(Stage):
    """Read a training set: .jsonl .json .csv .tsv .parquet, a folder of them, a dataset on the Hub, or one of synth.

    Its columns are found by the names that sentence-transformers, FlagEmbedding and Tevatron use, unless `columns`
    says otherwise; a text with a label becomes a query whose positive is the label. A document without an id has one
    by its text. A row whose query, positives or scores cannot be read is dropped, and so is one that stands there
    twice. Of a folder or of the Hub it reads `train` where there is one. A dataset that synth wrote is taken as it is,
    all of it and with its ids; only the ids of what its rows were made from move in `meta`.
    """

    data: str = Field(min_length=1, description="a file or folder beside the recipe, or hf://owner/name/config:split")
    columns: dict[Part, tuple[str, ...]] = Field(
        default={}, description="the column of each part of a row; found by its name unless given, [] for none"
    )
    score_scale: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="the highest score there can be: scores are divided by it"
    )
    negatives: Literal["mined", "written"] = Field(default="mined", description="where its negatives come from")
    give: dict[str, str] = Field(
        default={}, description="further columns that prompts may read: a list, or {name: column}"
    )
    split: str = Field(default="", description="the split to read, of a folder or of the Hub; train unless given")
    task: str = Field(default="retrieval", description="the task of the rows")
    language: LanguageCode = Field(default="", description="the language of queries and documents, where it is known")

    @field_validator("columns", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {part: (column,) if isinstance(column, str) else column for part, column in value.items()}

    @field_validator("give", mode="before")
    @classmethod
    def _named_as_columns(cls, value: object) -> object:
        value = [value] if isinstance(value, str) else value
        return {name: name for name in value} if isinstance(value, list | tuple) else value

    @field_validator("give")
    @classmethod
    def _are_names(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            check_name(name)
        return value

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Give the rows in the order of files and lines. Raises CorpusError where there is none to be read."""
        del rows
        fates: Counter[str] = Counter()
        first = ""
        for outcome in self._outcomes(ctx):
            if isinstance(outcome, Dropped):
                fates[outcome.reason] += 1
                first = first or outcome.detail
            else:
                fates["kept"] += 1
            yield outcome
            if fates["kept"] == ctx.source.limit:
                break
        kept = fates.pop("kept", 0)
        gone = ", ".join(f"{count} {reason}" for reason, count in fates.most_common())
        if not kept:
            raise CorpusError(f"{self.data}: " + (f"no row can be read: {gone}; {first}" if gone else "it has no rows"))
        if gone:
            ctx.warn(f"{self.data}: rows left out: {gone} (first: {first})")

    def gives(self, ctx: Context) -> Sequence[str]:
        """The columns of `give`; of rows that synth wrote what earlier steps gave them."""
        return [*self.give, *names_given(chain.from_iterable(self._own(ctx)))]

    def content_read(self, ctx: Context) -> str:
        """A hash of the files. Raises CorpusError where they are not there or lack columns of a training set."""
        if own := self._own(ctx):
            return digest_of([content_hash(part.path) for part in own])
        found = self._found(ctx)
        for table in found.tables() if not found.on_hub else ():
            self._opened(table)
        return found.content()

    def _own(self, ctx: Context) -> Sequence[StoredRows]:
        """The files, where it is a dataset that synth wrote and that lies on this machine."""
        return () if self.data.startswith(SCHEME) else own_files(ctx.source.path_of(self.data), self.split)

    def _found(self, ctx: Context) -> TableSet:
        path = ctx.source.path_of(self.data)
        if (path / "qrels").is_dir():
            raise CorpusError(f"{self.data}: a BEIR folder; `use: from_qrels` reads it")
        if (path / "recipe.yaml").is_file():
            raise CorpusError(f"{self.data}: a run; read its {self.data}/dataset, or `use: from_run`")
        return table_set(self.data, ctx.source, self.split)

    def _outcomes(self, ctx: Context) -> Iterator[Example | Dropped]:
        if own := self._own(ctx):
            yield from (adopted(row, ctx) for row in chain.from_iterable(own))
            return
        seen: Counter[str] = Counter()
        for table in self._found(ctx).tables():
            reader, rows = self._opened(table)
            for row in rows:
                place = Place(table.name, row.number)
                try:
                    found = self._row(row, reader, ctx)
                except Fault as fault:
                    yield unreadable(place, str(fault), ctx)
                    continue
                seen[found.id] += 1
                yield found if seen[found.id] == 1 else _again(found, seen[found.id], place, ctx)

    def _opened(self, table: Table) -> tuple[Reader | None, Iterator[Row]]:
        """What reads the rows of a table, None for rows as synth writes them, and the rows.

        Raises CorpusError where a column is missing, or the first rows have scores beyond the scale.
        """
        known, rows = peeked(table.rows)
        if not known or is_own(known):
            return None, rows
        layout = layout_of(known, self.columns, table.name, table.labels)
        for column in self.give.values():
            if column not in known:
                cure = did_you_mean(column, known)
                raise MissingColumn(f"{table.name}: give: no column {column!r}; there are {in_words(known)}{cure}")
        first = list(islice(rows, PEEKED))
        self._check_scores([row.values for row in first if row.values], layout.of("relevance"), table.name)
        return Reader(layout, self.score_scale, self.language, self.negatives), chain(first, rows)

    def _check_scores(self, rows: Sequence[Mapping[str, Any]], column: str, name: str) -> None:
        if not column:
            return
        highest = max((_score(values.get(column)) for values in rows), default=0.0)
        if highest > self.score_scale:
            raise CorpusError(
                f"{name}: the scores in {column!r} go up to {highest:g}: set `score_scale` to the highest there "
                "can be, or leave them out with `columns: {relevance: []}`"
            )

    def _row(self, row: Row, reader: Reader | None, ctx: Context) -> Example:
        """One row. Raises Fault where it cannot be read."""
        if row.values is None:
            raise Fault(f"{row.fault}: {row.beginning}" if row.beginning else row.fault)
        if reader is None:
            return adopted(_own_row(row.values), ctx)
        parts = reader.parts(row.values)
        given = {name: _plain(row.values.get(column)) for name, column in self.give.items()}
        content = digest_of(parts.content, given)
        found = Example(
            id=row_id(ctx.step, 0, content),
            task=self.task,
            instruction=parts.instruction,
            query=parts.query,
            positives=parts.positives,
            negatives=parts.negatives,
            language=parts.language,
        )
        return with_given(found, given)


def _again(row: Example, times: int, place: Place, ctx: Context) -> Dropped:
    """A row that stands there already, under an id of its own."""
    again = replace(row, id=row_id(ctx.step, times, "", [row.id]))
    return Dropped(again, "duplicate_row", f"{place}: the same row stands there before")


def _own_row(values: Mapping[str, Any]) -> Example:
    """A row as synth writes it, out of a dataset on the Hub. Raises Fault for what is no such row."""
    try:
        return next(iter(from_table(pa.Table.from_pylist([dict(values)], schema=KEPT))))
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise Fault(f"not a row of a dataset that synth wrote: {str(error)[:200]}") from error


def _score(value: object) -> float:
    """A score, 0 for what is none."""
    try:
        return number_in(value, "") or 0.0
    except Fault:
        return 0.0


def _plain(value: object) -> Any:
    """A value as JSON holds it: dates and the like as text."""
    return clean(value) if isinstance(value, str) else json.loads(json.dumps(value, default=str))
