"""Drop rows that are not written in the language that they say they are in: models slip into English, or mix two.

a row in sw  "how do mangroves hold the coast?"                   identified as en, 97 % sure     wrong_language
a row in hi  "mausam kab badlega?"                                0 % of its words in Devanagari  wrong_script
a row in de  "Der Fluss steigt. The fields are flooded. But …"    64 % in en                      mixed_language
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Literal

import regex
from pydantic import Field, field_validator

from synth.languages import Language as Found
from synth.languages import chinese_script, identify, knows, taken_for
from synth.sentences import words
from synth.stage import Context, Stage
from synth.types import Document, Dropped, Example

WINDOW = 120
"""Characters of a text that are looked at by themselves, to see whether it changes its language."""
MOST_WINDOWS = 12
SURE_OF_WINDOW = 0.9
"""The least confidence with which a part of a text counts as another language's."""
LEAST_WORDS = 3
"""Texts of fewer words are names, mostly, and pass."""

Reason = Literal["wrong_language", "wrong_script", "mixed_language"]


class Language(Stage):
    """Keep rows whose query and positives are in the languages that row and documents name, by fastText's lid.176.

    Three things are looked at: which language a text is in, how many of its words are in that language's script,
    and how much of a longer text is in another one. Languages that are hardly told apart count as one: those within
    `most_distance` of each other as the Unicode CLDR measures it (Croatian and Serbian 9, Indonesian and Malay 14,
    Spanish and Catalan 20). A language of few texts that the model takes for a larger neighbour (Scots for English)
    is not held against that one. Traditional and simplified Chinese are told apart where the row says which
    (`zh-Hant`, `zh-TW`). A text whose language is not named, or not to be told from its few words, passes, and so
    does one in a language that is none of the 176 but in its script. What was found goes into `meta["language"]`.

    Bitext and cross-lingual rows need no exemption: each text is held to its own language. Code is in no language:
    spare it with `where:`.
    """

    fields: tuple[Literal["query", "positives", "negatives"], ...] = Field(
        default=("query", "positives"), min_length=1, description="which texts of a row are looked at"
    )
    languages: tuple[str, ...] = Field(
        default=(), description="the only languages that are kept, whatever a row says; none named: all"
    )
    least: float = Field(default=0.7, ge=0, le=1, description="least confidence that a text is in another language")
    most_distance: int = Field(default=14, ge=0, le=134, description="languages so near each other count as one")
    least_script: float = Field(default=0.3, ge=0, le=1, description="least share of words in the language's script")
    most_foreign: float = Field(default=0.3, ge=0, le=1, description="largest share of a text in other languages")

    @field_validator("languages")
    @classmethod
    def _are_tags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for tag in value:
            if not _is_tag(tag):
                raise ValueError(f"{tag!r} is no language code such as de, pt-BR or zh-Hant")
        return value

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Look at each text of each row by itself."""
        for row in rows:
            seen = {place: _look(text, tag) for place, text, tag in self._texts(row)}
            noted = replace(row, meta={**row.meta, "language": {place: asdict(each) for place, each in seen.items()}})
            misfits = (self._misfit(place, each) for place, each in seen.items())
            reason, detail = next((each for each in misfits if each), ("", ""))
            yield Dropped(noted, reason, detail) if reason else noted

    def _texts(self, row: Example) -> Iterator[tuple[str, str, str]]:
        """The texts that are looked at: where each stands, the text, and the language that it should be in."""
        if "query" in self.fields and row.query:
            yield "query", row.query, row.language
        documents: Mapping[str, tuple[Document, ...]] = {"positives": row.positives, "negatives": row.negatives}
        for name, several in documents.items():
            if name in self.fields:
                for number, each in enumerate(several):
                    yield f"{name[:-1]}_{number}", each.text, each.language

    def _misfit(self, place: str, seen: "Seen") -> tuple[Reason, str] | None:
        """Why a text does not fit, and how much; None where nothing speaks against it."""
        if self.languages and seen.code and not any(self._is_one(seen.code, tag) for tag in self.languages):
            return "wrong_language", f"{place}: identified as {seen.code}, which is none of {', '.join(self.languages)}"
        if not seen.expected or seen.words < LEAST_WORDS:
            return None
        if seen.script is not None and seen.script < self.least_script:
            return "wrong_script", f"{place}: {seen.script:.0%} of its words are in the script of {seen.expected}"
        return self._mismatch(place, seen) if knows(seen.expected) else None

    def _mismatch(self, place: str, seen: "Seen") -> tuple[Reason, str] | None:
        """The same, of a text whose language is named and known."""
        if seen.code and seen.confidence >= self.least and not self._is_one(seen.code, seen.expected):
            return (
                "wrong_language",
                f"{place}: identified as {seen.code}, {seen.confidence:.0%} sure, not {seen.expected}",
            )
        foreign = sum(share for code, share in seen.parts.items() if not self._is_one(code, seen.expected))
        if foreign > self.most_foreign:
            others = ", ".join(sorted(code for code in seen.parts if not self._is_one(code, seen.expected)))
            return "mixed_language", f"{place}: {foreign:.0%} of it is in {others}, not {seen.expected}"
        return None

    def _is_one(self, code: str, expected: str) -> bool:
        """True where a language that was identified is the expected one, or too near it to be told apart."""
        return code == expected or code in taken_for(expected) or _distance(code, expected) <= self.most_distance


@dataclass(frozen=True, slots=True)
class Seen:
    """What a text looks like: the language that it should be in, and the one that it seems to be in, and how surely.

    `script` is the share of its words in the expected script, None where none is expected; `parts` the share of its
    parts that is surely in each language.
    """

    expected: str
    code: str
    confidence: float
    words: int
    script: float | None
    parts: Mapping[str, float]


def _look(text: str, expected: str) -> Seen:
    expected = _standard(expected)
    found = [identify(window) for window in _windows(text)]
    code = _commonest(found)
    confidences = [each.confidence for each in found if each.code == code]
    lettered = _lettered(text)
    scripts = _scripts(expected)
    share = None
    if scripts and lettered:
        share = round(sum(_in_scripts(word, scripts) for word in lettered) / len(lettered), 5)
    return Seen(
        expected=expected,
        code=_with_script(code, text),
        confidence=round(sum(confidences) / len(confidences), 5) if code else 0.0,
        words=len(lettered),
        script=share,
        parts=_parts(found),
    )


def _windows(text: str) -> list[str]:
    """The parts of a text that are looked at: the whole of a short one, a dozen spread over a long one."""
    if len(text) < 2 * WINDOW:
        return [text]
    step = max(WINDOW, (len(text) - WINDOW) // (MOST_WINDOWS - 1))
    return [text[start : start + WINDOW] for start in range(0, len(text) - WINDOW + 1, step)]


def _commonest(found: Sequence[Found]) -> str:
    """The language of most parts; of two with as many, the one that is surer."""
    sums: dict[str, tuple[int, float]] = {}
    for each in found:
        if each.code:
            count, confidence = sums.get(each.code, (0, 0.0))
            sums[each.code] = (count + 1, confidence + each.confidence)
    return max(sorted(sums), key=lambda code: sums[code], default="")


def _with_script(code: str, text: str) -> str:
    """The code that was found, with the script where the language is Chinese and it can be told."""
    script = chinese_script(text) if code == "zh" else ""
    return f"zh-{script}" if script else code


def _parts(found: Sequence[Found]) -> dict[str, float]:
    """The share of a text's parts that is surely in each language; one part alone may be a list of names.

    >>> _parts([Found("de", 0.99), Found("de", 0.95), Found("en", 0.97), Found("nl", 0.6)])
    {'de': 0.5}
    """
    sure = Counter(each.code for each in found if each.code and each.confidence >= SURE_OF_WINDOW)
    return {code: round(count / len(found), 5) for code, count in sorted(sure.items()) if count > 1}


def _lettered(text: str) -> list[str]:
    """The words of a text's first 2,000 characters that have letters in them."""
    return [word for word in words(text[:2000]) if any(map(str.isalpha, word))]


