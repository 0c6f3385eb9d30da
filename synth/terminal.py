"""Untrusted text on a terminal: what a document or a model says must not steer the screen."""

import re

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def shown(text: str) -> str:
    r"""Text without escape sequences, other control characters and those that turn the direction of what follows.

    >>> shown("red \x1b[31m text\ttab")
    'red �[31m text tab'
    """
    return _CONTROL.sub("�", text.replace("\t", " "))
