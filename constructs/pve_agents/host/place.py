"""How an agent's node is reached: by root's shell, or by what a person pastes into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pve_agents.host.shell import PASTE, shell_from
from pve_agents.host.step import Node, Say
from pve_agents.host.wanted import Wanted

if TYPE_CHECKING:
    from pve_agents.host.paste import Paste

__all__ = ["place_of"]


def place_of(wanted: Wanted, environment: Mapping[str, str], say: Say) -> Node | Paste:
    """Return the place where a plan's commands run, as PVE_TRANSPORT names it.

    Raises:
        WrongSettingsError: The environment does not say how to get there.
    """
    if environment.get("PVE_TRANSPORT") == PASTE:
        # Here, and with it what speaks to the API: a step over ssh is over sooner than this is imported.
        from pve_agents.host.paste import Paste  # noqa: PLC0415

        return Paste(wanted, say, environment)
    return Node(wanted, shell_from(environment, wanted.secret_names), say)
