"""A rehearsal of a run: the first rows go through the steps with made-up replies, to see what would be asked.

Nothing is sent and nothing is written. Filters let every row pass here, so the figures are the most a run can ask. Of
each kind of rows some go through (rows are of a kind if the same steps are for them), and each stands for so many.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import TYPE_CHECKING

from synth.backend import Request
from synth.errors import RecipeError
from synth.estimate import Asked, Forecast
from synth.needs import of_backend, of_requests
from synth.prices import price_of
from synth.recipe import Recipe, Step, Where
from synth.recorder import Recorder
from synth.registry import is_filter
from synth.stage import Context, RowList
from synth.stages.quota import Quota
from synth.stages.stratify import Stratify
from synth.tokens import counter_of
from synth.types import Document, Dropped, Example
from synth.values import with_given

if TYPE_CHECKING:
    from synth.retrieval import Corpus

SAMPLE = 20
"""Rows of each kind that go through the steps."""
MOST_COUNTED = 20_000
"""Rows of a source that are counted before it is said that there are more."""
STAND_INS = 5
"""Texts of the sample that stand for what a search would give a prompt to read."""

Kind = tuple[bool, ...]


@dataclass(slots=True)
class Rehearsal:
    """What was seen: rows of the sources, those of them with a document, and what each step would ask.

    `more`: there are more rows than were counted. `made`: the rows that are left at the end, filters letting all pass.
    """

    recipe: Recipe
    within_s: float | None = None
    rows: int = 0
    documents: int = 0
    more: bool = False
    unreadable: int = 0
    made: int = 0
    asked: list[Asked] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def forecast(self) -> Forecast:
        """What the run would ask."""
        return Forecast(tuple(self.asked), self.more)


def rehearse(recipe: Recipe, within_s: float | None = None) -> Rehearsal:
    """Send the first rows of a recipe through its steps, without a model. Raises SynthError for what is wrong.

    All rows of the sources are counted up to `MOST_COUNTED`, or those that can be read in `within_s` seconds each.
    """
    seen = Rehearsal(recipe, within_s)
    sample = _Sample(recipe)
    for step in recipe.steps:
        if step.is_source:
            _read(step, seen, sample)
        else:
            _ahead(step, seen, sample)
            sample.thin()
        _warn_of_rounds(step, seen)
    seen.made = round(sum(map(sample.weight, sample.rows)))
    return seen


def check_weighing(recipe: Recipe) -> None:
    """Raise RecipeError where a step needs the log-probabilities of a prompt from a backend that tells none."""
    for step in recipe.steps:
        for role in step.stage.weighs_with():
            if role in recipe.backends and not recipe.backends[role].weighs_prompts:
                raise RecipeError(
                    f"{recipe.name}: step {step.name}: backend {role}: it tells no log-probabilities of a prompt; "
                    "`use: vllm` does, and so does `use: openai` with the `base_url:` of a vLLM server"
                )


class _Sample:
    """The rows that go through the steps, each of which stands for `weight` rows of the run."""

    def __init__(self, recipe: Recipe) -> None:
        self.rows: list[Example] = []
        self._weights: dict[str, float] = {}
        self._wheres = [where for where in dict.fromkeys(step.where for step in recipe.steps) if where != Where()]

    def kind(self, row: Example) -> Kind:
        """Whether a row has a document and a query, and which steps are for it, where a recipe makes differences."""
        return (bool(row.positives), bool(row.query), *(where.names(row) for where in self._wheres))

    def weight(self, row: Example) -> float:
        """How many rows it stands for."""
        return self._weights.get(row.id, 1.0)

    def of_request(self, request: Request) -> float:
        """How many requests one stands for: its id begins with that of its row, up to a colon."""
        row = request.id.partition(":")[0]
        return self._weights.get(row) or self._mean

    def add(self, row: Example, weight: float | None = None) -> None:
        """One more row; unless told, it stands for as many as those that it was made from."""
        if weight is None:
            parents = [self._weights[name] for name in (row.id, *row.parents) if name in self._weights]
            weight = max(parents, default=1.0)
        self._weights[row.id] = weight
        self.rows.append(row)

    def thin(self) -> None:
        """Keep some rows of each kind, evenly from the first to the last, which stand for the others too."""
        kinds: dict[Kind, list[Example]] = defaultdict(list)
        for row in self.rows:
            kinds[self.kind(row)].append(row)
        if all(len(rows) <= SAMPLE for rows in kinds.values()):
            return
        every, self.rows = kinds.values(), []
        for rows in every:
            some = [rows[place * len(rows) // SAMPLE] for place in range(SAMPLE)] if len(rows) > SAMPLE else rows
            factor = sum(map(self.weight, rows)) / sum(map(self.weight, some))
            for row in some:
                self.add(row, self.weight(row) * factor)

    @property
    def _mean(self) -> float:
        return sum(map(self.weight, self.rows)) / len(self.rows) if self.rows else 1.0


def _context(step: Step, seen: Rehearsal, sample: _Sample, recorders: Mapping[str, Recorder]) -> Context:
    def warn(text: str) -> None:
        if step.is_source or not (recorders or step.stage.scope == "set"):  # a few rows, made up, warn of nothing
            seen.warnings.append(text)

    def corpus_of() -> "Corpus":
        from synth.retrieval import Corpus

        return Corpus([document for row in sample.rows for document in row.positives])

    return seen.recipe.context(step, backends=recorders, warn=warn, corpus_of=corpus_of)


def _recorders(step: Step, recipe: Recipe) -> dict[str, Recorder]:
    """A recorder for each role of a step, which draws its replies as the role's backend would."""
    known = recipe.backends
    return {
        role: Recorder(sampling=known[role].sampling) if role in known else Recorder()
        for role in step.stage.backends_used()
    }


