"""Drop rows whose label stands in the text that is to be classified: reading it is then no feat.

"Dear customer, … this is no fraud, answer with your PIN."   label "fraud"   the label stands in the text
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from pydantic import Field

from synth.sentences import words
from synth.stage import Context, Stage
from synth.types import Dropped, Example


class LabelLeakage(Stage):
    """Keep rows none of whose positives, where they are labels, stands word for word in the query.

    Labels are positives of at most `most_words` words that are shorter than the query. Case, spaces and punctuation do
    not count; in scripts without spaces each character is a word. It is for classification: a query that holds its
    answer's name is no fault elsewhere, so rows of other tasks are left alone unless `where` says otherwise. Rows
    without a query pass.
    """

    default_where: ClassVar[dict[str, object]] = {"task": ["classification", "long_short"]}

    most_words: int = Field(default=8, ge=1, description="longer positives are no labels and pass unmeasured")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Look for each row's labels in its query."""
        for row in rows:
            found = self._label_in(row)
            yield Dropped(row, "label_leakage", f"the text holds its label: {found}") if found else row

    def _label_in(self, row: Example) -> str:
        """The first label that stands in the query, "" where none does."""
        text = _words(row.query)
        whole = f" {' '.join(text)} "
        for document in row.positives:
            label = _words(document.text)
            if 0 < len(label) <= min(self.most_words, len(text) - 1) and f" {' '.join(label)} " in whole:
                return document.text
        return ""


def _words(text: str) -> list[str]:
    from synth.resemblance import folded

    return words(folded(text))
