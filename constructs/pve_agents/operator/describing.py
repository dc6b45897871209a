"""What happens to a resource, in a line."""

from __future__ import annotations

from pve_agents.operator.events import Change
from pve_agents.operator.words import replaces_container

__all__ = ["describe"]

_SIGNS = {"create": "+", "update": "~", "replace": "-/+", "delete": "-", "import": "=", "move": ">", "forget": "x"}
_WORDS = {
    "create": "is created",
    "update": "is changed",
    "replace": "is destroyed and made anew",
    "delete": "is destroyed",
    "import": "is taken over, with these settings",
    "move": "gets another address",
    "forget": "is forgotten",
}


def describe(change: Change) -> tuple[str, str]:
    """Say what happens to a resource; with the status ``failed`` where it takes away what nobody can bring back."""
    is_lost = bool(replaces_container([change]))
    why = f" ({change.reason.replace('_', ' ')})" if change.reason else ""
    line = f"{_SIGNS.get(change.action, '?'):>3} {change.address} {_WORDS.get(change.action, change.action)}{why}"
    return ("failed", f"{line}, and with it all that is on its root disk") if is_lost else ("", line)
