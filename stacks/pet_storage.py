"""The stack of the container that owns volumes for the agents: made once, under an API token."""

from __future__ import annotations

from pathlib import Path

from cdktf import Annotations, TerraformOutput, TerraformStack
from constructs import Construct
from imports.proxmox.provider import ProxmoxProvider

from pve_agents import LxcTemplate, PetStorage, TokenCheck
from pve_agents.guests import Own
from pve_agents.privileges import Wanted
from pve_agents.settings import Backend, Storage
from pve_agents.state_guard import StateGuard
from pve_agents.volume_spec import wanted_of_pets
from stacks.backend import store_state

_SCRIPTS = Path(__file__).parent.parent / "scripts"


class PetStorageStack(TerraformStack):
    """Creates the pet container and its volumes, with the credential of the environment and none in its configuration."""

    def __init__(self, scope: Construct, id_: str, *, storage: Storage, backend: Backend) -> None:
        """Wire the constructs.

        Args:
            scope: The app.
            id_: The stack's name.
            storage: The settings of the container and its volumes.
            backend: Where Terraform keeps the state.
        """
        super().__init__(scope, id_)
        store_state(self, backend, StateGuard(id_, id_, storage.node, storage.vmid))
        self.add_override("terraform.required_version", ">= 1.8.0")
        ProxmoxProvider(self, "proxmox")

        wanted = wanted_of_pets(storage)
        check = TokenCheck(
            self,
            f"{id_}_token_check",
            script=_SCRIPTS / "check-token",
            wanted=Wanted.by_storage(storage, id_),
            own=Own(id_, wanted.tag, wanted.hostname),
        )
        template = LxcTemplate(
            self,
            LxcTemplate.name_for(storage.template, storage.node),
            node_name=storage.node,
            source=storage.template,
            check=check,
        )
        pets = PetStorage(
            self,
            id_,
            wanted=wanted,
            script=_SCRIPTS / "attach-volumes",
            template=template,
            datastore=storage.datastore,
            tags=storage.tags,
            pool=storage.pool,
            protect=storage.protect,
            check=check,
        )
        if storage.protect:
            Annotations.of(pets).add_info(
                "protected: Terraform refuses to destroy or replace it until homelab.yaml says storage.protect: false, and "
                f"Proxmox VE until `pct set {storage.vmid} --protection 0`"
            )
        TerraformOutput(self, "container_id", value=pets.resource.vm_id)
