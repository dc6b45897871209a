"""Whose a guest is that has our VMID, or that a state names: judged by what the node says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


def own_tag(agent: str) -> str:
    """Return the tag that marks a container as an agent's own, by the name of the agent and of the container's resource."""
    return f"pve-agents-{agent}".lower()


@dataclass(frozen=True)
class Own:
    """What marks the container of a stack as its own."""

    stack: str
    tag: str
    hostname: str | None = None
    """What it is called, where that counts."""

    def marks(self, config: Mapping[str, object]) -> bool:
        """Whether a container carries the mark."""
        tagged = self.tag in re.split(r"[;, ]+", str(config.get("tags", "")))
        return tagged and self.hostname in (None, config.get("hostname"))


def why_taken(
    guest: Mapping[str, object] | None, config: Mapping[str, object] | None, own: Own | None, *, vmid: str, token: str
) -> str | None:
    """Why the guest that has a VMID is somebody else's; none where it is ours.

    Args:
        guest: What the cluster lists of it; none where the token may not see it.
        config: Its configuration, where it is a container on our node.
        own: What marks ours; none where any container on our node is to be taken over.
        vmid: The VMID.
        token: The token's name.
    """
    if guest is None:
        return (
            f"VMID {vmid} is taken by a guest that token {token} may not see: choose another vmid, or give the token "
            "VM.Audit on /vms"
        )
    place = f"node {guest.get('node')}" + (", which is offline" if guest.get("status") == "unknown" else "")
    if config is None:
        kind = "container" if guest.get("type") == "lxc" else "virtual machine"
        return (
            f"VMID {vmid} is taken by the {kind} {guest.get('name') or vmid} on {place}: nothing was changed. Choose "
            "another vmid in homelab.yaml"
        )
    if own and not own.marks(config):
        return (
            f"VMID {vmid} is taken by the container {config.get('hostname')} on {place}, and this stack's own is called "
            f"{own.hostname} and carries the tag {own.tag}: nothing was changed. Choose another vmid in homelab.yaml; or, "
            "if that container is to be this agent, set adopt: true once"
        )
    return None


def why_keep_container(
    config: Mapping[str, object] | None, own: Own, *, node: str, vmid: str, forget: str
) -> str | None:
    """Why a container is not to be destroyed; none where it may be, or is gone.

    Args:
        config: Its configuration; none where there is none.
        own: What marks the stack's own.
        node: Its node.
        vmid: Its VMID.
        forget: The command with which Terraform forgets it.
    """
    if config is None:
        return None
    if not own.marks(config):
        return (
            f"container {vmid} on node {node} ({config.get('hostname')}) does not carry the tag {own.tag}: it is not the "
            f"one of stack {own.stack}, and was not destroyed. If it is, give it the tag back in the web interface; if "
            f"not, let Terraform forget it: {forget}"
        )
    if config.get("protection"):
        return (
            f"container {vmid} is protected (protection: 1), and a destroy would only stop it; as root on the node: pct "
            f"set {vmid} --protection 0"
        )
    return None


def why_keep_file(file: str, *, forget: str) -> str | None:
    """Why a file of a datastore is not to be deleted; none where it is that of a container template."""
    if file.partition(":")[2].startswith("vztmpl/"):
        return None
    return (
        f"the state names the file {file}, which is no container template, and it was not deleted. Put back a copy of the "
        f"state; or let Terraform forget the file: {forget}"
    )
