"""The lab's own corner of this machine: namespaces that end with the lab, whatever ends it.

Bridge, firewall, `ip_forward`, mounts, loop devices, the node's host name and every process
live in namespaces of their own. The kernel takes them away with the last process, so that a lab that was killed leaves
nothing but its cgroups' empty directories and its run directory: `clean` removes those, at the end and before the start.
The way out is slirp4netns, an ordinary process that opens the sandbox's connections as its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
# Root's, and nobody's home.
CACHE = Path("/var/cache/pve-agents-lab")
RUN = CACHE / "run"
LOG = RUN / "log"
# The id map of Proxmox VE's unprivileged containers (pve-container src/PVE/LXC.pm).
FIRST_ID, IDS = 100000, 65536
# As the settings' defaults have them: the node, and its bridge for the guests with LiteLLM on it.
NODE, BRIDGE = "gihyeon", "intra01"
GATEWAY, LITELLM = "10.1.0.1", "10.1.10.22"
NETWORK_BITS = 16
# slirp4netns' own name server, which asks this machine's.
NAMESERVER = "10.0.2.3"
# What a node has mounted its disks below, and what this machine may not have.
DISKS = {"/mnt": "pve/hdd", "/media": "2tb"}
CGROUPS = Path("/sys/fs/cgroup")
CGROUP_NAME = "pve-agents-lab"

# command -> Debian's package
PROGRAMS = {
    "debootstrap": "debootstrap",
    "dnsmasq": "dnsmasq-base",
    "docker-registry": "docker-registry",
    "ip": "iproute2",
    "lxc-start": "lxc",
    "mkfs.ext4": "e2fsprogs",
    "newuidmap": "uidmap",
    "nft": "nftables",
    "skopeo": "skopeo",
    "slirp4netns": "slirp4netns",
    "umoci": "umoci",
}
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START_SECONDS, END_SECONDS = 20, 10
# Tells a process that it is in there.
INSIDE = "PVE_AGENTS_LAB"


class LabError(Exception):
    """Why there is no lab, in one sentence."""


# Outside ------------------------------------------------------------------------------------------------------------


def run_inside(command: list[str]) -> int:
    """Run a command in a new sandbox and return its exit status."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root on Linux, for a container with its own users: run it with sudo")
    install_programs()
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone(), _ending_as_usual():
        _clean()
        LOG.mkdir(parents=True)
        try:
            return _run(command)
        finally:
            _clean()


def install_programs() -> None:
    """Install what is missing, from Debian."""
    missing = sorted(package for name, package in PROGRAMS.items() if not shutil.which(name, path=SYSTEM_PATH))
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"the lab needs Debian's packages {', '.join(missing)}, and there is no apt-get here")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", *missing]
    for command in (["apt-get", "update", "--quiet=2"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


def _clean() -> None:
    """Remove what a lab leaves in the file system: cgroups without a process, and the run directory."""
    end = time.monotonic() + END_SECONDS
    while (folders := list(CGROUPS.glob(f"**/{CGROUP_NAME}"))) and time.monotonic() < end:
        for folder in folders:
            for inner in (*sorted((it for it in folder.rglob("*") if it.is_dir()), reverse=True), folder):
                # The kernel may still be busy with the last process.
                with contextlib.suppress(OSError):
                    inner.rmdir()
        time.sleep(0.05)
    shutil.rmtree(RUN, ignore_errors=True)


@contextlib.contextmanager
def _ending_as_usual() -> Iterator[None]:
    """A request to end lets this process clean up."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LabError("a lab is running already: `python -m tests.lab down` ends it") from None
        yield


def _run(command: list[str]) -> int:
    """Start the sandbox, let slirp4netns connect it, let it go on, and wait for it."""
    here, there = os.pipe()
    slirp_ends, slirp_lives = os.pipe()
    connected, connecting = os.pipe()
    spaces = ["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    inside = [sys.executable, "-m", "tests.lab.sandbox", str(here), *command]
    # The whole sandbox dies with this process, even when that is killed.
    dying = ["setpriv", "--pdeathsig", "KILL", "--"]
    sandbox = subprocess.Popen([*dying, "unshare", *spaces, "--", *inside], cwd=ROOT, pass_fds=(here,))
    os.close(here)
    try:
        network = _network_of(sandbox)
        slirp = subprocess.Popen(
            [
                *("slirp4netns", "--configure", "--mtu=65520", f"--exit-fd={slirp_ends}", f"--ready-fd={connecting}"),
                *("--netns-type=path", str(network), "tap0"),
            ],
            pass_fds=(slirp_ends, connecting),
            stdout=subprocess.DEVNULL,
            stderr=(LOG / "slirp4netns").open("w"),
            # Ctrl-C is the sandbox's to deal with.
            start_new_session=True,
        )
        os.close(connecting)
        os.close(slirp_ends)
        _must_be_connected(connected)
        os.write(there, b"1")
        with _deaf_to_interrupts():
            status = sandbox.wait()
        os.close(slirp_lives)
        slirp.wait()
    except BaseException:
        # With the first process everything in there ends, before it is over itself.
        os.kill(first_process(sandbox.pid), signal.SIGKILL)
        sandbox.wait()
        raise
    return status if status >= 0 else 128 - status


def first_process(unshare: int) -> int:
    """The sandbox's first process, as this machine numbers it; that of `unshare` where it has none yet."""
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0])
    return unshare


