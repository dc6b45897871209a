"""Compose's variables in a text, and what is put in the place of each.

https://docs.docker.com/reference/compose-file/interpolation/
"""

import re
from collections.abc import Collection, Mapping

from pve_agents.types import shown

__all__ = ["filled", "for_compose", "secrets_in"]

# Stands around the name of a secret, whose value nobody knows here. No text in YAML can have it.
_MARK = "\0"
_MARKED = re.compile(f"{_MARK}(\\w+){_MARK}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
_SIGN = re.compile(r"\$(?:(?P<escaped>\$)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<brace>\{))?")


def filled(text: str, values: Mapping[str, str], secrets: Collection[str]) -> str:
    """Return a text with the values of its variables, and a mark for each secret.

    Args:
        text: As a compose file has it.
        values: The variables.
        secrets: Names of those whose values arrive in the container only.

    Raises:
        ValueError: One has no value, or this is no variable. The phrase says what to write instead.
    """
    found, at = [], 0
    while sign := _SIGN.search(text, at):
        found.append(text[at : sign.start()])
        at = sign.end()
        if sign["escaped"] or sign[0] == "$":
            # A lone one is the sign itself, too.
            found.append("$")
        elif sign["name"]:
            found.append(_value(sign["name"], values, secrets))
        else:
            end = _closing(text, sign.end())
            found.append(_in_braces(text[sign.end() : end], values, secrets))
            at = end + 1
    return "".join([*found, text[at:]])


def _closing(text: str, at: int) -> int:
    """Return where a brace ends that has been opened; those of variables within are passed over."""
    opened = 1
    while at < len(text):
        if text.startswith("${", at):
            opened, at = opened + 1, at + 1
        elif text[at] == "}":
            opened -= 1
            if not opened:
                return at
        at += 1
    raise ValueError(f"{shown(text)} has a ${{ without its }}; close it, or write $$ for the sign itself")


def _in_braces(inside: str, values: Mapping[str, str], secrets: Collection[str]) -> str:
    name = _NAME.match(inside)
    rest = inside[name.end() :] if name else ""
    operator = next((it for it in _OPERATORS if rest.startswith(it)), "")
    if name is None or (rest and not operator):
        raise ValueError(f"{shown(f'${{{inside}}}')} is no variable of Compose's; write $$ for the sign itself")
    argument = rest[len(operator) :]
    there = name[0] in secrets or (values.get(name[0], "") != "" if ":" in operator else name[0] in values)
    match operator[-1:]:
        case "-" if not there:
            return filled(argument, values, secrets)
        case "+":
            return filled(argument, values, secrets) if there else ""
        case "?" if not there:
            raise ValueError(_without_value(name[0]))
    return _value(name[0], values, secrets)


def _value(name: str, values: Mapping[str, str], secrets: Collection[str]) -> str:
    if name in secrets:
        return f"{_MARK}{name}{_MARK}"
    if name in values:
        return values[name]
    raise ValueError(_without_value(name))


def _without_value(name: str) -> str:
    return (
        f"{name} has no value; write it under variables of the agent's compose, or its name under secrets there and the "
        "value into the agent's secrets file"
    )


def secrets_in(text: str) -> list[str]:
    """Return the names of the secrets that a filled text has."""
    return _MARKED.findall(text)


def for_compose(text: str) -> str:
    """Return a filled text as Compose reads it back: each secret by its name, and each sign twice."""
    return _MARKED.sub(r"${\1}", text.replace("$", "$$"))
