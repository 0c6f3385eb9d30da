"""What every part promises, as functions that raise AssertionError: `test_architecture.py` holds every part there is,
and every part there will be, to them; `test_contracts.py` plants a part that breaks each and sees it caught.
"""

import ast
import inspect
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from synth.backend import Backend, Message, Request
from synth.retrieval import Corpus
from synth.stage import Context, RowList, Stage
from synth.types import Document, Dropped, Example, row_id

if TYPE_CHECKING:
    from synth.embedder import Embedder

HEAVY = (
    "torch",
    "xllamacpp",
    "openai",
    "aiohttp",
    "transformers",
    "datasets",
    "numpy",
    "vllm",
    "sentence_transformers",
    "pandas",
    "scipy",
    "sklearn",
)
HOMELESS = {"utils", "util", "helpers", "common", "base", "misc", "manager", "factory"}
EXTENDS_TORCH = {"sampler.py"}
"""Files that extend a class of sentence-transformers; they are imported only when an embedder is trained."""
YAML_WORDS = {"on", "off", "yes", "no", "y", "n", "true", "false", "null"}

TEXTS = (
    "The Nile floods each summer. Farmers wait for the water, which leaves black mud on the fields.",
    "Ein Kessel Wasser kocht auf dem Berg schneller. Dort oben ist der Luftdruck nämlich geringer.",
    "猫が窓のそばで眠っている。外では雨が降っていて、庭の木がぬれている。",
    "Мост через реку открыли весной. Теперь дорога до города занимает час.",
    "ภาษาไทยเขียนโดยไม่เว้นวรรคระหว่างคำ แต่เว้นวรรคระหว่างประโยค",
    "القاهرة مدينة كبيرة. يعيش فيها ملايين الناس على ضفاف النيل.",
    "गंगा हिमालय से निकलती है। यह बंगाल की खाड़ी में गिरती है।",
    "A bicycle chain needs oil every few weeks. Wipe it clean first, then add one drop to each link.",
)
QUERIES = (
    "when does the river flood",
    "wann kocht Wasser",
    "猫はどこ",
    "когда открыли мост",
    "ภาษาไทย",
    "",
    "!!!",
    "a " * 300,
)


def documents() -> list[Document]:
    """A small corpus in seven scripts."""
    return [Document(text, doc_id=f"d{n}", title=f"Title {n}", parent_id=f"p{n // 2}") for n, text in enumerate(TEXTS)]


def source_rows() -> list[Example]:
    """Rows fresh from a source: a document each and no query."""
    return [Example(id=row_id("from_test", 0, d.text), positives=(d,), language="en") for d in documents()]


def query_rows() -> list[Example]:
    """Rows with queries: plain, odd, equal to another, copied out of the positive, tagged."""
    docs = documents()
    rows = [
        Example(id=row_id("make", n, query), query=query, positives=(docs[n],), negatives=(docs[n - 1],), language="en")
        for n, query in enumerate(QUERIES)
    ]
    rows.append(replace(rows[0], id=row_id("make", 90, "again")))
    rows.append(replace(rows[1], id=row_id("make", 91, "near"), query=QUERIES[1] + " denn"))
    rows.append(replace(rows[2], id=row_id("make", 92, "copied"), query=TEXTS[2], tags=frozenset({"left_in"})))
    return rows


class Echo(Backend):
    """Answers every request with the same text, or fails."""

    text: str = '{"query": "what is this about?", "score": 2, "reason": "it fits"}'
    fails: bool = False

    def complete(self, requests):  # type: ignore[no-untyped-def]
        from synth.backend import Completion

        for request in requests:
            yield (
                Completion(request=request, text=self.text, finish_reason="stop", model="echo")
                if not self.fails
                else (Completion(request=request, error="planted"))
            )


def context(step: str = "step", *, backend: Backend | None = None, seed: int = 7) -> Context:
    """A context with a corpus, an embedder called `letters` and, for any role, a backend that answers."""
    corpus = Corpus(documents())
    answering = backend or Echo()
    return Context(
        step=step,
        seed=seed,
        backends={"writer": answering, "judge": answering},
        embedders={"letters": _letters()},
        corpus_of=lambda: corpus,
    )


@cache
def _letters() -> "Embedder":
    """A tiny embedder that knows the letters of the corpus."""
    from tests.letters import embedder

    return embedder([document.text for document in documents()])


def outcomes(stage: Stage, rows: Iterable[Example], ctx: Context | None = None) -> list[Example | Dropped]:
    """What a stage makes of rows."""
    return list(stage.run(RowList(rows), ctx or context()))


def answers_for_every_row(stage: Stage, rows: Sequence[Example]) -> None:
    """A filter gives each row it was given, once: kept or dropped."""
    ids = [o.example.id if isinstance(o, Dropped) else o.id for o in outcomes(stage, rows)]
    assert sorted(ids) == sorted(row.id for row in rows), "a filter gives each row back, kept or dropped, exactly once"


def settles_every_row(stage: Stage, rows: Sequence[Example]) -> None:
    """A maker keeps each row, makes a child of it, or drops it."""
    settled: set[str] = set()
    for outcome in outcomes(stage, rows):
        row = outcome.example if isinstance(outcome, Dropped) else outcome
        settled |= {row.id, *row.parents}
    missing = {row.id for row in rows} - settled
    assert not missing, f"{len(missing)} rows came in and have no fate"


