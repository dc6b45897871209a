"""The files that Hermes Agent needs in its container, made from the settings.

Docker, Hermes and the program that runs in the container read them; none holds a secret.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from pve_agents.agents.hermes.messengers import listeners
from pve_agents.agents.hermes.settings import DATA, Hermes, Profile
from pve_agents.agents.hermes.units import journal_text, native_environment, unit_texts
from pve_agents.compose_words import with_signs_doubled
from pve_agents.settings import Agent
from pve_agents.types import lies_in
from pve_agents.yaml_writer import to_yaml

UID = GID = 10000
"""The user that Hermes runs as, in its image and in its service."""

STATE_ROOT = "/var/lib/pve-agents"
"""Where the bootstrap keeps what it makes of the payload."""

_MANAGED = "/managed"
# What the image's supervisor runs when the container is told to stop, before it ends what it has not started itself.
_FINISH = "/etc/cont-finish.d/50-stop-gateway"
_LOOPBACK = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - inside a container with a network of its own
# Where Hermes reads these; all others are read in its working directory (hermes-agent 0.19, section "Documents").
_HOME_DOCUMENTS = {"SOUL.md": "SOUL.md", "USER.md": "memories/USER.md", "MEMORY.md": "memories/MEMORY.md"}
_ASOUND = """\
pcm.!default {
    type pulse
    hint {
        show on
        description "Default ALSA Output (PulseAudio)"
    }
}
pcm.pulse { type pulse }
ctl.!default { type pulse }
"""


def hermes_files(agent: Agent, hermes: Hermes) -> dict[str, str]:
    """Return the payload's files by their path, without the plan and the program.

    Args:
        agent: The settings of the agent's container.
        hermes: What runs in it.
    """
    services = hermes.services(agent.name)
    files = _units(agent, hermes) if hermes.runtime == "native" else _for_docker(agent, hermes)
    for service, profile in services.items():
        place = f"services/{service}"
        files[f"{place}/managed/config.yaml"] = to_yaml(_managed_config(hermes, profile.config))
        files[f"{place}/managed/env"] = _dotenv(_managed_environment(hermes, profile))
        for name, text in profile.documents.items():
            files[f"{place}/documents/{document_place(name)}"] = text
    return files


def _units(agent: Agent, hermes: Hermes) -> dict[str, str]:
    environments = {
        name: native_environment(_shared_environment(agent, profile) | dict(profile.environment))
        for name, profile in hermes.services(agent.name).items()
    }
    state = f"{STATE_ROOT}/{agent.name}"
    return {"journald.conf": journal_text(hermes), **unit_texts(agent, hermes, environments, state)}


def _for_docker(agent: Agent, hermes: Hermes) -> dict[str, str]:
    files = {"docker-compose.yml": to_yaml(_compose(agent, hermes, hermes.services(agent.name)))}
    if hermes.image_packages:
        files["image/Dockerfile"] = _dockerfile(hermes)
    if hermes.audio:
        files["asound.conf"] = _ASOUND
    return files


# docker-compose.yml ---------------------------------------------------------------------------------------------------


def _compose(agent: Agent, hermes: Hermes, services: Mapping[str, Profile]) -> dict[str, Any]:
    compose: dict[str, Any] = {
        "name": agent.name,
        "services": {name: _service(agent, hermes, name, profile) for name, profile in services.items()}
        | {name: _sidecar(agent, hermes, name) for name in hermes.sidecars},
    }
    if hermes.networks:
        compose["networks"] = _spelled(hermes.networks, with_signs_doubled)
    return compose


def _service(agent: Agent, hermes: Hermes, name: str, profile: Profile) -> dict[str, Any]:
    bridged = hermes.network_mode == "bridge"
    service: dict[str, Any] = {
        "image": run_image(agent, hermes),
        "container_name": name,
        # The image's entrypoint supervises the gateway; its default command would be a chat that ends at once.
        "command": ["gateway", "run"],
        "restart": hermes.restart,
        "stop_grace_period": f"{hermes.stopping.agent}s",
        "environment": _environment(agent, hermes, profile),
        "volumes": _volumes(agent, hermes, name, profile),
        "shm_size": profile.shm_size,
        "healthcheck": {
            # It asks itself, past any proxy of its environment.
            "test": ["CMD", "curl", "-fsS", "--noproxy", "*", f"{api_url(hermes, profile)}/health"],
            "interval": f"{hermes.healthcheck.interval_seconds}s",
            "timeout": f"{hermes.healthcheck.timeout_seconds}s",
            "retries": hermes.healthcheck.retries,
            "start_period": f"{hermes.healthcheck.start_period_seconds}s",
        },
        "logging": _logging(hermes),
    }
    if agent.devices:
        service["devices"] = [device.path for device in agent.devices.values()]
    if bridged:
        service["ports"] = [f"{host}:{port}:{port}" for host, port in _published(profile)]
        if hermes.networks:
            service["networks"] = list(hermes.networks)
    else:
        service["network_mode"] = hermes.network_mode
    limits = {"memory": profile.limits.memory, "cpus": profile.limits.cpus, "pids": profile.limits.pids}
    limits = {key: str(value) if key == "cpus" else value for key, value in limits.items() if value is not None}
    if limits:
        service["deploy"] = {"resources": {"limits": limits}}
    return _finished(name, _spelled(service, _escaped))


def _published(profile: Profile) -> Iterator[tuple[str, int]]:
    """Yield what is let through to a profile in a network of its own, as the addresses and ports of the container."""
    yield profile.api_server.host, profile.api_server.port
    if profile.dashboard.enabled:
        yield profile.dashboard.host, profile.dashboard.port
    if (telegram := profile.platforms.telegram) and telegram.webhook_url:
        yield _EVERYWHERE, telegram.webhook_port
    for _, host, port in listeners(profile.messengers, profile.environment):
        yield host, port


def _environment(agent: Agent, hermes: Hermes, profile: Profile) -> dict[str, str]:
    shared = _shared_environment(agent, profile)
    scratch = {"TERMINAL_TEMP_DIR": shared.pop("TERMINAL_TEMP_DIR")} if "TERMINAL_TEMP_DIR" in shared else {}
    environment = {
        "HERMES_UID": str(UID),
        "HERMES_GID": str(GID),
        **shared,
        # Milliseconds that the image's supervisor gives `stop-gateway`.
        "S6_KILL_FINISH_MAXTIME": f"{hermes.stopping.gateway}000",
        **scratch,
    }
    if profile.dashboard.enabled:
        # The image's supervisor reads these before Hermes reads any file.
        environment |= {
            "HERMES_DASHBOARD": "1",
            "HERMES_DASHBOARD_HOST": _listens_on(hermes, profile.dashboard.host),
            "HERMES_DASHBOARD_PORT": str(profile.dashboard.port),
        }
    if hermes.audio:
        environment |= {
            "XDG_RUNTIME_DIR": str(PurePosixPath(hermes.audio.pulse_socket).parent),
            "PULSE_SERVER": f"unix:{hermes.audio.pulse_socket}/native",
            "PULSE_COOKIE": "/tmp/pulse-cookie",  # noqa: S108 - where the guide of Hermes has it
        }
    # The managed .env comes too late for the image's own scripts, and for the clock of a process that already runs.
    return environment | dict(profile.environment)


def _shared_environment(agent: Agent, profile: Profile) -> dict[str, str]:
    """Return the variables that Hermes gets with every runtime."""
    writable = [mount.guest_path for mount in agent.mounts.values() if not mount.read_only]
    writable += [target for _, target, *mode in (it.split(":") for it in profile.volumes) if mode != ["ro"]]
    environment = {
        "HERMES_MANAGED_DIR": _MANAGED,
        # By itself Hermes allows the agent's file tools its data directory only.
        "HERMES_WRITE_SAFE_ROOT": ":".join([DATA, *writable]),
    }
    if "temp_dir" not in profile.config["terminal"]:
        # Since 0.20.6 Hermes keeps the scratch of the terminal with the data, and so in every copy and backup.
        environment["TERMINAL_TEMP_DIR"] = "/tmp"  # noqa: S108 - of Hermes' own container, or its unit
    return environment


def _volumes(agent: Agent, hermes: Hermes, name: str, profile: Profile) -> list[dict[str, Any]]:
    state = f"{STATE_ROOT}/{agent.name}"
    binds = [
        (profile.data_directory, DATA, False),
        (f"{state}/services/{name}/managed", _MANAGED, True),
        (f"{state}/stop-gateway", _FINISH, True),
        *((mount.guest_path, mount.guest_path, mount.read_only) for mount in agent.mounts.values()),
    ]
    if hermes.audio:
        if not any(lies_in(hermes.audio.pulse_socket, mount.guest_path) for mount in agent.mounts.values()):
            binds.append((hermes.audio.pulse_socket, hermes.audio.pulse_socket, False))
        binds += [
            (hermes.audio.pulse_cookie, "/tmp/pulse-cookie", True),  # noqa: S108
            (f"{state}/asound.conf", "/etc/asound.conf", True),
        ]
    for volume in profile.volumes:
        source, target, *mode = volume.split(":")
        binds.append((source, target, mode == ["ro"]))
    return [
        {
            "type": "bind",
            "source": source,
            "target": target,
            **({"read_only": True} if read_only else {}),
            # Docker would make a missing directory, owned by root, and hide that a disk is not there.
            "bind": {"create_host_path": False},
        }
        for source, target, read_only in binds
    ]


def _sidecar(agent: Agent, hermes: Hermes, name: str) -> dict[str, Any]:
    sidecar = hermes.sidecars[name]
    service: dict[str, Any] = {
        "container_name": f"{agent.name}-{name}",
        "restart": hermes.restart,
        "logging": _logging(hermes),
        "stop_grace_period": sidecar.stop_grace_period,
        **_spelled(sidecar.compose, with_signs_doubled),
    }
    if hermes.network_mode == "host":
        service["network_mode"] = "host"
    if sidecar.secrets:
        service["env_file"] = [f"{STATE_ROOT}/{agent.name}/sidecars/{name}.env"]
    return _finished(name, service)


def _logging(hermes: Hermes) -> dict[str, Any]:
    return {
        "driver": "json-file",
        "options": {"max-size": hermes.logging.max_size, "max-file": str(hermes.logging.max_file)},
    }


def _revision(service: str) -> str:
    # The bootstrap sets it from the service's files, so that Compose recreates what a change concerns and no more.
    return f"${{REVISION_{_shell_name(service)}}}"


def _finished(name: str, service: Mapping[str, Any]) -> dict[str, Any]:
    labels = {**service.get("labels", {}), "pve-agents.revision": _revision(name)}
    return {**service, "labels": labels}


def _escaped(text: str) -> str:
    """Return what is no text of Compose's as one."""
    return text.replace("$", "$$")


