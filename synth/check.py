"""`synth check`: what a run would ask, take and cost at most, seen from a rehearsal with its first rows.

Nothing is sent and nothing is written.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synth.backend import Price
from synth.build import REPLIES, missing, test_sets
from synth.errors import CorpusError
from synth.estimate import Asked, Measure, about, amount, usd_of
from synth.forecast import Rehearsal, rehearse
from synth.recipe import Recipe
from synth.replies import Spent
from synth.reply_book import mean_reply_tokens
from synth.terminal import shown

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(slots=True)
class Plan:
    """What a run would do. `missing`: what it needs and has not; `likely`: the usual tokens of each step's replies."""

    recipe: Recipe
    seen: Rehearsal
    missing: list[str] = field(default_factory=list)
    likely: dict[str, float] = field(default_factory=dict)

    @property
    def takes(self) -> Spent:
        """What all of it takes, every reply as long as it may be."""
        return self.seen.forecast.takes(Measure())

    @property
    def usd(self) -> float | None:
        """US dollars at most; None where a model's price is not known."""
        return self.takes.usd if self.seen.forecast.priced else None

    @property
    def likely_usd(self) -> float | None:
        """US dollars if replies are as long as the latest ones of their models; None where those are not known."""
        if self.usd is None or any(step.step not in self.likely for step in self.seen.asked):
            return None
        return sum(self._likely_usd(step) for step in self.seen.asked)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "recipe": self.recipe.name,
            "documents": self.seen.documents,
            "more": self.seen.more,
            "unreadable": self.seen.unreadable,
            "requests": self.takes.requests,
            "tokens": self.takes.tokens,
            "usd": None if self.usd is None else round(self.usd, 6),
            "likely_usd": None if self.likely_usd is None else round(self.likely_usd, 6),
            "budget": self.recipe.head.budget.model_dump(exclude_none=True),
            "covered": self._covered(),
            "steps": [step.to_json() for step in self.seen.asked],
            "missing": self.missing,
            "warnings": self.seen.warnings,
        }

    def print(self, console: "Console") -> None:
        """The plan for a person, within 80 columns."""
        seen = self.seen
        many = f"{self._least}{seen.documents:,} documents"
        console.print(f"{self.recipe.name}: {len(self.recipe.steps)} steps, {many}, {seen.unreadable:,} unreadable")
        for step in seen.asked:
            self._print_step(step, console)
        console.print()
        for line in self._totals():
            console.print(line)
        for line in [*(f"missing: {m}" for m in self.missing), *(f"warning: {w}" for w in seen.warnings)]:
            console.print()
            console.print(shown(line), soft_wrap=True)

    @property
    def _least(self) -> str:
        return "at least " if self.seen.more else ""

    def _print_step(self, step: Asked, console: "Console") -> None:
        console.print()
        console.print(f"{step.step}: {self._least}{amount('requests', step.requests)}")
        console.print(f"  about {step.tokens_in:,} tokens in (guessed from the bytes)")
        console.print(f"  at most {step.most_tokens_out:,} tokens out")
        if step.price is not None:
            console.print(f"  up to {amount('usd', usd_of(step.price, step.tokens_in, step.most_tokens_out))}")
            if step.step in self.likely:
                usual = f"about {self.likely[step.step]:,.0f} tokens, as the latest of {step.model}"
                console.print(f"  likely {about('usd', self._likely_usd(step))}: replies of {usual}", soft_wrap=True)
        if step.first:
            console.print("  the first one:")
            for message in step.first.messages:
                console.print(f"  [{message.role}]")
                for line in message.content.splitlines():
                    console.print(f"    {shown(line)}")

    def _totals(self) -> list[str]:
        """What it costs, and how far the budget goes."""
        if not self.seen.asked:
            return ["no model is asked: it costs nothing but time"]
        takes = self.takes
        dollars = "its price is not known" if self.usd is None else f"up to {amount('usd', self.usd)}"
        dollars += f", likely {about('usd', self.likely_usd)}" if self.likely_usd else ""
        lines = [f"in all: {self._least}{amount('requests', takes.requests)}, {takes.tokens:,} tokens, {dollars}"]
        covered, budget = self._covered(), self.recipe.head.budget
        if covered is not None:
            share = "all of it" if covered >= 1 else f"{covered:.0%} of it"
            lines.append(f"the budget of {budget.told()} covers {share}, every reply as long as it may be")
        return lines

    def _likely_usd(self, step: Asked) -> float:
        return usd_of(step.price or Price(), step.tokens_in, round(step.requests * self.likely[step.step]))

    def _covered(self) -> float | None:
        """The share of the run that its budget covers for sure, up to 1; None without a budget that can be compared."""
        caps = {name: cap for name, cap in self.recipe.head.budget.named().items() if name != "gpu_s"}
        if self.usd is None:
            caps.pop("usd", None)
        if not caps or not self.seen.asked:
            return None
        takes = self.takes
        shares = [float(cap / max(getattr(takes, name), 1e-9)) for name, cap in caps.items()]
        return round(min(1.0, *shares), 4)


def check(recipe: Recipe) -> Plan:
    """Look ahead at a run. Raises SynthError for what is wrong; what is only missing is told in the plan."""
    gone = [str(error) for error in missing(recipe)]
    test_sets(recipe)
    seen = rehearse(recipe)
    if not seen.documents:
        raise CorpusError(f"{recipe.name}: the sources give no documents")
    usual = {step.step: mean_reply_tokens(REPLIES, step.model) for step in seen.asked}
    return Plan(recipe, seen, gone, {step: mean for step, mean in usual.items() if mean is not None})
