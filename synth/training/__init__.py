"""From rows to an embedder: what can be set, and what comes back. Importing this loads no torch.

train: {base: static}                                    a vocabulary and vectors from the corpus alone, on any CPU
train: {base: intfloat/multilingual-e5-small}            a pretrained model, trained further
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field

from synth.errors import RecipeError

STATIC = "static"


class Schedule(NamedTuple):
    """What is trained with where nothing else is said."""

    epochs: float
    batch: int
    learning_rate: float
    scale: float
    most_rows: int | None
    matryoshka: tuple[int, ...]


STATIC_SCHEDULE = Schedule(1, 512, 0.05, 8.0, None, (256, 128, 64))
"""Chosen on dev sets; `benchmarks/LOG.md` has the trials."""

TRANSFORMER_SCHEDULE = Schedule(1, 32, 2e-5, 20.0, 10_000, ())


class TrainOptions(BaseModel):
    """How an embedder is trained. What is None takes the default of its base (`schedule`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = Field(
        default=STATIC, min_length=1, description="static (from the corpus alone), or a sentence-transformers model"
    )
    epochs: float | None = Field(default=None, gt=0, le=1000, description="passes over the rows; 1")
    batch: int | None = Field(
        default=None, ge=2, description="rows of one step, each a negative of the others; static: 512, else 32"
    )
    learning_rate: float | None = Field(
        default=None, gt=0, description="the highest rate, after the warm-up; static: 0.05, else 2e-5"
    )
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps in which the rate rises")
    scale: float | None = Field(
        default=None, gt=0, description="what cosines are multiplied by, 1 / temperature; static: 8, else 20"
    )
    symmetric: bool = Field(default=False, description="documents must find their query, too")
    matryoshka: tuple[int, ...] | None = Field(
        default=None, description="shorter lengths that the vectors can be cut to; static: 256, 128, 64, else none"
    )
    most_rows: int | None = Field(
        default=None, ge=2, description="rows trained on, drawn evenly; static: all, else 10,000"
    )
    most_tokens: int | None = Field(
        default=None, ge=8, description="tokens of a text that a transformer reads; its own limit if unset"
    )
    dims: int = Field(default=512, ge=8, le=8192, description="length of a static model's vectors")
    vocabulary: int = Field(default=30_000, ge=100, description="most pieces of a static model's vocabulary")
    start: Literal["lsa", "random"] = Field(
        default="lsa", description="a static model's first weights: what the corpus tells of each piece, or random"
    )

    def beside(self, folder: Path, place: str) -> Self:
        """The options with a base that is a folder as it is found from `folder`, where its recipe stands.

        Raises RecipeError, which begins with `place`, for a base that looks like a folder and is none.
        """
        found = folder / Path(self.base).expanduser()
        if self.base != STATIC and found.is_dir():
            return self.model_copy(update={"base": str(found)})
        if self.base.startswith((".", "/", "~")):
            raise RecipeError(f"{place}: train: base: there is no model in {found}")
        return self

    def schedule(self) -> Schedule:
        """The options with the defaults of the base filled in."""
        default = STATIC_SCHEDULE if self.base == STATIC else TRANSFORMER_SCHEDULE
        given = {name: getattr(self, name) for name in Schedule._fields}
        return default._replace(**{name: value for name, value in given.items() if value is not None})


class Before(NamedTuple):
    """What there was before training.

    `untrained` is the base: a folder with random weights for a static base, else the base's name. `start` is the folder
    of a static model that knows what the corpus alone tells and has seen no row, "" where there is none: what the rows
    bought is the gain over that.
    """

    untrained: str
    start: str = ""


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training left.

    `loss` is the mean over all steps.
    """

    model: Path
    before: Before
    rows: int
    steps: int
    seconds: float
    loss: float
