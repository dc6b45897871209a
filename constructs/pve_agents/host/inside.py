"""An agent's container through its own console, under the API token: nobody is root on the node."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from pve_agents.host.api_look import seen_by_api
from pve_agents.host.console import of_container
from pve_agents.host.facts import Facts, GuestFacts, look_inside, read_guest
from pve_agents.host.plan_container import why_not_ours
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.step import BOOT_PAUSES_SECONDS, Node, Say
from pve_agents.host.wanted import Wanted
from pve_agents.node_access import Access, NodeError, access
from pve_agents.node_api import Node as Api

__all__ = ["Inside"]


@dataclass
class Inside(Node):
    """The container: its configuration as the API shows it, its inside as a shell of its own root does."""

    access: Access | None = None

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

    def look(self, more_paths: tuple[str, ...] = (), *, seen: bytes = b"") -> Facts:  # noqa: ARG002 - of the node's
        """Look at the container's configuration, and into it where it is ours and runs.

        Args:
            more_paths: Nobody sees paths of the node here.
            seen: What the step before saw inside; then nobody looks there again.

        Raises:
            UnreachedError: The API or the console did not answer to the end.
        """
        assert self.access is not None  # noqa: S101 - for the type checker
        facts = seen_by_api(self.access, Api(self.access), self.wanted)
        self.seen = b""
        if why_not_ours(self.wanted, facts) or facts.state != "running":
            return facts
        guest = GuestFacts()
        # Right after its start, a container may not have all that a shell needs.
        for pause in (0, *BOOT_PAUSES_SECONDS):
            time.sleep(pause)
            self.seen = seen or self.shell.look(look_inside(self.wanted))
            guest = read_guest(self.seen.decode("utf-8", "replace"))
            if guest.is_whole:
                break
            seen = b""
        return replace(facts, guest=guest)

    def enter(self, words: str) -> str:
        """The words that run others in the container: where this shell is, they are enough."""
        return words
