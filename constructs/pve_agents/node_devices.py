"""The devices with which a container would have the node's disks, memory or consoles, and so the node."""

import re

__all__ = ["part_of_the_node"]

_PARTS = {
    "the memory of the host": r"k?mem|port|oldmem|snapshot|userfaultfd|nvram|mcelog|cpu/.+|core|shm(/.+)?|hugepages(/.+)?",
    "the log of the host's kernel": r"kmsg|log",
    # Beside the disks themselves: what sends a disk commands, and what puts disks together.
    "a disk of the host": (
        r"([shv]d|xvd)[a-z]+[0-9]*|nvme[0-9]+.*|nvme-.+|ng[0-9]+n[0-9]+|mmcblk.+|md[0-9]+.*|md/.+|dm-[0-9]+|mapper/.+"
        r"|disk/.+|block/.+|loop[0-9]+.*|loop-control|s(r|cd)[0-9]+|cdrom|dvd|z(d[0-9]+.*|vol/.+|fs)|btrfs-control"
        r"|[rn]bd[0-9]*.*|bcache.*|drbd.*|pve/.+|fd[0-9]*|ram[0-9]+|mtd.*|ubi.*|raw/.+|rawctl"
        r"|sg[0-9]+|bsg/.+|n?st[0-9]+.*|ses[0-9]+|ch[0-9]+|megaraid.*|mpt.*ctl|aac[0-9]+|twa?[0-9]+|hpsa[0-9]+"
    ),
    "a console of the host": r"console|tty[0-9]*|vcs.*|ptmx|pts/.+|pty.*|initctl|hvc[0-9]+",
    "the hardware below the host": r"ipmi.*|mei[0-9]*|tpm.*|watchdog.*|vga_arbiter|hpet",
}


def part_of_the_node(path: str) -> str | None:
    """Return what of the node a device is; none where a container may have it.

    Args:
        path: A path in ``/dev``. What another name there leads to is seen on the node: it takes no links.
    """
    name = path.removeprefix("/dev/")
    return next((part for part, pattern in _PARTS.items() if re.fullmatch(pattern, name)), None)