def _spelled(value: Any, spelling: Callable[[str], str]) -> Any:  # noqa: ANN401 - plain data
    if isinstance(value, Mapping):
        return {key: _spelled(it, spelling) for key, it in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(it, spelling) for it in value]
    return spelling(value) if isinstance(value, str) else value


# The image -----------------------------------------------------------------------------------------------------------


def _dockerfile(hermes: Hermes) -> str:
    return (
        f"FROM {hermes.image.reference}\n"
        "USER root\n"
        "RUN apt-get update \\\n"
        f" && apt-get install -y --no-install-recommends {' '.join(hermes.image_packages)} \\\n"
        " && rm -rf /var/lib/apt/lists/*\n"
    )


def run_image(agent: Agent, hermes: Hermes) -> str:
    if not hermes.image_packages:
        return hermes.image.reference
    return f"pve-agents/{agent.name}:{hashlib.sha256(_dockerfile(hermes).encode()).hexdigest()[:12]}"


# Managed config and environment --------------------------------------------------------------------------------------


def _managed_config(hermes: Hermes, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared config, with the provider's address in the block of the model too.

    The image seeds the user's own config.yaml with OpenRouter's there: undeclared, it would stay, and Hermes asks it.
    """
    base_url = endpoint(config).get("base_url")
    declared = {**config, "model": {**config["model"], **({"base_url": base_url} if base_url else {})}}
    if hermes.runtime == "native" and hermes.watchdog_seconds:
        # Without it, Hermes gives systemd no sign of life.
        declared["gateway"] = {**config.get("gateway", {}), "systemd_watchdog_seconds": hermes.watchdog_seconds}
    return declared


def endpoint(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return where the main model is asked for; empty where Hermes alone knows."""
    model = config["model"]
    provider = str(model["provider"]).removeprefix("custom:")
    found: Mapping[str, Any] = model if provider == "custom" else config.get("providers", {}).get(provider, {})
    return found


def key_name(endpoint: Mapping[str, Any]) -> str:
    if reference := re.fullmatch(r"\$\{(\w+)\}", str(endpoint.get("api_key", ""))):
        return reference[1]
    return str(endpoint.get("key_env", ""))


def in_guest(profile: Profile, path: str) -> str:
    """Return where a path of the agent's container is in the LXC container."""
    inside = PurePosixPath(path)
    if inside.is_relative_to(DATA):
        return str(PurePosixPath(profile.data_directory) / inside.relative_to(DATA))
    return path


def document_place(name: str) -> str:
    return f"home/{_HOME_DOCUMENTS[name]}" if name in _HOME_DOCUMENTS else f"workspace/{name}"


def api_url(hermes: Hermes, profile: Profile) -> str:
    return _url_inside(hermes, profile.api_server.host, profile.api_server.port)


def dashboard_url(hermes: Hermes, profile: Profile) -> str:
    dashboard = profile.dashboard
    return _url_inside(hermes, dashboard.host, dashboard.port) if dashboard.enabled else ""


def _url_inside(hermes: Hermes, host: str, port: int) -> str:
    """Return where Hermes' own container reaches what listens there."""
    address = _listens_on(hermes, host)
    return f"http://{_LOOPBACK if address == _EVERYWHERE else address}:{port}"


def _listens_on(hermes: Hermes, host: str) -> str:
    """Return the address in Hermes' own container for one of the LXC container's."""
    # In a network of its own, its loopback is not the LXC container's: `ports` decides who may reach it.
    return _EVERYWHERE if hermes.network_mode == "bridge" else host


def _managed_environment(hermes: Hermes, profile: Profile) -> dict[str, str]:
    hosts = {"API_SERVER_HOST": profile.api_server.host}
    for listener, host, _ in listeners(profile.messengers, profile.environment):
        if listener.host_name:
            hosts[listener.host_name] = host
    return {**profile.managed_environment, **{name: _listens_on(hermes, host) for name, host in hosts.items()}}


# Spelling ------------------------------------------------------------------------------------------------------------


def _shell_name(name: str) -> str:
    return re.sub(r"\W", "_", name).upper()


def _dotenv(values: Mapping[str, str]) -> str:
    """Return lines that python-dotenv reads back as they were; single quotes keep all but themselves and backslashes."""
    lines = []
    for name, value in values.items():
        plain = re.fullmatch(r"[A-Za-z0-9_./:@%+=,-]*", value)
        quoted = value if plain else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        lines.append(f"{name}={quoted}\n")
    return "".join(lines)
