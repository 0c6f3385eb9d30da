"""The shipped recipe `extract` on public test sets, mean of several seeds, beside BM25 and the fused ranks.

    python benchmarks/extract.py DATA --sets scifact,nfcorpus,xquad-en --seeds 1,2,3
    python benchmarks/extract.py DATA --dev --seeds 1 --set train.scale=12

DATA is a folder of BEIR folders. With --dev it measures only what a configuration may be chosen by: SciFact's train
qrels, NFCorpus's dev qrels, and the XQuAD languages that are not in the test. Each run is a process of its own, `synth
run extract`, timed whole: reading, cutting, dedup, export, training, evaluation. Prints a row a set, and a row for all
XQuAD sets together, as Markdown. `start` is the model before the first row, `untrained` the one with random weights.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

TEST = [
    "scifact",
    "nfcorpus",
    *(f"xquad-{language}" for language in ("en", "de", "zh", "ar", "hi", "th", "ru")),
]
DEV = ["scifact:train", "nfcorpus:dev", *(f"xquad-{language}" for language in ("es", "tr", "vi", "el", "ro"))]
MODELS = ("trained", "start", "untrained", "bm25", "fused")


@dataclass(frozen=True, slots=True)
class Run:
    """One run's nDCG@10 by model, its differences (mean, low, high) by pair, and its seconds."""

    scores: dict[str, float]
    differences: dict[str, tuple[float, float, float]]
    seconds: float


def main() -> None:
    """Run every set with every seed and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder of BEIR folders")
    parser.add_argument("--sets", default="", help="names of folders, name:split for another split [default: the test]")
    parser.add_argument("--dev", action="store_true", help="the sets that a configuration is chosen by")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="as `synth run --set`")
    arguments = parser.parse_args()
    sets = arguments.sets.split(",") if arguments.sets else DEV if arguments.dev else TEST
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    found: dict[str, list[Run]] = {}
    for name in sets:
        for seed in seeds:
            found.setdefault(name, []).append(measure(arguments.data, name, seed, arguments.overrides))
            tell(name, seed, found[name][-1])
    print(table(found))


def measure(data: Path, name: str, seed: int, overrides: list[str]) -> Run:
    """One run of the recipe in a folder that is thrown away."""
    folder = (data / name.partition(":")[0]).resolve()
    settings = [f"corpus={folder}", f"evaluate=[{json.dumps(str(data.resolve() / name))}]", f"seed={seed}", *overrides]
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "synth", "run", "extract", "--output", f"{place}/run"]
        begun = time.monotonic()
        subprocess.run(
            [*command, *(part for setting in settings for part in ("--set", setting))],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=place,
        )
        seconds = time.monotonic() - begun
        told = json.loads((Path(place) / "run" / "evaluation.json").read_text(encoding="utf-8"))
    scores = {score["model"]: score["ndcg@10"] for score in told["scores"]}
    differences = {
        f"{one['model']} - {one['over']}": (one["mean"], one["low"], one["high"]) for one in told["differences"]
    }
    return Run(scores, differences, seconds)


def tell(name: str, seed: int, run: Run) -> None:
    """One run on stderr, as it ends."""
    scores = " ".join(f"{model} {run.scores[model]:.4f}" for model in MODELS)
    low, high = run.differences["fused - bm25"][1:]
    print(f"{name} seed {seed}: {scores} fused-bm25 {low:+.4f}..{high:+.4f} {run.seconds:.0f} s", file=sys.stderr)


def table(found: dict[str, list[Run]]) -> str:
    """Means over seeds; of the intervals the lowest low and the highest high of any seed."""
    lines = [
        "| set | trained | least-most | start | trained - start | untrained | BM25 | fused | fused - BM25 | s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [row(name, runs) for name, runs in found.items()]
    xquad = [run for name, runs in found.items() if name.startswith("xquad") for run in runs]
    if xquad:
        lines.append(row("xquad, all", xquad, spread=False))
    return "\n".join(lines)


def row(name: str, runs: list[Run], *, spread: bool = True) -> str:
    """One line of the table."""
    means = {model: f"{mean(run.scores[model] for run in runs):.4f}" for model in MODELS}
    trained = [run.scores["trained"] for run in runs]
    between = f"{min(trained):.4f}-{max(trained):.4f}" if spread else ""
    bought = interval(runs, "trained - start") if spread else ""
    joined = interval(runs, "fused - bm25") if spread else ""
    seconds = f"{mean(run.seconds for run in runs):.0f}"
    first = [name, means["trained"], between, means["start"], bought, means["untrained"]]
    cells = [*first, means["bm25"], means["fused"], joined, seconds]
    return "| " + " | ".join(cells) + " |"


def interval(runs: list[Run], pair: str) -> str:
    """The lowest and the highest bound of any seed."""
    gains = [run.differences[pair] for run in runs]
    return f"{min(gain[1] for gain in gains):+.4f} to {max(gain[2] for gain in gains):+.4f}"


if __name__ == "__main__":
    main()
