"""An agent's container through its own console, under the API token: nobody is root on the node."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from pve_agents.host.api_look import seen_by_api
from pve_agents.host.console import of_container
from pve_agents.host.facts import Facts, look_inside, read_guest
from pve_agents.host.plan_container import why_not_ours
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.step import Node, Say
from pve_agents.host.wanted import Wanted
from pve_agents.node_access import Access, NodeError, access
from pve_agents.node_api import Node as Api

__all__ = ["Inside"]


@dataclass
class Inside(Node):
    """The container: its configuration as the API shows it, its inside as a shell of its own root does."""

    access: Access = field(kw_only=True)
    hangs_seconds: ClassVar[float] = math.inf
    """A console that opens slowly says nothing of its container."""

    @classmethod
    def entered(cls, wanted: Wanted, environment: Mapping[str, str], say: Say) -> Self:
        """Read how to get there.

        Raises:
            WrongSettingsError: The environment does not say it.
        """
        try:
            who = access(environment)
        except NodeError as error:
            raise WrongSettingsError(f"delivery: console: {error}") from None
        return cls(wanted, of_container(who, wanted.node, wanted.vmid), say, access=who)

    def look_once(self, more_paths: tuple[str, ...], seen: bytes) -> Facts:  # noqa: ARG002 - nobody sees those here
        """Look at the container's configuration, and into it where it is ours and runs."""
        facts = seen_by_api(self.access, Api(self.access), self.wanted)
        self.seen = b""
        if why_not_ours(self.wanted, facts) or facts.state != "running":
            return facts
        self.seen = seen or self.shell.look(look_inside(self.wanted))
        return replace(facts, guest=read_guest(self.seen.decode("utf-8", "replace")))

    def enter(self, words: str) -> str:
        """The words that run others in the container: where this shell is, they are enough."""
        return words
