"""What a run will ask of its models before it has asked it, and what that takes: for `synth check` and for budgets.

generate   2,000 requests   1,840,000 bytes of prompts   2,048,000 tokens of replies at most
estimated       410,000 tokens in    2,048,000 out at most
20 replies on   412,000 tokens in       96,000 out
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synth.backend import Price, Request
from synth.replies import Spent

BYTES_A_TOKEN = 4.0
"""A guess where nobody has counted tokens."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one step would ask of one model: requests, bytes of their prompts, tokens out at most; and its price.

    `counted` are the tokens in, and `counted_by` says how they are known. `first` is a request as it would be sent,
    `needs` what the model must be able to do, or must have.
    """

    step: str
    requests: int
    bytes_in: int
    most_tokens_out: int
    price: Price | None = None
    model: str = ""
    role: str = ""
    counted: int | None = None
    counted_by: str = ""
    first: Request | None = None
    needs: tuple[str, ...] = ()

    @property
    def tokens_in(self) -> int:
        """Tokens in, as they were counted, else guessed from the bytes."""
        return round(self.bytes_in / BYTES_A_TOKEN) if self.counted is None else self.counted

    @property
    def usd(self) -> float | None:
        """US dollars at most; None where the price is not known."""
        return None if self.price is None else usd_of(self.price, self.tokens_in, self.most_tokens_out)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        prompt = [{"role": m.role, "content": m.content} for m in self.first.messages] if self.first else []
        return {
            "step": self.step,
            "role": self.role,
            "model": self.model,
            "requests": self.requests,
            "tokens_in": self.tokens_in,
            "tokens_counted": self.counted_by,
            "most_tokens_out": self.most_tokens_out,
            "usd": None if self.usd is None else round(self.usd, 6),
            "needs": list(self.needs),
            "prompt": prompt,
            "schema": dict(self.first.schema or {}) if self.first else {},
        }


@dataclass(frozen=True, slots=True)
class Measure:
    """What requests take, for what is known of them beforehand: as they were counted, then as replies show it."""

    tokens_a_byte: float | None = None
    share_of_most: float = 1.0
    cached_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What each step of a run would ask, filters letting every row pass; `more`: there are more documents still."""

    steps: Sequence[Asked] = ()
    more: bool = False

    @property
    def requests(self) -> int:
        """Requests of all steps."""
        return sum(step.requests for step in self.steps)

    @property
    def priced(self) -> bool:
        """True where it is known what each of the models costs."""
        return all(step.price is not None for step in self.steps)

    def takes(self, measure: Measure) -> Spent:
        """What all of it takes: requests, tokens, dollars where the prices are known."""
        whole = Spent()
        for step in self.steps:
            learned = measure.tokens_a_byte
            prompt = step.tokens_in if learned is None else round(step.bytes_in * learned)
            reply, cached = round(step.most_tokens_out * measure.share_of_most), round(prompt * measure.cached_share)
            usd = usd_of(step.price or Price(), prompt, reply, cached)
            whole += Spent(step.requests, prompt, reply, cached, usd)
        return whole


def usd_of(price: Price, prompt: int, reply: int, cached: int = 0) -> float:
    """Dollars for so many tokens; `cached` of the prompt's were read before.

    >>> usd_of(Price(prompt=1, completion=2, cached=0.5), 2_000_000, 1_000_000, 1_000_000)
    3.5
    """
    fresh, again = max(prompt - cached, 0), min(cached, prompt)
    reread = price.prompt if price.cached is None else price.cached
    return (fresh * price.prompt + again * reread + reply * price.completion) / 1e6


def amount(name: str, value: float) -> str:
    """One figure of `Spent` with its unit.

    >>> amount("usd", 1.5), amount("tokens", 12000), amount("requests", 1), amount("gpu_s", 90)
    ('$1.50', '12,000 tokens', '1 request', '1.5 GPU minutes')
    """
    if name == "usd":
        return f"${value:,.2f}" if value >= 0.1 or not value else f"${value:.4f}"
    if name == "gpu_s":
        return f"{value / 60:,.1f} GPU minutes"
    return f"{value:,.0f} {name.removesuffix('s') if value == 1 else name}"


def about(name: str, value: float) -> str:
    """A figure that is only known roughly: of two digits.

    >>> about("tokens", 123_456), about("usd", 12.345), about("requests", 7)
    ('120,000 tokens', '$12.00', '7 requests')
    """
    return amount(name, float(f"{value:.2g}"))
