"""Secrets that stand in the settings themselves, where a name belongs."""

from collections.abc import Iterator

from pydantic import BaseModel

from pve_agents.agents.hermes.trees import literal_secrets
from pve_agents.problems import Key, Problem

__all__ = ["found_secrets", "plain"]

_BY_NAME = "write ${NAME} in its place, and put the value into the agent's secrets file under that name"
_REMEDIES = {
    "settings": _BY_NAME,
    "config_file": _BY_NAME,
    "platforms": _BY_NAME,
    "environment": "list a name for it under secrets, and put the value into the agent's secrets file",
    "sidecars": "list a name for it under the sidecar's secrets, and put the value into the agent's secrets file",
    "networks": "leave it out",
}


def found_secrets(area: str, tree: object) -> Iterator[Problem]:
    """Find what seems to be a secret.

    Args:
        area: The key of the settings below which it is looked for.
        tree: What stands there, as plain data.
    """
    for key, value in literal_secrets(tree, (area,)):
        # A sidecar's are names; what is no list there is refused without being shown.
        if area != "sidecars" or "secrets" not in key:
            yield Problem(key, f"this seems to be a secret; {_REMEDIES[area]}{_without_a_key(key)}", value)


def _without_a_key(key: Key) -> str:
    """Say what to do where a server needs no key, and only an example has one."""
    match key:
        case (_, "providers", _, "api_key"):
            return "; where the server needs none, leave it out"
        case (_, "model", "api_key"):
            return "; where the server needs none, name it under providers, with its base_url alone"
    return ""


def plain(values: object) -> object:
    """Return settings as plain data, whichever they are."""
    return values.model_dump(mode="json", exclude_unset=True) if isinstance(values, BaseModel) else values
