"""How likely a model found each of the words that it could have chosen, from the log-probabilities of its reply.

{"answer": "yes"}      in the place of `yes`: yes -0.1, no -2.4      ->  0.91
"""

import math
import re
from collections.abc import Mapping, Sequence

from synth.backend import Completion, Token

_EDGE = " \t\n\"'`{:▁Ġ"


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
