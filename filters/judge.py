"""Drop rows whose positive does not answer the query, as models judge it.

    "how high is the Zugspitze?"  with a text on the railway up to it  ->  judged 1, least is 2: irrelevant

    - {use: judge, least: 2}                                            a grade from 0 to 3, as UMBRELA has it
    - {use: judge, prompt: judge/criteria, least: 7}                    four criteria from 1 to 10, their mean
    - {use: judge, prompt: judge/yes_no, least: 0.5}                    the probability of yes, by log-probabilities
    - {use: judge, prompt: judge/against_first}                         a grade, after all that speaks against it
    - {use: judge, backend: [qwen, llama, gemma], vote: majority}       three judges' votes
    - {use: judge, backend: cheap, then: strong, unsure: [1, 2]}        a strong one for what a cheap one is unsure of

Grades: UMBRELA (arXiv 2406.06519); a panel of several small judges: Verga et al. (2404.18796); yes or no by
log-probability: Sun et al. (2304.09542), Zhuang et al. (2310.14122).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from synth.errors import RecipeError
from synth.judging import Case, Panel, Verdict, pair_of
from synth.stage import Context
from synth.types import Dropped, Example


class Judge(Panel):
    """Keep rows whose first positive is judged `least` or more for its query: one request a row and judge.

    The verdict stays on the positive: `scores["judge"]` on the prompt's own scale, and `relevance` from 0 to 1. Judges
    that are farther apart than `most_apart` have the row dropped as `disputed`, unless `then` has the last word. Of
    several, one that cannot be read does not vote. A row without a query or a positive is dropped unasked, and so is
    one that no judge's verdict can be read for. For pairs that are merely alike (STS, bitext) such a grade says little:
    give those another prompt, or spare them with `where:`.
    """

    version: ClassVar[int] = 2

    least: float | None = Field(
        default=None, description="lowest score that is kept; if unset two thirds up the scale, 2 of 0 to 3"
    )

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Each row with its verdict, kept or dropped, as the verdicts come."""
        self._check_least(ctx)
        waiting: dict[str, Example] = {}
        unasked: deque[Example] = deque()
        for verdict in self.verdicts(_cases(rows, waiting, unasked), ctx):
            yield self._fate(waiting.pop(verdict.case.id), verdict, ctx.step or "judge")
            yield from _without_question(unasked)
        yield from _without_question(unasked)

    def content_read(self, ctx: Context) -> str:
        """The hash of the prompt's text. Raises RecipeError where `least` lies outside its scale."""
        self._check_least(ctx)
        return super().content_read(ctx)

    def _check_least(self, ctx: Context) -> None:
        _, scale = self.asked_of(ctx)
        if self.least is not None and not scale.low <= self.least <= scale.high:
            between = f"{scale.low:g} and {scale.high:g}"
            raise RecipeError(f"step {ctx.step}: least: must be between {between}, as {self.prompt} grades")

    def _fate(self, row: Example, verdict: Verdict, step: str) -> Example | Dropped:
        meta = {**row.meta, step: verdict.told()}
        judged = replace(row, positives=(verdict.noted(row.positive), *row.positives[1:]), meta=meta)
        least = verdict.scale.least if self.least is None else self.least
        if verdict.score is None:
            return Dropped(judged, verdict.unread.reason, verdict.unread.detail)
        if self.most_apart is not None and verdict.apart > self.most_apart:
            scores = ", ".join("none" if o.score is None else f"{o.score:g}" for o in verdict.opinions)
            return Dropped(judged, "disputed", f"judged {scores}: more than {self.most_apart:g} apart")
        if verdict.score >= least:
            return judged
        why = f": {verdict.why}" if verdict.why else ""
        return Dropped(judged, "irrelevant", f"judged {verdict.score:g}, least is {least:g}{why}")


def _cases(rows: Iterable[Example], waiting: dict[str, Example], unasked: deque[Example]) -> Iterator[Case]:
    """The rows that a judge can be asked about, noted in `waiting`; the others go to `unasked`."""
    for row in rows:
        if row.query.strip() and row.positives:
            waiting[row.id] = row
            yield Case(row.id, pair_of(row, row.positive))
        else:
            unasked.append(row)


def _without_question(unasked: deque[Example]) -> Iterator[Dropped]:
    while unasked:
        row = unasked.popleft()
        yield Dropped(row, "irrelevant", "there is no positive to judge" if row.query.strip() else "there is no query")
