"""What a container may have mounted: what all kinds of a mount are to others, and those that an API token makes."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import PrivateAttr

from pve_agents.model import Flag, Model
from pve_agents.settings.pets import Storage
from pve_agents.types import DatastoreId, DiskGibibytes, FileMode, GuestId, GuestPath, VolumeName
from pve_agents.volumes.wanted import AttachedVolume, NewVolume, PetVolume, Requirement

__all__ = ["DirectoryMount", "Mount", "PetMount", "VolumeMount"]


class Mount(Model):
    """Something of the node's in a container. All that others know of a kind of it is here."""

    survives: ClassVar[bool]
    """Whether what is in it is still there when the container has been destroyed."""

    is_volume: ClassVar[bool] = True
    """Whether it is a volume that an API token attaches, and whose top directory the container's own root gives to its user.
    Defaults to true; otherwise the root stack makes it."""

    if TYPE_CHECKING:
        kind: str
        guest_path: str
        uid: int
        gid: int
        mode: str
        read_only: bool

    @property
    @abstractmethod
    def options(self) -> dict[str, str]:
        """Options of the mount as Proxmox VE spells them, without those that only repeat its defaults."""

    @abstractmethod
    def at_destroy(self, key: str, node: str) -> str:
        """Say what becomes of it when the container is destroyed, in words without a full stop."""

    def attached(self, key: str) -> AttachedVolume | None:  # noqa: ARG002 - for others to say
        """Return what the token attaches; none where it attaches nothing."""
        return None

    def requirements(self) -> Iterator[Requirement]:
        """Find what the token must be allowed to do for it, beside what every container takes."""
        yield from ()


