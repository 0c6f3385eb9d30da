"""What similarity keeps and drops, with a real embedder."""

import pytest
from pydantic import ValidationError

from synth.filters.similarity import Similarity
from synth.stage import Context, RowList
from synth.types import Document, Dropped, Example
from tests.letters import embedder

TEXTS = ("the river floods", "kettles boil water", "violins of spruce", "old bicycles rust")
CONTEXT = Context(embedders={"letters": embedder(TEXTS)})


def rows() -> RowList:
    """Four rows whose positive says the same, and one whose positive is about something else."""
    near = [Example(id=str(n), query=text, positives=(Document(text),)) for n, text in enumerate(TEXTS)]
    return RowList([*near, Example(id="far", query=TEXTS[0], positives=(Document(TEXTS[2]),))])


def judged(**options: object) -> list[Example | Dropped]:
    return list(Similarity.model_validate({"embedder": "letters", **options}).run(rows(), CONTEXT))


@pytest.mark.parametrize(
    "options", [{"least": 0.95}, {"worst": 0.2}, {"least": -1, "worst": 0.2}, {"least": 0.95, "worst": 0.01}]
)
def test_a_positive_that_is_about_something_else_goes(options: dict[str, object]) -> None:
    *near, far = judged(**options)
    assert all(isinstance(each, Example) and each.positive.scores["cosine"] == pytest.approx(1) for each in near)
    assert isinstance(far, Dropped)
    assert far.reason == "dissimilar"
    assert far.detail.startswith("cosine 0.") or far.detail.startswith("cosine -0.")
    assert far.example.positive.scores["cosine"] < 0.95


def test_rows_that_tie_with_the_last_that_stays_stay() -> None:
    same = RowList(Example(id=str(n), query=TEXTS[0], positives=(Document(TEXTS[0]),)) for n in range(10))
    kept = list(Similarity(embedder="letters", worst=0.5).run(same, CONTEXT))
    assert all(isinstance(each, Example) for each in kept)


def test_what_cannot_be_measured_passes_untouched() -> None:
    bare = [Example(id="a", query="x"), Example(id="b", positives=(Document("x"),))]
    assert list(Similarity(embedder="letters", least=1).run(RowList(bare), CONTEXT)) == bare
    assert list(Similarity(embedder="letters", worst=0.5).run(RowList([]), CONTEXT)) == []


@pytest.mark.parametrize("options", [{}, {"least": 2}, {"worst": 0}, {"worst": 1}, {"least": "much"}])
def test_a_wrong_option_is_told(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Similarity.model_validate({"embedder": "letters", **options})
