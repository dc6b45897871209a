"""What the node shows a container: directories and devices."""

import itertools
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, TypeVar

from pydantic import AfterValidator, ValidationInfo, field_validator

from pve_agents.model import Flag, Model, ReadOnly
from pve_agents.types import (
    DeviceKey,
    DeviceMode,
    DevicePath,
    FileMode,
    GuestId,
    GuestPath,
    HostPath,
    IdMap,
    MountKey,
    id_on_disk,
    lies_in,
    shown,
)

__all__ = ["BindMount", "Device", "Devices", "Mounts", "nested_problem"]


class BindMount(Model):
    """Directory of the node in a container, made and mounted by the agent's root stack."""

    is_volume: ClassVar[bool] = False
    """Whether an API token attaches it; otherwise the root stack does."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "mp": "guest_path",
        "path": "host_path or guest_path",
        "ro": "read_only",
        "source": "host_path",
        "target": "guest_path",
        "volume": "host_path",
    }

    required: ClassVar[Mapping[str, str]] = {
        "host_path": "the directory on the node, such as /mnt/pve/hdd/agent",
        "guest_path": "where the directory shows in the container, such as /data",
    }

    host_path: HostPath
    """Directory on the node. Made if it is missing; it and its files stay when the mount goes."""

    guest_path: GuestPath
    """Where the directory shows in the container."""

    uid: GuestId = 10000
    """Owner of the directory as the container sees it, 0 to 65535. Defaults to 10000, the user that agents run as."""

    gid: GuestId = 10000
    """Group of the directory as the container sees it, 0 to 65535. Defaults to 10000."""

    mode: FileMode = "0750"
    """Permissions of the directory in octal digits, in quotes. Defaults to "0750"."""

    read_only: Flag = False
    """Whether the container may only read. Defaults to false."""

    backup: Flag = False
    """The mount's backup flag, though Proxmox VE never backs up a directory of the node. Defaults to false."""

    replicate: Flag = False
    """The mount's replicate flag; true keeps Proxmox VE from replicating the container at all. Defaults to false."""

    shared: Flag = False
    """Whether the directory is the same on every node, so that the container can migrate. Defaults to false."""

    keepattrs: Flag = False
    """Whether the mount takes on owner and mode of what it covers; pve-container 6.1.2 or newer. Defaults to false."""

    idmap: IdMap | None = None
    """Ids of the container on the disk: passthrough or ranges; pve-container 6.1.6 or newer. Defaults to +100000."""

    @property
    def host_uid(self) -> int:
        """Owner of the directory as the node sees it."""
        return id_on_disk(self.idmap, "uid", self.uid)

    @property
    def host_gid(self) -> int:
        """Group of the directory as the node sees it."""
        return id_on_disk(self.idmap, "gid", self.gid)

    @property
    def options(self) -> dict[str, str]:
        """Options of the mount as Proxmox VE spells them, without those that only repeat its defaults."""
        options = {
            "backup": self.backup and "1",
            "idmap": self.idmap,
            "keepattrs": self.keepattrs and "1",
            "replicate": not self.replicate and "0",
            "ro": self.read_only and "1",
            "shared": self.shared and "1",
        }
        return {name: value for name, value in options.items() if value}

    @field_validator("idmap")
    @classmethod
    def _idmap_covers_the_owner(cls, idmap: str | None, info: ValidationInfo) -> str | None:
        problems = []
        for kind in ("uid", "gid"):
            try:
                id_on_disk(idmap, kind, info.data.get(kind, 0))
            except ValueError as error:
                problems += [str(error)] if kind in info.data else []
        if problems:
            raise ValueError("\n".join(problems))
        return idmap


