"""Personal data is out of what a model is sent; what only looks like it stays."""

import time
from collections.abc import Iterable, Iterator

import numpy as np
import phonenumbers
import pytest
from numpy.typing import NDArray
from pydantic import Field

from synth.answers import Unreadable, ask_again
from synth.backend import Backend, Completion, Message, Request
from synth.redact import Redacting, redact

EMAILS = """
jane@example.org
jane.doe@example.co.uk
j.doe+news@mail.example.com
JANE.DOE@EXAMPLE.COM
jane_doe-1984@example.travel
o'brien@example.ie
x@y.cz
jürgen@müller-bau.de
пётр@пример.рф
γιώργος@παράδειγμα.gr
info@xn--bcher-kva.example
jane@[secret]
12345@qq.com
firstname-lastname@sub.domain.example.museum
root%backup@example.net
jane＠example.jp
jane(at)example.org
jane [at] example [dot] org
jane {at} example.org
jane(at)example(punkt)de
maria (arroba) ejemplo.es
"""

# As people write them, each after a word that says what it is.
NAMED_PHONES = """
Tel. 912 345 678
Tel: 91 234 56 78
Teléfono: 612345678
telefone 21 234 5678
Telefon: 22 123 45 67
telefonnummer 12 34 56 78
tlf. 22 12 34 56
Puh. 040 1234567
Phone: 555-0134
phone number is 6123 4567
Mobile (HK): 9123 4567
call me on 2123 4567
call 1800 123 456
Fax 1 2345 6789
WhatsApp: 5512345678
hotline 116 117 00
gsm 0475 12 34 56
cep: 532 123 45 67
тел. 123-45-67
телефон: 495 123-45-67
Моб.: 916 1234567
τηλ. 210 1234567
κινητό 6912345678
电话：6505 1234
手机:13812345678
電話：2345-6789
携帯 090 1234 5678
전화: 123-4567
연락처 010 1234 5678
هاتف: ٠١١٢٣٤٥٦٧
جوال 0501234567
फ़ोन: 98765 43210
मोबाइल: ९८७६५४३२१०
โทร. 02 123 4567
điện thoại: 0912 345 678
טלפון: 03-123-4567
"""

# With a country code, or grouped as phone numbers are: found without a word before them.
PHONES = """
+1 415 555 2671
+1 (415) 555-2671
+1-415-555-2671
+14155552671
+1.415.555.2671
1-800-555-0199
(415) 555-2671
415-555-2671
415.555.2671
+44 20 7946 0958
+44 (0)20 7946 0958
+44 7700 900123
020 7946 0958
(020) 7946 0958
07700 900123
07700900123
0044 20 7946 0958
+49 30 1234567
+49 (0)30 1234567
+49 171 1234567
+4917112345678
0171 1234567
0171/1234567
030/1234567
030 / 12 34 56 78
(030) 12345678
089-12345678
0049 30 12345678
+33 6 12 34 56 78
06 12 34 56 78
06.12.34.56.78
06-12-34-56-78
0612345678
01 44 55 66 77
+33 (0)1 44 55 66 77
+39 06 1234 5678
06 1234 5678
02-12345678
+39 347 123 4567
+34 912 345 678
+34 612 34 56 78
+351 912 345 678
+31 6 12345678
06-12345678
020-1234567
+31-20-5665-633
+32 475 12 34 56
0475 12 34 56
+41 44 668 18 00
044 668 18 00
079 123 45 67
+43 1 5123456
+43 664 1234567
0664 1234567
+45 12 34 56 78
+46 70 123 45 67
070-123 45 67
+47 22 12 34 56
+358 40 1234567
040 123 4567
+353 86 123 4567
086 123 4567
+48 601 234 567
+420 601 123 456
+421 905 123 456
0905 123 456
+36 30 123 4567
+40 721 123 456
0721 123 456
+359 88 123 4567
088 123 4567
+30 210 1234567
+90 532 123 45 67
0532 123 45 67
0 (212) 123 45 67
+7 495 123-45-67
8 (495) 123-45-67
8-916-123-45-67
89161234567
+380 50 123 4567
050 123 45 67
+81 3-1234-5678
03-1234-5678
090-1234-5678
+82 10-1234-5678
010-1234-5678
02-123-4567
+86 138 1234 5678
13812345678
138-1234-5678
010-12345678
+886 912 345 678
0912-345-678
+852 9123 4567
+65 6123 4567
+91 98765 43210
+91-9876543210
098765 43210
011-23456789
+62 812-3456-7890
0812-3456-7890
+66 81 234 5678
081-234-5678
+84 912 345 678
0912 345 678
+63 917 123 4567
0917 123 4567
+60 12-345 6789
012-345 6789
+61 412 345 678
0412 345 678
(02) 9123 4567
+64 21 123 4567
021 123 4567
+27 82 123 4567
082 123 4567
+254 712 345678
0712 345678
+234 803 123 4567
0803 123 4567
+20 100 123 4567
0100 123 4567
+966 50 123 4567
050 123 4567
+971 50 123 4567
+972 50-123-4567
050-123-4567
+98 912 123 4567
0912 123 4567
+55 11 91234-5678
(11) 91234-5678
11 91234-5678
(11) 2345-6789
+54 9 11 1234-5678
(011) 4123-4567
+52 55 1234 5678
+56 9 1234 5678
+57 301 1234567
+51 912 345 678
+١ ٤١٥ ٥٥٥ ٢٦٧١
+1 415-555-2671 ext. 42
"""

