"""`synth copy`: a shipped recipe with all it uses, or a prompt, to own and change.

synth copy domain my-project   ->   my-project/domain.yaml
                                    my-project/prompts/grounded/question.jinja  …
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from synth.errors import OutputError, RecipeError, did_you_mean
from synth.prompt import SHIPPED
from synth.recipe import Recipe, load
from synth.registry import known
from synth.store import writing

Files = dict[Path, Path]
"""Where each file goes, and where it stands; the first is what was asked for."""
SHIPPED_RECIPE = "recipe.yaml"
"""The name of a recipe that has a folder of its own, with its data."""


def copy_part(name: str, dest: Path) -> list[Path]:
    """Copy a shipped recipe with its prompts and data, or a prompt, into a folder; the files that stand there then.

    What other recipes have brought already, and nobody has changed, stays. Raises RecipeError where there is no such
    part, OutputError where one of the files is there already and is another; then nothing is written.
    """
    recipes, prompts = known("recipes"), known("prompts")
    if name in prompts:
        files = {_prompt_in(dest, name): prompts[name]}
    elif name in recipes:
        files = files_of(name, recipes[name], dest)
    else:
        names = [*recipes, *prompts]
        raise RecipeError(f"no recipe or prompt is called {name!r}{did_you_mean(name, names)}")
    own = next(iter(files))
    for target, source in files.items():
        if target.exists() and (target == own or not _are_same(target, source)):
            raise OutputError(f"{target} is there already; name another folder, or remove it")
    for target, source in files.items():
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return list(files)


def prompts_of(recipe: Recipe) -> list[str]:
    """The shipped prompts that its steps name, in any option."""
    shipped = known("prompts")
    named = (text for step in recipe.steps for text in _texts(step.stage.model_dump(mode="json")))
    return [name for name in dict.fromkeys(text.removesuffix(".jinja") for text in named) if name in shipped]


def files_of(name: str, path: Path, dest: Path) -> Files:
    """The recipe, the files beside it that it names (all, where it has a folder of its own), and its prompts."""
    recipe, prompts = load(str(path)), known("prompts")
    if path.name == SHIPPED_RECIPE:
        dest = dest / name
        beside: Iterable[Path] = (file for file in sorted(path.parent.rglob("*")) if file.is_file())
    else:
        beside = _named_beside(recipe)
    files = {dest / path.name: path} | {dest / file.relative_to(path.parent): file for file in beside}
    files |= {dest / place: SHIPPED / place for place in _shipped_lists(recipe)}
    return files | {_prompt_in(dest, each): prompts[each] for each in prompts_of(recipe)}


def _shipped_lists(recipe: Recipe) -> list[str]:
    """The package's lists that its steps name, such as `lists/personas.txt`: one beside a recipe stands for them."""
    texts = [text for text in _texts(recipe.head.steps) if "/" in text and not text.endswith(".jinja")]
    return [text for text in texts if (SHIPPED / text).is_file() and not (recipe.folder / text).exists()]


def _named_beside(recipe: Recipe) -> Iterator[Path]:
    """The files beside a recipe that its options name, also all of `folder/` and of `./folder:split`."""
    here = recipe.folder
    for text in _texts([recipe.head.model_dump(mode="json"), recipe.head.steps]):
        for place in (text, text.rpartition(":")[0]):
            path = here / place
            if ".." in Path(place).parts or Path(place).is_absolute() or not ("/" in place or Path(place).suffix):
                continue
            if path.is_dir():
                yield from (file for file in sorted(path.rglob("*")) if file.is_file())
            elif path.is_file():
                yield path


def _prompt_in(dest: Path, name: str) -> Path:
    return dest / "prompts" / f"{name}.jinja"


def _are_same(one: Path, other: Path) -> bool:
    return one.is_file() and one.read_bytes() == other.read_bytes()


def _texts(value: Any) -> Iterator[str]:
    """Every text in plain data, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from (str(key), *_texts(inner))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
