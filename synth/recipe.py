"""A recipe: YAML in, checked steps out. Every mistake is found here, before anything is read, written or paid for.

corpus: ./my-documents
seed: 7
steps:
  - use: from_corpus
  - {use: extract, per_document: 2}
  - use: exact_dedup
export: [dataset]
train: {base: static}
evaluate: [./my-test-set]
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from synth.backend import Backend
from synth.budget import Caps
from synth.errors import RecipeError, did_you_mean
from synth.language_names import LanguageCode, check_shares
from synth.mistakes import explain
from synth.mixture import Mixture
from synth.registry import find_backend, find_recipe, find_stage, is_source
from synth.stage import Context, Source, Stage
from synth.training import TrainOptions
from synth.types import Example, Origin
from synth.yaml12 import read_yaml

if TYPE_CHECKING:
    from synth.served_embedder import Served

STEP_KEYS = ("use", "name", "where")
PATHS = ("corpus", "evaluate", "exclude")
"""Keys at the top of a recipe that hold paths."""


class Where(BaseModel):
    """Which rows a step is for; the others pass it untouched. A list means any of these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: tuple[str, ...] = ()
    language: tuple[LanguageCode, ...] = ()
    tag: tuple[str, ...] = ()
    without_tag: tuple[str, ...] = ()
    cross_lingual: bool | None = None
    origin: tuple[Origin, ...] = ()

    @field_validator("task", "language", "tag", "without_tag", "origin", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    def names(self, row: Example) -> bool:
        """True for a row that the step is for."""
        return (
            (not self.task or row.task in self.task)
            and (not self.language or row.language in self.language)
            and (not self.tag or bool(row.tags.intersection(self.tag)))
            and not row.tags.intersection(self.without_tag)
            and (self.cross_lingual is None or _cross_lingual(row) == self.cross_lingual)
            and (not self.origin or any(d.origin in self.origin for d in (*row.positives, *row.negatives)))
        )


def _cross_lingual(row: Example) -> bool:
    """True where query and first positive are known to be in two languages."""
    if not row.positives or not row.language or not row.positives[0].language:
        return False
    return row.language.partition("-")[0] != row.positives[0].language.partition("-")[0]


class Engine(BaseModel):
    """Where row-wise steps run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    use: Literal["local"] = "local"
    workers: int = Field(default=1, ge=1, le=64, description="threads for each row-wise step")


class Publish(BaseModel):
    """Where a dataset goes; nothing goes anywhere unless the run is started with --publish."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repo: str
    private: bool = True


class Head(BaseModel):
    """All of a recipe as it is written, its steps still as plain mappings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: str = ""
    exclude: tuple[str, ...] = ()
    seed: int = Field(default=0, ge=0)
    backends: dict[str, dict[str, Any] | list[dict[str, Any]]] = {}
    budget: Caps = Caps()
    embedders: dict[str, str | dict[str, Any]] = {}
    languages: dict[str, float] = {}
    steps: list[dict[str, Any]] = Field(min_length=1)
    export: tuple[Literal["dataset", "pairs", "triplets", "beir"], ...] = ("dataset",)
    train: TrainOptions | None = None
    evaluate: tuple[str, ...] = ()
    engine: Engine = Engine()
    publish: Publish | None = None

    @field_validator("languages", mode="before")
    @classmethod
    def _equal_shares(cls, value: object) -> object:
        return {code: 1 / len(value) for code in value} if isinstance(value, list) else value

    @field_validator("languages")
    @classmethod
    def _languages_in_shares(cls, value: dict[str, float]) -> dict[str, float]:
        check_shares(value)
        return value

    @field_validator("exclude", "evaluate", "export", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the stage that its options made, under the name that draws and `--set` use."""

    name: str
    use: str
    stage: Stage
    where: Where
    number: int = 0

    @property
    def is_source(self) -> bool:
        """True where the step makes rows out of nothing; rows that reach it pass."""
        return is_source(self.use)

    @property
    def folder_name(self) -> str:
        """Its folder in a run: `03-near_dedup`."""
        return f"{self.number:02d}-{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A checked recipe. `folder` is where its relative paths start; `text` is the file as written."""

    name: str
    folder: Path
    head: Head
    steps: tuple[Step, ...]
    backends: Mapping[str, Backend] = field(default_factory=dict)
    served: Mapping[str, "Served"] = field(default_factory=dict)
    text: str = ""
    limit: int | None = None
    strict: bool = False
    partial: bool = False

    @property
    def source(self) -> Source:
        """What its sources read."""
        return Source(self.head.corpus, self.folder, self.head.exclude, self.limit, self.strict)

    def context(self, step: "Step", **more: Any) -> Context:
        """What a step is handed of the recipe itself; `more` are further fields of the context."""
        ctx = Context(seed=self.head.seed, source=self.source, languages=self.head.languages)
        for before in self.steps[: step.number]:
            gives = before.stage.gives(replace(ctx, step=before.name))
            ctx = replace(ctx, given=ctx.given.union(gives))
        return replace(ctx, step=step.name, **more)

    def resolved(self) -> dict[str, Any]:
        """The recipe as plain data with every default filled in, and nothing secret: a run keeps it beside its rows."""
        plain = self.head.model_dump(mode="json", exclude={"steps", "backends"}, exclude_none=True)
        if not plain["budget"]:
            del plain["budget"]
        plain["backends"] = {role: _plain_backend(self.head, role, backend) for role, backend in self.backends.items()}
        plain["embedders"] = {name: self._plain_embedder(name) for name in self.head.embedders}
        plain["steps"] = [_plain_step(step) for step in self.steps]
        return plain

    def _plain_embedder(self, name: str) -> str | dict[str, Any]:
        entry = self.head.embedders[name]
        if isinstance(entry, str):
            return entry
        served = self.served[name]
        plain = served.backend.model_dump(mode="json", exclude_none=True)
        return {"use": entry["use"], **plain, **served.prompts.model_dump()}

    @property
    def hash(self) -> str:
        """Eight hex digits that name its run folder: the recipe as resolved, and where its relative paths start."""
        place = "" if self.head.corpus.startswith("hf://") else str(self.folder.resolve())
        # A larger budget goes on where a smaller one ended.
        resolved = {name: value for name, value in self.resolved().items() if name != "budget"}
        plain = json.dumps([self.name, place, self.limit, resolved], sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def load(name: str, overrides: Sequence[str] = (), *, limit: int | None = None, strict: bool = False) -> Recipe:
    """The recipe of a file or of a shipped name, with `--set` applied and every step built. Raises RecipeError."""
    path = find_recipe(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
    return parse(text, path, overrides, limit=limit, strict=strict)


def parse(
    text: str, path: Path, overrides: Sequence[str] = (), *, limit: int | None = None, strict: bool = False
) -> Recipe:
    """The recipe that `text` holds, as if it stood at `path`. Raises RecipeError."""
    plain = read_yaml(text, path.name)
    if not isinstance(plain, dict):
        raise RecipeError(f"{path.name}: a recipe is a mapping with `steps:`; this is {_kind(plain)}")
    if not isinstance(plain.get("steps", []), list):
        raise RecipeError(f"{path.name}: steps: must be a list of steps, not {_kind(plain['steps'])}")
    for override in overrides:
        _apply(plain, override, path.name)
    return _build(plain, path, text, (limit, strict))


def _build(plain: dict[str, Any], path: Path, text: str, run: tuple[int | None, bool]) -> Recipe:
    if not plain.get("steps"):
        raise RecipeError(f"{path.name}: it has no steps; a recipe begins with `steps: [{{use: from_corpus}}, …]`")
    try:
        head = Head.model_validate(plain)
    except ValidationError as error:
        raise RecipeError(f"{path.name}: {explain(error, Head)}") from error
    name = (path.resolve().parent.name if path.stem == "recipe" else path.stem) or "recipe"
    steps = tuple(_step(entry, number, path) for number, entry in enumerate(head.steps))
    _unique_names(steps, path.name)
    backends = {role: _backend(role, entry, path) for role, entry in head.backends.items()}
    served = {name: _served(name, entry, path) for name, entry in head.embedders.items() if isinstance(entry, dict)}
    limit, strict = run
    return Recipe(
        name=name,
        folder=path.parent,
        head=head,
        steps=steps,
        backends=backends,
        served=served,
        text=text,
        limit=limit,
        strict=strict,
    )


def _step(entry: dict[str, Any], number: int, path: Path) -> Step:
    place = f"{path.name}: step {number + 1}"
    use = entry.get("use")
    if not isinstance(use, str) or not use:
        raise RecipeError(f"{place}: it says {sorted(entry)} but no `use:`; a step is `{{use: NAME, option: value}}`")
    place = f"{place} ({use})"
    try:
        kind = find_stage(use, path.parent)
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}") from error
    options = {key: value for key, value in entry.items() if key not in STEP_KEYS}
    try:
        stage = kind.model_validate(options, context={"folder": path.parent})
        where = Where.model_validate(entry.get("where", kind.default_where))
    except ValidationError as error:
        raise RecipeError(f"{place}: {explain(error, Where if error.title == 'Where' else kind)}") from error
    name = entry.get("name", use.rpartition(":")[2].rpartition("/")[2].removesuffix(".py"))
    if not isinstance(name, str) or not name.replace("_", "").replace("-", "").isalnum():
        raise RecipeError(f"{place}: name: must be letters, digits, - and _, not {name!r}")
    return Step(name=name, use=use, stage=stage, where=where, number=number)


def _backend(role: str, entry: dict[str, Any] | list[dict[str, Any]], path: Path) -> Backend:
    """The backend of a role; a list of them, each with its `weight:`, is a mixture."""
    if isinstance(entry, dict):
        return _one_backend(role, entry, path)
    weights = [each.get("weight", 1) for each in entry]
    if not entry or not all(isinstance(weight, int | float) and weight > 0 for weight in weights):
        raise RecipeError(f"{path.name}: backend {role}: each model of a list needs a `weight:` above 0, or none")
    plain = [{key: value for key, value in each.items() if key != "weight"} for each in entry]
    return Mixture.over([(float(w), _one_backend(role, each, path)) for w, each in zip(weights, plain, strict=True)])


def _one_backend(role: str, entry: dict[str, Any], path: Path) -> Backend:
    place = f"{path.name}: backend {role}"
    use = entry.get("use")
    if not isinstance(use, str):
        raise RecipeError(f"{place}: it has no `use:`; a backend is `{{use: openai, model: NAME, base_url: URL}}`")
    try:
        kind = find_backend(use, path.parent)
        options = {key: value for key, value in entry.items() if key != "use"}
        return kind.model_validate(options, context={"folder": path.parent})
    except ValidationError as error:
        raise RecipeError(f"{place} ({use}): {explain(error, kind)}") from error
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}") from error


def _served(name: str, entry: dict[str, Any], path: Path) -> "Served":
    """An embedder that a backend runs; what is no option of its own is one of the backend."""
    from synth.served_embedder import Prompts, Served

    own = {key: value for key, value in entry.items() if key in Prompts.model_fields}
    try:
        prompts = Prompts.model_validate(own)
    except ValidationError as error:
        raise RecipeError(f"{path.name}: embedder {name}: {explain(error, Prompts)}") from error
    options = {key: value for key, value in entry.items() if key not in own}
    return Served(_one_backend(name, options, path), prompts)


def _unique_names(steps: Sequence[Step], place: str) -> None:
    seen: dict[str, int] = {}
    for step in steps:
        if step.name in seen:
            raise RecipeError(
                f"{place}: steps {seen[step.name] + 1} and {step.number + 1} are both called {step.name!r}; "
                "give one a `name:`"
            )
        seen[step.name] = step.number


def _apply(plain: dict[str, Any], override: str, place: str) -> None:
    """Write one `--set path=value` into the recipe's plain data: a step's option, or a key at its top."""
    target, equals, text = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override}: must be step.option=value or key=value")
    value = read_yaml(text, f"--set {target}") if text else ""
    value = _from_here(value, always=target in PATHS)
    first, *rest = target.split(".")
    steps = {_name_of(entry): entry for entry in plain.get("steps") or () if isinstance(entry, dict)}
    if rest and first in steps:
        _put(steps[first], rest, value)
    elif first in Head.model_fields and first != "steps":
        _put(plain, [first, *rest], value)
    else:
        names = [*steps, *Head.model_fields]
        raise RecipeError(f"{place}: --set {target}: no step or key is called {first!r}{did_you_mean(first, names)}")


