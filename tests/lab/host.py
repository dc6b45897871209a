"""The node's host side: this machine, with a `pct` of the lab's and what the cluster's file system would show."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from tests.lab.container import make_disk, shown_by
from tests.lab.sandbox import FIRST_ID, sh
from tests.virtual_node.host import SOURCE, VirtualHost

PCT = """\
#!/bin/sh
PYTHONPATH={source} exec {python} -P -S -c 'from tests.lab.pct import main; main()' {directory} "$@"
"""
# Root's shell finds in /etc/pve what the API knows of now.
BASH = """\
#!/bin/sh
PYTHONPATH={source} {python} -P -S -c 'from tests.lab.host import show; show()' {directory} || exit
exec /bin/bash "$@"
"""


class LabHost(VirtualHost):
    """The node is this machine: paths are real, and of its commands only these are stand-ins."""

    def create(self, *, node: str, url: str, certificate: str) -> None:
        """Put them into a directory for PATH."""
        self.bin.mkdir(parents=True)
        words = {"source": SOURCE, "python": sys.executable, "directory": self.node}
        quoted = {name: shlex.quote(str(word)) for name, word in words.items()}
        for name, text in {"pct": PCT, "bash": BASH}.items():
            (self.bin / name).write_text(text.format(**quoted))
            (self.bin / name).chmod(0o755)
        self.save({"node": node, "url": url, "certificate": certificate, "changes": 0})

    def real(self, path: str) -> Path:
        """Where a path of the host really is: there."""
        return Path(path)

    def volume_path(self, source: str) -> str:
        """Path of what a mount shows."""
        return str(shown_by(source))

    def make_volume(self, volume: str, size: int) -> None:
        """Make a directory, or an image with an ext4 that is mounted; it is the root's of unprivileged containers."""
        place = shown_by(volume)
        place.mkdir(parents=True)
        if size:
            image = place.with_suffix(".raw")
            make_disk(image, size >> 30)
            sh("mount", "-o", "loop", image, place)
        place.chmod(0o755)
        os.chown(place, FIRST_ID, FIRST_ID)

    def free_volume(self, volume: str) -> None:
        """Remove it, with all that is in it."""
        place = shown_by(volume)
        image = place.with_suffix(".raw")
        if image.exists():
            sh("umount", place)
            image.unlink()
        shutil.rmtree(place)

    def terminal(self, vmid: str = "") -> list[str]:
        """What runs in a terminal (pve-container, get_console_command): a shell of the container's root, or one here."""
        shell = ["lxc-attach", "-n", vmid, "--clear-env"] if vmid else [str(self.bin / "bash"), "-l"]
        return ["setsid", "--ctty", *shell]


def show() -> None:
    """Show which guests there are, and how they are configured: `NODE'S-DIRECTORY`."""
    LabHost(Path(sys.argv[1])).show_etc_pve()
