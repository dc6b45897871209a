"""Looks at a container through the API, does what is planned about its volumes, and looks again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from pve_agents.host.properties import source_of
from pve_agents.node_api import Access, Node, NodeError, RefusedError, StatusError
from pve_agents.volumes.plan import Action, Plan, Seen, plan
from pve_agents.volumes.values import is_volume, owner_of
from pve_agents.volumes.wanted import PetVolume, Wanted

__all__ = ["ACT_SECONDS", "attach", "look"]

ACT_SECONDS = 600.0
"""How long one request may take that makes or grows a file system."""

_MOST_ROUNDS = 60
_CHANGED_BY_OTHERS = "detected modified configuration"
_PAUSE_SECONDS = 1.0


def look(node: Node, wanted: Wanted, *, users: bool = True) -> Seen:
    """See what there is.

    Args:
        node: The API.
        wanted: What the container is to have.
        users: Whether to see, too, who else has a volume, for which every container of the cluster is asked. Without that, no
            volume may be attached or grown after this look. Defaults to yes.

    Raises:
        NodeError: The node could not be asked.
    """
    config = node.container(wanted.node, str(wanted.vmid))
    if config is None:
        return Seen(None)
    running = node.container(wanted.node, str(wanted.vmid), current=True) or {}
    pets = {it.source.vmid for it in wanted.volumes if isinstance(it.source, PetVolume)}
    pet = node.container(wanted.node, str(min(pets))) if pets else None
    others = _others(node, wanted) if users else _Others()
    return Seen(
        config=_texts(config),
        running=_texts(running),
        digest=str(config.get("digest", "")),
        state=node.state(wanted.node, str(wanted.vmid)),
        pet=_texts(pet) if pet else None,
        users=others.users,
        runners=frozenset(others.runners),
        unasked=tuple(others.unasked),
    )


@dataclass
class _Others:
    """Containers that may have a volume of the one that owns those in question."""

    users: dict[str, str] = field(default_factory=dict)
    runners: set[str] = field(default_factory=set)
    unasked: list[str] = field(default_factory=list)


def _others(node: Node, wanted: Wanted) -> _Others:
    found = _Others()
    owners = {it.source.vmid for it in wanted.volumes if isinstance(it.source, PetVolume)}
    owners |= {wanted.vmid} if wanted.protected else set()
    if not owners:
        return found
    for vmid, (place, status) in sorted(node.container_states().items()):
        if int(vmid) in {wanted.vmid, *owners}:
            continue
        try:
            # What it will have from its next start on, and what it has until then.
            configs = [_texts(node.container(place, vmid, current=it) or {}) for it in (False, True)]
        except StatusError as error:
            if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            # It is not passed over: a volume on storage that both nodes have may be its own, and be written to when it starts.
            of, why = " or ".join(map(str, sorted(owners))), f"HTTP {error.status} {error.words}".strip()
            found.unasked.append(
                f"container {vmid} on node {place} could not be asked ({why}), so nobody knows whether it has a volume of "
                f"container {of}: start node {place} if it is off, or remove it from the cluster, and run it again"
            )
            continue
        for key, value in (item for config in configs for item in config.items()):
            if key.startswith(("mp", "rootfs")) and is_volume(value) and owner_of(value) in owners:
                found.users[source_of(value)] = f"container {vmid} ({configs[0].get('hostname', '')})"
                found.runners |= {source_of(value)} if status == "running" else set()
    return found


def _texts(config: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in config.items()}


def attach(access: Access, wanted: Wanted, say: Callable[[str], None]) -> Plan:
    """Do what is planned, request by request, and look after each; return the plan that is left, which does nothing.

    A run that was ended in the middle is taken up by the next one: nothing is remembered but what the node knows.

    Args:
        access: Where, and as whom.
        wanted: What the container is to have.
        say: Gets a line for each thing that is done.

    Raises:
        NodeError: Something is not done. What was done before stays, and the next run goes on from there.
    """
    node = Node(access, seconds=ACT_SECONDS)
    done: list[Action] = []
    for _ in range(_MOST_ROUNDS):
        found = plan(wanted, look(node, wanted))
        if found.refusals:
            raise NodeError("; ".join(found.refusals))
        if not found.actions:
            return found
        action = found.actions[0]
        if _is_the_same(action, done):
            raise NodeError(f"Proxmox VE has taken it and done nothing: {action.reason}. Look at the container's tasks")
        try:
            say(f"{action.reason} …")
            _do(node, wanted, action)
        except RefusedError as error:
            # Somebody else was at it, and what is to be done may be another thing now.
            if _CHANGED_BY_OTHERS in error.words:
                continue
            raise
        done.append(action)
    raise NodeError(f"somebody else changes container {wanted.vmid} again and again: nothing more was done")


def _is_the_same(action: Action, done: list[Action]) -> bool:
    """Whether the request before was the same one, but for the hash of the configuration."""
    return bool(done) and (done[-1].path, done[-1].reason) == (action.path, action.reason)


def _do(node: Node, wanted: Wanted, action: Action) -> None:
    task = node.change(action.verb, f"nodes/{wanted.node}/lxc/{wanted.vmid}/{action.path}", action.parameters)
    if not task.startswith("UPID:"):
        return
    until = time.monotonic() + ACT_SECONDS
    while not (outcome := node.task(wanted.node, task)):
        if time.monotonic() > until:
            raise NodeError(f"Proxmox VE has not ended after {ACT_SECONDS:g} seconds: {action.reason}")
        time.sleep(_PAUSE_SECONDS)
    if outcome != "OK":
        # A file system that could not be grown is a warning, too.
        raise NodeError(f"{action.reason}: Proxmox VE's task ended with {outcome}")
