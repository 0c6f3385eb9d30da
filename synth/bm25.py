"""BM25 over documents in any script: the words, the index, the scores of texts that are not in it.

    >>> words("Wie heißt der Fluss? 尼罗河在非洲")
    ['wie', 'heißt', 'der', 'fluss', '尼罗', '罗河', '河在', '在非', '非洲']

Robertson & Zaragoza, FnTIR 2009, in the variant that Lucene computes (Kamphuis et al., ECIR 2020), by bm25s
(2407.03618).
"""

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import regex
from numpy.typing import NDArray

from synth.hits import Hits, best, no_hits, rounded
from synth.languages import identify
from synth.stemming import stem_with, stemmer_names
from synth.types import Document

if TYPE_CHECKING:
    import bm25s

THREADS = 2
SAMPLE = 200
_BIGRAMS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_ASCII_WORD = regex.compile(r"[a-z0-9]+")
_PIECE = regex.compile(rf"(?P<run>[{_BIGRAMS}\u30fc]+)|[[\p{{L}}\p{{M}}\p{{N}}]--[{_BIGRAMS}]]+", regex.V1)
_INVISIBLE = dict.fromkeys((0xAD, 0x200D, 0xFEFF))


def words(text: str) -> list[str]:
    """The words of a text as the index counts them: NFKC, lower case, runs of letters and digits.

    Scripts that put no spaces between words, and Korean, whose words carry their particles, give pairs of neighbouring
    characters instead; a character that stands alone gives itself.
    """
    if text.isascii():
        return list(_ASCII_WORD.findall(text.lower()))
    found: list[str] = []
    for match in _PIECE.finditer(unicodedata.normalize("NFKC", text).lower().translate(_INVISIBLE)):
        piece = match.group()
        if match.group("run") is None or len(piece) == 1:
            found.append(piece)
        else:
            found.extend(piece[i : i + 2] for i in range(len(piece) - 1))
    return found


class BM25:
    """An index over documents, by `Document.full_text`: idf times saturated frequency, summed over the query.

    `language` names the stemmer; "" takes, for each script, the one of the language most documents in it are in, as the
    documents say, or as a sample of them looks where none says.
    Positions are those of `documents`; a document that shares no word with a query is no hit.
    """

    floor: float = 0.0

    def __init__(self, documents: Sequence[Document], k1: float = 1.2, b: float = 0.75, language: str = "") -> None:
        self.stemmers = stemmer_names([language] if language else _languages(documents))
        self.k1, self.b = k1, b
        self._size = len(documents)
        self._stem = stem_with(self.stemmers)
        self._ids: dict[str, int] = {}
        self._stems: dict[str, int] = {}
        tokens = [[self._learn(word) for word in words(document.full_text)] for document in documents]
        self._mean_length = np.array([len(row) for row in tokens], dtype=np.int64).mean() if tokens else np.float64(0)
        self._index = self._built(tokens)

    def _learn(self, word: str) -> int:
        known = self._ids.get(word)
        if known is None:
            known = self._ids[word] = self._stems.setdefault(self._stem(word), len(self._stems))
        return known

    def _built(self, tokens: list[list[int]]) -> "bm25s.BM25 | None":
        if not self._stems:
            return None
        import bm25s  # it brings scipy

        index = bm25s.BM25(k1=self.k1, b=self.b, method="lucene")
        index.index((tokens, self._stems), create_empty_token=False, show_progress=False)
        return index

    @property
    def description(self) -> str:
        """What decides its scores, in one line, as a table of results should say it."""
        import bm25s

        stemmers = ", ".join(f"{name} ({script})" for script, name in self.stemmers.items()) or "none"
        return (
            f"BM25 (bm25s {bm25s.__version__}, lucene, k1={self.k1:g}, b={self.b:g}, stemmer {stemmers}, "
            "character bigrams for Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese)"
        )

    def search(self, queries: Sequence[str], k: int, *, without: Sequence[NDArray[np.int64]] = ()) -> Hits:
        """The k best documents of each query, but those whose positions `without` gives for it (one array a query)."""
        hits = no_hits(len(queries), k)

        def one(row: int) -> None:
            scores = self._scores(queries[row])
            if without:
                scores[without[row]] = 0.0
            positions, values = best(scores, k, floor=self.floor)
            hits.indices[row, : len(positions)] = positions
            hits.scores[row, : len(positions)] = values

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(one, range(len(queries)), chunksize=64))
        return hits

    def _scores(self, query: str) -> NDArray[np.float32]:
        if self._index is None:
            return np.zeros(self._size, np.float32)
        known = [i for i in map(self._known, words(query)) if i is not None]
        scores: NDArray[np.float32] = self._index.get_scores_from_ids(known)
        return scores

    def _known(self, word: str) -> int | None:
        known = self._ids.get(word)
        return self._stems.get(self._stem(word)) if known is None else known

    def score(self, queries: Sequence[str], documents: Sequence[Document]) -> NDArray[np.float32]:
        """The score of each pair, float32 (n,), with the index's statistics; the documents need not be in the index.

        For an indexed text it is what `search` says. A word that the index does not know weighs as if it stood in one
        of its documents.
        """
        pairs = zip(queries, documents, strict=True)
        return rounded(np.array([self._pair(query, document.full_text) for query, document in pairs], np.float32))

    def _pair(self, query: str, text: str) -> np.float32:
        counts = Counter(self._stem(word) for word in words(text))
        length = sum(counts.values())
        total = np.float32(0)
        for stem in map(self._stem, words(query)):
            if counts[stem]:
                total += self._weight(stem, counts[stem], length)
        return total

    def _weight(self, stem: str, count: int, length: int) -> np.float32:
        """What one word of a query adds for a text; the same arithmetic, to the bit, as the index's."""
        idf = np.float32(math.log(1 + (self._size - self._frequency(stem) + 0.5) / (self._frequency(stem) + 0.5)))
        saturation = count / (self.k1 * ((1 - self.b) + self.b * length / (self._mean_length or 1.0)) + count)
        return np.float32(np.float64(idf) * saturation)

    def _frequency(self, stem: str) -> int:
        """In how many indexed documents a stem stands, at least 1."""
        known = self._stems.get(stem)
        if known is None or self._index is None:
            return min(1, self._size)
        starts = self._index.scores["indptr"]
        return int(starts[known + 1] - starts[known])


def _languages(documents: Sequence[Document]) -> list[str]:
    """What the documents say their languages are; where none says, what a sample of them looks like."""
    said = [document.language for document in documents if document.language]
    if said or not documents:
        return said
    return [identify(document.text).code for document in documents[:: -(-len(documents) // SAMPLE)]]
