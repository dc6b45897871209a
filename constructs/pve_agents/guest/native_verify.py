"""Whether systemd in this container runs what is declared, and keeps it where it belongs."""

from __future__ import annotations

from collections.abc import Iterator

from pve_agents.guest.answers import Check
from pve_agents.guest.checks import checks_of
from pve_agents.guest.files import managed
from pve_agents.guest.plan import Unit
from pve_agents.guest.releases import current_release, is_whole
from pve_agents.guest.services import Service
from pve_agents.guest.systemd import UNIT_FILES, UnitState, state_of, unit_fault, unit_remedy
from pve_agents.guest.units import is_as_wanted
from pve_agents.guest.work import NativeWork

__all__ = ["look_at_units"]

_FILTERED = "2"
"""What the kernel says of a process whose system calls are filtered."""


def look_at_units(work: NativeWork, *, chat: bool) -> Iterator[Check]:
    """Yield all checks of the release and of what systemd runs of it."""
    yield _check_release(work)
    for service in work.native.services:
        yield from _check_service(work, service, chat=chat)


def _check_release(work: NativeWork) -> Check:
    release = work.native.release
    if not is_whole(work, release.name):
        return Check("release", "failed", f"{work.native.title} {release.name} is not installed", work.mend)
    if (current := current_release(work)) != release.name:
        return Check("release", "failed", f"what runs is {current or 'nothing'}, and not {release.name}", work.mend)
    return Check("release", "ok", f"{work.native.title} {release.name} in {release.directory}")


def _check_service(work: NativeWork, service: Service, *, chat: bool) -> Iterator[Check]:
    def of(name: str) -> str:
        """Name a service where there are several."""
        return f"{name} {service.name}" if len(work.native.services) > 1 else name

    units = [it for it in work.native.units if it.service == service.name]
    states = [(it, state_of(work.machine, it.name)) for it in units]
    for unit, state in states:
        name = of("unit") if unit is units[0] else f"unit {unit.name}"
        yield _check_unit(work, service, unit, state, name)
    kind, (first, state) = checks_of(work, service), states[0]
    if not state.is_running:
        for name in ("sandbox", *kind.names()):
            yield Check(of(name), "skipped", f"unit {first.name} is not running")
        return
    yield _check_sandbox(work, states, of("sandbox"))
    for check in kind.look(chat=chat):
        yield Check(of(check.name), check.status, check.detail, check.remedy)


def _check_unit(work: NativeWork, service: Service, unit: Unit, state: UnitState, name: str) -> Check:
    if not state.is_there:
        return Check(name, "failed", f"there is no unit {unit.name}", work.mend)
    if fault := unit_fault(state):
        return Check(name, "failed", fault, unit_remedy(work, state))
    if not state.is_running:
        return Check(name, "failed", f"unit {unit.name} is {state.active}", "wait a moment, and look again")
    problem = ""
    if not work.same(f"{work.payload}/units/{unit.name}.service", f"{UNIT_FILES}/{unit.name}.service"):
        problem = f"unit {unit.name} is not the delivered one"
    elif state.values.get("UnitFileState") != "enabled":
        problem = f"unit {unit.name} does not start with the container"
    elif not _files_are_delivered(work, service) or not is_as_wanted(work, unit, state):
        problem = f"unit {unit.name} runs with older settings or secrets than the delivered ones"
    if problem:
        return Check(name, "failed", problem, work.mend)
    restarts = f"; restarted {state.restarts} times" if state.restarts else ""
    killed = f"; {fault}" if (fault := work.runtime.memory_fault(service.name)) else ""
    return Check(name, "ok", f"running since {state.since}{restarts}{killed}")


def _files_are_delivered(work: NativeWork, service: Service) -> bool:
    source = f"{work.payload}/services/{service.name}/managed"
    return all(work.same(f"{source}/{it}", f"{managed(work, service)}/{it}") for it in service.files)


def _check_sandbox(work: NativeWork, states: list[tuple[Unit, UnitState]], name: str) -> Check:
    """Look at what the kernel holds the processes to, and not at what their units say."""
    for unit, state in states:
        if state.is_running and (fault := _fault_of_process(work, state)):
            return Check(name, "failed", f"unit {unit.name} {fault}", work.mend)
    return Check(name, "ok", f"user {work.native.owner}, no privileges to gain, no capabilities, system calls filtered")


def _fault_of_process(work: NativeWork, state: UnitState) -> str:
    rows = (line.partition(":") for line in work.machine.text(f"/proc/{state.pid}/status").splitlines())
    values = {name: value.split() for name, _, value in rows}
    if values.get("Uid", [""])[0] != str(work.native.uid):
        return f"does not run as {work.native.owner}"
    if values.get("NoNewPrivs") != ["1"]:
        return "may gain privileges"
    if any(values.get(it, ["0"])[0].strip("0") for it in ("CapEff", "CapBnd")):
        return "has capabilities"
    if values.get("Seccomp") != [_FILTERED]:
        return "may call all of the kernel"
    return ""
