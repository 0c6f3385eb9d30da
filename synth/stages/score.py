"""Put a score on each judged document of a row: how well it goes with the query, to a model, a search or an embedder.

    - {use: score}                                                  scores["relevance"]: the probability of yes
    - {use: score, name: likely, by: query_likelihood, backend: qwen}
    - {use: score, name: teacher, by: cross_encoder, backend: reranker}
    - {use: score, name: near, by: cosine, embedder: miner}

    query "when does the Nile flood?"     "The Nile floods each summer."   relevance 0.98   query_likelihood -0.91
                                          "The Amazon floods …"            relevance 0.04   query_likelihood -1.74

Relevance and query likelihood are those by which Gecko (arXiv 2403.20327) orders a pool. The difference between the
scores of a positive and of a negative is the margin of GPL (2112.07577).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from synth.answers import Unreadable, sampling_of
from synth.backend import NOT_WEIGHED, Completion, Message, Request
from synth.chances import likelihood_of
from synth.errors import BackendError
from synth.judging import PAIR, Case, Panel, Verdict, pair_of
from synth.open_rows import OpenRows
from synth.prompt_header import encodable
from synth.stage import Context, in_blocks
from synth.types import Document, Dropped, Example

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from synth.embedder import Embedder

By = Literal["relevance", "query_likelihood", "cross_encoder", "cosine", "bm25"]
PROMPTS: Mapping[str, str] = {"relevance": "judge/yes_no", "query_likelihood": "score/query_likelihood"}
BLOCK = 256
"""Rows whose documents an embedder or a cross-encoder scores at once."""

_BUT_THE_QUERY = tuple(name for name in PAIR if name != "query")

Rate = float | Unreadable
"""The score of a document, or why there is none."""
Asked = tuple[str, Example, Document]
"""A document that is asked about: the name of the question, the row, and the document."""
Pairs = Sequence[tuple[str, Document]]
"""Queries, each with a document."""


class Score(Panel):
    """Note a score on the documents of each row, under the name of what scores or `under` another; all else stays.

    `relevance` asks judges, one or several, as `judge` does: the probability of yes by the log-probabilities of the
    reply, or with another prompt its grade, on the prompt's own scale. `query_likelihood` asks a model that writes how
    likely the query is after the document, as the mean log-probability of the query's own words: for that the backend
    must tell the log-probabilities of a prompt, which vLLM does, in process or as a server. `cross_encoder` is a
    backend that scores pairs; `cosine` an embedder; `bm25` the words that they share, weighed by the corpus.

    Scores of different kinds are on different scales: `relabel` compares ranks. A document that no score can be had for
    is left without one and counted; a row none of whose documents has one is dropped as `unscored`, one without a query
    or documents too, and one that the budget ended for as `over_budget`.
    """

    fitted: ClassVar[Literal["", "row", "all"]] = "row"

    by: By = Field(default="relevance", description="what scores")
    of: Literal["all", "positives", "negatives"] = Field(default="all", description="which documents are scored")
    under: str = Field(default="", description="the name of the score; that of what scores unless set")
    prompt: str = Field(
        default="", description="the prompt: judge/yes_no, or score/query_likelihood by that, unless set"
    )
    backend: str | tuple[str, ...] = Field(
        default="judge", description="the role of the backend that scores; several, and they vote on relevance"
    )
    embedder: str = Field(default="", description="the embedder that cosine asks, by its name in the recipe")

    @model_validator(mode="before")
    @classmethod
    def _with_its_prompt(cls, value: Any) -> Any:
        if not isinstance(value, dict) or value.get("prompt"):
            return value
        return {**value, "prompt": PROMPTS.get(str(value.get("by", "relevance")), "")}

    @model_validator(mode="after")
    def _suits(self) -> Self:
        if (self.by == "cosine") != bool(self.embedder):
            raise ValueError(
                "by: cosine needs an embedder: name one of the recipe's `embedders:`"
                if not self.embedder
                else f"embedder: {self.by} asks none; set `by: cosine`"
            )
        if self.by in ("query_likelihood", "cross_encoder") and (len(self.first) > 1 or self.then):
            raise ValueError(f"backend: {self.by} asks one; give each further one a step of its own")
        return self

    def backends_used(self) -> tuple[str, ...]:
        """The judges, or the backend that scores."""
        return () if self.by in ("cosine", "bm25") else super().backends_used()

    def weighs_with(self) -> tuple[str, ...]:
        """The backend that is asked how likely a query is."""
        return self.first if self.by == "query_likelihood" else ()

    def embedders_used(self) -> Sequence[str]:
        """The embedder, where one scores."""
        return [self.embedder] if self.by == "cosine" else []

    def reads_corpus(self) -> bool:
        """True for BM25, which weighs words by how rare they are in the corpus."""
        return self.by == "bm25"

    def content_read(self, ctx: Context) -> str:
        """The hash of the prompt's text, where there is one. Raises RecipeError where it does not suit."""
        if self.by == "query_likelihood":
            return self.prompt_of(ctx, _BUT_THE_QUERY).text_hash
        return super().content_read(ctx) if self.by == "relevance" else ""

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Each row with its documents' scores, as they come."""
        if self.by in PROMPTS:
            yield from self._asked(rows, ctx)
            return
        for block in in_blocks(rows, BLOCK):
            for scores_of, some in self._scorers(block, ctx):
                pairs = [(row.query, document) for row in some for document in self._documents(row)]
                rates = iter([_number(score) for score in scores_of(pairs).tolist()] if pairs else ())
                yield from (self._fate(row, [next(rates) for _ in self._documents(row)], ctx) for row in some)

    def _asked(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """The rows whose documents models are asked about, one by one."""
        out: OpenRows[Rate] = OpenRows(self._documents)
        rated = self._judged if self.by == "relevance" else self._weighed
        for name, rate in rated(out.asked(rows), ctx):
            found = out.settle(name, rate)
            if found is not None:
                yield self._fate(*found, ctx)
            yield from (self._fate(row, [], ctx) for row in out.passed())
        yield from (self._fate(row, [], ctx) for row in out.passed())

    def _documents(self, row: Example) -> Sequence[Document]:
        """What of a row is scored; nothing where it has no query."""
        positives = row.positives if self.of != "negatives" else ()
        negatives = row.negatives if self.of != "positives" else ()
        return (*positives, *negatives) if row.query.strip() else ()

    def _judged(self, asked: Iterable[Asked], ctx: Context) -> Iterator[tuple[str, Rate]]:
        cases = (Case(name, pair_of(row, document)) for name, row, document in asked)
        for verdict in self.verdicts(cases, ctx):
            yield verdict.case.id, _of_verdict(verdict)

    def _weighed(self, asked: Iterable[Asked], ctx: Context) -> Iterator[tuple[str, Rate]]:
        """How likely each query is after each document. Raises BackendError where the backend tells nothing of it."""
        prompt, backend = self.prompt_of(ctx, _BUT_THE_QUERY), ctx.backend(self.first[0])
        sampling = sampling_of(backend, self.sampling).model_copy(update={"most_tokens": 1})

        def requests() -> Iterator[Request]:
            for name, row, document in asked:
                values = pair_of(row, document)
                messages = prompt.render({each: values[each] for each in prompt.header.reads})
                query = Message("assistant", encodable(row.query.strip()))
                yield Request(id=name, messages=(*messages, query), sampling=sampling, prompt_logprobs=True)

        for completion in backend.complete(requests()):
            if completion.error == NOT_WEIGHED or not (completion.error or completion.prompt_logprobs):
                raise BackendError(f"step {ctx.step}: backend {self.first[0]}: {NOT_WEIGHED}")
            yield completion.request.id, _likelihood(completion)

    def _scorers(
        self, rows: Sequence[Example], ctx: Context
    ) -> Iterator[tuple[Callable[[Pairs], "NDArray[np.float32]"], Sequence[Example]]]:
        """What scores without a prompt, with the rows that it scores: float32 (n,) for n pairs."""
        if self.by == "cross_encoder":
            backend = ctx.backend(self.first[0])
            yield lambda pairs: backend.score(_in_words(pairs)), rows
        elif self.by == "bm25":
            index = ctx.corpus.bm25()
            yield lambda pairs: index.score([query for query, _ in pairs], [document for _, document in pairs]), rows
        else:
            for model, some in ctx.embedder(self.embedder).for_rows(rows):
                yield partial(_cosines, model), some

    def _fate(self, row: Example, rates: Sequence[Rate], ctx: Context) -> Example | Dropped:
        """The row with the scores that there are."""
        lost = [rate for rate in rates if isinstance(rate, Unreadable)]
        ctx.count("documents scored", len(rates) - len(lost))
        if lost:
            ctx.count("documents without a score", len(lost))
        scored = self._noted(row, rates) if rates else row
        unpaid = [rate for rate in lost if rate.reason == "over_budget"]
        if unpaid:
            return Dropped(scored, unpaid[0].reason, unpaid[0].detail)
        if len(lost) == len(rates):
            why = "it has no document to score" if row.query.strip() else "there is no query"
            return Dropped(scored, "unscored", f"{lost[0].reason}: {lost[0].detail}" if lost else why)
        return scored

    def _noted(self, row: Example, rates: Sequence[Rate]) -> Example:
        """The row with each score on its document; an earlier score of that name is gone."""
        noted = [
            _with_score(document, self.under or self.by, rate)
            for document, rate in zip(self._documents(row), rates, strict=True)
        ]
        first = 0 if self.of == "negatives" else len(row.positives)
        return replace(
            row,
            positives=row.positives if self.of == "negatives" else tuple(noted[:first]),
            negatives=row.negatives if self.of == "positives" else tuple(noted[first:]),
        )


def _of_verdict(verdict: Verdict) -> Rate:
    return verdict.unread if verdict.score is None else verdict.score


def _likelihood(completion: Completion) -> Rate:
    """How likely the text was that a completion weighs, as it was sent."""
    if completion.error:
        return Unreadable("over_budget" if completion.finish_reason == "budget" else "failed_request", completion.error)
    likelihood = likelihood_of(completion.prompt_logprobs, completion.request.messages[-1].content)
    if likelihood is None:
        return Unreadable("unreadable_answer", "what was weighed does not end with the query")
    return likelihood


def _cosines(model: "Embedder", pairs: Pairs) -> "NDArray[np.float32]":
    from synth.retrieval import cosines

    return cosines(model, _in_words(pairs))


def _in_words(pairs: Pairs) -> list[tuple[str, str]]:
    return [(query, document.full_text) for query, document in pairs]


def _number(score: float) -> Rate:
    return round(score, 5) if math.isfinite(score) else Unreadable("unreadable_answer", f"the score is {score}")


def _with_score(document: Document, name: str, rate: Rate) -> Document:
    others = {other: score for other, score in document.scores.items() if other != name}
    return replace(document, scores=others if isinstance(rate, Unreadable) else {**others, name: rate})
