"""The rows that were kept, as files that others read.

    dataset/    README.md  retrieval/train.parquet  retrieval/validation.parquet      `datasets.load_dataset("dataset")`
    pairs/      train.jsonl  validation.jsonl       {"anchor": …, "positive": …}
    triplets/   train.jsonl  validation.jsonl       {"anchor": …, "positive": …, "negative": …}
    beir/       corpus.jsonl  queries.jsonl  qrels/train.tsv  qrels/validation.tsv

Every folder is built aside and renamed when it is whole. Files are sorted by row id and hold no date: the same rows
give the same bytes in whatever order they came.
"""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from synth import beir, card
from synth.candidates import POOL
from synth.errors import CorpusError, OutputError, RecipeError, did_you_mean
from synth.rows import to_table
from synth.splits import EVALUATION, to_learn, validation_ids
from synth.stage import Rows, replayable
from synth.store import SortedWriter, StoredRows, writing
from synth.types import Document, Example

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
"""Rows tagged `evaluation` are the last one's; what there is of it decides nothing about the others."""
RIGHT = 0.5
"""The least relevance of a positive that counts as right where grades have to become yes or no."""
BUILDING = ".exporting"

Splits = Mapping[str, Sequence[StoredRows]]
"""Each split's rows, one part a task."""
View = Callable[[Example], Iterator[dict[str, str]]]
"""The lines that a format makes of a row."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: lines of each file's kind by format, as in {"triplets": {"train": 950, "no_negative": 12}}."""

    folder: Path
    counts: Mapping[str, Mapping[str, int]]


def export(
    rows: Iterable[Example],
    folder: Path,
    formats: Sequence[str] = ("dataset",),
    *,
    seed: int = 0,
    about: card.About = card.NOTHING,
) -> Exported:
    """Write `folder/<format>/` for each format, in place of what stood there; `seed` decides the split.

    Rows without a query are left out and counted as `no_query`. Raises CorpusError where no row is left, RecipeError
    for an unknown format, OutputError for what the disk refuses; then what stood there before is untouched.
    """
    check_formats(formats)
    building = folder / BUILDING
    with writing(folder):
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        try:
            counts = _build(replayable(rows), building, formats, seed, about)
            for name in formats:
                _put(building / name, folder / name)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return Exported(folder, {name: counts[name] for name in formats})


def check_formats(formats: Sequence[str]) -> None:
    """Raise RecipeError unless each is a known format."""
    known = ["dataset", *WRITERS]
    for name in formats:
        if name not in known:
            raise RecipeError(f"export: no format is called {name!r}{did_you_mean(name, known)} ({', '.join(known)})")


def read_dataset(folder: Path) -> dict[str, list[StoredRows]]:
    """The rows of a dataset folder by split, one part a task in the order of their names. Raises CorpusError."""
    splits = {name: [StoredRows(path) for path in sorted(folder.glob(f"*/{name}.parquet"))] for name in SPLITS}
    if not splits[TRAIN] and not splits[TEST]:
        raise CorpusError(
            f"{folder}: no dataset here; expected <task>/train.parquet, as `synth run` and `synth export` write"
        )
    return splits


def _build(
    rows: Rows, building: Path, formats: Sequence[str], seed: int, about: card.About
) -> dict[str, dict[str, int]]:
    """All formats inside `building`: the dataset first, and the others from it, which is sorted."""
    counts = {"dataset": _dataset(rows, building / "dataset", seed, about)}
    splits = read_dataset(building / "dataset")
    for name in formats:
        if name in WRITERS:
            (building / name).mkdir()
            counts[name] = WRITERS[name](splits, building / name)
    return counts


def _put(built: Path, target: Path) -> None:
    """Put a finished folder in the place of an earlier one. Raises OutputError where something else stands there."""
    if target.exists():
        kinds = {path.suffix for path in target.rglob("*") if path.is_file()}
        if not kinds & {".parquet", ".jsonl"} or kinds - {".parquet", ".jsonl", ".tsv", ".md"}:
            raise OutputError(f"{target}: it is no export of synth; name another folder with --output")
        target.rename(built.with_name(f"old-{target.name}"))
    built.rename(target)


