"""Personal data is told by its kind; numbers that only look like it are not. All data are invented."""

import time

import pytest

from synth.personal import KINDS, identity_numbers, personal_kinds

# Each with right check digits, where its country has any.
NUMBERS = """
my SSN is 739-59-5902
social security number 739595902
NI AB 12 34 56 C
ni number AB123456C
NHS number 364 392 2779
passport X1234567
social insurance 675-612-568
TFN: 610 178 223
PPSN 2164491I
Aadhaar 8217 6759 5516
South African id number 8405129253087
NRIC 840512-14-9457
DNI 36600985G
NIE X7828537G
CURP GOMR850712HDFLRN00
RUT 14.853.830-1
20-71105960-2
cédula 1719251165
VRDLCU84B12F205S
VRDLCU 84B12 F205S
CPF 903.879.327-80
cpf nº 68279825304
NIF 264 446 747
2 84 05 75 561 746 28
284057556174628
756.6980.7876.12
84.05.12-918.36
Steuer-ID: 80 240 695 036
SVNR 2820 120584
BSN 474985003
PESEL: 84051271536
845512/4227
OIB 80267600111
ЈМБГ 1205184704514
ЕГН 8405121299
CNP 2840512400806
ΑΜΚΑ 12058465746
T.C. Kimlik No 17872563526
ИНН 777733980011
СНИЛС 112-233-445 95
РНОКПП 9366845450
840512-3251
CPR 120584-4453
fødselsnummer 12058423767
120584-465E
kennitala 120584-3089
isikukood 48405126593
asmens kodas 48405129573
personas kods 120584-16489
תעודת זהות 784822512
کد ملی ۰۰۱۲۳۴۵۶۷۹
35202-6166032-7
आधार ८२१७ ६७५९ ५५१६
身份证号是110105198405127798
身份证号110999195302033692
マイナンバーは5618 8154 2252
840512-2416077
6-2242-32216-46-1
NIK 3174015205849804
CCCD 001084012345
"""

NO_NUMBERS = """
my SSN is 000-12-3456
SSN 219-09-9999 came with a wallet
PESEL 44051401358
44051401359 is a number
903.879.327-81
CPF 11111111111
what is a PESEL?
DNI 36600985A
ISBN 978-3-16-148410-0
ISSN 0028-0836
doi 10.1145/359581.359603
PMID 12345678
the antagonist SR141716A (0, 1, and 3 mg/kg)
order 4829-3321-77
in 2001-2004 and 1994/95
160 000 000 years
12 May 1984, 12.05.1984, 1984-05-12
rose to 12,345,678 passports
passports issued: 12
US patent 6,285,999
v7840512-32511
A44051401359B
passport 000000000
http://site.test/739-59-59021
"""


@pytest.mark.parametrize("text", NUMBERS.strip().splitlines())
def test_an_identity_number_is_told(text: str) -> None:
    assert personal_kinds(text) == ("id",)
    assert personal_kinds(f"({text}), since 2019.") == ("id",)


@pytest.mark.parametrize("text", NO_NUMBERS.strip().splitlines())
def test_a_number_that_only_looks_like_one_is_not(text: str) -> None:
    assert personal_kinds(text) == ()


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("jane@mail.test", ("email",)),
        ("+49 30 1234567", ("phone",)),
        ("DE62 5001 0517 6852 5673 77", ("iban",)),
        ("4990 6958 4830 4011", ("card",)),
        ("from 81.2.69.142", ("ip",)),
        ("sk-proj-abcdefgh1234567890ABCDEFGH", ("secret",)),
        ("PESEL 84051271536, jane@mail.test or jo@mail.test, +49 30 1234567", ("email", "phone", "id")),
        ("write to [email] or call [phone], your [id]", ()),
        ("write to [email] or to jane@mail.test", ("email",)),
        ("", ()),
        ("Jane Doe lives at 14 Thornberry Lane", ()),
    ],
)
def test_each_kind_is_told_once_and_a_placeholder_is_none(text: str, kinds: tuple[str, ...]) -> None:
    assert personal_kinds(text) == kinds
    assert set(kinds) <= set(KINDS)


@pytest.mark.parametrize("address", ["192.168.1.1", "10.0.0.7", "172.16.4.4", "203.0.113.9", "8.8.8.8", "300.1.2.3"])
def test_an_address_that_belongs_to_no_one_is_not_told(address: str) -> None:
    assert personal_kinds(f"server {address} does not answer") == ()


def test_identity_numbers_come_from_left_to_right() -> None:
    text = "SSN 739-59-5902, PESEL 84051271536, personnummer 840512-3251"
    assert [text[start:end] for start, end in identity_numbers(text)] == ["739-59-5902", "84051271536", "840512-3251"]


def test_the_word_may_stand_a_little_before_the_number_but_not_on_another_line() -> None:
    assert personal_kinds("my PESEL, as you asked, is 84051271536") == ("id",)
    assert personal_kinds("PESEL:\n44051401359") == ()
    assert personal_kinds(f"PESEL {'x' * 40} 44051401359") == ()


@pytest.mark.parametrize(
    "piece", ["1", "12-", "1 ", "A1", "12.3", "123-45-6789 ", "PESEL 84051271536 ", "1" * 11 + " "]
)
def test_time_grows_with_the_length_of_the_text_alone(piece: str) -> None:
    personal_kinds(piece * 10)
    start = time.process_time()
    personal_kinds(piece * (40_000 // len(piece)))
    assert time.process_time() - start < 5
