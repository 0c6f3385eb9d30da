"""The card of a data set: what it is, how it was made, what became of the rows, what it bought.

Nothing that a document or a model said goes into a card, only counts; and no date or duration, so that the same run
gives the same bytes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import yaml

from synth.errors import RecipeError
from synth.scores import Evaluation, Score, notes
from synth.yaml12 import read_yaml

HUB_TASKS = {
    "retrieval": "text-retrieval",
    "sts": "sentence-similarity",
    "classification": "text-classification",
    "bitext": "translation",
}
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
EVALUATION = "## What training on it gives"
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET = re.compile(
    r"""(?ix)(?P<name> (?<![a-z]) (?:api[_-]?key|token|password|secret) ['"]? \s* [:=] \s* )"""
    r"""(?P<value> "[^"]*" | '[^']*' | [^\s,}]+ )"""
)


@dataclass(frozen=True, slots=True)
class Fate:
    """What one step of a recipe did: how many rows it kept, and how many it dropped for which reason."""

    step: str
    kept: int
    dropped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class About:
    """What a run knows of itself. `models` names who wrote, judged or mined: role -> model. `licence` is a Hub code."""

    recipe: str = ""
    recipe_text: str = ""
    steps: Sequence[Fate] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    seed: int = 0
    version: str = ""


NOTHING = About()
"""What is known of rows that no run made."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an export wrote: rows of each split by task, and rows by the language of their query ("" is unknown)."""

    splits: Mapping[str, Mapping[str, int]]
    languages: Mapping[str, int]

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(sum(counts.values()) for counts in self.splits.values())


def text(about: About, content: Content) -> str:
    """The README.md of a dataset folder: the YAML header that the Hub and `datasets` read, then the card."""
    header = yaml.safe_dump(_header(about, content), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{header}---\n",
        f"# Training data for text embedders{f': {_plain(about.recipe)}' if about.recipe else ''}\n",
        _what(about, content),
        _splits(content),
        _languages(content),
        _columns(),
        _funnel(about),
        _held_against(about),
        _made(about),
    ]
    return "\n".join(part for part in parts if part)


def with_evaluation(card: str, evaluation: Evaluation) -> str:
    """The card with its table of scores, in place of an earlier one."""
    start = card.rfind(f"\n{EVALUATION}\n")
    earlier = start >= 0 and "\n```" not in card[start:]  # else the heading stands inside the recipe's text
    front = card[:start] if earlier else card
    return f"{front.rstrip()}\n\n{evaluation_section(evaluation)}"


def evaluation_section(evaluation: Evaluation) -> str:
    """The scores as a section of Markdown."""
    rows = [_score_cells(score) for score in evaluation.scores]
    head = ("data", "queries", "model", "nDCG@10", "95 %", "Recall@100", "MRR@10", "corpus seen")
    lines = "\n".join(f"- {_plain(line)}" for line in notes(evaluation))
    return f"{EVALUATION}\n\n{_table(head, rows)}\n{lines}\n"


def _score_cells(score: Score) -> tuple[str, ...]:
    seen = {True: "yes", False: "no", None: "not known"}[score.corpus_seen]
    interval = f"{score.low:.3f} to {score.high:.3f}"
    figures = (f"{score.ndcg_10:.3f}", interval, f"{score.recall_100:.3f}", f"{score.mrr_10:.3f}")
    return (score.data, f"{score.queries:,}", score.model, *figures, seen)


def _header(about: About, content: Content) -> dict[str, Any]:
    """The front matter; the largest task is the configuration that `load_dataset` takes unasked."""
    tasks = sorted(content.splits)
    largest = max(tasks, key=lambda task: (sum(content.splits[task].values()), task), default="")
    languages = sorted(code for code in content.languages if _LANGUAGE.fullmatch(code))
    hub_tasks = sorted({HUB_TASKS[task] for task in tasks if task in HUB_TASKS})
    return {
        "license": about.licence or "unknown",
        **({"language": languages} if languages else {}),
        **({"task_categories": hub_tasks} if hub_tasks else {}),
        "size_categories": [next((name for most, name in SIZES if content.rows < most), "n>10M")],
        "tags": ["synthetic", "embeddings", "sentence-transformers"],
        "configs": [_config(task, content.splits[task], task == largest) for task in tasks],
    }


def _config(task: str, splits: Mapping[str, int], default: bool) -> dict[str, Any]:
    files = [{"split": split, "path": f"{task}/{split}.parquet"} for split in sorted(splits)]
    return {"config_name": task, "data_files": files, **({"default": True} if default else {})}


def _what(about: About, content: Content) -> str:
    recipe = f" with the recipe {_plain(about.recipe)}" if about.recipe else ""
    licence = about.licence or "unknown; that of the documents it was made from applies to their texts"
    return (
        f"{content.rows:,} rows made by {f'synth {about.version}'.strip()}{recipe} and seed {about.seed}: each a query "
        "with the documents that answer it and, where there are any, documents that look right and are not.\n\n"
        f"{_makers(about)} No person has checked the rows one by one.\n\n"
        f"Licence: {_plain(licence)}.\n"
    )


def _makers(about: About) -> str:
    if not about.models:
        return "No language model had a part in it: the queries were cut from the documents by rule."
    named = ", ".join(f"`{_plain(model)}` ({_plain(role)})" for role, model in sorted(about.models.items()))
    return f"Models that had a part in it: {named}."


def _splits(content: Content) -> str:
    names = sorted({split for counts in content.splits.values() for split in counts})
    rows = [(task, *(f"{counts.get(name, 0):,}" for name in names)) for task, counts in sorted(content.splits.items())]
    how = (
        "Split by parent document and by near-duplicates of queries and documents, never by row."
        if "validation" in names
        else "Nothing was set aside for validation: there are too few groups of rows."
    )
    return f"## Splits\n\n{_table(('task', *names), rows)}\n{how}\n"


def _languages(content: Content) -> str:
    counted: dict[str, int] = {}
    for code, count in content.languages.items():
        name = code if _LANGUAGE.fullmatch(code) else "not known"
        counted[name] = counted.get(name, 0) + count
    rows = [(code, f"{count:,}") for code, count in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]
    return f"## Languages of the queries\n\n{_table(('language', 'rows'), rows)}"


def _columns() -> str:
    rows = [
        ("id", "the row's content address"),
        ("task, instruction", "what the pair is for; what stands before the query at embedding time"),
        ("query, language, tags, meta", "the query, its language, marks, and JSON on where it came from"),
        (
            "positives, negatives",
            "lists of documents: text, doc_id, title, parent_id, language, origin, relevance, scores, meta",
        ),
    ]
    return f"## Columns\n\n{_table(('column', 'holds'), rows)}"


def _held_against(about: About) -> str:
    """Which evaluation data the rows were held against, and whether its documents may be in them."""
    lines = [_held(step) for step in _steps(about) if step.get("use") == "decontamination" and step.get("against")]
    return f"## Evaluation data\n\n{''.join(lines)}" if lines else ""


def _steps(about: About) -> list[Mapping[str, Any]]:
    """The steps of the recipe; none of a text that is no recipe."""
    try:
        plain = read_yaml(about.recipe_text, "recipe")
    except RecipeError:
        return []
    steps = plain.get("steps", []) if isinstance(plain, dict) else []
    return [step for step in steps if isinstance(step, dict)]


def _held(step: Mapping[str, Any]) -> str:
    """A line for one step of decontamination; of a path its last part alone."""
    sets = ", ".join(_plain(PurePath(str(name)).name) for name in step["against"])
    if step.get("corpus", "blind") == "seen":
        return f"- Corpus-seen for {sets}: rows with a query of it were dropped; its documents may be in the rows.\n"
    return f"- Corpus-blind to {sets}: rows with a query or a document of it were dropped.\n"


def _funnel(about: About) -> str:
    if not about.steps:
        return ""
    rows = [(fate.step, f"{fate.kept:,}", _reasons(fate.dropped)) for fate in about.steps]
    return f"## What became of the rows\n\n{_table(('step', 'kept', 'dropped'), rows)}"


def _reasons(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(dropped.items()) if count) or "0"


def _made(about: About) -> str:
    if not about.recipe_text:
        return ""
    recipe = without_secrets(about.recipe_text).strip("\n")
    longest = max((len(run) for run in re.findall(r"`+", recipe)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"## How it was made\n\n{fence}yaml\n{recipe}\n{fence}\n"


def without_secrets(recipe: str) -> str:
    """A recipe's text without what would give its reader a key: names and passwords in addresses, values of keys.

    >>> without_secrets("{base_url: http://me:pw@host/v1, api_key: sk-1, hf_token: 'b c', most_tokens: 9}")
    '{base_url: http://host/v1, api_key: …, hf_token: …, most_tokens: 9}'
    """
    return _SECRET.sub(lambda found: f"{found['name']}…", _CREDENTIALS.sub("", recipe))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(_plain, line))} |\n" for line in lines)


def _plain(name: str) -> str:
    """A name that cannot break out of a line, a table's cell or a code span, nor become HTML or a link."""
    one_line = " ".join(name.split())
    return re.sub(r"[|`<>\[\]]", lambda found: f"&#{ord(found.group())};", one_line)
