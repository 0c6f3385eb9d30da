"""Takes personal data out of text before a model reads it: `redact: true` of a backend.

    redact("Write to jane.doe@example.org or call +49 30 1234567, IBAN DE89 3704 0044 0532 0130 00")
    ->     "Write to [email] or call [phone], IBAN [iban]"

It takes out what has a shape: e-mail addresses, phone numbers, IBANs and card numbers (both by their check digits), IP
addresses, and secrets (keys of well-known services, private keys, bearer tokens, names and passwords in URLs).

It does NOT take out names, postal addresses, dates of birth, numbers of passports, insurance or accounts without an
IBAN, licence plates, user names, or a password that stands in a sentence. A phone number without a country code is
found where a word such as "Tel." stands before it or its digits are grouped as phone numbers are: "912 345 678" alone
is left as it is. Years, prices, dates, ISBNs and version numbers stay.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import regex
from pydantic import PrivateAttr

from synth.backend import Backend, Completion, Message, Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raised when other things are taken out than before: part of what a redacted backend is known by."""

MOST_GROUPS = 9
"""How many groups of digits a phone number has at most."""

MOST_REMEMBERED = 512
"""Messages whose redacted form is kept at hand: the samples of a row are asked in the same words."""

Spans = Iterator[tuple[int, int]]

# Letters of scripts that put spaces between words: in others an address stands right beside the words around it.
_A = "A-Za-z\u00c0-\u024f\u0300-\u03ff\u0400-\u04ff\u1e00-\u1eff"
_L, _W = rf"{_A}0-9", rf"{_A}\d_"
_AT = r"(?:[@＠]|\s?[\[({]\s?(?:at|@|ät|arobase|arroba|chiocciola)\s?[\])}]\s?)"
_DOT = r"(?:\.|\s?[\[({]\s?(?:dot|punkt|point|punto|ponto|\.)\s?[\])}]\s?)"
_AT_MARKS = ("@", "＠", "at)", "at]", "at}", "at )", "at ]", "ät)", "ät]", "arobase", "arroba", "chiocciola")
_EMAIL = re.compile(
    rf"(?<![{_L}])[{_L}][{_L}._%+'-]{{0,63}}+{_AT}(?:[{_L}-]{{1,63}}+{_DOT}){{1,8}}"
    rf"(?!(?:png|jpe?g|gif|svg|webp)\b)(?:xn--[a-z0-9-]{{2,59}}|[{_A}]{{2,24}})",
    re.IGNORECASE,
)

_PRIVATE_KEY = regex.compile(  # in the first releases of Python 3.11 `re` went wrong where a group is possessive
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:(?!-----)[\s\S]){0,20000}+-----END [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:(?:\s|\\n){1,4}+[A-Za-z0-9+/=]{16,}+)*+)"
)
_IN_URL = re.compile(r"(?<=://)[^\s/:@?#]{0,100}+:[^\s/?#]{1,200}(?=@)")
_IN_QUERY = re.compile(
    r"(?<=[?&])((?:access_token|auth|token|api_?key|key|sig|signature|secret|client_secret|password|passwd|pwd"
    r"|X-Amz-(?:Signature|Credential|Security-Token))=)[^&\s#\"'<>]{8,2000}+",
    re.IGNORECASE,
)
_NAME_MARKS = ("bearer", "basic", "aws_secret", "key=")
_NAMED = re.compile(
    r"(\b(?:bearer\s{1,3}|authorization:\s?basic\s{1,3}|aws_secret_access_key[\"']?\s?[=:]\s?[\"']?"
    r"|(?:Account|SharedAccess)Key=))(?=[^\s\d]{0,99}\d)[\w.~+/=-]{16,4000}+",
    re.IGNORECASE | re.ASCII,
)
_KEYS = {  # how the keys of well-known services begin, and what follows
    mark: re.compile(rf"(?<![A-Za-z0-9]){re.escape(mark)}{tail}", re.ASCII)
    for tail, marks in {
        r"(?=[\w-]{0,40}\d)[\w-]{20,400}+": "sk-",  # OpenAI, Anthropic, OpenRouter, DeepSeek
        r"[\w-]{20,1000}+": "AIza ya29. GOCSPX- nvapi- github_pat_ glpat- xoxa- xoxb- xoxp- xoxs- xapp- pypi-",
        r"\w{40,120}+": "gsk_ xai- pplx-",
        r"[A-Za-z0-9]{30,60}+": "hf_",
        r"[A-Z0-9]{16}": "AKIA ASIA",
        r"\w{36,255}+": "ghp_ gho_ ghu_ ghs_ ghr_ npm_",
        r"\w{16,255}+": "sk_live_ sk_test_ rk_live_ rk_test_ whsec_",
        r"[0-9a-fA-F]{32,64}+": "SK key- dapi shpat_ dop_v1_",
        r"[\w-]{16,32}+\.[\w-]{32,64}+": "SG.",
        r"[\w-]{10,4000}+\.eyJ[\w-]{10,4000}+\.[\w-]{0,4000}+": "eyJ",  # a JSON web token
    }.items()
    for mark in marks.split()
}

