"""What a container that runs Hermes gets."""

from __future__ import annotations

from pve_agents.agents.app import App, Secret
from pve_agents.agents.hermes.render import hermes_files
from pve_agents.agents.hermes.settings import Hermes
from pve_agents.settings import Agent

# Hermes opens no listener, and says so only in its log, when the key is shorter (hermes-agent 0.19).
_API_SERVER_KEY_LENGTH = 16


def app(agent: Agent) -> App:
    """Return what goes into the container of an agent that runs Hermes.

    Raises:
        ValueError: The agent runs no Hermes.
    """
    hermes = Hermes.of(agent)
    if hermes is None:
        raise ValueError(f"the agent {agent.name} runs no Hermes")
    keys = {profile.secret_map["API_SERVER_KEY"] for profile in hermes.services(agent.name).values()}
    of_sidecars = {name for sidecar in hermes.sidecars.values() for name in sidecar.secrets}
    return App(
        files={name: file.text for name, file in hermes_files(agent, hermes).items()},
        secrets=[
            Secret(name, _API_SERVER_KEY_LENGTH if name in keys else 0, is_read_by_compose=name in of_sidecars)
            for name in hermes.secret_names(agent.name)
        ],
    )
