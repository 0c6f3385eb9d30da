"""Commands that make: run, init, check, list, show, copy, replies."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from synth.commands.telling import Json, Limit, Recipe, Set, app, lines, say, stderr, tell


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
    done = build(loaded, output, Show(stderr()), replies=replies or REPLIES, publish=publish)
    tell(as_json, done.summary(), done.print)


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
    tell(as_json, found.to_json() | {"recipe": str(output)}, lambda console: lines(console, found.lines()))
    say(as_json, f"wrote {output}; next: synth run {output}")


@app.command()
def check(
    recipe: Recipe,
    set_: Set = None,
    limit: Limit = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Show prompts whole, not only how they begin and end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build every step, show a prompt of each, and tell requests, tokens and money. Nothing is spent.

    Example: synth check domain --set corpus=./my-documents
    """
    from synth.check import check as look_ahead
    from synth.recipe import load

    plan = look_ahead(load(recipe, set_ or (), limit=limit))
    tell(as_json, plan.to_json(), lambda console: plan.print(console, whole=whole))


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
    told = {each: {name: entry.to_json() for name, entry in parts.items()} for each, parts in found.items()}
    tell(as_json, told, lambda console: print_entries(found, console))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A recipe, prompt, stage, filter or backend; or KIND/NAME.")],
    as_json: Json = False,
) -> None:
    """Show a part: its options and their defaults; of a recipe or a prompt what it does, and its text.

    Example: synth show near_dedup
    """
    from synth.described import describe

    found = describe(name)
    tell(as_json, found.to_json(), found.print)


@app.command("copy")
def copy_(
    name: Annotated[str, typer.Argument(help="A shipped recipe or prompt.")],
    dest: Annotated[Path, typer.Argument(help="The folder to copy it into.")],
    as_json: Json = False,
) -> None:
    """Copy a shipped recipe with its prompts and data, or a prompt, to own and change.

    Example: synth copy domain my-project
    """
    from synth.copying import copy_part

    written = copy_part(name, dest)
    tell(as_json, {"written": [str(path) for path in written]}, lambda console: lines(console, map(str, written)))


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
    tell(as_json, done.to_json(), done.print)
