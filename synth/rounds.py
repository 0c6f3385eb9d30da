"""Rounds of a line of steps that ends in a quota: which maker draws more, and how many draws were enough last time."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from synth.stages.quota import Quota
from synth.store import StoredRows, read_json, write_json
from synth.types import digest_of

if TYPE_CHECKING:
    from synth.step_run import StepRun

DRAWS = "per_document"
_NEVER = -1


class Rounds:
    """The quotas of one recipe: after each, whether a step before it draws more and the steps from there run again."""

    def __init__(self, runs: Sequence["StepRun"], folder: Path) -> None:
        self._runs = list(runs)
        self._asked = [run.step for run in runs]
        self._folder = folder
        self._number: dict[str, int] = {}

    def recall(self) -> None:
        """Let each maker draw as often as was enough in an earlier run of this recipe: its steps are still done."""
        for run in self._runs:
            maker = self._maker(run)
            mark = read_json(self._mark(run)) if maker else None
            if maker and mark and mark.get("plan") == self._plan(run):
                _draw(maker, int(mark["draws"]))
                self._number[run.step.name] = _NEVER

    def again(self, run: "StepRun") -> "StepRun | None":
        """After a step has run: the maker from which the steps run once more, with more draws; None where all is well.

        No further round is begun where a budget left rows of the maker unasked.
        """
        stage, maker = run.step.stage, self._maker(run)
        number = self._number.get(run.step.name, 0)
        if not isinstance(stage, Quota) or maker is None or number == _NEVER or "over_budget" in maker.dropped:
            return None
        now = int(getattr(maker.step.stage, DRAWS))
        more = stage.draws(now, stage.counts(StoredRows(run.kept_file)))
        if number >= stage.most_rounds or more == now:
            write_json(self._mark(run), {"plan": self._plan(run), "draws": now})
            return None
        self._number[run.step.name] = number + 1
        _draw(maker, more)
        return maker

    def _maker(self, quota: "StepRun") -> "StepRun | None":
        """The last step before a quota that has a number of draws; None for a step that is no quota."""
        if not isinstance(quota.step.stage, Quota):
            return None
        before = self._runs[: self._runs.index(quota)]
        return next((run for run in reversed(before) if DRAWS in type(run.step.stage).model_fields), None)

    def _mark(self, quota: "StepRun") -> Path:
        return self._folder / "marks" / f"quota-{quota.step.name}.json"

    def _plan(self, quota: "StepRun") -> str:
        """What the draws depend on: the steps up to the quota as the recipe has them, and what they read."""
        number = self._runs.index(quota) + 1
        steps = zip(self._asked[:number], self._runs[:number], strict=True)
        return digest_of([[s.use, s.name, s.stage.model_dump(mode="json"), run.content_read] for s, run in steps])


def _draw(run: "StepRun", draws: int) -> None:
    run.step = replace(run.step, stage=run.step.stage.model_copy(update={DRAWS: draws}))
