"""The container that owns volumes for others, and never runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cdktf import TerraformResourceLifecycle
from constructs import Construct
from imports.proxmox.virtual_environment_container import (
    VirtualEnvironmentContainer,
    VirtualEnvironmentContainerCpu,
    VirtualEnvironmentContainerDisk,
    VirtualEnvironmentContainerFeatures,
    VirtualEnvironmentContainerInitialization,
    VirtualEnvironmentContainerMemory,
    VirtualEnvironmentContainerOperatingSystem,
)

from pve_agents.container import IGNORED
from pve_agents.template import LxcTemplate
from pve_agents.terraform import address
from pve_agents.token_check import TokenCheck
from pve_agents.types import DatastoreId, Tag
from pve_agents.vmid_guard import VmidGuard
from pve_agents.volume_mounts import VolumeMounts
from pve_agents.volumes.wanted import PetVolume, Wanted, pet_place, resource_name

_CORES, _MEMORY_MIB, _DISK_GIB = 1, 256, 2
_NOTES = "Owns volumes that outlive the agents which use them. It need not run, and must not be destroyed."


class PetStorage(Construct):
    """Creates a container of 1 core, 256 MiB and 2 GiB that is never started, and the volumes that it owns.

    Proxmox VE frees, with a container, the volumes that the container owns, and leaves those of another one
    (pve-container, ``destroy_lxc_container``): so what is in a pet's volume outlives the agent's container that mounts it.

    It is made once: Terraform refuses to destroy or replace it (``prevent_destroy``), and so does Proxmox VE, whose
    ``protection`` is set when all volumes are there; it would refuse new volumes as well, and is taken off for a moment when
    one comes. A volume grows, and never shrinks; one that is not wanted any more stays where it is. The container has no
    network: nobody ever logs in to it.
    """

    resource: VirtualEnvironmentContainer
    """The L1, ``proxmox_virtual_environment_container.<id>``."""

    volumes: VolumeMounts
    """What makes the volumes, ``terraform_data.<id>_volumes``."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        wanted: Wanted,
        script: Path,
        template: LxcTemplate,
        datastore: DatastoreId = "local-lvm",
        tags: Sequence[Tag] = (),
        pool: str | None = None,
        protect: bool = True,
        check: TokenCheck | None = None,
        timeout_create_seconds: int = 300,
    ) -> None:
        """Create the container and its volumes.

        Args:
            scope: The stack.
            id_: Also the name in the address, ``proxmox_virtual_environment_container.<id>``.
            wanted: The container, and the volumes that it is to own.
            script: ``scripts/attach-volumes``; it gets the token from the environment, as the provider does.
            template: What it is created from. Later changes are ignored.
            datastore: Datastore of its root disk.
            tags: Lower-case tags. One more marks the container as this stack's own.
            pool: The resource pool to join. Changing it would replace the container, and is refused.
            protect: Whether Terraform refuses to destroy or replace it. Proxmox VE does so in any case.
            check: What runs before it is created, and before it is destroyed.
            timeout_create_seconds: How long creating may take.
        """
        super().__init__(scope, id_)
        self._wanted = wanted
        self.resource = VirtualEnvironmentContainer(
            self,
            "Default",
            node_name=wanted.node,
            vm_id=wanted.vmid,
            description=_NOTES,
            tags=sorted({*tags, wanted.tag}),
            pool_id=pool,
            unprivileged=True,
            # A template with a newer systemd makes Proxmox VE warn without it.
            features=VirtualEnvironmentContainerFeatures(nesting=True),
            start_on_boot=False,
            started=False,
            cpu=VirtualEnvironmentContainerCpu(cores=_CORES),
            memory=VirtualEnvironmentContainerMemory(dedicated=_MEMORY_MIB),
            disk=VirtualEnvironmentContainerDisk(datastore_id=datastore, size=_DISK_GIB),
            initialization=VirtualEnvironmentContainerInitialization(hostname=wanted.hostname),
            operating_system=VirtualEnvironmentContainerOperatingSystem(
                template_file_id=template.file_id, type="debian"
            ),
            timeout_create=timeout_create_seconds,
            depends_on=[check.resource] if check else [],
        )
        if check:
            self.resource.provisioners = [check.before_destroy(address(self.resource), tag=wanted.tag)]
        guard = VmidGuard(
            self,
            "vmid_guard",
            container=self.resource,
            node_name=wanted.node,
            vmid=wanted.vmid,
            tag=wanted.tag,
            hostname=wanted.hostname,
        )
        self.resource.lifecycle = TerraformResourceLifecycle(
            ignore_changes=IGNORED,
            prevent_destroy=protect,
            precondition=guard.preconditions,
            postcondition=guard.postconditions,
        )
        self.volumes = VolumeMounts(self, "volumes", script=script, wanted=wanted, container=self.resource)
        self.volumes.resource.override_logical_id(resource_name(self.resource.friendly_unique_id))

    def volume(self, name: str) -> PetVolume:
        """Return a volume, to be attached to an agent's container: ``AttachedVolume("/data", storage.volume("agent-home"))``.

        It is plain values: the stack that attaches it deploys alone.

        Raises:
            ValueError: There is none of this name.
        """
        places = [it.place for it in self._wanted.volumes]
        if pet_place(name) not in places:
            known = ", ".join(place.rpartition("/")[2] for place in places) or "none"
            raise ValueError(f"there is no volume {name}; there are: {known}")
        return PetVolume(self._wanted.vmid, name)
