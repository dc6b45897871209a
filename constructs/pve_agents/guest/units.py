"""The units: their files, and only those started anew that are not as wanted."""

from __future__ import annotations

from collections.abc import Iterable

from pve_agents.guest.copies import copy_before_upgrade, finish_restore, remember_versions
from pve_agents.guest.files import deliver_others, deliver_service, digest, revision
from pve_agents.guest.plan import Unit
from pve_agents.guest.progress import fail
from pve_agents.guest.releases import link_release
from pve_agents.guest.systemd import REVISION, UNIT_FILES, UNITS, UnitState, state_of, units_of, unlink_units
from pve_agents.guest.work import NativeWork

__all__ = ["deliver_native_files", "revision_of_unit", "start_units", "stop_units", "units_of_services", "want_units"]

_ASK_SECONDS, _STOP_MARGIN_SECONDS = 60, 60


def deliver_native_files(work: NativeWork) -> None:
    """Put every file in place that is not as it should be."""
    work.machine.want_directory(work.project)
    for service in work.native.services:
        deliver_service(work, service)
    deliver_others(work)
    if work.progress.changes:
        work.sync(work.project)


def revision_of_unit(work: NativeWork, unit: Unit) -> str:
    """Return a word that changes with all that a unit reads only when it starts."""
    service = next(it for it in work.native.services if it.name == unit.service)
    text = work.machine.read(f"{work.payload}/units/{unit.name}.service") or b""
    return digest(text, work.native.release.name.encode(), revision(work, service).encode())


def want_units(work: NativeWork) -> None:
    """Have every unit running as it is wanted, and no other one."""
    finish_restore(work)
    copy_before_upgrade(work)
    remember_versions(work)
    wanted = [it.name for it in work.native.units]
    if gone := [it for it in units_of(work) if it not in wanted]:
        _systemctl(work, "disable", "--now", *(f"{it}.service" for it in gone))
        unlink_units(work, gone)
        for name in gone:
            work.progress.did(f"{name} removed")
    # Before any of them is there: what may be there is known.
    if units_of(work) != wanted:
        work.remember(f"{work.project}/{UNITS}", "\n".join(wanted))
    if link_release(work, work.native.release.name):
        work.progress.did(f"release {work.native.release.name}")
    delivered = [_deliver(work, unit) for unit in work.native.units]
    if any(delivered) or _needs_reload(work):
        _systemctl(work, "daemon-reload")
    for unit in work.native.units:
        _want(work, unit)


def _deliver(work: NativeWork, unit: Unit) -> bool:
    """Put a unit's files in place; tell whether there was need."""
    source, target = f"{work.payload}/units/{unit.name}.service", f"{UNIT_FILES}/{unit.name}.service"
    folder = f"{target}.d"
    text = f"[Service]\nEnvironment={REVISION}={revision_of_unit(work, unit)}"
    is_new = False
    if not work.same(source, target):
        work.machine.write(target, work.machine.read(source) or b"")
        is_new = True
    if work.machine.text(f"{folder}/revision.conf") != text:
        work.machine.want_directory(folder)
        work.remember(f"{folder}/revision.conf", text)
        is_new = True
    return is_new


def _needs_reload(work: NativeWork) -> bool:
    states = [state_of(work.machine, it.name) for it in work.native.units]
    return any(not it.is_there or it.values.get("NeedDaemonReload") == "yes" for it in states)


def _want(work: NativeWork, unit: Unit) -> None:
    state, name = state_of(work.machine, unit.name), f"{unit.name}.service"
    if state.values.get("UnitFileState") != "enabled":
        _systemctl(work, "enable", "--quiet", name)
        work.progress.did(f"{unit.name} enabled")
    if state.is_running and state.revision == revision_of_unit(work, unit):
        return
    if state.active == "failed":
        _systemctl(work, "reset-failed", name)
    # It may take a while until it says that it is ready, and has that time later.
    _systemctl(work, "restart", "--no-block", name)
    work.progress.did(f"{unit.name} {'restarted' if state.is_running else 'started'}")


def _systemctl(work: NativeWork, *words: str, seconds: float = _ASK_SECONDS) -> None:
    seconds += work.native.stop_seconds + _STOP_MARGIN_SECONDS
    ran = work.machine.run("systemctl", *words, seconds=seconds, joined=True)
    if not ran.ok:
        fail(f"`systemctl {' '.join(words)}` fails in the container", work.last_line(ran.out))


def units_of_services(work: NativeWork, services: Iterable[str]) -> list[str]:
    """Return the units of services that are there."""
    names, there = set(services), units_of(work)
    return [it.name for it in work.native.units if it.service in names and it.name in there]


def stop_units(work: NativeWork, names: Iterable[str]) -> None:
    """Stop units, with the time that they need."""
    if units := [f"{it}.service" for it in names]:
        _systemctl(work, "stop", *units)
        still = [it for it in units if state_of(work.machine, it.removesuffix(".service")).pid]
        if still:
            fail(
                f"{' '.join(still)} does not stop, and data in use is not copied: look at `systemctl status {still[0]}` in the container"
            )


def start_units(work: NativeWork, names: Iterable[str]) -> None:
    """Start units."""
    if units := [f"{it}.service" for it in names]:
        work.machine.run("systemctl", "reset-failed", *units, seconds=_ASK_SECONDS)
        _systemctl(work, "start", "--no-block", *units)


def is_as_wanted(work: NativeWork, unit: Unit, state: UnitState) -> bool:
    """Tell whether a unit runs with what is delivered now."""
    return state.is_running and state.revision == revision_of_unit(work, unit)
