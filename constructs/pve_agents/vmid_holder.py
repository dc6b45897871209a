"""Whose a VMID is, as the cluster says it."""

from __future__ import annotations

from dataclasses import dataclass

from pve_agents.guests import Own, why_taken
from pve_agents.node_api import Node

__all__ = ["Holder", "holder"]


@dataclass(frozen=True)
class Holder:
    """Who has a VMID: nobody, this stack's own container, or somebody else."""

    is_free: bool
    problem: str | None = None
    """Why it is not ours to use."""


def holder(node: Node, name: str, vmid: str, *, own: Own | None, token: str) -> Holder:
    """Ask whose a VMID is.

    Args:
        node: The API.
        name: The node that our container is to be on.
        vmid: The VMID.
        own: What marks ours; none where any container on our node is to be taken over.
        token: The token's name.
    """
    if node.is_free(vmid):
        return Holder(is_free=True)
    guest = node.guest(vmid)
    is_container = guest is not None and guest.get("type") == "lxc"
    config = node.container(name, vmid) if is_container else None
    return Holder(is_free=False, problem=why_taken(guest, config, own, vmid=vmid, token=token))
