"""Train a small embedder on the rows so far, for later steps to filter and mine by: Promptagator, Gecko, GPL in a line.

    - {use: generate, prompt: grounded/question, per_document: 8}
    - {use: fit, makes: student}
    - {use: consistency, retriever: dense, embedder: student, most_rank: 1}

Promptagator (arXiv 2209.11755) filters by a model that was trained on the very rows it filters, wrong ones too. A model
forgives the rows it has seen: here it is trained in folds, and each row is judged by a model that has not seen it.
"""

import heapq
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from synth.errors import CorpusError
from synth.stage import Context, Rows, Stage, replayable
from synth.store import content_hash, write_json, writing
from synth.training import STATIC, TrainOptions
from synth.types import Document, Dropped, Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synth.fitted import Folds


class Fit(Stage):
    """Train an embedder on the rows and name it for the steps after; the rows themselves pass unchanged.

    It is trained once for each fold, on the rows of all others, and a step that asks it about a row is given the model
    of the row's fold. Rows whose first positives have a parent in common, or that have the same query, are in one fold.
    Steps that compare the rows among themselves ask all models together, and get the mean of their cosines. With
    `folds: 1` there is one model, which has seen every row: steps that judge rows one by one or mine for them refuse it
    unless `allow_seen: true`. Only rows with a query and a positive are trained on, and only the first positive; where
    that is a label, all rows of a label are in one fold: leave such rows out by `where:`. A static base learns its
    words from the corpus.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"

    makes: str = Field(min_length=1, description="what later steps call it in their `embedder:`")
    folds: int = Field(
        default=2, ge=1, le=20, description="models to train, each without one part of the rows; 1: one on all of them"
    )
    allow_seen: bool = Field(
        default=False, description="with folds: 1, steps may judge rows by the model that was trained on them"
    )
    train: TrainOptions = Field(default=TrainOptions(), description="how it is trained, as `train:` of a recipe has it")

    @model_validator(mode="after")
    def _is_asked_for_nothing(self) -> Self:
        if self.allow_seen and self.folds > 1:
            raise ValueError("allow_seen goes with `folds: 1`: in several folds no model judges a row that it has seen")
        return self

    def reads_corpus(self) -> bool:
        """True for a static base, which learns its words there."""
        return self.train.base == STATIC

    def content_read(self, ctx: Context) -> str:
        """What the base is known by. Raises RecipeError where it should be a folder and is none."""
        from synth.embedder import identity_of

        return identity_of(self._options(ctx).base)

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Train what is not trained yet, in the step's folder; in a rehearsal, which has none, nothing."""
        rows = replayable(rows)
        if ctx.folder is not None:
            with writing(ctx.folder):
                ctx.folder.mkdir(parents=True, exist_ok=True)
                self._fit(rows, ctx.folder, ctx)
        yield from rows

    def _fit(self, rows: Rows, folder: Path, ctx: Context) -> None:
        from synth.embedder import identity_of
        from synth.fitted import FOLDS, MARK, write_folds

        mark: dict[str, object] = {"allow_seen": self.allow_seen, "folds": "", "models": []}
        if len(rows):
            folds = _folds(rows, self.folds, ctx)
            models = [folder / f"model-{number}" for number in range(self.folds)]
            self._train([each for each in models if not each.is_dir()], rows, folds, ctx)
            write_folds(folds, folder / FOLDS)
            mark |= {"folds": content_hash(folder / FOLDS), "models": [identity_of(str(each)) for each in models]}
        write_json(folder / MARK, mark)

    def _train(self, models: Sequence[Path], rows: Rows, folds: "Folds", ctx: Context) -> None:
        """Train the models that are not there: a run that was stopped goes on with those that it had trained."""
        from synth.training.trainer import starts, train_further

        options = self._options(ctx)
        learned = _read(rows, ctx) if self.reads_corpus() else ()
        for place, model in zip(models, starts(options, ctx.seed, learned), strict=False):
            number = int(place.name.rpartition("-")[2])
            others = (row for row in rows if self.folds == 1 or folds.of(row) != number)
            with _whole(place) as target, _told(f"step {ctx.step}: the model of fold {number + 1} of {self.folds}"):
                train_further(model, others, options, target, ctx.seed)

    def _options(self, ctx: Context) -> TrainOptions:
        return self.train.beside(ctx.source.folder, f"step {ctx.step}")


@contextmanager
def _whole(place: Path) -> Iterator[Path]:
    """Where to write a folder that is to stand at `place` whole or not at all."""
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".training-") as folder:
        yield Path(folder) / "whole"
        os.replace(Path(folder) / "whole", place)


@contextmanager
def _told(which: str) -> Iterator[None]:
    """Say of which model it is that there is too little to train it on."""
    try:
        yield
    except CorpusError as error:
        said = str(error).removeprefix("train: ")
        raise CorpusError(f"{which}, which learns from the others' rows: {said}") from error


def _read(rows: Rows, ctx: Context) -> Iterable[Document]:
    """What a static base learns its words from: the corpus, or where there is none, the rows' own documents."""
    return ctx.corpus.documents or (row.positive for row in rows if row.query and row.positives)


def _folds(rows: Rows, count: int, ctx: Context) -> "Folds":
    """Who is in which fold; it is told where most rows are in one, so that its model has little to learn from.

    Raises CorpusError where there is nobody.
    """
    import numpy as np

    from synth.fitted import Folds, keys_of

    queries, families = array("Q"), array("Q")
    for row in rows:
        if row.query and row.positives:
            query, family = keys_of(row)
            queries.append(query)
            families.append(family)
    if not queries:
        raise CorpusError(
            f"step {ctx.step}: none of its {len(rows)} rows has a query and a positive to train on: put it after a "
            "step that writes queries"
        )
    keys = np.array([queries, families], np.uint64)
    groups = _together(keys)
    folds = _dealt(groups, keys[0], count)
    largest = int(np.bincount(folds, minlength=count).max())
    if count > 1 and len(folds) - largest < len(folds) * (1 - 1 / count) / 2:
        ctx.warn(
            f"{ctx.step or 'fit'}: {largest:,} of {len(folds):,} rows hang together by their documents or queries and "
            f"are in one fold, whose model is trained on the other {len(folds) - largest:,}"
        )
    known, first = np.unique(keys, return_index=True)
    return Folds(known, np.tile(folds, 2)[first], count)


def _together(keys: "NDArray[np.uint64]") -> "NDArray[np.int64]":
    """The group of each row, int64 (n,), by the keys of their queries and families, (2, n): the number of its first."""
    import numpy as np

    from synth.sketches import first_of_equals, joined

    return joined(first_of_equals(keys[0]), first_of_equals(keys[1]), np.arange(keys.shape[1]))


def _dealt(groups: "NDArray[np.int64]", keys: "NDArray[np.uint64]", count: int) -> "NDArray[np.int64]":
    """The fold of each row, int64 (n,): its group's. Groups go, the largest first, where the fewest rows are.

    Among groups of a size the lowest of their keys decides, so that the order of the rows changes nothing.
    """
    import numpy as np

    sizes = np.bincount(groups, minlength=len(groups))
    lowest = np.full(len(groups), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(lowest, groups, keys)
    fold_of = np.zeros(len(groups), np.int64)
    folds = [(0, number) for number in range(count)]
    for group in np.lexsort((lowest, -sizes))[: int((sizes > 0).sum())].tolist():
        rows, fold = heapq.heappop(folds)
        fold_of[group] = fold
        heapq.heappush(folds, (rows + int(sizes[group]), fold))
    return fold_of[groups]
