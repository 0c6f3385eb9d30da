"""`synth check`: what a run would ask, take and cost at most, seen from a rehearsal with its first rows.

Nothing is sent and nothing is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synth.backend import Message, Price, Request
from synth.build import REPLIES, missing, test_sets
from synth.errors import CorpusError, MissingExtra
from synth.estimate import Asked, Measure, about, amount, usd_of
from synth.filling import filled
from synth.forecast import Rehearsal, rehearse
from synth.needs import embedders, of_recipe
from synth.recipe import Recipe
from synth.replies import Spent
from synth.reply_book import mean_reply_tokens
from synth.schema_words import lines_of

if TYPE_CHECKING:
    from rich.console import Console

FIRST, LAST = 8, 4
"""Lines of each part of a prompt that are shown from its beginning and from its end, unless it is shown whole."""
FEWEST_LEFT_OUT = 4
"""Where fewer would be left out, none is."""
MARGIN = "    "
"""What the lines of a prompt are moved in by."""


@dataclass(slots=True)
class Plan:
    """What a run would do. `missing`: what it needs and has not; `likely`: the usual tokens of each model's replies."""

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
        if self.usd is None or any(asked.model not in self.likely for asked in self.seen.asked):
            return None
        return sum(self._likely_usd(asked) for asked in self.seen.asked)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "recipe": self.recipe.name,
            "rows": self.seen.rows,
            "documents": self.seen.documents,
            "more": self.seen.more,
            "unreadable": self.seen.unreadable,
            "made": self.seen.made,
            "requests": self.takes.requests,
            "tokens": self.takes.tokens,
            "usd": None if self.usd is None else round(self.usd, 6),
            "likely_usd": None if self.likely_usd is None else round(self.likely_usd, 6),
            "budget": self.recipe.head.budget.model_dump(exclude_none=True),
            "covered": self._covered(),
            "steps": [asked.to_json() for asked in self.seen.asked],
            "needs": of_recipe(self.recipe),
            "embedders": dict(self._embedders()),
            "missing": self.missing,
            "warnings": self.seen.warnings,
        }

    def print(self, console: "Console", whole: bool = False) -> None:
        """The plan for a person, within the width of the terminal; prompts `whole`, or how they begin and end."""
        for line in self._first_lines():
            console.print(line)
        for asked in self.seen.asked:
            console.print()
            for line in self._of(asked):
                console.print(line)
            if asked.first is not None:
                _print_request(asked.first, console, whole)
        console.print()
        for line in self._totals():
            console.print(line)
        for line in [*(f"missing: {m}" for m in self.missing), *(f"warning: {w}" for w in self.seen.warnings)]:
            console.print()
            for part in filled(line, console.width):
                console.print(part, soft_wrap=True)

    @property
    def _least(self) -> str:
        return "at least " if self.seen.more else ""

    def _first_lines(self) -> Iterator[str]:
        """What there is to begin with, and what steps need that ask no model."""
        seen, steps = self.seen, len(self.recipe.steps)
        noun = "documents" if seen.documents == seen.rows else "rows"
        many = amount(noun, seen.rows)
        yield f"{self.recipe.name}: {amount('steps', steps)}, {self._least}{many}, {seen.unreadable:,} unreadable"
        for name, needs in self._embedders():
            yield f"{name} asks the {' and the '.join(needs)}"
        if len({asked.step for asked in seen.asked}) > 1:
            yield "What models write is made up here, of words of their prompts."

    def _embedders(self) -> Iterator[tuple[str, list[str]]]:
        """The steps that ask embedders, with what each of those is."""
        places = self.recipe.head.embedders
        for step in self.recipe.steps:
            asked = {name: places.get(name.removeprefix("embedder "), "") for name in embedders(step, self.recipe)}
            told = [f"{name} ({place})" if isinstance(place, str) and place else name for name, place in asked.items()]
            if told:
                yield step.name, told

    def _of(self, asked: Asked) -> Iterator[str]:
        """What one step asks of one model."""
        number = next(step.number for step in self.recipe.steps if step.name == asked.step) + 1
        whom = f"to {asked.role}, {asked.model}" if asked.model else f"to {asked.role}"
        yield f"{asked.step} (step {number}): {self._least}{amount('requests', asked.requests)} {whom}"
        yield f"  in:    about {asked.tokens_in:,} tokens, {asked.counted_by}"
        yield f"  out:   at most {asked.most_tokens_out:,} tokens"
        yield f"  cost:  {self._cost(asked)}"
        if asked.needs:
            yield f"  needs: {', '.join(asked.needs)}"

    def _cost(self, asked: Asked) -> str:
        if asked.usd is None or asked.price is None:
            return "its price is not known"
        if asked.price == Price():
            return "nothing, by its price or because it runs here"
        told = f"up to {amount('usd', asked.usd)}"
        if asked.model in self.likely:
            usual = f"about {self.likely[asked.model]:,.0f} tokens, as its latest"
            told += f", likely {about('usd', self._likely_usd(asked))}: replies of {usual}"
        return told

    def _totals(self) -> list[str]:
        """What it costs, and how far the budget goes."""
        rows = f"{self._least}{amount('rows', self.seen.made)} come of it if no filter drops any"
        if not self.seen.asked:
            return [rows, "no model is asked: it costs nothing but time"]
        takes = self.takes
        dollars = "a price is not known" if self.usd is None else f"up to {amount('usd', self.usd)}"
        dollars = dollars if self.usd != 0 else "no money"
        dollars += f", likely {about('usd', self.likely_usd)}" if self.likely_usd else ""
        lines = [f"in all: {self._least}{amount('requests', takes.requests)}, {takes.tokens:,} tokens, {dollars}"]
        covered, budget = self._covered(), self.recipe.head.budget
        if covered is not None:
            share = "all of it" if covered >= 1 else f"{covered:.0%} of it"
            lines.append(f"the budget of {budget.told()} covers {share}, every reply as long as it may be")
        return [rows, *lines]

    def _likely_usd(self, asked: Asked) -> float:
        return usd_of(asked.price or Price(), asked.tokens_in, round(asked.requests * self.likely[asked.model]))

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
    gone = [str(error) for error in (*missing(recipe), *_extras(recipe))]
    test_sets(recipe)
    seen = rehearse(recipe)
    if not seen.rows and not seen.made:
        raise CorpusError(f"{recipe.name}: the sources give no rows")
    usual = {asked.model: mean_reply_tokens(REPLIES, asked.model) for asked in seen.asked}
    return Plan(recipe, seen, gone, {model: mean for model, mean in usual.items() if mean is not None})


def _extras(recipe: Recipe) -> Iterator[MissingExtra]:
    """What steps miss that look at what they read from disk. Raises SynthError for what is wrong with that."""
    for step in recipe.steps:
        if not step.is_source:  # sources are read in the rehearsal
            try:
                step.stage.content_read(recipe.context(step))
            except MissingExtra as error:
                yield error


def _print_request(request: Request, console: "Console", whole: bool) -> None:
    """The parts of a request, and the answer that it asks for."""
    for message in request.messages:
        _print_part(_role(request, message), message.content, console, whole)
    if request.schema is not None:
        _print_part("answer", "\n".join(lines_of(request.schema)), console, whole)


def _role(request: Request, message: Message) -> str:
    return "text to be weighed" if request.is_weighed and message is request.messages[-1] else message.role


def _print_part(role: str, text: str, console: "Console", whole: bool) -> None:
    console.print(f"  [{role}]")
    lines = filled(text, console.width, MARGIN)
    gone = 0 if whole else len(lines) - FIRST - LAST
    if gone >= FEWEST_LEFT_OUT:
        lines = [*lines[:FIRST], f"{MARGIN}… {gone} lines more, which --whole shows …", *lines[-LAST:]]
    for line in lines:
        console.print(line, soft_wrap=True)
