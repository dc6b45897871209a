"""What is wanted of an agent's node and container, as root's program knows it."""

from __future__ import annotations

from pve_agents.host.spec import wanted_from
from pve_agents.host.wanted import Wanted
from pve_agents.payload import Payload
from pve_agents.root_spec import payload_of, root_spec
from pve_agents.settings import Agent

__all__ = ["wanted_of"]


def wanted_of(agent: Agent, payload: Payload | None = None) -> Wanted:
    """Return what is wanted.

    Args:
        agent: The agent.
        payload: What goes into its container. Defaults to what that is; to pack it takes a moment.
    """
    return wanted_from(root_spec(agent, payload or payload_of(agent), archive=""))
