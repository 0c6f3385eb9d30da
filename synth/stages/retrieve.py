"""Attach what a search finds to each row: candidates to be judged, or texts for a prompt to read.

    - {use: retrieve, k: 20}                                                    a pool, for `score` and `relabel`
    - {use: retrieve, source: personas.txt, makes: personas, k: 5, by: document}
    - {use: retrieve, makes: neighbours, k: 3, by: document, retriever: dense, embedder: miner}

    query "when does the Nile flood?"   ->  negatives: the 20 documents that a search ranks first, right ones among them
    "The Nile floods each summer."      ->  personas: ["a hydrologist in Aswan", "a farmer in the delta", …]

The pool is Gecko's (arXiv 2403.20327): 20 neighbours of each query, among which the positive and a negative are chosen
anew. Personas for a passage are retrieved so in Qwen3-Embedding (2506.05176).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from synth.candidates import POOL, Avoid, Found, Kind, found_in, hits_of
from synth.errors import CorpusError
from synth.lists import check_list, check_name, lines, listed
from synth.stage import Context, Source, Stage, in_blocks
from synth.types import Document, Dropped, Example
from synth.values import with_given

if TYPE_CHECKING:
    from synth.retrieval import Corpus

CORPUS = "corpus"
USUAL = ("text", "persona", "input persona", "description", "content")
"""What a column of texts is called, most likely first."""
SPARE = 10
"""How many more are searched for than are wanted: the row has some already."""
BLOCK = 256
"""Rows that are searched for at once."""


class Retrieve(Stage):
    """Search for each row's query, first positive or instruction, and keep the `k` best of what is found.

    With `makes: pool` documents of the corpus join the row's negatives as candidates, each with its id, rank and score,
    and the row is tagged `pool`: a pool may well hold right documents, even better ones than the positive, and rows
    that still are pools at the end cannot be exported; `relabel` chooses. Another `makes` is the name under which later
    prompts read the texts found, a list of them, out of the corpus or of another `source`.

    Never found is what the row has already, the positive's near copies with it. BM25 finds by words and so within one
    language only: for queries in one language and documents or personas in another name an `embedder` that knows both.
    A row without what is searched by passes: it becomes no pool, and its list of texts is empty.
    """

    fitted: ClassVar[Literal["", "row", "all"]] = "row"

    makes: str = Field(default=POOL, description="pool, or the name under which prompts read the texts found")
    source: str = Field(
        default=CORPUS, description="what is searched: the corpus, or texts in a .txt .jsonl .csv or .parquet file"
    )
    column: str = Field(default="", description="the column of texts in such a file; found by its name unless given")
    by: Literal["query", "document", "instruction"] = Field(
        default="query", description="what is searched by: the query, the first positive's text, or the instruction"
    )
    retriever: Kind = Field(default="bm25", description="what searches: words, an embedder, or both by reciprocal rank")
    embedder: str = Field(default="", description="the embedder that dense and fused ask, by its name in the recipe")
    k: int = Field(default=20, ge=1, le=1000, description="documents or texts to find for each row")
    first_rank: int = Field(default=1, ge=1, le=10_000, description="best rank that counts")

    @field_validator("makes")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        return check_name(value)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.retriever != "bm25" and not self.embedder:
            raise ValueError(f"retriever: {self.retriever} needs an embedder: name one of the recipe's `embedders:`")
        if self.makes == POOL and self.source != CORPUS:
            raise ValueError("source: a pool is made of documents of the corpus; give the texts a name with `makes:`")
        if self.column and self.source == CORPUS:
            raise ValueError("column: it is for a file of texts, and none is set as `source:`")
        return self

    def embedders_used(self) -> Sequence[str]:
        """The embedder, where it asks one."""
        return [self.embedder] if self.retriever != "bm25" else []

    def reads_corpus(self) -> bool:
        """True where it searches the corpus."""
        return self.source == CORPUS

    def finds(self) -> int:
        """The candidates of a row, where it makes pools."""
        return self.k if self.makes == POOL else 0

    def gives(self, ctx: Context) -> Sequence[str]:
        """The name of the texts that prompts may read."""
        del ctx
        return [] if self.makes == POOL else [self.makes]

    def content_read(self, ctx: Context) -> str:
        """A hash of the file of texts. Raises CorpusError where it is not there or has no such column."""
        if self.reads_corpus():
            return ""
        found = listed(self.source, ctx.source)
        check_list(found, self.column, USUAL)
        return found.content()

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Each row with what was found for it."""
        corpus = ctx.corpus if self.reads_corpus() else self._texts(ctx)
        for block in in_blocks(rows, BLOCK):
            found = self._found([row for row in block if self._asks(row).strip()], corpus, ctx)
            for row in block:
                yield self._with(row, found.get(row.id, ()))
                if not found.get(row.id):
                    ctx.count("rows for which nothing was found", 1)

    def _texts(self, ctx: Context) -> "Corpus":
        """The texts of the file, to be searched in."""
        content = listed(self.source, ctx.source).content()
        corpus, unread = _indexed(self.source, ctx.source, self.column, content)
        if unread:
            ctx.warn(f"{ctx.step}: {unread} lines of {self.source} hold no text that can be read, and are left out")
        return corpus

    def _asks(self, row: Example) -> str:
        """What a row is searched by; "" where it has none."""
        if self.by == "document":
            return row.positive.full_text if row.positives else ""
        return row.query if self.by == "query" else row.instruction

    def _found(self, rows: Sequence[Example], corpus: "Corpus", ctx: Context) -> dict[str, list[Found]]:
        """What is found for each row, by its id."""
        embedder = ctx.embedder(self.embedder) if self.embedders_used() else None
        most = self.first_rank - 1 + self.k + SPARE
        found: dict[str, list[Found]] = {}
        for searches, some in corpus.searches_for(rows, self.retriever, embedder):
            hits = hits_of(searches, [self._asks(row) for row in some], most)
            for number, row in enumerate(some):
                avoid = Avoid(row.positives, (*row.positives, *(row.negatives if self.makes == POOL else ())))
                fresh = (each for each in found_in(hits, number, corpus, self.first_rank) if avoid.lets(each.document))
                found[row.id] = list(islice(fresh, self.k))
        return found

    def _with(self, row: Example, found: Sequence[Found]) -> Example:
        if self.makes != POOL:
            return with_given(row, {self.makes: [each.document.full_text for each in found]})
        if not self._asks(row).strip():
            return row
        candidates = [each.noted(self.retriever) for each in found]
        return replace(row, negatives=(*row.negatives, *candidates), tags=row.tags | {POOL})


@lru_cache(maxsize=4)
def _indexed(place: str, source: Source, column: str, content: str) -> tuple["Corpus", int]:
    """The texts of a file, read and indexed once for as long as its `content` stays, and how many lines hold none.

    Raises CorpusError where no text can be read, or in a strict run where one cannot.
    """
    from synth.retrieval import Corpus

    del content
    texts, unread = dict[str, None](), 0
    for line in lines(listed(place, source), column, USUAL):
        if line.fault and source.strict:
            raise CorpusError(f"{line.place}: {line.fault}; mend it, or run without --strict to leave it out")
        unread += bool(line.fault)
        if line.text:
            texts[line.text] = None
    if not texts:
        raise CorpusError(f"{place}: it holds no text that can be read")
    return Corpus([Document(text, doc_id=f"{number:09}") for number, text in enumerate(texts)]), unread
