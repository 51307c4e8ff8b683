"""Read a YAML file of which nothing is trusted: plain values alone, within limits."""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from transect.data_adapters.base import BadInput, reason
from transect.data_adapters.regular import require_regular

FAILURES = (ValueError, RecursionError, OverflowError, TypeError, KeyError, IndexError, AttributeError)

LARGEST = 1 << 18
"""Largest size of a file in bytes."""


class Loader(yaml.SafeLoader):
    """The safe loader with the plain values of YAML 1.2.

    YAML 1.1 takes `no` for false, `1e3` for text, `010` for 8 and `1:30` for 90. Keys that repeat, merge keys (which
    can grow without limit) and values of other types, such as dates and sets, are refused.
    """

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ConstructorError(None, None, f"the key {key.value!r} again", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in PLAIN:
            raise ConstructorError(None, None, f"the tag {node.tag[:80]!r}", node.start_mark)
        return super().construct_object(node, deep)


Loader.yaml_implicit_resolvers = {}

PLAIN = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map"))

_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"

for _name, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "[-+]?(0|[1-9][0-9]*)", "-+0123456789"),  # 010 is the float 10
    ("float", rf"{_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+.0123456789"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a file of at most `largest` bytes in UTF-8.

    Raises:
        BadInput: it is larger, cannot be read, or is not UTF-8.
    """
    require_regular(path)
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
        if len(content) > largest:
            raise BadInput(path, "size", f"more than {largest} bytes", f"at most {largest}")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(path, "text", reason(error).lower(), "a text in UTF-8 that can be read") from error


def read_yaml(path: Path) -> object:
    """The content of a YAML file: mappings, lists, text, numbers, booleans and None.

    Raises:
        BadInput: it cannot be read, is no YAML, has keys that repeat, or tags of other types, such as `!!python/...`.
    """
    try:
        return yaml.load(read_text(path), Loader)  # a safe loader
    except (yaml.YAMLError, *FAILURES) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(path, "yaml", _problem(error), "YAML of plain values") from error


def _problem(error: Exception) -> str:
    """What is wrong, with its line number where it is known."""
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or reason(error)).removeprefix("found ")[:160]
    return f"{problem} in line {mark.line + 1}" if mark is not None else problem
