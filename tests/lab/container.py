"""One real container, made by LXC as Proxmox VE makes its unprivileged ones.

The root file system is a disk of its own, its files belong to ids shifted by 100000, and directories of the node are
mounted below it before the start, as pve-container's prestart hook does; a new mount of a running container goes
through the kernel's mount API, as pve-container does it too (src/PVE/LXC.pm, mountpoint_hotplug).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.sandbox import CGROUP_NAME, FIRST_ID, GATEWAY, IDS, LOG, RUN, LabError, sh

LXC = Path("/var/lib/lxc")
STOP_SECONDS = 60
# ext4's EXT4_IOC_SHUTDOWN (linux/fs/ext4/ext4.h) without a flush of the journal: what was not synced is lost.
SHUTDOWN, WITHOUT_LOG_FLUSH = 0x8004587D, 2
MOUNT = re.compile(r"mp\d+")

CONFIG = """\
lxc.include = /usr/share/lxc/config/common.conf
lxc.include = /usr/share/lxc/config/userns.conf
{nesting}
lxc.apparmor.profile = unconfined
lxc.seccomp.profile = {seccomp}
lxc.arch = {arch}
lxc.idmap = u 0 {first} {ids}
lxc.idmap = g 0 {first} {ids}
lxc.rootfs.path = dir:{rootfs}
lxc.uts.name = {hostname}
lxc.mount.auto = cgroup:rw:force
lxc.cgroup.dir = {cgroup}
lxc.cgroup.memory.limit_in_bytes = {memory}M
lxc.cgroup2.memory.max = {memory}M
lxc.net.0.type = veth
lxc.net.0.link = {bridge}
lxc.net.0.flags = up
lxc.net.0.name = {name}
lxc.net.0.hwaddr = {hwaddr}
lxc.net.0.veth.pair = veth{vmid}i0
"""
NESTING = "lxc.include = /usr/share/lxc/config/nesting.conf"
SECCOMP = Path("/usr/share/lxc/config/common.seccomp")
INTERFACES = """\
auto lo
iface lo inet loopback

