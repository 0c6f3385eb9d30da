"""What each filter is worth: a model trained from nothing with it and without it, on dev splits, over several seeds.

    python benchmarks/worth.py DATA --seeds 1,2,3,4,5 --output worth.jsonl     # adds what it lacks
    python benchmarks/worth.py DATA --table worth.jsonl

DATA is a folder of BEIR folders: scifact (train qrels), nfcorpus (dev), xquad-es, -tr, -vi. Rows are cut out of the
documents by `extract`, 2 of each, 4 of XQuAD's. `as made` leaves them so; `spoiled` mixes in the faults of rows that
a model wrote, each in its share (FAULTS). Every filter is tried alone on the same rows with the same seed, which
draws the rows, the faults, the first weights and the batches. A static model of 256 dimensions starts from random
weights, so that all it knows comes from the rows. Embedders that filters ask are the analysis of the corpus (`start:
lsa`), which has seen no row.

The table: mean difference of nDCG@10 over the sets and seeds, its 95 % interval and p by t (variance within sets only),
p after Holm over all filters, and the smallest difference that would have been found four times in five (80 % power).
"""

import argparse
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, variance
from typing import Any

from synth.beir import read
from synth.embedder import Embedder, load
from synth.evaluation import measures
from synth.registry import find_stage
from synth.retrieval import Corpus, Dense
from synth.stage import Context, RowList, Source
from synth.stages.from_corpus import FromCorpus
from synth.training import TrainOptions, static
from synth.training.trainer import train
from synth.types import Document, Dropped, Example, row_id

SETS = ("scifact:train", "nfcorpus:dev", "xquad-es", "xquad-tr", "xquad-vi")
OPTIONS = TrainOptions(dims=256, start="random", scale=20, learning_rate=0.2, batch=512, epochs=2, matryoshka=())
ARMS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "exact_dedup": [{"use": "exact_dedup"}],
    "near_dedup": [{"use": "near_dedup"}],
    "semantic_dedup": [{"use": "semantic_dedup", "embedder": "start"}],
    "length": [{"use": "length"}],
    "language": [{"use": "language"}],
    "refusal": [{"use": "refusal"}],
    "leakage": [{"use": "leakage"}],
    "too_easy": [{"use": "too_easy"}],
    "consistency bm25 1": [{"use": "consistency", "most_rank": 1}],
    "consistency bm25 10": [{"use": "consistency", "most_rank": 10}],
    "consistency dense 10": [{"use": "consistency", "retriever": "dense", "embedder": "start", "most_rank": 10}],
    "similarity, worst 10 %": [{"use": "similarity", "embedder": "start", "worst": 0.1}],
    "top 70 % by cosine": [
        {"use": "similarity", "embedder": "start", "least": -1},
        {"use": "top", "score": "cosine", "share": 0.7},
    ],
    "mine 3": [{"use": "mine", "negatives": 3}],
    "mine 3, false_negatives": [
        {"use": "mine", "negatives": 3},
        {"use": "false_negatives", "scorer": "embedder", "embedder": "start"},
    ],
    "mine 3, shortcut": [{"use": "mine", "negatives": 3}, {"use": "shortcut", "then": "cap"}],
    "the line of `domain`": [
        {"use": name}
        for name in ("exact_dedup", "near_dedup", "language", "refusal", "length", "leakage", "consistency")
    ],
    "the line of `domain` with a dense consistency": [
        *({"use": name} for name in ("exact_dedup", "near_dedup", "refusal", "language", "leakage")),
        {"use": "consistency", "retriever": "dense", "embedder": "start", "most_rank": 10},
    ],
}
AGAINST = {"mine 3, false_negatives": "mine 3", "mine 3, shortcut": "mine 3"}
"""What an arm is compared with, where not with `none`."""
FAULTS = {
    "wrong positive": 0.10,
    "near copy": 0.08,
    "copy": 0.05,
    "copied": 0.08,
    "refusal": 0.05,
    "other language": 0.05,
    "fragment": 0.03,
}
REFUSALS = {
    "en": "I'm sorry, but I cannot write a search query for this document.",
    "es": "Lo siento, pero no puedo escribir una consulta para este documento.",
    "tr": "Üzgünüm, bu belge için bir arama sorgusu yazamam.",
    "vi": "Xin lỗi, tôi không thể viết truy vấn cho tài liệu này.",
}


