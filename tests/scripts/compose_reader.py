"""How Docker Compose reads its file: go-yaml's plain values, and variables. tests/compose holds it to the real one.

Whether a value is a number is decided as in resolve.go of go-yaml v3, for which `0891` is one, and `no` is a word.
"""

from __future__ import annotations

import re
import sys
from math import isfinite
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORDS: dict[str, Any] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")
INTEGERS = {
    10: re.compile(r"([-+]?)(0|[1-9][0-9]*)"),
    16: re.compile(r"([-+]?)0[xX]([0-9a-fA-F]+)"),
    8: re.compile(r"([-+]?)0[oO]?([0-7]+)"),
    2: re.compile(r"([-+]?)0[bB]([01]+)"),
}
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class NotTextError(ValueError):
    """Compose wants text there."""


def plain_value(word: str) -> Any:
    """What a value without quotes is."""
    if word in WORDS:
        return WORDS[word]
    if word[0] not in "+-.0123456789":
        return word
    if DATE.fullmatch(word):
        raise NotTextError(f"{word} is a date")
    digits = word.replace("_", "") if word[0] != "." else word
    for base, form in INTEGERS.items():
        if found := form.fullmatch(digits):
            whole = int(found[1] + found[2], base)
            return whole if -(2**63) <= whole < 2**64 else _finite(digits, word)
    return _finite(digits, word) if FLOAT.fullmatch(digits) else word


def _finite(digits: str, word: str) -> float | str:
    return number if isfinite(number := float(digits)) else word


def read(text: str) -> Any:
    """The plain data of a compose file."""
    # The fake commands run without site packages: half the start-up time for all that need none.
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = str(Path(sys.executable).parent.parent / "lib" / version / "site-packages")
    if packages not in sys.path:
        sys.path.append(packages)
    import yaml  # noqa: PLC0415

    def built(node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return {key.value: built(value) for key, value in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [built(it) for it in node.value]
        return node.value if node.style else plain_value(node.value)

    class Reader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - as inherited

    return built(yaml.compose(text, Loader=Reader))


def as_text(value: Any) -> str | None:
    """What becomes of a variable's or a label's value, which may be a number."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not isfinite(value):
            raise NotTextError(f"json: unsupported value: {value}")
        return f"{value:g}"
    return value if value is None or isinstance(value, str) else str(value)


ONLY_TEXT = ("image", "container_name", "restart", "network_mode", "shm_size")
LISTS_OF_TEXT = ("command", "entrypoint", "env_file", "devices")


def checked(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The services, with numbers as text where Compose takes them, and refused where it does not."""
    for name, service in services.items():
        for key in ONLY_TEXT:
            if key in service and not isinstance(service[key], str):
                raise NotTextError(f"services.{name}.{key} must be a string")
        for key in LISTS_OF_TEXT:
            for i, item in enumerate(service[key] if isinstance(service.get(key), list) else ()):
                if not isinstance(item, str):
                    raise NotTextError(f"services.{name}.{key}.{i} must be a string")
        for key in ("environment", "labels"):
            if isinstance(service.get(key), dict):
                service[key] = {it: as_text(value) for it, value in service[key].items()}
    return services


class VariableError(ValueError):
    """A dollar sign with nothing behind it that Compose knows."""


def interpolated(value: Any, variables: dict[str, str]) -> Any:
    """Compose's variables, of which the files here have the plain ones."""
    if isinstance(value, dict):
        return {key: interpolated(it, variables) for key, it in value.items()}
    if isinstance(value, list):
        return [interpolated(it, variables) for it in value]
    if not isinstance(value, str):
        return value

    def replaced(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name is None and found[3] is None:
            return "$"
        if name is None:
            raise VariableError(f'invalid interpolation format: "{value}"')
        if name not in variables:
            print(f'time="…" level=warning msg="The \\"{name}\\" variable is not set."', file=sys.stderr)
        return variables.get(name, "")

    return re.sub(r"\$(?:\$|\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*)|(\{)|)", replaced, value, flags=re.ASCII)