class _TokensMount(Mount):
    """What the kinds that a token makes have in common."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "mp": "guest_path",
        "path": "guest_path",
        "ro": "read_only",
        "target": "guest_path",
    }

    kind: str
    """Which kind it is."""

    guest_path: GuestPath
    """Where it shows in the container."""

    uid: GuestId = 10000
    """Owner of its top directory as the container sees it, 0 to 65535. Defaults to 10000, the user that agents run as."""

    gid: GuestId = 10000
    """Group of its top directory as the container sees it, 0 to 65535. Defaults to 10000."""

    mode: FileMode = "0750"
    """Permissions of its top directory in octal digits, in quotes. Defaults to "0750"."""

    read_only: Flag = False
    """Whether the container may only read. Defaults to false."""

    @property
    def options(self) -> dict[str, str]:
        """Options of the mount as Proxmox VE spells them, without those that only repeat its defaults."""
        return {"ro": "1"} if self.read_only else {}


class _OwnedMount(_TokensMount):
    """What the kinds that the container owns have in common."""

    survives: ClassVar[bool] = False
    synonyms: ClassVar[Mapping[str, str]] = {**_TokensMount.synonyms, "storage": "datastore"}

    if TYPE_CHECKING:
        datastore: str

    backup: Flag = True
    """Whether a backup of the container has it. Defaults to true."""

    @property
    def options(self) -> dict[str, str]:
        """Options of the mount as Proxmox VE spells them, without those that only repeat its defaults."""
        return {**({"backup": "1"} if self.backup else {}), **super().options}

    def requirements(self) -> Iterator[Requirement]:
        """Find what the token must be allowed to do for it, beside what every container takes."""
        yield Requirement(f"/storage/{self.datastore}", ("Datastore.AllocateSpace",), "AgentRootfs")


class VolumeMount(_OwnedMount):
    """Volume of a datastore that the container owns, made by its token stack; it goes when the container goes."""

    synonyms: ClassVar[Mapping[str, str]] = {**_OwnedMount.synonyms, "size": "size_gib"}
    not_here: ClassVar[Mapping[str, str]] = {
        "host_path": "a volume is no directory of the node; leave it out, or write kind: bind",
        "volume": "Proxmox VE names the volume itself; leave it out, or write kind: pet for one that has a name",
    }
    required: ClassVar[Mapping[str, str]] = {
        "guest_path": "where the volume shows in the container, such as /data",
        "size_gib": "its size in GiB, such as 32",
    }

    kind: Literal["volume"] = "volume"
    """A volume that the container owns, made with the API token. It goes when the container goes."""

    datastore: DatastoreId = "local-lvm"
    """Datastore of the volume. Another one only counts for a volume that is not there yet. Defaults to local-lvm."""

    size_gib: DiskGibibytes
    """Size in GiB. It can only grow."""

    def attached(self, key: str) -> AttachedVolume:
        """Return what the token attaches."""
        return AttachedVolume(self.guest_path, NewVolume(self.datastore, self.size_gib), key, self.options)

    def at_destroy(self, key: str, node: str) -> str:
        """Say what becomes of it when the container is destroyed, in words without a full stop."""
        return f"{key}, the volume at {self.guest_path}, goes with all that is in it: the container owns it ({node})"


class DirectoryMount(_OwnedMount):
    """Plain directory on a datastore of the type dir, owned by the container, made by its token stack; it goes with it."""

    not_here: ClassVar[Mapping[str, str]] = {
        "host_path": "Proxmox VE says where in the datastore it is; leave it out, or write kind: bind",
        "size_gib": "a directory has no size; leave it out, or write kind: volume",
    }
    required: ClassVar[Mapping[str, str]] = {
        "datastore": "a datastore of the type dir that may hold containers, such as hdd",
        "guest_path": "where the directory shows in the container, such as /data",
    }

    kind: Literal["directory"] = "directory"
    """A plain directory on a datastore of the type dir, made with the API token. It goes when the container goes."""

    datastore: DatastoreId
    """Datastore of the type dir, with the content rootdir."""

    def attached(self, key: str) -> AttachedVolume:
        """Return what the token attaches."""
        return AttachedVolume(self.guest_path, NewVolume(self.datastore, 0), key, self.options)

    def at_destroy(self, key: str, node: str) -> str:
        """Say what becomes of it when the container is destroyed, in words without a full stop."""
        return f"{key}, the directory at {self.guest_path}, goes with all that is in it: the container owns it ({node})"


class PetMount(_TokensMount):
    """Volume of the section ``storage``, which the pet container owns, attached by the token stack; it stays."""

    survives: ClassVar[bool] = True
    synonyms: ClassVar[Mapping[str, str]] = {**_TokensMount.synonyms, "name": "volume", "source": "volume"}
    not_here: ClassVar[Mapping[str, str]] = {
        "backup": "it is backed up with the container that owns it; write storage.volumes.<name>.backup",
        "datastore": "the volume has one already; write storage.volumes.<name>.datastore",
        "host_path": "a volume is no directory of the node; leave it out, or write kind: bind",
        "size_gib": "the volume has a size already; write storage.volumes.<name>.size_gib",
    }
    required: ClassVar[Mapping[str, str]] = {
        "guest_path": "where the volume shows in the container, such as /data",
        "volume": "the name of a volume of the section storage, such as agent-home",
    }

    kind: Literal["pet"] = "pet"
    """A volume that the pet container owns, attached with the API token. It stays when the container goes."""

    volume: VolumeName
    """Name of the volume in the section storage."""

    _storage: Storage | None = PrivateAttr(default=None)

    def of(self, storage: Storage) -> Self:
        """Return a copy that knows the container which owns the volume."""
        copied = self.model_copy()
        copied._storage = storage  # noqa: SLF001 - its own
        return copied

    @property
    def storage(self) -> Storage:
        """The section whose volume it is."""
        if self._storage is None:
            raise ValueError(f"the volume {self.volume} is of no storage yet; read it as part of a Homelab")
        return self._storage

    def attached(self, key: str) -> AttachedVolume:
        """Return what the token attaches."""
        return AttachedVolume(self.guest_path, PetVolume(self.storage.vmid, self.volume), key, self.options)

    def requirements(self) -> Iterator[Requirement]:
        """Find what the token must be allowed to do for it, beside what every container takes."""
        yield Requirement(f"/storage/{self.storage.datastore_of(self.volume)}", ("Datastore.Audit",), "AgentPetStorage")
        # To find the volume in the configuration of its owner, and to attach it elsewhere.
        yield Requirement(f"/vms/{self.storage.vmid}", ("VM.Audit", "VM.Config.Disk"), "AgentPet")

    def at_destroy(self, key: str, node: str) -> str:
        """Say what becomes of it when the container is destroyed, in words without a full stop."""
        owner = f"container {self.storage.vmid}"
        return f"{key}, the volume {self.volume} at {self.guest_path}, stays with all that is in it: {owner} owns it ({node})"
