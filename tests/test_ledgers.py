"""No row of any shipped recipe is without a fate, and `explain` tells it as it was: a new recipe is held to it unasked.

Each recipe is run over a small corpus with a model that sometimes answers, sometimes refuses, talks or fails. Nothing
is trained. What became of each row is then read from the files of each step, without the code that is tested.
"""

import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from synth.build import build
from synth.errors import CorpusError
from synth.explain import explain
from synth.progress import Show
from synth.recipe import Step, load
from synth.registry import find_stage, is_filter, known
from synth.runs import DoneStep, RunFolder
from tests.conftest import CORPUS
from tests.contracts import TEXTS

MODEL = '''"""A model of many moods: most replies fit, some refuse, some talk, some fail; one request, one reply."""
import hashlib
import numpy as np
from synth.backend import Completion
from synth.backends.scripted import Scripted, request_hash

MOODS = {0: {"text": "I'm sorry, I cannot help with that."}, 1: {"text": "Well, that depends."}}

class Moody(Scripted):
    """A model of many moods."""

    def complete(self, requests):
        """A completion for each request."""
        for request in requests:
            mood = int(request_hash(request), 16) % 12
            if mood == 2:
                yield Completion(request=request, error="503: the server is busy")
            elif mood in MOODS and not request.prompt_logprobs:
                yield Completion(request=request, model="moody", finish_reason="stop", **MOODS[mood])
            else:
                yield from super().complete([request])

    def embed(self, texts):
        """Vectors of the letters."""
        rows = [[text.count(letter) + 0.01 for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def score(self, pairs):
        """Pairs by a hash."""
        hashes = [hashlib.blake2b(f"{q} {d}".encode(), digest_size=2).digest() for q, d in pairs]
        return np.array([int.from_bytes(each, "big") / 65535 for each in hashes], np.float32)
'''
LIMIT = 40
"""Documents that are read, where a recipe has a corpus of its own."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents in eight languages, some cut in pieces, some that say the same, one empty and one that is no JSON."""
    folder = tmp_path_factory.mktemp("corpus")
    texts = [*CORPUS.values(), *TEXTS]
    lines = [json.dumps({"_id": f"d{n}", "title": f"Title {n}", "text": text}) for n, text in enumerate(texts)]
    lines += [
        lines[0],
        json.dumps({"_id": "again", "text": texts[0]}),
        json.dumps({"_id": "empty", "text": ""}),
        "{broken",
    ]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "b.md").write_text(
        "# Rivers\n\n" + "\n\n".join(f"## River {n}\n\n{text}" for n, text in enumerate(texts[:6]))
    )
    (folder / "moody.py").write_text(MODEL)
    return folder


def run_of(name: str, corpus: Path, folder: Path) -> RunFolder:
    """The recipe over the small corpus, or over a package where it reads code, with the moody model in every role."""
    head = load(name).head
    moody = corpus / "moody.py"
    reads_code = any(step["use"] == "from_docstrings" for step in head.steps)
    sets = ["train=null", "evaluate=[]", "publish=null", f"corpus={'email' if reads_code else corpus}"]
    sets += [f"backends.{role}={{use: {moody}, model: {role}}}" for role in head.backends]
    sets += [f"embedders.{name}={{use: {moody}, model: {name}}}" for name in head.embedders]
    with suppress(CorpusError):  # nothing is left in the end: each row has its fate all the same
        build(load(name, sets, limit=LIMIT), folder / "run", Show(), replies=folder / "r.sqlite")
    return RunFolder(folder / "run")


class Settled(NamedTuple):
    """What the files of a step say: the ids that came in, were kept, were dropped and why; and each row's parents."""

    step: DoneStep
    came: set[str]
    kept: set[str]
    dropped: dict[str, tuple[str, str]]
    parents: dict[str, set[str]]


def settled(before: set[str], step: DoneStep) -> Settled:
    kept = pq.read_table(step.folder / "kept.parquet").to_pylist()
    dropped = pq.read_table(step.folder / "dropped.parquet").to_pylist()
    parents = {row["id"]: set(json.loads(row["meta"] or "{}").get("parents", ())) for row in [*kept, *dropped]}
    reasons = Counter(row["reason"] for row in dropped)
    assert step.mark["kept"] == len(kept) == len({row["id"] for row in kept})
    assert step.mark["dropped"] == dict(reasons)
    return Settled(
        step,
        before,
        {row["id"] for row in kept},
        {row["id"]: (row["reason"], row["detail"]) for row in dropped},
        parents,
    )