def _read(step: Step, seen: Rehearsal, sample: _Sample) -> None:
    """The first rows of each kind that a source gives, after counting all."""
    first: dict[Kind, list[Example]] = defaultdict(list)
    counts: Counter[Kind] = Counter()
    recorders = _recorders(step, seen.recipe)
    until_s = None if seen.within_s is None else time.monotonic() + seen.within_s
    for outcome in step.stage.run(RowList(()), _context(step, seen, sample, recorders)):
        if isinstance(outcome, Dropped):
            seen.unreadable += 1
            continue
        kind = sample.kind(outcome)
        counts[kind] += 1
        seen.documents += bool(outcome.positives)
        if len(first[kind]) < SAMPLE:
            first[kind].append(outcome)
        late = until_s is not None and counts.total() >= SAMPLE and time.monotonic() > until_s
        if late or counts.total() >= MOST_COUNTED:
            seen.more = True
            break
    seen.rows += counts.total()
    seen.asked += _counted(step, recorders, seen, sample)
    for kind, rows in first.items():
        for row in rows:
            sample.add(row, counts[kind] / len(rows))


def _ahead(step: Step, seen: Rehearsal, sample: _Sample) -> None:
    """What becomes of the sample in one step; what it asks is counted."""
    stage = step.stage
    asks, searches = bool(stage.backends_used()), stage.reads_corpus() or bool(stage.embedders_used())
    if stage.embedders_used() and asks:
        seen.warnings.append(f"{step.name}: it asks an embedder too, so what it asks a model is not foreseen")
    if stage.embedders_used() or (not asks and (is_filter(type(stage)) or searches)):
        sample.rows = _with_stand_ins(step, sample.rows, seen.recipe)
        return
    chosen = [row for row in sample.rows if step.where.names(row)]
    if isinstance(stage, Stratify):
        sample.rows = [row for row in sample.rows if not step.where.names(row)]
        _stratify(stage, chosen, sample)
        return
    recorders = _recorders(step, seen.recipe)
    outcomes = list(stage.run(RowList(chosen), _context(step, seen, sample, recorders)))
    seen.asked += _counted(step, recorders, seen, sample)
    made = [outcome for outcome in outcomes if isinstance(outcome, Example)]
    if is_filter(type(stage)) or (not asks and not made):  # what it goes by was not measured here
        return
    sample.rows = [row for row in sample.rows if not step.where.names(row)]
    for row in made:
        sample.add(row)


