"""Long texts cut between sentences into pieces of about the same length, in any script.

    chunks(article, "de", most_words=300)  ->  ["Erster Absatz. …", "Die nächsten Sätze. …"]

Where a script puts no spaces between words, their number is taken from the characters: two to a word in Chinese and
Japanese, four in Thai, Lao, Khmer, Burmese and Tibetan, vowel signs included.
"""

import math
import re
from collections.abc import Iterator, Sequence

import regex

from synth.sentences import sentences

_BY_TWO = (
    "\u2e80-\u2fdf\u3005\u3007\u3021-\u303b\u3040-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\uf900-\ufaff"
    "\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U000323af"
)
"""Han, kana, Bopomofo and Yi, as ranges of characters: many times faster than the names of the scripts."""

_BY_FOUR = "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\ua9e0-\ua9ff\uaa60-\uaa7f"
"""Thai, Lao, Tibetan, Burmese and Khmer."""

_UNSPACED = re.compile(f"[{_BY_TWO}{_BY_FOUR}]")
_IN_FOURS = re.compile(f"[{_BY_FOUR}]")
_TOKEN = regex.compile(r"\s*\S+\s*|\s+")
LONGEST_WORD = 20
"""Characters. What has no spaces for longer (a key, a table in base64) counts as several words."""

_PART = regex.compile(rf"\X{{1,{LONGEST_WORD}}}")


def word_count(text: str) -> int:
    """How many words a text has, about. In a text without spaces it is an estimate.

    >>> word_count("to be or not"), word_count("今天天气很好"), word_count("x" * 100)
    (4, 3, 5)
    """
    if not text.isascii() and _UNSPACED.search(text):
        spaced, unspaced = _UNSPACED.subn(" ", text)
        fours = len(_IN_FOURS.findall(text))
        return _spaced_words(spaced) + math.ceil((unspaced - fours) / 2 + fours / 4)
    return _spaced_words(text)


def _spaced_words(text: str) -> int:
    words = text.split()
    if len(max(words, key=len, default="")) <= LONGEST_WORD:
        return len(words)
    return len(words) + sum((len(word) - 1) // LONGEST_WORD for word in words if len(word) > LONGEST_WORD)


def chunks(text: str, language: str, most_words: int) -> list[str]:
    """The text in pieces of at most `most_words`, cut between sentences; a longer sentence at a line's end or a space.

    The pieces are slices of the text, of about the same length, and nothing but space is lost between them.

    >>> chunks("One two. Three four. Five six. Seven.", "en", 4)
    ['One two. Three four.', 'Five six. Seven.']
    """
    if len(text) <= 2 * most_words or word_count(text) <= most_words:
        return [text]
    units = [unit for sentence in _sentences(text, language) for unit in _short(sentence, most_words)]
    total = sum(map(word_count, units))
    n = math.ceil(total / most_words)
    pieces = list(_packed(units, total / n, most_words))
    if len(pieces) > n:  # sentences did not fit so tightly, and the last piece is a scrap
        pieces = list(_packed(units, total / len(pieces), most_words))
    return [piece.strip() for piece in pieces if piece.strip()]


def _sentences(text: str, language: str) -> Iterator[str]:
    """Slices of the text that begin with a sentence each; together they are the whole text."""
    start = end = 0
    for sentence in sentences(text, language):
        here = text.find(sentence, end)
        if here < 0:
            continue  # its spaces were changed: it stays with the sentence before
        if here > start:
            yield text[start:here]
            start = here
        end = here + len(sentence)
    yield text[start:]


def _short(sentence: str, most_words: int) -> Iterator[str]:
    """The sentence, or slices of it that are short enough: its lines, and of a longer line as many words as fit."""
    if word_count(sentence) <= most_words:
        yield sentence
        return
    for line in sentence.splitlines(keepends=True):
        yield from [line] if word_count(line) <= most_words else _packed(list(_tokens(line)), most_words, most_words)


def _tokens(text: str) -> Iterator[str]:
    """Slices of a text that end with its spaces, the long ones cut between characters: together they are all of it."""
    for token in _TOKEN.findall(text):
        yield from [token] if len(token) <= LONGEST_WORD else _PART.findall(token)


def _packed(units: Sequence[str], aim: float, most_words: int) -> Iterator[str]:
    """Units joined to pieces that end where the words so far are nearest to a multiple of `aim`."""
    taken: list[str] = []
    words = before = pieces = 0
    for unit in units:
        length = word_count(unit)
        if taken and (words + length > most_words or before + words + length / 2 >= aim * (pieces + 1)):
            yield "".join(taken)
            taken, before, words, pieces = [], before + words, 0, pieces + 1
        taken.append(unit)
        words += length
    yield "".join(taken)