class Device(Model):
    """Device of the node in a container, passed on by the agent's root stack."""

    synonyms: ClassVar[Mapping[str, str]] = {"host_path": "path", "read_only": "deny_write"}

    required: ClassVar[Mapping[str, str]] = {"path": "the path of the device on the node, such as /dev/dri/renderD128"}

    path: DevicePath
    """Path of the device, on the node and in the container."""

    uid: GuestId = 0
    """Owner of the device as the container sees it, 0 to 65535. Defaults to 0."""

    gid: GuestId = 0
    """Group of the device as the container sees it, 0 to 65535. Defaults to 0."""

    mode: DeviceMode = "0660"
    """Permissions of the device in octal digits, in quotes. Defaults to "0660"."""

    deny_write: Flag = False
    """Whether the container may only read from the device. Defaults to false."""

    def is_open_to(self, user: int) -> bool:
        """Tell whether a user of the container, who is in a group of the same number, may read and write it."""
        if self.deny_write:
            return False
        owner, group, others = (int(digit) & 6 == 6 for digit in self.mode[-3:])  # noqa: PLR2004 - rw
        return owner if user == self.uid else group if user == self.gid else others

    @property
    def options(self) -> dict[str, str]:
        """Options of the device as Proxmox VE spells them, without those that only repeat its defaults."""
        options = {
            "deny-write": self.deny_write and "1",
            "gid": self.gid and str(self.gid),
            "mode": self.mode != "0660" and self.mode,
            "uid": self.uid and str(self.uid),
        }
        return {name: value for name, value in options.items() if value}


_Item = TypeVar("_Item", BindMount, Device)


def _in_order(items: Mapping[str, _Item]) -> dict[str, _Item]:
    return dict(sorted(items.items(), key=lambda item: int(re.sub(r"\D", "", item[0]))))


def _mounts_apart(mounts: Mapping[str, BindMount]) -> Mapping[str, BindMount]:
    problems = []
    for (low, first), (high, second) in itertools.combinations(_in_order(mounts).items(), 2):
        if first.guest_path == second.guest_path:
            problems.append(f"{low} and {high} both have the guest_path {shown(first.guest_path)}; give each its own")
        elif lies_in(first.guest_path, second.guest_path):
            problems.append(
                f"{high} at {shown(second.guest_path)} would hide {low} at {shown(first.guest_path)}, since Proxmox VE "
                "mounts in the order of the keys; give the outer one the lower key"
            )
        if first.host_path == second.host_path:
            problems.append(f"{low} and {high} both have the host_path {shown(first.host_path)}; keep one of them")
        elif _nested(first, second):
            problems.append(nested_problem((low, first), (high, second)))
    if problems:
        raise ValueError("\n".join(problems))
    return _in_order(mounts)


def _nested(one: BindMount, other: BindMount) -> bool:
    return lies_in(one.host_path, other.host_path) or lies_in(other.host_path, one.host_path)


def nested_problem(*mounts: tuple[str, BindMount]) -> str:
    """Say that the directory of one mount lies in another's, each with what it is called."""
    (outer, around), (inner, within) = sorted(mounts, key=lambda mount: len(mount[1].host_path))
    return (
        f"the host_path {shown(within.host_path)} of {inner} lies in {shown(around.host_path)} of {outer}, whose owner "
        "could put a link in its place; write directories that lie side by side"
    )


def _devices_apart(devices: Mapping[str, Device]) -> Mapping[str, Device]:
    first: dict[str, str] = {}
    problems = [
        f"{first[device.path]} and {key} both have the path {shown(device.path)}; keep one of them"
        for key, device in _in_order(devices).items()
        if first.setdefault(device.path, key) != key
    ]
    if problems:
        raise ValueError("\n".join(problems))
    return _in_order(devices)


Mounts = Annotated[Mapping[MountKey, BindMount], AfterValidator(_mounts_apart), ReadOnly()]
"""Directories of the node in a container, in the order in which Proxmox VE mounts them."""

Devices = Annotated[Mapping[DeviceKey, Device], AfterValidator(_devices_apart), ReadOnly()]
"""Devices of the node in a container."""
