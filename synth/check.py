"""`synth check`: the first rows go through the steps with made-up replies, to see what a run would ask and cost.

Nothing is sent and nothing is written. Filters let every row pass here, so the figures are the most a run can ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from synth.backend import Backend, Request
from synth.build import missing, test_sets
from synth.errors import CorpusError
from synth.recipe import Recipe, Step
from synth.recorder import Recorder
from synth.registry import is_filter
from synth.stage import Context, RowList
from synth.terminal import shown
from synth.types import Dropped, Example

if TYPE_CHECKING:
    from rich.console import Console

SAMPLE = 20
"""Rows that go through the steps."""
MOST_COUNTED = 20_000
"""Documents that are counted before it is said that there are more."""
BYTES_A_TOKEN = 4.0
"""A guess for text in Latin script; the first real replies of a run correct it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one step would ask: requests, tokens in at a guess, tokens out at most, and its first request."""

    step: str
    requests: int
    tokens_in: int
    most_tokens_out: int
    first: Request | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        prompt = [{"role": m.role, "content": m.content} for m in self.first.messages] if self.first else []
        return {
            "step": self.step,
            "requests": self.requests,
            "tokens_in": self.tokens_in,
            "most_tokens_out": self.most_tokens_out,
            "prompt": prompt,
            "schema": dict(self.first.schema or {}) if self.first else {},
        }


@dataclass(slots=True)
class Plan:
    """What a run would do. `missing`: what it needs and has not; `more`: there are more documents than were counted."""

    recipe: Recipe
    documents: int = 0
    more: bool = False
    unreadable: int = 0
    asked: list[Asked] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "recipe": self.recipe.name,
            "documents": self.documents,
            "more": self.more,
            "unreadable": self.unreadable,
            "requests": sum(step.requests for step in self.asked),
            "tokens": sum(step.tokens_in + step.most_tokens_out for step in self.asked),
            "usd": None,
            "steps": [step.to_json() for step in self.asked],
            "missing": self.missing,
            "warnings": self.warnings,
        }

    def print(self, console: "Console") -> None:
        """The plan for a person, within 80 columns."""
        many = f"{'at least ' if self.more else ''}{self.documents:,} documents"
        console.print(f"{self.recipe.name}: {len(self.recipe.steps)} steps, {many}, {self.unreadable:,} unreadable")
        for step in self.asked:
            console.print()
            console.print(f"{step.step}: {'at least ' if self.more else ''}{step.requests:,} requests")
            console.print(f"  about {step.tokens_in:,} tokens in (guessed from the bytes)")
            console.print(f"  at most {step.most_tokens_out:,} tokens out")
            if step.first:
                console.print("  the first one:")
                for message in step.first.messages:
                    console.print(f"  [{message.role}]")
                    for line in message.content.splitlines():
                        console.print(f"    {shown(line)}")
        if not self.asked:
            console.print("no model is asked: it costs nothing but time")
        for line in [*(f"missing: {m}" for m in self.missing), *(f"warning: {w}" for w in self.warnings)]:
            console.print()
            console.print(shown(line), soft_wrap=True)


def check(recipe: Recipe) -> Plan:
    """Look ahead at a run. Raises SynthError for what is wrong; what is only missing is told in the plan."""
    plan = Plan(recipe)
    plan.missing += [str(error) for error in missing(recipe)]
    test_sets(recipe)
    rows: list[Example] = []
    scale = 1.0
    for step in recipe.steps:
        if step.is_source:
            rows += _read(step, plan)
            scale = max(plan.documents / max(len(rows), 1), 1.0)
        else:
            rows = _ahead(step, rows, plan, scale)
    if not plan.documents:
        raise CorpusError(f"{recipe.name}: the sources give no documents")
    return plan


def _context(step: Step, plan: Plan, recorder: Recorder) -> Context:
    recipe, warn = plan.recipe, plan.warnings.append
    roles = dict.fromkeys(step.stage.backends_used(), recorder)
    return Context(step=step.name, seed=recipe.head.seed, source=recipe.source, backends=roles, warn=warn)


def _read(step: Step, plan: Plan) -> list[Example]:
    """The first rows of a source, after counting them all."""
    first: list[Example] = []
    for outcome in step.stage.run(RowList(()), _context(step, plan, Recorder())):
        if isinstance(outcome, Dropped):
            plan.unreadable += 1
            continue
        plan.documents += 1
        if len(first) < SAMPLE:
            first.append(outcome)
        if plan.documents >= MOST_COUNTED:
            plan.more = True
            break
    return first


def _ahead(step: Step, rows: Sequence[Example], plan: Plan, scale: float) -> list[Example]:
    """What becomes of the sample in one step; what it asks is added to the plan."""
    stage = step.stage
    if not stage.backends_used() and (is_filter(type(stage)) or stage.reads_corpus() or stage.embedders_used()):
        return list(rows)
    chosen = [row for row in rows if step.where.names(row)]
    recorder = Recorder(sampling=_sampling(plan.recipe, stage.backends_used()))
    outcomes = list(stage.run(RowList(chosen), _context(step, plan, recorder)))
    if recorder.asked:
        plan.asked.append(_counted(step.name, recorder.asked, scale))
    if is_filter(type(stage)):
        return list(rows)
    made = [outcome for outcome in outcomes if isinstance(outcome, Example)]
    return [row for row in rows if not step.where.names(row)] + made


def _sampling(recipe: Recipe, roles: Sequence[str]) -> Any:
    known = [recipe.backends[role].sampling for role in roles if role in recipe.backends]
    return known[0] if known else Backend.model_fields["sampling"].default


def _counted(step: str, asked: Sequence[Request], scale: float) -> Asked:
    bytes_in = sum(len(m.content.encode("utf-8", "replace")) for request in asked for m in request.messages)
    tokens_out = sum(request.sampling.most_tokens for request in asked)
    return Asked(
        step,
        requests=round(len(asked) * scale),
        tokens_in=round(bytes_in / BYTES_A_TOKEN * scale),
        most_tokens_out=round(tokens_out * scale),
        first=next(islice(asked, 1), None),
    )
