"""The virtual node with real containers: what its API and its `pct` do to one happens to an LXC on this machine.

The API stays the one truth about configurations; here it only learns to act on them.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from fakepve import TaskError

from tests.lab.container import MOUNT, Container, lose_power, make_disk
from tests.lab.host import LabHost
from tests.lab.sandbox import NODE, RUN, LabError, sh
from tests.virtual_node.host import VirtualHost
from tests.virtual_node.node import VirtualNode
from tests.virtual_node.pve import VirtualPve

DISKS = ("/mnt/pve/hdd", "/media/2tb")
DISK_GIB = 8


class LabPve(VirtualPve):
    """The API of a node whose containers are real."""

    def __init__(self, password: str, machine: VirtualHost, base: Path) -> None:
        """Make containers from the image `base`."""
        super().__init__(password, machine)
        self._base = base
        # How long each container took to be made and started for the first time.
        self.made_within: dict[int, float] = {}

    def container(self, vmid: int) -> Container:
        """The real container."""
        return Container(vmid, self._base)

    async def _start_steps(self, ct: Any, user: str, skiplock: bool = False) -> None:  # noqa: FBT001, FBT002 (fakepve's)
        await super()._start_steps(ct, user, skiplock)
        real, began = self.container(ct.vmid), time.monotonic()
        try:
            if not real.exists:
                await asyncio.to_thread(real.create)
            await asyncio.to_thread(real.start, dict(ct.config))
            self.made_within.setdefault(ct.vmid, time.monotonic() - began)
        except (LabError, OSError) as error:
            ct.status = "stopped"
            raise TaskError(str(error)) from error

    async def _ct_powerdown(self, ct: Any, timeout: int, force: bool) -> None:  # noqa: ASYNC109, FBT001 (fakepve's)
        await self._really(self.container(ct.vmid).stop, timeout)
        await super()._ct_powerdown(ct, timeout, force)

    async def _ct_task(self, ct: Any, ttype: str, user: str, body: Callable[[], Any], **kwargs: Any) -> Any:
        async def real_body() -> Any:
            if ttype == "vzstop":
                await self._really(self.container(ct.vmid).stop, 0)
            return await body()

        return await super()._ct_task(ct, ttype, user, real_body, **kwargs)

    async def _update_config(self, ct: Any, user: str, values: Any, deletes: list[str], reverts: list[str]) -> None:
        before = set(ct.config)
        await super()._update_config(ct, user, values, deletes, reverts)
        for key in sorted(set(ct.config) - before):
            if ct.status == "running" and MOUNT.fullmatch(key):
                await asyncio.to_thread(self.container(ct.vmid).plug, ct.config[key])

    def _drop(self, ct: Any) -> None:
        super()._drop(ct)
        self.container(ct.vmid).destroy()

    async def _really(self, work: Callable[..., Any], *arguments: Any) -> None:
        try:
            await asyncio.to_thread(work, *arguments)
        except (LabError, OSError) as error:
            raise TaskError(str(error)) from error


class LabNode(VirtualNode):
    """The node, with two disks of its own where the settings' defaults want them."""

    pve: LabPve

    def __init__(self, directory: Path, base: Path) -> None:
        """Keep what the virtual node keeps in `directory`; make containers from the image `base`."""
        self._base = base
        super().__init__(directory)

    def _make_host(self) -> VirtualHost:
        return LabHost(self.directory)

    def _make_pve(self, password: str) -> VirtualPve:
        return LabPve(password, self.host, self._base)

    def __enter__(self) -> Self:
        """Mount the disks, and be the machine that the operator sits at as root."""
        for place in DISKS:
            disk = self.disk(place)
            make_disk(disk, DISK_GIB)
            sh("mount", "-o", "loop", disk, place)
        super().__enter__()
        path = os.pathsep.join([str(self.host.bin), os.environ.get("PATH", os.defpath)])
        self.env |= {"PATH": path, "PVE_TRANSPORT": "local", "HOSTNAME": NODE}
        del self.env["PVE_SSH"]
        return self

    def disk(self, place: str) -> Path:
        """The file that plays the disk mounted there."""
        return RUN / f"disk-{Path(place).name}.raw"

    def container(self, vmid: int = 118) -> Container:
        """The real container."""
        return self.pve.container(vmid)

    def stat(self, path: str) -> str:
        """Owner, group and mode of a path of the host, such as `110000:110000 750`."""
        found = Path(path).stat()
        return f"{found.st_uid}:{found.st_gid} {stat.S_IMODE(found.st_mode):o}"

    def start(self, vmid: int = 118) -> None:
        """Start a container, as in the web interface."""
        self.api("POST", f"/nodes/{NODE}/lxc/{vmid}/status/start")

    def reboot(self, vmid: int = 118) -> None:
        """Reboot a container, as in the web interface."""
        self.api("POST", f"/nodes/{NODE}/lxc/{vmid}/status/reboot")

    def lose_power(self, vmid: int = 118) -> None:
        """Let the power fail: what container and disks have not synced is lost. The disks come back at once."""
        real = self.container(vmid)
        for place in DISKS:
            lose_power(Path(place))
        real.lose_power()
        for place in DISKS:
            sh("umount", place)
            sh("mount", "-o", "loop", self.disk(place), place)
        self.pve.ct(vmid).status = "stopped"
