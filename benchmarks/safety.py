"""What the safety filter finds: invented examples in 39 languages, and what it drops of real text.

    python benchmarks/safety.py ../data
    python benchmarks/safety.py ../data --show 20

The examples beside this file are written by hand, with invented data: what must be found, what must stay though it
looks like it (`none`), and what the filter does not look for (`looked_for: false`), which is counted by itself. The
same hand wrote the examples and the lists of words: recall here says that the lists work, not how much they hold.

The folder is as for the other benchmarks: BEIR folders, `classification/*/*.jsonl`, `sts/*/*.jsonl`,
`bitext/*.jsonl`, `corpora/udhr/*.txt`; what is not there is left out. Each text is a written document of its own, read
with its language; the declarations of human rights, in 388 languages, are read without. With --show so many of the
texts that each check finds are printed, with what is near, to be looked at.
"""

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from synth.personal import personal_kinds
from synth.safety_words import coarse_word

CHECKS: dict[str, Callable[[str, str], str]] = {
    "personal": lambda text, language: " ".join(personal_kinds(text)),
    "adult": lambda text, language: coarse_word(text, "adult", language),
    "toxic": lambda text, language: coarse_word(text, "toxic", language),
}
ISO = {"cmn": "zh", "ara": "ar", "bul": "bg", "deu": "de", "ell": "el", "fra": "fr", "hin": "hi", "jpn": "ja"} | {
    "rus": "ru", "spa": "es", "swh": "sw", "tha": "th", "tur": "tr", "vie": "vi"
}  # fmt: skip
RANDOM: Mapping[str, str] = {
    "eight digits and a letter": "########A",
    "two letters, six digits": "AA######",
    "three, two, four": "###-##-####",
    "six, four": "######-####",
    "nine digits": "#########",
    "ten digits": "##########",
    "eleven digits": "###########",
    "thirteen digits": "#############",
    "eighteen digits": "##################",
    "groups of thousands": "##.###.###",
    "an ISBN, in groups": "978-3-##-######-#",
    "a DOI": "10.####/######.######",
    "a clinical trial": "NCT########",
}


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with the texts")
    parser.add_argument("--show", type=int, default=0, help="how many found texts of each set to print")
    given = parser.parse_args()
    examples()
    print("\n## Real text\n\n| set | texts | personal | adult | toxic | ms a text, personal | ms, adult and toxic |")
    print("|---|---|---|---|---|---|---|")
    shown: list[str] = []
    for name, texts in sets(given.data):
        shown += real(name, texts, given.show)
    print(*shown, sep="\n")
    drawn()


def examples() -> None:
    """Print how many of each kind of example are found, and which are not as they should be."""
    rows = [json.loads(line) for line in Path(__file__).with_name("safety-examples.jsonl").open(encoding="utf-8")]
    right: Counter[str] = Counter()
    wrong: list[str] = []
    for row in rows:
        found = {check for check, finds in CHECKS.items() if finds(row["text"], row["language"])}
        is_right = row["kind"] in found if row["kind"] != "none" else not found
        name = f"{row['kind']}{'' if row.get('looked_for', True) else ', not looked for'}"
        right[name] += is_right
        if not is_right and row.get("looked_for", True):
            wrong.append(f"- {row['kind']}, {row['language']}: {row['text']}")
    total = Counter(f"{r['kind']}{'' if r.get('looked_for', True) else ', not looked for'}" for r in rows)
    print(f"## {len(rows)} examples in {len({row['language'] for row in rows})} languages\n")
    print("| kind | examples | as they should be |\n|---|---|---|")
    print(*(f"| {name} | {count} | {right[name]} |" for name, count in total.items()), sep="\n")
    print("\nNot as they should be:\n", *wrong, sep="\n")


def sets(folder: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The texts of each set with their languages."""
    for path in sorted(folder.glob("*/corpus.jsonl")):
        language = path.parent.name.partition("-")[2] or "en"
        yield f"{path.parent.name}, documents", [(text, language) for text in fields(path)]
        yield f"{path.parent.name}, queries", [(text, language) for text in fields(path.with_name("queries.jsonl"))]
    for path in sorted((folder / "classification").glob("*")):
        yield path.name, [(text, "en") for part in sorted(path.glob("*.jsonl")) for text in fields(part)]
    for path in sorted((folder / "sts").glob("*")):
        language = path.name.partition("-")[2]
        yield path.name, [(text, language) for part in sorted(path.glob("*.jsonl")) for text in fields(part)]
    bitext = sorted((folder / "bitext").glob("*.jsonl"))
    if bitext:
        yield "bitext", [(text, ISO.get(path.name[:3], "")) for path in bitext for text in fields(path)]
    declared = sorted((folder / "corpora" / "udhr").glob("*.txt"))
    if declared:
        yield "udhr", [(line, "") for path in declared for line in path.read_text(encoding="utf-8").splitlines()]


def fields(path: Path) -> Iterator[str]:
    """The texts of each line, on lines of their own; ids are left out."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield "\n".join(text for name, text in row.items() if isinstance(text, str) and not name.endswith("id"))


def real(name: str, texts: Sequence[tuple[str, str]], show: int) -> list[str]:
    """Print a set's line; give back what was found, with what is near."""
    counts: dict[str, int] = {}
    seconds: dict[str, float] = {}
    shown: list[str] = []
    for check, finds in CHECKS.items():
        started = time.process_time()
        found = [(text, word) for text, language in texts if (word := finds(text, language))]
        seconds[check] = time.process_time() - started
        counts[check] = len(found)
        shown += [f"- {name}, {check} ({word}): {near(text, word)}" for text, word in found[:show]]
    figures = " | ".join(str(counts[check]) for check in CHECKS)
    each = 1000 / max(1, len(texts))
    words = each * (seconds["adult"] + seconds["toxic"])
    print(f"| {name} | {len(texts):,} | {figures} | {each * seconds['personal']:.3f} | {words:.3f} |")
    return shown


def near(text: str, word: str) -> str:
    """Some of the text around a word, or around what looks like a datum."""
    place = text.lower().find(word)
    if place < 0:
        datum = re.search(r"@|\(at\)|\d{3,}[-. )]", text)
        place = datum.start() if datum else 0
    return " ".join(text[max(0, place - 40) : place + 40].split())


def drawn() -> None:
    """Print how many numbers drawn at random are taken for personal data, with nothing said of what they are."""
    draw = random.Random(7)
    print("\n## Numbers drawn at random, with no word before them\n")
    print("| shape | taken for an identity number | for a phone number |\n|---|---|---|")
    for name, shape in RANDOM.items():
        texts = [f"see {''.join(_character(draw, mark) for mark in shape)} here" for _ in range(2000)]
        counts = Counter(kind for text in texts for kind in personal_kinds(text))
        print(f"| {name} | {counts['id'] / 2000:.1%} | {counts['phone'] / 2000:.1%} |")


def _character(draw: random.Random, mark: str) -> str:
    """A digit for #, a letter for A, and itself for anything else."""
    return draw.choice("0123456789") if mark == "#" else draw.choice("ABCDEFGHJKLMNPRSTVWXYZ") if mark == "A" else mark


if __name__ == "__main__":
    main()
