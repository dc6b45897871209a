"""What a node has for a new container, as its API shows it to the token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pve_agents.node_api import Node, StatusError

__all__ = ["Datastore", "Stock"]


@dataclass(frozen=True)
class Datastore:
    """A datastore of a node."""

    kind: str
    """Its type in Proxmox VE: dir, lvmthin, zfspool, …"""
    content: frozenset[str]
    """What it may hold: rootdir, vztmpl, …"""
    enabled: bool
    active: bool
    free: int
    """Bytes."""


class Stock(Node):
    """The API, asked what a node has. It lists only what the token may see."""

    def nodes(self) -> dict[str, bool]:
        """The nodes of the cluster, and whether each is online."""
        return {str(it.get("node")): it.get("status") == "online" for it in self._list("nodes")}

    def datastores(self, node: str) -> dict[str, Datastore]:
        """The datastores of a node that the token may audit or allocate space on."""
        return {str(it.get("storage")): _datastore(it) for it in self._list(f"nodes/{node}/storage")}

    def templates(self, node: str, datastore: str) -> dict[str, int]:
        """The container templates in a datastore, by their file id, with their size in bytes."""
        found = self._list(f"nodes/{node}/storage/{datastore}/content", content="vztmpl")
        return {str(it.get("volid")): int(it.get("size") or 0) for it in found}

    def bridges(self, node: str) -> set[str]:
        """The bridges and SDN vnets of a node that the token may use or audit (pve-manager, PVE::API2::Network)."""
        return {str(it.get("iface")) for it in self._list(f"nodes/{node}/network", type="any_bridge")}

    def download(self, node: str, url: str) -> tuple[int, str]:
        """What the node gets at a URL: its size in bytes, 0 if that is not told; or else why it gets nothing."""
        try:
            answer = self._get(f"nodes/{node}/query-url-metadata", url=url)
        except StatusError as error:
            # pve-manager, PVE::API2::Nodes: all that the server or the way to it says stands behind these words.
            _, found, said = error.words.partition("invalid server response: ")
            if not found:
                raise
            return 0, said.strip("'")
        if not isinstance(answer, dict):
            raise self._foreign()
        return int(answer.get("size") or 0), ""


def _datastore(it: Mapping[str, Any]) -> Datastore:
    return Datastore(
        kind=str(it.get("type", "")),
        content=frozenset(str(it.get("content", "")).split(",")),
        enabled=bool(it.get("enabled", 1)),
        active=bool(it.get("active", 0)),
        free=int(it.get("avail") or 0),
    )
