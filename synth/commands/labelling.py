"""Commands in which a person judges: label, judge-check."""

from pathlib import Path
from typing import Annotated

import typer

from synth.commands.telling import Json, RunFolder, app, tell


@app.command()
def label(
    run_folder: RunFolder,
    step: Annotated[str, typer.Option(help="Only rows that this step kept or dropped (default: the whole run).")] = "",
    most: Annotated[int, typer.Option(min=1, help="Pairs to ask about.")] = 150,
    output: Annotated[Path | None, typer.Option(help="The file of labels (default: labels.jsonl in the run).")] = None,
    blind: Annotated[bool, typer.Option(help="Never tell the judge's grade, not even after the verdict.")] = False,
    by: Annotated[str, typer.Option(help="Whose verdicts they are (default: the user's name).")] = "",
    as_json: Json = False,
) -> None:
    """Say how well documents answer queries, a key each: what the judge of a run is measured by.

    Example: synth label outputs/domain-1f0c22ab
    """
    from synth.label import Sitting
    from synth.label import label as ask

    done = ask(run_folder, output, Sitting(step=step, most=most, blind=blind, by=by))
    tell(as_json, done.to_json(), done.print)


@app.command("judge-check")
def judge_check(
    run_folder: RunFolder,
    labels: Annotated[Path, typer.Argument(help="A person's verdicts, from `synth label`.")],
    precision: Annotated[
        float, typer.Option(min=0.01, max=0.999, help="The share of right rows that is wanted.")
    ] = 0.9,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="How sure that must be.")] = 0.95,
    against: Annotated[
        Path | None, typer.Option(help="Another person's labels: tell how far the two agree instead.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell how far a run's judge can be believed, and the grade from which on enough rows are right.

    Example: synth judge-check outputs/domain-1f0c22ab outputs/domain-1f0c22ab/labels.jsonl --precision 0.9
    """
    from synth.judge_check import judge_check as check
    from synth.judge_check import labels_against_labels

    if against is not None:
        compared = labels_against_labels(labels, against, confidence)
        tell(as_json, compared.to_json(), compared.print)
        return
    found = check(run_folder, labels, precision, confidence)
    tell(as_json, found.to_json(), found.print)
