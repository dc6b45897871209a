"""Paths, owners and modes of what the node shows a container."""

import itertools
import re
from collections.abc import Sequence
from typing import Annotated

from pve_agents.node_devices import part_of_the_node
from pve_agents.types.marks import Number, Text
from pve_agents.types.words import shown

__all__ = [
    "DeviceKey",
    "DeviceMode",
    "DevicePath",
    "FileMode",
    "GuestId",
    "GuestPath",
    "HostPath",
    "IdMap",
    "MountKey",
    "VolumeName",
    "id_on_disk",
    "is_system_state",
    "lies_in",
]


def lies_in(path: str, directory: str) -> bool:
    """Tell whether a path is the directory or lies in it."""
    return path == directory or path.startswith(f"{directory}/")


def _path(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{shown(value)} has a character that cannot be printed; write the path without it")
    if len(value.encode()) > _LONGEST_PATH:
        raise ValueError(f"{shown(value)} is {len(value.encode())} bytes long; write {_PATH_WRITE}")
    if value.endswith(" "):
        raise ValueError(f"{shown(value)} ends in a space, which gets lost on its way; write the path without it")
    if any(part in {"", ".", ".."} for part in value[1:].split("/")):
        raise ValueError(
            f'{shown(value)} has an empty, "." or ".." part; write the plain path, without a slash at its end'
        )
    return value


_HOST_SYSTEM = (
    *("/bin", "/boot", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/root", "/run", "/sbin", "/sys"),
    *("/tmp", "/usr"),  # noqa: S108 - refused
)
_SYSTEM_STATE = frozenset(
    {
        *("apt", "ceph", "chrony", "corosync", "dbus", "dhcp", "dpkg", "frr", "grub", "ifupdown2", "initramfs-tools"),
        *("iscsi", "lxc", "lxcfs", "machines", "nfs", "pam", "polkit-1", "portables", "postfix", "private"),
        *("qemu-server", "rrdcached", "samba", "smartmontools", "sudo", "systemd", "ucf", "vz"),
    }
)


def is_system_state(name: str) -> bool:
    """Tell whether a directory of this name in /var/lib is Debian's or Proxmox VE's own."""
    return name in _SYSTEM_STATE or name.startswith(("pve-", "proxmox-"))


def _is_host_system(path: str) -> bool:
    if lies_in(path, "/var"):
        # What a service of the operator's own keeps in /var/lib is not the system's.
        name = path.removeprefix("/var/lib/").partition("/")[0]
        return not path.startswith("/var/lib/") or is_system_state(name)
    return any(lies_in(path, directory) for directory in _HOST_SYSTEM)


def _host_path(value: str) -> str:
    if lies_in(_path(value), "/dev"):
        raise ValueError(f"{shown(value)} is a device for Proxmox VE; write a directory outside /dev")
    if _is_host_system(value):
        raise ValueError(
            f"{shown(value)} belongs to the system of the host; write another directory, such as /mnt/pve/hdd/agent"
        )
    if re.fullmatch(r"/[^/]+|/mnt/pve", value):
        raise ValueError(f"{shown(value)} holds more than the files of one agent; write a directory inside it")
    if re.fullmatch(r"/mnt/pve/[^/]+", value):
        raise ValueError(f"{shown(value)} is a whole storage of Proxmox VE; write a directory inside it")
    return value


# What is virtual, or a symbolic link, which Proxmox VE mounts nothing through.
_GUEST_NOWHERE = (
    *("/bin", "/dev", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys"),
    *("/var/lock", "/var/run"),
)
_GUEST_SYSTEM = frozenset({"/boot", "/etc", "/home", "/opt", "/root", "/tmp", "/usr", "/var"})  # noqa: S108 - refused


def _guest_path(value: str) -> str:
    if _path(value) in _GUEST_SYSTEM or any(lies_in(value, directory) for directory in _GUEST_NOWHERE):
        raise ValueError(f"{shown(value)} belongs to the system of the container; write another path, such as /data")
    return value


def _device_path(value: str) -> str:
    if part := part_of_the_node(value):
        raise ValueError(
            f"{shown(value)} is {part}, which no container may have; write another device, such as /dev/dri/renderD128"
        )
    return value


def _mode(value: str) -> str:
    return value.zfill(4)


def _ranges(idmap: str) -> list[tuple[str, int, int, int]]:
    entries = (entry.split(":") for entry in idmap.split(";"))
    return [(kind, int(guest), int(disk), int(count)) for kind, guest, disk, count in entries]


def id_on_disk(idmap: str | None, kind: str, guest_id: int) -> int:
    """Return what an id of an unprivileged container is in the directory behind a mount.

    Args:
        idmap: The mount's own mapping, an ``IdMap``, or none for the container's.
        kind: ``uid`` or ``gid``.
        guest_id: The id as the container sees it.

    Raises:
        ValueError: No range of the mapping covers the id.
    """
    if idmap is None:
        return _FIRST_HOST_ID + guest_id
    if idmap == "passthrough":
        return guest_id
    for letter, guest, disk, count in _ranges(idmap):
        if letter == kind[0] and guest <= guest_id < guest + count:
            return disk + guest_id - guest
    # Proxmox VE would take the container's mapping; who writes ranges is asked to say so.
    example = f"{kind[0]}:{guest_id}:{_FIRST_HOST_ID + guest_id}:1"
    raise ValueError(
        f"no range covers the {kind} {guest_id}, to which the directory is to belong; add one such as {example}"
    )


def _unmoved(kind: str, disk: int, count: int, ranges: Sequence[tuple[str, int, int, int]]) -> int | None:
    """Return the first of these ids on the disk that also belongs to an id of the container which no range moves."""
    first = max(disk, _FIRST_HOST_ID)
    for letter, guest, _, length in sorted(ranges):
        if letter == kind and guest <= first - _FIRST_HOST_ID < guest + length:
            first = _FIRST_HOST_ID + guest + length
    return first if first < min(disk + count, _FIRST_HOST_ID + _GUEST_IDS) else None


def _idmap(value: str) -> str:
    if value == "passthrough":
        return value
    ranges = _ranges(value)
    for kind, guest, disk, count in ranges:
        entry = f"{kind}:{guest}:{disk}:{count}"
        if guest + count > _GUEST_IDS:
            raise ValueError(f"{entry} goes beyond 65535, the last id of an unprivileged container; write fewer ids")
        if disk + count > _HOST_IDS:
            raise ValueError(f"{entry} goes beyond 4294967294, the last id on a disk; write fewer ids")
    for where, starts in (
        ("in the container", [(kind, guest, count) for kind, guest, _, count in ranges]),
        ("on the disk", [(kind, disk, count) for kind, _, disk, count in ranges]),
    ):
        for (kind, start, count), (next_kind, next_start, _) in itertools.pairwise(sorted(starts)):
            if kind == next_kind and next_start < start + count:
                raise ValueError(f"two ranges have the {kind}id {next_start} {where}; keep them apart")
    for kind, guest, disk, count in ranges:
        # The kernel takes no mapping with an id in it twice, and the container then does not start.
        if (clash := _unmoved(kind, disk, count, ranges)) is not None:
            raise ValueError(
                f"{kind}:{guest}:{disk}:{count} takes the {kind}id {clash} on the disk, which is the "
                f"{kind}id {clash - _FIRST_HOST_ID} of the container; write ids on the disk below 100000, "
                "or a range for that id too"
            )
    return value


_PATH = r"""/[^,="'\\\x00-\x1f\x7f-\x9f]+"""
_LONGEST_PATH = 1024
_PATH_WRITE = (
    "an absolute path below / of at most 1024 bytes, without comma, =, quotes, backslash or control characters"
)
_SLOT = r"(?:[0-9]|[1-9][0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
_ID = r"(?:0|[1-9][0-9]{0,9})"
_RANGE = rf"[ug]:{_ID}:{_ID}:[1-9][0-9]{{0,9}}"

_FIRST_HOST_ID = 100_000
_GUEST_IDS = 65_536
_HOST_IDS = 2**32 - 1


HostPath = Annotated[str, Text("a path on the host", _PATH, _PATH_WRITE, _LONGEST_PATH, _host_path)]
"""Absolute path of a directory on the node that may belong to a container."""

GuestPath = Annotated[str, Text("a path in the container", _PATH, _PATH_WRITE, _LONGEST_PATH, _guest_path)]
"""Absolute path in a container at which something may be mounted."""

MountKey = Annotated[str, Text("the key of a mount point", rf"mp{_SLOT}", "one from mp0 to mp255", 5)]
"""Key of a mount point in the configuration of a container."""

VolumeName = Annotated[
    str,
    Text(
        "a volume's name",
        r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?",
        "at most 40 small letters, digits and hyphens, such as agent-home",
        40,
    ),
]
"""Name of a volume among those of the pet container."""

DeviceKey = Annotated[str, Text("the key of a device", rf"dev{_SLOT}", "one from dev0 to dev255", 6)]
"""Key of a device in the configuration of a container."""

DevicePath = Annotated[
    str,
    Text(
        "a device",
        r"/dev(?:/[A-Za-z0-9_:+-][A-Za-z0-9._:+-]*)+",
        "a path in /dev, such as /dev/dri/renderD128",
        255,
        _device_path,
    ),
]
"""Path of a device node on the node."""

GuestId = Annotated[int, Number("a user's or group's id in an unprivileged container", 0, _GUEST_IDS - 1)]
"""Id of a user or group as an unprivileged container sees it."""

FileMode = Annotated[
    str, Text("a file's mode", r"[0-7]{3,4}", 'three or four octal digits in quotes, such as "0750"', 4, _mode)
]
"""Permissions of a directory in four octal digits."""

DeviceMode = Annotated[
    str, Text("a device's mode", r"0?[0-7]{3}", 'three octal digits after a 0 in quotes, such as "0660"', 4, _mode)
]
"""Permissions of a device node in four octal digits, of which Proxmox VE wants the first to be 0."""

IdMap = Annotated[
    str,
    Text(
        "a mapping of ids",
        rf"passthrough|{_RANGE}(?:;{_RANGE})*",
        "passthrough, or ranges <u or g>:<in the container>:<on the disk>:<count> with ; between, "
        "such as u:10000:1000:1;g:10000:1000:1",
        check=_idmap,
    ),
]
"""How the ids of a container and those on a disk belong together, for one mount."""
