r"""Tells what personal data a text holds, by kind: what `redact` takes out, and numbers that states give to people.

    "reach me at jane.doe@mail.test or +49 30 1234567"    email, phone
    "my PESEL is 44051401359"                             id
    "who wrote 978-3-16-148410-0 in 1994?"                nothing

An identity number has its country's shape and right check digits (python-stdnum's); one that is plain digits must stand
after a word that names it, since one in ten numbers of any sort has a right check digit. A few have no check digits:
the American and the British one are told by their shape, passports and some others by shape and word.

NOT told: what `redact` does not find either (names, postal addresses, dates of birth, user names, licence plates),
numbers of accounts, patients and customers, and identity numbers of countries that are not in the tables.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from ipaddress import AddressValueError, IPv4Address

from synth.redact import redact

KINDS = {
    "email": "an e-mail address",
    "phone": "a phone number",
    "id": "an identity number",
    "iban": "an IBAN",
    "card": "a card number",
    "ip": "an IP address",
    "secret": "a key or password",
}
"""The kinds, as `redact` marks them, and how each is spoken of."""

BEFORE = 60
"""How many characters before a number are searched for the word that names it."""

_RUN = re.compile(r"\d(?:[-\s./+]?[\dA-Z]){5,}+")
"""What all shapes have in them: digits and capitals, at most one other character between two of them."""

MOST_BEFORE_RUN, MOST_AFTER_RUN = 8, 3
"""How many characters of a shape stand before its first digit, and after the last of such a run."""

_PUBLIC_SERVERS = {"1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9"}
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)")

_FULL_SHAPES = r"""
us.ssn            \d{3}-\d\d-\d{4}
us.itin           9\d\d-\d\d-\d{4}
br.cpf            \d{3}\.\d{3}\.\d{3}-\d\d
es.dni            \d{8}-?[A-Z]
es.nie            [XYZ]-?\d{7}-?[A-Z]
it.codicefiscale  [A-Z]{6}\s?\d\d[A-Z]\d\d\s?[A-Z]\d{3}[A-Z]
mx.curp           [A-Z]{4}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d
fi.hetu           \d{6}[-+A-FU-Y]\d{3}[0-9A-Y]
se.personnummer   (?:\d\d)?\d{6}[-+]\d{4}
is_.kennitala     \d{6}-\d{4}
be.nn             \d\d\.\d\d\.\d\d-\d{3}\.\d\d
ch.ssn            756\.?\d{4}\.?\d{4}\.?\d\d
fr.nir            [12]\s?\d\d\s?[0-3]\d\s?\d[\dAB]\s?\d{3}\s?\d{3}\s?\d\d
cn.ric            \d{17}[\dXx]
kr.rrn            \d{6}-[1-8]\d{6}
my.nric           \d{6}-\d\d-\d{4}
th.pin            \d-\d{4}-\d{5}-\d\d-\d
pk.cnic           \d{5}-\d{7}-\d
cz.rc             \d{6}/\d{4}
cl.rut            [1-4]?\d\.\d{3}\.\d{3}-[\dKk]
ar.cuit           2[0347]-\d{8}-\d
do.cedula         \d{3}-\d{7}-\d
pt.cc             \d{8}\s\d\s[A-Z0-9]{2}\d
gb.nino           [A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\s\d\d\s\d\d\s\d\d\s[A-D]
"""
"""Numbers that are told by what they look like; and by their check digits, where they have any."""

_NAMED_SHAPES = r"""
us.ssn            \d{3}[-\s]?\d\d[-\s]?\d{4}        ssn|social security
br.cpf            \d{11}                            cpf
pl.pesel          \d{11}                            pesel
tr.tckimlik       \d{11}                            kimlik|tckn
hr.oib            \d{11}                            oib
de.idnr           \d\d\s?\d{3}\s?\d{3}\s?\d{3}      steuer-?id|idnr|identifikationsnummer
no.fodselsnummer  \d{6}\s?\d{5}                     f[øo]dselsnummer|personnummer
ee.ik             \d{11}                            isikukood
lt.asmens         \d{11}                            asmens kod
lv.pvn            \d{6}-?\d{5}                      personas kod
be.nn             \d{11}                            rijksregister|registre national|niss|insz
nl.bsn            \d{9}                             bsn|burgerservice|sofinummer
pt.nif            \d{3}\s?\d{3}\s?\d{3}             nif|contribuinte
gb.nhs            \d{3}[-\s]?\d{3}[-\s]?\d{4}       nhs
gb.nino           [A-Z]{2}\d{6}[A-D]               national insurance|nino|ni (?:no|number)
ca.sin            \d{3}[-\s]?\d{3}[-\s]?\d{3}       social insurance|assurance sociale
au.tfn            \d{3}\s?\d{3}\s?\d{3}             tfn|tax file
nz.ird            \d{2,3}-?\d{3}-?\d{3}             ird
ie.pps            \d{7}[A-Z]{1,2}                   pps\w?
in_.aadhaar       \d{4}[-\s]?\d{4}[-\s]?\d{4}       aadhaa?r|आधार
id.nik            \d{16}                            nik|ktp|nomor induk
il.idnr           \d{9}                             teudat zehut|תעודת זהות|ת\.?ז|מספר זהות
jp.in_            \d{4}[-\s]?\d{4}[-\s]?\d{4}       マイナンバー|個人番号
za.idnr           \d{6}\s?\d{4}\s?\d\d\s?\d         (?:sa |rsa )?id (?:no|number)|identity number
ro.cnp            \d{13}                            cnp|cod numeric personal
bg.egn            \d{10}                            егн|egn
si.emso           \d{13}                            em[šs]o|jmbg|јмбг|mati[čc]ni broj|матични број
gr.amka           \d{11}                            αμκα|amka
ua.rntrc          \d{10}                            рнокпп|іпн|ідентифікаційний
ru.inn            \d{12}                            инн
dk.cpr            \d{6}-?\d{4}                      cpr|personnummer
se.personnummer   (?:\d\d)?\d{10}                   personnummer
is_.kennitala     \d{10}                            kennitala
at.vnr            \d{4}\s?\d{6}                     svnr|sozialversicherung
cz.rc             \d{6}/?\d{3,4}                    rodn[éeý]
ec.ci             \d{10}                            c[ée]dula
kr.rrn            \d{13}                            주민등록번호|주민번호
my.nric           \d{12}                            mykad|nric|kad pengenalan
th.pin            \d{13}                            บัตรประชาชน|ประจำตัวประชาชน
ar.dni            \d\d\.\d{3}\.\d{3}                dni
ru.snils          \d{3}-\d{3}-\d{3}[-\s]\d\d        снилс
vn.cccd           \d{12}                            cccd|cmnd|căn cước
eg.nid            [23]\d{13}                        الرقم القومي
ir.nid            \d{10}                            کد ملی
sg.nric           [STFGM]\d{7}[A-Z]                 nric|fin
hk.hkid           [A-Z]{1,2}\d{6}\(?[\dA]\)?        hkid|身份證
tw.id             [A-Z][12]\d{8}                    身分證
any.passport      [A-Z]{1,2}\d{6,8}|\d{9}           pass?(?:a?port|eport)|reisepass|паспорт|护照|護照|旅券|여권
"""
"""Numbers that are told after a word that names them; the word is looked for in any case."""

_UNCHECKED = {"gb.nino", "ru.snils", "vn.cccd", "eg.nid", "ir.nid", "sg.nric", "hk.hkid", "tw.id", "any.passport"}
"""Numbers without check digits, or with some that python-stdnum does not know."""


@dataclass(frozen=True, slots=True)
class _Number:
    name: str
    shape: re.Pattern[str]
    word: re.Pattern[str] | None = None

    def stands_at(self, text: str, start: int, end: int) -> bool:
        """True where this is such a number: named, if it has to be, and with right check digits."""
        if self.word is not None and not self.word.search(text, max(0, start - BEFORE), start):
            return False
        number = text[start:end]
        several = len(set(re.sub(r"\D", "", number))) > 1
        return several and (self.name in _UNCHECKED or _has_right_check_digits(self.name, number))


def _bounded(shape: str) -> str:
    return rf"(?<![A-Za-z\d_])(?<!\d[.,/-])(?:{shape})(?![A-Za-z\d_]|[.,/-]\d)"


def _numbers() -> Iterator[_Number]:
    for line in (_FULL_SHAPES.strip() + _NAMED_SHAPES).splitlines():
        name, shape, *word = re.split(r"\s{2,}", line)
        named = re.compile(rf"(?<![A-Za-z])(?:{word[0]})[^\d\n]{{0,30}}\Z", re.IGNORECASE) if word else None
        yield _Number(name, re.compile(_bounded(shape)), named)


_NUMBERS = tuple(_numbers())
_ANY_SHAPE = re.compile("|".join(dict.fromkeys(number.shape.pattern for number in _NUMBERS)))


def personal_kinds(text: str) -> tuple[str, ...]:
    """The kinds of personal data in a text, each once, in the order of `KINDS`; () for a text without any.

    Addresses that belong to no one are not told: IP addresses of private networks and of well-known servers.

    >>> personal_kinds("My PESEL is 44051401359, write to jan@poczta.test")
    ('email', 'id')
    >>> personal_kinds("ISBN 978-3-16-148410-0, PMID 23456789, from 192.168.7.20, 2001-2004")
    ()
    """
    plain = text if text.isascii() else re.sub(r"[^\D0-9]", lambda digit: str(int(digit[0])), text)
    numbers = identity_numbers(plain)
    for start, end in reversed(numbers):
        plain = f"{plain[:start]}[id]{plain[end:]}"
    plain = _IPV4.sub(lambda found: "-" if _is_nobodys(found[0]) else found[0], plain)
    redacted = redact(plain)
    found = {kind for kind in KINDS if redacted.count(f"[{kind}]") > plain.count(f"[{kind}]")}
    return tuple(kind for kind in KINDS if kind in found or (kind == "id" and numbers))


def identity_numbers(text: str) -> list[tuple[int, int]]:
    """Where identity numbers stand in a text, from left to right; its digits are 0 to 9.

    >>> identity_numbers("SSN 536-90-4399 or 536-90-439")
    [(4, 15)]
    """
    spans: set[tuple[int, int]] = set()
    for run in _RUN.finditer(text):
        near = max(0, run.start() - MOST_BEFORE_RUN), run.end() + MOST_AFTER_RUN
        if _ANY_SHAPE.search(text, *near):
            found = ((number, each.span()) for number in _NUMBERS for each in number.shape.finditer(text, *near))
            spans |= {span for number, span in found if number.stands_at(text, *span)}
    return sorted(spans)


def _is_nobodys(address: str) -> bool:
    try:
        return address in _PUBLIC_SERVERS or not IPv4Address(address).is_global
    except AddressValueError:
        return False


def _has_right_check_digits(name: str, number: str) -> bool:
    try:
        return bool(_module(name).is_valid(number))  # type: ignore[attr-defined]  # every module of a number has it
    except KeyError:  # cn.ric of python-stdnum 2.2: right digits and date, in a county that it does not know
        return True


@cache
def _module(name: str) -> object:
    return import_module(f"stdnum.{name}")
