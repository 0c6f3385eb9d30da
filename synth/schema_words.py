"""What an answer is to look like, in words: a line for each field of its JSON schema.

{"query": {"type": "string", "pattern": "^…{3,300}$", "description": "the search query"}}
->  query: string of 3 to 300 characters, the search query
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_LENGTHS = re.compile(r"\{(\d+),(\d*)\}")
_MOST_SHOWN = 200


def lines_of(schema: Mapping[str, Any]) -> Iterator[str]:
    """A line for each field of an object's schema; one for anything else."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        yield told(schema)
        return
    for name, field in properties.items():
        about = field.get("description", "")
        yield f"{name}: {told(field)}{f', {about}' if about else ''}"


def told(schema: Mapping[str, Any]) -> str:
    """One value: its type and its bounds.

    >>> told({"type": "integer", "minimum": 0, "maximum": 3}), told({"type": "array", "items": {"type": "string"}})
    ('integer, 0 to 3', 'list of string')
    >>> told({"type": "string", "pattern": "^[^a]{1,9}$"}), told({"type": "string", "enum": ["yes", "no"]})
    ('string of 1 to 9 characters', '"yes" or "no"')
    """
    kind = schema.get("type")
    if "enum" in schema:
        return " or ".join(json.dumps(choice, ensure_ascii=False) for choice in schema["enum"])
    if kind in ("string", "boolean", "integer", "number"):
        return _alone(str(kind), schema)
    if kind == "array":
        many, items = _range(schema.get("minItems"), schema.get("maxItems")), told(schema.get("items", {}))
        return f"list of {many}, each {items}" if many else f"list of {items}"
    if kind == "object" and isinstance(schema.get("properties"), Mapping):
        return "{" + ", ".join(f"{name}: {told(field)}" for name, field in schema["properties"].items()) + "}"
    return json.dumps(dict(schema), ensure_ascii=False, separators=(",", ":"))[:_MOST_SHOWN]


def _alone(kind: str, schema: Mapping[str, Any]) -> str:
    """A value that holds no other."""
    if kind == "boolean":
        return "true or false"
    if kind == "string":
        lengths = lengths_of(schema)
        return f"string of {lengths[0]} to {lengths[1]} characters" if lengths else "string"
    between = _range(schema.get("minimum"), schema.get("maximum"))
    return f"{kind}, {between}" if between else kind


def lengths_of(schema: Mapping[str, Any]) -> tuple[int, int] | None:
    """The fewest and the most characters of a string, as the pieces of its pattern bound them; None where they do not.

    >>> lengths_of({"pattern": "^[^a]{2,128}[^a]{0,72}$"}), lengths_of({"pattern": "^[^a]{2,}$"})
    ((2, 200), None)
    """
    found = _LENGTHS.findall(str(schema.get("pattern", "")))
    if not found or not all(most for _, most in found):
        return None
    return sum(int(least) for least, _ in found), sum(int(most) for _, most in found)


def _range(least: float | None, most: float | None) -> str:
    """Two bounds, the one there is, or nothing."""
    if least is not None and most is not None:
        return f"{least:g} to {most:g}"
    if least is not None:
        return f"at least {least:g}"
    return "" if most is None else f"at most {most:g}"
