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
from pve_agents.operator.describing import describe
from pve_agents.operator.foundation import Foundation, foundation_of
from pve_agents.operator.going import Going, what_goes
from pve_agents.operator.look import Look
from pve_agents.operator.output import Output
from pve_agents.operator.project import Project
from pve_agents.operator.stack import Planned, Stack
from pve_agents.operator.stopped import UNREACHED, Stopped
from pve_agents.operator.synth import Synthesis, Synthesized
from pve_agents.operator.unplanned import need_plans
from pve_agents.operator.volumes import Volumes
from pve_agents.operator.words import replaces_container
from pve_agents.root_spec import STEPS
from pve_agents.settings import Agent
from pve_agents.state_guard import CONTAINER
from pve_agents.volume_spec import wanted_volumes
from pve_agents.volumes.wanted import attaches_volumes

__all__ = ["Deployment", "Deployments", "planned"]

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
        need_plans(self.planned_stacks)
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

    @cached_property
    def going(self) -> tuple[Going, ...]:
        """The containers that it takes away, as the state has them, which may not be the settings'."""
        return what_goes(self.token, self.volumes) if replaces_container(self.by_token.changes) else ()

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
        # Nobody knows yet what becomes of those that nobody has seen: what they come from is to change first.
        return by_terraform or bool(self.volumes.plan.actions) or self.volumes.is_unseen

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
        yield from (
            ("failed", f"    with container {it.vmid} go {', '.join(it.owned)}") for it in self.going if it.owned
        )
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
            or self.volumes.is_unseen
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

    @property
    def refusals(self) -> list[str]:
        """Why it would not be done, each with whose it is."""
        of_pets = [f"{self.foundation.stack.name}: {it}" for it in self.foundation.refusals] if self.foundation else []
        return [*of_pets, *(f"{it.agent.name}: {reason}" for it in self.agents for reason in it.refusals)]


def _deployment_of(project: Project, agent: Agent, stacks: Mapping[str, Synthesized], out: Output) -> Deployment:
    """Return an agent's deployment, each child with its own credential; nobody has been asked yet."""
    by_root = f"{agent.name}-root"
    return Deployment(
        agent,
        Stack(agent.name, stacks[agent.name], project.of_the_token),
        Stack(by_root, stacks[by_root], project.of_root) if by_root in stacks else None,
        # As the steps of a stack say it.
        Look(agent, project.of(agent), lambda text: out.line(f"  [{agent.name}] {text}")),
        Volumes(wanted_volumes(agent, project.homelab.storage), project.of_the_token),
    )


def planned(project: Project, out: Output, agents: Sequence[Agent], synthesis: Synthesis) -> Deployments:
    """Plan the stacks of agents, and print what is worth a second look.

    Raises:
        Stopped: One of them cannot be planned.
    """
    written = synthesis.stacks()
    foundation = foundation_of(project, agents, written)
    deployments = tuple(_deployment_of(project, agent, written, out) for agent in agents)
    for deployment in deployments:
        deployment.plan(volumes=not (foundation and foundation.is_change))
        stacks = deployment.planned_stacks
        for sentence in (line for stack, found in stacks for line in (*stack.synthesized.warnings, *found.warnings)):
            out.line(f"{out.mark('warning')} {sentence}")
    return Deployments(deployments, foundation)
