"""The first mistake that pydantic found in what a person wrote, in one line."""

import json
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError

from synth.errors import did_you_mean


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first mistake that pydantic found, in one line: where, what was expected, what was found, what was meant."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    found = first.get("input")
    if first["type"] == "extra_forbidden":
        names = list(_fields_at(model, first["loc"][:-1]))
        name = str(first["loc"][-1])
        near = did_you_mean(name, names)
        return f"no option is called {where!r}{near or '; there are ' + ', '.join(names)}"
    if first["type"] == "missing":
        return f"{where}: it is missing"
    if first["type"] == "value_error":
        return f"{where}: {first['ctx']['error']}" if where else str(first["ctx"]["error"])
    message = first["msg"].replace("Input should be", "must be")
    return f"{where}: {message}, not {json.dumps(found, ensure_ascii=False, default=str)[:80]}"


def _fields_at(model: type[BaseModel], path: Sequence[str | int]) -> Sequence[str]:
    """The names of the options at a path of nested models; those of the last model that is one."""
    for part in path:
        inner = model.model_fields.get(str(part))
        kinds = [kind for kind in _kinds(inner.annotation) if issubclass(kind, BaseModel)] if inner else []
        model = kinds[0] if kinds else model
    return list(model.model_fields)


def _kinds(annotation: object) -> list[type]:
    if isinstance(annotation, type):
        return [annotation]
    return [kind for arg in getattr(annotation, "__args__", ()) for kind in _kinds(arg)]
