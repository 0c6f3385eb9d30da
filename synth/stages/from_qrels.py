"""Questions that people asked, with the documents that were judged for them: a BEIR folder and one of its splits.

- {use: from_qrels, data: ./my-test-set:train}
- {use: from_qrels, data: ./my-test-set:train, least: 2, most: 500}

qrels/train.tsv   q1  nile    2      ->   query      when does the Nile flood?          tagged `human`
                  q1  amazon  0           positive   nile, relevance 1
                                          negative   amazon, relevance 0
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from pydantic import Field

from synth import beir
from synth.documents.exclusion import beir_folder, file_hash
from synth.documents.record import clean
from synth.errors import CorpusError
from synth.language_names import LanguageCode
from synth.stage import Context, Stage
from synth.types import Document, Dropped, Example, digest_of, row_id

HUMAN = "human"
"""The tag of rows whose query a person asked."""


class FromQrels(Stage):
    """Make a row of each judged question, to train on or to calibrate filters by; every row is tagged `human`.

    Documents of a grade of `least` and more are its positives, their relevance the grade's share of the largest grade
    there is; those that were judged and found irrelevant are its negatives. Never name the split that a recipe
    measures on. To show such questions to a writer, name the folder in the option `examples` of `generate`: what is
    made here no prompt shows unless it reads `query`.
    """

    data: str = Field(min_length=1, description="a BEIR folder beside the recipe and its split: ./my-test-set:train")
    least: int = Field(default=1, ge=1, description="the lowest grade of a positive")
    most: int | None = Field(default=None, ge=1, description="questions to draw where there are more; all if unset")
    task: str = Field(default="retrieval", description="the task of the rows")
    language: LanguageCode = Field(default="", description="the language of questions and documents, where it is known")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Give the rows of the questions that are drawn. Raises CorpusError for what is not there or unreadable."""
        del rows
        test = self._read(ctx)
        names = {row_id(ctx.step, 0, f"{name}\0{query}"): name for name, query in test.queries.items()}
        drawn = sorted(names, key=lambda born: (ctx.share(born), born))
        bounds = [bound for bound in (self.most, ctx.source.limit) if bound is not None]
        chosen = drawn[: min(bounds)] if bounds else drawn
        if left := len(drawn) - len(chosen):
            ctx.count("questions_left_out", left)
        judging = _Judging(test, self.least, self.language)
        for born in sorted(chosen):
            row = Example(id=born, task=self.task, language=self.language, tags=frozenset([HUMAN]))
            yield judging.judged(row, names[born])

    def content_read(self, ctx: Context) -> str:
        """A hash of the files. Raises CorpusError as `run` does, so that this is known before anything runs."""
        test = self._read(ctx)
        found = beir_folder(self.data, ctx.source)
        files = (found.queries, found.corpus, *found.qrels) if found else ()
        return digest_of(test.split, [(file.name, file_hash(file).hex()) for file in files if file])

    def _read(self, ctx: Context) -> beir.TestSet:
        test = beir.read(ctx.source.path_of(self.data))
        if test.documents is None:
            raise CorpusError(f"{self.data}: no corpus.jsonl; the questions' documents must stand there")
        return test


class _Judging:
    """The documents of a test set, and what its grades make of them."""

    def __init__(self, test: beir.TestSet, least: int, language: str) -> None:
        self._test = test
        self._least = least
        self._largest = max(grade for grades in test.qrels.values() for grade in grades.values())
        texts = (replace(each, text=clean(each.text), language=language) for each in test.documents or ())
        self._documents = {document.doc_id: document for document in texts if document.text}

    def judged(self, row: Example, name: str) -> Example | Dropped:
        """The row with the question of this id and its documents; dropped where it has no text or no positive."""
        grades = self._test.qrels[name]
        row = replace(
            row,
            query=clean(self._test.queries[name]),
            positives=self._of(grades, lambda grade: grade >= self._least),
            negatives=self._of(grades, lambda grade: grade <= 0),
            meta={"query_id": name},
        )
        if not row.query:
            return Dropped(row, "no_query", f"the query {name} has no text")
        if not row.positives:
            best = max(grades.values())
            return Dropped(
                row, "no_positive", f"no document with a text has the grade {self._least}; the best is {best}"
            )
        return row

    def _of(self, grades: Mapping[str, int], fits: Callable[[int], bool]) -> tuple[Document, ...]:
        """The documents whose grade fits, the best first, each with its share of the largest grade."""
        ranked = sorted(grades, key=lambda doc_id: (-grades[doc_id], doc_id))
        return tuple(
            replace(self._documents[doc_id], relevance=round(max(grades[doc_id], 0) / self._largest, 6))
            for doc_id in ranked
            if doc_id in self._documents and fits(grades[doc_id])
        )
