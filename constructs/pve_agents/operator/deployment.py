"""What a deploy of an agent would do: to its stacks, and as root on its node or in its container."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pve_agents.host.commands import Plan
from pve_agents.host.plan_leaving import plan_leaving
from pve_agents.host.shell import UnreachedError
from pve_agents.host.spec import WrongSettingsError, read_leaving
from pve_agents.operator.events import Change
from pve_agents.operator.look import Look
from pve_agents.operator.output import Output
from pve_agents.operator.project import Project
from pve_agents.operator.stack import Planned, Stack
from pve_agents.operator.stopped import FAILED, REFUSED, UNREACHED, Stopped
from pve_agents.operator.synth import Synthesis, Synthesized
from pve_agents.operator.volumes import Volumes
from pve_agents.operator.words import PROTECTED, explained, replaces_container
from pve_agents.root_spec import STEPS
from pve_agents.settings import Agent, PetMount
from pve_agents.settings.homelab import STORAGE_STACK
from pve_agents.state_guard import CONTAINER
from pve_agents.volumes.wanted import attaches_volumes

__all__ = ["Deployment", "Deployments", "describe", "planned"]

_SIGNS = {"create": "+", "update": "~", "replace": "-/+", "delete": "-", "import": "=", "move": ">", "forget": "x"}
_WORDS = {
    "create": "is created",
    "update": "is changed",
    "replace": "is destroyed and made anew",
    "delete": "is destroyed",
    "import": "is taken over, with these settings",
    "move": "gets another address",
    "forget": "is forgotten",
}
# With which the container is not yet, as root looks at it, what it will be.
_NEW = ("create", "replace", "import")
_LONGEST_COMMAND = 110


@dataclass
class Deployment:
    """An agent's stacks, and its node as root sees it."""

    agent: Agent
    token: Stack
    root: Stack | None
    """None where the token delivers, too."""
    look: Look
    volumes: Volumes
    by_token: Planned = field(init=False)
    by_root: Planned | None = field(default=None, init=False)

    def plan(self, *, volumes: bool = True) -> None:
        """Plan the stacks and look at the node, all at once.

        Args:
            volumes: Whether to look at the container's volumes, too.

        Raises:
            Stopped: One of them cannot be planned. Each says why.
        """
        with ThreadPoolExecutor(max_workers=3) as pool:
            by_token = pool.submit(self.token.plan)
            by_root = pool.submit(self.root.plan) if self.root else None
            seen = pool.submit(self.look.see)
        self.by_token, self.by_root = by_token.result(), by_root.result() if by_root else None
        problems = [
            line
            for stack, planned in self.planned_stacks
            for line in (explained(stack.name, planned.diagnostics) if planned.is_refused else [])
        ]
        if problems:
            raise Stopped(*problems, status=REFUSED if self._is_protected else FAILED)
        changes = [it for it in self.by_token.changes if it.type == CONTAINER or attaches_volumes(it.address)]
        # Where Terraform attaches them anyway, or the container they come from is to change, it is the program's to look.
        if volumes and all(it.type != CONTAINER and it.action == "delete" for it in changes):
            self.volumes.see(had=bool(changes))
        try:
            seen.result()
        except UnreachedError as error:
            raise Stopped(str(error), status=UNREACHED) from None
        except WrongSettingsError as error:
            raise Stopped(str(error)) from None

    @property
    def planned_stacks(self) -> list[tuple[Stack, Planned]]:
        """The stacks in the order in which they are deployed, each with what its plan found."""
        by_root = [(self.root, self.by_root)] if self.root and self.by_root else []
        return [(self.token, self.by_token), *by_root]

    @property
    def where(self) -> str:
        """Where root's commands run."""
        vmid, node = self.agent.vmid, self.agent.node
        return f"in container {vmid}, through its console" if self.root is None else f"on {node}"

    @property
    def _is_protected(self) -> bool:
        return any(it.summary == PROTECTED for it in self.by_token.diagnostics)

    @property
    def takes_container_away(self) -> list[Change]:
        """What would destroy the container, or make it anew."""
        return replaces_container(self.by_token.changes)

    @cached_property
    def as_root(self) -> Plan:
        """What would run as root: first what leaves the settings, then what is not yet as they want it."""
        if not self.agent.started:
            return Plan(notes=("nothing: the settings want the container stopped",))
        is_seen_too_early = self._is_to_come or self._volumes_are_to_come
        return sum(self._leaving(), Plan()) + (self.look.foresee() if is_seen_too_early else self.look.plan)

    @property
    def _is_to_come(self) -> bool:
        """Whether the container is not yet, as root looks at it, what the token stack makes of it."""
        actions = {it.action for it in self.by_token.changes if it.type == CONTAINER}
        is_started = "update" in actions and self.look.node is not None and self.look.facts.state == "stopped"
        return is_started or not actions.isdisjoint(_NEW)

    @property
    def _volumes_are_to_come(self) -> bool:
        """Whether the container, as root looks at it, has not yet the volumes that the token attaches."""
        by_terraform = any(attaches_volumes(it.address) and it.action != "delete" for it in self.by_token.changes)
        return by_terraform or bool(self.volumes.plan.actions)

    def _leaving(self) -> Iterator[Plan]:
        node = self.look.node
        if node is None or self.root is None or self.by_root is None:
            return
        if not any(it.action in ("replace", "delete") for it in self.by_root.changes):
            return
        for change in self.root.show().get("resource_changes", ()):
            held = _held(change)
            if held is not None:
                step = next((it for it in STEPS if change["name"].endswith(it.replace("-", "_"))), next(iter(STEPS)))
                is_replaced = "create" in change["change"]["actions"]
                yield plan_leaving(
                    self.look.wanted, self.look.facts, read_leaving(held), is_replaced=is_replaced, step=step
                )

    def by_api(self) -> Iterator[tuple[str, str]]:
        """Say what the token stack would do: a line each, with the status that gives its colour."""
        yield "", f"{self.agent.name}, with the API token:"
        yield from (describe(change) for change in self.by_token.changes)
        if self._is_to_come:
            yield from (("", f"    {it}") for it in self.volumes.to_come)
        yield from (("", f"    {it.reason}") for it in self.volumes.plan.actions)
        yield from (("", f"    {it}") for it in self.volumes.plan.notes)
        yield from (("failed", f"    refused: {it}") for it in self.volumes.plan.refusals)
        if not (self.by_token.changes or self.volumes.plan.actions):
            yield "", "    no changes"

    def by_shell(self) -> Iterator[tuple[str, str]]:
        """Say in the same way what would run as root; ``agents plan`` shows all of each command, and why it runs."""
        yield "", f"{self.agent.name}, as root {self.where}:"
        yield from (("", f"    {note}") for note in dict.fromkeys(self.as_root.notes))
        for command in self.as_root.commands:
            first, _, more = command.line.partition("\n")
            cut = bool(more) or len(first) > _LONGEST_COMMAND
            yield "", f"    $ {first[:_LONGEST_COMMAND]}{' …' if cut else ''}"
        yield from (("failed", f"    refused: {reason}") for reason in self._by_root)
        if not (self.as_root.commands or self.as_root.refusals or self.as_root.notes):
            yield "", "    nothing"

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why it would not be done; several steps may have the same reason."""
        return tuple(dict.fromkeys([*self.volumes.plan.refusals, *self._by_root]))

    @property
    def _by_root(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(it.text for it in self.as_root.refusals))

    @property
    def is_nothing(self) -> bool:
        """Whether all is as the settings want it."""
        return not (
            self.volumes.plan.actions
            or any(
                planned.is_change for stack, planned in self.planned_stacks if stack is self.token or self.agent.started
            )
            or (self.agent.started and self.as_root.commands)
        )


def _held(change: dict[str, Any]) -> str | None:
    """What a step that goes had attached, as its trigger says."""
    before = change["change"].get("before") or {}
    if change["type"] != "null_resource" or "delete" not in change["change"]["actions"]:
        return None
    spec = (before.get("triggers") or {}).get("spec", "")
    try:
        has = json.loads(spec)
    except ValueError:
        return None
    return spec if has.get("mounts") or has.get("devices") else None


@dataclass
class Foundation:
    """The stack that agents' volumes come from, which is deployed before them."""

    stack: Stack
    found: Planned

    def lines(self) -> Iterator[tuple[str, str]]:
        """Say what it would do, as ``Deployment.by_api`` does."""
        yield "", f"{self.stack.name}, with the API token:"
        yield from (describe(change) for change in self.found.changes)
        if not self.found.changes:
            yield "", "    no changes"