def _stratify(stage: Stratify, rows: Sequence[Example], sample: _Sample) -> None:
    """Have the rows stand for as many as the stage keeps; where it tags, every other for those tagged."""
    total = sum(map(sample.weight, rows))
    kept = min(float(stage.rows), total)
    parts = [(rows, kept)]
    if stage.tag and kept < total:
        parts = [(rows[::2], kept), (rows[1::2], total - kept)]
    for number, (some, count) in enumerate(parts):
        tags = {stage.tag} if stage.tag and number == 0 else set()
        before = sum(map(sample.weight, some))
        for row in some:
            sample.add(replace(row, tags=row.tags | tags), sample.weight(row) * count / before)


def _with_stand_ins(step: Step, rows: Sequence[Example], recipe: Recipe) -> list[Example]:
    """The rows that a step passes here, with something in place of what it would find for them."""
    texts = [document.text for row in rows for document in row.positives]
    given = dict.fromkeys(step.stage.gives(recipe.context(step)), texts[:STAND_INS])
    many = zip(range(step.stage.finds()), cycle(texts)) if texts else ()
    found = tuple(Document(text, f"stand-in-{number}", origin="mined") for number, text in many)
    return [
        with_given(replace(row, negatives=(*row.negatives, *found)), given) if step.where.names(row) else row
        for row in rows
    ]


def _counted(step: Step, recorders: Mapping[str, Recorder], seen: Rehearsal, sample: _Sample) -> Iterator[Asked]:
    """What a step asks of each of its models."""
    for role, recorder in recorders.items():
        if recorder.asked:
            times = _times(step, role, recorders)
            weights = [sample.of_request(request) * times for request in recorder.asked]
            yield _asked(step, role, list(zip(recorder.asked, weights, strict=True)), seen.recipe)


def _times(step: Step, role: str, recorders: Mapping[str, Recorder]) -> float:
    """1; for a judge that is asked where others are unsure, what it comes to if they always are."""
    if role != getattr(step.stage, "then", ""):
        return 1.0
    return max(len(each.asked) for each in recorders.values()) / len(recorders[role].asked)


def _asked(step: Step, role: str, weighed: Sequence[tuple[Request, float]], recipe: Recipe) -> Asked:
    backend = recipe.backends.get(role)
    price = price_of(backend) if backend is not None else None
    counter, requests = counter_of(backend), [request for request, _ in weighed]
    with_schema = price is None or price.prompt > 0  # who sends a bill has the schema read out to the model
    return Asked(
        step.name,
        requests=round(sum(weight for _, weight in weighed)),
        bytes_in=round(sum(weight * _bytes_of(request) for request, weight in weighed)),
        most_tokens_out=round(sum(weight * request.sampling.most_tokens for request, weight in weighed)),
        price=price,
        model=backend.model if backend is not None else "",
        role=role,
        counted=round(sum(weight * counter.of_request(request, with_schema) for request, weight in weighed)),
        counted_by=counter.how,
        first=requests[0],
        needs=(*of_requests(requests), *(of_backend(backend) if backend is not None else ())),
    )


def _bytes_of(request: Request) -> int:
    return sum(len(message.content.encode("utf-8", "replace")) for message in request.messages)


def _warn_of_rounds(step: Step, seen: Rehearsal) -> None:
    """A quota that is not filled has a maker draw more: that is not foreseen here."""
    stage = step.stage
    makers = [each for each in seen.recipe.steps[: step.number] if "per_document" in type(each.stage).model_fields]
    if isinstance(stage, Quota) and stage.most_rounds and makers and makers[-1].stage.backends_used():
        more = f"up to {stage.most_draws} draws a row; that is not in these figures"
        seen.warnings.append(f"{step.name}: where a cell is short, {makers[-1].name} is asked for more, {more}")
