"""A part by its file's name: `use: near_dedup` is the file `near_dedup.py`. Nothing is registered.

A name is looked for beside the recipe first, then in the package. `package.module:Class` and a path to a file work too.
Finding a name lists files; only the one that is used is imported.
"""

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeVar

from synth.backend import Backend
from synth.errors import RecipeError, did_you_mean
from synth.stage import Stage

PACKAGE = Path(__file__).parent
Kind = Literal["stages", "filters", "backends", "prompts", "recipes"]
KINDS: tuple[Kind, ...] = ("recipes", "prompts", "stages", "filters", "backends")
Part = TypeVar("Part", bound=Stage | Backend)


def known(kind: Kind) -> dict[str, Path]:
    """The shipped parts of one kind, by name: the file of each. Files are listed, none is imported."""
    folder = PACKAGE / kind
    if kind == "prompts":
        return {p.relative_to(folder).with_suffix("").as_posix(): p for p in sorted(folder.rglob("*.jinja"))}
    if kind == "recipes":
        alone = {p.stem: p for p in sorted(folder.glob("*.yaml"))}
        return dict(sorted((alone | {p.parent.name: p for p in folder.glob("*/recipe.yaml")}).items()))
    return {p.stem: p for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")}


def find_stage(use: str, folder: Path) -> type[Stage]:
    """The stage or filter that `use:` names; RecipeError where there is none."""
    return _find(use, folder, Stage, {**known("filters"), **known("stages")})  # type: ignore[type-abstract]  # only its children


def find_backend(use: str, folder: Path) -> type[Backend]:
    """The backend that `use:` names; RecipeError where there is none."""
    return _find(use, folder, Backend, known("backends"))  # type: ignore[type-abstract]  # only its children


def is_filter(stage: type[Stage]) -> bool:
    """True for what may only keep or drop: what stands in a folder called `filters`."""
    return "filters" in stage.__module__.split(".") or Path(inspect.getfile(stage)).parent.name == "filters"


def is_source(use: str) -> bool:
    """True for what makes rows out of nothing: `from_…`."""
    return use.rpartition(":")[2].rpartition("/")[2].startswith("from_")


def find_recipe(name: str) -> Path:
    """The file of a recipe given by path or by the name of a shipped one; RecipeError where there is none."""
    path = Path(name).expanduser()
    if path.suffix in {".yaml", ".yml"} or "/" in name:
        if path.is_file():
            return path
        raise RecipeError(f"{name}: no such file; `synth list recipes` names the shipped recipes")
    shipped = known("recipes")
    if name not in shipped:
        cure = did_you_mean(name, shipped) or "; `synth list recipes` names those there are"
        raise RecipeError(f"no recipe is called {name!r}{cure}")
    return shipped[name]


def _find(use: str, folder: Path, kind: type[Part], shipped: dict[str, Path]) -> type[Part]:
    where, _, class_name = use.partition(":")
    if where.endswith(".py") or "/" in where:
        return _class_in(_load_file(folder / where, use), kind, use, class_name)
    beside = folder / f"{where}.py"
    if not class_name and beside.is_file():
        return _class_in(_load_file(beside, use), kind, use, class_name)
    if not class_name and where in shipped:
        parent = shipped[where].parent.name
        return _class_in(importlib.import_module(f"synth.{parent}.{where}"), kind, use, class_name)
    if class_name or "." in where:
        return _class_in(_load_module(where, folder, use), kind, use, class_name)
    noun = "step" if kind is Stage else "backend"
    raise RecipeError(
        f"no {noun} is called {use!r}{did_you_mean(use, shipped)}; there are {', '.join(sorted(shipped))}"
    )


def _load_file(path: Path, use: str) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise RecipeError(f"use: {use}: there is no file {path}")
    name = f"synth_user.{path.parent.name}.{path.stem}"
    known_module = sys.modules.get(name)
    if known_module is not None and getattr(known_module, "__file__", "") == str(path):
        return known_module
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"use: {use}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[name]
        raise RecipeError(f"use: {use}: {path}:{error.lineno}: this is no Python: {error.msg}") from error
    return module


def _load_module(name: str, folder: Path, use: str) -> ModuleType:
    for place in (str(folder.resolve()), str(Path.cwd())):
        if place not in sys.path:
            sys.path.append(place)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not name.startswith(error.name):
            raise
        raise RecipeError(f"use: {use}: no module is called {name!r} beside the recipe or on Python's path") from error


def _class_in(module: ModuleType, kind: type[Part], use: str, class_name: str) -> type[Part]:
    found = {
        name: part
        for name, part in vars(module).items()
        if inspect.isclass(part) and issubclass(part, kind) and part.__module__ == module.__name__
    }
    if class_name in found:
        return found[class_name]
    if not class_name and len(found) == 1:
        return next(iter(found.values()))
    expected = f"a class {class_name}" if class_name else "exactly one class"
    raise RecipeError(
        f"use: {use}: {module.__file__} should hold {expected} of kind {kind.__name__}; it has {sorted(found)}"
    )
