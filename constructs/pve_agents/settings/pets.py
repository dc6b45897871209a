"""The pet container: it never runs, and owns volumes that outlive the containers which use them."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from pve_agents.model import Flag, Model, ReadOnly, at_most, distinct
from pve_agents.settings.container import Template
from pve_agents.types import DatastoreId, DiskGibibytes, Hostname, NodeName, PoolId, Tag, Vmid, VolumeName

__all__ = ["Storage", "StoredVolume"]

_MOST_VOLUMES = 200


class StoredVolume(Model):
    """Volume of the pet container."""

    synonyms: ClassVar[Mapping[str, str]] = {"size": "size_gib", "storage": "datastore"}
    required: ClassVar[Mapping[str, str]] = {"size_gib": "its size in GiB, such as 32"}

    size_gib: DiskGibibytes
    """Size in GiB. It can only grow, while the agent that has it is stopped."""

    datastore: DatastoreId | None = None
    """Datastore of the volume. Another one only counts for a volume that is not there yet. Defaults to storage.datastore."""

    backup: Flag = True
    """Whether a backup of the pet container has it. Defaults to true."""

    @property
    def options(self) -> dict[str, str]:
        """Options of the mount in the pet container, as Proxmox VE spells them."""
        return {"backup": "1"} if self.backup else {}


class Storage(Model):
    """Pet container: it never runs, Proxmox VE protects it, and it owns volumes that outlive the agents which use them."""

    synonyms: ClassVar[Mapping[str, str]] = {"id": "vmid", "name": "hostname"}

    node: NodeName = "gihyeon"
    """Node of the pet container, and so of the agents that use its volumes. Defaults to gihyeon."""

    vmid: Vmid = 999
    """Number of the pet container in the cluster. Defaults to 999."""

    hostname: Hostname = "pet-storage"
    """Hostname of the pet container. Defaults to pet-storage."""

    tags: Annotated[tuple[Tag, ...], AfterValidator(distinct)] = ("ai", "storage", "terraform")
    """Tags in lower case. Defaults to ai, storage, terraform."""

    datastore: DatastoreId = "local-lvm"
    """Datastore of its root disk of 2 GiB, and of volumes that name none. Defaults to local-lvm."""

    template: Template = Field(default={}, validate_default=True)
    """Container template."""

    pool: PoolId | None = None
    """Resource pool. Defaults to none."""

    protect: Flag = True
    """Whether Terraform refuses to destroy the pet container; Proxmox VE does so by itself. Defaults to true."""

    volumes: Annotated[Mapping[VolumeName, StoredVolume], at_most(_MOST_VOLUMES, "volumes"), ReadOnly()] = Field(
        default={}, validate_default=True, json_schema_extra={"additionalProperties": False}
    )
    """Volumes by name. One that is taken out of the settings stays on the node. Defaults to none."""

    def datastore_of(self, volume: str) -> str:
        """Return the datastore of one of its volumes."""
        return self.volumes[volume].datastore or self.datastore
