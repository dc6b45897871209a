"""Packages, and the network that they come from."""

from __future__ import annotations

from pve_agents.guest.machine import Machine
from pve_agents.guest.progress import fail
from pve_agents.guest.work import STATE, Work

__all__ = ["install_packages", "os_release", "wait_for_network"]

LOG = f"{STATE}/apt.log"
_INSTALL_SECONDS, _MEND_SECONDS = 1200, 600
_TRIES = 3
_OPTIONS = (
    *("-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0"),
    *("-o", "APT::Install-Recommends=false"),
)
_NOWHERE, _NOWHERE_IPV6 = "0" * 8, "0" * 32


def os_release(machine: Machine) -> dict[str, str]:
    """Return what the system says that it is."""
    pairs = (line.partition("=") for line in machine.text("/etc/os-release").splitlines())
    return {name: value.strip("\"'") for name, _, value in pairs}


def has_default_route(machine: Machine) -> bool:
    """Tell whether the container has a way out."""
    # IPv4: interface, destination, gateway, flags …; IPv6: destination, prefix length … interface.
    v4 = (line.split() for line in machine.text("/proc/net/route").splitlines())
    v6 = (line.split() for line in machine.text("/proc/net/ipv6_route").splitlines())
    return any(it[1:2] == [_NOWHERE] for it in v4) or any(
        it[:2] == [_NOWHERE_IPV6, "00"] and it[-1] != "lo" for it in v6
    )


def wait_for_network(work: Work) -> None:
    """Wait until the container has a way out."""
    until = work.machine.seconds() + work.patience.network
    while not has_default_route(work.machine):
        work.progress.waiting("waiting for a default route")
        if work.machine.seconds() >= until:
            fail(
                f"the container has no default route after {work.patience.network:.0f} seconds: look at"
                f" {work.agent_setting}.network and at its DHCP server"
            )
        work.machine.sleep(1)


def install_packages(work: Work, *names: str) -> None:
    """Install packages; what apt says goes into a log.

    An ``apt-get update`` with warnings may still do, so only the installation is judged. Networks fail for a moment.
    """
    wait_for_network(work)
    shown = " ".join(names)
    work.progress.say(f"installing {shown}")
    said = ""
    for attempt in range(1, _TRIES + 1):
        said += _apt_get(work, "update")[1]
        ok, more = _apt_get(work, "install", "-y", *names)
        said += more
        if not ok and "dpkg --configure -a" in said:
            # A run that was killed in the middle of an installation.
            said += work.machine.run("dpkg", "--configure", "-a", seconds=_MEND_SECONDS, joined=True).out
        work.machine.write(LOG, said.encode(errors="surrogateescape"))
        if ok:
            return
        if attempt < _TRIES:
            work.machine.sleep(work.patience.retry)
    lines = work.last_lines(said)
    if "No space left on device" in said or "don't have enough free space" in said:
        fail(
            f"no room for the packages {shown}: make room in the container, or raise {work.agent_setting}.disk.size_gib",
            *lines,
        )
    if "Could not get lock" in said:
        fail("another program keeps apt locked for more than 120 seconds: wait for it, and deploy again", *lines)
    fail(f"apt-get cannot install {shown}: look at {LOG} in the container, mend it, and deploy again", *lines)


def _apt_get(work: Work, *words: str) -> tuple[bool, str]:
    ran = work.machine.run("apt-get", *_OPTIONS, *words, seconds=_INSTALL_SECONDS, joined=True)
    return ran.ok, f"{ran.out}\n" if ran.out else ""
