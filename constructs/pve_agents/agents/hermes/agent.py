"""Hermes Agent (Nous Research) in Docker, in a container of Proxmox VE."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from constructs import Construct

from pve_agents.agents.hermes.render import hermes_files
from pve_agents.payload import GuestPayload, Payload, container_payload
from pve_agents.settings import Agent

# Hermes opens no listener, and says so only in its log, when the key is shorter (hermes-agent 0.19).
_API_SERVER_KEY_LENGTH = 16


def hermes_payload(agent: Agent, *, scripts: Path) -> Payload:
    """Return what goes into the container of an agent that runs Hermes.

    Args:
        agent: The agent's settings, with a section ``hermes``.
        scripts: The directory of the scripts that run in the container: ``bootstrap``, ``verify`` and what they use.

    Raises:
        ValueError: The agent runs no Hermes.
    """
    if agent.hermes is None:
        raise ValueError(f"the agent {agent.name} runs no Hermes")
    base = container_payload(agent, scripts=scripts)
    return replace(
        base,
        files={**base.files, **hermes_files(agent, agent.hermes)},
        secrets=tuple(dict.fromkeys([*agent.hermes.secret_names(agent.name), *base.secrets])),
        minimum_lengths={
            profile.secret_map["API_SERVER_KEY"]: _API_SERVER_KEY_LENGTH
            for profile in agent.hermes.services(agent.name).values()
        },
    )


class HermesAgent(GuestPayload):
    """Hermes Agent in Docker: the files that its container needs, staged for the steps that deliver and run them.

    In Proxmox VE it creates nothing by itself. The steps ``payload`` and ``bootstrap`` of the agent's root stack put the
    files into the container and start Docker, Hermes and its sidecars there (``docs/hermes.md``).
    """

    def __init__(self, scope: Construct, id_: str, *, agent: Agent, scripts: Path) -> None:
        """Render the settings and stage the files.

        Args:
            scope: The stack.
            id_: The construct id.
            agent: The agent's settings, with a section ``hermes``.
            scripts: The directory of the scripts that run in the container.

        Raises:
            ValueError: The agent runs no Hermes.
        """
        super().__init__(scope, id_, name=agent.name, payload=hermes_payload(agent, scripts=scripts))
