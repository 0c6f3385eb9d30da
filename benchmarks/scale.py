"""Two hundred thousand documents of 1 kB, one row each, through from_corpus, extract, both dedups and the export.

    python benchmarks/scale.py --documents 200000

Makes the documents (Zipf-distributed made-up words in sentences, from a fixed seed), runs the recipe in a process of
its own, and prints seconds, CPU seconds and the peak of memory, then the funnel with each step's seconds.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path

RECIPE = """\
# Measures the model-free steps.
corpus: ./corpus.jsonl
seed: 7
steps:
  - use: from_corpus
  - {use: extract, per_document: 1}
  - use: exact_dedup
  - use: near_dedup
export: [dataset]
"""


def main() -> None:
    """Make, run, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to work [default: a temporary folder]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        write_documents(folder / "corpus.jsonl", arguments.documents)
        (folder / "scale.yaml").write_text(RECIPE)
        begun = time.monotonic()
        command = [sys.executable, "-m", "synth", "run", "scale.yaml", "--output", "run", "--json"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        wall = time.monotonic() - begun
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        steps = [json.loads(path.read_text()) for path in sorted(folder.glob("run/*/done.json"))]
    print(f"documents {arguments.documents:,}  wall {wall:.0f} s  cpu {used.ru_utime + used.ru_stime:.0f} s", end="  ")
    print(f"peak {used.ru_maxrss / 2**20:.2f} GiB  rows {json.loads(done.stdout)['rows']['kept']:,}")
    for step in steps:
        print(f"  {step['step']:<14} kept {step['kept']:>8,}  dropped {step['dropped']}  {step['seconds']:.1f} s")


def write_documents(path: Path, count: int) -> None:
    """Write `count` documents of about 1,000 characters each."""
    rng = random.Random(5)
    words = ["".join(rng.choices("aeioubcdfglmnprstvz", k=rng.randint(2, 10))) for _ in range(50_000)]
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(words))))
    with path.open("w") as file:
        for number in range(count):
            drawn = rng.choices(words, cum_weights=weights, k=150)
            sentences = [" ".join(drawn[start : start + 15]).capitalize() + "." for start in range(0, 150, 15)]
            file.write(json.dumps({"_id": f"d{number}", "text": " ".join(sentences)[:1000]}) + "\n")


if __name__ == "__main__":
    main()