_WIDER = {"nb": "no", "fil": "tl"}
"""Languages that the model calls otherwise than BCP 47 does, beyond those that have a macrolanguage."""


@lru_cache(maxsize=4096)
def _standard(tag: str) -> str:
    """A language's tag as BCP 47 has it, with a script where its country says which; "" for what is no tag.

    A language that the model knows under a wider name has that one.

    >>> _standard("zh-TW"), _standard("DE"), _standard("cmn"), _standard("nb"), _standard("none of your business")
    ('zh-Hant-TW', 'de', 'zh', 'no', '')
    """
    import langcodes

    if not tag or not _is_tag(tag):
        return ""
    language = langcodes.Language.get(langcodes.standardize_tag(tag, macro=True))
    language = language.update_dict({"language": _WIDER.get(language.language or "", language.language)})
    if language.language == "zh" and language.territory and not language.script:
        language = language.update_dict({"script": language.maximize().script})
    return str(language)


def _is_tag(tag: str) -> bool:
    import langcodes

    return langcodes.tag_is_valid(tag)


@lru_cache(maxsize=65_536)
def _distance(found: str, expected: str) -> int:
    """How far a language that was identified is from the expected one: 0 for the same, 134 at most.

    Only of Chinese the script counts: of other languages it is measured in the words. The CLDR says how well readers of
    one language are served with another; it is near enough if either is.
    """
    import langcodes

    if expected.startswith("zh") and found.startswith("zh"):
        scripts = {langcodes.Language.get(tag).script for tag in (found, expected)} - {None}
        return 50 * (len(scripts) - 1) if scripts else 0
    one, other = (f"{langcodes.Language.get(tag).language}-Zyyy" for tag in (found, expected))
    return min(langcodes.tag_distance(one, other), langcodes.tag_distance(other, one))