def reasons_are_slugs(stage: Stage, rows: Sequence[Example]) -> None:
    """A reason is a noun that reports can count."""
    for outcome in outcomes(stage, rows):
        if isinstance(outcome, Dropped):
            assert re.fullmatch(r"[a-z][a-z0-9_]*", outcome.reason), f"{outcome.reason!r} is no slug"


def edits_only_scores(stage: Stage, rows: Sequence[Example]) -> None:
    """A filter changes nothing of a row but its meta and its documents' scores."""
    before = {row.id: _bare(row) for row in rows}
    for outcome in outcomes(stage, rows):
        row = outcome.example if isinstance(outcome, Dropped) else outcome
        assert _bare(row) == before[row.id], "a filter edits nothing but meta and scores"


def _bare(row: Example) -> Example:
    bare = [
        tuple(replace(d, scores={}, meta={}, relevance=None) for d in group) for group in (row.positives, row.negatives)
    ]
    return replace(row, positives=bare[0], negatives=bare[1], meta={})


def order_changes_nothing(stage: Stage, rows: Sequence[Example]) -> None:
    """The same seed gives the same outcomes for rows in any order."""
    first = sorted(map(repr, outcomes(stage, rows)))
    shuffled = list(rows)
    random.Random(3).shuffle(shuffled)
    assert sorted(map(repr, outcomes(stage, shuffled))) == first, "the outcome depends on the order of the rows"
    assert sorted(map(repr, outcomes(stage, rows))) == first, "the outcome differs from run to run"


def documented(part: type[BaseModel]) -> None:
    """Module, class and public methods say what they are for; each option has a description."""
    module = inspect.getmodule(part)
    assert module is not None
    assert inspect.getdoc(module), f"{module.__name__} has no docstring"
    assert part.__doc__, f"{part.__name__} has no docstring"
    assert part.__doc__ != BaseModel.__doc__, f"{part.__name__} has no docstring of its own"
    for name, field in part.model_fields.items():
        assert field.description, f"{part.__name__}.{name} has no description"
        assert name not in YAML_WORDS, f"{name!r} is a boolean to some YAML readers"


def named_after_its_file(part: type[BaseModel]) -> None:
    """`near_dedup.py` holds `NearDedup`."""
    stem = Path(inspect.getfile(part)).stem
    assert part.__name__.lower() == stem.replace("_", ""), f"{stem}.py holds {part.__name__}"


def one_completion_a_request(backend: Backend) -> None:
    """As many completions as requests, each for one of them; and none raises."""
    asked = [Request(id=str(n), messages=(Message("user", f"question {n}"),), schema=SCHEMA) for n in range(5)]
    answered = [completion.request.id for completion in backend.complete(iter(asked))]
    assert sorted(answered) == [request.id for request in asked], "each request gets exactly one completion"


SCHEMA = {
    "type": "object",
    "properties": {"query": {"type": "string"}},
    "required": ["query"],
    "additionalProperties": False,
}


def house_rules(path: Path) -> list[str]:
    """What of the house's rules a Python file breaks, a line each."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    broken = [f"{path}: a file without a name of its own"] if path.stem in HOMELESS else []
    if text.count("\n") > 400:
        broken.append(f"{path}: longer than 400 lines")
    if not ast.get_docstring(tree):
        broken.append(f"{path}: the module does not say what it is for")
    broken.extend(f"{path}: {name} has no docstring" for name in _undocumented(tree))
    for node in ast.walk(tree):
        broken.extend(f"{path}:{getattr(node, 'lineno', 0)}: {said}" for said in _breaks(node))
    if path.name not in EXTENDS_TORCH:
        broken.extend(f"{path}:{n.lineno}: {name} is imported at the top" for n in tree.body for name in _heavy(n))
    return broken


def _undocumented(body: ast.Module | ast.ClassDef) -> Iterable[str]:
    """Public functions, classes and methods without a docstring; what is inside private ones is free."""
    for node in body.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node)


def _breaks(node: ast.AST) -> Iterable[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 40:
        yield f"{node.name} is longer than 40 lines"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}:
        yield f"{node.func.id}() is never used"
    if isinstance(node, ast.ExceptHandler) and _blanket(node) and not _raises(node):
        yield "a blanket except"
    if isinstance(node, ast.Global):
        yield "nothing is global"


def _blanket(node: ast.ExceptHandler) -> bool:
    names = {"Exception", "BaseException"}
    return node.type is None or bool(names & {ast.unparse(n) for n in ast.walk(node.type) if isinstance(n, ast.Name)})


def _raises(node: ast.ExceptHandler) -> bool:
    """True for a handler that carries what it caught to where it is raised."""
    return any(isinstance(inner, ast.Raise) for inner in ast.walk(node)) or "self._errors.append" in ast.unparse(node)


def prints(path: Path) -> bool:
    """True for a file that prints: stages, filters and backends never do."""
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    return any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls)


def _heavy(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [a.name for a in node.names if a.name.split(".")[0] in set(HEAVY) - {"numpy"}]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module] if node.module.split(".")[0] in set(HEAVY) - {"numpy"} else []
    return []