# These four begin with a digit, which is found fast; what stands before it is looked at afterwards.
_IBAN = re.compile(r"\d\d(?<=[A-Za-z]{2}..)(?<![A-Za-z0-9].{4})(?=[ \u00a0-]?[A-Za-z0-9])")
_IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 "
        "LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 "
        "QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30",
    )
}
_CARD = re.compile(
    rf"[2-6](?<![{_W}.,+/-].)\d{{3}}"
    r"(?:([ \u00a0.-]?)\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|([ \u00a0.-]?)\d{6}\2\d{4,5})"
    rf"(?![{_W}]|[.,-]\d)"
)
_ISSUER = re.compile(r"(?:4\d|5[0-8]|2[2-7]|6\d|35)\d{14}(?:\d{3})?|3[47]\d{13}|3[0689]\d{12}")
_IPV4 = re.compile(rf"\d(?<![{_W}.].)\d{{0,2}}(?:\.\d{{1,3}}){{3}}(?![{_W}]|\.\d)")
_IPV6 = re.compile(rf"[23f](?<![{_W}:].)[0-9a-f]{{3}}(?::[0-9a-f]{{0,4}}){{2,7}}(?![{_W}:])", re.IGNORECASE)
_VERSION_WORD = re.compile(
    r"(?:\b(?:v|ver|version\w*|release|rel|build|rev|firmware|driver|ec|section|chapter|fig|figure|table|oid)|§|[<>=~!]=)"
    r"[\s.:#]{0,3}\Z",
    re.IGNORECASE,
)
_ADDRESS_WORD = re.compile(
    r"(?:\b(?:ip|ips|ipv4|addr|address|adresse|host|server|client|dns|gateway|ping|ssh|from)\b[^\d\n]{0,12}|://)\Z",
    re.IGNORECASE,
)

