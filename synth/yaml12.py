"""YAML as recipes mean it: of the words only `true` and `false` are booleans, so `no: 0.02` is Norwegian.

PyYAML's safe loader reads YAML 1.1; this one drops its booleans in words, its clock times and its dates, reads `1e-5`
as a number, and refuses a key that stands twice.
"""

import re
from typing import Any

import yaml

from synth.errors import RecipeError

MOST_DIGITS = 300


class _Loader(yaml.SafeLoader):
    pass


def _without_resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    gone = {"bool", "int", "float", "timestamp"}
    table = yaml.SafeLoader.yaml_implicit_resolvers
    return {
        first: [(tag, rule) for tag, rule in rules if tag.rpartition(":")[2] not in gone]
        for first, rules in table.items()
    }


_Loader.yaml_implicit_resolvers = _without_resolvers()
_RULES = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(?:[0-9][0-9_]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
}
for _tag, (_rule, _first) in _RULES.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_rule})$"), list(_first))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[Any, int] = {}
    for key_node, _ in node.value:
        if key_node.tag.endswith(":merge"):
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        seen[key] = 1
    loader.flatten_mapping(node)
    return {loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value}


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    digits = loader.construct_scalar(node).replace("_", "")
    if len(digits) > MOST_DIGITS:
        raise yaml.constructor.ConstructorError(None, None, f"a number of {len(digits)} digits", node.start_mark)
    return int(digits, 16) if digits.startswith("0x") else int(digits)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def read_yaml(text: str, place: str) -> Any:
    """The value that `text` holds; a RecipeError with `place` and the line where it is no YAML.

    >>> read_yaml("{no: 0.02, on: true, rate: 1e-5, most: 5_000}", "x")
    {'no': 0.02, 'on': True, 'rate': 1e-05, 'most': 5000}
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  the loader above is a safe one
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}:" if mark else ""
        raise RecipeError(f"{place}:{line} this is no YAML: {error.problem or error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{place}: this is no YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise RecipeError(f"{place}: this is no YAML that can be read: it is nested too deep") from error


def write_yaml(value: Any) -> str:
    """The YAML of plain data, keys in the order given; `read_yaml` reads the same back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


class _Dumper(yaml.SafeDumper):
    pass


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Quote a text that either version of YAML would read as something else."""
    style = None
    for tag, (rule, _) in _RULES.items():
        if tag and re.fullmatch(rule, value):
            style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
