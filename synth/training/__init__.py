"""From rows to an embedder: what can be set, and what comes back. Importing this loads no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainOptions(BaseModel):
    """How an embedder is trained. What is None takes the default of its base; see `filled`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = Field(default="static", description="static (from nothing), or a sentence-transformers model or path")
    epochs: float | None = Field(default=None, gt=0, description="passes over the rows")
    batch: int | None = Field(default=None, ge=2, description="rows of one step, each the others' negatives")
    learning_rate: float | None = Field(default=None, gt=0, description="the highest rate, after the warm-up")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps in which the rate rises")
    scale: float = Field(default=20.0, gt=0, description="what cosines are multiplied by: 1 / temperature")
    symmetric: bool = Field(default=False, description="documents also look for their query")
    matryoshka: tuple[int, ...] = Field(default=(), description="shorter lengths that the vectors can be cut to")
    most_rows: int | None = Field(default=None, ge=1, description="rows trained on, drawn evenly; all if unset")
    most_tokens: int | None = Field(default=None, ge=8, description="tokens of a text that a transformer reads")
    dims: int = Field(default=512, ge=8, description="length of a static model's vectors")
    vocabulary: int = Field(default=30_000, ge=100, description="pieces of a static model's vocabulary")
    pieces: Literal["wordpiece", "unigram", "bpe"] = Field(default="wordpiece", description="how words are cut")
    power: float = Field(default=0.25, description="x")
    noise: float = Field(default=0.0, description="x")
    start: Literal["random", "idf", "lsa"] = Field(default="random", description="a static model's first weights")


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training left: the model's folder, the base as it was before (a folder or a name), and what it took."""

    model: Path
    untrained: str
    rows: int
    steps: int
    seconds: float
    loss: float
