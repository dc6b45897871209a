"""Whether the agent in this container is as declared and answers. Nothing here changes anything but a probe's file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pve_agents.guest.answers import Check
from pve_agents.guest.checks import own_checks_of
from pve_agents.guest.files import managed
from pve_agents.guest.machine import Machine
from pve_agents.guest.plan import Plan
from pve_agents.guest.work import Work

__all__ = ["check_all", "check_disk", "check_secrets"]

_KIB, _LEAST_KIB, _LITTLE_KIB = 1024, 64 * 1024, 2 * 1024 * 1024
_FULL_PERCENT, _FULL_INODES_PERCENT = 95, 98
_OPEN_TO_OTHERS = 0o077


def check_all(work: Work, *, chat: bool) -> Iterator[Check]:
    """Yield all checks, one after the other; one failure ends nothing."""
    checks = work.runtime.look(chat=chat)
    # What runs them comes first: without it, most of the rest cannot be judged.
    yield next(checks)
    yield check_disk(work.machine, work.plan)
    yield from checks
    if work.plan.checks is not None:
        yield from own_checks_of(work.machine, work.plan.checks).look(chat=chat)
    yield check_secrets(work.machine, _private_files(work))


# disk -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Disk:
    """A line of ``df``."""

    place: str
    free: int
    """In KiB."""
    used: str
    inodes: str

    @property
    def fault(self) -> str:
        """What is wrong, or nothing. A large disk may be nearly full and still have room for months."""
        percent, inodes = self.used.removesuffix("%"), self.inodes.removesuffix("%")
        is_nearly_full = percent.isdecimal() and int(percent) >= _FULL_PERCENT
        if self.free < _LEAST_KIB or (self.free < _LITTLE_KIB and is_nearly_full):
            return f"{self.place} has {_amount(self.free)} left"
        if inodes.isdecimal() and int(inodes) >= _FULL_INODES_PERCENT:
            return f"{self.place} has no room for more files ({self.inodes} of its inodes are used)"
        return ""


def check_disk(machine: Machine, plan: Plan) -> Check:
    """Check whether the places that are written in have room."""
    places = ["/", *(it.path for it in plan.workspaces if not it.read_only)]
    if plan.software:
        places += [it.data_directory for it in plan.software.services]
        places += [it.path for it in plan.software.directories if machine.is_directory(it.path)]
    if machine.is_directory("/var/lib/docker"):
        places.append("/var/lib/docker")
    disks = _disks(machine, places)
    full = [(it.place, it.fault) for it in disks if it.fault]
    if not full:
        shown = (f"{it.place} {it.used} used, {_amount(it.free)} free" for it in disks)
        return Check("disk", "ok", ", ".join(shown))
    remedy = f"make room on the disk of {full[0][0]} on the host"
    if any(place == "/" for place, _ in full):
        remedy = (
            f"make room (`docker image prune -a` removes unused images), or raise agents.{plan.agent}.disk.size_gib"
        )
    return Check("disk", "failed", ", ".join(fault for _, fault in full), remedy)


def _disks(machine: Machine, places: list[str]) -> list[_Disk]:
    ran = machine.run("df", "--output=target,avail,pcent,ipcent", "--", *places, seconds=60)
    found: dict[str, _Disk] = {}
    for line in ran.out.splitlines()[1:]:
        target, free, used, inodes = line.rsplit(maxsplit=3)
        found.setdefault(target, _Disk(target, int(free), used, inodes))
    return list(found.values())


def _amount(kib: int) -> str:
    return f"{kib // _KIB} MiB" if kib < _KIB * _KIB else f"{kib // _KIB // _KIB} GiB"


# secrets ----------------------------------------------------------------------------------------------------------------


def _private_files(work: Work) -> dict[str, str]:
    """Return whose each file with secrets must be."""
    files = {}
    for service in work.software.services:
        for path in (f"{managed(work, service)}/.env", *service.private):
            files[path] = work.software.owner
    return files | work.runtime.private_files()


def check_secrets(machine: Machine, owners: dict[str, str]) -> Check:
    """Check whether nobody else can read the files with secrets.

    Args:
        machine: The container.
        owners: Files, and whose they must be; those that were delivered are known.
    """
    folder = "/etc/pve-agents"
    delivered = {f"{folder}/{it}": "0:0" for it in machine.names(folder) if it.endswith(".env")}
    faults, remedies, count = [], [], 0
    for path, owner in (delivered | owners).items():
        if (status := machine.status(path)) is None:
            continue
        count += 1
        if status.mode & _OPEN_TO_OTHERS:
            faults.append(f"{path} has mode {status.mode:o}")
            remedies.append(f"chmod 600 {path}")
        elif status.owner != owner:
            faults.append(f"{path} belongs to {status.owner}")
            remedies.append(f"chown {owner} {path}")
    if faults:
        remedy = f"run `{'; '.join(remedies)}` in the container"
        return Check("secrets", "failed", f"secrets that others can read: {', '.join(faults)}", remedy)
    return Check("secrets", "ok", f"{count} files, each for its owner alone" if count else "there are none")
