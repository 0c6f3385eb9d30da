"""What a model wrote several times, as rows that say which it should have written: data to align a generator with.

    - {use: generate, prompt: grounded/question, samples: 4}
    - {use: judge, least: 0}
    - {use: convert, to: preference, score: judge}

    "when does the Nile flood?"  judged 3,  "what is this about?"  judged 0,  of one document, prompt and draw
    ->  the document as query, the first as its positive (chosen), the second as its negative (rejected)

Where the model wrote the documents too, there is none that it was given: the instruction is the query then, and chosen
and rejected are all that it wrote.

    {"query": "when does the Nile flood?", "positives": ["It floods in July."], "negatives": ["It is long."]}

SPEED (arXiv 2410.18634) trained its small generator so: the best of several samples for SFT, best and worst for DPO.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synth.stage import Context, Rows
from synth.types import Document, Dropped, Example, row_id
from synth.values import language_of

TASK = "preference"


@dataclass(frozen=True, slots=True)
class _Sample:
    """One of a model's samples, what its step noted of it, and its score."""

    row: Example
    told: Mapping[str, Any]
    score: float


def preference(rows: Rows, steps: Sequence[str], score: str, ctx: Context) -> Iterator[Example | Dropped]:
    """One row for the samples of each draw: the document that was given as its query, the best and the worst sample.

    Of rows whose positive a model wrote the instruction is the query, and the samples are written out as JSON with
    their documents. Samples of one draw have the same parents, prompt and axes, as one of `steps` noted them. `score`
    names a score of the first positive, or is a path into `meta` with dots. The words of the prompt are not in a row;
    `reply_key` of the two, in the row's `meta`, names the whole request in the reply store.

    Dropped are samples without the score (`unscored`), without a document (`no_document`) or with a written one and no
    instruction (`no_instruction`), without another sample (`no_rival`), and those of a draw whose best and worst are
    equally good or say the same (`no_preference`). Rows that none of `steps` wrote pass, as do rows without a query.
    """
    draws: dict[str, list[_Sample]] = defaultdict(list)
    for row in rows:
        told = _told(row, steps)
        if not row.query or told is None:
            yield row
            continue
        value = score_of(row, score)
        if value is None:
            yield Dropped(row, "unscored", f"it has no score {score!r}")
        elif not row.positives:
            yield Dropped(row, "no_document", "it has no document that the text was written for")
        elif not _asked(row):
            yield Dropped(row, "no_instruction", "a model wrote its document, and nothing says what for")
        else:
            draws[_draw(row, told)].append(_Sample(row, told, value))
    for samples in draws.values():
        yield from _preferred(samples, score, ctx)


def _told(row: Example, steps: Sequence[str]) -> Mapping[str, Any] | None:
    """What the last of these steps that wrote a row noted of it; None where none did."""
    noted = [row.meta.get(step) for step in reversed(steps)]
    return next((told for told in noted if isinstance(told, Mapping) and "draw" in told), None)


def score_of(row: Example, name: str) -> float | None:
    """The score of a row's first positive, or the number at a path into its `meta`; None where there is none.

    >>> score_of(Example(id="x", meta={"criteria": {"clarity": 2}}), "criteria.clarity")
    2.0
    """
    scores = row.positives[0].scores if row.positives else {}
    value: Any = scores.get(name)
    if value is None:
        value = row.meta
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _draw(row: Example, told: Mapping[str, Any]) -> str:
    """What the samples of one draw have in common."""
    return json.dumps([row.parents, told.get("prompt"), told.get("axes")], sort_keys=True)


def _preferred(samples: Sequence[_Sample], score: str, ctx: Context) -> Iterator[Example | Dropped]:
    best = min(samples, key=lambda each: (-each.score, each.row.id))
    worst = min(samples, key=lambda each: (each.score, each.row.id))
    if len(samples) == 1:
        yield Dropped(best.row, "no_rival", "the only sample of its draw")
    elif best.score == worst.score or _said(best.row) == _said(worst.row):
        why = f"the best and the worst of {len(samples)} samples have {score} {best.score:g} and {worst.score:g}"
        yield from (Dropped(each.row, "no_preference", why) for each in samples)
    else:
        yield _row(best, worst, sorted(each.row.id for each in samples), score, ctx)


def _row(best: _Sample, worst: _Sample, parents: Sequence[str], score: str, ctx: Context) -> Example:
    told = {
        "prompt": best.told.get("prompt"),
        "axes": best.told.get("axes"),
        "chosen": {"reply_key": best.told.get("reply_key"), "score": best.score},
        "rejected": {"reply_key": worst.told.get("reply_key"), "score": worst.score},
    }
    return Example(
        id=row_id(ctx.step, 0, f"{_said(best.row)}\0{_said(worst.row)}", parents),
        task=TASK,
        query=_asked(best.row),
        positives=(_text(best, score),),
        negatives=(_text(worst, score),),
        language=language_of(best.row),
        tags=best.row.tags,
        meta={"parents": list(parents), ctx.step or "convert": told},
    )


def _text(sample: _Sample, score: str) -> Document:
    said, language = _said(sample.row), language_of(sample.row)
    scores = {score: sample.score}
    return Document(said, f"written-{row_id('', 0, said)}", language=language, origin="written", scores=scores)


def _asked(row: Example) -> str:
    """What the model was given: a document, or an instruction where it wrote the document itself."""
    return row.instruction if row.positive.origin == "written" else row.positive.full_text


def _said(row: Example) -> str:
    """What the model wrote: the query, or all of the row."""
    if row.positive.origin != "written":
        return row.query
    negatives = [document.full_text for document in row.negatives if document.origin == "written"]
    whole = {"query": row.query, "positives": [document.full_text for document in row.positives]}
    return json.dumps(whole | ({"negatives": negatives} if negatives else {}), ensure_ascii=False)
