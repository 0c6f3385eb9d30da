"""What 1,000 rows of each recipe cost, in requests and tokens: for the opening comments of the recipes.

    python -m benchmarks.costs             a table
    python -m benchmarks.costs --write     puts the figures into the recipes' `# Cost:` lines

Requests and tokens in are what `synth check` foresees with the recipe's own options, over 60 documents in twelve
languages where it has a corpus; tokens out are the mean of the replies written by hand (tests/replies), each step's
own. Both are
estimated for Qwen's vocabulary (`synth/tokens.py`). Rows are counted before any filter: what it drops was paid for.
"""

import argparse
import re
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from synth.forecast import rehearse
from synth.recipe import load
from synth.registry import known
from tests.plays import CORPUS, PLAYS, play, plays, settings

OUT = 60
"""Tokens of a reply of which no one was written by hand."""


class Cost(NamedTuple):
    """For 1,000 rows before the filters."""

    requests: float
    tokens_in: float
    tokens_out: float

    @property
    def told(self) -> str:
        """For a comment."""
        millions = [f"{count / 1e6:.1f} M" if count >= 950_000 else f"{count / 1e3:,.0f} k" for count in self[1:]]
        tokens = f"{millions[0]} tokens in and {millions[1]} out"
        return f"{self.requests:,.0f} requests, {tokens} for 1,000 rows before the filters"


def main() -> None:
    """Print or write them."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("--write", action="store_true")
    given = reads.parse_args()
    for name in plays():
        told = cost_of(name).told
        print(f"{name}: {told}")
        if given.write:
            path = known("recipes")[name]
            text = path.read_text(encoding="utf-8")
            path.write_text(
                re.sub(r"^# Cost: .*$", f"# Cost: {told}.", text, count=1, flags=re.MULTILINE), encoding="utf-8"
            )


def cost_of(name: str) -> Cost:
    """What `synth check` foresees, with the usual length of each step's replies."""
    needed = [each for each in settings(name) if each.partition("=")[0] in _files(name)]
    seen = rehearse(load(name, needed))
    usual = usual_replies(name)
    scale = 1000 / max(seen.made, 1)
    return Cost(
        scale * sum(step.requests for step in seen.asked),
        scale * sum(step.tokens_in for step in seen.asked),
        scale * sum(step.requests * usual.get(step.step, OUT) for step in seen.asked),
    )


def _files(name: str) -> set[str]:
    """The settings of a play that name what the recipe cannot do without: a corpus, a dataset."""
    corpus = {"corpus"} if any(step.use == "from_corpus" for step in load(name).steps) else set()
    return corpus | {key for key in ("from_dataset.data", "from_qrels.data") if (PLAYS / name).is_dir()}


def usual_replies(name: str) -> dict[str, float]:
    """The mean length of a step's replies in the play, in tokens."""
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        done = play(name, Path(folder))
        used = {run.step.name: run.used for run in done.pipeline.runs}
    return {step: each["completion_tokens"] / each["sent"] for step, each in used.items() if each.get("sent")}


if __name__ == "__main__":
    assert CORPUS.is_file()
    main()
