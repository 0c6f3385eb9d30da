"""What languages are called, in English and by those who speak them, by their BCP 47 codes (from the Unicode CLDR).

    told("sw")       "Swahili (Kiswahili)"
    told("zh-Hant")  "Chinese (Traditional) (中文（繁體）)"

A model that is told a language only by its code or in English more often writes in another one.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

if TYPE_CHECKING:
    from langcodes import Language


@lru_cache(maxsize=4096)
def told(code: str) -> str:
    """A language's name in English and in itself, for a prompt; "" for "" and the code itself where it has no name.

    >>> told("sw"), told("en"), told("qaa"), told("")
    ('Swahili (Kiswahili)', 'English', 'qaa', '')
    """
    if not code:
        return ""
    english, own = name_of(code), own_name_of(code)
    return english if own in ("", english) else f"{english} ({own})"


@lru_cache(maxsize=4096)
def name_of(code: str) -> str:
    """A language's name in English; the code itself where it has none.

    >>> name_of("ckb")
    'Central Kurdish'
    """
    return str(_language(code).display_name()) if is_language(code) else code


@lru_cache(maxsize=4096)
def own_name_of(code: str) -> str:
    """A language's name in itself, "" where that is not known.

    >>> own_name_of("el"), own_name_of("qaa")
    ('Ελληνικά', '')
    """
    if not is_language(code):
        return ""
    own = str(_language(code).autonym())
    return "" if "[" in own else own


@lru_cache(maxsize=4096)
def script_of(code: str) -> str:
    """The script that a language is mostly written in, as ISO 15924 calls it; "" where that is not known.

    >>> script_of("sr"), script_of("sr-Latn"), script_of("th"), script_of("qaa")
    ('Cyrl', 'Latn', 'Thai', '')
    """
    return str(_language(code).maximize().script or "") if is_language(code) else ""


@lru_cache(maxsize=4096)
def is_language(code: str) -> bool:
    """True for a BCP 47 code of a language that has a name.

    >>> is_language("pt-BR"), is_language("xx"), is_language("qaa"), is_language("not a code")
    (True, False, False, False)
    """
    from langcodes import tag_is_valid

    return bool(code) and bool(tag_is_valid(code)) and "[" not in str(_language(code).display_name())


def checked_language(code: str) -> str:
    """The code of a language, or "" for one that is not known. Raises ValueError for what is none."""
    check_languages([code] if code else [])
    return code


def check_languages(codes: Iterable[str]) -> None:
    """Raise ValueError for a code that is no language's."""
    for code in codes:
        if not is_language(code):
            raise ValueError(f"{code!r} is no language; codes are those of BCP 47: en, sw, pt-BR, zh-Hant, sr-Latn")


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise ValueError where a code is no language's, or where the shares of all do not make 1."""
    check_languages(shares)
    total = sum(shares.values())
    if shares and (abs(total - 1) > 0.001 or min(shares.values()) < 0):
        raise ValueError(f"the shares of all languages make 1; these make {total:g}")


def _language(code: str) -> "Language":
    from langcodes import Language

    return Language.get(code)


LanguageCode = Annotated[str, AfterValidator(checked_language)]
"""An option that is the code of a language, checked when the recipe is read; "" where none is named."""
