"""Mounts a directory of the node into a running container: `python -m tests.lab.plug PID SOURCE TARGET 0|1`.

A process of its own, since it moves into the container's mount namespace, which no process with threads may.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from tests.lab.sandbox import FIRST_ID

# linux/mount.h, asm-generic/unistd.h: the numbers are the same on every architecture that has these calls.
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
AT_FDCWD, AT_EMPTY_PATH = -100, 0x1000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH, MOUNT_ATTR_RDONLY = 1, 4, 1
CLONE_NEWNS = 0x20000

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Take the directory along into the container, and mount it there."""
    pid, source, target, read_only = sys.argv[1:]
    tree = _call(OPEN_TREE, AT_FDCWD, source.encode(), OPEN_TREE_CLONE | os.O_CLOEXEC)
    if read_only == "1":
        attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
        _call(MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, ctypes.byref(attributes), ctypes.sizeof(attributes))
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY)
    with Path(f"/proc/{pid}/ns/mnt").open() as space:
        _check(_libc.setns(space.fileno(), CLONE_NEWNS))
    os.fchdir(root)
    os.chroot(".")
    place = Path("/")
    for part in Path(target).parts[1:]:
        place /= part
        if not place.exists():
            place.mkdir()
            place.chmod(0o755)
            os.chown(place, FIRST_ID, FIRST_ID)
    _call(MOVE_MOUNT, tree, b"", AT_FDCWD, target.encode(), MOVE_MOUNT_F_EMPTY_PATH)


def _call(number: int, *arguments: object) -> int:
    return _check(int(_libc.syscall(number, *arguments)))


def _check(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


if __name__ == "__main__":
    main()
