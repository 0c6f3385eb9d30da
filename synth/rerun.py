"""The command that runs a recipe as it has been changed: of its own file, with all that was set.

synth run domain --set corpus=/home/me/docs --set backends.writer.model=qwen3-8b --set judge.least=3
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synth.build import OUTPUTS, REPLIES
from synth.errors import SynthError
from synth.recipe import Recipe, load
from synth.registry import known
from synth.yaml12 import read_yaml


def rerun(recipe: Recipe, target: Path, store: Path) -> str:
    """What runs the changed recipe in full, in the same folder: of the recipe itself where that is still as it was."""
    words = _of_the_recipe(recipe) or _of_the_run(recipe, target)
    if target.resolve() != (OUTPUTS / f"{recipe.name}-{recipe.hash}").resolve() and "--output" not in words:
        words += ["--output", str(target)]
    if store.resolve() != REPLIES.resolve():
        words += ["--replies", str(store)]
    return shlex.join(["synth", "run", *words])


def _of_the_recipe(recipe: Recipe) -> list[str]:
    """The recipe's file, or its name where it is shipped, and all that was set; [] where these do not give it."""
    shipped = known("recipes").get(recipe.name)
    limit = ["--limit", str(recipe.limit)] if recipe.limit else []
    for path in (recipe.folder / f"{recipe.name}.yaml", recipe.folder / "recipe.yaml"):
        sets = _sets_that_give(recipe, path) if path.is_file() else None
        if sets is not None:
            is_shipped = shipped is not None and shipped.resolve() == path.resolve()
            name = recipe.name if is_shipped else str(path)
            return [name, *(word for each in sets for word in ("--set", each)), *limit]
    return []


def _sets_that_give(recipe: Recipe, path: Path) -> list[str] | None:
    """What has to be set in the file for it to be this recipe; None where that does not do."""
    for deep in (True, False):
        try:
            sets = list(_sets(load(str(path)).resolved(), recipe.resolved(), deep=deep))
            if load(str(path), sets, limit=recipe.limit).hash == recipe.hash:
                return sets
        except SynthError:
            continue
    return None


def _of_the_run(recipe: Recipe, target: Path) -> list[str]:
    """The recipe as the new run folder has it, with the paths that it can no longer have from where it stands."""
    words = [str(target / "recipe.yaml"), "--output", str(target)]
    if recipe.head.corpus and not recipe.head.corpus.startswith("hf://"):
        words += ["--set", f"corpus={recipe.source.path_of(recipe.head.corpus)}"]
    return words + (["--limit", str(recipe.limit)] if recipe.limit else [])


def _sets(before: Mapping[str, Any], after: Mapping[str, Any], above: str = "", *, deep: bool = True) -> Iterator[str]:
    """What `--set` has to say to make one recipe of another, both as plain data; `deep`, of what stands inside options.

    >>> list(_sets({"seed": 1, "steps": [{"name": "judge", "least": 2}]}, {"steps": [{"name": "judge", "least": 3}]}))
    ['seed=null', 'judge.least=3']
    """
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if name == "steps" and not above and isinstance(old, list) and isinstance(new, list):
            for one, other in zip(old, new, strict=False):
                yield from _sets(one, other, f"{one['name']}.", deep=deep)
        elif isinstance(old, dict) and isinstance(new, dict) and (deep or above in ("", "backends.")):
            yield from _sets(old, new, f"{above}{name}.", deep=deep)
        elif deep and isinstance(new, dict) and new and old is None:
            yield from _sets({}, new, f"{above}{name}.", deep=deep)
        elif old != new:
            yield f"{above}{name}={_value(new)}"


def _value(value: object) -> str:
    """A value as YAML, as a person would write it."""
    if isinstance(value, str):
        try:
            return value if read_yaml(value, "") == value else json.dumps(value, ensure_ascii=False)
        except SynthError:
            return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
