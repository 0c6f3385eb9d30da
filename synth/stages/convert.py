"""Rows of one kind into rows of another, without a model (`synth/conversions/`).

- {use: convert, to: label_pairs, negatives: 4, where: {task: classification}}
- {use: convert, to: same_label, unique_ids: true, where: {task: classification}}
- {use: convert, to: pairs_of_grades, where: {task: sts}}
- {use: convert, to: graded_list, least: 0.6}
- {use: convert, to: preference, score: judge}
- {use: convert, to: evaluation, share: 0.1}
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from synth.conversions.evaluation import evaluation
from synth.conversions.grades import graded_list, pairs_of_grades
from synth.conversions.labels import label_pairs, same_label
from synth.conversions.preference import preference
from synth.stage import Context, Stage, replayable
from synth.types import Dropped, Example

Kind = Literal["label_pairs", "same_label", "pairs_of_grades", "graded_list", "preference", "evaluation"]

BELONGS: Mapping[str, tuple[Kind, ...]] = {
    "negatives": ("label_pairs", "same_label"),
    "unique_ids": ("same_label",),
    "least": ("graded_list",),
    "step": ("preference",),
    "score": ("preference",),
    "share": ("evaluation",),
}
"""The conversions that each option is for."""


class Convert(Stage):
    """Make rows `to` another kind; rows that it is not for pass, and `where:` says which those are beyond that.

    - `label_pairs`: a text with its label (a document whose id is the label) gets other labels of its task and
      instruction as negatives.
    - `same_label`: a text with another one of its label, and texts of other labels as negatives; Gecko (arXiv
      2403.20327) gives the texts of a row a unique id, `unique_ids`. A text that is alone with its label is dropped as
      `lone_label`.
    - `pairs_of_grades`: a row for each document that has a relevance, which is its only positive.
    - `graded_list`: the rows of one query as one, positives from a relevance of `least` on, the rest negatives.
    - `preference`: of several samples of one draw the best as positive and the worst as negative, by `score`; the query
      is the document that they were written for, or the instruction where documents were written too; the task is
      `preference`.
    - `evaluation`: a `share` of the rows, by whole families of documents, with the tag `evaluation`: they are not
      trained on, and exports write them as the split `test`.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"

    to: Kind = Field(description="what rows become")
    negatives: int = Field(default=3, ge=0, le=1000, description="negatives for each row, of labels and their texts")
    unique_ids: bool = Field(default=False, description="put a unique id behind all texts of a row, of one label")
    least: float = Field(default=0.5, ge=0, le=1, description="lowest relevance of a positive, in graded lists")
    step: str | tuple[str, ...] = Field(
        default="generate", description="the name of the step that wrote the samples, or of several, for preferences"
    )
    score: str = Field(
        default="", description="what ranks samples: a score of the positive (judge), or a path into meta with dots"
    )
    share: float = Field(default=1.0, gt=0, le=1, description="share of the rows that is marked for evaluation")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for name, kinds in BELONGS.items():
            if self.to not in kinds and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is for `to: {' or '.join(kinds)}`, not for {self.to}; leave it out")
        if self.to == "preference" and not self.score:
            raise ValueError("to: preference needs a score that ranks the samples, such as `score: judge`")
        return self

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """The rows, converted."""
        rows = replayable(rows)
        if self.to == "label_pairs":
            yield from label_pairs(rows, self.negatives, ctx)
        elif self.to == "same_label":
            yield from same_label(rows, self.negatives, self.unique_ids, ctx)
        elif self.to == "pairs_of_grades":
            yield from pairs_of_grades(rows, ctx)
        elif self.to == "graded_list":
            yield from graded_list(rows, self.least, ctx)
        elif self.to == "preference":
            steps = (self.step,) if isinstance(self.step, str) else self.step
            yield from preference(rows, steps, self.score, ctx)
        else:
            yield from evaluation(rows, self.share, ctx)
