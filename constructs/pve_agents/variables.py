"""``HOMELAB_...`` variables: each sets one key of the settings.

``HOMELAB_AGENTS__LIBRARIAN__VMID=119`` is ``agents.librarian.vmid``. A value is JSON where it is JSON (``119``, ``true``,
``null``, ``["ai", "agent"]``) and text otherwise. An agent's hyphens become underscores in a variable's name.
"""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

from pve_agents.problems import Key
from pve_agents.types import shown

__all__ = ["FILE_VARIABLE", "in_json", "set_by_variables", "unquoted", "variables"]

FILE_VARIABLE = "HOMELAB_FILE"
"""Variable that names the file; it sets no key."""

_PREFIX = "HOMELAB_"


def variables() -> dict[Key, str]:
    """Return the names of the variables that set something, by the key that each sets."""
    names: dict[Key, str] = {}
    for name, value in os.environ.items():
        if name.upper().startswith(_PREFIX) and name.upper() != FILE_VARIABLE and value:
            key = name[len(_PREFIX) :].lower().split("__")
            if key[0] == "agents":
                key[1:2] = [part.replace("_", "-") for part in key[1:2]]
            names[tuple(key)] = name
    return names


def set_by_variables() -> dict[str, Any]:
    """Return what the variables set, as a tree: one for a key below another's changes the value of that one."""
    tree: dict[str, Any] = {}
    for (*parents, last), name in sorted(variables().items(), key=lambda item: len(item[0])):
        node: dict[Any, Any] = tree
        for part in parents:
            below = node.setdefault(part, {})
            # What is no mapping must be refused, not hidden by a variable for one of its keys.
            node = below if isinstance(below, dict) else {}
        node[last] = _read(os.environ[name])
        if (last, *parents) == ("agents",) and isinstance(tree["agents"], dict):
            tree["agents"] = {agent.replace("_", "-"): values for agent, values in tree["agents"].items()}
    return tree


def unquoted(sentence: str) -> str:
    """Return a sentence about a variable without what variables hold: it may be a secret under a wrong name."""
    for value in _values(set_by_variables()):
        if isinstance(value, int | float) and sentence.startswith(f"{shown(value)} "):
            sentence = f"the value{sentence.removeprefix(shown(value))}"
        said = shown(str(value))
        if sentence.startswith(said):
            sentence = f"the value{sentence.removeprefix(said)}"
        sentence = sentence.replace(said, "(not shown)")
    return sentence


def in_json(sentence: str) -> str:
    """Return a sentence whose examples are as a variable is read, and not as a file is."""
    sentence = sentence.replace("write keys and values,", 'write JSON such as {"key": "value"},')
    sentence = sentence.replace("write one such as [", "write JSON such as [")
    sentence = re.sub(
        r"(\bwrite \S.*) in quotes$", "\\1 in double quotes within single ones, such as '\"…\"'", sentence
    )
    return _EXAMPLE.sub(lambda found: json.dumps(list(map(_read, found[1].split(", ")))), sentence)


# A list in the words of YAML, such as [first, second]; what is in quotes already is JSON.
_EXAMPLE = re.compile(r"\[([A-Za-z_][\w-]*(?:, [A-Za-z_][\w-]*)*)\]")


def _values(tree: object) -> Iterator[object]:
    """Every value in a tree, and every tree in it."""
    if isinstance(tree, dict | list):
        for below in tree.values() if isinstance(tree, dict) else tree:
            yield from _values(below)
    if tree is not None and not isinstance(tree, bool):
        yield tree


def _read(value: str) -> Any:  # noqa: ANN401 - plain data
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
