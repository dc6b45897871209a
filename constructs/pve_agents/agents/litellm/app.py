"""What a container that runs LiteLLM gets."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pve_agents.agents.app import App, Secret, engine_of
from pve_agents.agents.docker import is_moving
from pve_agents.agents.litellm.render import CONFIG, DATABASE, GATEWAY, compose_file, config_file
from pve_agents.agents.litellm.settings import Litellm
from pve_agents.guest.plan import Checks, Data, Directory, SettingNames, Sidecar
from pve_agents.guest.plan import Compose as Services
from pve_agents.settings import Agent
from pve_agents.yaml_writer import to_yaml

_CHECKS = "pve_agents.agents.litellm.guest.checks"
_LEAST_KEY_LENGTH = 16


def app(agent: Agent) -> App:
    """Return what goes into the container of an agent of this kind.

    Raises:
        ValueError: The agent is of another.
    """
    litellm = Litellm.of(agent)
    if litellm is None:
        raise ValueError(f"the agent {agent.name} runs no LiteLLM")
    config = to_yaml(config_file(litellm))
    contents = hashlib.sha256(config.encode()).hexdigest()[:16]
    password = [litellm.database.password] if litellm.database else []
    return App(
        files={"docker-compose.yml": to_yaml(compose_file(agent, litellm, contents)), CONFIG: config},
        compose=_compose(agent, litellm),
        checks=Checks(
            _CHECKS,
            {
                "url": f"http://{'127.0.0.1' if litellm.listen == '0.0.0.0' else litellm.listen}:{litellm.port}",  # noqa: S104
                "secrets_file": f"/etc/pve-agents/{agent.name}.env",
                "master_key": litellm.master_key,
                "models": list(dict.fromkeys(it.name for it in litellm.models)),
                "asked": next((it.name for it in litellm.models if it.answers_checks), ""),
                "has_database": litellm.database is not None,
                "seconds": litellm.answer_seconds,
                "setting": f"agents.{agent.name}.litellm",
            },
        ),
        program=Path(__file__).with_name("guest"),
        next_steps=[
            f"its API is at http://{{address}}:{litellm.port}/v1",
            f"give an agent a key with a budget: agents grant {agent.name} AGENT --budget 5",
        ],
        secrets=[
            Secret(name, _LEAST_KEY_LENGTH if name in {litellm.master_key, *password} else 0)
            for name in litellm.secret_names(agent.name)
        ],
    )


def _compose(agent: Agent, litellm: Litellm) -> Services:
    section = f"agents.{agent.name}.litellm"
    images = {GATEWAY: litellm.image.reference, **({DATABASE: litellm.database.image} if litellm.database else {})}
    directory = litellm.data_directory(agent.name)
    return Services(
        title="LiteLLM",
        engine=engine_of(litellm.docker, litellm.stopping),
        network="bridge",
        settings=SettingNames(
            docker_source=f"{section}.docker.source",
            registry_mirrors=f"{section}.docker.registry_mirrors",
            network=f"{section}.listen",
            image_tag=f"{section}.image.tag",
            image_repository=f"{section}.image.repository",
            image_packages=f"{section}.image",
            memory=f"agents.{agent.name}.memory.dedicated_mib",
            copies=f"{section}.copy_data_before_upgrade",
        ),
        sidecars=tuple(Sidecar(name, image) for name, image in images.items()),
        moving=tuple(it for it in images.values() if is_moving(it)),
        variables=agent.secret_names,
        directories=(Directory(directory, mode=0o755),) if directory else (),
        data=(Data(DATABASE, directory),) if directory else (),
        files=("docker-compose.yml", CONFIG),
        stop_seconds=litellm.stopping.service,
        health_seconds=litellm.start_seconds,
        copies=litellm.copy_data_before_upgrade,
    )
