"""Folding, shingles and near-duplicates."""

import random
import subprocess
import sys

import numpy as np
import pytest
from datasketch import MinHash, MinHashLSH

from synth.resemblance import KNOWN_BANDS, bands, folded, jaccard, near_duplicates, shingles, signatures

TEXTS = ("the nile floods", "", "a", "尼罗河", "แม่น้ำไนล์", "🙂", "x" * 5000, "\ud800", " \n ", "the nile flood")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("  When   does\tit\nflood?! ", "when does it flood"),
        ("“Quoted” – and…", "quoted and"),
        ("C++, C# and 5 %", "c++ c# and 5 %"),
        ("read_csv(path)", "read_csv path"),
        ("नमस्ते दुनिया।", "नमस्ते दुनिया"),
        ("ที่นี่", "ที่นี่"),
        ("你好，世界！", "你好 世界"),
        ("¡¿", "¡¿"),
        ("\u200b \ufeff", ""),
        ("", ""),
    ],
)
def test_folding_drops_what_does_not_tell_texts_apart(text: str, form: str) -> None:
    assert folded(text) == form
    assert folded(form) == form


def test_signatures_are_those_of_datasketch() -> None:
    signs = signatures(TEXTS, num_perm=64)
    for number, text in enumerate(TEXTS):
        theirs = MinHash(num_perm=64, hashfunc=int, scheme="affine32")
        theirs.update_batch(shingles(text).tolist())
        assert signs[number].tolist() == theirs.hashvalues.tolist()


def test_a_shingle_counts_once_however_often_it_stands() -> None:
    assert shingles("la la la la").tolist() == sorted(set(shingles("la la la la la la").tolist()))
    assert jaccard("la la la la", "la la la la la la") == 1


def test_jaccard_is_the_share_of_common_shingles() -> None:
    # " nile " has the runs " nil", "nile", "ile "; " niles " has " nil", "nile", "iles", "les "
    assert jaccard("Nile", "niles!") == pytest.approx(2 / 5)
    assert jaccard("", "") == 1.0
    assert jaccard("a", "b") == 0.0


def everything_compared(texts: list[str], threshold: float) -> list[int]:
    """Which texts are duplicates when each is compared with every earlier kept one."""
    kept: list[int] = []
    found = []
    for number, text in enumerate(texts):
        if any(jaccard(text, texts[earlier]) >= threshold for earlier in kept):
            found.append(number)
        else:
            kept.append(number)
    return found


@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.8, 0.9])
def test_bands_find_nearly_all_that_comparing_everything_finds(threshold: float) -> None:
    dice = random.Random(11)
    texts: list[str] = []
    for _ in range(250):
        text = "".join(dice.choices("abcdefghijklmnop ", k=120))
        cut = dice.randint(0, 60)
        texts += [text, text[:-cut] + "".join(dice.choices("qrstuv", k=cut)) if cut else text]
    expected = everything_compared(texts, threshold)
    got = np.flatnonzero(near_duplicates(texts, threshold).of >= 0).tolist()
    assert set(got) <= set(expected)
    assert len(got) >= 0.95 * len(expected) > 0


def test_empty_texts_resemble_nothing_and_no_text_breaks_it() -> None:
    found = near_duplicates([*TEXTS, *TEXTS], 0.95)
    assert np.flatnonzero(found.of >= 0).tolist() == [n + len(TEXTS) for n in range(len(TEXTS)) if n not in (1, 8)]
    assert len(near_duplicates([], 0.8).of) == 0


def test_a_text_counts_as_kept_only_if_it_resembles_none() -> None:
    chain = ["abcdefghijklmnopqrstuvwxyz"[start : start + 20] for start in range(0, 6, 2)]
    assert near_duplicates(chain, 0.6).of.tolist() == [-1, 0, -1]
    assert near_duplicates(["one text"] * 5, 0.6).of.tolist() == [-1, 0, 0, 0, 0]


@pytest.mark.parametrize(("threshold", "num_perm"), KNOWN_BANDS)
def test_the_bands_that_are_written_down_are_those_of_datasketch(threshold: float, num_perm: int) -> None:
    index = MinHashLSH(threshold=threshold, num_perm=num_perm, weights=(0.05, 0.95))
    assert bands(threshold, num_perm) == (index.b, index.r)


def test_the_splits_and_near_dedup_as_it_comes_load_no_scipy() -> None:
    script = (
        "import sys\n"
        "from synth.filters.near_dedup import NearDedup\n"
        "from synth.resemblance import near_duplicates\n"
        "from synth.splits import validation_ids\n"
        "from synth.types import Example\n"
        "stage = NearDedup()\n"
        "near_duplicates(['one text', 'another'], stage.threshold, stage.num_perm)\n"
        "validation_ids([Example(id=f'{n}', query=f'{n} {n * n}') for n in range(30)])\n"
        "print([name for name in ('scipy', 'datasketch') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("num_perm", [16, 128, 1024])
def test_there_are_bands_for_every_option(threshold: float, num_perm: int) -> None:
    count, height = bands(threshold, num_perm)
    assert count >= 2
    assert count * height <= num_perm
