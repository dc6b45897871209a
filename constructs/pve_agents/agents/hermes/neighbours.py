"""What two agents that run Hermes cannot both have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from pve_agents.agents.kind import Neighbour
from pve_agents.types import lies_in, shown

__all__ = ["Holder", "neighbour_problems"]


@dataclass(frozen=True)
class Holder:
    """One Hermes of an agent's."""

    agent: Neighbour
    """The agent."""

    place: str
    """Its place in the settings, behind the agent's name."""

    data_directory: str
    """Directory of its data in the agent's container."""

    tokens: Mapping[str, str]
    """Its tokens by their names for Hermes, each with the name under which it is delivered."""


def neighbour_problems(one: Holder, other: Holder) -> Iterator[str]:
    """Say what both have, although each must have its own."""
    for (path, shared), (its, its_shared) in product(_on_node(one), _on_node(other)):
        is_same_node = one.agent.node == other.agent.node or (shared and its_shared)
        if is_same_node and (lies_in(path, its) or lies_in(its, path)):
            yield (
                f"{one.place}.data_directory and {other.place}.data_directory are {shown(path)} and {shown(its)} on the "
                "node, and two gateways destroy each other's data; write directories that lie apart, or outside the mounts"
            )
    for name in one.tokens:
        if (source := one.tokens[name]) == other.tokens.get(name):
            own = f"{other.agent.name.replace('-', '_').upper()}_{source}"
            yield (
                f"{one.place} and {other.place} both have the token {source}, and each would take messages from the "
                f"other; write secrets: {{{name}: {own}}} in {other.place}, and give it a bot of its own"
            )


def _on_node(holder: Holder) -> Iterator[tuple[str, bool]]:
    """Yield where on the node the data is, if it is in a mount, and whether that is the same on every node."""
    for guest_path, (host_path, shared) in holder.agent.mounts.items():
        if lies_in(holder.data_directory, guest_path):
            yield host_path + holder.data_directory[len(guest_path.rstrip("/")) :], shared
