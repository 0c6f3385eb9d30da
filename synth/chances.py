"""How likely a model found words, by its log-probabilities: those that it could have chosen, or a text it was given.

{"answer": "yes"}                in the place of `yes`: yes -0.1, no -2.4       ->  0.91
"when does the Nile flood?"      when -2.1, does -0.4, the -0.2, Nile -0.1 …    ->  -0.62
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence

from synth.backend import Completion, Token

_EDGE = " \t\n\"'`{:▁Ġ"
_BROKEN = "\ufffd"
"""What stands in a token for a character of which it holds but a part."""


def chance_of(completion: Completion, field: str, choices: Sequence[str], chosen: str) -> float:
    """The probability of the first of the choices beside the others where one was chosen, 0 to 1, to 1e-5.

    Of the words weighed there, one counts for the choice that it begins, in any case: ` Yes`, `"y`. Where none does,
    or the reply came without log-probabilities, what was `chosen` is certain: 1 or 0.
    """
    token = _token_of(completion, field)
    weights = dict.fromkeys(choices, 0.0)
    for text, logprob in _weighed(token).items():
        word = text.strip(_EDGE).casefold()
        fits = [choice for choice in choices if word and choice.startswith(word[: len(choice)])]
        if len(fits) == 1:
            weights[fits[0]] += math.exp(min(logprob, 0.0))
    total = sum(weights.values())
    if total <= 0:
        return 1.0 if chosen == choices[0] else 0.0
    return round(weights[choices[0]] / total, 5)


def _weighed(token: Token | None) -> Mapping[str, float]:
    """The texts that could have stood in a place, with their natural log-probabilities."""
    if token is None:
        return {}
    own = {} if token.logprob is None else {token.text: token.logprob}
    return {**own, **token.top}


def _token_of(completion: Completion, field: str) -> Token | None:
    """The token in which the value of a field begins, of the last object that names it."""
    text = "".join(token.text for token in completion.logprobs)
    found = list(re.finditer(rf"[\"']{re.escape(field)}[\"']\s*:\s*[\"']?", text))
    if not found:
        return None
    place, end = found[-1].end(), 0
    for token in completion.logprobs:
        end += len(token.text)
        if end > place:
            return token
    return None


def likelihood_of(tokens: Sequence[Token], text: str) -> float | None:
    """The mean natural log-probability of the words of a text with which a prompt ends, to 1e-5.

    None where the prompt does not end with it. What stands before it (the document, the marks of the chat template)
    does not count; nor does it matter how the tokens spell spaces, accents, and characters that several share.
    """
    for form in (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFKC", text)):
        own = last_tokens([token.text for token in tokens], form)
        known = [token.logprob for token in tokens[len(tokens) - own :] if token.logprob is not None]
        if known:
            return round(sum(known) / len(known), 5)
    return None


def last_tokens(tokens: Sequence[str], text: str) -> int:
    r"""How many tokens at the end make up a text, spaces aside; 0 where they end otherwise.

    >>> last_tokens(["user", "…", ">", "\n", "what", " fl", "oods", "?"], "what floods?")
    4
    >>> last_tokens(["\n", "\ufffd", "\ufffd", "は", "どこ"], "猫はどこ"), last_tokens(["who", "?"], "what?")
    (4, 0)
    """
    left, loose, place = "".join(text.split()), 0, len(tokens)
    while left and place:
        piece = "".join(tokens[place - 1].split())
        if _BROKEN in piece:
            loose += len(piece)  # it stands for that many characters at most
        elif piece:
            before = _before(left, piece, loose)
            if before is None:
                break
            left, loose = before, 0
        elif loose >= len(left) and tokens[place - 1]:
            break
        place -= 1
    return len(tokens) - place if loose >= len(left) else 0


def _before(text: str, piece: str, loose: int) -> str | None:
    """What of a text stands before a piece, which ends up to `loose` characters before its end; None if it does not."""
    for skipped in range(min(loose, 1), loose + 1):
        rest = text[: len(text) - skipped]
        if rest.endswith(piece):
            return rest.removesuffix(piece)
        if rest and piece.endswith(rest):  # its first token holds something of what stands before it
            return ""
    return None