def _from_here(value: object, *, always: bool) -> object:
    """A path of the command line starts in the working folder, whereas one in a recipe starts beside the recipe.

    The value of an option is one if it begins as a path does: `./rows.jsonl`, `../sets/mine:test`.
    """
    if isinstance(value, list):
        return [_from_here(each, always=always) for each in value]
    if not isinstance(value, str) or not value or value.startswith("hf://"):
        return value
    path = Path(value.rpartition(":")[0] or value if not Path(value).exists() else value).expanduser()
    is_path = path.exists() or "/" in value if always else value.startswith(("./", "../"))
    return str(Path.cwd() / Path(value).expanduser()) if is_path else value


def _put(plain: dict[str, Any], path: Sequence[str], value: object) -> None:
    *above, last = path
    for key in above:
        below = plain.get(key)
        plain[key] = below = dict(below) if isinstance(below, dict) else {}
        plain = below
    plain[last] = value


def _name_of(entry: dict[str, Any]) -> str:
    return str(entry.get("name") or str(entry.get("use", "")).rpartition(":")[2].rpartition("/")[2].removesuffix(".py"))


def _plain_step(step: Step) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "use": step.use,
        "name": step.name,
        **step.stage.model_dump(mode="json", exclude_none=True),
    }
    where = step.where.model_dump(mode="json", exclude_defaults=True)
    return plain | ({"where": where} if where or step.stage.default_where else {})


def _plain_backend(head: Head, role: str, backend: Backend) -> dict[str, Any] | list[dict[str, Any]]:
    entry = head.backends[role]
    if isinstance(entry, dict):
        return {"use": entry["use"], **backend.model_dump(mode="json", exclude_none=True)}
    parts = backend.parts if isinstance(backend, Mixture) else ()
    return [
        {"use": each["use"], "weight": weight, **part.model_dump(mode="json", exclude_none=True)}
        for each, (weight, part) in zip(entry, parts, strict=True)
    ]


def _kind(value: object) -> str:
    names = {list: "a list", str: "a text", type(None): "empty"}
    return names.get(type(value), f"a {type(value).__name__}")
