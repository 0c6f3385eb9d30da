"""Commands about models: train, embed, eval."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synth.commands.telling import Json, app, lines, pairs, tell

if TYPE_CHECKING:
    from rich.console import Console


@app.command()
def train(
    dataset: Annotated[Path, typer.Argument(help="A dataset folder that `synth run` or `export` wrote, or a run.")],
    output: Annotated[Path, typer.Option(help="The folder of the model.")],
    base: Annotated[str, typer.Option(help="static (from nothing), or any sentence-transformers model.")] = "static",
    seed: Annotated[int, typer.Option(min=0, help="The random integer.")] = 0,
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows (default: by base).")] = None,
    as_json: Json = False,
) -> None:
    """Train an embedder on a dataset.

    Example: synth train outputs/extract-2b7c9d10/dataset --base static --output my-model
    """
    from synth.actions import train_dataset
    from synth.training import TrainOptions

    told = train_dataset(dataset, output, TrainOptions(base=base, epochs=epochs), seed)
    tell(as_json, told, lambda console: pairs(console, told))


@app.command()
def embed(
    model: Annotated[str, typer.Argument(help="A model's folder or id.")],
    file: Annotated[Path, typer.Argument(help="Texts: a line each, or JSONL with a `text`.")],
    output: Annotated[Path, typer.Option(help="Vectors: .npy (float32, one row a text) or .parquet.")],
    queries: Annotated[bool, typer.Option(help="The texts are queries.")] = False,
    as_json: Json = False,
) -> None:
    """Turn the texts of a file into vectors.

    Example: synth embed my-model texts.txt --output vectors.npy
    """
    from synth.actions import embed_file

    told = embed_file(model, file, output, queries=queries)
    tell(as_json, told, lambda console: pairs(console, told))


@app.command("eval")
def eval_(
    model: Annotated[str, typer.Argument(help="A model's folder or id, or bm25.")],
    data: Annotated[list[str], typer.Argument(help="BEIR folders; `folder:dev` names a split.")],
    against: Annotated[list[str] | None, typer.Option(help="Another model or bm25; again for more.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a model on test sets, with intervals, and against others.

    Example: synth eval my-model ./scifact --against bm25
    """
    from synth.actions import evaluate_models
    from synth.scores import notes, table

    found = evaluate_models(model, data, against or ())

    def draw(console: "Console") -> None:
        console.print(table(found))
        lines(console, notes(found))

    tell(as_json, found.to_json(), draw)
