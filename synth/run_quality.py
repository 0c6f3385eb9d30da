"""The figures of the rows of a run, out of what its pipeline knows: the steps, what they cost, the corpus, the prompts.

told = measure(pipeline, rows)     what `run.json` has under "quality"
known_by(pipeline)                 changes whenever the figures may
"""

from collections.abc import Iterator
from typing import Any

from synth import __version__
from synth.axis_check import Check, Checks
from synth.card import Fate
from synth.pipeline import Pipeline
from synth.prompt import Prompt
from synth.quality import RunFacts, quality
from synth.retrieval import Corpus
from synth.stage import Rows
from synth.store import read_dropped
from synth.types import Dropped, digest_of
from synth.usage import total

MEASURES = frozenset({"judge", "consistency", "comparison", "similarity", "too_easy", "top"})
"""Filters whose dropped rows carry grades and ranks."""

MOST_DOCUMENTS = 50_000
"""Documents that are read for the figures alone; more where a step or the trainer reads them anyway."""


def measure(pipeline: Pipeline, rows: Rows) -> dict[str, Any]:
    """The figures of the last step's rows, as plain data."""
    return quality(rows, facts_of(pipeline)).to_json()


def known_by(pipeline: Pipeline) -> str:
    """A hash of all that the figures come from."""
    facts = facts_of(pipeline)
    checks = {name: {axis: list(values) for axis, values in axes.items()} for name, axes in facts.checks.items()}
    content = [(run.key, run.content) for run in pipeline.runs]
    return digest_of(content, facts.seed, dict(facts.usage), facts.priced, checks, __version__)


def facts_of(pipeline: Pipeline) -> RunFacts:
    """What a pipeline that has run knows beside its rows. Nothing is read yet but the headers of prompts."""
    return RunFacts(
        seed=pipeline.recipe.head.seed,
        steps=[Fate(run.step.name, run.kept, run.dropped) for run in pipeline.runs],
        usage=total(run.used for run in pipeline.runs),
        priced=pipeline.models.priced,
        corpus=lambda: _corpus(pipeline),
        dropped=_dropped(pipeline),
        checks=_checks(pipeline),
    )


def _corpus(pipeline: Pipeline) -> Corpus | None:
    """The corpus, where it is small or read anyway."""
    documents = sum(run.kept for run in pipeline.runs if run.step.is_source)
    is_read = any(run.step.stage.reads_corpus() for run in pipeline.runs) or pipeline.recipe.head.train is not None
    return pipeline.corpus() if is_read or documents <= MOST_DOCUMENTS else None


def _dropped(pipeline: Pipeline) -> Iterator[Dropped]:
    for run in pipeline.runs:
        if run.step.use in MEASURES and run.dropped:
            yield from read_dropped(run.dropped_file)


def _checks(pipeline: Pipeline) -> Checks:
    """What the prompts of the steps say that a machine can see of their axes."""
    names = {str(name) for run in pipeline.runs if (name := getattr(run.step.stage, "prompt", ""))}
    found: dict[str, dict[str, dict[str, Check]]] = {}
    for name in sorted(names):
        header = Prompt.load(name, pipeline.recipe.folder).header
        for axis, values in header.axes.items():
            checks = {value: drawn.check for value, drawn in values.items()}
            found.setdefault(name, {})[axis] = {value: each for value, each in checks.items() if each is not None}
    return found
