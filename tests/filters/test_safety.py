"""What safety keeps and drops, and how little its details tell. All data are invented; the words are what it seeks."""

import time

import pytest
from pydantic import ValidationError

from synth.filters.safety import Safety
from synth.safety_words import coarse_word
from synth.stage import Context
from synth.types import Document, Dropped, Example

MAIL, PHONE = "jane.doe@mail.test", "+49 30 1234567"

TOXIC = [
    ("en", "why the fuck does this not work"),
    ("en", "what the F*CK is wrong"),
    ("en", "what the f**king hell"),
    ("en", "this sh1t never installs"),
    ("en", "that b!tch stole my idea"),
    ("en", "f.u.c.k. this update"),
    ("en", "shiiiiit I forgot"),
    ("en", "oh #shit/fuck"),
    ("en", "you Son-of-a-Bitch!"),
    ("en", "Sluts and a slut"),
    ("de", "du verdammtes ARSCHLOCH"),
    ("fr", "sale bougnoule"),
    ("es", "eres un hijo de puta"),
    ("it", "vaffanculo te e la tua macchina"),
    ("pt-BR", "aquela puta mentiu"),
    ("pl", "spierdalaj stąd"),
    ("ru", "этот пидорас опять врёт"),
    ("ru", "какая бл*дь"),
    ("el", "άντε ρε ΜΑΛΑΚΑΣ"),
    ("tr", "siktir git buradan"),
    ("ar", "يا ابن الشَّرموطة"),
    ("he", "יא בן זונה"),
    ("hi", "मादरचोद ने पैसे नहीं दिए"),
    ("vi", "địt mẹ mày"),
    ("th", "ไอ้เหี้ยมึงโกหก"),
    ("zh", "你这个傻逼"),
    ("ja", "黙れクソ野郎"),
    ("ko", "씨발또 고장났네"),
    ("", "get out, you fucking idiot"),
]
ADULT = [
    ("en", "free p0rn without signup"),
    ("en", "XXX videos of naked girls"),
    ("en", "great blow-job scene"),
    ("de", "ich will dich ficken"),
    ("fr", "elle lui suce la bite"),
    ("es", "quiero follar contigo"),
    ("ru", "смотреть порно бесплатно"),
    ("tr", "sikiş videoları"),
    ("ar", "افلام سكس مجانية"),
    ("hi", "चुदाई की कहानी"),
    ("zh", "成人电影在线看"),
    ("ja", "無料エロ動画"),
    ("ko", "무료 야동사이트"),
]
HARMLESS = [
    ("en", "trains from Scunthorpe to Sussex, Penistone and Clitheroe"),
    ("en", "the assassin in the cockpit drank cocktails"),
    ("en", "who founded Pussy Riot? is a pussy willow a tree?"),
    ("en", "breast, anal and penile cancer; sexual transmission; rape; growth retardation"),
    ("en", "Dick Cheney, Moby-Dick, great tits, the bitch and her puppies, Kike Hernández"),
    ("en", "a*b*c, p**q, 5H1 T-cells, s h o w, aaaa, zzz, B2C, w0w"),
    ("en", "shitake, niggardly, cuneiform, titmouse, analog, Essex"),
    ("sv", "bokens slut, en kurva"),
    ("", "bokens slut"),
    ("es", "el cono y la torre del reloj a qué hora"),
    ("hr", "bio sam tamo dva puta u gradu Pula"),
    ("nl", "een auto huren"),
    ("hi", "लंदन और लंडन"),
    ("ur", "کیرم بورڈ"),
    ("th", "หีบใส่ของ"),
    ("zh", "我妈逼我结婚，生日你妈妈，体操你会吗，乳腺癌"),
    ("ja", "パチンコとフェラーリとキッチンポット、販売女性"),
    ("ko", "시발점 병신년 보지 않은 영화"),
    ("vi", "hạt óc chó"),
    ("en", ""),
]


def fate(row: Example, **options: object) -> str:
    (outcome,) = Safety.model_validate(options).run([row], Context())
    return f"{outcome.reason}: {outcome.detail}" if isinstance(outcome, Dropped) else "kept"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("when does the Nile flood?", "kept"),
        ("", "kept"),
        (f"who is {MAIL}", "personal_data: an e-mail address in the query"),
        (f"{PHONE} or {MAIL}?", "personal_data: an e-mail address and a phone number in the query"),
        ("my BSN is 474985003", "personal_data: an identity number in the query"),
        ("you fucking idiot", "kept"),
        ("free porn", "kept"),
    ],
)
def test_by_default_a_query_with_personal_data_goes_and_nothing_else_is_looked_for(query: str, expected: str) -> None:
    assert fate(Example(id="r", query=query)) == expected


