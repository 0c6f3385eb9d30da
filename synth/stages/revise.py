"""Rows rewritten by a model: what a prompt returns stands in the place of what the row had, or the row is given up.

    - {use: revise, prompt: revise/query}

    "when flood nile"  ->  {"keep": true, "reason": "no grammar", "query": "when does the Nile flood?"}
    "what is it?"      ->  {"keep": false, "reason": "it asks for nothing that is named", …}    dropped as `rejected`

A prompt may rewrite any part of a row that its header can name (`prompt_header.py`), or none and only give a verdict:
the reviser of SPEED (arXiv 2410.18634) rewrites, that of Syntriever (2502.03824) has the writer check its own text.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from synth.answers import Answer, Reply, Unreadable
from synth.backend import Request
from synth.errors import RecipeError, did_you_mean
from synth.prompt import Prompt
from synth.stage import Context
from synth.types import Document, Dropped, Example
from synth.writing import Writes, Writing

VERDICT = "keep"


class Revise(Writes):
    """Ask the writer once for each row, and put what it returns in the place of the old part; `before` keeps that.

    A query, an instruction and a title are rewritten where the row has one; documents only where a model wrote them:
    those of the corpus and those that were mined stay. What a row has not is not written here, that is `generate`'s
    work; a row that has none of what the prompt rewrites passes unasked. What was scored before stays noted on the
    row, so judge after revising and not before. Where the field `verdict` of an answer is false the row is dropped as
    `rejected`, with the answer's `reason`.
    """

    prompt: str = Field(default="revise/query", description="the prompt")
    verdict: str = Field(default=VERDICT, description="the field, true or false, that says whether the row stays")
    keep_unreadable: bool = Field(
        default=False, description="keep a row as it was where the answer cannot be read, in place of dropping it"
    )

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """A child for each answer, as they come."""
        revision = _Revision(self, ctx)
        for reply in revision.writing.replies(revision.requests(rows)):
            yield revision.settle(reply)
            yield from revision.unasked()
        yield from revision.unasked()

    def prompt_of(self, ctx: Context) -> Prompt:
        """The prompt, whose verdict, where it returns one, is true or false. Raises RecipeError."""
        prompt = super().prompt_of(ctx)
        returns, place = prompt.header.returns, f"step {ctx.step}: prompt {self.prompt}"
        for name in (name for name, returned in returns.items() if returned.further):
            raise RecipeError(f"{place} returns {name!r} as a further positive; here it can only stand for the old one")
        if self.verdict in returns and returns[self.verdict].type != "boolean":
            raise RecipeError(f"{place} returns {self.verdict!r} as {returns[self.verdict].type}; make it a boolean")
        if self.verdict not in returns and self.verdict != VERDICT:
            cure = f"{did_you_mean(self.verdict, returns)}; it returns {', '.join(returns)}"
            raise RecipeError(f"step {ctx.step}: verdict: {self.prompt} returns no {self.verdict!r}{cure}")
        return prompt


class _Revision:
    """One run of the stage: which rows are out, and which were not asked about."""

    def __init__(self, stage: Revise, ctx: Context) -> None:
        self.writing = Writing(stage, ctx)
        self._stage = stage
        self._step = ctx.step or "revise"
        header = self.writing.prompt.header
        self._parts = {header.part_of(name) for name in header.returns} - {"none"}
        self._titles = [name for name in header.returns if header.part_of(name) == "title"]
        self._open: dict[str, tuple[Example, dict[str, str]]] = {}
        self._unasked: deque[Example | Dropped] = deque()

    def requests(self, rows: Iterable[Example]) -> Iterator[Request]:
        """The request of each row that has what is rewritten and what is read."""
        for row in rows:
            values = self.writing.values(row) if self._has_a_part(row) else None
            if values is None or isinstance(values, Dropped):
                self._unasked.append(values or row)
                continue
            drawn = self.writing.drawn(row, 0)
            self._open[row.id] = (row, drawn)
            yield self.writing.request(row, 0, self.writing.messages(row, 0, values, drawn))

    def settle(self, reply: Reply) -> Example | Dropped:
        """The fate of a row whose reply has come."""
        row, drawn = self._open.pop(reply.completion.request.id.rpartition(":")[0])
        answer = reply.answer
        if isinstance(answer, Unreadable):
            return self._unread(row, drawn, reply, answer)
        if answer.fields.get(self._stage.verdict) is False:
            noted = self.writing.noted(row, 0, drawn, reply, {"answer": dict(answer.fields)})
            return Dropped(noted, "rejected", str(answer.fields.get("reason") or ""))
        return self._revised(row, self.writing.child(row, 0, drawn, reply, answer), answer)

    def unasked(self) -> Iterator[Example | Dropped]:
        """The rows that pass, and those that the prompt cannot be filled in for."""
        while self._unasked:
            yield self._unasked.popleft()

    def _has_a_part(self, row: Example) -> bool:
        """True where the row has something that the prompt rewrites, and for a prompt that rewrites nothing."""
        has = {
            "query": bool(row.query),
            "instruction": bool(row.instruction),
            "title": any(map(_is_written, row.positives[:1])),
            "positive": any(map(_is_written, row.positives)),
            "negative": any(map(_is_written, row.negatives)),
        }
        return not self._parts or any(has[part] for part in self._parts)

    def _unread(self, row: Example, drawn: Mapping[str, str], reply: Reply, answer: Unreadable) -> Example | Dropped:
        """The row dropped, or kept as it was; what the budget ended for is always dropped, to be asked again."""
        dropped = self.writing.unread(row, 0, drawn, reply) or Dropped(row, answer.reason, answer.detail)
        is_kept = self._stage.keep_unreadable and answer.reason != "over_budget"
        return dropped.example if is_kept else dropped

    def _revised(self, row: Example, child: Example, answer: Answer) -> Example:
        """The child with each part in the place of the one it had, and the old ones in `meta`."""
        new = () if child.positives is row.positives else child.positives
        positives = _in_place(row.positives, new)
        title = next((str(answer.fields[name]) for name in self._titles if answer.fields.get(name)), "")
        if title and positives and _is_written(positives[0]):
            positives = (replace(positives[0], title=title), *positives[1:])
        made = replace(
            child,
            query=row.query and (child.query or row.query),
            instruction=row.instruction and (child.instruction or row.instruction),
            positives=positives,
            negatives=_in_place(row.negatives, child.negatives[len(row.negatives) :]),
        )
        told = {**child.meta[self._step], "before": _changes(row, made)}
        return replace(made, meta={**child.meta, self._step: told})


def _is_written(document: Document) -> bool:
    return document.origin == "written"


def _in_place(old: tuple[Document, ...], new: Sequence[Document]) -> tuple[Document, ...]:
    """The documents with new ones in the place of those that a model wrote; as they were where either are none.

    One that stands for an old one keeps its title, its parent and the relevance it was written to have.
    """
    places = [number for number, document in enumerate(old) if _is_written(document)]
    if not new or not places:
        return old
    stand = [_successor(old[place], document) for place, document in zip(places, new, strict=False)]
    rest = [document for document in old[places[0] :] if not _is_written(document)]
    return (*old[: places[0]], *stand, *new[len(places) :], *rest)


def _successor(old: Document, new: Document) -> Document:
    return replace(
        new,
        title=new.title or old.title,
        parent_id=old.parent_id,
        language=old.language or new.language,
        relevance=old.relevance if new.relevance is None else new.relevance,
    )


def _changes(row: Example, made: Example) -> dict[str, Any]:
    """What each part that is no longer the same was."""
    looks: dict[str, Callable[[Example], Any]] = {
        "query": lambda each: each.query,
        "instruction": lambda each: each.instruction,
        "positives": lambda each: [document.full_text for document in each.positives if _is_written(document)],
        "negatives": lambda each: [document.full_text for document in each.negatives if _is_written(document)],
    }
    return {name: look(row) for name, look in looks.items() if look(row) != look(made)}
