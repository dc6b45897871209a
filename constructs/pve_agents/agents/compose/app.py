"""What a container that runs a Compose application gets."""

from __future__ import annotations

from pathlib import Path

from pve_agents.agents.app import App, engine_of
from pve_agents.agents.compose.settings import Compose
from pve_agents.guest.plan import Checks, Data, Directory, SettingNames, Sidecar
from pve_agents.guest.plan import Compose as Services
from pve_agents.settings import Agent
from pve_agents.yaml_writer import to_yaml

_CHECKS = "pve_agents.agents.compose.guest.checks"


def app(agent: Agent) -> App:
    """Return what goes into the container of an agent of this kind.

    Raises:
        ValueError: The agent is of another.
    """
    compose = Compose.of(agent)
    if compose is None:
        raise ValueError(f"the agent {agent.name} runs no Compose application")
    it, section = compose.application, f"agents.{agent.name}.compose"
    programs = tuple(name for name, file in it.files.items() if file.is_program)
    return App(
        files={"docker-compose.yml": to_yaml(it.tree), **{name: file.text for name, file in it.files.items()}},
        compose=Services(
            title="the application",
            engine=engine_of(compose.docker, compose.stopping),
            network=it.network,
            settings=SettingNames(
                docker_source=f"{section}.docker.source",
                registry_mirrors=f"{section}.docker.registry_mirrors",
                network=f"network_mode of each service in {compose.file.path}",
                image_tag=f"image in {compose.file.path}",
                image_repository=f"image in {compose.file.path}",
                image_packages=f"image in {compose.file.path}",
                memory=f"mem_limit in {compose.file.path}",
                copies=f"{section}.copy_data_before_upgrade",
            ),
            sidecars=tuple(
                Sidecar(service.name, service.image, service.secrets, service.ends) for service in it.services
            ),
            moving=it.moving,
            variables=it.secrets,
            directories=tuple(
                Directory(path, directory.uid, directory.gid, int(directory.mode, 8))
                for path, directory in compose.places(agent.name).items()
            ),
            data=tuple(Data(name, directory) for name, directory in it.data.items()),
            files=("docker-compose.yml", *(name for name in it.files if name not in programs)),
            programs=programs,
            stop_seconds=compose.stopping.service,
            health_seconds=compose.start_seconds,
            copies=compose.copy_data_before_upgrade,
        ),
        checks=Checks(
            _CHECKS,
            {
                "http": [
                    {
                        "url": check.http,
                        "status": check.status,
                        "contains": check.contains or "",
                        "seconds": check.seconds,
                    }
                    for check in compose.checks
                ]
            },
        ),
        program=Path(__file__).with_name("guest"),
    )