def main() -> None:
    """Train all arms, or print the table."""
    reads = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reads.add_argument("data", type=Path)
    reads.add_argument("--sets", default=",".join(SETS))
    reads.add_argument("--seeds", default="1,2,3,4,5")
    reads.add_argument("--rows", default="as made,spoiled")
    reads.add_argument("--arms", default="", help="names of arms, separated by `;` [default: all]")
    reads.add_argument("--output", type=Path, default=Path("worth.jsonl"))
    reads.add_argument("--table", type=Path, help="print the table of this file and end")
    given = reads.parse_args()
    if given.table:
        print(table(_read(given.table)))
        return
    arms = given.arms.split(";") if given.arms else list(ARMS)
    there = _read(given.output) if given.output.exists() else []
    done = {(each["set"], each["seed"], each["rows"], each["arm"]) for each in there}
    static.learn_tokenizer = Vocabularies()
    for seed in map(int, given.seeds.split(",")):
        for name in given.sets.split(","):
            bench = Bench(given.data, name, seed)
            for kind in given.rows.split(","):
                for arm, found in bench.run(kind, [arm for arm in arms if (name, seed, kind, arm) not in done]):
                    line = {"set": name, "seed": seed, "rows": kind, "arm": arm, **found}
                    with given.output.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
                    print(line, file=sys.stderr, flush=True)


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Vocabularies:
    """The vocabulary of a corpus is the same for every arm: it is learned once."""

    def __init__(self) -> None:
        self._learned: dict[tuple[int, int, int], str] = {}
        self._learn = static.learn_tokenizer

    def __call__(self, texts: Sequence[str], size: int) -> Any:
        """The tokenizer, a copy of its own for each caller."""
        from tokenizers import Tokenizer

        key = (len(texts), hash(tuple(texts)), size)
        if key not in self._learned:
            self._learned[key] = self._learn(texts, size).to_str()
        return Tokenizer.from_str(self._learned[key])


