"""Rows out of a list of topics: one for each, without document and query; later steps write about it.

- {use: from_topics, topics: [tides, bread, tax law]}
- {use: from_topics, topics: {tides: 3, bread: 1}, rows: 400}
- {use: from_topics, file: ./topics.txt, most_depth: 4}

Science > Physics > Optics   ->   topic       Optics
                                  topic_path  Science > Physics > Optics
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from synth.apportion import apportioned
from synth.documents.table_set import TableSet
from synth.errors import CorpusError
from synth.language_names import LanguageCode
from synth.lists import GivenName, check_list, lines, listed, on_one_line, unreadable
from synth.resemblance import folded
from synth.stage import Context, Stage
from synth.types import Dropped, Example, row_id
from synth.values import with_draw, with_given

USUAL = ("topic", "path", "name", "title", "text")
"""What a column of topics is called, most likely first."""


class FromTopics(Stage):
    """Make a row for each topic, which prompts read as `topic`; or `rows` in all, shared out by the topics' weights.

    A topic may stand in a tree: `topic` is the last part of its path then, `topic_path` all of it. Paths deeper than
    `most_depth` are cut to it and count once: SPEED (arXiv 2410.18634) found topics of at most 4 levels better than
    deeper ones. Topics that are the same in any case, with any spaces and punctuation, count once too. With fewer rows
    than topics of one weight, the seed decides which have one. A run that is limited makes so many rows.
    """

    topics: tuple[str, ...] | dict[str, float] = Field(
        default=(), description="topics, as a list or each with its weight"
    )
    file: str = Field(default="", description="a file of topics beside the recipe: .txt, .jsonl, .csv or .parquet")
    column: str = Field(default="", description="the table's column of topics; found by its name unless given")
    separator: str = Field(default=" > ", description='what parts a path in a tree of topics; "" where there is none')
    most_depth: int = Field(default=0, ge=0, description="deeper paths are cut to so many parts; 0: none is")
    rows: int = Field(default=0, ge=0, description="rows in all, shared out by the weights; 0: one for each topic")
    task: str = Field(default="retrieval", description="the task of the rows; `topic` where the topic is the task")
    makes: GivenName = Field(default="topic", description="the name under which prompts read it")
    language: LanguageCode = Field(default="", description="the language of the rows, where it is known")

    @field_validator("topics")
    @classmethod
    def _above_zero(cls, value: tuple[str, ...] | dict[str, float]) -> tuple[str, ...] | dict[str, float]:
        for topic, weight in _weighted(value):
            if not on_one_line(topic) or not 0 < weight < float("inf"):
                raise ValueError(f"a topic is a text with a weight above 0, not {topic!r}: {weight:g}")
        return value

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if not self.topics and not self.file:
            raise ValueError("no topics: name some in `topics`, or a `file` that holds one a line")
        if self.column and not self.file:
            raise ValueError("column: there is no `file` to have one")
        if len({weight for _, weight in _weighted(self.topics)}) > 1 and not self.rows:
            raise ValueError("topics: their weights share out `rows`: say how many there are in all")
        return self

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        """Give the rows of each topic. Raises CorpusError where there is none, or the file has no such column."""
        del rows
        groups: dict[str, list[_Topic]] = {}
        for found in self._topics(ctx):
            if isinstance(found, Dropped):
                yield found
            else:
                groups.setdefault(found.key, []).append(found)
        if not groups:
            raise CorpusError(f"{ctx.step}: {self.file}: no topic in it can be read")
        for group in groups.values():
            yield from self._duplicates(group, ctx)
        yield from self._rows([_one(group) for group in groups.values()], ctx)

    def gives(self, ctx: Context) -> Sequence[str]:
        """The topic, and its path where topics may stand in a tree."""
        del ctx
        return [self.makes, *([f"{self.makes}_path"] if self.separator else [])]

    def content_read(self, ctx: Context) -> str:
        """A hash of the file. Raises CorpusError where it is not there or has no such column."""
        found = self._file(ctx)
        if found is None:
            return ""
        check_list(found, self.column, USUAL)
        return found.content()

    def _file(self, ctx: Context) -> TableSet | None:
        return listed(self.file, ctx.source) if self.file else None

    def _topics(self, ctx: Context) -> Iterator["_Topic | Dropped"]:
        """Each topic that is named, in the options or in the file."""
        for topic, weight in _weighted(self.topics):
            yield self._topic(topic, weight)
        found = self._file(ctx)
        for line in lines(found, self.column, USUAL) if found else ():
            yield unreadable(line.place, line.fault, ctx) if line.fault else self._topic(line.text, 1.0)

    def _topic(self, text: str, weight: float) -> "_Topic":
        text = on_one_line(text)
        parts = [part.strip() for part in text.split(self.separator)] if self.separator else [text]
        parts = [part for part in parts if part] or [text]
        if self.most_depth:
            parts = parts[: self.most_depth]
        return _Topic("\0".join(map(folded, parts)), self.separator.join(parts), parts[-1], text, weight)

    def _duplicates(self, group: Sequence["_Topic"], ctx: Context) -> Iterator[Dropped]:
        """Of a topic that stands there several times, all but the first by its letters."""
        first, *others = sorted(group)
        for number, other in enumerate(others, 1):
            row = self._row(other, number, ctx, "duplicate_topic")
            yield Dropped(row, "duplicate_topic", f"{other.text!r} is {first.path!r}, which is there already")

    def _rows(self, topics: Sequence["_Topic"], ctx: Context) -> Iterator[Example]:
        """The rows of each topic: as many as its weight says, each another draw, so that a writer is asked anew."""
        drawn = sorted(topics, key=lambda topic: (ctx.share(topic.key), topic.key))
        total = self.rows or len(drawn)
        if ctx.source.limit is not None:
            total = min(total, ctx.source.limit)
        weights = [topic.weight if self.rows else 1.0 for topic in drawn]
        counts = apportioned(weights, total)
        if none := counts.count(0):
            ctx.count("topics_left_out", none)
        for topic, count in zip(drawn, counts, strict=True):
            yield from (self._row(topic, draw, ctx) for draw in range(count))

    def _row(self, topic: "_Topic", draw: int, ctx: Context, fate: str = "") -> Example:
        values = {self.makes: topic.name} | ({f"{self.makes}_path": topic.path} if self.separator else {})
        row = Example(
            id=row_id(ctx.step, draw, topic.key, [fate] if fate else []),
            task=topic.name if self.task == "topic" else self.task,
            language=self.language,
        )
        row = with_given(row, values)
        return with_draw(row, draw) if draw and not fate else row


class _Topic(NamedTuple):
    """A topic: what it counts as, its path, its last part, how it was written, and its weight."""

    key: str
    path: str
    name: str
    text: str
    weight: float


def _weighted(topics: tuple[str, ...] | dict[str, float]) -> list[tuple[str, float]]:
    """Each topic with its weight, which is 1 in a list."""
    return list(topics.items()) if isinstance(topics, dict) else [(topic, 1.0) for topic in topics]


def _one(group: Sequence[_Topic]) -> _Topic:
    """The topic that a group of equal ones is: its first spelling, and the largest of their weights."""
    return min(group)._replace(weight=max(topic.weight for topic in group))
