"""The state of a repository of before: what an agent takes over from it, and what stays there."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pve_agents.operator.stopped import REFUSED, Stopped
from pve_agents.operator.terraform import Terraform
from pve_agents.settings import Agent
from pve_agents.state_guard import CONTAINER, FILES

__all__ = ["OldState", "read_old_state"]


@dataclass(frozen=True)
class OldState:
    """A state file, by the addresses in it."""

    file: Path
    addresses: tuple[str, ...]
    """All."""
    taken: tuple[str, ...]
    """The agent's container and its template."""

    def forget(self, environment: Mapping[str, str]) -> Path | None:
        """Let Terraform take out of the file what is taken over; return the copy that it had before.

        Raises:
            Stopped: Terraform could not.
        """
        if not self.taken:
            return None
        copy = self.file.with_name(f"{self.file.name}.before-{time.strftime('%Y%m%d-%H%M%S')}")
        # Terraform knows the directory as its own, and the file from wherever it was named.
        where = [f"-state={self.file.absolute()}", f"-backup={copy.absolute()}"]
        with tempfile.TemporaryDirectory() as nowhere:
            Terraform(str(self.file), Path(nowhere), environment).read("state", "rm", *where, *self.taken)
        return copy


def read_old_state(file: Path, agent: Agent, own: Path) -> OldState:
    """Read the file, and find what is the agent's.

    Args:
        file: The old state.
        agent: The agent.
        own: Where the agent's own state is kept.

    Raises:
        Stopped: It is no state, or holds nothing of the agent's.
    """
    if file.resolve() == own.resolve():
        raise Stopped(
            f"{file} is where the state of {agent.name} itself is kept: move the old state elsewhere, and name it from there",
            status=REFUSED,
        )
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        found = list(_resources(state))
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or "it is no state of Terraform's"
        raise Stopped(f"{file} cannot be read ({reason}): name the old repository's terraform.tfstate") from None
    addresses = tuple(address for address, _, _ in found)
    container = (str(agent.vmid), agent.node)
    taken = [
        address
        for address, kind, it in found
        if (kind == CONTAINER and (str(it.get("id")), it.get("node_name")) == container)
        or (kind in FILES and it.get("id") == agent.template.volume)
    ]
    return OldState(file, addresses, tuple(taken))


def _resources(state: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Address, type and attributes of everything that the state manages."""
    for resource in state["resources"]:
        if resource["mode"] != "managed":
            continue
        module = f"{resource['module']}." if resource.get("module") else ""
        for instance in resource["instances"]:
            index = instance.get("index_key")
            suffix = "" if index is None else f"[{json.dumps(index)}]"
            yield f"{module}{resource['type']}.{resource['name']}{suffix}", resource["type"], instance["attributes"]