auto {name}
iface {name} inet {address}
"""


class Container:
    """A container by its VMID."""

    def __init__(self, vmid: int, base: Path) -> None:
        """Be the container of this VMID; its disk becomes a copy of `base`."""
        self.vmid, self.base = vmid, base
        self.directory = LXC / str(vmid)
        self.rootfs = self.directory / "rootfs"
        self.disk = RUN / f"vm-{vmid}-disk-0.raw"

    @property
    def exists(self) -> bool:
        """Whether it has a disk."""
        return self.disk.exists()

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        return self.pid() > 0

    def pid(self) -> int:
        """Its first process, or -1."""
        done = subprocess.run(
            ["lxc-info", "-n", str(self.vmid), "-p", "-H"], capture_output=True, text=True, check=False
        )
        return int(done.stdout.strip() or -1) if done.returncode == 0 else -1

    # Life -----------------------------------------------------------------------------------------------------------

    def create(self) -> None:
        """Unpack the template."""
        sh("cp", "--sparse=always", self.base, self.disk)

    def start(self, config: Mapping[str, Any]) -> None:
        """Start it with the configuration that `pct config` shows."""
        self.rootfs.mkdir(parents=True, exist_ok=True)
        # Its root has to get there, whatever the umask: see below.
        for place in (self.directory, self.rootfs):
            place.chmod(0o755)
        sh("mount", "-o", "loop", self.disk, self.rootfs)
        try:
            self._set_up(config)
            for key in sorted(key for key in config if MOUNT.fullmatch(key)):
                source, target, read_only = parse_mount(config[key])
                _must_be_there(source)
                sh("mount", "--bind", source, self._mount_point(target))
                if read_only:
                    sh("mount", "-o", "remount,bind,ro", self.rootfs / target)
            self._write_config(config)
            sh("lxc-start", "-n", str(self.vmid), "-o", LOG / f"lxc-{self.vmid}", "-L", LOG / f"console-{self.vmid}")
        except BaseException:
            self._unmount()
            raise

    def stop(self, seconds: int = STOP_SECONDS) -> None:
        """Shut it down, and take the current away after so many seconds; 0: at once."""
        sh("lxc-stop", "-n", str(self.vmid), *(["-t", str(seconds)] if seconds else ["-k"]))
        self._unmount()

    def lose_power(self) -> None:
        """End it as a power cut does: what was written and not synced is gone."""
        lose_power(self.rootfs)
        sh("lxc-stop", "-n", str(self.vmid), "-k")
        self._unmount()

    def destroy(self) -> None:
        """Remove it; directories of the node stay."""
        if self.running:
            self.stop(0)
        self._unmount()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.disk.unlink(missing_ok=True)

    def plug(self, value: str) -> None:
        """Mount a directory of the node into the running container."""
        source, target, read_only = parse_mount(value)
        sh(sys.executable, "-m", "tests.lab.plug", str(self.pid()), source, f"/{target}", str(int(read_only)))

    # Inside ---------------------------------------------------------------------------------------------------------

    def attach(self, *command: str) -> list[str]:
        """The command that runs one in the container, with a clean environment of root's."""
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        clean = ["lxc-attach", "-n", str(self.vmid), "--clear-env", "--", "env", "-i", f"PATH={path}", "HOME=/root"]
        return [*clean, "LANG=C.UTF-8", *command]

    def run(self, *command: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as root."""
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, **options}
        done: subprocess.CompletedProcess[str] = subprocess.run(self.attach(*command), check=False, **given)
        if check and done.returncode:
            raise LabError(f"in the container, `{' '.join(command)}` ended with {done.returncode}: {done.stderr}")
        return done

    def wait_until_booted(self, seconds: float = 60) -> None:
        """Return once systemd has done what it does at a boot."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"):
                return
            time.sleep(0.2)
        raise LabError(f"container {self.vmid} does not boot within {seconds:g} seconds")

    # How ------------------------------------------------------------------------------------------------------------

    def _set_up(self, config: Mapping[str, Any]) -> None:
        """Write what Proxmox VE writes into a Debian guest before each start (src/PVE/LXC/Setup/Debian.pm)."""
        net = options(config["net0"])
        lines = INTERFACES.format(name=net["name"], address="dhcp" if net.get("ip") == "dhcp" else "static")
        if net.get("ip", "dhcp") != "dhcp":
            lines += f"\taddress {net['ip']}\n\tgateway {net.get('gw', GATEWAY)}\n"
        servers = str(config.get("nameserver", "")).split() or ["1.1.1.1"]
        for name, text in {
            "hostname": f"{config['hostname']}\n",
            "hosts": f"127.0.0.1 localhost\n127.0.1.1 {config['hostname']}\n",
            "network/interfaces": lines,
            "resolv.conf": "".join(f"nameserver {server}\n" for server in servers),
        }.items():
            path = self.rootfs / "etc" / name
            path.unlink(missing_ok=True)
            path.write_text(text)
            # Whatever the umask: a command of the operator's may be running in this process, which sets its own.
            path.chmod(0o644)
            os.chown(path, FIRST_ID, FIRST_ID)

    def _mount_point(self, target: str) -> Path:
        place = self.rootfs
        for part in target.split("/"):
            place /= part
            if not place.exists():
                place.mkdir()
                place.chmod(0o755)
                os.chown(place, FIRST_ID, FIRST_ID)
        return place

    def _write_config(self, config: Mapping[str, Any]) -> None:
        features = options(str(config.get("features", "")))
        seccomp = self.directory / "rules.seccomp"
        rules = SECCOMP.read_text()
        if features.get("keyctl") != "1":
            # src/PVE/LXC.pm, make_seccomp_config: ENOSYS, so that programs do without.
            rules += "keyctl errno 38\n"
        seccomp.write_text(rules)
        net = options(config["net0"])
        text = CONFIG.format(
            nesting=NESTING if features.get("nesting") == "1" else "",
            seccomp=seccomp,
            arch=config["arch"],
            first=FIRST_ID,
            ids=IDS,
            rootfs=self.rootfs,
            hostname=config["hostname"],
            cgroup=CGROUP_NAME,
            memory=config["memory"],
            bridge=net["bridge"],
            name=net["name"],
            hwaddr=net["hwaddr"],
            vmid=self.vmid,
        )
        (self.directory / "config").write_text(text)

    def _unmount(self) -> None:
        places = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in reversed(places):
            if f"{place}/".startswith(f"{self.rootfs}/"):
                sh("umount", place)


def _must_be_there(source: Path) -> None:
    if not source.is_dir():
        raise LabError(f"directory '{source}' does not exist")


def make_disk(path: Path, gib: int) -> None:
    """A sparse file with an empty ext4."""
    with path.open("w") as file:
        file.truncate(gib << 30)
    sh("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", path)


def options(value: str) -> dict[str, str]:
    """The options of a property string."""
    return dict(part.split("=", 1) for part in value.split(",") if "=" in part)


def parse_mount(value: str) -> tuple[Path, str, bool]:
    """The node's directory, the place below the container's root, and whether it is read-only."""
    found = options(value)
    return shown_by(value.split(",", maxsplit=1)[0]), found["mp"].strip("/"), found.get("ro") == "1"


def shown_by(source: str) -> Path:
    """Where on the node is what a mount shows: a directory, one on a datastore, or the file system of an image."""
    if source.startswith("/"):
        return Path(source)
    store, _, name = source.partition(":")
    return Path("/mnt/pve", store, "images", name) if ".subvol" in name else RUN / "volumes" / store / name


def lose_power(place: Path) -> None:
    """Let a mounted ext4 forget what it has not written yet."""
    handle = os.open(place, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
    finally:
        os.close(handle)
