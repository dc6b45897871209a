"""The stack of one agent under an API token: its template, its container, its outputs."""

from __future__ import annotations

from pathlib import Path

from cdktf import Annotations, TerraformOutput, TerraformStack
from constructs import Construct
from imports.proxmox.provider import ProxmoxProvider

from pve_agents import AgentContainer, LxcTemplate, TokenCheck, VolumeMounts
from pve_agents.guests import Own
from pve_agents.privileges import Wanted
from pve_agents.settings import Agent, Backend, LocalBackend, Storage
from pve_agents.state_guard import StateGuard
from pve_agents.terraform import command
from pve_agents.volume_spec import wanted_volumes
from pve_agents.volumes.wanted import resource_name
from stacks.backend import store_state, warn_of_a_state_of_roots
from stacks.delivery import deliver

_SCRIPTS = Path(__file__).parent.parent / "scripts"
_CHECK_TOKEN, _ATTACH_VOLUMES = _SCRIPTS / "check-token", _SCRIPTS / "attach-volumes"


class AgentStack(TerraformStack):
    """Creates the agent's container, with the credential of the environment and none in its configuration.

    With ``delivery: console`` it also delivers payload and secrets through the container's console, and runs the bootstrap.

    The provider takes the endpoint and the token from ``PROXMOX_VE_ENDPOINT``, ``PROXMOX_VE_API_TOKEN`` and
    ``PROXMOX_VE_INSECURE``.
    """

    def __init__(
        self, scope: Construct, id_: str, *, agent: Agent, backend: Backend, storage: Storage | None = None
    ) -> None:
        """Wire the agent's constructs.

        Args:
            scope: The app.
            id_: The stack's name: the agent's.
            agent: Its settings.
            backend: Where Terraform keeps the state.
            storage: The container whose volumes it may have. Defaults to none.
        """
        super().__init__(scope, id_)
        store_state(self, backend, StateGuard(id_, agent.name, agent.node, agent.vmid))
        # `moved` from one resource type to another needs 1.8.
        self.add_override("terraform.required_version", ">= 1.8.0")
        ProxmoxProvider(self, "proxmox")

        check = TokenCheck(
            self,
            f"{agent.name}_token_check",
            script=_CHECK_TOKEN,
            wanted=Wanted.by(agent),
            own=None if agent.adopt else Own(agent.name, AgentContainer.own_tag(agent.name), agent.hostname),
        )
        template = LxcTemplate(
            self,
            LxcTemplate.name_for(agent.template, agent.node),
            node_name=agent.node,
            source=agent.template,
            check=check,
        )
        if template.resource is not None:
            name = template.resource.friendly_unique_id
            # State made under the resource's long name, which the provider is to drop, moves along.
            self.add_override(
                "moved",
                [
                    {
                        "from": f"proxmox_virtual_environment_download_file.{name}",
                        "to": f"proxmox_download_file.{name}",
                    }
                ],
            )
        container = AgentContainer(
            self,
            agent.name,
            node_name=agent.node,
            vmid=agent.vmid,
            hostname=agent.hostname,
            template=template,
            os_type=agent.os_type,
            description=agent.description,
            tags=agent.tags,
            cpu=agent.cpu,
            memory=agent.memory,
            disk=agent.disk,
            network=agent.network,
            dns=agent.dns,
            pool=agent.pool,
            ssh_public_keys=agent.ssh_public_keys,
            startup=agent.startup,
            stopping=agent.stopping,
            start_on_boot=agent.start_on_boot,
            started=agent.started,
            protect=agent.protect,
            adopt=agent.adopt,
            root_console=agent.delivery == "console",
            check=check,
        )
        # Who had a volume of the pet container may have one no more, and has to give it back.
        volumes = (
            VolumeMounts(
                self,
                resource_name(agent.name),
                script=_ATTACH_VOLUMES,
                wanted=wanted_volumes(agent, storage),
                container=container.resource,
            )
            if agent.volumes or storage
            else None
        )
        if agent.delivery == "console":
            deliver(self, agent, made_for=container.resource, after=[volumes.resource] if volumes else [])
            warn_of_a_state_of_roots(self, backend, agent.name)

        if agent.protect:
            # Terraform's own refusal of a destroy names no setting.
            sentence = (
                f"protected: Terraform refuses to destroy or replace it until homelab.yaml says "
                f"agents.{agent.name}.protect: false"
            )
            if not isinstance(backend, LocalBackend):
                # Nor that the container is tainted; a state file tells us, any other state only Terraform.
                sentence += f"; if the plan calls it tainted and it is whole, {command(container.resource, 'untaint')}"
            Annotations.of(container).add_info(sentence)

        if agent.adopt:
            Annotations.of(container).add_info(
                f"adopt: container {agent.vmid} of node {agent.node} must exist, and is imported; afterwards leave "
                f"agents.{agent.name}.adopt out"
            )

        outputs = {"container_id": container.resource.vm_id, "hostname": agent.hostname, "ipv4": container.ipv4}
        for name, value in outputs.items():
            TerraformOutput(self, f"{agent.name}_{name}", value=value)