def check_adds_up(found: Settled, step: Step) -> None:
    """Each row that came in has a fate, and each that left came in or was made of one that did."""
    left = found.kept | set(found.dropped)
    assert not found.kept & set(found.dropped)
    if step.is_source:
        assert found.came <= found.kept
        assert all(not found.parents[row_id] for row_id in left - found.came)
    elif is_filter(find_stage(step.use, Path())):
        assert left == found.came
    else:
        born = left - found.came
        assert all(found.parents[row_id] and found.parents[row_id] <= found.came for row_id in born)
        assert found.came - left <= {parent for row_id in born for parent in found.parents[row_id]}


def ledgers(run: RunFolder) -> Iterator[Settled]:
    came: set[str] = set()
    for step in run.steps:
        found = settled(came, step)
        yield found
        came = found.kept


def fate_of(row_id: str, every: list[Settled], exported: set[str]) -> tuple[str, str, str]:
    """What became of a row in the end, its step and the detail, by the files alone."""
    for found in every:
        if row_id in found.dropped:
            return found.step.name, *found.dropped[row_id]
    if row_id in every[-1].kept:
        return ("", "exported", "") if row_id in exported else (every[-1].step.name, "kept", "")
    return "", "parent", ""


def said(run: RunFolder, row_id: str) -> tuple[dict[str, Any], str]:
    """What `explain` tells of a row: as JSON, and as text on one line."""
    out = io.StringIO()
    explained = explain(run.folder, row_id, run.folder.parent / "r.sqlite")
    explained.print(Console(file=out, width=80, highlight=False, markup=False, emoji=False))
    told: dict[str, Any] = json.loads(json.dumps(explained.to_json()))
    return told, " ".join(out.getvalue().split())


def check_told(run: RunFolder, row_id: str, at: Settled, every: list[Settled], exported: set[str]) -> None:
    """`explain` names the true step and reason of a row, and how it came through the step that it was drawn from."""
    told, text = said(run, row_id)
    step, fate, detail = fate_of(row_id, every, exported)
    assert told["fate"]["fate"] == fate
    if fate == "exported":
        assert "fate exported to dataset/" in text
    elif fate == "parent":
        assert (
            {row["id"] for row in told["children"]}
            >= {child for found in every for child, parents in found.parents.items() if row_id in parents}
            != set()
        )
    elif fate != "kept":
        assert (told["fate"]["step"], told["fate"]["detail"]) == (step, detail)
        assert f"fate dropped by {step} as {fate}" in text
    here = [stop for stop in told["way"] if stop["step"] == at.step.name and stop["id"] == row_id]
    expected = at.dropped[row_id][0] if row_id in at.dropped else "kept" if row_id in at.came else "made"
    assert [stop["fate"] for stop in here] == [expected]
    turns = [turn for stop in told["way"] for turn in stop["asked"]]
    assert told["replies"] == (str(run.folder.parent / "r.sqlite") if turns else "")
    assert all(turn["reply"] or not turn["as_sent"] for turn in turns)


QUICK = ("domain", "extract", "gecko", "promptagator", "quickstart", "rlhn", "swim_ir")
"""Recipes that are looked at every time; all of them are in `make slow`."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in known("recipes")]
)
def test_every_row_of_a_shipped_recipe_has_a_fate_and_can_be_explained(name: str, corpus: Path, tmp_path: Path) -> None:
    run = run_of(name, corpus, tmp_path)
    steps = load(name).steps
    every = list(ledgers(run))
    assert len(every) == len(steps)
    exported = {row_id for path in run.folder.glob("dataset/*/*.parquet") for row_id in _ids(path)}
    assert exported <= every[-1].kept
    rng = random.Random(f"ledgers of {name}")
    for found, step in zip(every, steps, strict=True):
        check_adds_up(found, step)
        for group in (sorted(found.kept), sorted(found.dropped)):
            if group:
                check_told(run, rng.choice(group), found, every, exported)
    assert all(after.came == before.kept for before, after in pairwise(every))


def test_the_small_corpus_has_rows_dropped_early_and_late(corpus: Path, tmp_path: Path) -> None:
    every = list(ledgers(run_of("domain", corpus, tmp_path)))
    reasons = {reason for found in every for reason, _ in found.dropped.values()}
    assert {"empty_document", "unreadable_document"} <= {reason for reason, _ in every[0].dropped.values()}
    assert {"failed_request", "refusal", "irrelevant"} <= reasons
    assert every[-1].kept


def _ids(path: Path) -> list[str]:
    ids: list[str] = pq.read_table(path, columns=["id"])["id"].to_pylist()
    return ids
