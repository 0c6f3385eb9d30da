"""Drawing the axes of a prompt: which value of each for one request, and the words that stand for it.

axes: {form: {question: {weight: 3, means: a full question}, keywords: {means: two to five keywords}}}
probability: {form: 0.8}

draw 0 of a row  ->  {"form": "question"}      draw 1  ->  {}: one in five has no form
"""

import math
from bisect import bisect
from collections.abc import Callable, Mapping
from itertools import accumulate

from synth.prompt_header import Header


class Axes:
    """The axes of one prompt, ready to be drawn many times."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._values = {
            name: (list(values), list(accumulate(value.weight for value in values.values())))
            for name, values in header.axes.items()
        }

    def drawn(self, share: Callable[[str], float]) -> dict[str, str]:
        """The value of each axis by its weight; `share(field)` is a random number from 0 up to but not including 1.

        An axis that is not drawn this time is left out.
        """
        found = {}
        for name, (values, weights) in self._values.items():
            least = self.header.probability.get(name, 1.0)
            if least < 1 and share(f"{name}?") >= least:
                continue
            found[name] = values[bisect(weights, share(name) * weights[-1], hi=len(values) - 1)]
        return found

    def words(self, drawn: Mapping[str, str], language: str = "") -> dict[str, str]:
        """For each axis the words of the value that was drawn, for a text in a language; "" for one that was not."""
        return {
            name: values[drawn[name]].words(language) if name in drawn else ""
            for name, values in self.header.axes.items()
        }

    def relevance(self, field: str, drawn: Mapping[str, str]) -> float | None:
        """How relevant a document that is returned as `field` is meant to be, 0 to 1; None where nothing says so."""
        wanted = self.header.returns[field].relevance
        if isinstance(wanted, str):
            return self.header.axes[wanted][drawn[wanted]].relevance if wanted in drawn else None
        return wanted


def spread(first: float, draw: int, axis: int) -> float:
    """A random number for each draw of a row that fills the unit evenly: 0 up to but not including 1.

    A Kronecker sequence: the multiples of an irrational number, another one for each axis so that axes stay unrelated
    (the fractional parts of the square roots of primes; Richtmyer 1951), moved by the `first` number, which is drawn.

    >>> [round(spread(0.0, draw, 0), 2) for draw in range(5)]
    [0.0, 0.41, 0.83, 0.24, 0.66]
    """
    return (first + draw * math.sqrt(_PRIMES[axis % len(_PRIMES)])) % 1.0


_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71)
