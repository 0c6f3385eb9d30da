"""Each contract goes red: a part that breaks it is planted and caught."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import Field

from synth.backend import Backend, Completion, Request
from synth.stage import Context, Stage
from synth.types import Dropped, Example, child_of
from tests import contracts as check
from tests.contracts import query_rows, source_rows


class Forgets(Stage):
    """Loses every second row."""

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        for number, row in enumerate(rows):
            if number % 2:
                yield row


class Shouts(Stage):
    """Drops with a sentence for a reason."""

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        for row in rows:
            yield Dropped(row, "Too long!")


class Edits(Stage):
    """Writes the query anew."""

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        for row in rows:
            yield replace(row, query=row.query.upper() + "?")


class Counts(Stage):
    """Keeps every second row: which ones depends on the order."""

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        for number, row in enumerate(rows):
            yield row if number % 2 else Dropped(row, "odd")


class Twice(Stage):
    """Gives a row twice."""

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        for row in rows:
            yield row
            yield Dropped(row, "again")


class Barren(Stage):
    """Makes children of some rows only."""

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        for row in list(rows)[1:]:
            yield child_of(row, "barren", 0, "a query")


class Undescribed(Stage):
    """Has an option that says nothing of itself."""

    most: int = 3

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        yield from rows


class Norwegian(Stage):
    """Has an option that YAML reads as a boolean."""

    no: int = Field(default=3, description="a number")

    def run(self, rows: Iterable[Example], ctx: Context) -> Iterator[Example | Dropped]:
        yield from rows


class Silent(Backend):
    """Leaves a request without its completion."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Completion]:
        for request in list(requests)[1:]:
            yield Completion(request=request)


@pytest.mark.parametrize(
    ("promise", "stage"),
    [
        (check.answers_for_every_row, Forgets()),
        (check.answers_for_every_row, Twice()),
        (check.reasons_are_slugs, Shouts()),
        (check.edits_only_scores, Edits()),
        (check.order_changes_nothing, Counts()),
        (check.settles_every_row, Barren()),
    ],
)
def test_a_planted_mistake_of_a_stage_is_caught(promise, stage) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AssertionError):
        promise(stage, query_rows())


@pytest.mark.parametrize("part", [Undescribed, Norwegian])
def test_a_planted_mistake_of_an_option_is_caught(part: type[Stage]) -> None:
    with pytest.raises(AssertionError):
        check.documented(part)


def test_a_class_that_is_not_named_after_its_file_is_caught() -> None:
    with pytest.raises(AssertionError):
        check.named_after_its_file(Forgets)


def test_a_backend_that_leaves_a_request_out_is_caught() -> None:
    with pytest.raises(AssertionError):
        check.one_completion_a_request(Silent())


@pytest.mark.parametrize(
    "code",
    [
        '"""Doc."""\neval("1")\n',
        '"""Doc."""\ntry:\n    pass\nexcept Exception:\n    pass\n',
        '"""Doc."""\ntry:\n    pass\nexcept (ValueError, BaseException):\n    pass\n',
        '"""Doc."""\nimport torch\n',
        '"""Doc."""\nfrom sentence_transformers import SentenceTransformer\n',
        '"""Doc."""\ndef public():\n    return 1\n',
        '"""Doc."""\ndef _long():\n' + "    x = 1\n" * 45,
        '"""Doc."""\n' + "x = 1\n" * 450,
        "x = 1\n",
    ],
)
def test_a_planted_break_of_a_house_rule_is_caught(code: str, tmp_path: Path) -> None:
    file = tmp_path / "planted.py"
    file.write_text(code)
    assert check.house_rules(file)


def test_a_part_that_prints_is_caught(tmp_path: Path) -> None:
    file = tmp_path / "loud.py"
    file.write_text("def run():\n    print(1)\n")
    assert check.prints(file)


def test_a_file_without_a_name_of_its_own_is_caught(tmp_path: Path) -> None:
    file = tmp_path / "utils.py"
    file.write_text('"""Doc."""\n')
    assert check.house_rules(file)


def test_a_good_part_passes_every_contract() -> None:
    from pathlib import Path

    from synth.registry import find_stage

    stage = find_stage("length", Path())()
    check.answers_for_every_row(stage, query_rows())
    check.order_changes_nothing(stage, source_rows())
    check.documented(type(stage))
