"""The one interface: a stage takes rows and gives rows, each kept or dropped for a reason.

Sources, makers and filters share it. A whole filter:

    class Leakage(Stage):
        most: float = Field(default=0.8, ge=0, le=1, description="largest share of the query that is copied")

        def run(self, rows, ctx):
            for row in rows:
                share = copied_share(row.query, row.positive.text)
                yield row if share <= self.most else Dropped(row, "leakage", f"{share:.0%} of the query is copied")
"""

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from synth.backend import Backend
from synth.errors import RecipeError, did_you_mean
from synth.types import Dropped, Example

if TYPE_CHECKING:
    from synth.embedder import Embedder
    from synth.retrieval import Corpus


@runtime_checkable
class Rows(Protocol):
    """Rows that can be read again and again, as a step of scope "set" gets them; never all in memory."""

    def __iter__(self) -> Iterator[Example]: ...

    def __len__(self) -> int: ...

    def column(self, name: str) -> list[str]:
        """One value a row, in the order of iteration.

        `name` is id, task, query, language, instruction, or positive: the first positive's text, "" without one.
        """
        ...


class RowList:
    """Rows held in memory, for tests and small sets."""

    def __init__(self, rows: Iterable[Example]) -> None:
        self._rows = list(rows)

    def __iter__(self) -> Iterator[Example]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, name: str) -> list[str]:
        """One value a row; see `Rows.column`."""
        return [column_value(row, name) for row in self._rows]


def column_value(row: Example, name: str) -> str:
    """What `Rows.column` gives for one row."""
    if name == "positive":
        return row.positives[0].text if row.positives else ""
    return str(getattr(row, name))


def replayable(rows: Iterable[Example]) -> Rows:
    """The rows themselves where they can be read again, else a copy of them in memory."""
    return rows if isinstance(rows, Rows) else RowList(rows)


def in_blocks(rows: Iterable[Example], size: int = 1024) -> Iterator[list[Example]]:
    """The rows in lists of so many, for models and indexes that take several at once; the last may be shorter.

    >>> [len(block) for block in in_blocks([Example(id=str(n)) for n in range(5)], 2)]
    [2, 2, 1]
    """
    several = iter(rows)
    while block := list(islice(several, size)):
        yield block


@dataclass(frozen=True, slots=True)
class Source:
    """What the top of a recipe says of its documents, for the sources to read."""

    corpus: str = ""
    folder: Path = Path()
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    strict: bool = False

    def path_of(self, name: str) -> Path:
        """A path of a recipe, which is relative to the recipe's own folder."""
        return self.folder / Path(name).expanduser()


def _no_corpus() -> "Corpus":
    from synth.retrieval import Corpus

    return Corpus([])


def _no_warning(text: str) -> None:
    del text


