"""What the systems of the field need, C1 to C30 of four surveys' list, and which shipped recipes use it.

C22 to C24 are the trainer's, C26 is of other media than text; every other one is used by a recipe at least.
"""

from collections.abc import Callable
from functools import cache

import pytest

from synth.prompt import Prompt
from synth.recipe import Recipe, Step, load
from synth.registry import known


@cache
def recipes() -> dict[str, Recipe]:
    return {name: load(str(path)) for name, path in known("recipes").items()}


def uses(*names: str) -> Callable[[Recipe], bool]:
    """True for a recipe with a step of one of these stages."""
    return lambda recipe: any(step.use in names for step in recipe.steps)


def some(test: Callable[[Step], bool]) -> Callable[[Recipe], bool]:
    """True for a recipe with a step that the test takes."""
    return lambda recipe: any(test(step) for step in recipe.steps)


def option(use: str, name: str, *values: object) -> Callable[[Recipe], bool]:
    """True for a recipe with a step of this stage whose option is set, or has one of these values."""
    return some(lambda step: step.use == use and _fits(getattr(step.stage, name, None), values))


def _fits(value: object, values: tuple[object, ...]) -> bool:
    return value in values if values else bool(value)


def prompts(step: Step) -> list[Prompt]:
    name = getattr(step.stage, "prompt", "")
    return [Prompt.load(name)] if name and step.stage.backends_used() else []


def both(*tests: Callable[[Recipe], bool]) -> Callable[[Recipe], bool]:
    return lambda recipe: all(test(recipe) for test in tests)


def any_of(*tests: Callable[[Recipe], bool]) -> Callable[[Recipe], bool]:
    return lambda recipe: any(test(recipe) for test in tests)


def order(first: str, then: str) -> Callable[[Recipe], bool]:
    """True where a step of the second stage comes after one of the first."""

    def found(recipe: Recipe) -> bool:
        names = [step.use for step in recipe.steps]
        return first in names and then in names[names.index(first) + 1 :]

    return found


def models(least: int) -> Callable[[Recipe], bool]:
    """True where a recipe asks so many models, as roles or mixed in one."""
    return lambda recipe: (
        len({b.model for b in recipe.backends.values()}) >= least
        or any(type(backend).__name__ == "Mixture" for backend in recipe.backends.values())
    )


CAPABILITIES: dict[str, Callable[[Recipe], bool]] = {
    "C1 brainstorm, then generate": order("brainstorm", "generate"),
    "C2 axes with weights, probabilities, shuffled points": some(
        lambda step: any(p.header.axes and p.header.probability and p.is_shuffled for p in prompts(step))
    ),
    "C3 languages by weight, pairs of languages": both(
        lambda recipe: len(recipe.head.languages) > 1, option("sample", "documents", "other")
    ),
    "C4 documents, evenly by strata": both(uses("from_corpus"), uses("stratify")),
    "C4 several documents together": uses("bundle"),
    "C5 examples": option("generate", "examples"),
    "C6 search inside the recipe": uses("retrieve"),
    "C7 answers of several fields": some(lambda step: any(len(p.header.returns) > 1 for p in prompts(step))),
    "C8 steps that see what earlier steps wrote": some(
        lambda step: any("extract" in p.header.reads or "character" in p.header.reads for p in prompts(step))
    ),
    "C9 several samples, the best kept": any_of(
        option("generate", "keep", "best"),
        both(some(lambda step: getattr(step.stage, "samples", 1) > 1), uses("top", "convert")),
    ),
    "C10 log-probabilities": any_of(option("generate", "keep", "best"), option("score", "by", "query_likelihood")),
    "C11 consistency by a model of the rows themselves": order("fit", "consistency"),
    "C12 the top by a reranker": both(option("score", "by", "cross_encoder"), uses("top")),
    "C13 judges, cascades": any_of(option("judge", "then"), option("false_negatives", "then")),
    "C13 pairs and lists compared": uses("comparison"),
    "C14 the positive chosen anew": option("relabel", "positive", "best"),
    "C15 mining with ranks and margins": some(
        lambda step: step.use == "mine" and (step.stage.model_fields_set & {"relative_margin", "first_rank"}) != set()
    ),
    "C16 soft labels": any_of(option("score", "by", "cross_encoder"), uses("false_negatives")),
    "C17 several positives": any_of(option("false_negatives", "fate", "relabel"), option("relabel", "promote")),
    "C18 classification to contrastive": option("convert", "to", "label_pairs", "same_label"),
    "C19 exact, near and semantic duplicates": both(uses("exact_dedup", "near_dedup"), uses("semantic_dedup")),
    "C20 nothing of the test set": uses("decontamination"),
    "C21 language, refusal, copies, safety": both(uses("language"), uses("refusal")),
    "C25 an evaluation set": option("convert", "to", "evaluation"),
    "C27 rewriting": uses("revise"),
    "C28 a model in the loop": any_of(order("fit", "mine"), order("fit", "retrieve")),
    "C29 rows that align a writer": option("convert", "to", "preference"),
    "C30 several writers, crossed": models(2),
}


@pytest.mark.parametrize("name", CAPABILITIES)
def test_a_recipe_uses_it(name: str) -> None:
    using = [recipe for recipe, checked in recipes().items() if CAPABILITIES[name](checked)]
    assert using, f"no shipped recipe uses {name}"
