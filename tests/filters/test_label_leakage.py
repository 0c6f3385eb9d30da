"""label_leakage: a label in the text that is to be classified gives itself away."""

import pytest

from synth.filters.label_leakage import LabelLeakage
from synth.stage import Context
from synth.types import Document, Dropped, Example


def row(query: str, label: str) -> Example:
    return Example(id="x", task="classification", query=query, positives=(Document(label),))


@pytest.mark.parametrize(
    ("query", "label", "kept"),
    [
        ("Pay at once. This is no FRAUD!", "fraud", False),
        ("Pay at once, or your water is cut off.", "fraud", True),
        ("Usiogope, huu si ulaghai.", "ulaghai", False),
        ("the brakes squeal when I stop", "brakes and steering", True),
        ("my brakes and steering feel loose", "brakes and steering", False),
        ("客户说这是一封垃圾邮件，请处理", "垃圾邮件", False),
        ("客户说邮件里有垃圾", "垃圾邮件", True),
        ("fraud", "fraud", True),
        ("", "fraud", True),
        ("a word of it " * 9, "a word of it a word of it a word of it", True),
    ],
)
def test_a_text_that_holds_its_label_is_dropped(query: str, label: str, kept: bool) -> None:
    [fate] = LabelLeakage().run([row(query, label)], Context())
    assert isinstance(fate, Example) == kept
    if isinstance(fate, Dropped):
        assert fate.reason == "label_leakage"
        assert label in fate.detail


def test_other_tasks_are_left_alone() -> None:
    assert LabelLeakage.default_where == {"task": ["classification", "long_short"]}
