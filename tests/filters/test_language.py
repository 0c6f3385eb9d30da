"""What the language filter keeps and drops."""

import pytest
from pydantic import ValidationError

from synth.filters.language import Language
from synth.stage import Context
from synth.types import Document, Dropped, Example

EN = "The river rises every summer and floods the fields along its banks."
DE = "Der Fluss steigt jeden Sommer und überflutet die Felder an seinen Ufern."
HI = "नदी हर गर्मी में बढ़ती है और अपने किनारों के खेतों में बाढ़ लाती है।"
HINGLISH = "yah nadi har garmi mein badhti hai aur kheton mein baadh laati hai"
HANS = "这条河每年夏天都会上涨，淹没两岸的田地。"
HANT = "這條河每年夏天都會上漲，淹沒兩岸的田地。"
SR = "Река расте сваког лета и поплави поља дуж својих обала."
SR_LATN = "Reka raste svakog leta i poplavi polja duž svojih obala."
HR = "Rijeka svakog ljeta poraste i poplavi polja uz svoje obale."
NB = "Elven stiger hver sommer og oversvømmer jordene langs breddene sine."
NDS = "De Stroom stiggt jeden Sommer un överswemmt de Feller langs sien Över."
ID = "Sungai itu naik setiap musim panas dan membanjiri ladang di sepanjang tepiannya."
MS = "Sungai itu naik setiap musim panas lalu membanjiri kawasan sawah di tebingnya kerana hujan."


def fate(query: str, language: str, **options: object) -> str:
    row = Example(id="r", query=query, language=language)
    (outcome,) = Language.model_validate(options).run([row], Context())
    return outcome.reason if isinstance(outcome, Dropped) else "kept"


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        (EN, "en", "kept"),
        (EN, "en-GB", "kept"),
        (EN, "eng", "kept"),
        (EN, "sw", "wrong_language"),
        (DE, "nl", "wrong_language"),
        (HI, "hi", "kept"),
        (HI, "en", "wrong_script"),
        (HINGLISH, "hi", "wrong_script"),
        (HINGLISH, "hi-Latn", "kept"),
        (HANS, "zh", "kept"),
        (HANT, "zh", "kept"),
        (HANS, "zh-Hans", "kept"),
        (HANS, "zh-Hant", "wrong_language"),
        (HANT, "zh-TW", "kept"),
        (HANT, "zh-CN", "wrong_language"),
        (HANS, "ja", "wrong_language"),
        (SR, "sr", "kept"),
        (SR_LATN, "sr", "kept"),
        (SR, "sr-Latn", "wrong_script"),
        (SR_LATN, "hr", "kept"),
        (HR, "sr", "kept"),
        (ID, "ms", "kept"),
        (MS, "id", "kept"),
        (NB, "nb", "kept"),
        (NB, "nn", "kept"),
        (EN, "nb", "wrong_language"),
        (EN, "fil", "wrong_language"),
        (EN, "ug", "wrong_language"),
        (HANS, "cmn", "kept"),
        (NDS, "nds", "kept"),
        (DE, "nds", "kept"),
        (EN, "nds", "wrong_language"),
        (EN, "", "kept"),
        (EN, "xx-nowhere", "kept"),
        ("", "de", "kept"),
        ("Zugspitze", "sw", "kept"),
        ("12:30 – 42 %", "de", "kept"),
        ("AI क्या है और यह कैसे काम करता है", "hi", "kept"),
        ("NASUWT是什么？", "zh", "kept"),
        (EN, "ace", "kept"),
    ],
)
def test_a_text_is_held_to_the_language_that_its_row_names(text: str, language: str, expected: str) -> None:
    assert fate(text, language) == expected


def test_languages_hardly_told_apart_may_be_told_apart() -> None:
    assert fate(ID, "id", most_distance=0) == "kept"
    assert fate(ID, "ms", most_distance=0) == "wrong_language"


def test_a_text_that_changes_its_language_is_dropped() -> None:
    mixed = f"{DE} " * 5 + f"{EN} " * 4
    assert fate(mixed, "de") == "mixed_language"
    assert fate(mixed, "de", most_foreign=0.6) == "kept"
    assert fate(f"{DE} " * 9 + f"{EN} ", "de") == "kept"
    assert fate(f"{DE} " * 3 + f"{EN} " * 9, "de") == "wrong_language"


def test_only_the_languages_that_are_asked_for_stay() -> None:
    assert fate(EN, "", languages=["de", "fr"]) == "wrong_language"
    assert fate(DE, "", languages=["de", "fr"]) == "kept"
    assert fate("Zugspitze 42", "", languages=["de"]) == "kept"


def test_each_text_is_held_to_its_own_language() -> None:
    row = Example(
        id="r",
        query=EN,
        language="en",
        positives=(Document(DE, language="de"),),
        negatives=(Document(EN, language="de"),),
    )
    (kept,) = Language().run([row], Context())
    assert isinstance(kept, Example)
    assert {place: seen["code"] for place, seen in kept.meta["language"].items()} == {"query": "en", "positive_0": "de"}
    (dropped,) = Language(fields=("query", "positives", "negatives")).run([row], Context())
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "wrong_language"
    assert dropped.detail.startswith("negative_0: identified as en, ")
    assert dropped.example.query == EN


@pytest.mark.parametrize(
    "options",
    [{"languages": ["deutsch!"]}, {"least": 1.5}, {"fields": []}, {"fields": ["title"]}, {"most_distance": -1}],
)
def test_a_wrong_option_is_told(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Language.model_validate(options)


def test_half_a_surrogate_pair_and_a_million_characters_do_no_harm() -> None:
    assert fate(DE + "\ud83d", "de") == "kept"
    assert fate(DE * 15_000, "de") == "kept"
