"""Hermes Agent (Nous Research) in Docker, in a container of Proxmox VE."""

from __future__ import annotations

from constructs import Construct

from pve_agents.agents.hermes.render import hermes_payload
from pve_agents.guest_payload import GuestPayload
from pve_agents.settings import Agent


class HermesAgent(GuestPayload):
    """Hermes Agent in Docker: the files that its container needs, staged for the steps that deliver and run them.

    In Proxmox VE it creates nothing by itself. The steps ``payload`` and ``bootstrap`` of the agent's root stack put the
    files into the container and start Docker, Hermes and its sidecars there (``docs/hermes.md``).
    """

    def __init__(self, scope: Construct, id_: str, *, agent: Agent) -> None:
        """Render the settings and stage the files.

        Args:
            scope: The stack.
            id_: The construct id.
            agent: The agent's settings, with a section ``hermes``.

        Raises:
            ValueError: The agent runs no Hermes.
        """
        super().__init__(scope, id_, name=agent.name, payload=hermes_payload(agent))