_OF = {
    "Jpan": ("Han", "Hiragana", "Katakana"),
    "Kore": ("Hangul", "Han"),
    "Hans": ("Han", "Bopomofo"),
    "Hant": ("Han", "Bopomofo"),
}
"""Scripts that are several."""

_ALSO = {
    "az": "Cyrl Arab", "bs": "Cyrl", "ha": "Arab", "kk": "Arab Latn", "ks": "Deva", "ku": "Arab Cyrl",
    "ky": "Arab Latn", "mn": "Mong", "ms": "Arab", "pa": "Arab", "sd": "Deva", "sh": "Cyrl", "sr": "Latn",
    "su": "Sund", "tg": "Arab Latn", "tk": "Cyrl Arab", "tt": "Latn", "ug": "Cyrl Latn", "uz": "Cyrl Arab",
    "yi": "Latn", "zgh": "Latn",
}  # fmt: skip
"""The scripts that a language is written in besides its usual one, where its tag does not say which."""


@lru_cache(maxsize=4096)
def _scripts(tag: str) -> tuple[str, ...]:
    """The scripts, by their Unicode names or codes, that texts of a language are written in; none where unknown.

    >>> _scripts("de"), _scripts("sr"), _scripts("sr-Latn"), _scripts("ja")
    (('Latn',), ('Cyrl', 'Latn'), ('Latn',), ('Han', 'Hiragana', 'Katakana'))
    """
    import langcodes

    language = langcodes.Language.get(tag) if tag else None
    if language is None or not (usual := language.maximize().script):
        return ()
    also = () if language.script else _ALSO.get(language.language or "", "").split()
    return tuple(chain.from_iterable(_OF.get(script, (script,)) for script in (usual, *also)))


@lru_cache(maxsize=256)
def _pattern(scripts: tuple[str, ...]) -> "regex.Pattern[str]":
    return regex.compile("[" + "".join(rf"\p{{Script={script}}}" for script in scripts) + "]")


def _in_scripts(word: str, scripts: tuple[str, ...]) -> bool:
    return _pattern(scripts).search(word) is not None