_BETWEEN = r"[ \u00a0\u2009\u202f().\-\u2010\u2011\u2013/]"
_RUN = re.compile(rf"\d(?:{_BETWEEN}{{0,3}}+\d){{5,}}+")
_GROUP = re.compile(r"[(+＋]{0,3}\d+")
_PHONE_WORD = re.compile(
    r"""(?:\b(?:tel|telephone|telefon\w*|télé(?:phone)?|tél|teléfono|telefone|telefono|tele?pon|telf|tfno|phone|phones
    |mobile|mobil\w*|móvil|handy\w*|cell(?=\s?(?:phone|no|nr|:|\#))|cellulare|celular|fax|telefax|call|anruf\w*|ruf(?:nummer)?|appele[rz]|whatsapp
    |sms|hotline|helpline|gsm|cep|tlf|tfn|puh|puhelin|тел|телефон\w*|моб|мобильный|факс|звоните|τηλ|τηλέφωνο|κιν|κινητό
    |điện\ thoại|đt|sđt)\b|电话|電話|手机|手機|传真|傳真|携帯|전화|연락처|휴대폰|팩스|هاتف|تلفون|جوال|موبايل|فاكس
    |फ़ोन|फोन|मोबाइल|दूरभाष|โทร|มือถือ|טלפון|נייד|פקס)[^\d\n]{0,15}\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_OTHER_NUMBER = re.compile(r"\b(?:isbn|issn|ean|upc|doi|pmid|arxiv|rfc|gtin)(?:-1[03])?[\s:#=-]{0,3}\Z", re.IGNORECASE)
_OTHER_SHAPE = re.compile(  # years, dates, times, decimals, an American postal code, all digits in a row
    r"(?<!\d)(?:(?:19|20)\d\d\s?[–./-]\s?(?:(?:19|20)\d\d|[01]?\d)|[0-3]?\d[./-][0-3]?\d[./-](?:19|20)\d\d"
    r"|\((?:19|20)\d\d\))(?!\d)|^\+\d{4,}\.\d+$|^[0-2]\d[0-5]\d-[0-2]\d[0-5]\d$|^\d{5}-\d{4}$|^0123456789$"
)
_WORD_BEFORE = re.compile(rf"[{_W}]\Z")
_BEFORE_OTHERS = re.compile(r"(?:[.,@#$€£¥%=~^*/+-]|\d:)\Z")
_AFTER_OTHERS = re.compile(rf"[{_W}]|[%,./]\d|\s?[%€$£]")
_ZERO_FIRST = re.compile(r"0[1-9]|0? ?\(0?\d{2,5}\)")
_ELSEWHERE = re.compile(  # shapes that begin with no zero: North America, Russia, China, Brazil, Italy, Spain
    r"(?:1[-. ])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[-. ])[2-9]\d\d[-. ]\d{4}"
    r"|8[ -]?(?:\(\d{3,5}\)|[3489]\d\d)[ -]?\d{2,3}[ -]?\d\d[ -]?\d\d"
    r"|1[3-9]\d[ -]?\d{4}[ -]?\d{4}"
    r"|(?:\(\d\d\) ?|\d\d )9?\d{4}-\d{4}"
    r"|3\d\d[ .-]\d{3}[ .-]?\d{4}"
    r"|[6-9]\d\d(?: \d\d){3}"
)
_MAY_BEGIN = re.compile(rf"\(?(?:[+＋]|0[\d ]|0?\(\d\d|{_ELSEWHERE.pattern})")
_EXTENSION = re.compile(r"[ ,]{0,2}(?:ext\.?|extension|x|доб\.?|poste|durchwahl)[ :]?\d{1,6}(?!\d)", re.IGNORECASE)


def redact(text: str) -> str:
    """The text with what it holds of personal data and secrets replaced by `[email]`, `[phone]`, `[secret]` and so on.

    Redacting twice changes no more than once. Time grows with the length of the text alone, whatever it holds.

    >>> redact("Mail jane@example.org from 192.168.7.20 before 2024-05-17, v1.2.3.4")
    'Mail [email] from [ip] before 2024-05-17, v1.2.3.4'
    """
    small = text.lower()
    text = _without_secrets(text, small)
    if any(mark in small for mark in _AT_MARKS):
        text = _EMAIL.sub("[email]", text)
    if re.search(r"\d", text):
        for name, find in _FINDERS:
            text = _replaced(text, find(text), name)
    return text


class Redacting(Backend):
    """A backend that sees no personal data: the messages of each request are redacted before it gets them.

    What a prompt's system part says is left as it is: those are the prompt's own words. A completion's `request` is the
    redacted one, with the same id.
    """

    _inner: Backend = PrivateAttr()

    @classmethod
    def over(cls, inner: Backend) -> "Redacting":
        """`inner`, which from here on is sent redacted text alone."""
        redacting = cls(
            model=inner.model, revision=inner.revision, price=inner.price, redact=True, sampling=inner.sampling
        )
        redacting._inner = inner
        return redacting

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """What the inner backend says to the redacted requests."""
        yield from self._inner.complete(_redacted(request) for request in requests)

    def identity(self) -> Mapping[str, Any]:
        """The inner backend's, and that it was sent redacted text: the replies are others."""
        return {**self._inner.identity(), "redact": VERSION}

    def model_identity(self) -> str:
        """The inner backend's: the words of a request, which are part of a reply's key, are those that were sent."""
        return self._inner.model_identity()

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """The inner backend's vectors of the redacted texts."""
        return self._inner.embed([redact(text) for text in texts])

    def score(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """The inner backend's scores of the redacted pairs."""
        return self._inner.score([(redact(query), redact(document)) for query, document in pairs])

    def close(self) -> None:
        """Close the inner backend."""
        self._inner.close()


def _redacted(request: Request) -> Request:
    return replace(request, messages=tuple(_redacted_message(message) for message in request.messages))


@lru_cache(maxsize=MOST_REMEMBERED)
def _redacted_message(message: Message) -> Message:
    return message if message.role == "system" else replace(message, content=redact(message.content))


def _without_secrets(text: str, small: str) -> str:
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub("[secret]", text)
    if "://" in text:
        text = _IN_QUERY.sub(r"\1[secret]", _IN_URL.sub("[secret]", text))
    for mark, pattern in _KEYS.items():
        if mark in text:
            text = pattern.sub("[secret]", text)
    return _NAMED.sub(r"\1[secret]", text) if any(mark in small for mark in _NAME_MARKS) else text


def _replaced(text: str, spans: Spans, name: str) -> str:
    """The text with each span, given from left to right, replaced by `name`."""
    parts, done = [], 0
    for start, end in spans:
        parts += [text[done:start], name]
        done = end
    return "".join((*parts, text[done:])) if parts else text


def _digits(text: str) -> str:
    """The digits of a text, of whatever script, as 0 to 9.

    >>> _digits("+٤٩ (0) 30")
    '49030'
    """
    digits = re.sub(r"\D", "", text)
    return digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)


def _ibans(text: str) -> Spans:
    for found in _IBAN.finditer(text):
        start = found.start() - 2
        length = _IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
        near = text[start : start + 2 * length]
        places = [place for place, letter in enumerate(near) if letter not in " \u00a0-"][:length]
        end = places[-1] + 1 if places else 0
        whole = len(places) == length > 0 and not re.match(r"[A-Za-z0-9]", near[end:])
        if whole and _is_iban("".join(near[place] for place in places)):
            yield start, start + end


def _is_iban(code: str) -> bool:
    """True where its check digits hold (ISO 13616).

    >>> _is_iban("DE89370400440532013000"), _is_iban("DE88370400440532013000")
    (True, False)
    """
    return code.isalnum() and code.isascii() and int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1


def _cards(text: str) -> Spans:
    for found in _CARD.finditer(text):
        digits = _digits(found[0])
        if _ISSUER.fullmatch(digits) and _luhn(digits):
            yield found.span()


def _luhn(digits: str) -> bool:
    """True where the last digit is the check digit of the others (ISO 7812).

    >>> _luhn("4111111111111111"), _luhn("4111111111111112")
    (True, False)
    """
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def _ipv4(text: str) -> Spans:
    for found in _IPV4.finditer(text):
        before = text[max(0, found.start() - 24) : found.start()]
        small = all(int(part) < 100 for part in found[0].split(".")) and not found[0].startswith("10.")
        told = not small or _ADDRESS_WORD.search(before)
        if told and _is_address(found[0]) and not _VERSION_WORD.search(before):
            yield found.span()


def _ipv6(text: str) -> Spans:
    if "::" in text or text.count(":") > 6:
        for found in _IPV6.finditer(text):
            if _is_address(found[0]):
                yield found.span()


def _is_address(text: str) -> bool:
    """True for an IP address, but for those that every machine has.

    >>> [_is_address(text) for text in ("81.2.69.142", "2001:db8::7", "127.0.0.1", "0.7.100.3", "1.2.3.400")]
    [True, True, False, False, False]
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not address.is_loopback and not text.startswith("0.")


def _phones(text: str) -> Spans:
    for run in _RUN.finditer(text):
        before = text[max(0, run.start() - 3) : run.start()]
        start = run.start() - len(before) + len(before.rstrip("(+＋"))
        named = _PHONE_WORD.search(text[max(0, start - 28) : start]) is not None
        groups = [group.span() for group in _GROUP.finditer(text, start, run.end())]
        done = 0
        for number, (start, _) in enumerate(groups):
            if start >= done and (named or _MAY_BEGIN.match(text, start)):
                ends = [end for _, end in groups[number : number + MOST_GROUPS]]
                for span in _longest_phone(text, start, ends, named):
                    yield span
                    done = span[1]
            named = False


def _longest_phone(text: str, start: int, ends: Sequence[int], named: bool) -> Spans:
    """Where the longest number stands that begins at `start` and ends where a group of digits does, if there is one."""
    for end in reversed(ends):
        inside = start + (text.count("(", start, end) > text.count(")", start, end))
        if _is_phone(text, inside, end, named):
            more = _EXTENSION.match(text, end)
            yield inside, more.end() if more else end
            return


def _is_phone(text: str, start: int, end: int, named: bool) -> bool:
    piece, before, digits = text[start:end], text[max(0, start - 28) : start], _digits(text[start:end])
    if not 6 <= len(digits) <= 15 or _OTHER_SHAPE.search(piece) or _AFTER_OTHERS.match(text, end):
        return False
    if piece[0] in "+＋" or piece[1:2] in ("+", "＋"):
        return not _WORD_BEFORE.search(before) and _exists(digits)
    if _OTHER_NUMBER.search(before) or _WORD_BEFORE.search(before):
        return False
    return named or (not _BEFORE_OTHERS.search(before) and _is_grouped_as_a_phone(piece, digits))


def _is_grouped_as_a_phone(piece: str, digits: str) -> bool:
    """True for digits that are grouped as phone numbers are, without a country code or a word before them.

    >>> [_is_grouped_as_a_phone(t, _digits(t)) for t in ("(212) 717-3298", "06 12 34 56 78", "0.94 (0.36-1.09)")]
    [True, True, False]
    """
    if piece.startswith("00"):
        return len(digits) > 10 and _exists(digits[2:])
    least, most = (9, 11) if piece == digits else (8, 12)
    zero_first = _ZERO_FIRST.match(piece) and least <= len(digits) <= most
    return bool(zero_first or _ELSEWHERE.fullmatch(piece))


@lru_cache(maxsize=4096)
def _exists(digits: str) -> bool:
    """True where a country's code comes first, and as many digits follow as its numbers have."""
    import phonenumbers

    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(f"+{digits}", None))
    except phonenumbers.NumberParseException:
        return False


_FINDERS: Sequence[tuple[str, Callable[[str], Spans]]] = (
    ("[iban]", _ibans),
    ("[card]", _cards),
    ("[ip]", _ipv6),
    ("[ip]", _ipv4),
    ("[phone]", _phones),
)