def _no_count(name: str, by: float = 1) -> None:
    del name, by


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the recipe and the steps before have named, handed to a step. Nothing is global.

    `given` are the names that the steps before give to rows for prompts to read, `languages` the recipe's with their
    shares. `warn` takes one line that the run repeats at its end. `count` adds to a figure of the whole step, by its
    name: `done.json`, `run.json` and the terminal show it. Rows kept and dropped are counted by the run itself.
    `folder` is the step's own, for what it makes beside rows; None in a rehearsal, where nothing is written.
    """

    step: str = ""
    seed: int = 0
    source: Source = Source()
    given: frozenset[str] = frozenset()
    languages: Mapping[str, float] = field(default_factory=dict)
    backends: Mapping[str, Backend] = field(default_factory=dict)
    embedders: Mapping[str, "Embedder"] = field(default_factory=dict)
    folder: Path | None = None
    corpus_of: Callable[[], "Corpus"] = _no_corpus
    warn: Callable[[str], None] = _no_warning
    count: Callable[[str, float], None] = _no_count

    @property
    def corpus(self) -> "Corpus":
        """The documents that the sources kept."""
        return self.corpus_of()

    def backend(self, role: str) -> Backend:
        """The backend that the recipe names so; a RecipeError that says how to get one where it names none."""
        if role not in self.backends:
            raise RecipeError(
                f"step {self.step}: no backend is called {role!r}{did_you_mean(role, self.backends)}: add "
                f"`backends: {{{role}: {{use: …, model: …}}}}` to the recipe, one of four: a hosted API "
                "(`use: openai`, its key in OPENAI_API_KEY); a server of your own, such as vLLM's, Ollama or LM Studio "
                "(`use: openai, base_url: http://localhost:8000/v1`); a model on this machine's GPU (`use: vllm`); or "
                "one that needs none (`use: llamacpp`, a GGUF file). `extract` needs no model"
            )
        return self.backends[role]

    def embedder(self, name: str, row: Example | None = None) -> "Embedder":
        """The embedder that the recipe names so, of one that `fit` made the model that has not seen `row`.

        What judges many rows says `.for_rows(rows)`, what compares them with each other `.for_all()`. A RecipeError
        where the recipe names none, or where one that `fit` made is asked as if it were one model.
        """
        if name not in self.embedders:
            raise RecipeError(f"step {self.step}: no embedder is called {name!r}{did_you_mean(name, self.embedders)}")
        found = self.embedders[name]
        return found if row is None else found.for_row(row)

    def rng(self, row: Example | str, field: str = "") -> random.Random:
        """Random numbers for one draw, by the hash of seed, step, row and field: order and resume change none."""
        return random.Random(self._hash(row, field))

    def share(self, row: Example | str, field: str = "") -> float:
        """One number of such a draw, from 0 up to but not including 1: a tenth of what `rng` takes to be made."""
        return (self._hash(row, field) >> 11) / (1 << 53)

    def _hash(self, row: Example | str, field: str) -> int:
        name = row if isinstance(row, str) else row.id
        key = "\0".join((str(self.seed), self.step, name, field)).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


class Stage(BaseModel, ABC):
    """One step of a recipe. Its fields are its options, each with a description; its file name is its name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scope: ClassVar[Literal["row", "set"]] = "row"
    """row: each row by itself, and the rows stream; set: it needs them all, as `Rows`."""

    version: ClassVar[int] = 1
    """Part of the step's key: raised when the meaning of the stage changes."""

    default_where: ClassVar[Mapping[str, object]] = {}
    """The `where:` it has unless the recipe gives one; {} for every row."""

    fitted: ClassVar[Literal["", "row", "all"]] = ""
    """How it asks its embedder, if that may be one which `fit` made: each `row`'s own model (`Embedder.for_rows`), or
    one for `all` rows (`Embedder.for_all`); "" where it may not."""

    @abstractmethod
    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Give each row its fate. A source ignores `rows`; a maker gives children and drops what has none."""

    def backends_used(self) -> Sequence[str]:
        """The roles of the backends it asks: their identity is part of its key."""
        return ()

    def weighs_with(self) -> Sequence[str]:
        """Of these, the roles whose backends must tell the log-probabilities of a prompt (`Backend.weighs_prompts`)."""
        return ()

    def embedders_used(self) -> Sequence[str]:
        """The names of the embedders it asks: part of its key."""
        return ()

    def gives(self, ctx: Context) -> Sequence[str]:
        """The names of what it gives to rows for later prompts to read (`values.py`)."""
        del ctx
        return ()

    def finds(self) -> int:
        """How many documents it adds to a row at most, for a forecast of what later steps ask about them."""
        return 0

    def shows(self, ctx: Context) -> Sequence[str]:
        """Queries that it shows to a model as examples: an evaluation leaves them out."""
        del ctx
        return ()

    def uses_languages(self) -> bool:
        """True where it draws from the recipe's `languages:`, which are then part of its key."""
        return False

    def reads_corpus(self) -> bool:
        """True where it looks at `ctx.corpus`, which is then part of its key."""
        return False

    def content_read(self, ctx: Context) -> str:
        """A hash of what it reads from disk beyond its rows (documents, prompt files); "" where it reads nothing."""
        del ctx
        return ""
