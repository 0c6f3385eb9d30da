"""What was asked of models for one row, and what they said: each request word for word, with its reply.

Nothing is sent for it. The row goes through its steps again, and their requests are looked up in the reply store: the
key of a request is the hash of all of it, so one whose key the row carries is what was sent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from synth.backend import Backend, Completion, Price, Request
from synth.errors import SynthError
from synth.estimate import usd_of
from synth.recipe import Recipe, Step
from synth.recorder import Recorder
from synth.replay import Replaying, Replies, off_the_hub
from synth.rounds import DRAWS
from synth.runs import RunFolder, Stop
from synth.stage import RowList
from synth.store import read_json
from synth.types import Example


@dataclass(frozen=True, slots=True)
class Turn:
    """One request and its reply. `request` is None where it is not known any more, `reply` where the store has none.

    `is_sure`: the row carries its key, or the store knows it; else it is what the step would ask today.
    """

    key: str
    request: Request | None = None
    reply: Completion | None = None
    day: date | None = None
    price: Price | None = None
    is_sure: bool = False

    @property
    def usd(self) -> float | None:
        """What it cost by the prices known now; None where they are not known."""
        if self.reply is None or self.price is None:
            return None
        told = self.reply
        return usd_of(self.price, told.prompt_tokens, told.completion_tokens, told.cached_tokens)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        messages = [{"role": m.role, "content": m.content} for m in self.request.messages] if self.request else None
        plain: dict[str, Any] = {"key": self.key, "as_sent": self.is_sure, "messages": messages, "reply": None}
        if self.reply is not None:
            names = ("text", "finish_reason", "model", "prompt_tokens", "completion_tokens", "cached_tokens")
            told = {name: getattr(self.reply, name) for name in names}
            told |= {"latency_s": self.reply.latency_s or None, "usd": self.usd}
            plain["reply"] = told | {"day": self.day.isoformat() if self.day else None}
        return plain


@dataclass(slots=True)
class _Heard:
    """What a step asked in a rehearsal, by the ids of its requests, in their order."""

    turns: dict[str, list[Turn]] = field(default_factory=dict)

    def take(self, completion: Completion, price: Price | None) -> None:
        """Note one request."""
        known = completion if completion.from_store and not completion.error else None
        turn = Turn(completion.key, completion.request, known, price=price, is_sure=known is not None)
        self.turns.setdefault(completion.request.id, []).append(turn)


def turns(run: RunFolder, stops: Sequence[Stop], replies: Replies) -> list[list[Turn]]:
    """For each stop on a row's way what was asked there for it, in order; empty where nothing was.

    A step is rehearsed only if it is shipped (a run folder that somebody sent runs none of its own code), takes each
    row by itself, and has the prompt that it had; of the others there are the replies alone, by the keys in the row.
    """
    try:
        recipe = run.recipe(shipped_only=True)
        draws = _draws(run)
        marks = {step.name: step.mark for step in run.steps}
        same = [step for step in recipe.steps if _can_repeat(step, recipe, marks.get(step.name, {}))]
        steps = {step.name: _with_draws(step, draws) for step in same}
    except SynthError:
        recipe, steps = None, {}
    found = []
    for number, stop in enumerate(stops):
        before = row_before(stop, stops[:number])
        keys = _keys(stop.row.meta, before.meta if before else {})
        step = steps.get(stop.step)
        heard: dict[str, list[Turn]] = {}
        if recipe is not None and step is not None and before is not None and step.where.names(before):
            heard = _rehearsed(step, before, recipe, replies)
        found.append([_dated(turn, replies) for turn in _of_stop(stop, before, keys, heard)])
    return found


def row_before(stop: Stop, before: Sequence[Stop]) -> Example | None:
    """The row as it came to a stop: itself as it left the one before, or the first of those it was made from."""
    earlier = [each.row for each in reversed(before)]
    itself = next((row for row in earlier if row.id == stop.row.id), None)
    return itself or next((row for row in earlier if row.id in stop.row.parents), None)


def _can_repeat(step: Step, recipe: Recipe, mark: Mapping[str, Any]) -> bool:
    """True for a step that asks a model for each row by itself, and reads from disk what it read then: its prompt."""
    stage = step.stage
    if not stage.backends_used() or stage.scope != "row" or stage.reads_corpus() or stage.embedders_used():
        return False
    return stage.content_read(recipe.context(step)) == mark.get("content_read")


def _draws(run: RunFolder) -> int:
    """The draws that quotas came to need, where the run has any."""
    marks = [read_json(path) for path in run.folder.glob("marks/quota-*.json")]
    return max((int(mark.get("draws", 0)) for mark in marks if mark), default=0)


def _with_draws(step: Step, draws: int) -> Step:
    """A maker that draws so often at least; more draws change nothing of the others."""
    if getattr(step.stage, DRAWS, draws) >= draws:
        return step
    return replace(step, stage=step.stage.model_copy(update={DRAWS: draws}))


def _rehearsed(step: Step, row: Example, recipe: Recipe, replies: Replies) -> dict[str, list[Turn]]:
    """What the step asks for this row, as far as the store answers."""
    heard = _Heard()
    roles = [role for role in step.stage.backends_used() if role in recipe.backends]
    try:
        with off_the_hub():
            asked = {role: Replaying.of(recipe.backends[role], replies, hear=heard.take) for role in roles}
            _repeat(step, row, recipe, asked)
    except SynthError:  # such as a model's file that is gone: what was heard until then is right all the same
        if not heard.turns:
            recorder = Recorder()
            _repeat(step, row, recipe, dict.fromkeys(roles, recorder))
            return {request.id: [Turn("", request)] for request in recorder.asked}
    return heard.turns


def _repeat(step: Step, row: Example, recipe: Recipe, roles: Mapping[str, Backend]) -> None:
    for _ in step.stage.run(RowList([row]), recipe.context(step, backends=roles)):
        pass


def _of_stop(stop: Stop, before: Example | None, keys: Sequence[str], heard: dict[str, list[Turn]]) -> Iterator[Turn]:
    """The turns of one row out of all that was heard: those whose keys it carries, or that stand for its own draw."""
    known = {turn.key for group in heard.values() for turn in group}
    for group in _groups(stop, before, keys, heard):
        yield from (replace(turn, is_sure=turn.is_sure or turn.key in keys) for turn in group)
    yield from (Turn(key, is_sure=True) for key in keys if key not in known)


def _groups(stop: Stop, before: Example | None, keys: Sequence[str], heard: dict[str, list[Turn]]) -> list[list[Turn]]:
    own = stop.row.meta.get(stop.step)
    draw = own.get("draw") if isinstance(own, Mapping) else None
    of_draw = heard.get(f"{before.id}:{draw}") if before is not None and draw is not None else None
    exact = [group for group in heard.values() if any(turn.key in keys for turn in group)]
    if exact or of_draw:
        return exact or [of_draw or []]
    # A row that carries no key says nothing of which requests were its own: a child of one that has many has none here.
    return list(heard.values()) if before is not None and before.id == stop.row.id else []


def _dated(turn: Turn, replies: Replies) -> Turn:
    """The turn with its reply, if the store has it by its key, and the day it came."""
    try:
        key = bytes.fromhex(turn.key)
    except ValueError:
        return turn
    found = replies.find(key, turn.request or Request(id="", messages=())) if key else None
    return turn if found is None else replace(turn, reply=found.completion, day=found.day)


def _keys(meta: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """The keys of replies that a step wrote into a row, in any depth."""
    fresh = [value for name, value in meta.items() if before.get(name) != value]
    return list(dict.fromkeys(_found(fresh)))


def _found(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name == "reply_key" and isinstance(inner, str) and inner:
                yield inner
            else:
                yield from _found(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner)
