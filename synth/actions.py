"""What the commands besides `run` do with what a run left: export, train, embed, measure, push."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.beir import read as read_test_set
from synth.build import about
from synth.card import Fate
from synth.embedder import load
from synth.errors import CorpusError, OutputError, RecipeError, did_you_mean
from synth.evaluation import compare
from synth.export import export, read_dataset
from synth.hub import push
from synth.runs import open_run
from synth.scores import Evaluation
from synth.store import locked, writing
from synth.training import TrainOptions
from synth.types import Document, Example

if TYPE_CHECKING:
    from synth.embedder import Embedder


def export_run(folder: Path, format_: str, output: Path | None) -> dict[str, Any]:
    """Write the last step's rows of a run in a format, into its folder `export` or `output`; what was written.

    The split is that of the run's own dataset.
    """
    run = open_run(folder)
    recipe = run.recipe()
    fates = [Fate(step.name, step.mark["kept"], step.mark["dropped"]) for step in run.steps]
    target = output or run.folder / "export"
    with locked(target, lambda: None):
        done = export(run.step().kept, target, [format_], seed=recipe.head.seed, about=about(recipe, fates))
    return {"folder": str(done.folder / format_), **done.counts[format_]}


def train_dataset(dataset: Path, output: Path, options: TrainOptions, seed: int) -> dict[str, Any]:
    """Train on the training split of a dataset folder, or of a run's; what came of it."""
    from synth.training.trainer import train

    folder = dataset / "dataset" if (dataset / "dataset").is_dir() else dataset
    rows = [row for part in read_dataset(folder)["train"] for row in part]
    if output.is_dir() and any(output.iterdir()) and not (output / "modules.json").is_file():
        raise OutputError(f"{output}: it holds files that are no model's; name a new or empty folder with --output")
    with writing(output):
        result = train(rows, options, output, seed, _documents(rows))
    return {
        "model": str(result.model),
        "untrained": result.before.untrained,
        "rows": result.rows,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
    }


def _documents(rows: Sequence[Example]) -> list[Document]:
    """Each document of the rows once: what a static base learns its vocabulary from."""
    found = {(d.doc_id, d.text): d for row in rows for d in (*row.positives, *row.negatives)}
    return list(found.values())


def embed_file(model: str, file: Path, output: Path, *, queries: bool) -> dict[str, Any]:
    """Write the vectors of a file's texts, float32 of shape (texts, dim), as .npy, or with their texts as .parquet."""
    if output.suffix not in {".npy", ".parquet"}:
        raise RecipeError(f"{output}: vectors go to a .npy or a .parquet file")
    texts = list(_texts(file))
    vectors = load(model).encode(texts, kind="query" if queries else "document")
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        _write_vectors(output, texts, vectors)
    return {"texts": len(texts), "dim": int(vectors.shape[1]), "output": str(output)}


def _write_vectors(output: Path, texts: Sequence[str], vectors: Any) -> None:
    if output.suffix == ".npy":
        import numpy as np

        np.save(output, vectors)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = pa.array(vectors.reshape(-1), pa.float32())
    embedding = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    pq.write_table(pa.table({"text": pa.array(texts, pa.string()), "embedding": embedding}), output)


def _texts(file: Path) -> Iterator[str]:
    """One text a line, so that the vectors stand in the order of the lines; an empty line is an error, not a gap."""
    try:
        lines = file.read_text(encoding="utf-8-sig").replace("\r\n", "\n").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{file}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise CorpusError(f"{file}:{number}: the line is empty; each line is a text to embed")
        yield _text_of(line, f"{file}:{number}") if file.suffix == ".jsonl" else line


def _text_of(line: str, place: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{place}: this is no JSON: {error}") from error
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise CorpusError(f'{place}: there is no text; a line is {{"text": "…"}}')
    return text


def evaluate_models(model: str, data: Sequence[str], against: Sequence[str]) -> Evaluation:
    """Measure a model, and others beside it, on test sets; `bm25` is BM25."""
    models: dict[str, Embedder | None] = {}
    for name in dict.fromkeys([model, *against]):
        models[name] = None if name == "bm25" else load(name)
    tests = [read_test_set(place) for place in data]
    missing = next((test for test in tests if test.documents is None), None)
    if missing is not None:
        raise CorpusError(
            f"{missing.name}: it has no corpus.jsonl to search; `synth run` measures it on its own corpus"
        )
    return compare(tests, models)


def push_run(folder: Path, repo: str, what: str, *, private: bool) -> str:
    """Push a run's dataset or model; the address it has then."""
    kinds = ("dataset", "model")
    if what not in kinds:
        raise RecipeError(f"--what {what}: must be dataset or model{did_you_mean(what, kinds)}")
    return push(open_run(folder).folder, repo, private=private, what="model" if what == "model" else "dataset")
