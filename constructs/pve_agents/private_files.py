"""Files for their owner alone."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
from pathlib import Path

_OTHERS = 0o077
# What earlier releases, or a plain cdktf, have left in the project for others to read.
_LEFT = ("cdktf.out", "cdktf.log", "terraform.*.tfstate*")


def for_the_owner_alone(project: Path) -> None:
    """Let nobody else read what this process and its children write from now on, nor what they wrote here before."""
    os.umask(_OTHERS)
    for path in (path for pattern in _LEFT for path in project.glob(pattern)):
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & _OTHERS:
                path.chmod(mode & ~_OTHERS)


def exposed(path: Path) -> str | None:
    """What is wrong with a file of credentials that others may read."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    if mode & _OTHERS:
        return f"{path} can be read by others (mode {mode:04o}): run `chmod 600 {shlex.quote(str(path))}`."
    return None