@dataclass(frozen=True)
class Deployments:
    """What would happen, all together."""

    agents: tuple[Deployment, ...]
    foundation: Foundation | None = None
    """None where no agent has a volume of the pet container."""

    def digest(self) -> Iterator[tuple[str, str]]:
        """Say what the foundation would do."""
        if self.foundation:
            yield from self.foundation.lines()


def _deployment_of(project: Project, agent: Agent, stacks: Mapping[str, Synthesized], out: Output) -> Deployment:
    """Return an agent's deployment, each child with its own credential; nobody has been asked yet."""
    by_root = f"{agent.name}-root"
    return Deployment(
        agent,
        Stack(agent.name, stacks[agent.name], project.of_the_token),
        Stack(by_root, stacks[by_root], project.of_root) if by_root in stacks else None,
        # As the steps of a stack say it.
        Look(agent, project.of(agent), lambda text: out.line(f"  [{agent.name}] {text}")),
        Volumes(agent, project.homelab.storage, project.of_the_token),
    )


def _foundation_of(project: Project, agents: Sequence[Agent], stacks: Mapping[str, Synthesized]) -> Foundation | None:
    """Plan the pet container, where one of the agents has a volume of it.

    Raises:
        Stopped: It cannot be planned.
    """
    if not any(isinstance(mount, PetMount) for agent in agents for mount in agent.mounts.values()):
        return None
    stack = Stack(STORAGE_STACK, stacks[STORAGE_STACK], project.of_the_token)
    found = stack.plan()
    if found.is_refused:
        raise Stopped(*explained(stack.name, found.diagnostics), status=REFUSED)
    return Foundation(stack, found)


def planned(project: Project, out: Output, agents: Sequence[Agent], synthesis: Synthesis) -> Deployments:
    """Plan the stacks of agents, and print what is worth a second look.

    Raises:
        Stopped: One of them cannot be planned.
    """
    written = synthesis.stacks()
    foundation = _foundation_of(project, agents, written)
    deployments = tuple(_deployment_of(project, agent, written, out) for agent in agents)
    for deployment in deployments:
        deployment.plan(volumes=not (foundation and foundation.found.is_change))
        stacks = deployment.planned_stacks
        for sentence in (line for stack, found in stacks for line in (*stack.synthesized.warnings, *found.warnings)):
            out.line(f"{out.mark('warning')} {sentence}")
    return Deployments(deployments, foundation)


def describe(change: Change) -> tuple[str, str]:
    """Say what happens to a resource; with the status ``failed`` where it takes away what nobody can bring back."""
    is_lost = bool(replaces_container([change]))
    why = f" ({change.reason.replace('_', ' ')})" if change.reason else ""
    line = f"{_SIGNS.get(change.action, '?'):>3} {change.address} {_WORDS.get(change.action, change.action)}{why}"
    return ("failed", f"{line}, and with it all that is on its root disk") if is_lost else ("", line)
