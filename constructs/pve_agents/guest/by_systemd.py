"""systemd as what runs an agent's services, without Docker."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from pve_agents.guest.answers import Check
from pve_agents.guest.directories import want_directories
from pve_agents.guest.machine import NOT_FOUND, Ran
from pve_agents.guest.native_base import want_packages, want_user
from pve_agents.guest.native_verify import look_at_units
from pve_agents.guest.releases import current_release, is_whole, keep_two_releases, link_release, want_release
from pve_agents.guest.runtime import Facts, Holding, Runtime, Step
from pve_agents.guest.services import Workspace
from pve_agents.guest.systemd import environment_of, log_of, state_of, unit_fault, unit_remedy, units_of
from pve_agents.guest.units import (
    deliver_native_files,
    is_as_wanted,
    start_units,
    stop_units,
    units_of_services,
    want_units,
)
from pve_agents.guest.work import NativeWork

__all__ = ["BySystemd"]


class BySystemd(Runtime):
    """systemd, for one agent."""

    side, version_word = "native", "release"

    def __init__(self, work: NativeWork) -> None:
        """Know what it runs."""
        self._work = work

    # deploy -----------------------------------------------------------------------------------------------------------

    def prepare(self) -> list[Step]:
        """Return the steps that disturb nobody."""
        work = self._work
        return [
            Step("packages", lambda: want_packages(work)),
            Step("user", lambda: want_user(work)),
            Step("release", lambda: want_release(work)),
            Step("workspaces", lambda: want_directories(work)),
            Step("files", lambda: deliver_native_files(work)),
        ]

    def replace(self) -> Step:
        """Return the step after which the wanted units run."""
        return Step("units", lambda: want_units(self._work))

    def replaced_version(self) -> str:
        """Return the release that answers until another one does."""
        current = current_release(self._work)
        is_other = current != self._work.native.release.name and bool(units_of(self._work))
        return current if is_other and is_whole(self._work, current) else ""

    def go_back_to(self, version: str) -> None:
        """Have the units run an earlier release."""
        stop_units(self._work, units_of(self._work))
        link_release(self._work, version)
        start_units(self._work, units_of(self._work))

    def wait_for_others(self) -> None:
        """Wait for nobody: there are no others."""

    def tidy(self) -> None:
        """Keep the current release and the one before it."""
        keep_two_releases(self._work)

    # one service ------------------------------------------------------------------------------------------------------

    def facts(self, service: str) -> Facts:
        """Return how a service's unit is."""
        unit = next(it for it in self._work.native.units if it.service == service)
        state, what = state_of(self._work.machine, unit.name), f"unit {unit.name}"
        return Facts(
            what,
            is_there=state.is_there,
            # One that is told to start anew may still be the old one.
            is_running=is_as_wanted(self._work, unit, state),
            is_over=state.is_over,
            detail=f"{what} is {state.active}",
            fault=unit_fault(state),
            remedy=unit_remedy(self._work, state),
        )

    def memory_fault(self, service: str) -> str:
        """Return whether the kernel has ended processes of a running unit, or nothing."""
        unit = self._unit(service)
        killed = max((self._killed(it) for it in self._memory_files(f"system.slice/{unit}.service")), default=0)
        return (
            f"the kernel has ended {killed} of its processes for want of memory since unit {unit} started"
            if killed
            else ""
        )

    @staticmethod
    def _memory_files(group: str) -> tuple[str, str]:
        # Version 2 of control groups, and version 1.
        return f"/sys/fs/cgroup/{group}/memory.events", f"/sys/fs/cgroup/memory/{group}/memory.oom_control"

    def _killed(self, file: str) -> int:
        rows = (row.split() for row in self._work.machine.text(file).splitlines())
        return sum(int(row[1]) for row in rows if row[:1] == ["oom_kill"])

    def log(self, service: str) -> list[str]:
        """Return the last lines of a unit's journal that say what went wrong."""
        return log_of(self._work.machine, self._unit(service), self._work.secrets)

    def _unit(self, service: str) -> str:
        return next(it.name for it in self._work.native.units if it.service == service)

    def entrance(self, service: str) -> tuple[str, ...]:
        """Return how a person gets to where a service's unit runs."""
        terminal = [f"TERM={os.environ['TERM']}"] if "TERM" in os.environ else []
        inside = self._inside(service, self._work.user)
        return (*inside, *terminal) if inside else ()

    def _inside(self, service: str, owner: tuple[int, int]) -> tuple[str, ...]:
        """Return what comes before a command that is to run where a service runs; nothing where it does not.

        It sees the files that the service sees, and has its variables, none of which is a secret.
        """
        state = state_of(self._work.machine, self._unit(service))
        if not state.is_running:
            return ()
        variables = [f"{name}={value}" for name, value in environment_of(self._work.machine, state.pid).items()]
        ours = ("nsenter", "--target", str(state.pid), "--mount", "--")
        user = ("setpriv", f"--reuid={owner[0]}", f"--regid={owner[1]}", "--clear-groups", "--no-new-privs", "--")
        return (*ours, *user, "env", "-i", *variables)

    def run_inside(self, service: str, *words: str, seconds: float, stdin: bytes, joined: bool) -> Ran:
        """Run a program where a service's unit runs."""
        inside = self._inside(service, self._work.user)
        if not inside:
            return Ran(NOT_FOUND, f"unit {self._unit(service)} does not run")
        return self._work.machine.run(*inside, *words, seconds=seconds, stdin=stdin, joined=joined)

    def as_owner(self, workspace: Workspace, command: tuple[str, ...], seconds: float) -> Ran:
        """Run a program where the first agent's unit runs; beside it where that does not run."""
        user, machine = (workspace.uid, workspace.gid), self._work.machine
        services = self._work.native.services
        inside = self._inside(services[0].name, user) if services else ()
        if inside:
            return machine.run(*inside, *command, seconds=seconds, joined=True)
        return machine.run(*command, seconds=seconds, joined=True, user=user)

    def remedy_of_silence(self, service: str) -> str:
        """Return what to do about a unit that does not answer from inside."""
        return f"systemctl restart {self._unit(service)}"

    def remedy_of_log(self, service: str) -> str:
        """Return where to look for what a unit says."""
        return f"`journalctl -u {self._unit(service)} -n 50`"

    # the data ---------------------------------------------------------------------------------------------------------

    def holdings(self) -> list[Holding]:
        """Return each agent's data."""
        release = self._work.native.release.name
        return [Holding(it.name, it.data_directory, (it.name,), (release,)) for it in self._work.native.services]

    def wanted_on(self, holding: Holding) -> str:
        """Return a word for the release that is to run on it."""
        name = holding.versions[0]
        return f"native/{name}" if is_whole(self._work, name) else ""

    def found_on(self, holding: Holding) -> str:
        """Return nothing: what has run there is written down before it runs."""
        del holding
        return ""

    def ended(self, holding: Holding) -> str:
        """Return a word for the last run of each of its units."""
        units = units_of_services(self._work, holding.services)
        return "+".join(state_of(self._work.machine, it).run for it in units)

    def stop_services(self, names: Iterable[str]) -> None:
        """Stop services, with the time that they need."""
        stop_units(self._work, units_of_services(self._work, names))

    def start_services(self, names: Iterable[str]) -> None:
        """Start services again."""
        start_units(self._work, units_of_services(self._work, names))

    @property
    def version_setting(self) -> str:
        """What the setting is called that says which release runs."""
        return self._work.native.settings.release

    # verify -----------------------------------------------------------------------------------------------------------

    def look(self, *, chat: bool) -> Iterator[Check]:
        """Yield what is well and what is not."""
        return look_at_units(self._work, chat=chat)

    def private_files(self) -> dict[str, str]:
        """Return no file more."""
        return {}
