"""Drop rows whose positive does not answer the query, as a model grades it from 0 to 3.

    "how high is the Zugspitze?"  with a text on the railway up to it  ->  judged 1, least is 2: irrelevant

The steps (what is wanted, how well it is met, how far the text can be relied on, one score) are those of UMBRELA
(arXiv 2406.06519). The grade stays on the positive: `scores["judge"]` from 0 to 3, and `relevance` from 0 to 1.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from synth.answers import Answer, Reply, ask, sampling_of
from synth.backend import Backend, Request, Sampling
from synth.errors import RecipeError, did_you_mean
from synth.prompt import Prompt
from synth.stage import Context, Stage
from synth.types import Dropped, Example

GIVES = ("query", "document", "title", "instruction", "task", "language")
"""What a prompt may read here: the row's own fields, and those of its first positive."""

HIGHEST = 3
MOST_SHOWN = 200


class Judge(Stage):
    """Keep rows whose first positive is graded `least` or more for its query: one request a row.

    A row without a query or a positive is dropped unasked, and so is one whose verdict cannot be read. For pairs that
    are merely alike (STS, bitext) the grade says little: give those another prompt, or spare them with `where:`.
    """

    version: ClassVar[int] = 1

    least: int = Field(default=2, ge=0, le=HIGHEST, description="lowest grade that is kept, of 0 to 3")
    prompt: str = Field(default="judge/relevance", description="the prompt; it must return a `score` from 0 to 3")
    backend: str = Field(default="judge", description="the role of the backend that grades")
    attempts: int = Field(default=2, ge=1, le=10, description="times asked for a verdict that cannot be read")
    sampling: Sampling | None = Field(
        default=None, description="how verdicts are drawn, where not as the backend says; temperature 0 if neither does"
    )

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Each row with its grade, kept or dropped, as the verdicts come."""
        backend, prompt = ctx.backend(self.backend), self._prompt(ctx)
        waiting: dict[str, Example] = {}
        unasked: deque[Example] = deque()
        requests = self._requests(_askable(rows, waiting, unasked), prompt, self._sampling(backend))
        for reply in ask(backend, requests, prompt.answer, self.attempts):
            yield self._verdict(waiting.pop(reply.completion.request.id), reply, ctx.step)
            yield from _without_question(unasked)
        yield from _without_question(unasked)

    def backends_used(self) -> tuple[str, ...]:
        """The judge."""
        return (self.backend,)

    def content_read(self, ctx: Context) -> str:
        """The hash of the prompt's text."""
        return self._prompt(ctx).text_hash

    def _prompt(self, ctx: Context) -> Prompt:
        """The prompt, which must return a score from 0 to 3 and read only what there is here. Raises RecipeError."""
        prompt = Prompt.load(self.prompt, ctx.source.folder)
        place = f"step {ctx.step}: prompt {self.prompt}"
        score = prompt.header.returns.get("score")
        if score is None or score.type not in ("integer", "number") or (score.least, score.most) != (0, HIGHEST):
            raise RecipeError(f"{place} must return `score: {{type: integer, least: 0, most: {HIGHEST}}}`")
        for name in {*prompt.header.reads, *prompt.header.axes}.difference(GIVES):
            cure = f"{did_you_mean(name, GIVES)}; there are {', '.join(GIVES)}"
            raise RecipeError(f"{place} reads {name!r}, which nothing here fills{cure}")
        return prompt

    def _sampling(self, backend: Backend) -> Sampling:
        plain = Sampling(temperature=0) if backend.sampling.temperature is None else None
        return sampling_of(backend, self.sampling or plain)

    def _requests(self, rows: Iterable[Example], prompt: Prompt, sampling: Sampling) -> Iterator[Request]:
        for row in rows:
            gives = {
                "query": row.query,
                "document": row.positive.text,
                "title": row.positive.title,
                "instruction": row.instruction,
                "task": row.task,
                "language": row.language,
            }
            messages = prompt.render({name: gives[name] for name in prompt.header.reads})
            yield Request(id=row.id, messages=messages, sampling=sampling, schema=prompt.schema)

    def _verdict(self, row: Example, reply: Reply, step: str) -> Example | Dropped:
        completion = reply.completion
        told = {"prompt": self.prompt, "model": completion.model, "attempts": reply.attempts}
        told |= {"reply_key": completion.key}
        if not isinstance(reply.answer, Answer):
            text = completion.text
            judged = replace(row, meta={**row.meta, step or "judge": told | {"reply": text[: 10 * MOST_SHOWN]}})
            detail = f"{reply.answer.detail}: {text[:MOST_SHOWN]}" if text else reply.answer.detail
            return Dropped(judged, reply.answer.reason, detail)
        fields = reply.answer.fields
        score = round(float(fields["score"]), 5)
        graded = replace(
            row.positive, scores={**row.positive.scores, "judge": score}, relevance=round(score / HIGHEST, 5)
        )
        meta = {**row.meta, step or "judge": told | dict(fields)}
        judged = replace(row, positives=(graded, *row.positives[1:]), meta=meta)
        if score >= self.least:
            return judged
        why = f": {fields['reason']}" if fields.get("reason") else ""
        return Dropped(judged, "irrelevant", f"judged {score:g}, least is {self.least}{why}")


def _askable(rows: Iterable[Example], waiting: dict[str, Example], unasked: deque[Example]) -> Iterator[Example]:
    """The rows that a judge can be asked about, noted in `waiting`; the others go to `unasked`."""
    for row in rows:
        if row.query.strip() and row.positives:
            waiting[row.id] = row
            yield row
        else:
            unasked.append(row)


def _without_question(unasked: deque[Example]) -> Iterator[Dropped]:
    while unasked:
        row = unasked.popleft()
        yield Dropped(row, "irrelevant", "there is no positive to judge" if row.query.strip() else "there is no query")
