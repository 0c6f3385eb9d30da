"""Commands that read what a run made: look, export, push."""

from typing import Annotated

import typer

from synth.commands.telling import Json, Output, Replies, RunFolder, app, lines, pairs, stderr, tell


@app.command()
def look(
    run_folder: RunFolder,
    step: Annotated[str, typer.Option(help="The step whose rows are shown (default: the last).")] = "",
    dropped: Annotated[str, typer.Option(help="Show what was dropped for this reason; `all` for any.")] = "",
    row: Annotated[str, typer.Option(help="Show one row whole: an id, or how it begins.")] = "",
    most: Annotated[int, typer.Option(min=1, help="Rows to show.")] = 5,
    as_json: Json = False,
) -> None:
    """Show rows of a run, and the way each one took.

    Example: synth look outputs/domain-1f0c22ab --dropped inconsistent
    """
    from synth.look import look as find

    seen = find(run_folder, step=step, dropped=dropped, row=row, most=most)
    tell(as_json, seen.to_json(), seen.print)


@app.command()
def explain(
    run_folder: RunFolder,
    row: Annotated[str, typer.Argument(help="A row's id, or how it begins.")],
    replies: Replies = None,
    as_json: Json = False,
) -> None:
    """Tell one row's whole life: its document, prompts, replies, tokens, scores, kin and fate.

    Example: synth explain outputs/domain-1f0c22ab 41ab
    """
    from synth.explain import explain as tell_of

    told = tell_of(run_folder, row, replies)
    tell(as_json, told.to_json(), told.print)


@app.command()
def rethreshold(
    run_folder: RunFolder,
    overrides: Annotated[list[str], typer.Argument(help="step.option=value; again for more.")],
    output: Output = None,
    replies: Replies = None,
    as_json: Json = False,
) -> None:
    """Show what other thresholds would keep, from the replies that are there; nothing is sent.

    Example: synth rethreshold outputs/domain-1f0c22ab judge.least=3
    """
    from synth.progress import Show
    from synth.rethreshold import rethreshold as try_out

    told = try_out(run_folder, overrides, output, replies, Show(stderr()))
    tell(as_json, told.to_json(), told.print)


@app.command()
def export(
    run_folder: RunFolder,
    format_: Annotated[str, typer.Option("--format", help="dataset, pairs, triplets or beir.")] = "dataset",
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Write a run's rows in a trainer's format.

    Example: synth export outputs/extract-2b7c9d10 --format triplets
    """
    from synth.actions import export_run

    told = export_run(run_folder, format_, output)
    tell(as_json, told, lambda console: pairs(console, told))


@app.command()
def push(
    run_folder: RunFolder,
    repo: Annotated[str, typer.Argument(help="owner/name on the Hugging Face Hub.")],
    what: Annotated[str, typer.Option(help="dataset or model.")] = "dataset",
    public: Annotated[bool, typer.Option(help="Anyone may see it.")] = False,
    as_json: Json = False,
) -> None:
    """Push a run's dataset with its card, or its model, to the Hugging Face Hub.

    Example: synth push outputs/extract-2b7c9d10 me/my-dataset
    """
    from synth.actions import push_run

    url = push_run(run_folder, repo, what, private=not public)
    tell(as_json, {"url": url}, lambda console: lines(console, [url]))
