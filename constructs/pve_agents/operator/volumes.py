"""The volumes of a container, looked at with the API token: what is amiss that Terraform does not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property

from pve_agents.node_api import Node, NodeError, access, within
from pve_agents.operator.stopped import FAILED, Stopped
from pve_agents.volumes.act import attach, look
from pve_agents.volumes.plan import Plan, Seen, plan
from pve_agents.volumes.wanted import NewVolume, Wanted

__all__ = ["Volumes"]

_LOOK_SECONDS = 30.0


class Volumes:
    """A container's volumes, and what would be done about them."""

    def __init__(self, wanted: Wanted, variables: Mapping[str, str]) -> None:
        """Ask nothing yet.

        Args:
            wanted: The container, and what it is to have.
            variables: Those of the token.
        """
        self.wanted = wanted
        self._variables = variables
        self.plan = Plan()
        self._is_seen = False

    @property
    def is_any(self) -> bool:
        """Whether there can be any."""
        return bool(self.wanted.volumes or self.wanted.pet)

    @property
    def is_unseen(self) -> bool:
        """Whether there can be any, and nobody has looked yet."""
        return self.is_any and not self._is_seen

    @cached_property
    def to_come(self) -> tuple[str, ...]:
        """What a new container gets, in words."""
        return tuple(self._words())

    def _words(self) -> Iterator[str]:
        for it in self.wanted.volumes:
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
            self.plan = plan(self.wanted, self._ask(lambda node: look(node, self.wanted)))
        self._is_seen = True
        return self.plan

    def of(self, node: str, vmid: int) -> Seen:
        """Look at a container that may be another one than the settings want.

        Raises:
            Stopped: The node could not be asked.
        """
        return self._ask(lambda api: look(api, replace(self.wanted, node=node, vmid=vmid), users=False))

    def _ask(self, ask: Callable[[Node], Seen]) -> Seen:
        try:
            token = access(self._variables)
            return within(_LOOK_SECONDS, token, lambda: ask(Node(token, seconds=_LOOK_SECONDS)))
        except NodeError as error:
            raise Stopped(str(error), status=FAILED) from None

    def attach(self, say: Callable[[str], None]) -> None:
        """Do what is planned, where Terraform knows of nothing to do.

        Raises:
            Stopped: It failed.
        """
        try:
            attach(access(self._variables), self.wanted, say)
        except NodeError as error:
            raise Stopped(f"{self.wanted.agent}: {error}", status=FAILED) from None
