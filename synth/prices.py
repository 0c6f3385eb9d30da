"""What models cost, in US dollars for a million tokens: a small table, for what a recipe does not say itself.

backends: {writer: {use: openai, model: my-model, price: {prompt: 0.25, completion: 2, cached: 0.025}}}
"""

from collections.abc import Mapping

from synth.backend import Backend, Price

AS_OF = "2026-11"
TABLE: Mapping[str, Price] = {}


def price_of(backend: Backend) -> Price | None:
    """What a backend's model costs: as its options say, else as the table does; None where neither knows."""
    return backend.price
