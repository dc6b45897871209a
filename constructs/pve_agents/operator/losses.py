"""What is lost with an agent's container: what lies on its root disk, or in a mount that goes with it."""

from __future__ import annotations

from collections.abc import Iterator

from pve_agents.agents.app import app_of
from pve_agents.settings import Agent, Mount
from pve_agents.types import lies_in

__all__ = ["kept_mounts", "losses"]


def losses(agent: Agent) -> list[str]:
    """Return what of the agent is gone for good when its container is, a phrase each; nothing where all of it stays.

    What its kind can get again is none of it: packages, images, what is delivered at each deploy.
    """
    return [*_in_mounts(agent), *_on_the_root_disk(agent)]


def kept_mounts(agent: Agent) -> list[str]:
    """Return what stays, a phrase each."""
    return [it.at_destroy(key, agent.node) for key, it in agent.mounts.items() if it.survives]


def _in_mounts(agent: Agent) -> Iterator[str]:
    for key, mount in agent.mounts.items():
        if not mount.survives:
            yield mount.at_destroy(key, agent.node)


def _on_the_root_disk(agent: Agent) -> Iterator[str]:
    for data in app_of(agent).kept:
        if _mount_with(agent, data.directory) is None:
            place = "its root disk" if data.directory == "/" else f"{data.directory}, on its root disk"
            yield f"{data.name}, {place}"


def _mount_with(agent: Agent, path: str) -> Mount | None:
    holding = [mount for mount in agent.mounts.values() if lies_in(path, mount.guest_path)]
    return max(holding, key=lambda it: len(it.guest_path), default=None)
