"""Hold the share of rows whose positive words alone find: a model that learns from those alone learns to match words.

    10 rows, 7 of them found first by BM25, most is 0.5   ->   4 of the 7 are drawn and dropped: 3 of 6 are left

Not a hard drop: half of what people ask is found by its words. CodeR (arXiv 2505.12697) went from 68.25 to 70.12 by
dropping what a small embedder finds among its first three and what a model calls easy.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from pydantic import Field

from synth.stage import Context, Stage, replayable
from synth.types import Dropped, Example


class TooEasy(Stage):
    """Keep all rows but as many that BM25 finds within `rank` as it takes for them to be at most this share of all.

    Which of them go is drawn by the row's id, so that the rest is a fair sample of them. The rank is noted in
    `meta["ranks"]` and the score on the positive. Rows without a query or a positive pass, and count for no share.
    Cross-lingual rows are left alone, unless `where` says otherwise: BM25 finds none of them. Sentences and labels
    (STS, classification) have no corpus to be found in: spare them with `where:`.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"
    default_where: ClassVar[dict[str, object]] = {"cross_lingual": False}

    most: float = Field(default=0.6, ge=0, lt=1, description="largest share of the rows that may be easy")
    rank: int = Field(default=1, ge=1, le=100, description="a positive that BM25 ranks so or better makes a row easy")

    def reads_corpus(self) -> bool:
        """It ranks against the corpus."""
        return True

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Rank all rows, draw who goes, then judge each."""
        from synth.ranks import ranked

        rows, corpus = replayable(rows), ctx.corpus
        if not len(corpus):
            ctx.warn("too_easy: the corpus is empty, so every row passed unchecked")
            yield from rows
            return
        searches = corpus.searches("bm25", None)
        ranks = {row.id: found for row, found in ranked(rows, corpus, searches, self.rank) if found is not None}
        easy = [row_id for row_id, found in ranks.items() if found.rank <= self.rank]
        leaving = set(
            sorted(easy, key=lambda row_id: (ctx.share(row_id), row_id))[: self.surplus(len(easy), len(ranks))]
        )
        for row in rows:
            noted = ranks[row.id].noted(row, "bm25") if row.id in ranks else row
            if row.id in leaving:
                share = f"{len(easy) / len(ranks):.0%} are so easy, at most {self.most:.0%}"
                yield Dropped(noted, "too_easy", f"BM25 ranks it {ranks[row.id].rank}; {share}")
            else:
                yield noted

    def surplus(self, easy: int, of: int) -> int:
        """How many of the easy rows have to go for the others to be at most the share of what is left.

        >>> TooEasy(most=0.5).surplus(7, 10), TooEasy(most=0.5).surplus(5, 10), TooEasy(most=0).surplus(3, 3)
        (4, 0, 3)
        """
        hard = of - easy
        allowed = int(round(hard * self.most / (1 - self.most), 6))
        return max(0, easy - allowed)
