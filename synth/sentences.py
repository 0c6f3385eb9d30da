"""Texts into sentences, words and spans, in any script.

    sentences("Dr. Ai came. She left.")  ->  ["Dr. Ai came.", "She left."]
    sentences("今天天气很好。我们去公园吧！")  ->  ["今天天气很好。", "我们去公园吧！"]

Sentences are cut by sentencex, which knows the full stops of most scripts and the abbreviations of many languages. Thai,
Lao and their neighbours write no full stop: there the space that ends a phrase ends a sentence too. A word is a run of
letters between spaces, or one character of a script that puts no spaces between words.
"""

import regex
from sentencex import segment

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\p{Bopomofo}\p{Yi}"
_PHRASED = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]")
_WORD = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|[^\s{_UNSPACED}]+")
_LETTER = regex.compile(r"[\p{L}\p{N}]")
_SHORTEST_PHRASE = 20
"""Characters. A shorter phrase of a script without full stops is joined to the next."""


def sentences(text: str, language: str = "") -> list[str]:
    """The sentences of a text in their order, without the space around them. `language` is a code, "" for unknown.

    >>> sentences("Dr. Ai came at 3.5 sharp. She left!", "en")
    ['Dr. Ai came at 3.5 sharp.', 'She left!']
    >>> sentences("เรือออกจากท่าตอนเช้าตรู่แล้ว ผู้โดยสารทุกคนขึ้นเรือเรียบร้อย", "th")
    ['เรือออกจากท่าตอนเช้าตรู่แล้ว', 'ผู้โดยสารทุกคนขึ้นเรือเรียบร้อย']
    """
    found: list[str] = []
    for piece in segment(language or "en", text):
        found.extend(_phrases(piece) if _PHRASED.search(piece) else (piece.strip(),))
    return [piece for piece in found if piece]


def _phrases(piece: str) -> list[str]:
    """A run without full stops, cut at its spaces into phrases that are not too short."""
    phrases: list[str] = []
    for part in piece.split():
        if phrases and len(phrases[-1]) < _SHORTEST_PHRASE:
            phrases[-1] += " " + part
        else:
            phrases.append(part)
    return phrases


def words(text: str) -> list[str]:
    """The words of a text; each character by itself where the script puts no spaces between words.

    >>> words("Die Nil-Flut, 今天")
    ['Die', 'Nil-Flut,', '今', '天']
    """
    return _WORD.findall(text)  # type: ignore[no-any-return]  # regex has no types


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each of `words` stands in the text: start and end, in characters.

    >>> word_spans("to be")
    [(0, 2), (3, 5)]
    """
    return [match.span() for match in _WORD.finditer(text)]


def has_letters(text: str) -> bool:
    """True where there is at least one letter or digit of any script.

    >>> has_letters("- ...")
    False
    """
    return _LETTER.search(text) is not None
