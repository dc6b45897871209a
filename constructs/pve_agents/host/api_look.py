"""What the Proxmox VE API shows of an agent's container: its configuration and its state, and nothing inside of it."""

from __future__ import annotations

from collections.abc import Mapping

from pve_agents.host.facts import Container, Facts, PathFact
from pve_agents.host.shell import UnreachedError
from pve_agents.host.wanted import Wanted
from pve_agents.node_access import Access, NodeError
from pve_agents.node_api import Node, within

__all__ = ["SECONDS", "seen_by_api"]

SECONDS = 20.0
_UNSEEN = PathFact("directory")


def seen_by_api(access: Access, api: Node, wanted: Wanted) -> Facts:
    """Return what is seen.

    Raises:
        UnreachedError: It does not answer.
    """
    node, vmid = wanted.node, str(wanted.vmid)
    try:
        configured, running, state = within(
            SECONDS,
            access,
            lambda: (api.container(node, vmid), api.container(node, vmid, current=True), api.state(node, vmid)),
        )
    except NodeError as error:
        raise UnreachedError(str(error)) from None
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
