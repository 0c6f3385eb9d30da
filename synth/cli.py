"""The command line: a command parses, calls one function, prints. Rows and figures go to standard output, the rest to
standard error. Exit codes: 0 fine, 1 our bug, 2 yours to mend, 3 stopped by a budget.
"""

import errno
import gc
import os
import sys
from contextlib import nullcontext, redirect_stdout
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from synth.errors import SynthError

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
"""The exit code of Ctrl-C."""
_ANSWERS: ContextVar[TextIO] = ContextVar("answers")
"""Standard output as it was when the command began."""

app = typer.Typer(
    help="Make training data for text embedders, check it, and prove it by training on it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Recipe = Annotated[str, typer.Argument(help="A recipe's file, or the name of a shipped one.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder, or outputs/ for its latest run.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="step.option=value, or key=value; again for more.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Read at most this many documents.")]
Output = Annotated[Path | None, typer.Option(help="Where it goes.")]


def main() -> None:
    """Run the command line; a mistake the user can mend is one line on standard error."""
    _ANSWERS.set(sys.stdout)
    # A thread that waits for servers gets its turn soon, though another counts: the default of 5 ms for each of its
    # calls to the system left a run with 33 requests a second while documents were read beside it.
    sys.setswitchinterval(0.002)
    gc.set_threshold(10_000, 20, 20)  # looking for cycles as often as Python does takes a tenth of a run
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads of torch that wait leave the cores to who works
    try:
        # With --json, whatever a library prints goes to standard error: standard output holds one object.
        with redirect_stdout(sys.stderr) if "--json" in sys.argv else nullcontext():
            app()
    except SynthError as error:
        sys.exit(_complain(str(error), error.exit_code))
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        sys.exit(_complain("no space left on the device for what is printed", SynthError.exit_code))
    except SystemExit as end:
        if end.code == INTERRUPTED:
            _complain("stopped; the same command goes on from here", INTERRUPTED)
        raise


def _complain(text: str, code: int) -> int:
    from synth.terminal import shown

    print(f"synth: {' '.join(shown(text).split())}", file=sys.stderr)
    return code


@app.command()
def run(
    recipe: Recipe,
    set_: Set = None,
    limit: Limit = None,
    output: Annotated[Path | None, typer.Option(help="The run folder (default: outputs/RECIPE-HASH).")] = None,
    strict: Annotated[bool, typer.Option(help="A document that cannot be read is an error.")] = False,
    publish: Annotated[bool, typer.Option(help="Push where the recipe's `publish:` says.")] = False,
    replies: Annotated[
        Path | None, typer.Option(help="Where models' replies are kept (default: outputs/replies.sqlite).")
    ] = None,
    partial: Annotated[
        bool, typer.Option(help="Where the budget ends, finish the later steps with what there is.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the rows of a recipe, filter, export, train and evaluate them. The same command again goes on where it was.

    Example: synth run extract --set corpus=./my-documents
    """
    from synth.build import REPLIES, build
    from synth.progress import Show
    from synth.recipe import load

    loaded = replace(load(recipe, set_ or (), limit=limit, strict=strict), partial=partial)
    done = build(loaded, output, Show(_stderr()), replies=replies or REPLIES, publish=publish)
    _tell(as_json, done.summary(), done.print)


@app.command()
def init(
    corpus: Annotated[str, typer.Argument(help="A folder, a file, a BEIR folder or hf://owner/name.")],
    output: Annotated[Path, typer.Option(help="The recipe to write.")] = Path("recipe.yaml"),
    writer: Annotated[bool, typer.Option(help="A recipe in which an LLM writes the queries.")] = False,
    as_json: Json = False,
) -> None:
    """Look at a corpus and write a recipe for it.

    Example: synth init ./my-documents --output my.yaml
    """
    from synth.survey import init as survey_and_write

    found = survey_and_write(corpus, output, writer)
    _tell(as_json, found.to_json() | {"recipe": str(output)}, lambda console: _lines(console, found.lines()))
    _say(as_json, f"wrote {output}; next: synth run {output}")


@app.command()
def check(recipe: Recipe, set_: Set = None, limit: Limit = None, as_json: Json = False) -> None:
    """Build every step, render the first prompts, and tell requests and tokens. Nothing is spent.

    Example: synth check domain --set corpus=./my-documents
    """
    from synth.check import check as look_ahead
    from synth.recipe import load

    plan = look_ahead(load(recipe, set_ or (), limit=limit))
    _tell(as_json, plan.to_json(), plan.print)


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(help="recipes, prompts, stages, filters or backends; all of them unless named.")
    ] = "",
    as_json: Json = False,
) -> None:
    """List what there is to use, a line each.

    Example: synth list filters
    """
    from synth.catalogue import entries, print_entries

    found = entries(kind)
    _tell(as_json, found, lambda console: print_entries(found, console))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A recipe, prompt, stage, filter or backend.")], as_json: Json = False
) -> None:
    """Show a part: its options and their defaults, or a recipe's or prompt's text.

    Example: synth show near_dedup
    """
    from synth.catalogue import describe

    found = describe(name)
    _tell(as_json, found.to_json(), lambda console: _lines(console, found.lines()))


@app.command("copy")
def copy_(
    name: Annotated[str, typer.Argument(help="A shipped recipe or prompt.")],
    dest: Annotated[Path, typer.Argument(help="The folder to copy it into.")],
    as_json: Json = False,
) -> None:
    """Copy a shipped recipe with its prompts, or a prompt, to own and change.

    Example: synth copy domain my-project
    """
    from synth.catalogue import copy_part

    written = copy_part(name, dest)
    _tell(as_json, {"written": [str(path) for path in written]}, lambda console: _lines(console, map(str, written)))


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
    _tell(as_json, seen.to_json(), seen.print)


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
    _tell(as_json, told, lambda console: _pairs(console, told))


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
    _tell(as_json, told, lambda console: _pairs(console, told))


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
    _tell(as_json, told, lambda console: _pairs(console, told))


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
        _lines(console, notes(found))

    _tell(as_json, found.to_json(), draw)


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
    _tell(as_json, {"url": url}, lambda console: _lines(console, [url]))


@app.command("replies")
def replies_(
    action: Annotated[str, typer.Argument(help="prune, export or import; what the store holds unless said.")] = "",
    file: Annotated[Path | None, typer.Argument(help="The JSONL file that export writes and import reads.")] = None,
    older_than: Annotated[int | None, typer.Option(min=0, help="prune: what came more than so many days ago.")] = None,
    model: Annotated[str, typer.Option(help="prune, export: only the replies of this model.")] = "",
    replies: Annotated[Path | None, typer.Option(help="The store; outputs/replies.sqlite unless named.")] = None,
    as_json: Json = False,
) -> None:
    """Show what the store of models' replies holds, delete old ones, or take them elsewhere to repeat a run unpaid.

    Example: synth replies export replies.jsonl
    """
    from synth.build import REPLIES
    from synth.reply_book import act

    done = act(action, replies or REPLIES, file, older_than=older_than, model=model)
    _tell(as_json, done.to_json(), done.print)


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from synth import __version__

        print(__version__)
        raise typer.Exit


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def _tell(as_json: bool, value: Any, draw: Any) -> None:
    """Print the JSON object, or draw it for a person."""
    if as_json:
        import json

        print(json.dumps(value, ensure_ascii=False), file=_ANSWERS.get(), flush=True)
        return
    from rich.console import Console

    draw(Console(highlight=False, markup=False, emoji=False))


def _say(as_json: bool, text: str) -> None:
    if not as_json:
        print(text, file=sys.stderr)


def _lines(console: "Console", lines: Any) -> None:
    from synth.terminal import shown

    for line in lines:
        console.print(shown(str(line)) if "\n" not in str(line) else line, soft_wrap=True)


def _pairs(console: "Console", told: dict[str, Any]) -> None:
    for name, value in told.items():
        console.print(f"{name:<12} {value}", soft_wrap=True)