class Bench:
    """One test set with one seed: its documents, the rows cut out of them, and the analysis of its corpus."""

    def __init__(self, data: Path, name: str, seed: int) -> None:
        self.seed = seed
        self.test = read(str(data / name))
        folder = name.partition(":")[0]
        source = Source(corpus=str(data / folder), folder=Path.cwd())
        ctx = Context(step="from_corpus", seed=seed, source=source)
        self.sources = [row for row in FromCorpus().run((), ctx) if isinstance(row, Example)]
        self.documents = [row.positive for row in self.sources]
        self.corpus = Corpus(self.documents)
        self.strangers = _strangers(data, folder)
        self._start: Embedder | None = None

    def run(self, kind: str, arms: Iterable[str]) -> Iterable[tuple[str, dict[str, Any]]]:
        """Each arm with its figures: nDCG@10, how many rows stayed, how many of the faults, and seconds."""
        rows = self._rows()
        if kind == "spoiled":
            rows = spoiled(rows, self.documents, self.strangers, self.seed)
        for arm in arms:
            begun = time.monotonic()
            kept = self._filtered(rows, ARMS[arm])
            faults = sum("fault" in row.meta for row in kept) / max(sum("fault" in row.meta for row in rows), 1)
            score = self._trained(kept)
            seconds = round(time.monotonic() - begun, 1)
            yield arm, {"ndcg": score, "kept": len(kept), "of": len(rows), "faults": round(faults, 4), "s": seconds}

    def _rows(self) -> list[Example]:
        draws = 4 if len(self.documents) < 1000 else 2
        stage = find_stage("extract", Path()).model_validate({"per_document": draws})
        outcomes = stage.run(self.sources, Context(step="extract", seed=self.seed))
        return sorted((row for row in outcomes if isinstance(row, Example) and row.query), key=lambda row: row.id)

    def _filtered(self, rows: Sequence[Example], steps: Sequence[dict[str, Any]]) -> list[Example]:
        """The rows that the steps keep. No step spares any but by what it says itself."""
        kept = list(rows)
        needs = any(step.get("embedder") for step in steps)
        embedders = {"start": self._analysis()} if needs else {}
        for step in steps:
            stage = find_stage(step["use"], Path()).model_validate({k: v for k, v in step.items() if k != "use"})
            ctx = Context(step=step["use"], seed=self.seed, embedders=embedders, corpus_of=lambda: self.corpus)
            kept = [row for row in stage.run(RowList(kept), ctx) if not isinstance(row, Dropped)]
        return kept

    def _analysis(self) -> Embedder:
        if self._start is None:
            from synth.training.static import static_models

            texts = sorted({document.full_text for document in self.documents})
            _, start = static_models(texts, TrainOptions(dims=256), self.seed)
            self._start = Embedder(start, "the analysis of the corpus")
        return self._start

    def _trained(self, rows: Sequence[Example]) -> float:
        with tempfile.TemporaryDirectory() as place:
            train(rows, OPTIONS, Path(place) / "model", self.seed, self.documents)
            model = load(str(Path(place) / "model"))
            hits = Dense(self.corpus.documents, model).search(list(self.test.queries.values()), 100)
            return round(float(measures(self.test, self.corpus, hits).ndcg_10.mean()), 5)


def spoiled(
    rows: Sequence[Example], documents: Sequence[Document], strangers: Sequence[str], seed: int
) -> list[Example]:
    """The rows, some of them with a fault, named in `meta["fault"]`; copies stand beside what they copy."""
    made: list[Example] = []
    for row in rows:
        dice = random.Random(f"{seed}/{row.id}")
        fault = dice.choices([*FAULTS, ""], [*FAULTS.values(), 1 - sum(FAULTS.values())])[0]
        if fault in ("copy", "near copy"):
            made.append(row)
            words = row.query.split()
            query = row.query if fault == "copy" or len(words) < 8 else " ".join(words[:-1])
            made.append(_with(row, fault, query=query))
        else:
            made.append(_with(row, fault, **_changes(row, fault, dice, documents, strangers)) if fault else row)
    return sorted(made, key=lambda row: row.id)


def _changes(
    row: Example, fault: str, dice: random.Random, documents: Sequence[Document], strangers: Sequence[str]
) -> dict[str, Any]:
    text = row.positive.text
    if fault == "wrong positive":
        return {"positives": (dice.choice(documents),)}
    if fault == "copied":
        words = text.split()
        start = dice.randrange(max(len(words) - 12, 1))
        return {"query": " ".join(words[start : start + 12])}
    if fault == "refusal":
        return {"query": REFUSALS[row.positive.language if row.positive.language in REFUSALS else "en"]}
    if fault == "other language":
        return {"query": dice.choice(strangers)}
    return {"query": dice.choice(row.query.split() or ["?"])[:6]}


def _with(row: Example, fault: str, **changes: Any) -> Example:
    changed = replace(row, **changes, meta={**row.meta, "fault": fault})
    return replace(changed, id=row_id("spoil", 0, changed.query, [row.id]))