def _dataset(rows: Rows, folder: Path, seed: int, about: card.About) -> dict[str, int]:
    held_out = validation_ids(to_learn(rows), seed, folder=folder.parent)
    writers: dict[tuple[str, str], SortedWriter[Example]] = {}
    languages: Counter[str] = Counter()
    left_out = pools = 0
    for row in rows:
        if not row.query:
            left_out += 1
            continue
        pools += POOL in row.tags
        split = TEST if EVALUATION in row.tags else VALIDATION if row.id in held_out else TRAIN
        _writer(writers, (task_folder(row.task), split), folder).add(row)
        languages[row.language] += 1
    if pools:
        raise RecipeError(
            f"export: {pools:,} rows are still pools, in which right documents stand among the negatives: "
            "add `relabel` after `retrieve`"
        )
    if not writers:
        raise CorpusError(
            f"{folder.parent.parent}: nothing to export: no row has a query; `synth look` says what became of them"
        )
    for writer in writers.values():
        writer.close()
    _card(folder, {where: writer.count for where, writer in writers.items()}, languages, about)
    totals = Counter({split: 0 for split in (TRAIN, VALIDATION)})
    for (_, split), writer in writers.items():
        totals[split] += writer.count
    return {**totals, "no_query": left_out}


def _writer(
    writers: dict[tuple[str, str], SortedWriter[Example]], where: tuple[str, str], folder: Path
) -> SortedWriter[Example]:
    if where not in writers:
        task, split = where
        (folder / task).mkdir(parents=True, exist_ok=True)
        writers[where] = SortedWriter(folder / task / f"{split}.parquet", to_table)
    return writers[where]


def _card(folder: Path, counts: Mapping[tuple[str, str], int], languages: Mapping[str, int], about: card.About) -> None:
    splits: dict[str, dict[str, int]] = {}
    for (task, split), count in sorted(counts.items()):
        splits.setdefault(task, {})[split] = count
    (folder / "README.md").write_text(card.text(about, card.Content(splits, languages)), encoding="utf-8")


def task_folder(task: str) -> str:
    """A task's name as a folder and as the name of a configuration.

    >>> task_folder("retrieval"), task_folder("../a b/é"), task_folder("")
    ('retrieval', 'a-b', 'task')
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", task).strip("-")[:60] or "task"


def _right(row: Example) -> list[Document]:
    """The positives that are right where grades have to become yes or no."""
    return [document for document in row.positives if document.relevance is None or document.relevance >= RIGHT]


def pairs(row: Example) -> Iterator[dict[str, str]]:
    """A line for each positive; the anchor is the instruction and the query, as they are embedded."""
    for positive in _right(row):
        yield {"anchor": row.instruction + row.query, "positive": positive.full_text}


def triplets(row: Example) -> Iterator[dict[str, str]]:
    """A line for each positive with each negative."""
    for pair in pairs(row):
        for negative in row.negatives:
            yield {**pair, "negative": negative.full_text}


def _lines(splits: Splits, folder: Path, view: View, lacking: str) -> dict[str, int]:
    """JSON lines, a file for each split that has any; rows that give none are counted under `lacking`."""
    counts = {**{name: 0 for name, parts in splits.items() if parts}, lacking: 0}
    for name, parts in splits.items():
        path = folder / f"{name}.jsonl"
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for row in chain.from_iterable(parts):
                lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in view(row)]
                file.writelines(lines)
                counts[name if lines else lacking] += len(lines) or 1
        if not path.stat().st_size:
            path.unlink()
    if not any(count for name, count in counts.items() if name != lacking):
        raise CorpusError(f"export: {folder.name} would be empty: every row counts as {lacking}; {_CURES[lacking]}")
    return counts


_CURES = {
    "no_negative": "add a `mine` step to the recipe",
    "no_positive": f"no positive has a relevance of {RIGHT} or more",
}


def _beir(splits: Splits, folder: Path) -> dict[str, int]:
    return beir.write({name: parts for name, parts in splits.items() if parts}, folder, right=_right)


WRITERS: Mapping[str, Callable[[Splits, Path], dict[str, int]]] = {
    "pairs": partial(_lines, view=pairs, lacking="no_positive"),
    "triplets": partial(_lines, view=triplets, lacking="no_negative"),
    "beir": _beir,
}
"""What writes each format from a dataset's splits; each gives the numbers of lines it wrote and rows it left out."""
