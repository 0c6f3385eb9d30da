"""How well languages are told: texts of XQuAD in 12 languages, and human rights in all that the model knows.

    python benchmarks/languages.py ../data > benchmarks/languages.md

Needs a folder with `xquad-<code>/` (BEIR folders) and `corpora/udhr/<code>.txt` (the Universal Declaration of Human
Rights, a file a language, named by ISO 639-3). For each text: is it identified as what it is; does the `language`
filter drop it though its row names the right language; does it drop it where the row names another of the languages.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import langcodes

from synth.filters.language import Language
from synth.languages import chinese_script, identify, knows
from synth.stage import Context
from synth.types import Document, Dropped, Example

SHORT, LONG = 60, 400
"""Characters of the pieces of the declaration: as long as a query, and as a passage."""
TWINS = (("zh-Hans", "zh-Hant"), ("sr", "hr"), ("id", "ms"), ("no", "nn"), ("no", "da"), ("es", "ca"), ("cs", "sk"))
ISO = {"mly": "ms", "nob": "no", "ydd": "yi", "als": "sq", "src": "sc", "ckb": "ckb-Latn"}
"""Codes that langcodes leaves as they are, or takes for another language's."""


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with the texts")
    folder: Path = parser.parse_args().data
    print(
        "# Telling languages\n\n`python benchmarks/languages.py DATA`: lid.176 with the rules of `synth/languages.py`."
    )
    for part, title in (("corpus", "Passages"), ("queries", "Queries")):
        texts = {path.name.partition("-")[2]: read(path / f"{part}.jsonl") for path in sorted(folder.glob("xquad-*"))}
        print(f"\n## {title} of XQuAD\n")
        table(texts)
    declared = read_declarations(folder / "corpora" / "udhr")
    print(f"\n## The Universal Declaration of Human Rights, in pieces of {SHORT} and of {LONG} characters\n")
    print("Files of the languages that the model knows; `also` are those that longer pieces were taken for.\n")
    table(
        {tag: pieces(text, SHORT) for tag, text in declared.items()},
        {tag: pieces(text, LONG) for tag, text in declared.items()},
    )
    print("\n## Languages near each other, in pieces of 400 characters\n\nShare identified as each of two.\n")
    twins({tag: pieces(text, LONG) for tag, text in declared.items()})


def read(path: Path) -> list[str]:
    return [json.loads(line)["text"] for line in path.open(encoding="utf-8")]


def read_declarations(folder: Path) -> dict[str, str]:
    """The declarations in languages that the model knows, by their tags; of several in one language the first."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.txt")):
        code, _, more = path.stem.partition("_")
        tag = ISO.get(code) or langcodes.standardize_tag(code, macro=True)
        tag += f"-{more.title()}" if more in ("cyrl", "latn", "arab", "hans", "hant", "mong") else ""
        text = " ".join(path.read_text(encoding="utf-8").split())
        if path.stem[0].isalpha() and knows(tag) and len(text) > 5 * LONG:
            found.setdefault(tag, text)
    return found


def pieces(text: str, length: int) -> list[str]:
    return [text[start : start + length] for start in range(0, len(text) - length, length)]


def table(texts: dict[str, list[str]], longer: dict[str, list[str]] | None = None) -> None:
    """A line a language: how many texts, identified, dropped though right, caught where wrong; then the means."""
    columns = ["identified", "dropped though right", "caught where wrong"]
    heads = [
        "language",
        "texts",
        *columns,
        *(f"{name}, longer" for name in columns if longer),
        *(["also"] if longer else []),
    ]
    print(f"| {' | '.join(heads)} |\n|{len(heads) * '---|'}")
    sums: list[list[float]] = []
    for tag in sorted(texts):
        several = [texts[tag], longer[tag]] if longer else [texts[tag]]
        shares = [share for each in several for share in measured(each, tag, sorted(texts))]
        sums.append(shares)
        cells = [tag, f"{len(texts[tag]):,}", *(f"{share:.1%}" for share in shares)]
        print(f"| {' | '.join([*cells, others(several[-1], tag)] if longer else cells)} |")
    means = [sum(column) / len(column) for column in zip(*sums, strict=True)]
    print(
        f"| mean of {len(sums)} | {sum(map(len, texts.values())):,} | {' | '.join(f'{mean:.2%}' for mean in means)} |"
    )


def measured(texts: Sequence[str], tag: str, tags: Sequence[str]) -> tuple[float, float, float]:
    rng = random.Random(1)
    strangers = [other for other in tags if other.partition("-")[0] != tag.partition("-")[0]]
    named = sum(is_named(text, tag) for text in texts)
    right = dropped((text, tag) for text in texts)
    wrong = dropped((text, rng.choice(strangers)) for text in texts)
    return named / len(texts), right / len(texts), wrong / len(texts)


def is_named(text: str, tag: str) -> bool:
    """True where a text is identified as its language, and Chinese as its script where the tag says which."""
    code, _, script = tag.partition("-")
    found = identify(text).code
    return found == code and (code != "zh" or not script or chinese_script(text) == script)


def dropped(pairs: Iterable[tuple[str, str]]) -> int:
    rows = (Example(id="r", positives=(Document(text, language=tag),)) for text, tag in pairs)
    return sum(isinstance(outcome, Dropped) for outcome in Language().run(rows, Context()))


def others(texts: Sequence[str], tag: str) -> str:
    counts = Counter(found for text in texts if (found := identify(text).code) not in ("", tag.partition("-")[0]))
    return " ".join(
        f"{code} {count / len(texts):.0%}" for code, count in counts.most_common(3) if count / len(texts) >= 0.01
    )


def twins(texts: dict[str, list[str]]) -> None:
    print("| texts in | as it | as its twin | as another or none |\n|---|---|---|---|")
    for pair in TWINS:
        for tag, twin in (pair, pair[::-1]):
            for name in named_so(tag, texts):
                shares = [sum(is_named(text, each) for text in texts[name]) / len(texts[name]) for each in (tag, twin)]
                print(f"| {name} | {shares[0]:.1%} | {twin} {shares[1]:.1%} | {1 - sum(shares):.1%} |")


def named_so(tag: str, texts: dict[str, list[str]]) -> Iterator[str]:
    return (name for name in texts if name == tag or (name.startswith(f"{tag}-") and tag != "zh"))


if __name__ == "__main__":
    main()
