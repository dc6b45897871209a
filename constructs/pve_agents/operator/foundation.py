"""The stack that agents' volumes come from, which is deployed before them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pve_agents.operator.approval import apply
from pve_agents.operator.describing import describe
from pve_agents.operator.output import Output
from pve_agents.operator.project import Project
from pve_agents.operator.stack import Planned, Stack
from pve_agents.operator.synth import Synthesized
from pve_agents.operator.unplanned import need_plans
from pve_agents.operator.volumes import Volumes
from pve_agents.operator.words import replaces_container
from pve_agents.settings import Agent, PetMount
from pve_agents.settings.homelab import STORAGE_STACK
from pve_agents.volume_spec import wanted_of_pets

__all__ = ["Foundation", "foundation_of"]


@dataclass
class Foundation:
    """What would be done to it."""

    stack: Stack
    found: Planned
    volumes: Volumes

    @property
    def is_change(self) -> bool:
        """Whether there is anything to do."""
        return self.found.is_change or bool(self.volumes.plan.actions)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why it would not be done."""
        if not replaces_container(self.found.changes):
            return self.volumes.plan.refusals
        # Nobody makes volumes anew: they would be empty.
        sentence = (
            f"container {self.volumes.wanted.vmid} of {self.stack.name} would be destroyed or made anew, and with it the volumes "
            "of all agents, which --allow-replace does not cover: set back what causes it under storage (vmid, node, datastore "
            "or disk); docs/storage.md says how to be rid of it"
        )
        return (sentence,)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Say what it would do, as ``Deployment.by_api`` does."""
        yield "", f"{self.stack.name}, with the API token:"
        yield from (describe(change) for change in self.found.changes)
        yield from (("", f"    {it.reason}") for it in self.volumes.plan.actions)
        yield from (("", f"    {it}") for it in self.volumes.plan.notes)
        yield from (("failed", f"    refused: {it}") for it in self.refusals)
        if not (self.found.changes or self.volumes.plan.actions):
            yield "", "    no changes"

    def deploy(self, out: Output) -> None:
        """Do it.

        Raises:
            Stopped: It failed.
        """
        if self.found.is_change:
            apply(self.stack, out, "deployed")
        elif self.volumes.plan.actions:
            self.volumes.attach(lambda line: out.line(f"  [{self.stack.name}] {line}"))


def foundation_of(project: Project, agents: Sequence[Agent], stacks: Mapping[str, Synthesized]) -> Foundation | None:
    """Plan the pet container, where one of the agents has a volume of it.

    Raises:
        Stopped: It cannot be planned.
    """
    storage = project.homelab.storage
    if storage is None or not any(isinstance(mount, PetMount) for agent in agents for mount in agent.mounts.values()):
        return None
    stack = Stack(STORAGE_STACK, stacks[STORAGE_STACK], project.of_the_token)
    found = stack.plan()
    need_plans([(stack, found)])
    volumes = Volumes(wanted_of_pets(storage), project.of_the_token)
    # What is to change, the program looks at that makes the change.
    if not found.is_change:
        volumes.see()
    return Foundation(stack, found, volumes)
