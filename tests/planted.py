"""Rows of which one in five has a wrong positive, over a small corpus, and students that `fit` trains on them."""

import random
from collections.abc import Sequence
from pathlib import Path

from synth.fitted import MARK, Fitted
from synth.retrieval import Corpus
from synth.stage import Context, RowList
from synth.stages.fit import Fit
from synth.store import read_json
from synth.types import Document, Example

TRAIN = {"dims": 64, "vocabulary": 1000, "matryoshka": (), "epochs": 8}
QUICK = {"dims": 8, "vocabulary": 300, "matryoshka": ()}


def world(count: int = 240) -> tuple[list[Example], Corpus]:
    """Rows whose queries are half of the words of a document, and the corpus; `meta["wrong"]` says what was planted."""
    rng = random.Random(1)
    words = ["".join(rng.choice("bdfgklmnprst") + rng.choice("aeiou") for _ in range(3)) for _ in range(240)]
    own = [rng.sample(words, 8) for _ in range(count)]
    documents = [Document(f"the place with {' and '.join(some)} in it", f"d{n:03}") for n, some in enumerate(own)]
    rows = []
    for number, some in enumerate(own):
        wrong = rng.random() < 0.2
        positive = documents[(number + rng.randrange(1, count)) % count if wrong else number]
        query = f"where are {' '.join(rng.sample(some, 4))}"
        rows.append(Example(id=f"r{number:03}", query=query, positives=(positive,), meta={"wrong": wrong}))
    return rows, Corpus(documents)


def fitted(rows: Sequence[Example], corpus: Corpus, folder: Path, **options: object) -> Fitted:
    """What `fit` makes of the rows in a folder."""
    stage = Fit.model_validate({"makes": "student", "train": QUICK, **options})
    ctx = Context(step="fit", seed=1, folder=folder, corpus_of=lambda: corpus)
    assert list(stage.run(RowList(rows), ctx)) == list(rows)
    return opened(folder)


def opened(folder: Path) -> Fitted:
    """What lies in the folder of a finished `fit`."""
    mark = read_json(folder / MARK)
    assert mark is not None
    return Fitted("student", folder, mark)
