"""What a recipe needs that does not come with it: documents, models, what those must be able to do, embedders, a GPU.

    domain    corpus, writer, judge
    gecko     corpus, writer, judge, log-probabilities of the prompt

It is read off the recipe's steps and their options, so that nobody has to keep a list.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synth.backend import Backend, Request
from synth.judging import Panel
from synth.prices import parts_of
from synth.recipe import Recipe, Step
from synth.stage import Context

LOGPROBS = "log-probabilities"
OF_PROMPT = "log-probabilities of the prompt"
GPU = "a GPU"
_WITHOUT_GPU = "synth.backends.llamacpp"
"""A backend that takes the accelerators there are, and needs none."""
_PATH = ("./", "../", "~/")
"""How a path begins that a recipe's user is to give."""


def of_recipe(recipe: Recipe) -> list[str]:
    """Everything, in the order in which a person would get it. Raises SynthError where a step's prompt is wrong."""
    found = [*_own_data(recipe), *(need for step in recipe.steps for need in of_step(step, recipe))]
    order = (LOGPROBS, OF_PROMPT, GPU)
    later = [need for need in order if need in found]
    return [*dict.fromkeys(need for need in found if need not in order), *later]


def of_step(step: Step, recipe: Recipe) -> list[str]:
    """What one step needs: its models by their roles, what those must tell, and its embedders."""
    roles = list(step.stage.backends_used())
    needs = [*roles, *embedders(step, recipe)]
    if weighs(step, recipe):
        needs.append(LOGPROBS)
    if step.stage.weighs_with():
        needs.append(OF_PROMPT)
    backends = [recipe.backends[role] for role in roles if role in recipe.backends]
    return needs + [need for backend in backends for need in of_backend(backend)]


def embedders(step: Step, recipe: Recipe) -> list[str]:
    """The embedders that a step asks, but for those that a step of the recipe makes itself."""
    made = {str(getattr(each.stage, "makes", "")) for each in recipe.steps if each.use == "fit"}
    return [f"embedder {name}" for name in step.stage.embedders_used() if name not in made]


def weighs(step: Step, recipe: Recipe) -> bool:
    """True where a step goes by the log-probabilities of what its model replies."""
    stage = step.stage
    if getattr(stage, "keep", "") == "best":
        return True
    if not isinstance(stage, Panel) or not stage.backends_used() or stage.weighs_with():
        return False
    by = getattr(stage, "by", getattr(stage, "scorer", "judge"))
    here = Context(step=step.name, source=recipe.source)
    return by in ("judge", "relevance") and stage.asked_of(here)[1].kind == "yes"


def of_requests(requests: Sequence[Request]) -> list[str]:
    """What a backend must be able to tell to answer these."""
    weighed = any(request.top_logprobs is not None for request in requests)
    prompts = any(request.prompt_logprobs for request in requests)
    return [LOGPROBS] * weighed + [OF_PROMPT] * prompts


def of_backend(backend: Backend) -> list[str]:
    """What a backend needs of this machine."""
    return [GPU] if any(_holds_gpu(each) for each in parts_of(backend) or (backend,)) else []


def _holds_gpu(backend: Backend) -> bool:
    return type(backend).__module__ != _WITHOUT_GPU and backend.gpus > 0


def _own_data(recipe: Recipe) -> Iterator[str]:
    """What its user is to give: a corpus, and whatever file an option names that is not there."""
    head, folder = recipe.head, recipe.folder
    reads_corpus = any(step.use == "from_corpus" for step in recipe.steps)
    if reads_corpus and (not head.corpus or _is_missing(head.corpus, folder)):
        yield "corpus"
    if any(_is_missing(place, folder) for place in (*head.exclude, *head.evaluate)):
        yield "test set"
    for step in recipe.steps:
        for name, value in step.stage.model_dump(mode="json").items():
            if any(_is_missing(text, folder) for text in _texts(value)):
                yield f"{step.name}.{name}"


def _is_missing(place: str, folder: Path) -> bool:
    """True for what begins as a path does and is not there; `./folder:test` names a part of a folder."""
    path = place.rpartition(":")[0] or place
    return place.startswith(_PATH) and not (folder / Path(path).expanduser()).exists()


def _texts(value: Any) -> Iterator[str]:
    """Every text in plain data."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
