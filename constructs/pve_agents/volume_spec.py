"""What is wanted of the volumes of an agent's container, for the token stack and for who asks without Terraform."""

from __future__ import annotations

from pve_agents.guests import own_tag
from pve_agents.settings import Agent, Storage
from pve_agents.settings.homelab import STORAGE_STACK
from pve_agents.volumes.wanted import AttachedVolume, NewVolume, Wanted, pet_place

__all__ = ["wanted_of_pets", "wanted_volumes"]


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


def wanted_of_pets(storage: Storage) -> Wanted:
    """Return what is wanted of the pet container.

    Args:
        storage: The section ``storage``.
    """
    return Wanted(
        agent=STORAGE_STACK,
        node=storage.node,
        vmid=storage.vmid,
        hostname=storage.hostname,
        tag=own_tag(STORAGE_STACK),
        volumes=tuple(
            AttachedVolume(
                pet_place(name), NewVolume(storage.datastore_of(name), volume.size_gib), options=volume.options
            )
            for name, volume in storage.volumes.items()
        ),
        protected=True,
    )
