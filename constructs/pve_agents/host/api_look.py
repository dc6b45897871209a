"""What the Proxmox VE API shows of an agent's container: its configuration and its state, and nothing inside of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from pve_agents.host.facts import Container, Facts, PathFact
from pve_agents.host.shell import UnreachedError
from pve_agents.host.wanted import Wanted
from pve_agents.node_access import Access, NodeError
from pve_agents.node_api import Node, within

__all__ = ["asked", "seen_by_api"]

_SECONDS = 20.0
_UNSEEN = PathFact("directory")
Answer = TypeVar("Answer")


def asked(access: Access, ask: Callable[[], Answer]) -> Answer:
    """Return what the API answers.

    Raises:
        UnreachedError: It does not, or not in time.
    """
    try:
        return within(_SECONDS, access, ask)
    except NodeError as error:
        raise UnreachedError(str(error)) from None


def seen_by_api(access: Access, api: Node, wanted: Wanted) -> Facts:
    """Return what is seen.

    Raises:
        UnreachedError: It does not answer.
    """
    node, vmid = wanted.node, str(wanted.vmid)
    configured, running, state = asked(
        access, lambda: (api.container(node, vmid), api.container(node, vmid, current=True), api.state(node, vmid))
    )
    containers, digest = {}, ""
    if configured is not None and running is not None:
        digest = str(configured.get("digest", ""))
        now, then = _texts(running), _texts(configured)
        pending = {key: then.get(key) for key in {*now, *then} if now.get(key) != then.get(key)}
        containers = {wanted.vmid: Container(wanted.vmid, now, pending)}
    sources = {it.source: _UNSEEN if it.place else PathFact("character special file") for it in wanted.attached}
    return Facts(node=node, containers=containers, digest=digest, state=state, paths=sources, sees_paths=False)


def _texts(config: Mapping[str, object]) -> dict[str, str]:
    # The raw lines of a container's file, which take effect as they stand, are a list of pairs.
    return {key: str(value) for key, value in config.items() if key not in {"digest", "lxc"} and value is not None}
