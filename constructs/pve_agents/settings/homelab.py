"""All settings, and what no two agents may both have."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from pve_agents.agents.kind import Ask, Endpoint, Kind, Neighbour, default_agents
from pve_agents.model import Model, ReadOnly, at_most
from pve_agents.problems import Problem, ProblemsError, SettingsError, below
from pve_agents.settings.agent import Agent
from pve_agents.settings.backend import Backend, LocalBackend
from pve_agents.settings.mounts import Mount, PetMount
from pve_agents.settings.pets import Storage
from pve_agents.settings.storage import nested_problem
from pve_agents.types import shown

__all__ = ["STORAGE_STACK", "Homelab", "directory_problems"]

_MOST_AGENTS = 200


def _named(agents: object) -> object:
    if agents is None or agents == {}:
        raise ValueError(
            f"there is no agent; write at least one, or leave agents out for {', '.join(default_agents())}"
        )
    if not isinstance(agents, Mapping):
        return agents
    for name, agent in agents.items():
        if isinstance(agent, Mapping) and "name" in agent:
            raise ValueError(f"{name} has a key name, and its own key is its name; leave name out")
    return {name: {**agent, "name": name} if isinstance(agent, Mapping) else agent for name, agent in agents.items()}


_UNIQUE: Mapping[str, Callable[[Agent], str | int | None]] = MappingProxyType(
    {
        "VMID": lambda agent: agent.vmid,
        "hostname": lambda agent: agent.hostname.lower(),
        "address": lambda agent: None if agent.network.is_dhcp else agent.network.address.partition("/")[0],
        "MAC address": lambda agent: agent.network.mac_address,
    }
)


def _met_on_a_node(agents: Mapping[str, Agent]) -> Iterator[tuple[Agent, str, Agent, str]]:
    """Yield the mounts of two agents whose directories are the same or lie one in the other, in the agents' order."""
    binds = [agent.binds for agent in agents.values()]
    places = [(i, agent, key) for i, agent in enumerate(agents.values()) for key in binds[i]]
    by_path: dict[str, list[int]] = {}
    for n, (i, _, key) in enumerate(places):
        by_path.setdefault(binds[i][key].host_path, []).append(n)
    pairs = set()
    for n, (i, _, key) in enumerate(places):
        # Each looks up its parents, since comparing all with all takes minutes for some thousands.
        path = PurePosixPath(binds[i][key].host_path)
        for other in (it for above in (path, *path.parents) for it in by_path.get(str(above), ())):
            if places[other][0] != i:
                pairs.add((min(n, other), max(n, other)))
    for n, other in sorted(pairs, key=lambda pair: (places[pair[0]][0], places[pair[1]][0], pair)):
        yield (*places[n][1:], *places[other][1:])


def directory_problems(agents: Mapping[str, Agent]) -> Iterator[str]:
    """Say which directories two agents cannot both have."""
    for one, key, other, other_key in _met_on_a_node(agents):
        mount, its = one.binds[key], other.binds[other_key]
        # Another node has directories of its own, unless both are said to be everywhere.
        if one.node != other.node and not (mount.shared and its.shared):
            continue
        name, its_name = f"{one.name}.mounts.{key}", f"{other.name}.mounts.{other_key}"
        owner, its_owner = (f"{m.host_uid}:{m.host_gid} with mode {m.mode}" for m in (mount, its))
        if mount.host_path != its.host_path:
            yield nested_problem((name, mount), (its_name, its))
        elif owner != its_owner:
            yield (
                f"{name} and {its_name} both have the host_path {shown(mount.host_path)}, which on the node would "
                f"belong to {owner} and to {its_owner}; "
                "give both the same owner and mode, or each agent its own directory"
            )


def _neighbour_problems(agents: Mapping[str, Agent]) -> Iterator[str]:
    by_kind: dict[type[Kind], list[tuple[Neighbour, Kind]]] = {}
    for agent in agents.values():
        if agent.section:
            by_kind.setdefault(type(agent.section), []).append((agent.neighbour, agent.section))
    for kind, neighbours in by_kind.items():
        yield from kind.neighbour_problems(neighbours)


def _answered(agents: Mapping[str, Agent]) -> Mapping[str, Agent]:
    """Return the agents, in which each knows the others whose endpoints it asks for."""
    problems: list[Problem] = []
    answered = {}
    for name, agent in agents.items():
        answered[name] = agent
        if not agent.section or not (asks := agent.section.asks()):
            continue
        place, endpoints = (name, agent.section.kind), {}
        for it in asks:
            found = _endpoint(it, agent, agents)
            if isinstance(found, str):
                problems.append(Problem((*place, *it.key), found, it.agent))
            else:
                endpoints[it.agent] = found
        if len(endpoints) == len({it.agent for it in asks}):
            try:
                section = agent.section.answered(endpoints)
            except ProblemsError as error:
                problems += below(place, error.problems)
            else:
                answered[name] = agent.model_copy(update={"section": section})
    if problems:
        raise ProblemsError(problems)
    return answered


