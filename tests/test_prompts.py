"""Every shipped prompt renders with exactly what its header declares, in any script, and asks for what it returns."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from synth.answers import Answer, read_answer
from synth.axes import Axes
from synth.backend import Completion, Request
from synth.backends.scripted import Scripted
from synth.prompt import Prompt
from synth.stage import Context

FOLDER = Path(__file__).parent.parent / "prompts"
NAMES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.jinja"))
SCRIPTS = (
    "Der Fluß schwillt an. Ärger!",
    "Мост открыли весной.",
    "القاهرة مدينة كبيرة ١٢",
    "गंगा हिमालय से निकलती है।",
    "猫が窓のそばで眠っている。",
    "ภาษาไทยไม่เว้นวรรค",
    "שָׁלוֹם \u202eabc\u202c e\u0301",
)


LISTS = {"known", "personas", "neighbours", "queries", "requirements", "texts", "labels"}
"""What prompts read that is a list of texts."""
OF_PARTS = {
    "documents": ("text",),
    "negatives": ("text",),
    "examples": ("document", "query"),
}
"""What they read that is a list of things with parts."""


def filled(prompt: Prompt, text: str = "mark") -> dict[str, Any]:
    """A different value for each name, each with `text` in it."""
    plain = prompt.name.startswith("judge/")
    return {name: value_of(name, f"«{name}» {text}", plain=plain) for name in prompt.declared}


def value_of(name: str, text: str, *, plain: bool) -> Any:
    """A judge's `documents` are one text; a writer's are several with parts."""
    if name in OF_PARTS and not plain:
        return [defaultdict(str, dict.fromkeys(OF_PARTS[name], text))]
    return [text] if name in LISTS else text


def empty_of(name: str) -> Any:
    return [] if name in {*LISTS, *OF_PARTS} else ""


def words(prompt: Prompt, values: dict[str, Any]) -> str:
    return "\n".join(message.content for message in prompt.render(values))


def test_there_are_prompts() -> None:
    assert {"grounded/question", "judge/relevance"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_declared_value_stands_in_the_messages_and_counts(name: str) -> None:
    prompt = Prompt.load(name)
    plain = filled(prompt)
    for declared in prompt.declared:
        assert f"«{declared}» mark" in words(prompt, plain)
        without = words(prompt, plain | {declared: empty_of(declared)})
        assert f"«{declared}»" not in without
        assert "{{" not in without
        assert "{%" not in without


@pytest.mark.parametrize("text", SCRIPTS)
@pytest.mark.parametrize("name", NAMES)
def test_every_script_comes_through_unharmed(name: str, text: str) -> None:
    prompt = Prompt.load(name)
    said = words(prompt, filled(prompt, text))
    assert said.count(text) >= len(prompt.declared)


@pytest.mark.parametrize("name", NAMES)
def test_each_value_of_each_axis_can_be_filled_in(name: str) -> None:
    prompt = Prompt.load(name)
    for axis, values in prompt.header.axes.items():
        assert len(values) > 1, f"{axis} has nothing to draw from"
        for value in values.values():
            assert value.means in words(prompt, filled(prompt) | {axis: value.means})


@pytest.mark.parametrize("name", NAMES)
def test_the_words_name_each_field_that_is_to_be_returned(name: str) -> None:
    prompt = Prompt.load(name)
    said = words(prompt, filled(prompt))
    assert "JSON" in said
    for returned in prompt.header.returns:
        assert f'"{returned}"' in said


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_fits_the_schema_is_read(name: str) -> None:
    prompt = Prompt.load(name)
    request = Request(id="x", messages=prompt.render(filled(prompt)), schema=prompt.schema)
    [made] = Scripted().complete([request])
    answer = read_answer(made, prompt.answer)
    assert isinstance(answer, Answer)
    assert list(answer.fields) == list(prompt.header.returns)
    empty = Completion(request=request, text="{}", finish_reason="stop")
    assert not isinstance(read_answer(empty, prompt.answer), Answer)


@pytest.mark.parametrize("name", NAMES)
def test_the_header_says_what_it_is_for_and_the_schema_is_json(name: str) -> None:
    prompt = Prompt.load(name)
    assert len(prompt.header.about) > 20
    assert json.loads(json.dumps(prompt.schema)) == prompt.schema
    assert all(returned.about for returned in prompt.header.returns.values())
    assert max(map(len, (FOLDER / f"{name}.jinja").read_text(encoding="utf-8").splitlines())) <= 160


@pytest.mark.parametrize("name", [name for name in NAMES if Prompt.load(name).header.axes])
def test_each_value_of_an_axis_comes_as_often_as_its_weight_says(name: str) -> None:
    header, ctx = Prompt.load(name).header, Context(step="generate", seed=7)
    axes, drawn = Axes(header), Counter[tuple[str, str]]()
    for number in range(1000):
        drawn.update(axes.drawn(lambda field, row=str(number): ctx.share(row, field)).items())  # type: ignore[misc]
    for axis, values in header.axes.items():
        total = sum(value.weight for value in values.values())
        for value, told in values.items():
            share = header.probability.get(axis, 1.0) * told.weight / total
            assert abs(drawn[axis, value] - 1000 * share) <= 4.5 * (1000 * share * (1 - share)) ** 0.5, (axis, value)
            assert drawn[axis, value] > 0 or not told.weight
