"""One stemmer for each script of a corpus: that of the language most of its documents in that script are in.

A word's stem depends on the word alone, so queries, whose language nobody tells, are stemmed as the documents were.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import regex
import Stemmer

LATIN = {
    "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "en": "english", "eo": "esperanto",
    "es": "spanish", "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish",
    "hu": "hungarian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "nb": "norwegian", "nl": "dutch",
    "nn": "norwegian", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "st": "sesotho",
    "sv": "swedish", "tr": "turkish",
}  # fmt: skip
STEMMERS: Mapping[str, Mapping[str, str]] = {
    "Latin": LATIN,
    "Cyrillic": {"ru": "russian", "sr": "serbian"},
    "Greek": {"el": "greek"},
    "Arabic": {"ar": "arabic", "fa": "persian"},
    "Devanagari": {"hi": "hindi", "ne": "nepali"},
    "Armenian": {"hy": "armenian"},
    "Tamil": {"ta": "tamil"},
    "Hebrew": {"yi": "yiddish"},
}
UNSTEMMED: Mapping[str, str] = {
    "Latin": "af az bs cy gl ha hr ht ig is la lv mg ms mt sk sl so sq sw tl uz vi xh yo zu",
    "Cyrillic": "be bg kk ky mk mn tg tt uk",
    "Arabic": "ckb ps sd ug ur",
    "Devanagari": "bho mai mr sa",
    "Hebrew": "he",
}


def stemmer_names(languages: Iterable[str]) -> dict[str, str]:
    """The stemmer of each script, given the language of every document ("" for unknown); none where none fits.

    >>> stemmer_names(["en", "en-US", "ru", "fr", ""])
    {'Cyrillic': 'russian', 'Latin': 'english'}
    >>> stemmer_names(["vi", "vi", "en"])
    {}
    """
    counts = Counter(language.split("-")[0].lower() for language in languages)
    chosen: dict[str, str] = {}
    for script in sorted(STEMMERS):
        known = [*STEMMERS[script], *UNSTEMMED.get(script, "").split()]
        most = max(known, key=lambda code: (counts[code], code))
        if counts[most] and most in STEMMERS[script]:
            chosen[script] = STEMMERS[script][most]
    return chosen


def stem_with(names: Mapping[str, str]) -> Callable[[str], str]:
    """A function from a lower-case word to its stem, by the stemmer of the word's script.

    >>> stem = stem_with({"Latin": "english"})
    >>> stem("floods"), stem("наводнения")
    ('flood', 'наводнения')
    """
    stemmers = [(regex.compile(rf"\p{{{script}}}"), Stemmer.Stemmer(name, 0)) for script, name in names.items()]

    def stem(word: str) -> str:
        """The word's stem; the word itself where its script has no stemmer."""
        for script, stemmer in stemmers:
            if script.match(word):
                return str(stemmer.stemWord(word))
        return word

    return stem
