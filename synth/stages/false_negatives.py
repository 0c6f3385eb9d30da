"""Find the negatives that are right: judge each of them, and drop it, make it a positive, or keep it as a soft label.

    query "when does the river flood?"   positive "The Nile floods each summer."
    negative "High water comes to the Nile in July."    judged 3  ->  relabel: a second positive

    - {use: false_negatives, then: strong}                          a cheap judge, a strong one where it is unsure
    - {use: false_negatives, scorer: reranker, fate: relabel}       the cross-encoder that a backend runs
    - {use: false_negatives, scorer: embedder, embedder: student, relative_margin: 0.05}

RLHN (arXiv 2505.16967) found by a cascade of two judges that relabelling false negatives beats dropping them, and both
beat leaving them; RocketQA (2010.08191) that most of what a search ranks first and nobody judged is right.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from synth.errors import RecipeError
from synth.judging import Case, Panel, Verdict, pair_of
from synth.open_rows import OpenRows
from synth.stage import Context, in_blocks
from synth.types import Document, Dropped, Example, Origin

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synth.embedder import Embedder

Fate = Literal["drop", "relabel", "soft", "row", "note"]
BLOCK = 256
"""Rows whose negatives an embedder or a cross-encoder scores at once."""


class FalseNegatives(Panel):
    """Judge each negative as if it were a positive; `fate` says what becomes of one that is right.

    By a `judge`, a negative is right with a score of `least` or more on the prompt's scale. By an `embedder` or a
    `reranker` (a backend that scores pairs, by its role in `backend`) it is right where its score comes within
    `relative_margin` of that of the first positive, whatever that is worth in itself, and reaches `least`, where that
    is given. `drop` takes it out; `relabel` makes it the last positive (its `origin` stays); `soft` keeps it as a
    negative with its relevance, for losses that read one; `row` drops the whole row; `note` only notes the score. Each
    score stays on its document. A negative whose verdict cannot be read is taken out unless `unread: keep`; a row none
    of whose negatives has a readable one is dropped, and one that the budget ended for too.

    Rows without a query or negatives pass. Negatives that are right by design (STS lists, labels) are not for this:
    spare such rows with `where:`, or negatives that were written to be wrong with `origin: mined`. How many there were
    is counted by the origin of the negative.
    """

    version: ClassVar[int] = 1
    fitted: ClassVar[Literal["", "row", "all"]] = "row"

    scorer: Literal["judge", "embedder", "reranker"] = Field(default="judge", description="what scores the negatives")
    fate: Fate = Field(default="drop", description="what becomes of a false negative")
    unread: Literal["drop", "keep"] = Field(
        default="drop", description="what becomes of a negative that no verdict can be read for"
    )
    least: float | None = Field(
        default=None, description="lowest score that is right; for a judge two thirds up the prompt's scale if unset"
    )
    embedder: str = Field(default="", description="the embedder that scores, by its name in the recipe")
    relative_margin: float = Field(
        default=0.05, ge=0, le=1, description="share of the positive's score by which a negative must stay below it"
    )
    origin: tuple[Origin, ...] = Field(
        default=(), description="where the negatives come from that are judged: mined, written, corpus; all if unset"
    )
    most_negatives: int = Field(default=100, ge=1, le=1000, description="negatives of a row that are scored, the first")

    @field_validator("origin", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_its_scorer(self) -> Self:
        if (self.scorer == "embedder") != bool(self.embedder):
            raise ValueError(
                "scorer: embedder needs one: name one of the recipe's `embedders:`"
                if not self.embedder
                else f"embedder: {self.scorer} asks none; set `scorer: embedder`"
            )
        return self

    def backends_used(self) -> tuple[str, ...]:
        """The judges, or the backend that scores pairs."""
        return () if self.scorer == "embedder" else super().backends_used()

    def embedders_used(self) -> Sequence[str]:
        """The embedder, where one scores."""
        return [self.embedder] if self.scorer == "embedder" else []

    def content_read(self, ctx: Context) -> str:
        """The hash of the prompt's text, where judges are asked. Raises RecipeError where `least` is off its scale."""
        if self.scorer != "judge":
            return ""
        _, scale = self.asked_of(ctx)
        if self.least is not None and not scale.low <= self.least <= scale.high:
            between = f"{scale.low:g} and {scale.high:g}"
            raise RecipeError(f"step {ctx.step}: least: must be between {between}, as {self.prompt} grades")
        return super().content_read(ctx)

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Each row with what became of its negatives, as their verdicts come."""
        if self.scorer == "judge":
            self.content_read(ctx)
            yield from self._judged(rows, ctx)
            return
        for block in in_blocks(rows, BLOCK):
            for model, some in self._models(block, ctx):
                yield from self._scored(some, model, ctx)

    def _models(self, rows: Sequence[Example], ctx: Context) -> "Iterator[tuple[Embedder | None, Sequence[Example]]]":
        """The embedder that may score rows, with those; None for a reranker."""
        return iter([(None, rows)]) if self.scorer == "reranker" else ctx.embedder(self.embedder).for_rows(rows)

    def _judged(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        out: OpenRows[Verdict] = OpenRows(self._doubtful)
        cases = (Case(name, pair_of(row, negative)) for name, row, negative in out.asked(rows))
        for verdict in self.verdicts(cases, ctx):
            found = out.settle(verdict.case.id, verdict)
            if found is not None:
                yield self._fate(found[0], self._of_verdicts(*found), ctx)
            yield from out.passed()
        yield from out.passed()

    def _doubtful(self, row: Example) -> Sequence[Document]:
        return [row.negatives[place] for place in self._places(row)]

    def _places(self, row: Example) -> list[int]:
        """Where among its negatives those stand that are judged."""
        known = enumerate(row.negatives if row.query.strip() else ())
        return [place for place, each in known if not self.origin or each.origin in self.origin][: self.most_negatives]

    def _of_verdicts(self, row: Example, verdicts: Sequence[Verdict]) -> list["_Scored"]:
        scored = []
        for negative, verdict in zip(self._doubtful(row), verdicts, strict=True):
            least = verdict.scale.least if self.least is None else self.least
            document = verdict.noted(negative)
            if verdict.score is None:
                scored.append(_Scored(document, False, verdict.unread.detail, verdict.unread.reason))
                continue
            detail = f"judged {verdict.score:g}" + (f": {verdict.why}" if verdict.why else "")
            scored.append(_Scored(document, verdict.score >= least, detail))
        return scored

    def _scored(self, rows: Sequence[Example], model: "Embedder | None", ctx: Context) -> Iterator[Example | Dropped]:
        """The rows of a block, their negatives scored beside their first positives."""
        asked = [(row, self._doubtful(row) if row.positives else ()) for row in rows]
        pairs = [(row, each) for row, doubtful in asked if doubtful for each in (row.positive, *doubtful)]
        scores = iter([round(score, 5) for score in self._scores(pairs, model, ctx).tolist()] if pairs else ())
        name = "cosine" if self.scorer == "embedder" else "reranker"
        for row, doubtful in asked:
            if not doubtful:
                yield row
                continue
            own = next(scores)
            bar = round(own - self.relative_margin * abs(own), 5)
            bar = bar if self.least is None else max(bar, self.least)
            found = []
            for negative in doubtful:
                score = next(scores)
                noted = replace(negative, scores={**negative.scores, name: score})
                found.append(_Scored(noted, score >= bar, f"{name} {score:.3f}, the positive {own:.3f}"))
            positive = replace(row.positive, scores={**row.positive.scores, name: own})
            yield self._fate(replace(row, positives=(positive, *row.positives[1:])), found, ctx)

    def _scores(
        self, pairs: Sequence[tuple[Example, Document]], model: "Embedder | None", ctx: Context
    ) -> "NDArray[np.float32]":
        """The score of each row's query and document, float32 (n,)."""
        if model is None:
            return ctx.backend(self.first[0]).score([(row.query, document.full_text) for row, document in pairs])
        from synth.retrieval import cosines

        return cosines(model, [(row.query, document.full_text) for row, document in pairs])

    def _fate(self, row: Example, scored: Sequence["_Scored"], ctx: Context) -> Example | Dropped:
        """The row with what became of its negatives."""
        _count(scored, ctx)
        right = [each for each in scored if each.right]
        lost = [each for each in scored if each.unread]
        if right or lost:
            told = {"right": [_told(each) for each in right], "unread": [_told(each) for each in lost]}
            row = replace(row, meta={**row.meta, ctx.step or "false_negatives": told})
        judged = dict(zip(self._places(row), scored, strict=True))
        every = [(judged.get(place), document) for place, document in enumerate(row.negatives)]
        whole = replace(row, negatives=tuple(each.document if each else document for each, document in every))
        unpaid = [each for each in lost if each.unread == "over_budget"]
        if unpaid or len(lost) == len(every):
            return Dropped(whole, (unpaid or lost)[0].unread, (unpaid or lost)[0].detail)
        if right and self.fate == "row":
            return Dropped(whole, "false_negative", f"{len(right)} of {len(scored)} are right: {right[0].detail}")
        more = [each.document for each in right] if self.fate == "relabel" else []
        stay = [each.document if each else document for each, document in every if not each or self._stays(each)]
        return replace(row, positives=(*row.positives, *more), negatives=tuple(stay))

    def _stays(self, each: "_Scored") -> bool:
        if each.unread:
            return self.unread == "keep"
        return not each.right or self.fate in ("soft", "note")


@dataclass(frozen=True, slots=True)
class _Scored:
    """A negative with its score noted, whether it is right, and why; `unread`: the reason for which nobody knows."""

    document: Document
    right: bool
    detail: str
    unread: str = ""


def _told(each: _Scored) -> dict[str, str]:
    """What a row's `meta` keeps of a negative that is no longer one."""
    return {"doc_id": each.document.doc_id, "origin": each.document.origin, "why": each.detail}


def _count(scored: Sequence[_Scored], ctx: Context) -> None:
    """Count the negatives by origin, and those of them that are right."""
    for each in scored:
        ctx.count(f"{each.document.origin} negatives", 1)
        if each.right:
            ctx.count(f"{each.document.origin} negatives that are right", 1)
