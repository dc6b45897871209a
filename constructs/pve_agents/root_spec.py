"""What is wanted of an agent's host and container, for the root stack and for the scripts that run without Terraform."""

from __future__ import annotations

import hashlib

from pve_agents.agents.app import app_of
from pve_agents.guests import own_tag
from pve_agents.payload import Payload, container_payload
from pve_agents.settings import Agent

STEPS = {
    "host-directories": ("directories", "mounts", "devices", "stop_seconds"),
    "container-config": ("mounts", "volumes", "devices", "features", "stop_seconds"),
    "payload": ("payload", "secrets"),
    "bootstrap": ("bootstrap", "payload", "secrets"),
}
"""The steps in their order, each with the keys of the spec that are its business."""

_INSIDE = ("payload", "bootstrap")
"""Those that concern nothing but what is in the container."""


def steps_of(agent: Agent) -> dict[str, tuple[str, ...]]:
    """The steps that an agent's delivery takes."""
    return {name: keys for name, keys in STEPS.items() if agent.delivery == "root" or name in _INSIDE}


# Without the time that models take.
_BOOTSTRAP_SECONDS, _CHECKS_SECONDS = 1800, 240
# Beside the time that the services take to stop.
_STOP_MARGIN_SECONDS = 60


def payload_of(agent: Agent) -> Payload:
    """What goes into the agent's container."""
    return container_payload(agent, app_of(agent))


def root_spec(agent: Agent, payload: Payload, *, archive: str) -> dict[str, object]:
    """What is wanted of the agent's host and container, in the words of ``pve_agents.host.spec``.

    Args:
        agent: The agent's settings.
        payload: What goes into its container.
        archive: Path of the packed payload, relative to where the step runs.
    """
    answers = agent.section.answers_seconds if agent.section else 0
    stop = agent.stopping.services + _STOP_MARGIN_SECONDS
    volumes = [{"key": it.key, "place": it.place} for it in agent.volumes]
    return {
        **({"volumes": volumes} if volumes else {}),
        "agent": agent.name,
        "vmid": agent.vmid,
        "node": agent.node,
        "hostname": agent.hostname,
        "tag": own_tag(agent.name),
        "stop_seconds": agent.stopping.container,
        "directories": [
            {"path": mount.host_path, "uid": mount.host_uid, "gid": mount.host_gid, "mode": mount.mode}
            for mount in agent.binds.values()
        ],
        "mounts": [
            {"key": key, "volume": mount.host_path, "path": mount.guest_path, "options": mount.options}
            for key, mount in agent.binds.items()
        ],
        "devices": [
            {"key": key, "path": device.path, "options": device.options} for key, device in agent.devices.items()
        ],
        "features": _features(agent),
        **({"delivery": agent.delivery} if agent.delivery != "root" else {}),
        "payload": {
            "directory": payload.directory,
            "archive": archive,
            "sha256": hashlib.sha256(payload.archive).hexdigest(),
            "checks_timeout_seconds": _CHECKS_SECONDS + answers,
        },
        "secrets": {
            "names": list(payload.secrets),
            "minimum_lengths": dict(payload.minimum_lengths),
            "of_compose": list(payload.secrets_of_compose),
            "path": f"/etc/pve-agents/{agent.name}.env",
            # Only the bootstrap reads it, and hands each service what is its own.
            "uid": 0,
            "gid": 0,
        },
        "bootstrap": {
            "command": f"{payload.directory}/bootstrap",
            "timeout_seconds": _BOOTSTRAP_SECONDS + stop + answers,
            "stop_seconds": stop,
        },
    }


def _features(agent: Agent) -> dict[str, str]:
    """Return the features that are wanted.

    Who needs no ``keyctl`` and states nothing leaves it to a container that has it: Docker may still run there, and has to
    start again where what is to take its place does not answer.
    """
    if agent.delivery != "root" or (not agent.keyctl and "keyctl" not in agent.model_fields_set):
        return {}
    return {"keyctl": "1" if agent.keyctl else "0"}
