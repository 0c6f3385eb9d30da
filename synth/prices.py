"""What models cost, in US dollars for a million tokens: a small table, for what a recipe does not say itself.

    backends: {writer: {use: openai, model: my-model, price: {prompt: 0.25, completion: 2, cached: 0.025}}}

The table holds the prices that the makers of the models publish for their own APIs, without taxes and discounts. Prices
change and so does what a name stands for: for a bill that matters, look at the page that is named and set `price:`.
Where one name has several prices (by the hour, by a date to come), the highest is listed, so that a budget holds.
Prompts of 100,000 tokens and more cost more at some; so does writing to a cache where it is billed by itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from synth.backend import Backend, Price
from synth.budget import Caps
from synth.errors import RecipeError, did_you_mean
from synth.mixture import Mixture
from synth.wire import HOSTED, Endpoint

AS_OF = "2026-11"

_LISTED = """
# OpenAI: developers.openai.com/api/docs/pricing and the pages of the models, October and November 2026
gpt-6-luna             0.10   0.50  0.01
gpt-6-sol              2.00  10.00  0.20
gpt-6.1-terra          1.00   5.00  0.05
gpt-6.1-sol            2.00  10.00  0.10
gpt-5.6-luna           0.20   1.20  0.02
gpt-5.6-terra          2.00  12.00  0.20
gpt-5.6-sol            4.00  20.00  0.40
gpt-5.4                2.50  15.00  0.25
gpt-5.4-mini           0.75   4.50  0.075
gpt-5.4-nano           0.20   1.25  0.02
gpt-5.2                1.75  14.00  0.175
gpt-5.1                1.25  10.00  0.125
gpt-5                  1.25  10.00  0.125
gpt-5-mini             0.25   2.00  0.025
gpt-5-nano             0.05   0.40  0.005
gpt-4.1                2.00   8.00  0.50
gpt-4.1-mini           0.40   1.60  0.10
gpt-4o                 2.50  10.00  1.25
gpt-4o-mini            0.15   0.60  0.075
# Google: ai.google.dev/gemini-api/docs/pricing, text, September and October 2026. 3.8 Flash costs half until the end of
# 2026.
gemini-3.8-flash       1.50   7.50  0.15
gemini-3.5-flash       1.50   9.00  0.15
gemini-3.5-flash-lite  0.30   2.50  0.03
gemini-3.1-flash-lite  0.25   1.50  0.025
gemini-2.5-flash       0.30   2.50  0.03
gemini-2.5-flash-lite  0.10   0.40  0.01
# Anthropic: platform.claude.com/docs/en/about-claude/pricing, October 2026; haiku-5-5 for prompts below 100,000 tokens
claude-sonnet-5-5      2.00  10.00  0.10
claude-sonnet-5        2.00  10.00  0.20
claude-sonnet-4-5      3.00  15.00  0.30
claude-haiku-5-5       0.10   0.50  0.01
claude-haiku-4-5       1.00   5.00  0.10
# DeepSeek: api-docs.deepseek.com/quick_start/pricing, October 2026, at the hours of most use; else they cost half
deepseek-flash         0.30   1.20  0.006
deepseek-v4-pro        1.32   3.96  0.044
# Mistral: docs.mistral.ai/inference/pricing, August and September 2026
mistral-medium-latest  1.50   7.50
mistral-medium-3-5     1.50   7.50
mistral-small-latest   0.15   0.60  0.015
ministral-8b-2512      0.15   0.15  0.015
# Alibaba: alibabacloud.com/help/en/model-studio/model-pricing, outside China, prompts of up to 256,000 tokens
qwen-flash             0.05   0.40  0.01
"""


def _read(listed: str) -> Mapping[str, Price]:
    """The table by the models' names: tokens in, tokens out, and tokens in that were read before, where that is less.

    >>> _read("tiny  0.10  0.50")["tiny"].cached is None
    True
    """
    rows = [line.split() for line in listed.splitlines() if line and not line.startswith("#")]
    return {
        name: Price(prompt=float(prompt), completion=float(reply), cached=float(cached[0]) if cached else None)
        for name, prompt, reply, *cached in rows
    }


TABLE: Mapping[str, Price] = _read(_LISTED)

FREE = Price()
LOCAL = ("synth.backends.vllm", "synth.backends.llamacpp", "synth.backends.scripted")
"""Backends that ask nobody else: they cost nothing but the machine."""
_DAY = re.compile(r"-(?:20\d\d-\d\d-\d\d|20\d{6})\Z")


def price_of(backend: Backend) -> Price | None:
    """What a backend's model costs: as its options say, else as the table does; None where neither knows.

    A model on this machine costs nothing, a batch half; of a list of models it is the price of the dearest.
    """
    if backend.price is not None:
        return backend.price
    parts = parts_of(backend)
    if parts:
        prices = [price_of(part) for part in parts]
        known = [price for price in prices if price is not None]
        return max(known, key=lambda price: price.prompt + price.completion) if len(known) == len(prices) else None
    if _is_local(backend):
        return FREE
    listed = TABLE.get(_listed_name(backend.model))
    return _halved(listed) if listed is not None and _is_half_price(backend) else listed


def check_priced(caps: Caps, backends: Mapping[str, Backend]) -> None:
    """Raise RecipeError where a budget is in dollars and it is not known what one of the models costs."""
    if caps.usd is None:
        return
    for role, backend in backends.items():
        for part in parts_of(backend) or (backend,):
            if price_of(part) is None:
                hint = did_you_mean(_listed_name(part.model), TABLE)
                raise RecipeError(
                    f"backend {role}: `budget: {{usd: …}}` needs the price of {part.model!r}, which is not in the "
                    f"shipped table of {AS_OF}{hint}; give it: `backends.{role}.price: {{prompt: …, completion: …}}`, "
                    "in dollars for a million tokens"
                )


def parts_of(backend: Backend) -> Sequence[Backend]:
    """The models of a weighted list; none where it is one model."""
    return [part for _, part in backend.parts] if isinstance(backend, Mixture) else ()


def _listed_name(model: str) -> str:
    """A model's name as the table has it: without who sells it and without the day of its version.

    >>> _listed_name("openai/gpt-5-mini-2025-08-07"), _listed_name("claude-haiku-4-5-20251001")
    ('gpt-5-mini', 'claude-haiku-4-5')
    """
    return next((name for name in _names(model) if name in TABLE), model)


def _names(model: str) -> Iterator[str]:
    bare = model.rpartition("/")[2]
    yield from (model, bare, _DAY.sub("", bare))


def _is_local(backend: Backend) -> bool:
    """True for a model that is run on this machine: by its backend, or behind an address of this machine."""
    offline = getattr(backend, "offline", "")
    if type(backend).__module__ in LOCAL or offline:
        return True
    urls = getattr(backend, "base_url", ())
    every = [urls] if isinstance(urls, str) else list(urls)
    return bool(every) and all(Endpoint(base_url=url).is_local for url in every)


def _is_half_price(backend: Backend) -> bool:
    """True for batches at a server that is known to have them; others may be asked line by line, at full price."""
    if type(backend).__module__ != "synth.backends.openai_batch":
        return False
    is_never_full: bool = getattr(backend, "fallback", None) is False
    url = getattr(backend, "base_url", "")
    return is_never_full or url == HOSTED


def _halved(price: Price) -> Price:
    cached = None if price.cached is None else price.cached / 2
    return Price(prompt=price.prompt / 2, completion=price.completion / 2, cached=cached)
