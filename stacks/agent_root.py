"""The stack of one agent under root credentials: what no API token may do."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cdktf import Annotations, ITerraformDependable, TerraformStack
from cdktf_cdktf_provider_null.provider import NullProvider
from constructs import Construct

from pve_agents import GuestPayload, HermesAgent, Host, HostStep, Payload
from pve_agents.agents.hermes.agent import hermes_payload
from pve_agents.payload import container_payload
from pve_agents.settings import Agent, Backend
from stacks.backend import store_state

STEPS = {
    "host-directories": ("directories", "mounts", "devices"),
    "container-config": ("mounts", "devices", "features"),
    "payload": ("payload", "secrets"),
    "bootstrap": ("bootstrap", "payload", "secrets"),
}
"""The steps in their order, each with the keys of the spec that are its business."""

_SCRIPTS = Path(__file__).parent.parent / "scripts"
# Without the time that models take.
_BOOTSTRAP_SECONDS, _CHECKS_SECONDS = 1800, 240


def payload_of(agent: Agent) -> Payload:
    """What goes into the agent's container."""
    make = hermes_payload if agent.hermes else container_payload
    return make(agent, scripts=_SCRIPTS / "guest")


def root_spec(agent: Agent, payload: Payload, *, archive: str) -> dict[str, object]:
    """What is wanted of the agent's host and container, in the words of ``scripts/host/host-step``.

    Args:
        agent: The agent's settings.
        payload: What goes into its container.
        archive: Path of the packed payload, relative to where the step runs.
    """
    answers = agent.hermes.all_answers_seconds if agent.hermes else 0
    return {
        "agent": agent.name,
        "vmid": agent.vmid,
        "node": agent.node,
        "hostname": agent.hostname,
        "directories": [
            {"path": mount.host_path, "uid": mount.host_uid, "gid": mount.host_gid, "mode": mount.mode}
            for mount in agent.mounts.values()
        ],
        "mounts": [
            {"key": key, "volume": mount.host_path, "path": mount.guest_path, "options": mount.options}
            for key, mount in agent.mounts.items()
        ],
        "devices": [
            {"key": key, "path": device.path, "options": device.options} for key, device in agent.devices.items()
        ],
        "features": {"keyctl": "1" if agent.keyctl else "0"},
        "payload": {
            "directory": payload.directory,
            "archive": archive,
            "sha256": hashlib.sha256(payload.archive).hexdigest(),
            "checks_timeout_seconds": _CHECKS_SECONDS + answers,
        },
        "secrets": {
            "names": list(payload.secrets),
            "minimum_lengths": dict(payload.minimum_lengths),
            "path": f"/etc/pve-agents/{agent.name}.env",
            # Only the bootstrap reads it, and hands each service what is its own.
            "uid": 0,
            "gid": 0,
        },
        "bootstrap": {"command": f"{payload.directory}/bootstrap", "timeout_seconds": _BOOTSTRAP_SECONDS + answers},
    }


class AgentRootStack(TerraformStack):
    """Host directories, mount points, ``keyctl``, devices, and the delivery of payload, secrets and bootstrap.

    It shares nothing with the agent's other stack but the settings, and deploys in a process that needs no API token.
    How it reaches the host as root is said by ``PVE_TRANSPORT``.
    """

    def __init__(self, scope: Construct, id_: str, *, agent: Agent, backend: Backend) -> None:
        """Wire the steps, in their order.

        Args:
            scope: The app.
            id_: The stack's name: the agent's and ``-root``.
            agent: Its settings.
            backend: Where Terraform keeps the state.
        """
        super().__init__(scope, id_)
        store_state(self, backend)
        NullProvider(self, "null")

        for sentence in agent.warnings:
            Annotations.of(self).add_warning(sentence)
        guest = _SCRIPTS / "guest"
        content = (
            HermesAgent(self, "payload", agent=agent, scripts=guest)
            if agent.hermes
            else GuestPayload(self, "payload", name=agent.name, payload=container_payload(agent, scripts=guest))
        )
        spec = root_spec(agent, content.payload, archive=content.path)
        host = Host(self, "host", spec=spec, scripts=_SCRIPTS / "host")
        previous: list[ITerraformDependable] = []
        for step, owns in STEPS.items():
            name = f"{agent.name}_{step.replace('-', '_')}"
            previous = [HostStep(self, name, host=host, step=step, owns=owns, depends_on=previous).resource]
