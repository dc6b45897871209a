"""What a container that runs Hermes gets, and what the program that runs there is told of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pve_agents.agents.app import App, Data, engine_of
from pve_agents.agents.hermes.render import (
    GID,
    UID,
    api_url,
    dashboard_url,
    document_place,
    endpoint,
    hermes_files,
    in_guest,
    key_name,
    run_image,
)
from pve_agents.agents.hermes.settings import DATA, Hermes, Profile
from pve_agents.agents.hermes.units import packages_of, release_of, units_of_agent
from pve_agents.guest.plan import (
    Compose,
    Document,
    Image,
    Json,
    Native,
    NativeNames,
    Secret,
    Seed,
    Service,
    SettingNames,
    Sidecar,
)
from pve_agents.settings import Agent

_HEALTH_MARGIN_SECONDS = 60
# Each platform that is not reached takes half a minute of it.
_NATIVE_HEALTH_SECONDS = 240
# Hermes opens no listener, and says so only in its log, when the key is shorter (hermes-agent 0.19).
_API_SERVER_KEY, _API_SERVER_KEY_LENGTH = "API_SERVER_KEY", 16
_WHEN_SHORTER = "Hermes then opens no API server"
_IMAGE_GIGABYTES = 5
# What of Hermes runs in the container: its checks, and what its supervisor calls when it is told to stop.
_PROGRAM = Path(__file__).with_name("guest")
_CHECKS, _STOP_GATEWAY = "pve_agents.agents.hermes.guest.checks", "stop-gateway"


def app(agent: Agent) -> App:
    """Return what goes into the container of an agent that runs Hermes.

    Raises:
        ValueError: The agent runs no Hermes.
    """
    hermes = Hermes.of(agent)
    if hermes is None:
        raise ValueError(f"the agent {agent.name} runs no Hermes")
    files = hermes_files(agent, hermes)
    is_native = hermes.runtime == "native"
    return App(
        files=files,
        compose=None if is_native else _compose(agent, hermes, files),
        native=_native(agent, hermes) if is_native else None,
        program=_PROGRAM,
        data=tuple(_beside(hermes)),
        next_steps=tuple(_next_steps(agent, hermes)),
    )


def _beside(hermes: Hermes) -> Iterator[Data]:
    """What lies in directories that the settings show to Hermes, or to what runs beside it."""
    shown = {"Hermes": hermes.volumes, **{name: it.volumes for name, it in hermes.sidecars.items()}}
    shown |= {name: it.volumes for name, it in hermes.profiles.items()}
    for name, volumes in shown.items():
        for source, _, *mode in (it.split(":") for it in volumes):
            if mode != ["ro"]:
                yield Data(f"the files of {name}", source)


def _next_steps(agent: Agent, hermes: Hermes) -> Iterator[str]:
    for name, profile in hermes.services(agent.name).items():
        yield from (f"write to {name} on {it.capitalize()}" for it in profile.platforms.enabled)
        inside = f"docker exec -it {name}"
        if hermes.runtime == "native":
            inside = f"/opt/pve-agents/{agent.name}/bootstrap --enter {name}"
        yield f"talk to it, as root on {agent.node}: pct exec {agent.vmid} -- {inside} hermes chat"


def _compose(agent: Agent, hermes: Hermes, files: Mapping[str, str]) -> Compose:
    section = f"agents.{agent.name}.hermes"
    delivered = ("docker-compose.yml", "asound.conf", "image/Dockerfile")
    return Compose(
        title="Hermes",
        checks=_CHECKS,
        uid=UID,
        gid=GID,
        engine=engine_of(hermes.docker, hermes.stopping),
        image=Image(
            base=hermes.image.reference,
            run=run_image(agent, hermes),
            repository=hermes.image.repository,
            is_moving=hermes.image.is_moving and not hermes.image.digest,
            gigabytes=_IMAGE_GIGABYTES,
        ),
        network=hermes.network_mode,
        services=tuple(
            _service_plan(agent, hermes, name, profile) for name, profile in hermes.services(agent.name).items()
        ),
        settings=SettingNames(
            docker_source=f"{section}.docker.source",
            registry_mirrors=f"{section}.docker.registry_mirrors",
            network=f"{section}.network_mode",
            image_tag=f"{section}.image.tag",
            image_repository=f"{section}.image.repository",
            image_packages=f"{section}.image.apt_packages",
            memory=f"{section}.limits.memory",
            copies=f"{section}.copy_data_before_upgrade",
        ),
        sidecars=tuple(Sidecar(name, it.image, tuple(it.secrets)) for name, it in hermes.sidecars.items()),
        files=tuple(name for name in delivered if name in files),
        programs=(_STOP_GATEWAY,),
        stop_seconds=hermes.stopping.service,
        health_seconds=hermes.healthcheck.start_period_seconds + _HEALTH_MARGIN_SECONDS,
        copies=hermes.copy_data_before_upgrade,
    )


def _native(agent: Agent, hermes: Hermes) -> Native:
    section = f"agents.{agent.name}.hermes"
    services = hermes.services(agent.name).items()
    return Native(
        title="Hermes",
        release=release_of(hermes),
        settings=NativeNames(
            release=f"{section}.package",
            packages=f"{section}.packages",
            memory=f"{section}.limits.memory",
            copies=f"{section}.copy_data_before_upgrade",
        ),
        user="hermes",
        home=DATA,
        services=tuple(
            # What is declared of the platforms, Hermes reads only where it finds a file of its own (0.19).
            replace(_service_plan(agent, hermes, name, it), empty=(f"{it.data_directory}/config.yaml",))
            for name, it in services
        ),
        units=tuple(units_of_agent(hermes, agent.name)),
        packages=packages_of(hermes),
        checks=_CHECKS,
        uid=UID,
        gid=GID,
        stop_seconds=hermes.stopping.service,
        health_seconds=_NATIVE_HEALTH_SECONDS,
        copies=hermes.copy_data_before_upgrade,
    )


def _service_plan(agent: Agent, hermes: Hermes, name: str, profile: Profile) -> Service:
    data, workspace = profile.data_directory, in_guest(profile, profile.workspace) if profile.workspace else ""
    directories = [
        f"{mount.guest_path.rstrip('/')}/workspace" for mount in agent.mounts.values() if not mount.read_only
    ]
    if workspace and workspace not in directories:
        directories.insert(0, workspace)
    auth = profile.auth
    return Service(
        name=name,
        data_directory=data,
        directories=tuple(directories),
        files=("config.yaml",),
        secrets=tuple(_secret(variable, source) for variable, source in profile.secret_map.items()),
        documents=tuple(_document(it, data, workspace) for it in profile.documents),
        seeds=(Seed(auth.secret, f"{data}/auth.json", auth.overwrite),) if auth else (),
        private=(f"{data}/.env", f"{data}/auth.json"),
        checks=_checks(hermes, profile),
    )


def _secret(variable: str, source: str) -> Secret:
    if variable == _API_SERVER_KEY:
        return Secret(variable, source, _API_SERVER_KEY_LENGTH, _WHEN_SHORTER)
    return Secret(variable, source)


def _document(name: str, data: str, workspace: str) -> Document:
    place = document_place(name)
    folder, _, path = place.partition("/")
    return Document(place, f"{data if folder == 'home' else workspace}/{path}")


def _checks(hermes: Hermes, profile: Profile) -> dict[str, Json]:
    """Return what ``guest/checks.py`` wants to know."""
    model, provider = profile.config["model"], endpoint(profile.config)
    return {
        "api_url": api_url(hermes, profile),
        "dashboard_url": dashboard_url(hermes, profile),
        "platforms": ["api_server", *profile.platforms.enabled, *profile.messengers],
        "provider": model["provider"],
        "base_url": provider.get("base_url", ""),
        "key_name": key_name(provider),
        "model": model["default"],
        "answer_seconds": hermes.answer_seconds,
    }
