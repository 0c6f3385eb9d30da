"""The embedders that the steps of a run may ask: those its recipe names, and those that its own steps make (`fit`).

embedders: {miner: intfloat/e5-small}             named: a folder or an id, or what a backend runs
steps: [{use: fit, makes: student}, …]            made: in the folder of the step, once that is done
"""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from synth.embedder import Embedder, identity_of, load
from synth.errors import RecipeError
from synth.fitted import MARK, Fitted, seen_all
from synth.recipe import Recipe, Step
from synth.served_embedder import ServedEmbedder
from synth.stage import Context
from synth.stages.fit import Fit
from synth.store import read_json
from synth.types import digest_of


class Embedders(Mapping[str, Embedder]):
    """The embedders by name, each loaded when it is first asked for. A path is relative to the recipe."""

    def __init__(self, recipe: Recipe, folder: Path, served: Mapping[str, ServedEmbedder]) -> None:
        self._names = recipe.head.embedders
        self._made = {fit.makes: folder / step.folder_name for step, fit in fits(recipe)}
        self._beside = recipe.folder
        self._served = served
        self._loaded: dict[str, Embedder] = dict(served)
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> Embedder:
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._fitted(name) if name in self._made else load(self._place(name))
            return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._names, *self._made])

    def __len__(self) -> int:
        return len(self._names) + len(self._made)

    def identity(self, name: str) -> str:
        """What the key of a step that uses it holds; nothing is loaded for it."""
        if name in self._served:
            return self._served[name].identity()
        if name in self._made:
            return digest_of(read_json(self._made[name] / MARK))
        return identity_of(self._place(name)) if name in self._names else name

    def forget(self, step: Step) -> None:
        """Let go of what a step made: it is about to be made anew."""
        if isinstance(step.stage, Fit):
            with self._lock:
                self._loaded.pop(step.stage.makes, None)

    def close(self) -> None:
        """Free those that a backend runs."""
        for served in self._served.values():
            served.close()

    def _fitted(self, name: str) -> Fitted:
        mark = read_json(self._made[name] / MARK)
        if mark is None:
            raise RecipeError(f"{self._made[name]}: it has not made the embedder {name!r} yet; run the recipe first")
        return Fitted(name, self._made[name], mark)

    def _place(self, name: str) -> str:
        beside = self._beside / str(self._names[name])
        return str(beside) if beside.exists() else str(self._names[name])


def fits(recipe: Recipe) -> list[tuple[Step, Fit]]:
    """The steps of a recipe that make embedders."""
    return [(step, step.stage) for step in recipe.steps if isinstance(step.stage, Fit)]


def makes_models(step: Step) -> bool:
    """True for a step that leaves models in its folder."""
    return isinstance(step.stage, Fit)


def is_whole(step: Step, folder: Path) -> bool:
    """True where a step's folder holds all the models that it should: none, but for a `fit`."""
    if not makes_models(step):
        return True
    mark = read_json(folder / MARK)
    return mark is not None and all((folder / f"model-{n}").is_dir() for n in range(len(mark.get("models", ()))))


def check_embedders(recipe: Recipe) -> None:
    """Raise RecipeError where a step asks an embedder that nothing names, or one of a `fit` that it may not ask."""
    made: dict[str, tuple[Step, Fit]] = {}
    for step, fit in fits(recipe):
        there = made.get(fit.makes, (None,))[0]
        if there or fit.makes in recipe.head.embedders:
            other = f"step {there.name} makes one, too" if there else "`embedders:` has one, too"
            raise RecipeError(f"step {step.name}: makes: {fit.makes!r} is taken: {other}; give it another name")
        made[fit.makes] = (step, fit)
    for step in recipe.steps:
        for name in step.stage.embedders_used():
            if name in made:
                _check_fitted(step, *made[name])
            names = dict.fromkeys([*recipe.head.embedders, *made])
            Context(step=step.name, embedders=names).embedder(name)  # type: ignore[arg-type]  # names only


def _check_fitted(step: Step, maker: Step, fit: Fit) -> None:
    """Raise RecipeError where a step may not ask the embedder that another makes."""
    if step.number < maker.number:
        raise RecipeError(f"step {step.name}: {fit.makes!r} is made by step {maker.name}, later: put that before it")
    if not step.stage.fitted:
        raise RecipeError(
            f"step {step.name}: {fit.makes!r} is made by step {maker.name}, a model for each fold, and {step.use} asks "
            "one model: name one of the recipe's `embedders:`"
        )
    if step.stage.fitted == "row" and fit.folds == 1 and not fit.allow_seen:
        raise RecipeError(f"step {step.name}: {seen_all(fit.makes)}")
