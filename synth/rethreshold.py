"""`synth rethreshold`: what a run would have kept with other thresholds, from the replies it has; nothing is sent.

    synth rethreshold outputs/domain-1f0c22ab judge.least=3

step           kept         dropped  because
consistency    20           2        inconsistent 2
judge          19 -> 12     1 -> 8   irrelevant 0 -> 7, unreadable_answer 1

A new run folder has the steps as they would be. The steps before the first that changes are those of the old one, which
stays as it is. It ends with the export; the command that it prints goes on from there, to train and to measure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from synth.build import Build, carry_out, check_ours
from synth.errors import BackendError, CorpusError, OutputError, RecipeError
from synth.kin import Fate, fates
from synth.pipeline import Pipeline
from synth.progress import Show
from synth.recipe import Recipe, Step
from synth.replay import MissingReplies, Replayed, Replies, off_the_hub, store_of
from synth.rerun import rerun
from synth.runs import DoneStep, RunFolder, open_run
from synth.stages.quota import Quota
from synth.step_run import StepRun, link
from synth.store import locked, read_json, write_json, writing
from synth.terminal import shown
from synth.types import Example
from synth.usage import total

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLES = 3
"""Rows that are shown of those gained and of those lost."""
TEXT = 200
"""Characters of a document that are shown."""
Counts = Mapping[str, int]


class Funnel(NamedTuple):
    """One step before and after: the rows it kept, and dropped by reason; None where the old run had not come to it."""

    step: str
    kept_before: int | None
    dropped_before: Counts
    kept: int
    dropped: Counts


@dataclass(frozen=True, slots=True)
class Moved:
    """A row that is gained or lost, and what becomes of it where it is not kept."""

    row: Example
    fate: Fate | None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        document = self.row.positives[0].full_text if self.row.positives else ""
        fate = self.fate._asdict() if self.fate else None
        return {"id": self.row.id, "query": self.row.query, "positive": document, "else": fate}


@dataclass(slots=True)
class Difference:
    """The rows of the last step before and after: how many came, went and are not as they were, and the first of them.

    A row is not as it was where it has other documents, scores or `meta`.
    """

    gained: int = 0
    lost: int = 0
    changed: int = 0
    some_gained: list[Example] = field(default_factory=list)
    some_lost: list[Example] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rethresholded:
    """What came of it: the new run, and how it differs from the old one."""

    run: RunFolder
    new: RunFolder
    overrides: Sequence[str]
    steps: Sequence[Funnel]
    difference: Difference
    gained: Sequence[Moved]
    lost: Sequence[Moved]
    from_store: int
    warnings: Sequence[str]
    exported: Mapping[str, str]
    command: str

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        rows = {name: getattr(self.difference, name) for name in ("gained", "lost", "changed")}
        return {
            "run": str(self.run.folder),
            "folder": str(self.new.folder),
            "overrides": list(self.overrides),
            "steps": [_plain(each) for each in self.steps],
            "rows": {"before": self.steps[-1].kept_before, "after": self.steps[-1].kept, **rows},
            "gained": [each.to_json() for each in self.gained],
            "lost": [each.to_json() for each in self.lost],
            "requests": {"sent": 0, "from_store": self.from_store},
            "exported": dict(self.exported),
            "warnings": list(self.warnings),
            "command": self.command,
        }

    def print(self, console: "Console") -> None:
        """The funnel before and after, and some of the rows that moved, within 80 columns."""
        console.print(shown(f"{self.run.folder} with {', '.join(self.overrides)}"), soft_wrap=True)
        console.print()
        console.print(_grid(self.steps))
        rows = self.difference
        console.print()
        console.print(f"rows gained: {rows.gained:,}, lost: {rows.lost:,}, changed: {rows.changed:,}; nothing was sent")
        for sign, moved, before in (("+", self.gained, "before"), ("-", self.lost, "now")):
            for each in moved:
                console.print()
                for line in _told(sign, each, before):
                    console.print(shown(line))
        console.print()
        console.print(shown(f"rows       {self.new.folder}"), soft_wrap=True)
        console.print(shown(f"to go on   {self.command}"), soft_wrap=True)
        for warning in self.warnings:
            console.print(shown(f"warning: {warning}"), soft_wrap=True)


def rethreshold(
    folder: Path,
    overrides: Sequence[str],
    output: Path | None = None,
    replies: Path | None = None,
    show: Show | None = None,
) -> Rethresholded:
    """Run the recipe of a run with `step.option=value` changed, from its replies alone, in a folder of its own.

    The folder is `output`, or the one beside the run that `synth run` would take. Embedders that are loaded here are
    asked as ever, a served one has the vectors that were kept. Nothing is trained, but by a `fit` whose rows change,
    and the old run is not touched.

    Raises BackendError where a step needs a reply or a vector that was not kept, and says what would pay for it;
    RecipeError for an override that is wrong or changes nothing; OutputError where the folder is the run's own.
    """
    run = open_run(folder)
    old, new = run.recipe(), run.recipe(overrides)
    if old.resolved() == new.resolved():
        raise RecipeError(f"{' '.join(overrides) or 'no option'}: the run had this already; nothing would change")
    target = output or run.folder.parent / f"{new.name}-{new.hash}"
    if target.resolve() == run.folder.resolve():
        raise OutputError(f"{target}: this is the run itself, which stays as it is; name another folder with --output")
    store = Replies(replies or store_of(run))
    command = rerun(new, target, store.path)
    try:
        with off_the_hub():
            done = _carried_out(run, (old, new), target, store, show or Show())
    except _Unpaid as error:
        raise BackendError(f"{error}, and nothing is sent here; to pay for them: {command}") from error
    finally:
        store.close()
    return _compared(run, done, overrides, command)


class _Unpaid(BackendError):
    """What a step lacks, without the cure."""


def _carried_out(run: RunFolder, recipes: tuple[Recipe, Recipe], target: Path, store: Replies, show: Show) -> Build:
    """The new run. Raises _Unpaid."""
    old, new = recipes
    check_ours(target)
    models = Replayed(new.backends, target, store, _failed(run))
    alone = new.head.engine.model_copy(update={"workers": 1})  # so that one worker counts all that a step lacks
    pipeline = Pipeline(replace(new, head=new.head.model_copy(update={"engine": alone})), target, models)
    with locked(target, lambda: show.say(f"another run works in {target}; waiting for it")):
        same = _same_steps(run, old, new)
        for step_run, step in zip(pipeline.runs, same, strict=False):
            _take_over(step, step_run)
            _recall(run.folder, target, step)
    pipeline.look_ahead()
    done = Build(new, target, pipeline, show, rows_only=True)
    try:
        carry_out(done)
    except MissingReplies as error:
        raise _Unpaid(_lacking(error, pipeline, store)) from error
    except CorpusError:
        if not _keeps_nothing(pipeline):
            raise
    again = (new_run for new_run, step in zip(pipeline.runs, same, strict=False) if new_run.key != step.mark["key"])
    first = next(again, None)
    if first is not None and not any(isinstance(step.stage, Quota) for step in new.steps):  # which draws as it must
        first.warn("made again: what it reads, or synth itself, is not what it was when the run was made")
    return done


def _same_steps(run: RunFolder, old: Recipe, new: Recipe) -> list[DoneStep]:
    """The finished steps before the first that the overrides change."""
    same: list[DoneStep] = []
    if (old.head.corpus, old.head.exclude, old.head.seed) != (new.head.corpus, new.head.exclude, new.head.seed):
        return same
    for done, before, after in zip(run.steps, old.steps, new.steps, strict=False):
        if before != after or _models(old, before) != _models(new, after):
            break
        same.append(done)
    return same


def _models(recipe: Recipe, step: Step) -> list[object]:
    """What a step asks, as the recipe has it."""
    head, stage = recipe.head, step.stage
    asked = [head.backends.get(role) for role in stage.backends_used()]
    return [*asked, *(head.embedders.get(name) for name in stage.embedders_used())]


def _take_over(step: DoneStep, run: StepRun) -> None:
    """Have a step of the old run stand in the new one, whatever has become of the files that it read."""
    run.content_read = str(step.mark["content_read"])
    there = read_json(run.folder / "done.json")
    if there is None or there.get("key") != step.mark["key"]:
        with writing(run.folder):
            link(step.folder, run.folder)


def _recall(old: Path, new: Path, step: DoneStep) -> None:
    """Hand on how often a quota had its maker draw, as long as nothing up to it changes."""
    mark = read_json(old / "marks" / f"quota-{step.name}.json")
    if mark is not None:
        write_json(new / "marks" / f"quota-{step.name}.json", mark)


def _failed(run: RunFolder) -> dict[str, str]:
    """The rows whose requests failed in the run, with the reason: they fail again."""
    found: dict[str, str] = {}
    for before, step in pairwise(run.steps):
        if "failed_request" not in step.mark["dropped"]:
            continue
        came_in = set(before.kept.column("id"))
        for dropped in step.dropped():
            row = dropped.example
            if dropped.reason == "failed_request":  # what it was asked for is the row, or the one it would be made of
                found |= dict.fromkeys([row.id] if row.id in came_in else row.parents, dropped.detail)
    return found


def _keeps_nothing(pipeline: Pipeline) -> bool:
    """True where all steps are done and no row is left: that is an answer too."""
    return all((run.folder / "done.json").is_file() for run in pipeline.runs) and pipeline.runs[-1].kept == 0


def _lacking(error: MissingReplies, pipeline: Pipeline, store: Replies) -> str:
    """Which step lacks how much, in words."""
    if error.embedder:
        step = next(run.step for run in pipeline.runs if run.running)
        return f"step {step.name}: {error.missing:,} texts or more have no vector or score of {error.embedder!r} kept"
    step = next(run.step for run in pipeline.runs if run.key == error.key)
    place = store.path if store.is_there else f"{store.path}, which is not there"
    later = any(run.step.stage.backends_used() for run in pipeline.runs[step.number + 1 :])
    more = " (later steps may need more)" if later else ""
    return f"step {step.name}: {error.missing:,} of its {error.asked:,} requests have no reply in {place}{more}"


def _compared(run: RunFolder, done: Build, overrides: Sequence[str], command: str) -> Rethresholded:
    new = RunFolder(done.folder)
    before = {step.name: step for step in run.steps}
    last = run.steps[-1]
    found = _difference(last, new.step(last.name))
    was = fates(run, {row.id for row in found.some_gained})
    now = fates(new, {row.id for row in found.some_lost})
    return Rethresholded(
        run,
        new,
        overrides,
        [_funnel(each, before.get(each.step.name)) for each in done.pipeline.runs],
        found,
        [Moved(row, was.get(row.id)) for row in found.some_gained],
        [Moved(row, now.get(row.id)) for row in found.some_lost],
        int(total(each.used for each in done.pipeline.runs)["from_store"]),
        done.pipeline.warnings,
        done.exported,
        command,
    )


def _difference(before: DoneStep, after: DoneStep) -> Difference:
    """The rows that came and went; both files are sorted by id."""
    found = Difference()
    if before.mark["content"] == after.mark["content"]:
        return found
    olds, news = iter(before.kept), iter(after.kept)
    old, new = next(olds, None), next(news, None)
    while old is not None or new is not None:
        if new is None or (old is not None and old.id < new.id):
            found.lost += 1
            found.some_lost += [old] if old is not None and found.lost <= EXAMPLES else []
            old = next(olds, None)
        elif old is None or new.id < old.id:
            found.gained += 1
            found.some_gained += [new] if found.gained <= EXAMPLES else []
            new = next(news, None)
        else:
            found.changed += old != new
            old, new = next(olds, None), next(news, None)
    return found


def _funnel(run: StepRun, before: DoneStep | None) -> Funnel:
    mark = before.mark if before is not None else {"kept": None, "dropped": {}}
    return Funnel(run.step.name, mark["kept"], mark["dropped"], run.kept, run.dropped)


def _plain(funnel: Funnel) -> dict[str, Any]:
    before = {"kept": funnel.kept_before, "dropped": dict(funnel.dropped_before)}
    after = {"kept": funnel.kept, "dropped": dict(funnel.dropped)}
    return {"step": funnel.step, "before": before if funnel.kept_before is not None else None, "after": after}


def _grid(steps: Sequence[Funnel]) -> Any:
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("step", overflow="fold", max_width=18)
    for name in ("kept", "dropped"):
        grid.add_column(name, no_wrap=True)
    grid.add_column("because", overflow="fold", max_width=36)
    for each in steps:
        before, after = each.dropped_before, each.dropped
        is_new = each.kept_before is None
        gone = None if is_new else sum(before.values())
        reasons = sorted({*before, *after})
        why = [f"{name} {_arrow(None if is_new else before.get(name, 0), after.get(name, 0))}" for name in reasons]
        grid.add_row(each.step, _arrow(each.kept_before, each.kept), _arrow(gone, sum(after.values())), ", ".join(why))
    return grid


def _arrow(before: int | None, after: int) -> str:
    """A count, and what it was where it was another.

    >>> _arrow(1200, 900), _arrow(5, 5), _arrow(None, 7)
    ('1,200 -> 900', '5', '7')
    """
    return f"{after:,}" if before is None or before == after else f"{before:,} -> {after:,}"


def _told(sign: str, moved: Moved, when: str) -> Iterator[str]:
    row, fate = moved.row, moved.fate
    yield "  ".join(filter(None, (f"{sign} {row.id}", row.language, row.query)))
    if row.positives:
        text = " ".join(row.positives[0].full_text.split())
        yield "  " + (text if len(text) <= TEXT else text[:TEXT] + " …")
    yield f"  {when}: {fate.told if fate else 'not made'}"
