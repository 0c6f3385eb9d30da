"""What a user can mend, said in one line: what was found, what was expected, what to do.

    SynthError           exit code 2
    ├── RecipeError      a recipe, a prompt's header, an option
    ├── CorpusError      documents, test sets, datasets that cannot be read
    ├── MissingExtra     a package of an extra is not installed
    ├── OutputError      a folder that cannot be written, a full disk
    ├── BackendError     a model that is not there or refuses
    └── BudgetSpent      exit code 3

Everything else that is raised is a bug, keeps its traceback and ends with exit code 1.
"""

import difflib
from collections.abc import Iterable
from importlib.util import find_spec
from typing import ClassVar


class SynthError(Exception):
    """A mistake its reader can mend. Its text is one line: place, what was found, what was expected, the cure."""

    exit_code: ClassVar[int] = 2


class RecipeError(SynthError):
    """A recipe, an option, a prompt's header or an override is wrong."""


class CorpusError(SynthError):
    """Documents, a test set or a dataset are missing, empty or cannot be read."""


class MissingExtra(SynthError):
    """A part needs a package that an extra brings."""


class OutputError(SynthError):
    """Something cannot be written where it should stand."""


class BackendError(SynthError):
    """No completion can come from this backend as it is set up."""


class BudgetSpent(SynthError):
    """The run stopped because a budget ended; running it again goes on."""

    exit_code: ClassVar[int] = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question that ends an error message, or nothing where no known name is near.

    >>> did_you_mean("geko", ["gecko", "e5"])
    "; did you mean 'gecko'?"
    >>> did_you_mean("zzz", ["gecko"])
    ''
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def need(package: str, extra: str, part: str) -> None:
    """Raise MissingExtra unless `package` can be imported. Nothing is imported."""
    if find_spec(package) is None:
        raise MissingExtra(f"{part} needs {package}: pip install 'synth-embed[{extra}]'")
