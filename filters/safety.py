"""Drop rows that hold personal data, or adult or toxic wording.

    "who is behind jane.doe@mail.test?"             personal_data    an e-mail address in the query
    "is 44051401359 a right PESEL?"                 kept: nothing before it says what the number is
    "my PESEL is 44051401359, am I registered?"     personal_data    an identity number in the query
    "how do I f*cking reset this?"                  toxic            toxic wording in the query: f…

A recipe checks nothing of it unless it names this step. What `redact: true` of a backend takes out before a model reads
it, this step looks for in what a model has written.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

from pydantic import Field

from synth.errors import need
from synth.stage import Context, Stage
from synth.types import Document, Dropped, Example

Check = Literal["personal", "adult", "toxic"]


class Safety(Stage):
    """Keep rows without personal data and, where `checks` asks for it, without adult or toxic wording.

    It reads what was written for the row: the query, and documents of origin `written`. A corpus's own documents often
    name a contact on purpose; they are read where `fields` says so.

    `personal` finds e-mail addresses, phone numbers, identity numbers of about 50 countries, IBANs, card numbers, IP
    addresses and keys (`synth/personal.py`). It does NOT find names, postal addresses, dates of birth, user names, or
    numbers of patients and customers: it makes no data anonymous. `adult` and `toxic` find sexual slang, and slurs and
    coarse swear words, in about 30 languages (`synth/safety_words.py`); medical words stay. They know words and not
    what is meant: insults, threats, contempt and sex in polite words pass, and so does a quoted slur go.

    The detail names the kind and the place, never the datum, and of a word the first letter alone; the dropped row,
    which stays in the run's own folder, still holds them.
    """

    checks: tuple[Check, ...] = Field(
        default=("personal",), min_length=1, description="what is looked for: personal, adult, toxic"
    )
    fields: Literal["written", "query", "positives", "all"] = Field(
        default="written",
        description="what is read: the query and written documents; the query alone; it and all positives; everything",
    )

    def content_read(self, ctx: Context) -> str:
        """Nothing; raises MissingExtra, before anything runs, where what knows identity numbers is not installed."""
        if "personal" in self.checks:
            need("stdnum", "safety", "safety")
        return super().content_read(ctx)

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Read each row; the first of the `checks` that finds something names the reason."""
        for row in rows:
            found = next((found for check in self.checks for found in self._findings(check, row)), None)
            yield row if found is None else Dropped(row, *found)

    def _findings(self, check: Check, row: Example) -> Iterator[tuple[str, str]]:
        """The reason and the detail for each place of the row where the check finds something."""
        for place, text, language in self._texts(row):
            if check == "personal":
                kinds = personal_data(text)
                if kinds:
                    yield "personal_data", f"{kinds} in {place}"
            elif word := coarse_wording(text, check, language):
                yield check, f"{check} wording in {place}: {word}"

    def _texts(self, row: Example) -> Iterator[tuple[str, str, str]]:
        """What is read of the row: the name of the place, its text and its language."""
        yield "the query", row.query, row.language
        groups = {"positive": row.positives, "negative": row.negatives}
        for name, documents in groups.items():
            for number, document in enumerate(documents, 1):
                if self._reads(name, document):
                    yield f"{name} {number}", document.full_text, document.language or row.language

    def _reads(self, name: str, document: Document) -> bool:
        if self.fields == "written":
            return document.origin == "written"
        return self.fields == "all" or (self.fields == "positives" and name == "positive")


def personal_data(text: str) -> str:
    """The kinds of personal data in a text, in words; "" where none is found.

    >>> personal_data("call +49 30 1234567 or write to jane@mail.test")
    'an e-mail address and a phone number'
    """
    from synth.personal import KINDS, personal_kinds

    return " and ".join(KINDS[kind] for kind in personal_kinds(text))


def coarse_wording(text: str, kind: Literal["adult", "toxic"], language: str = "") -> str:
    """The first letter of a coarse word in a text, so that the detail can be read by anyone; "" where none is found.

    >>> coarse_wording("you f*ck", "toxic")
    'f…'
    """
    from synth.safety_words import coarse_word

    word = coarse_word(text, kind, language)
    return f"{word[0]}…" if word else ""
