"""Drop rows that say the same as another one in other words, as far as an embedder can tell.

    "when does the river Nile flood"  ~  "in which month do the Nile's waters rise"      cosine 0.93

After SemDeDup (arXiv 2303.09540); questions written by models are dropped at a cosine of 0.9 elsewhere. What 0.9 means
differs from one embedder to another: to some, any two texts have 0.8. `scale: above_chance` counts from what two of the
rows have on average. To an embedder that does not know a language, all its texts may be the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from synth.stage import Context, Rows, Stage, replayable
from synth.types import Dropped, Example

if TYPE_CHECKING:
    from synth.neighbours import Near, Vectors

NARROW = 0.6
"""A mean cosine of two texts at which a threshold in plain cosines is told to be doubtful."""
TOLD_FROM = 100
"""Rows from which on it is told."""


class SemanticDedup(Stage):
    """Of rows that say the same, keep the one with the smallest id, and say which that was and the cosine.

    A row is only ever a duplicate of one that stays. Rows of another task or language are no duplicates, unless
    `within` says otherwise; rows without the text that is compared pass. Up to `most_exact` rows of one task and
    language each is compared with each; of more, with those of the `probes` clusters that are nearest, which misses
    some. Rows tagged `counterfactual` are alike by design and left alone, unless `where` says otherwise. Held in
    memory are the texts and 4 bytes times the embedder's dimensions a row, twice that for both and across, and the
    largest group once more: 1.5 GB for a million queries of 384 in one language, 3 GB at most in several.
    """

    scope: ClassVar[Literal["row", "set"]] = "set"
    default_where: ClassVar[dict[str, object]] = {"without_tag": "counterfactual"}
    fitted: ClassVar[Literal["", "row", "all"]] = "all"

    embedder: str = Field(description="the embedder that is asked, by its name in the recipe")
    field: Literal["query", "positive", "both", "across"] = Field(
        default="query",
        description="what is compared: queries; first positives; query and positive, where both must be alike; or "
        "across, queries with positives, those of other rows and the row's own",
    )
    threshold: float = Field(default=0.9, gt=0, le=1, description="cosine that makes a duplicate, on this scale")
    scale: Literal["cosine", "above_chance"] = Field(
        default="cosine",
        description="what the threshold is: a cosine, or the share of the way from the mean cosine of two texts to 1",
    )
    within: tuple[Literal["task", "language"], ...] = Field(
        default=("task", "language"), description="only rows that have these in common are compared; [] for all"
    )
    most_exact: int = Field(default=100_000, ge=0, description="rows up to which each is compared with each")
    probes: int = Field(default=8, ge=1, le=1000, description="clusters that are looked into beyond most_exact")

    def embedders_used(self) -> Sequence[str]:
        """The embedder."""
        return [self.embedder]

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Compare the texts of each group in the order of their ids, then judge each row."""
        rows = replayable(rows)
        doubles = self._doubles(rows, ctx)
        for number, row in enumerate(rows):
            detail = doubles.get(number)
            yield row if detail is None else Dropped(row, "semantic_duplicate", detail)

    def _doubles(self, rows: Rows, ctx: Context) -> dict[int, str]:
        """What is told of each duplicate, by the number of its row."""
        from synth.neighbours import embedded

        ids = rows.column("id")
        names = [self.field] if self.field in {"query", "positive"} else ["query", "positive"]
        texts = [rows.column(name) for name in names]
        numbers = [number for number in range(len(ids)) if all(column[number].strip() for column in texts)]
        if not numbers:
            return {}
        numbers.sort(key=ids.__getitem__)
        vectors = [
            embedded(ctx.embedder(self.embedder).for_all(), [column[number] for number in numbers], self._kind(name))
            for name, column in zip(names, texts, strict=True)
        ]
        least = self._least(vectors, ctx)
        groups = self._groups(rows, numbers)
        doubles: dict[int, str] = {}
        for places in groups:
            near = self._near(vectors if len(groups) == 1 else [each[places] for each in vectors], least)
            for place in (near.of >= 0).nonzero()[0].tolist():
                of = int(near.of[place])
                other = "its own positive" if of == place else ids[numbers[places[of]]]
                doubles[numbers[places[place]]] = f"cosine {near.cosine[place]:.3f} to {other}"
        return doubles

    def _kind(self, name: str) -> Literal["query", "document"]:
        """How a text is embedded: across, queries are read as documents, since they are compared with some."""
        return "query" if name == "query" and self.field != "across" else "document"

    def _least(self, vectors: "Sequence[Vectors]", ctx: Context) -> float:
        """The cosine that makes a duplicate."""
        from synth.neighbours import mean_cosine

        pairs = [(vectors[0], vectors[1])] if self.field == "across" else [(each, each) for each in vectors]
        chance = max(mean_cosine(ones, others) for ones, others in pairs)
        step = ctx.step or "semantic_dedup"
        if self.scale == "above_chance":
            if len(vectors[0]) < TOLD_FROM:
                ctx.warn(f"{step}: {len(vectors[0])} rows are few to tell what cosine two texts have by chance")
            return chance + self.threshold * (1 - chance)
        if chance > NARROW and len(vectors[0]) >= TOLD_FROM:
            ctx.warn(
                f"{step}: to {self.embedder} any two of these texts have a cosine of {chance:.2f}, so {self.threshold} "
                "may mean little: see whether `scale: above_chance` drops what you would"
            )
        return self.threshold

    def _groups(self, rows: Rows, numbers: Sequence[int]) -> list[list[int]]:
        """The places in `numbers` of the rows that are compared with each other."""
        keys = list(zip(*(rows.column(name) for name in self.within), strict=True)) if self.within else []
        groups: dict[tuple[str, ...], list[int]] = {}
        for place, number in enumerate(numbers):
            groups.setdefault(keys[number] if keys else (), []).append(place)
        return list(groups.values())

    def _near(self, vectors: "Sequence[Vectors]", least: float) -> "Near":
        """Which of the rows with these vectors repeats which."""
        from synth.neighbours import Clustered, near_earlier, pair_cosines

        if self.field != "across":
            every = Clustered(vectors, self.most_exact, self.probes)
            return near_earlier([(every, every)], least)
        own = pair_cosines(vectors[0], vectors[1])
        queries, positives = (Clustered([each], self.most_exact, self.probes) for each in vectors)
        return near_earlier([(queries, positives), (positives, queries)], least, own)