IBANS = """
DE89 3704 0044 0532 0130 00
DE89370400440532013000
GB29 NWBK 6016 1331 9268 19
FR14 2004 1010 0505 0001 3M02 606
ES91 2100 0418 4502 0005 1332
IT60 X054 2811 1010 0000 0123 456
NL91 ABNA 0417 1643 00
BE71 0961 2345 6769
AT61 1904 3002 3457 3201
CH93 0076 2011 6238 5295 7
PL61 1090 1014 0000 0712 1981 2874
SE45 5000 0000 0583 9825 7466
NO93 8601 1117 947
DK50 0040 0440 1162 43
FI21 1234 5600 0007 85
PT50 0002 0123 1234 5678 9015 4
IE29 AIBK 9311 5212 3456 78
GR16 0110 1250 0000 0001 2300 695
CZ65 0800 0000 1920 0014 5399
HU42 1177 3016 1111 1018 0000 0000
RO49 AAAA 1B31 0075 9384 0000
TR33 0006 1005 1978 6457 8413 26
SA03 8000 0000 6080 1016 7519
AE07 0331 2345 6789 0123 456
MT84 MALT 0110 0001 2345 MTLC AST0 01S
de89370400440532013000
"""

CARDS = """
4111 1111 1111 1111
4111111111111111
4012-8888-8888-1881
5555 5555 5555 4444
5105105105105100
2223 0031 2200 3222
3782 822463 10005
371449635398431
6011 1111 1111 1117
3530111333300000
3056 930902 5904
6200 0000 0000 0005
"""

IPS = """
192.168.7.20
81.2.69.142
10.0.0.255
255.255.255.0
203.0.113.7
2001:db8::7
2001:0db8:85a3:0000:0000:8a2e:0370:7334
fe80::1ff:fe23:4567:890a
2606:4700:4700::1111
fd12:3456:789a:1::1
"""

