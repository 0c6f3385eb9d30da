"""What all commands share: the app they belong to, the options that several have, and how they print."""

import sys
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from rich.console import Console

ANSWERS: ContextVar[TextIO] = ContextVar("answers")
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
Replies = Annotated[Path | None, typer.Option(help="Where models' replies are kept (default: beside the run).")]
Output = Annotated[Path | None, typer.Option(help="Where it goes.")]


def stderr() -> "Console":
    """A console for what is no answer: progress and the like."""
    from rich.console import Console

    return Console(stderr=True)


def tell(as_json: bool, value: Any, draw: Any) -> None:
    """Print the JSON object, or draw it for a person."""
    if as_json:
        import json

        print(json.dumps(value, ensure_ascii=False), file=ANSWERS.get(), flush=True)
        return
    from rich.console import Console

    draw(Console(highlight=False, markup=False, emoji=False))


def say(as_json: bool, text: str) -> None:
    """Tell a person something beside the answer."""
    if not as_json:
        print(text, file=sys.stderr)


def lines(console: "Console", lines: Any) -> None:
    """Print lines as they are, each escaped."""
    from synth.terminal import shown

    for line in lines:
        console.print(shown(str(line)) if "\n" not in str(line) else line, soft_wrap=True)


def pairs(console: "Console", told: dict[str, Any]) -> None:
    """Print names and values, a pair a line."""
    for name, value in told.items():
        console.print(f"{name:<12} {value}", soft_wrap=True)
