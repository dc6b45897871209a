"""What the readers of YAML make of a text: two versions of the language, and the one in Docker Compose."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from tests.scripts import compose_reader


class _Core(yaml.SafeLoader):
    """The core schema of YAML 1.2 (section 10.3.2), in which dates and sexagesimals are text."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - as inherited


def _core(form: str) -> Any:

    return re.compile(f"^(?:{form})$")


_Core.add_implicit_resolver("tag:yaml.org,2002:null", _core(r"null|Null|NULL|~|"), ["~", "n", "N", ""])
_Core.add_implicit_resolver("tag:yaml.org,2002:bool", _core(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))
_Core.add_implicit_resolver("tag:yaml.org,2002:core-int", _core(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), None)
_Core.add_implicit_resolver(
    "tag:yaml.org,2002:core-float",
    _core(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
    None,
)


def _int(loader: _Core, node: Any) -> int:
    word = str(loader.construct_scalar(node))
    return int(word, 0) if word[:2] in {"0o", "0x"} else int(word)


def _float(loader: _Core, node: Any) -> float:
    return float(str(loader.construct_scalar(node)).lower().replace(".inf", "inf").replace(".nan", "nan"))


_Core.add_constructor("tag:yaml.org,2002:core-int", _int)
_Core.add_constructor("tag:yaml.org,2002:core-float", _float)


def as_hermes(text: str) -> Any:
    """YAML 1.1 of PyYAML, by which Hermes reads its config."""
    return yaml.safe_load(text)


def as_core(text: str) -> Any:
    """YAML 1.2."""
    return yaml.load(text, _Core)  # noqa: S506 - a SafeLoader


READERS = (as_hermes, as_core, compose_reader.read)

# Each is text here and something else there: numbers of three notations, sexagesimals, dates, marks, and words.
MISREAD = (
    *("0891", "017", "0o17", "0x1F", "0b11", "1e3", "1E3", "1.e5", ".5", "5.", "1_000", "+1", "-0", "08", "00", "1.5"),
    *("12:30", "12:30:45", "190:20:30.15", "2001-01-01", "2001-1-1", "2001-12-14t21:59:43.10-05:00", "2024-13-99"),
    *(
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "Y",
        "N",
        "True",
        "FALSE",
        "null",
        "Null",
        "~",
        "",
        "none",
        "nan",
        "Infinity",
    ),
    *(".inf", "-.inf", ".nan", ".NaN", "<<", "=", "-", "?", ":", "- a", "? a", "a: b", "a #b", "#b", "!x", "!!str 1"),
    *("&a", "*a", "|", ">", "%x", "@x", "`x`", "{a: b}", "[a]", "'a'", '"a"', "a:", "a,b", ", ", "---", "...", "--- a"),
    *(" a", "a ", "\ta", "a\tb", "a\n", "\na", "a\n\nb", "a\n b\n", "a\\nb", "it's", 'say "x"', "\\", "a" * 200 + " b"),
    *("\x85", "\u2028", "\ufeffa", "\u00a0", "\u00e4\u20ac", "\U0001f600", "0" * 400, "1" * 400, "9" * 19, "1e999"),
)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types, and NaN is NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)
