"""Runs with graded rows, written as a run writes them, for the tests of labels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from synth.labels import Label, append
from synth.rows import to_dropped_table, to_table
from synth.store import SortedWriter, write_json
from synth.types import Document, Dropped, Example, row_id


def row(number: int, grade: float | None = None, **changes: object) -> Example:
    """A row whose positive has this grade."""
    scores = {} if grade is None else {"judge": grade}
    document = Document(f"text {number}", doc_id=f"d{number}", title=f"Title {number}", scores=scores)
    query = f"question {number}?"
    made = Example(id=row_id("make", 0, query), query=query, language="en", positives=(document,))
    return replace(made, **changes)  # type: ignore[arg-type]


def rows_of(counts: Mapping[float, int]) -> list[Example]:
    """So many rows of each grade."""
    grades = [grade for grade, count in counts.items() for _ in range(count)]
    return [row(number, grade) for number, grade in enumerate(grades)]


def write_run(folder: Path, rows: Sequence[Example], least: float = 2, *, name: str = "judge") -> Path:
    """A run that made these rows and dropped what was graded lower than `least`; rows without a grade are kept."""
    low = [r for r in rows if r.positives and r.positive.scores.get("judge", least) < least]
    high = [r for r in rows if r not in low]
    folder.mkdir(parents=True)
    steps = f"[{{use: extract, name: extract}}, {{use: judge, name: {name}}}]"
    (folder / "recipe.yaml").write_text(f"corpus: x\nseed: 7\nsteps: {steps}\n", encoding="utf-8")
    _step(folder / "00-extract", rows, [], "")
    _step(folder / f"01-{name}", high, [Dropped(r, "irrelevant", "judged too low") for r in low], "extract")
    return folder


def _step(folder: Path, kept: Sequence[Example], dropped: Sequence[Dropped], before: str) -> None:
    folder.mkdir()
    rows, gone = (
        SortedWriter(folder / "kept.parquet", to_table),
        SortedWriter(folder / "dropped.parquet", to_dropped_table),
    )
    for each in kept:
        rows.add(each)
    for lost in dropped:
        gone.add(lost)
    rows.close()
    gone.close()
    key = folder.name.partition("-")[2]
    counts = {"kept": len(kept), "dropped": {"irrelevant": len(dropped)} if dropped else {}}
    write_json(folder / "done.json", {**counts, "key": key, "content": "", "before": before})


def say(file: Path, rows: Sequence[Example], verdicts: Sequence[int | None], **more: object) -> Path:
    """A file of labels of the rows' positives."""
    for each, verdict in zip(rows, verdicts, strict=True):
        document = each.positive
        plain = Label(row=each.id, query=each.query, document=document.text, title=document.title, verdict=verdict)
        append(file, plain.model_copy(update=dict(more)))
    return file
