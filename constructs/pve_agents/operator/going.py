"""What goes when a container does, wherever the state has it; looked at before it goes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pve_agents.guests import Own
from pve_agents.operator.stack import Stack
from pve_agents.operator.stopped import REFUSED, Stopped
from pve_agents.operator.volumes import Volumes
from pve_agents.volumes.owned import owned_volumes, unknown_volumes

__all__ = ["Going", "the_one_that_goes", "what_goes"]


@dataclass(frozen=True)
class Going:
    """A container that a plan takes away."""

    node: str
    vmid: int
    owned: tuple[str, ...]
    """The volumes that go with it, in words."""
    unknown: tuple[str, ...]
    """Those of them that the settings do not know, a phrase each."""
    is_protected: bool
    """Whether Proxmox VE refuses to destroy it."""


def what_goes(stack: Stack, volumes: Volumes) -> tuple[Going, ...]:
    """Look at each container that the stack's plan takes away.

    Raises:
        Stopped: The node could not be asked.
    """
    return tuple(_going(volumes, node, vmid) for node, vmid in stack.containers_that_go())


def _going(volumes: Volumes, node: str, vmid: int) -> Going:
    seen, there = volumes.of(node, vmid), replace(volumes.wanted, node=node, vmid=vmid)
    return Going(
        node,
        vmid,
        owned=tuple(f"{key} ({volume})" for volume, (key, _) in owned_volumes(there, seen).items()),
        unknown=tuple(
            f"{it}, which the settings do not know, goes with all that is in it" for it in unknown_volumes(there, seen)
        ),
        is_protected=(seen.config or {}).get("protection") == "1",
    )


def the_one_that_goes(stack: Stack, volumes: Volumes) -> Going | None:
    """Look at the only container of an agent that a planned destroy takes away; none where it is gone already.

    Raises:
        Stopped: It is protected, or the state does not know it, or the node could not be asked.
    """
    if found := what_goes(stack, volumes):
        going = found[0]
        if going.is_protected:
            raise Stopped(
                f"container {going.vmid} is protected (protection: 1), and Proxmox VE does not destroy it: run `pct set "
                f"{going.vmid} --protection 0` on {going.node}, and this again",
                status=REFUSED,
            )
        return going
    wanted = volumes.wanted
    config = volumes.of(wanted.node, wanted.vmid).config
    if config is not None and Own(wanted.agent, wanted.tag, wanted.hostname).marks(config):
        raise Stopped(
            f"container {wanted.vmid} of {wanted.agent} is there, and the state of {wanted.agent} does not know it: "
            f"`agents adopt {wanted.agent}` takes it over, then run this again",
            status=REFUSED,
        )
    return None