def _strangers(data: Path, folder: str) -> list[str]:
    """Queries in another language."""
    other = "xquad-de" if folder != "xquad-de" else "xquad-en"
    lines = (data / other / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def table(found: Sequence[dict[str, Any]]) -> str:
    """A line an arm for each kind of rows, as Markdown."""
    lines = []
    for kind in dict.fromkeys(each["rows"] for each in found):
        scores = {(e["arm"], e["set"], e["seed"]): e for e in found if e["rows"] == kind}
        lines += [f"\n**Rows {kind}**\n", *_head(scores), *_lines(scores)]
    return "\n".join(lines)


def _head(scores: dict[tuple[str, str, int], dict[str, Any]]) -> list[str]:
    sets = list(dict.fromkeys(name for _, name, _ in scores))
    base = [f"{name} {fmean(e['ndcg'] for k, e in scores.items() if k[:2] == ('none', name)):.3f}" for name in sets]
    return [
        f"Without a filter: {', '.join(base)}.\n",
        "| filter | rows kept | faults kept | nDCG@10 | 95 % | p | p, Holm | seen from | " + " | ".join(sets) + " |",
        "|" + "---|" * (8 + len(sets)),
    ]


def _lines(scores: dict[tuple[str, str, int], dict[str, Any]]) -> list[str]:
    arms = [arm for arm in dict.fromkeys(arm for arm, _, _ in scores) if arm != "none"]
    tests = list(dict.fromkeys(test for _, test, _ in scores))
    told = {arm: worth(scores, arm) for arm in arms}
    lines = []
    for arm, adjusted in holm({arm: each["p"] for arm, each in told.items()}).items():
        each = told[arm]
        mine = [e for k, e in scores.items() if k[0] == arm]
        kept, faults = fmean(e["kept"] / e["of"] for e in mine), fmean(e["faults"] for e in mine)
        name = f"{arm} (over {AGAINST[arm]})" if arm in AGAINST else arm
        spread = f"{each['low']:+.4f} to {each['high']:+.4f}"
        sets = " | ".join(f"{each['sets'][test]:+.4f}" if test in each["sets"] else "" for test in tests)
        lines.append(
            f"| {name} | {kept:.0%} | {faults:.0%} | {each['mean']:+.4f} | {spread} | {each['p']:.4f} | {adjusted:.4f} "
            f"| {each['seen']:.4f} | {sets} |"
        )
    return lines


def worth(scores: dict[tuple[str, str, int], dict[str, Any]], arm: str) -> dict[str, Any]:
    """The mean difference over sets and seeds, its interval and p; the sets are fixed, the seeds drawn."""
    from scipy import stats

    base = AGAINST.get(arm, "none")
    by_set: dict[str, list[float]] = {}
    for (name, test, seed), each in scores.items():
        if name == arm and (base, test, seed) in scores:
            by_set.setdefault(test, []).append(each["ndcg"] - scores[base, test, seed]["ndcg"])
    by_set = {test: of for test, of in by_set.items() if len(of) > 1}
    means = {test: fmean(of) for test, of in by_set.items()}
    spreads = [variance(of) / len(of) for of in by_set.values()]
    error = math.sqrt(sum(spreads)) / len(by_set)
    parts = sum(s**2 / (len(of) - 1) for s, of in zip(spreads, by_set.values(), strict=True))
    freedom = max(sum(spreads) ** 2 / parts, 1) if parts else 1  # Welch and Satterthwaite
    mean = fmean(means.values())
    t = stats.t(freedom)
    half = t.ppf(0.975) * error
    p = 2 * t.sf(abs(mean) / error) if error else 1.0
    seen = (t.ppf(0.975) + t.ppf(0.8)) * error
    return {"mean": mean, "low": mean - half, "high": mean + half, "p": p, "seen": seen, "sets": means}


def holm(p: dict[str, float]) -> dict[str, float]:
    """Each p after Holm's step-down correction (1979), in the order given."""
    ranked, highest = sorted(p, key=lambda name: p[name]), 0.0
    adjusted = {}
    for place, name in enumerate(ranked):
        highest = max(highest, min(1.0, (len(p) - place) * p[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p}


if __name__ == "__main__":
    main()