# In two pieces, so that no scanner takes this file for a leak.
A9, HEX = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0", "0123456789abcdef" * 4
SECRETS = [
    "sk-" + A9,
    "sk-" + "proj-" + A9 + "_" + A9,
    "sk-" + "ant-api03-" + A9 + "-" + A9 + "AA",
    "sk-" + "or-v1-" + HEX,
    "gsk" + "_" + A9 + A9[:12],
    "xai" + "-" + A9 + A9,
    "pplx" + "-" + A9 + A9[:8],
    "nvapi" + "-" + A9 + A9[:24],
    "hf" + "_" + A9[:34],
    "AIza" + A9[:35],
    "ya29" + "." + A9,
    "GOCSPX" + "-" + A9[:28],
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ASIA" + "IOSFODNN7EXAMPLE",
    "gh" + "p_" + A9[:36],
    "gh" + "o_" + A9[:36],
    "gh" + "s_" + A9[:36],
    "github" + "_pat_" + A9[:22] + "_" + A9,
    "glpat" + "-" + A9[:20],
    "xox" + "b-123456789012-1234567890123-" + A9[:24],
    "xox" + "p-123456789012-" + A9[:24],
    "sk" + "_live_" + A9[:24],
    "sk" + "_test_" + A9[:24],
    "rk" + "_live_" + A9[:24],
    "whsec" + "_" + A9[:32],
    "SG" + "." + A9[:22] + "." + (A9 + A9)[:43],
    "SK" + HEX[:32],
    "key" + "-" + HEX[:32],
    "npm" + "_" + A9[:36],
    "pypi" + "-" + A9 + A9,
    "dop" + "_v1_" + HEX,
    "dapi" + HEX[:32],
    "shpat" + "_" + HEX[:32],
    "ey" + "JhbGciOiJIUzI1NiJ9.ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEowIBAAKCAQEA" + A9 + "\n" + A9 + "==\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE" + " KEY-----\n" + A9 + "\n" + A9 + "\n-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN EC PRIVATE" + " KEY-----\nProc-Type: 4,ENCRYPTED\n\n" + A9 + "\n-----END EC PRIVATE KEY-----",
    "-----BEGIN PRIVATE" + " KEY-----\n" + A9 + "\n" + A9,
]
HELD = {
    "Authorization: Bearer " + A9: A9,
    "authorization: bearer " + HEX[:32]: HEX[:32],
    "Authorization: Basic " + "dXNlcjpwYXNzd29yZDEyMw==": "dXNlcjpwYXNzd29yZDEyMw",
    "postgres://admin:hunter2@db.example:5432/shop": "hunter2",
    "https://jane:p@ss@example.org/path": "p@ss",
    "redis://:hunter2@cache:6379": "hunter2",
    "https://example.org/a?api_key=hunter2hunter2&x=1": "hunter2hunter2",
    "https://example.org/a?x=1&X-Amz-Signature=" + HEX: HEX,
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY": "wJalrXUtnFEMI",
    "DefaultEndpoints;AccountKey=" + A9 + A9 + "==;": A9,
}


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and "[secret]" not in line]


PLANTED = [
    *(("[email]", text) for text in lines(EMAILS)),
    *(("[phone]", text) for text in lines(PHONES)),
    *(("[iban]", text) for text in lines(IBANS)),
    *(("[card]", text) for text in lines(CARDS)),
    *(("[ip]", text) for text in lines(IPS)),
    *(("[secret]", text) for text in SECRETS),
]


@pytest.mark.parametrize("around", ["Please note: {} today.", "{}", "({})", "a,\n{}\nb", "„{}“, und so", "联系{}谢谢"])
def test_what_was_planted_is_taken_out_whole_and_nothing_else(around: str) -> None:
    missed = [
        (text, redact(around.format(text)))
        for kind, text in PLANTED
        if redact(around.format(text)) != around.format(kind)
    ]
    assert len(PLANTED) > 240
    assert not missed


@pytest.mark.parametrize("text", lines(NAMED_PHONES))
def test_a_number_that_a_word_calls_a_phone_is_taken_out_though_its_shape_says_nothing(text: str) -> None:
    assert not any(letter.isdecimal() for letter in redact(text))
    assert redact(text).endswith("[phone]")


