"""The command line: rows and figures go to standard output, the rest to standard error.

Exit codes: 0 fine, 1 our bug, 2 yours to mend, 3 stopped by a budget. The commands are in `synth/commands`.
"""

import errno
import gc
import os
import sys
from contextlib import nullcontext, redirect_stdout
from typing import Annotated

import typer

from synth.commands import labelling, making, reading, training
from synth.commands.telling import ANSWERS, app
from synth.errors import SynthError

__all__ = ["app", "labelling", "main", "making", "reading", "training"]

INTERRUPTED = 130
"""The exit code of Ctrl-C."""


def main() -> None:
    """Run the command line; a mistake the user can mend is one line on standard error."""
    ANSWERS.set(sys.stdout)
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


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from synth import __version__

        print(__version__)
        raise typer.Exit
