"""Rows as texts to train on, with their instruction in front and their document's family beside them."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from synth.types import Example


@dataclass(frozen=True, slots=True)
class Pair:
    """One row as it is trained on: what is asked, what answers it, what does not. `family` is its document's."""

    id: str
    query: str
    positive: str
    negatives: tuple[str, ...]
    family: str


def pairs_of(rows: Iterable[Example], prompts: Mapping[str, str | None] | None = None) -> list[Pair]:
    """Every row that has a query and a positive, by id. Only the first positive is trained on.

    Before a query stands the row's instruction, or the model's own prompt for queries; before documents, its prompt
    for those.
    """
    prompts = prompts or {}
    asks, answers = prompts.get("query") or "", prompts.get("document") or ""
    return sorted((_pair(row, asks, answers) for row in rows if row.query and row.positives), key=lambda pair: pair.id)


def _pair(row: Example, asks: str, answers: str) -> Pair:
    query = _readable((row.instruction or asks) + row.query)
    positive, *negatives = (_readable(answers + one.full_text) for one in (row.positive, *row.negatives))
    return Pair(row.id, query, positive, tuple(negatives), row.positive.family or row.id)


def _readable(text: str) -> str:
    """The text as tokenizers take it: half a surrogate pair, as broken JSON has it, becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def drawn(pairs: Sequence[Pair], most: int | None, seed: int) -> list[Pair]:
    """`most` of the pairs, each as likely as another; all of them where there are no more."""
    if most is None or len(pairs) <= most:
        return list(pairs)
    chosen = sorted(random.Random(seed).sample(range(len(pairs)), most))
    return [pairs[i] for i in chosen]


def by_negatives(pairs: Iterable[Pair]) -> dict[str, list[Pair]]:
    """The pairs by how many negatives they have, so that each group fills its columns and no row is lost.

    >>> sorted(by_negatives([Pair("1", "q", "p", (), "f"), Pair("2", "q", "p", ("n",), "f")]))
    ['negatives_0', 'negatives_1']
    """
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[f"negatives_{len(pair.negatives)}"].append(pair)
    return dict(sorted(groups.items()))


def columns(pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """Pairs with equally many negatives as columns: query, positive, negative_1, negative_2 …

    >>> columns([Pair("1", "who?", "she", ("he",), "f")])
    {'query': ['who?'], 'positive': ['she'], 'negative_1': ['he']}
    """
    found = {"query": [pair.query for pair in pairs], "positive": [pair.positive for pair in pairs]}
    for i in range(len(pairs[0].negatives)):
        found[f"negative_{i + 1}"] = [pair.negatives[i] for pair in pairs]
    return found


def shared_instruction(rows: Iterable[Example]) -> str:
    """The one instruction of all rows; "" where there are several or none."""
    found = {row.instruction for row in rows}
    return found.pop() if len(found) == 1 else ""