def _must_be_connected(connected: int) -> None:
    if os.read(connected, 1) != b"1":
        raise LabError(f"slirp4netns does not start: {(LOG / 'slirp4netns').read_text().strip()}")


def _network_of(sandbox: subprocess.Popen[bytes]) -> Path:
    """The sandbox's network namespace, once it has one of its own."""
    path, ours = Path(f"/proc/{sandbox.pid}/ns/net"), Path("/proc/self/ns/net").readlink()
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if path.readlink() != ours:
                return path
        if sandbox.poll() is not None:
            raise LabError("this machine lets no process have namespaces of its own")
        time.sleep(0.01)
    raise LabError("the sandbox does not start")


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ctrl-C reaches the sandbox too, which ends by itself; after it comes the clean-up."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# Inside -------------------------------------------------------------------------------------------------------------


def main() -> int:
    """Be the first process of the sandbox: furnish it, run the command, and bury the dead."""
    go, *command = sys.argv[1:]
    if os.read(int(go), 1) != b"1":
        return 1
    os.close(int(go))
    _own_files()
    _own_network()
    child = subprocess.Popen(command, env={**os.environ, INSIDE: "yes"})
    while True:
        pid, status = os.wait()
        if pid == child.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def sh(*command: str | Path, **options: object) -> str:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise LabError(f"`{' '.join(map(str, command))}` ended with {done.returncode}: {done.stderr or done.stdout}")
    return str(done.stdout)


def log(name: str) -> IO[bytes]:
    """The file that a background process writes to, for who wants to know what it had to say."""
    return (LOG / name).open("ab")


def _own_files() -> None:
    """Show the file system of a node: this machine's, but for what must be the lab's own.

    The root directory is a new one, because a container's users must get through it, and not every machine's lets them.
    """
    sh("mount", "--make-rprivate", "/")
    sh("hostname", NODE)
    root = RUN / "root"
    root.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root)
    _show(Path("/"), root, without={parent.strip("/") for parent in DISKS})
    for parent, disk in DISKS.items():
        place = root / parent.strip("/")
        place.mkdir()
        _show(Path(parent), place)
        (place / disk).mkdir(parents=True)
    # /sys/class/net shows the network of whoever mounted it. The cgroups stay what they are.
    sh("mount", "-t", "sysfs", "sysfs", root / "sys")
    sh("mount", "--rbind", CGROUPS, root / CGROUPS.relative_to("/"))
    # A mount needs a place on this machine; it stays empty there.
    (root / "etc/pve").mkdir(exist_ok=True)
    for own in ("run", "var/lib/lxc", "etc/pve"):
        sh("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root / own)
    here = Path.cwd()
    (root / "old").mkdir()
    sh("pivot_root", root, root / "old")
    os.chdir(here)
    sh("umount", "--lazy", "/old")
    Path("/old").rmdir()
    ids = f"root:{FIRST_ID}:{IDS}\n"
    for path, text in {
        "/etc/subuid": ids,
        "/etc/subgid": ids,
        "/etc/resolv.conf": f"nameserver {NAMESERVER}\n",
    }.items():
        file, shown = RUN / path.strip("/").replace("/", "-"), Path(path).resolve()
        file.write_text(text)
        if not shown.exists():
            shown.parent.mkdir(parents=True, exist_ok=True)
            shown.touch()
        sh("mount", "--bind", file, shown)


def _show(real: Path, place: Path, without: Iterable[str] = ()) -> None:
    """Show in one directory what is in another."""
    for entry in real.iterdir() if real.is_dir() else ():
        if entry.name in without:
            continue
        if entry.is_symlink():
            (place / entry.name).symlink_to(entry.readlink())
        elif entry.is_dir():
            (place / entry.name).mkdir()
            sh("mount", "--rbind", entry, place / entry.name)


def _own_network() -> None:
    """A bridge as on the node, and a way out for what is behind it; the firewall comes with the lab's services."""
    for words in (
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"addr add {GATEWAY}/{NETWORK_BITS} dev {BRIDGE}",
        f"addr add {LITELLM}/{NETWORK_BITS} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ):
        sh("ip", *words.split())
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


if __name__ == "__main__":
    sys.exit(main())
