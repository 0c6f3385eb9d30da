"""The options of a part in words: what each takes, its bounds, its default.

per_document: int = Field(default=1, ge=1, le=1000)   ->   per_document: integer, 1 to 1000; 1 unless set
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_WORDS: Mapping[Any, str] = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "anything"}


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a part."""

    name: str
    kind: str
    default: str
    about: str

    def first_line(self) -> str:
        """What it is called, what it takes, and what it is unless set."""
        return f"{self.name}: {self.kind}; {self.default}"

    def to_json(self) -> dict[str, str]:
        """The same as plain data."""
        return {"name": self.name, "type": self.kind, "default": self.default, "about": self.about}


def options_of(part: type[BaseModel]) -> Iterator[Option]:
    """The options of a stage, a filter or a backend, in their order."""
    for name, field in part.model_fields.items():
        kind = ", ".join(filter(None, [kind_of(field.annotation), _bounds(field)]))
        yield Option(name, kind, _default(field), field.description or "")


def kind_of(annotation: Any) -> str:
    """What an option takes, in words.

    >>> kind_of(Literal["a", "b"] | None), kind_of(tuple[str, ...]), kind_of(dict[str, float])
    ('a or b', 'list of text', 'mapping to number')
    """
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(args[0])
    if origin is Literal:
        return _either(list(map(str, args)))
    if origin in (Union, types.UnionType):
        return _either(list(dict.fromkeys(kind_of(arg) for arg in args if arg is not type(None))))
    if args and isinstance(origin, type):
        return f"mapping to {kind_of(args[1])}" if issubclass(origin, Mapping) else f"list of {kind_of(args[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"mapping of {', '.join(annotation.model_fields)}"
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _either(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, bool):
        return f"{str(default).lower()} unless set"
    if default is None or default in ("", (), {}, []):
        return "not set"
    if isinstance(default, BaseModel):
        own = default.model_dump(exclude_defaults=True)
        return f"{own} unless set" if own else "not set"
    told = ", ".join(map(str, default)) if isinstance(default, list | tuple) else default
    return f"{told} unless set"


def _bounds(field: FieldInfo) -> str:
    """The bounds of a number: `1 to 1000`, `at least 1`."""
    found = {
        name: getattr(each, name) for each in field.metadata for name in BOUNDS if getattr(each, name, None) is not None
    }
    if found.keys() == {"ge", "le"}:
        return f"{found['ge']} to {found['le']}"
    return ", ".join(f"{words} {found[name]}" for name, words in BOUNDS.items() if name in found)
