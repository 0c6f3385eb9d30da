"""Groups of near-duplicates among many texts, against everything compared with everything."""

import random
import tracemalloc

import numpy as np
import pytest

from synth import sketches
from synth.resemblance import folded, jaccard
from synth.sketches import Sketches, joined


def groups_of(texts: list[str], threshold: float) -> list[int]:
    with Sketches() as found:
        for text in texts:
            found.add(text)
        return found.groups(threshold).tolist()


def everything_compared(texts: list[str], threshold: float) -> list[int]:
    """The same by comparing each with each."""
    names = list(range(len(texts)))
    for one, text in enumerate(texts):
        for other in range(one):
            if folded(text) and jaccard(text, texts[other]) >= threshold:
                low, high = sorted((names[one], names[other]))
                names = [low if name == high else name for name in names]
    return names


def some_alike(seed: int) -> list[str]:
    """Texts and what is left of them after a change at their end: half of it at most."""
    dice = random.Random(seed)
    texts: list[str] = []
    for _ in range(80):
        text = "".join(dice.choices("abcdefghijklmnop ", k=120))
        cut = dice.choice((0, 6, 12, 40, 60))
        texts += [text, text[: 120 - cut] + "".join(dice.choices("qrstuv", k=cut))]
    return texts


@pytest.mark.parametrize("seed", range(3))
def test_they_are_the_groups_that_comparing_everything_gives(seed: int) -> None:
    texts = some_alike(seed)
    assert groups_of(texts, 0.7) == everything_compared(texts, 0.7)


def test_a_bucket_of_several_groups_is_compared_in_full() -> None:
    dice = random.Random(0)
    letters = "abcdefghijklmnop "
    common = "".join(dice.choices(letters, k=500))
    kinds = ["".join(dice.choices(letters, k=140)) for _ in range(60)]
    ends = ["".join(dice.choices("qrstuvw", k=120)) for _ in range(2)]
    texts = [common + kind + end for end in ends for kind in kinds]
    assert jaccard(texts[0], texts[1]) < 0.7 < jaccard(texts[0], texts[60]) < 0.8
    assert groups_of(texts, 0.7) == everything_compared(texts, 0.7)


def test_a_chain_is_one_group_though_its_ends_are_unlike() -> None:
    chain = ["abcdefghijklmnopqrstuvwxyz"[start : start + 20] for start in range(0, 6, 2)]
    assert jaccard(chain[0], chain[2]) < 0.6
    assert groups_of(chain, 0.6) == [0, 0, 0]


def test_one_that_resembles_two_strangers_brings_them_together() -> None:
    left, right = "the nile floods the fields in july", "each summer men mend the boats"
    ends = [f"{left} and {right[:12]}", f"{left[10:]} and {right}", f"{left} and {right}"]
    assert jaccard(ends[0], ends[1]) < 0.6
    for order in ([0, 1, 2], [2, 0, 1], [0, 2, 1]):
        assert groups_of([ends[place] for place in order], 0.6) == [0, 0, 0]


def test_what_only_looks_alike_by_its_sketch_is_compared_in_full() -> None:
    dice = random.Random(4)
    words = ["".join(dice.choices("abcdefghijklmnop", k=6)) for _ in range(60)]
    queries = sorted({f"what is the {dice.choice(words)} of {dice.choice(words)}?" for _ in range(1500)})
    names = groups_of(queries, 0.7)
    for place, name in enumerate(names):
        mates = [other for other in range(len(names)) if names[other] == name and other != place]
        assert not mates or max(jaccard(queries[place], queries[other]) for other in mates) >= 0.7


def test_equal_texts_are_one_group_and_empty_ones_none() -> None:
    assert groups_of(["a b", "", "A  b!", " ", "", "\u200b", "尼罗河", "\ud800", "尼罗河"], 0.7) == [
        0, 1, 0, 3, 4, 5, 6, 7, 6,
    ]  # fmt: skip
    assert groups_of([], 0.7) == []


def test_blocks_and_portions_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = some_alike(9)
    whole = groups_of(texts, 0.7)
    monkeypatch.setattr(sketches, "WAITING", 300)
    monkeypatch.setattr(sketches, "PAIRS", 2)
    assert groups_of(texts, 0.7) == whole


def test_texts_do_not_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketches, "WAITING", 20_000)
    dice = random.Random(2)
    tracemalloc.start()
    with Sketches() as found:
        for _ in range(80):
            found.add(dice.randbytes(10_000).hex())
        found.groups(0.7)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 80 * 20_000 / 2


def test_joining_follows_every_chain_in_any_order() -> None:
    dice = np.random.default_rng(3)
    for _ in range(20):
        ones, others = dice.integers(0, 60, 40), dice.integers(0, 60, 40)
        names = list(range(60))
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            low, high = sorted((names[one], names[other]))
            names = [low if name == high else name for name in names]
        assert joined(np.arange(60), ones, others).tolist() == names
