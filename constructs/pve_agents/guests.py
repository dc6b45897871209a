"""Whose a guest or a file is that a state names: judged by what the node says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Own:
    """What marks the container of a stack as its own."""

    stack: str
    tag: str

    def marks(self, config: Mapping[str, object]) -> bool:
        """Whether a container carries the mark."""
        return self.tag in re.split(r"[;, ]+", str(config.get("tags", "")))


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
