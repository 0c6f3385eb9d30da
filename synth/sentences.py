"""Texts into sentences, words and spans, in any script.

    sentences("Dr. Ai came. She left.")  ->  ["Dr. Ai came.", "She left."]
    sentences("今天天气很好。我们去公园吧！")  ->  ["今天天气很好。", "我们去公园吧！"]

Sentences are cut by sentencex, which knows the full stops of most scripts and the abbreviations of many languages.
Thai, Lao and Khmer write few or none: there the space that ends a phrase ends a sentence too. A word is what stands
between spaces, or one character of a script that puts no spaces between words.
"""

import regex
from sentencex import segment

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Yi}"
_PHRASED = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")
_WORD = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|[^\s{_UNSPACED}]+")
_TERM = regex.compile(rf"[{_UNSPACED}\p{{M}}]{{2,4}}|[\p{{L}}\p{{N}}\p{{M}}--{_UNSPACED}]+", regex.V1)
_LETTER = regex.compile(r"[\p{L}\p{N}]")
_PART = regex.compile(r"\S+")
_HALF_A_PAIR = regex.compile(r"[\ud800-\udfff]")
_SHORTEST_PHRASE = 20
"""Characters. A shorter phrase of a script without full stops is joined to the next."""


def sentences(text: str, language: str = "") -> list[str]:
    """The sentences of a text in their order, without the space around them. `language` is a code, "" for unknown.

    >>> sentences("Dr. Ai came at 3.5 sharp. She left!", "en")
    ['Dr. Ai came at 3.5 sharp.', 'She left!']
    >>> sentences("เรือออกจากท่าตอนเช้าตรู่แล้ว ผู้โดยสารทุกคนขึ้นเรือเรียบร้อย", "th")
    ['เรือออกจากท่าตอนเช้าตรู่แล้ว', 'ผู้โดยสารทุกคนขึ้นเรือเรียบร้อย']
    """
    return [text[start:end] for start, end in sentence_spans(text, language)]


def sentence_spans(text: str, language: str = "") -> list[tuple[int, int]]:
    """Where each of `sentences` stands in the text: start and end, in characters.

    >>> sentence_spans("To be. Or not?")
    [(0, 6), (7, 14)]
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for piece in segment(language or "en", _HALF_A_PAIR.sub("\ufffd", text)):
        spans.extend(_phrase_spans(piece, start) if _PHRASED.search(piece) else _stripped(piece, start))
        start += len(piece)
    return spans


def _stripped(piece: str, start: int) -> list[tuple[int, int]]:
    """The piece without the space around it; nothing where it is all space."""
    left = len(piece) - len(piece.lstrip())
    return [(start + left, start + len(piece.rstrip()))] if left < len(piece) else []


def _phrase_spans(piece: str, start: int) -> list[tuple[int, int]]:
    """A run without full stops, cut at its spaces into phrases that are not too short."""
    spans: list[tuple[int, int]] = []
    for match in _PART.finditer(piece):
        begin, end = start + match.start(), start + match.end()
        if spans and spans[-1][1] - spans[-1][0] < _SHORTEST_PHRASE:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return spans


def words(text: str) -> list[str]:
    """The words of a text; each character by itself where the script puts no spaces between words.

    >>> words("Die Nil-Flut, 今天")
    ['Die', 'Nil-Flut,', '今', '天']
    """
    return [match.group() for match in _WORD.finditer(text)]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each of `words` stands in the text: start and end, in characters.

    >>> word_spans("to be")
    [(0, 2), (3, 5)]
    """
    return [match.span() for match in _WORD.finditer(text)]


def terms(text: str) -> list[str]:
    """Words without their punctuation; where a script puts no spaces, runs of up to four characters.

    >>> terms("Die Nil-Flut, 今天天气很好")
    ['Die', 'Nil', 'Flut', '今天天气', '很好']
    """
    return [match.group() for match in _TERM.finditer(text)]


def has_letters(text: str) -> bool:
    """True where there is at least one letter or digit of any script.

    >>> has_letters("- ...")
    False
    """
    return _LETTER.search(text) is not None
