"""Volumes of containers, as PVE::LXC and PVE::Storage keep them: with owners, contents, and what becomes of them.

fakepve 0.5.0 knows a volume only as a text in a configuration: it never ends, and nobody looks whether it is there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakepve import lxc as fake_lxc
from fakepve.routing import param_error

from tests.virtual_node.host import VirtualHost

Values = dict[str, Any]

MOUNT, UNUSED = re.compile(r"mp\d+"), re.compile(r"unused\d+")
DIRECTORY_STORAGES = ("dir", "nfs", "cifs", "btrfs")


@dataclass
class Disk:
    """A volume."""

    owner: int
    size: int
    file_system: int
    """What the files on it know of its size."""


def print_mount(mount: dict[str, str], rootfs: bool = False) -> str:  # noqa: FBT001, FBT002 (as fakepve calls it)
    """Write a mount as PVE does: bare volume, mp, then the other keys by name."""
    first = [mount["volume"]] + ([f"mp={mount['mp']}"] if "mp" in mount and not rootfs else [])
    return ",".join(first + [f"{key}={mount[key]}" for key in sorted(mount) if key not in ("volume", "mp")])


fake_lxc.print_mount = print_mount


class VolumesApi:
    """Mixin of the fake API."""

    machine: VirtualHost
    storages: dict[str, Any]
    cts: list[Any]

    def __init__(self, **options: Any) -> None:
        """Begin with no volume."""
        super().__init__(**options)
        self.disks: dict[str, Disk] = {}

    # What is there --------------------------------------------------------------------------------------------------

    def _taken_volumes(self) -> set[str]:
        return {*super()._taken_volumes(), *self.disks}  # type: ignore[misc]

    def _is_there(self, volume: str) -> bool:
        # Those of containers that a test made up are in their configurations alone.
        return volume in self.disks or volume in super()._taken_volumes()  # type: ignore[misc]

    def volume_content(self, volume: str) -> Path:
        """Where the files of a volume really are."""
        return self.machine.real(self.machine.volume_path(volume))

    def _realise(self, vmid: int, key: str, value: str, taken: set[str], _default: Any = None) -> str:
        """Make a new volume, or find the one that is named; its size is looked up (PVE::LXC::Config, $rescan_volume)."""
        mount = fake_lxc.parse_mount(value)
        if found := fake_lxc.NEW_DISK.match(mount.get("volume", "")):
            store, size = found.group(1), int(float(found.group(2)) * 1024**3)
            mount["volume"] = self._make(vmid, key, store, size, taken)
            # A directory has no size, which PVE prints as 0T.
            mount["size"] = fake_lxc.format_size(size) if size else "0T"
        elif fake_lxc.mount_type(mount.get("volume", "")) == "volume":
            volume = mount["volume"]
            if not self._is_there(volume):
                raise param_error(**{key: f"unable to hotplug {key}: volume '{volume}' does not exist\n"})
            if disk := self.disks.get(volume):
                mount["size"] = fake_lxc.format_size(disk.size) if disk.size else "0T"
            elif fake_lxc.parse_size(mount.get("size", "")):
                mount["size"] = fake_lxc.format_size(fake_lxc.parse_size(mount["size"]))
        return print_mount(mount, key == "rootfs")

    def _make(self, vmid: int, key: str, store: str, size: int, taken: set[str]) -> str:
        is_directory = self.storages[store]["type"] in DIRECTORY_STORAGES
        if not size and not is_directory:
            # lvcreate makes nothing of no size; only a path can hold a directory (PVE::LXC::alloc_disk).
            raise param_error(
                **{key: f"unable to hotplug {key}: lvcreate '{store}' error: Invalid argument for size\n"}
            )
        volume: str = self._allocate(vmid, store, taken)  # type: ignore[attr-defined]
        if not size:
            free = (volume.replace("/vm-", "/subvol-").replace(".raw", ".subvol"),)
            taken.discard(volume)
            number = 0
            while (volume := re.sub(r"-disk-\d+", f"-disk-{number}", free[0])) in taken:
                number += 1
            taken.add(volume)
        self.disks[volume] = Disk(vmid, size, size)
        self.machine.make_volume(volume, size)
        return volume

    # What becomes of them -------------------------------------------------------------------------------------------

    def _apply(self, ct: Any, selection: Any = None, running: bool = False) -> None:  # noqa: FBT001, FBT002 (as inherited)
        before = dict(ct.config)
        super()._apply(ct, selection, running)  # type: ignore[misc]
        held = {mount["volume"] for _, mount in ct.volumes()}
        for key, value in before.items():
            volume = fake_lxc.parse_mount(str(value)).get("volume", "")
            if UNUSED.fullmatch(key) and key not in ct.config and volume not in held:
                self._free(ct.vmid, volume)
            elif MOUNT.fullmatch(key) and key in ct.config and volume not in held and ":" in volume:
                # Another one took its place (PVE::LXC::Config, apply_pending_mountpoint).
                ct.config[self._unused_key(ct.config)] = volume  # type: ignore[attr-defined]

    def _drop(self, ct: Any) -> None:
        """A destroyed container takes its own volumes along; those of others are left (PVE::LXC, destroy_lxc_container)."""
        super()._drop(ct)  # type: ignore[misc]
        pending = {key: value for key, value in ct.pending.items() if value}
        for config in (ct.config, pending):
            for _, mount in ct.volumes(config):
                self._free(ct.vmid, mount["volume"])

    def _free(self, vmid: int, volume: str) -> None:
        """Delete a volume, unless it is another container's (PVE::LXC, delete_mountpoint_volume)."""
        disk = self.disks.get(volume)
        if disk is None or disk.owner != vmid:
            return
        del self.disks[volume]
        self.machine.free_volume(volume)

    async def _lxc_resize(self, user: str, v: Values) -> Any:
        config = self._find_ct(v["node"], v["vmid"]).config  # type: ignore[attr-defined]
        volume = fake_lxc.parse_mount(str(config.get(v["disk"], ""))).get("volume", "")
        upid = await super()._lxc_resize(user, v)  # type: ignore[misc]
        if disk := self.disks.get(volume):
            disk.size = fake_lxc.parse_size(fake_lxc.parse_mount(config[v["disk"]])["size"])
            others = [ct for ct in self.cts if ct.vmid != int(v["vmid"]) and ct.status == "running"]
            if not any(volume == mount["volume"] for ct in others for _, mount in ct.volumes()):
                # e2fsck does not touch what is mounted; that it failed is only a warning (PVE::API2::LXC, resize_vm).
                disk.file_system = disk.size
        return upid

    def rescan(self, vmid: int) -> None:
        """`pct rescan`: each volume gets the size that it has (PVE::LXC, update_disksize)."""
        ct = self.ct(vmid)  # type: ignore[attr-defined]
        for key, mount in ct.volumes():
            if disk := self.disks.get(mount["volume"]):
                mount["size"] = fake_lxc.format_size(disk.size) if disk.size else "0T"
                ct.config[key] = print_mount(mount, key == "rootfs") if not UNUSED.fullmatch(key) else mount["volume"]

    def _check_modify_perm(  # noqa: PLR0917 (as inherited)
        self, user: str, vmid: int, pool: str | None, old: Any, new: Values, deletes: list[str], unprivileged: Any
    ) -> None:
        """Datastore.Allocate stands for what a foreign volume takes otherwise (PVE::Storage, check_volume_access)."""
        rest = dict(new)
        for key, value in new.items():
            volume = fake_lxc.parse_mount(str(value)).get("volume", "") if MOUNT.fullmatch(key) else ""
            store = volume.partition(":")[0]
            owner = fake_lxc.volume_owner(volume) if fake_lxc.mount_type(volume) == "volume" else None
            if owner not in (None, vmid) and self.allowed(user, f"/storage/{store}", "Datastore.Allocate"):  # type: ignore[attr-defined]
                self._vm_perm(user, vmid, pool, "VM.Config.Disk")  # type: ignore[attr-defined]
                del rest[key]
        super()._check_modify_perm(user, vmid, pool, old, rest, deletes, unprivileged)  # type: ignore[misc]
