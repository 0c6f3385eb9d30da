"""Rows set aside to measure with: marked, so that nothing is trained on them and exports write them as `test`.

    - {use: convert, to: evaluation, share: 0.1}                    a tenth of the documents, before anything is written
    - {use: generate, prompt: my/questions, backend: other, where: {tag: evaluation}}

    beir/qrels/train.tsv  validation.tsv  test.tsv                   test.tsv has the marked rows

A test set of one's own documents, as AIR-Bench (arXiv 2412.13102) makes them; what was written for rows in training by
the same model and the same prompt favours the models that it trained, so let another one write.
"""

from collections.abc import Iterator
from dataclasses import replace

from synth.stage import Context, Rows
from synth.types import Example


def evaluation(rows: Rows, share: float, ctx: Context) -> Iterator[Example]:
    """About this share of the rows with the tag `evaluation`; all that are made of them will have it too.

    Whole groups are marked, as for validation: rows whose positives are of one family, or whose queries or positives
    are near-duplicates, stay together. With a share of 1 all are marked. Of fewer than 20 groups none is, and that is
    told. Rows without a query and a document pass unmarked.
    """
    from synth.splits import EVALUATION, validation_ids

    chosen: frozenset[str] | None = None
    if share < 1:
        there = (row for row in rows if row.query or row.positives)
        chosen = validation_ids(there, ctx.rng("evaluation").getrandbits(32), share)
        if not chosen and len(rows):
            ctx.warn("no row is marked for evaluation: there are too few groups of documents to set any aside")
    for row in rows:
        is_chosen = row.id in chosen if chosen is not None else bool(row.query or row.positives)
        yield replace(row, tags=row.tags | {EVALUATION}) if is_chosen else row
