"""What is wanted of the volumes of an agent's container, for the token stack and for who asks without Terraform."""

from __future__ import annotations

from pve_agents.guests import own_tag
from pve_agents.settings import Agent, Storage
from pve_agents.volumes.wanted import Wanted

__all__ = ["wanted_volumes"]


def wanted_volumes(agent: Agent, storage: Storage | None) -> Wanted:
    """Return it.

    Args:
        agent: The agent's settings.
        storage: The container whose volumes it may have; none where there is no such.
    """
    return Wanted(
        agent=agent.name,
        node=agent.node,
        vmid=agent.vmid,
        hostname=agent.hostname,
        tag=own_tag(agent.name),
        stop_seconds=agent.stopping.container,
        volumes=agent.volumes,
        pet=storage.vmid if storage else 0,
    )