@pytest.mark.parametrize(("text", "secret"), HELD.items())
def test_what_opens_a_door_goes_and_the_text_around_it_stays(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "[secret]" in redact(text)
    assert redact(text)[:5] == text[:5]


@pytest.mark.parametrize("style", ["INTERNATIONAL", "E164", "NATIONAL"])
def test_the_numbers_of_every_country_are_known(style: str) -> None:
    """The library's own example of each country's fixed and mobile numbers; in national form after a word."""
    around = "Tel.: {}, or not" if style == "NATIONAL" else "so {} it is"
    numbers = [
        phonenumbers.format_number(number, getattr(phonenumbers.PhoneNumberFormat, style))
        for region in phonenumbers.SUPPORTED_REGIONS
        for kind in (phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE)
        if (number := phonenumbers.example_number_for_type(region, kind)) is not None
    ]
    long = [text for text in numbers if sum(letter.isdigit() for letter in text) > 5]  # a few islands have less
    assert len(long) > 440
    assert [text for text in long if redact(around.format(text)) != around.format("[phone]")] == []


KEPT = """
In 1984 and 2001, from 1990-1995, 1990–95 and 2003–2004, on 2024-05-17, 17.05.2024, 05/17/2024 and 01-02-2003.
At 12:30:45, 08:30-17:00, 2018-12-01T02:03:04.000009+10:30.
It costs $1,234.56, 1.234,56 €, 12 345 678 Kč, ₹12,34,567, 1 000 000 yen and USD 4100000.
ISBN 978-3-16-148410-0, ISBN 0-306-40615-2, ISBN 0306406152, ISSN 1234-5679, EAN 4006381333931.
Version 1.2.3.4, v10.0.19041.1, numpy>=1.26.4, driver version 10.101.2.3, Python 3.11.9, section 3.4.1.12.
Thrombin is EC 3.4.21.5.
Shifts of 0700-1500 and 1500-2300; papillary cell) among 516 123 people; tumor cell lines, both PD166866 and PD0325901.
OID 2.5.29.37, RFC 2822, arXiv:2406.06519, PMID 12345678, doi:10.1007/s12551-010-0034-3, NCT01378767, ISRCTN94410159.
The odds ratio was 0.94 (0.36-1.09), 95% CI 1.62–10.17; n = 1024; p < 0.0001.
The sum a+14155552671 and x+4915112345678.
Of 11 302 (6790-13 722); 576 900 (330 000-701 200).
37 °C, 6.02214076e23, 3.14159265358979, 299792458 m/s, 1e-10, +35236450.6.
"0123456789", 4/5, 50%, 16:9, 1920x1080, 640-480.
Call 911. Room 101. Boeing 747-400. Article 5(2)(b). Psalm 23:4. Boston, MA 02110-1301. CAS 50-78-2.
Order 4111 1111 1111 1112.
5d41402abc4b2a76b9719d911017c592, 550e8400-e29b-41d4-a716-446655440000, 00:1A:2B:3C:4D:5E.
std::vector, 12::30, a::b, ::1, 127.0.0.1.
DE88370400440532013000 fails its check. GB is a country; AT20 is a chip.
logo@2x.png, @jane, lodash@4.17.21, me @ home, 5 @ 3.50, look (at) this.
https://example.org:8080/a?x=1&token=abc, http://[::1]/, ssh://git@host/x, sk-learn.
task-force-of-the-united-nations, keyboard.
Bearer of bad news, the bearer certificates of indebtedness, Basic instincts. A file begins with BEGIN PRIVATE KEY.
१९९० में, ١٩٨٤, 二〇二四年, ๒๕๖๗.
"""


@pytest.mark.parametrize("text", lines(KEPT))
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redact(text) == text


def test_redacting_twice_changes_nothing_more() -> None:
    once = redact("\n".join([text for _, text in PLANTED] + lines(NAMED_PHONES) + list(HELD)))
    assert redact(once) == once


MARKS = "@ at) :// bearer key= sk- ghp_ SG. eyJ PRIVATE KEY tel :: 1 "  # whatever has a search begin
HOSTILE = [
    *("a", "a.", "a@", "a@a.", "@", "[at]", "a (at) ", "a(dot)", "a-", "1", "1 ", "12 34 ", "01 ", "+1 ", "(1"),
    *("0(12)", "1-", "٣ ", "415-", "8 (", "x1", "\u00a0", "中1", "=", "%"),
    *("tel: 123456 ", "tel ", "sk-", "sk-a", "eyJ", "eyJa-", "eyJaaaaaaaaaaa.", "://a:", "?key=a"),
    *("bearer ", "bearer\n", "DE89 ", "4111 ", "3782 ", "1.1.1.1.", "2001:", "2000-", "-----BEGIN PRIVATE KEY-----"),
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_eight_times_the_text_takes_about_eight_times_as_long_whatever_it_holds(piece: str) -> None:
    def seconds(size: int) -> float:
        text = MARKS + (piece * (size // len(piece) + 1))[:size]
        started = time.process_time()
        redact(text)
        return time.process_time() - started

    assert seconds(200_000) < 24 * seconds(25_000) + 0.5


class Recorded(Backend):
    """Keeps what it is sent and says it again."""

    seen: list[str] = Field(default_factory=list)
    closed: bool = False

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in requests:
            self.seen.append(request.messages[-1].content)
            yield Completion(request=request, text=request.messages[-1].content, model=self.model)

    def embed(self, texts: "list[str]") -> NDArray[np.float32]:  # type: ignore[override]
        self.seen.extend(texts)
        return np.ones((len(texts), 2), np.float32)

    def score(self, pairs: "list[tuple[str, str]]") -> NDArray[np.float32]:  # type: ignore[override]
        self.seen.extend(text for pair in pairs for text in pair)
        return np.ones(len(pairs), np.float32)

    def close(self) -> None:
        self.closed = True


def request(text: str, **more: object) -> Request:
    messages = (Message("system", "Write to help@example.org."), Message("user", text))
    return Request(id="r:1", messages=messages, **more)  # type: ignore[arg-type]


def test_a_model_is_sent_redacted_words_under_the_same_id_and_the_prompt_s_own_words_as_they_are() -> None:
    inner = Recorded(model="m")
    [done] = Redacting.over(inner).complete([request("mail jane@example.org", sample=3)])
    assert inner.seen == ["mail [email]"]
    assert done.text == "mail [email]"
    assert (done.request.id, done.request.sample) == ("r:1", 3)
    assert [m.content for m in done.request.messages] == ["Write to help@example.org.", "mail [email]"]


def test_what_is_asked_again_holds_no_personal_data_either() -> None:
    inner = Recorded(model="m")
    backend = Redacting.over(inner)
    [done] = backend.complete([request("mail jane@example.org")])
    follow_up = ask_again(done, Unreadable("unreadable_answer", "no JSON object"))
    assert follow_up is not None
    list(backend.complete([follow_up]))
    assert not any("jane@" in message.content for message in follow_up.messages)
    assert not any("jane@" in text for text in inner.seen)


def test_vectors_and_scores_are_of_redacted_texts() -> None:
    inner = Recorded(model="m")
    backend = Redacting.over(inner)
    assert backend.embed(["jane@example.org"]).shape == (1, 2)
    assert backend.score([("who is jane@example.org", "call +49 30 1234567")]).shape == (1,)
    assert inner.seen == ["[email]", "who is [email]", "call [phone]"]


def test_a_redacted_backend_is_another_than_the_plain_one_of_the_same_model() -> None:
    inner = Recorded(model="m", revision="2")
    backend = Redacting.over(inner)
    assert backend.identity() != inner.identity()
    assert backend.model_identity() == inner.model_identity() == "m@2"
    backend.close()
    assert inner.closed
