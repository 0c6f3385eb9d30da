"""Drop rows that leak evaluation data: a query of a test set, reworded or not, or a document of it.

    - {use: decontamination, against: [./scifact, ./nfcorpus:test]}
    - {use: decontamination, against: [./scifact], corpus: seen}

    "How many points did the Panthers' defense give up?"  repeats  "How many points did the Panthers defense surrender?"

`corpus: blind` holds that nothing of the test sets may be in the rows. `corpus: seen` is for a test set whose documents
are the ones that are adapted to (as in GPL, 2112.07577): its queries alone may not be in the rows, and what was trained
so has to be called corpus-seen.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from synth.stage import Context, Rows, Stage, in_blocks, replayable
from synth.types import Document, Dropped, Example

if TYPE_CHECKING:
    from synth.contamination import Match, Meanings
    from synth.references import Evaluations, Reference


class Decontamination(Stage):
    """Keep rows that repeat no query and, with `corpus: blind`, no document of what they are held `against`.

    A query repeats a reference that has the same words or nearly the same letters, of which a few words are changed, or
    13 words in a row copied; to an `embedder` also one that says the same in other words. A document repeats one of
    nearly the same letters, or one that it shares 13 words in a row or a good part with; also a query that stands in
    it. Labels of fewer than four words repeat nothing.

    Rows without a query, as fresh from a source, are judged by their documents alone: right after the source it drops
    what would leak before anything is paid for. After what adds documents (`mine`) it should stand again.

    Short questions of one frame ("is kale good for you") are told from copies by how many other rows have that frame:
    of few rows it takes some for copies, and among many rewordings of one short query some stay. Of pairs alike by
    design (STS, bitext) the second side is a document: `corpus: blind` looks at it. A stock phrase of 13 words makes a
    copy too. What a cosine means differs from one embedder to another: the default was chosen with all-MiniLM-L6-v2.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"
    fitted: ClassVar[Literal["", "row", "all"]] = "all"

    against: tuple[str, ...] = Field(
        default=(),
        description="BEIR folders (or folder:split), hf://owner/name, tables, lists of texts; without any, all pass",
    )
    corpus: Literal["blind", "seen"] = Field(
        default="blind", description="blind: no document of them either; seen: only their queries are kept out"
    )
    negatives: bool = Field(default=True, description="with corpus: blind, look at the negatives too")
    threshold: float = Field(default=0.8, ge=0.1, le=1, description="share of common letters that makes a copy")
    edits: int = Field(default=4, ge=0, le=8, description="words that may differ in a short query, one for every three")
    most_run: int = Field(default=12, ge=7, le=100, description="longest run of copied words that is kept")
    most_share: float = Field(
        default=0.2, gt=0, le=1, description="share of copied runs of eight words from which a long text is a copy"
    )
    embedder: str = Field(default="", description="the embedder that is asked about queries, by its name in the recipe")
    least_cosine: float = Field(
        default=0.78, ge=-1, le=1, description="lowest cosine of queries that say the same, their mean taken off"
    )
    columns: tuple[str, ...] = Field(
        default=(), description="columns of tables that hold texts; found by their names unless given"
    )

    def embedders_used(self) -> Sequence[str]:
        """The embedder, where it asks one."""
        return [self.embedder] if self.embedder else []

    def content_read(self, ctx: Context) -> str:
        """A hash of the references."""
        return self._evaluations(ctx).content_hash() if self.against else ""

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Read the references, then look at the rows a thousand at a time."""
        name = ctx.step or "decontamination"
        if not self.against:
            ctx.warn(f"{name}: `against` names nothing, so every row passed unchecked")
            yield from rows
            return
        rows = replayable(rows)
        references = self._evaluations(ctx).read(ctx.warn)
        if not references:
            ctx.warn(f"{name}: nothing to hold rows against in {', '.join(self.against)}")
        known = _Known(references, self, rows, ctx)
        gone = 0
        for block in in_blocks(rows):
            for row, reason, detail in known.judged(block):
                gone += reason == "contaminated_document"
                yield Dropped(row, reason, detail) if reason else row
        if 2 * gone > len(rows):
            ctx.warn(
                f"{name}: most rows have documents of the test sets; where those are the documents that you "
                "adapt to, say `corpus: seen`"
            )

    def _evaluations(self, ctx: Context) -> "Evaluations":
        from synth.references import Evaluations

        return Evaluations(ctx.source, self.against, self.corpus == "blind", self.columns)


class _Known:
    """The references, indexed."""

    def __init__(self, references: Sequence["Reference"], options: Decontamination, rows: Rows, ctx: Context) -> None:
        from synth.contamination import Closeness, References

        self._references, self._options = references, options
        close = Closeness(options.threshold, options.edits, options.most_run + 1, options.most_share)
        texts = [each.text for each in references]
        self._index = References(texts, close, rows.column("query"))
        self._meanings = self._said(ctx) if options.embedder else None
        self._queries = [number for number, each in enumerate(references) if not each.is_document]

    def _said(self, ctx: Context) -> "Meanings":
        from synth.contamination import Meanings

        queries = [each.text for each in self._references if not each.is_document]
        return Meanings(queries, ctx.embedder(self._options.embedder).for_all(), self._options.least_cosine)

    def judged(self, rows: Sequence[Example]) -> Iterator[tuple[Example, str, str]]:
        """Each row with the reason why it goes and the detail; two empty texts where it stays."""
        queries = self._of_queries([row.query for row in rows])
        documents = [self._looked_at(row) for row in rows]
        texts = list(dict.fromkeys(text for each in documents for text in each))
        copies = dict(zip(texts, self._index.find(texts, few_words=False), strict=True))
        for row, query, mine in zip(rows, queries, documents, strict=True):
            copy = next((copies[text] for text in mine if copies[text]), None)
            if query:
                yield row, "contaminated_query", self._detail(query)
            elif copy:
                yield row, "contaminated_document", self._detail(copy)
            else:
                yield row, "", ""

    def _of_queries(self, queries: Sequence[str]) -> list["Match | None"]:
        found = self._index.find(queries)
        left = [place for place, match in enumerate(found) if match is None]
        if self._meanings is not None:
            for place, match in zip(left, self._meanings.find([queries[each] for each in left]), strict=True):
                found[place] = match and type(match)(self._queries[match.number], match.how)
        return found

    def _looked_at(self, row: Example) -> list[str]:
        """The texts of the documents that count; a label of a word or two is none."""
        from synth.contamination import says_enough

        if self._options.corpus == "seen":
            return []
        documents: tuple[Document, ...] = (*row.positives, *(row.negatives if self._options.negatives else ()))
        return [each.full_text for each in documents if says_enough(each.full_text)]

    def _detail(self, match: "Match") -> str:
        return f"{match.how}: {self._references[match.number]}"
