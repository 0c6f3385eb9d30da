"""A rehearsal of a run: the first rows go through the steps with made-up replies, to see what would be asked.

Nothing is sent and nothing is written. Filters let every row pass here, so the figures are the most a run can ask.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from synth.backend import Request, Sampling
from synth.estimate import Asked, Forecast
from synth.prices import price_of
from synth.recipe import Recipe, Step
from synth.recorder import Recorder
from synth.registry import is_filter
from synth.stage import Context, RowList
from synth.types import Dropped, Example

SAMPLE = 20
"""Rows that go through the steps."""
MOST_COUNTED = 20_000
"""Documents that are counted before it is said that there are more."""


@dataclass(slots=True)
class Rehearsal:
    """What was seen: documents, those that cannot be read, whether there are more, and what each step would ask."""

    recipe: Recipe
    within_s: float | None = None
    documents: int = 0
    more: bool = False
    unreadable: int = 0
    asked: list[Asked] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def forecast(self) -> Forecast:
        """What the run would ask."""
        return Forecast(tuple(self.asked), self.more)


def rehearse(recipe: Recipe, within_s: float | None = None) -> Rehearsal:
    """Send the first rows of a recipe through its steps, without a model. Raises SynthError for what is wrong.

    All documents are counted up to `MOST_COUNTED`, or those that can be read `within_s` seconds.
    """
    seen = Rehearsal(recipe, within_s)
    rows: list[Example] = []
    scale = 1.0
    for step in recipe.steps:
        if step.is_source:
            rows += _read(step, seen)
            scale = max(seen.documents / max(len(rows), 1), 1.0)
        else:
            rows = _ahead(step, rows, seen, scale)
    return seen


def _context(step: Step, seen: Rehearsal, recorder: Recorder) -> Context:
    recipe, warn = seen.recipe, seen.warnings.append
    roles = dict.fromkeys(step.stage.backends_used(), recorder)
    return recipe.context(step, backends=roles, warn=warn)


def _read(step: Step, seen: Rehearsal) -> list[Example]:
    """The first rows of a source, after counting them all."""
    first: list[Example] = []
    until_s = None if seen.within_s is None else time.monotonic() + seen.within_s
    for outcome in step.stage.run(RowList(()), _context(step, seen, Recorder())):
        if isinstance(outcome, Dropped):
            seen.unreadable += 1
        else:
            seen.documents += 1
            if len(first) < SAMPLE:
                first.append(outcome)
        late = until_s is not None and len(first) == SAMPLE and time.monotonic() > until_s
        if late or seen.documents >= MOST_COUNTED:
            seen.more = True
            break
    return first


def _ahead(step: Step, rows: Sequence[Example], seen: Rehearsal, scale: float) -> list[Example]:
    """What becomes of the sample in one step; what it asks is counted."""
    stage = step.stage
    if not stage.backends_used() and (is_filter(type(stage)) or stage.reads_corpus() or stage.embedders_used()):
        return list(rows)
    chosen = [row for row in rows if step.where.names(row)]
    recorder = Recorder(sampling=_sampling(step, seen.recipe))
    outcomes = list(stage.run(RowList(chosen), _context(step, seen, recorder)))
    if recorder.asked:
        seen.asked.append(_counted(step, seen.recipe, recorder.asked, scale))
    if is_filter(type(stage)):
        return list(rows)
    made = [outcome for outcome in outcomes if isinstance(outcome, Example)]
    return [row for row in rows if not step.where.names(row)] + made


def _sampling(step: Step, recipe: Recipe) -> Sampling:
    return next((recipe.backends[role].sampling for role in _roles(step, recipe)), Sampling())


def _roles(step: Step, recipe: Recipe) -> Iterator[str]:
    yield from (role for role in step.stage.backends_used() if role in recipe.backends)


def _counted(step: Step, recipe: Recipe, asked: Sequence[Request], scale: float) -> Asked:
    bytes_in = sum(len(m.content.encode("utf-8", "replace")) for request in asked for m in request.messages)
    tokens_out = sum(request.sampling.most_tokens for request in asked)
    backend = next((recipe.backends[role] for role in _roles(step, recipe)), None)
    return Asked(
        step.name,
        requests=round(len(asked) * scale),
        bytes_in=round(bytes_in * scale),
        most_tokens_out=round(tokens_out * scale),
        price=price_of(backend) if backend is not None else None,
        model=backend.model if backend is not None else "",
        first=asked[0],
    )