@pytest.mark.parametrize(("language", "text"), TOXIC)
def test_toxic_wording_goes_in_many_languages(language: str, text: str) -> None:
    row = Example(id="r", query=text, language=language)
    assert fate(row, checks=["toxic"]).startswith("toxic: toxic wording in the query: ")
    assert fate(row, checks=["adult"]) == "kept"


@pytest.mark.parametrize(("language", "text"), ADULT)
def test_adult_wording_goes_in_many_languages(language: str, text: str) -> None:
    row = Example(id="r", query=text, language=language)
    assert fate(row, checks=["adult"]).startswith("adult: adult wording in the query: ")
    assert fate(row, checks=["toxic"]) == "kept"


@pytest.mark.parametrize(("language", "text"), HARMLESS)
def test_words_that_only_look_coarse_stay(language: str, text: str) -> None:
    assert fate(Example(id="r", query=text, language=language), checks=["personal", "adult", "toxic"]) == "kept"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("written", "kept written_positive=positive 1 written_negative=negative 2"),
        ("query", "kept"),
        ("positives", "corpus_positive=positive 1 written_positive=positive 1"),
        (
            "all",
            "corpus_positive=positive 1 mined_negative=negative 2 written_positive=positive 1 "
            "written_negative=negative 2",
        ),
    ],
)
def test_what_is_read_is_what_was_asked_for(fields: str, expected: str) -> None:
    clean, mail = Document("nothing here"), f"write to {MAIL}"
    rows = {
        "corpus_positive": Example(id="1", positives=(Document(mail),)),
        "mined_negative": Example(id="2", negatives=(clean, Document(mail, origin="mined"))),
        "written_positive": Example(id="3", positives=(Document(mail, origin="written"),)),
        "written_negative": Example(id="4", negatives=(clean, Document("", title=mail, origin="written"))),
    }
    dropped = {name: fate(row, fields=fields) for name, row in rows.items()}
    found = {name: said for name, said in dropped.items() if said != "kept"}
    assert set(found) == {each.split("=")[0] for each in expected.split(" ") if "_" in each}
    for name, said in found.items():
        assert said.startswith("personal_data: an e-mail address in "), said
        assert f"{name}={said.rpartition(' in ')[2]}" in expected
    assert fate(Example(id="5", query=mail), fields=fields) == "personal_data: an e-mail address in the query"


def test_the_first_check_that_finds_something_names_the_reason() -> None:
    row = Example(id="r", query=f"fuck {MAIL} and his porn", language="en")
    reasons = [fate(row, checks=checks).partition(":")[0] for checks in (["toxic", "personal"], ["adult", "toxic"])]
    assert reasons == ["toxic", "adult"]


def test_a_document_is_read_in_its_own_language() -> None:
    swedish = Document("bokens slut", language="sv", origin="written")
    english = Document("such a slut", language="", origin="written")
    row = Example(id="r", language="en", positives=(swedish,))
    assert fate(row, checks=["toxic"]) == "kept"
    assert fate(Example(id="r", language="en", positives=(english,)), checks=["toxic"]) != "kept"


@pytest.mark.parametrize(
    "text", [f"{MAIL} {PHONE}", "PESEL 44051401359", "DE62 5001 0517 6852 5673 77", "you fucking f*ck"]
)
def test_the_detail_repeats_neither_the_datum_nor_the_word(text: str) -> None:
    said = fate(Example(id="r", query=text, language="en"), checks=["personal", "adult", "toxic"])
    assert said != "kept"
    assert not [word for word in text.split() if word in said]
    assert not any(character.isdigit() for character in said)


@pytest.mark.parametrize(
    "options", [{"checks": []}, {"checks": ["names"]}, {"checks": "personal"}, {"fields": "titles"}]
)
def test_a_wrong_option_is_told(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Safety.model_validate(options)


@pytest.mark.parametrize("piece", ["a ", "a", "aab", "$", "f*", "*", "a1", "shit ", "ficken!", "操", "१", "x$"])
def test_time_grows_with_the_length_of_the_text_alone(piece: str) -> None:
    coarse_word(piece, "toxic", "en")
    start = time.process_time()
    coarse_word(piece * (100_000 // len(piece)), "toxic", "en")
    assert time.process_time() - start < 3
