"""Whether rows are what was asked for: the values that were drawn for them, and the language they should be in.

What a prompt says of an axis beside its words (`axis_check.py`) is looked for in the rows that were made under it:

    grounded/question  form  keywords   812 rows, all seen, 71 % as asked; half have at most 6 words

Writers drift: a length that is asked for is missed by about one band, and what a language model cannot do in a language
it does in English.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import regex

from synth.axis_check import Check, Checks
from synth.chunks import word_count
from synth.languages import identify, knows, taken_for
from synth.types import Example

MOST_DISTANCE = 14
"""Languages so near each other, by the Unicode CLDR, count as one: Croatian and Serbian, Indonesian and Malay."""

LEAST_WORDS = 3
"""Texts of fewer words are names, mostly: their language is told and held against nobody."""

_QUESTION = regex.compile(
    "[?\u037e\u055e\u061f\u1367\u1945\u2047-\u2049\u203d\u2cfa\u2cfb\ua60f\ua6f7\ufe56\uff1f\U00011143]"
)
"""Question marks: Latin, Greek, Armenian, Arabic, Ethiopic, Limbu, Coptic, Vai, Bamum, Chakma, full width."""

_GREEK = regex.compile(r"\p{Greek}\W*;$")
_ASKS_WITHOUT = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Han}\p{Hiragana}\p{Katakana}]")
_CLOSING = regex.compile(r"[\s\p{Pe}\p{Pf}\p{Pi}\"'.!]+$")


def met(check: Check, text: str) -> bool | None:
    """Whether a text is as asked; None where it cannot be told: a language from few words, a question without a mark.

    Thai, Lao, Khmer, Burmese and Tibetan ask without a question mark, Chinese and Japanese may.

    >>> met(Check(most_words=3), "when exactly"), met(Check(question_mark=True), "何時ですか")
    (True, None)
    """
    words = word_count(text)
    if words < (check.least_words or 0) or (check.most_words is not None and words > check.most_words):
        return False
    if check.question_mark is not None and check.question_mark != is_question(text):
        return None if check.question_mark and _ASKS_WITHOUT.search(text) else False
    return in_language(text, check.language) if check.language else True


def is_question(text: str) -> bool:
    r"""True where a text ends in a question mark of any script, in quotes or brackets too.

    Armenian has it inside its last word; Greek has what looks like a semicolon.

    >>> is_question("Wann?\""), is_question("متى؟"), is_question("Ինչպե՞ս"), is_question("when? today")
    (True, True, True, False)
    """
    ending = _CLOSING.sub("", text)
    last = ending.split()[-1:] or [""]
    return bool(_QUESTION.search(ending[-1:]) or _GREEK.search(ending)) or "\u055e" in last[0]


def in_language(text: str, tag: str) -> bool | None:
    """True where a text is in a language, or in one hardly told apart from it; None where that cannot be told."""
    if not knows(tag) or _lettered(text) < LEAST_WORDS:
        return None
    found = identify(text).code
    return same_language(found, tag) if found else None


def _lettered(text: str) -> int:
    """How many words with letters a text has, as `word_count` counts."""
    if text.isascii():
        return sum(any(map(str.isalpha, word)) for word in text.split())
    return word_count(text) if any(map(str.isalpha, text)) else 0


@lru_cache(maxsize=4096)
def same_language(found: str, tag: str) -> bool:
    """True where a language that was identified is the one of a tag, or so near it that they are taken for each other.

    >>> same_language("zh", "cmn-Hans-CN"), same_language("sr", "hr"), same_language("en", "de")
    (True, True, False)
    """
    import langcodes

    if not langcodes.tag_is_valid(tag):
        return found == tag
    asked = str(langcodes.Language.get(langcodes.standardize_tag(tag, macro=True)).language)
    if found == asked or found in taken_for(asked):
        return True
    one, other = f"{found}-Zyyy", f"{asked}-Zyyy"  # a script of no one: words count
    return min(langcodes.tag_distance(one, other), langcodes.tag_distance(other, one)) <= MOST_DISTANCE


@dataclass(frozen=True, slots=True)
class Asked:
    """One value of an axis. `rows` were made under it; of `n` a machine could see whether they are so, `met` are.

    `share` is met / n, `words` the median of the words of the text that the check is of (of the query where there is no
    check); both None where there is nothing to measure.
    """

    prompt: str
    axis: str
    value: str
    rows: int
    n: int
    met: int
    share: float | None
    words: int | None


@dataclass(slots=True)
class _Tally:
    rows: int = 0
    seen: int = 0
    met: int = 0
    words: "array[int]" = field(default_factory=lambda: array("l"))


class Axes:
    """Counts what was drawn for rows that come one by one, and whether they became it."""

    def __init__(self, checks: Checks) -> None:
        self._checks = checks
        self._tallies: dict[tuple[str, str, str], _Tally] = {}

    def add(self, row: Example) -> None:
        """Look at the draws that the steps noted on a row: `meta[step]["axes"]`, under `meta[step]["prompt"]`."""
        for noted in row.meta.values():
            if isinstance(noted, Mapping) and isinstance(noted.get("axes"), Mapping):
                prompt = str(noted.get("prompt", ""))
                for axis, value in noted["axes"].items():
                    self._count(row, (prompt, str(axis), str(value)))

    def _count(self, row: Example, name: tuple[str, str, str]) -> None:
        prompt, axis, value = name
        check = self._checks.get(prompt, {}).get(axis, {}).get(value)
        of_query = check is None or check.of == "query"
        text = row.query if of_query else row.positives[0].text if row.positives else ""
        tally = self._tallies.setdefault(name, _Tally())
        tally.rows += 1
        if not text.strip():
            return
        tally.words.append(word_count(text))
        seen = met(check, text) if check is not None else None
        tally.seen += seen is not None
        tally.met += seen is True

    def found(self, most: int = 200) -> tuple[Asked, ...]:
        """Every value that was drawn, by prompt and axis, the most frequent first; at most so many."""
        names = sorted(self._tallies, key=lambda name: (*name[:2], -self._tallies[name].rows, name[2]))
        return tuple(self._asked(name) for name in names[:most])

    def _asked(self, name: tuple[str, str, str]) -> Asked:
        tally = self._tallies[name]
        words = sorted(tally.words)
        share = round(tally.met / tally.seen, 5) if tally.seen else None
        median = words[(len(words) - 1) // 2] if words else None
        return Asked(*name, rows=tally.rows, n=tally.seen, met=tally.met, share=share, words=median)


@dataclass(frozen=True, slots=True)
class Languages:
    """Languages asked for and identified: `table` has, for each that was asked for ("" where none), what texts are in.

    There "" is a language that could not be told. `n` texts could be held to a language that was asked for; of them
    the share `mismatch` is in another one, None where n is 0.
    """

    table: Mapping[str, Mapping[str, int]]
    n: int
    mismatch: float | None


def languages(texts: Sequence[str], asked: Sequence[str]) -> Languages:
    """What languages texts are in, beside those they should be in: a tag for each text, "" where none is known."""
    table: dict[str, Counter[str]] = {}
    held = wrong = 0
    for text, tag in zip(texts, asked, strict=True):
        code = identify(text).code
        table.setdefault(tag, Counter())[code] += 1
        if code and tag and _lettered(text) >= LEAST_WORDS and knows(tag):
            held += 1
            wrong += not same_language(code, tag)
    plain = {tag: _ranked(table[tag]) for tag in sorted(table, key=lambda tag: (-table[tag].total(), tag))}
    return Languages(plain, held, round(wrong / held, 5) if held else None)


def _ranked(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def questions(texts: Iterable[str]) -> tuple[int, float | None]:
    """How many texts there are that say anything, and what share of them ends in a question mark; None for none."""
    asking = [is_question(text) for text in texts if text.strip()]
    return len(asking), round(sum(asking) / len(asking), 5) if asking else None
