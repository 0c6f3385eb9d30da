"""How long near_dedup takes and how much it holds: rows of made-up words, one in ten a near copy of another.

    python benchmarks/near_dedup.py --rows 200000 --words 100
    python benchmarks/near_dedup.py --rows 200000 --words 8 --threshold 0.7

Prints milliseconds of CPU a row, how many rows were dropped of how many planted, and the highest memory.
"""

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np

from synth.filters.near_dedup import NearDedup
from synth.stage import Context, RowList
from synth.types import Dropped, Example


def texts(count: int, words: int, seed: int = 0) -> Iterator[tuple[bool, str]]:
    """Texts of words as frequent as a language's; one in ten repeats an earlier one but for one word in fifty."""
    dice = np.random.default_rng(seed)
    lengths = dice.integers(2, 10, 30_000)
    known = np.array(["".join(map(chr, dice.integers(97, 123, length))) for length in lengths])
    frequency = 1 / np.arange(1, len(known) + 1)
    earlier: list[str] = []
    for _ in range(count):
        copied = len(earlier) > 1000 and dice.random() < 0.1
        if copied:
            parts = earlier[dice.integers(len(earlier))].split()
            for place in dice.integers(0, words, max(1, words // 50)):
                parts[place] = known[dice.integers(len(known))]
        else:
            parts = dice.choice(known, words, p=frequency / frequency.sum()).tolist()
        text = " ".join(parts)
        if len(earlier) < 20_000:
            earlier.append(text)
        yield copied, text


def main() -> None:
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("--rows", type=int, default=200_000)
    reads.add_argument("--words", type=int, default=100)
    reads.add_argument("--threshold", type=float, default=0.8)
    given = reads.parse_args()
    made = list(texts(given.rows, given.words))
    rows = RowList(Example(id=f"{n:09}", query=text) for n, (_, text) in enumerate(made))
    planted = sum(copied for copied, _ in made)
    del made
    start = time.process_time()
    dropped = sum(isinstance(o, Dropped) for o in NearDedup(threshold=given.threshold).run(rows, Context()))
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{given.rows} rows of {given.words} words, threshold {given.threshold}: {1000 * seconds / given.rows:.3f} ms"
    )
    print(f"CPU a row, {dropped} dropped, {planted} planted, {peak:.2f} GB at most with the rows themselves")


if __name__ == "__main__":
    main()
