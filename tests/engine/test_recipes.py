"""Every shipped recipe against a real engine, end to end: guided noise proves the plumbing and nothing else.

One server with a context of 16k, whose words are noise of the shapes that the schemas ask for. Nothing can be said of
what is kept: noise is in no language and answers nothing. Each step must settle each row, and no request may fail.
"""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from synth.backend import Message, Request, Sampling
from synth.backends.vllm import VLLM
from synth.build import build
from synth.errors import CorpusError
from synth.progress import Show
from synth.recipe import load
from synth.runs import RunFolder
from tests.engine import tiny_models
from tests.engine.conftest import SMALL, TIGHT
from tests.plays import plays, settings

CONTEXT = 16_384
LIMIT = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, environment: None) -> Iterator[dict[str, Any]]:
    """A backend's options for the one server."""
    model = tiny_models.chat(tmp_path_factory.mktemp("long"), context=CONTEXT)
    engine = SMALL | TIGHT | {"kv_cache_memory_bytes": 512 << 20}
    backend = VLLM(model=str(model), serve=True, dtype="float32", max_model_len=CONTEXT, max_num_seqs=64, engine=engine)
    with closing(backend):
        hello = Request(id="hello", messages=(Message("user", "hello"),), sampling=Sampling(most_tokens=4))
        assert not next(iter(backend.complete([hello]))).error  # the first request starts the server
        [child] = backend.children
        yield {
            "use": "openai",
            "model": str(model),
            "base_url": f"{child.url}/v1",
            "sampling": {"most_tokens": 200, "temperature": 1.0},
        }


@pytest.mark.parametrize("name", plays())
def test_a_recipe_runs_against_a_real_engine(name: str, server: dict[str, Any], tmp_path: Path) -> None:
    recipe = load(name, settings(name, model=server), limit=LIMIT)
    with suppress(CorpusError):  # a filter may well drop all of the noise, and then `fit` has nothing to learn from
        build(recipe, tmp_path / "run", Show(), replies=tmp_path / "replies.sqlite")
    run = RunFolder(tmp_path / "run")
    fits = [step.number for step in recipe.steps if step.use == "fit"]
    assert len(run.steps) in (len(recipe.steps), *fits)
    for step in run.steps:
        for lost in step.dropped():
            assert lost.reason not in ("failed_request", "over_budget"), f"{step.name}: {lost.detail}"
            assert lost.detail or lost.reason == "exact_duplicate"
