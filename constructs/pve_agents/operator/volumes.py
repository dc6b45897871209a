"""The volumes of an agent's container, looked at with the API token: what is amiss that Terraform does not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

from pve_agents.node_api import Node, NodeError, access, within
from pve_agents.operator.stopped import FAILED, Stopped
from pve_agents.settings import Agent, Storage
from pve_agents.volume_spec import wanted_volumes
from pve_agents.volumes.act import attach, look
from pve_agents.volumes.owned import unknown_volumes
from pve_agents.volumes.plan import Plan, Seen, plan
from pve_agents.volumes.wanted import NewVolume

__all__ = ["Volumes"]

_LOOK_SECONDS = 30.0


class Volumes:
    """An agent's volumes, and what would be done about them."""

    def __init__(self, agent: Agent, storage: Storage | None, variables: Mapping[str, str]) -> None:
        """Ask nothing yet.

        Args:
            agent: The agent.
            storage: The pet container, where there is one.
            variables: Those of the token.
        """
        self._wanted = wanted_volumes(agent, storage)
        self._variables = variables
        self.plan = Plan()

    @property
    def is_any(self) -> bool:
        """Whether there can be any."""
        return bool(self._wanted.volumes or self._wanted.pet)

    @cached_property
    def to_come(self) -> tuple[str, ...]:
        """What a new container gets, in words."""
        return tuple(self._words())

    def _words(self) -> Iterator[str]:
        for it in self._wanted.volumes:
            match it.source:
                case NewVolume(datastore, 0):
                    what = f"a directory on {datastore}"
                case NewVolume(datastore, size):
                    what = f"a volume of {size} GiB on {datastore}"
                case pet:
                    what = f"the volume {pet.name} of container {pet.vmid}"
            yield f"{it.key} at {it.place}: {what}"

    def see(self, *, had: bool = False) -> Plan:
        """Look, and judge what was seen; nothing is changed.

        Args:
            had: Whether there have been any until now. Defaults to what the settings want.

        Raises:
            Stopped: The node could not be asked.
        """
        if self.is_any or had:
            self.plan = plan(self._wanted, self._look())
        return self.plan

    def unknown(self) -> tuple[str, ...]:
        """Return what goes with the container though the settings say nothing of it, a phrase each.

        Raises:
            Stopped: The node could not be asked.
        """
        found = unknown_volumes(self._wanted, self._look())
        return tuple(f"{it}, which the settings do not know, goes with all that is in it" for it in found)

    def _look(self) -> Seen:
        try:
            token = access(self._variables)
            return within(_LOOK_SECONDS, token, lambda: look(Node(token, seconds=_LOOK_SECONDS), self._wanted))
        except NodeError as error:
            raise Stopped(str(error), status=FAILED) from None

    def attach(self, say: Callable[[str], None]) -> None:
        """Do what is planned, where Terraform knows of nothing to do.

        Raises:
            Stopped: It failed.
        """
        try:
            attach(access(self._variables), self._wanted, say)
        except NodeError as error:
            raise Stopped(f"{self._wanted.agent}: {error}", status=FAILED) from None
