"""What a model costs: as the recipe says, else as the table does; a budget in dollars needs to know."""

import re
from pathlib import Path

import pytest

from synth.backend import Backend, Price
from synth.backends.llamacpp import LlamaCpp
from synth.backends.openai import OpenAI
from synth.backends.openai_batch import OpenAIBatch
from synth.backends.scripted import Scripted
from synth.backends.vllm import VLLM
from synth.budget import Caps
from synth.errors import RecipeError
from synth.mixture import Mixture
from synth.prices import AS_OF, FREE, TABLE, check_priced, price_of

MINI = Price(prompt=0.25, completion=2.0, cached=0.025)
LAN = "http://gpu1.example/v1"


@pytest.mark.parametrize(
    "model",
    ["gpt-5-mini", "openai/gpt-5-mini", "gpt-5-mini-2025-08-07", "openai/gpt-5-mini-2025-08-07"],
)
def test_a_model_is_found_by_its_name_without_its_seller_and_its_day(model: str) -> None:
    assert price_of(OpenAI(model=model)) == MINI
    assert price_of(OpenAI(model=model, base_url="https://models.example/v1")) == MINI


def test_a_day_may_be_written_without_hyphens() -> None:
    assert price_of(OpenAI(model="claude-haiku-4-5-20251001")) == TABLE["claude-haiku-4-5"]


@pytest.mark.parametrize("model", ["gpt-5-minimal", "qwen3-8b", "gpt-5-mini:free", "", "gpt-5-mini-2"])
def test_a_model_that_is_not_listed_has_no_price(model: str) -> None:
    assert price_of(OpenAI(model=model, base_url=LAN)) is None


@pytest.mark.parametrize(
    "backend",
    [
        VLLM(model="gpt-5-mini"),
        LlamaCpp(model="gpt-5-mini"),
        Scripted(model="gpt-5-mini"),
        OpenAI(model="gpt-5-mini", base_url="http://localhost:8000/v1"),
        OpenAI(model="gpt-5-mini", base_url=("http://127.0.0.1:1/v1", "http://[::1]:2/v1")),
        OpenAIBatch(model="gpt-5-mini", offline="folder"),
    ],
    ids=lambda backend: type(backend).__name__,
)
def test_a_model_on_this_machine_costs_nothing_unless_its_price_is_given(backend: Backend) -> None:
    assert price_of(backend) == FREE
    given = Price(prompt=1, completion=2)
    assert price_of(backend.model_copy(update={"price": given})) == given


def test_a_server_elsewhere_among_several_is_not_free() -> None:
    assert price_of(OpenAI(model="qwen3-8b", base_url=("http://localhost:8000/v1", LAN))) is None


def test_a_batch_costs_half_where_it_is_one_for_sure() -> None:
    half = Price(prompt=0.125, completion=1.0, cached=0.0125)
    assert price_of(OpenAIBatch(model="gpt-5-mini")) == half
    assert price_of(OpenAIBatch(model="gpt-5-mini", base_url=LAN, fallback=False)) == half
    assert price_of(OpenAIBatch(model="gpt-5-mini", base_url=LAN)) == MINI
    assert price_of(OpenAIBatch(model="gpt-5-mini", price=MINI)) == MINI


def test_a_list_of_models_has_the_price_of_the_dearest_if_all_are_known() -> None:
    nano, mini = OpenAI(model="gpt-5-nano"), OpenAI(model="gpt-5-mini")
    assert price_of(Mixture.over([(1, nano), (1, mini)])) == MINI
    assert price_of(Mixture.over([(1, nano), (1, OpenAI(model="qwen3-8b"))])) is None


def test_a_budget_in_dollars_names_the_model_whose_price_is_not_known() -> None:
    known, unknown = OpenAI(model="gpt-5-mini"), OpenAI(model="gpt5-mini")
    check_priced(Caps(usd=1), {"writer": known})
    check_priced(Caps(tokens=1), {"writer": unknown})
    with pytest.raises(RecipeError, match=r"backend judge: .*'gpt5-mini'.*did you mean 'gpt-5-mini'.*judge\.price"):
        check_priced(Caps(usd=1), {"writer": known, "judge": unknown})
    with pytest.raises(RecipeError, match="price of 'qwen3-8b'"):
        check_priced(Caps(usd=1), {"writer": Mixture.over([(1, known), (1, OpenAI(model="qwen3-8b"))])})


def test_the_table_is_small_dated_and_makes_sense() -> None:
    assert 20 <= len(TABLE) <= 40
    assert re.fullmatch(r"20\d\d-\d\d", AS_OF)
    for name, price in TABLE.items():
        assert name == name.lower()
        assert 0 < price.prompt <= price.completion < 100, name
        assert price.cached is None or 0 < price.cached < price.prompt, name


def test_every_part_of_the_table_names_where_it_was_read() -> None:
    import synth.prices

    listed = Path(synth.prices.__file__).read_text().partition('_LISTED = """\n')[2].partition('"""')[0]
    assert listed.startswith("#")
    for line in listed.splitlines():
        if re.match(r"# [A-Z]\w+: ", line):
            assert re.search(r": [\w.-]+\.(com|dev|ai)[\w/.-]*", line), line