def _endpoint(ask: Ask, agent: Agent, agents: Mapping[str, Agent]) -> tuple[str, Endpoint] | str:
    """Return where somebody is asked, or the sentence why that is not known."""
    other = agents.get(ask.agent)
    offering = [name for name, it in agents.items() if it.section and it.section.endpoint and name != agent.name]
    known = f"write one that does, which are {', '.join(offering)}" if offering else "write one that does; none is here"
    if other is None or other is agent:
        return f"{shown(ask.agent)} is no other agent of this file; {known}"
    if other.section is None or other.section.endpoint is None:
        return f"the agent {ask.agent} answers no other agent; {known}"
    if not (address := other.neighbour.address):
        return (
            f"nobody knows where the agent {ask.agent} is, whose address comes from DHCP; write "
            f"agents.{ask.agent}.network.address, or agents.{ask.agent}.hostname with a name that the others can look up"
        )
    return other.section.endpoint.base_url(address), other.section.endpoint


def _apart(agents: Mapping[str, Agent]) -> Mapping[str, Agent]:
    problems = [
        f"{name} is the key of the agent {agent.name}; use the agent's name as its key"
        for name, agent in agents.items()
        if name != agent.name
    ]
    for what, value_of in _UNIQUE.items():
        first: dict[str | int, str] = {}
        for name, agent in agents.items():
            value = value_of(agent)
            if value is not None and first.setdefault(value, name) != name:
                problems.append(f"{first[value]} and {name} both have the {what} {value}; give each agent its own")
    problems += directory_problems(agents)
    problems += _neighbour_problems(agents)
    if problems:
        raise ValueError("\n".join(problems))
    return agents


STORAGE_STACK = "pet-storage"
"""Name of the stack with the pet container."""


def _with_pets(agents: Mapping[str, Agent], info: ValidationInfo) -> Mapping[str, Agent]:
    """Return the agents, in which each mount of a pet's volume knows whose it is."""
    if "storage" not in info.data:
        return agents
    storage: Storage | None = info.data["storage"]
    problems: list[Problem] = list(_storage_problems(storage, agents)) if storage else []
    taken: dict[str, str] = {}
    answered = {}
    for name, agent in agents.items():
        mounts: dict[str, Mount] = {}
        for key, mount in agent.mounts.items():
            if not isinstance(mount, PetMount):
                continue
            if problem := _pet_problem(mount, agent, storage):
                problems.append(Problem((name, "mounts", key, "volume"), problem, mount.volume))
            elif (first := taken.setdefault(mount.volume, f"{name}.mounts.{key}")) != f"{name}.mounts.{key}":
                sentence = f"{first} has the volume {mount.volume} already, and two containers would destroy its files; give each its own"
                problems.append(Problem((name, "mounts", key, "volume"), sentence, mount.volume))
            elif storage:
                mounts[key] = mount.of(storage)
        changed = {"mounts": MappingProxyType({**agent.mounts, **mounts})}
        answered[name] = agent.model_copy(update=changed) if mounts else agent
    if problems:
        raise ProblemsError(problems)
    return answered


def _pet_problem(mount: PetMount, agent: Agent, storage: Storage | None) -> str:
    if storage is None:
        example = f"storage: {{volumes: {{{mount.volume}: {{size_gib: 32}}}}}}"
        return f"there is no section storage whose volume this could be; write one at the top, such as {example}"
    if mount.volume not in storage.volumes:
        known = f"write one that is, which are {', '.join(storage.volumes)}" if storage.volumes else "there are none"
        return (
            f"{shown(mount.volume)} is no volume of the section storage; {known}, or add storage.volumes.{mount.volume}"
        )
    if agent.node != storage.node:
        return (
            f"the volume {mount.volume} is on the node {storage.node}, and this agent on {agent.node}; "
            "a volume is where its datastore is, so write the same node for both"
        )
    return ""


def _storage_problems(storage: Storage, agents: Mapping[str, Agent]) -> Iterator[Problem]:
    for name, agent in agents.items():
        if name == STORAGE_STACK:
            sentence = f"{shown(name)} is the name of the stack that the section storage makes; write another name"
            yield Problem((name,), sentence, name)
        if agent.vmid == storage.vmid:
            sentence = f"{agent.vmid} is the VMID of the pet container, storage.vmid; write another one"
            yield Problem((name, "vmid"), sentence, agent.vmid)
        if agent.hostname.lower() == storage.hostname.lower():
            sentence = f"{shown(agent.hostname)} is the pet container's, storage.hostname; write another one"
            yield Problem((name, "hostname"), sentence, agent.hostname)


class Homelab(Model):
    """All settings."""

    backend: Backend = LocalBackend()
    """Where Terraform keeps its state. Defaults to a file beside the app."""

    storage: Storage | None = None
    """Volumes that outlive the containers which use them, and the pet container that owns them. Defaults to none."""

    agents: Annotated[
        Mapping[str, Agent],
        BeforeValidator(_named),
        at_most(_MOST_AGENTS, "agents"),
        AfterValidator(_apart),
        AfterValidator(_with_pets),
        AfterValidator(_answered),
        ReadOnly(),
    ] = Field(default_factory=lambda: {name: {} for name in default_agents()}, validate_default=True)
    """Agents by name. Defaults to those that a kind brings along."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is worth a second look, a sentence each."""
        return tuple(sentence for agent in self.agents.values() for sentence in agent.warnings)

    def chosen(self, names: Sequence[str]) -> list[Agent]:
        """Return the agents of these names, or all where none is named.

        Raises:
            SettingsError: There is no such agent.
        """
        if unknown := [name for name in names if name not in self.agents]:
            raise SettingsError([f"There is no agent {unknown[0]}; the settings have {', '.join(self.agents)}."])
        return [self.agents[name] for name in names or self.agents]
