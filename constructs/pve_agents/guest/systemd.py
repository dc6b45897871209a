"""systemd, asked: what of an agent's units there is, and what of it is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pve_agents.guest.machine import Machine
from pve_agents.guest.secrets import Secrets, shortened
from pve_agents.guest.work import Work

__all__ = [
    "REVISION",
    "UNITS",
    "UNIT_FILES",
    "UnitState",
    "environment_of",
    "log_of",
    "state_of",
    "unit_fault",
    "unit_remedy",
    "units_of",
    "unlink_units",
]

UNIT_FILES = "/etc/systemd/system"
UNITS = "units"
"""The file, beside what is remembered of an agent, with the names of its units."""

REVISION = "PVE_AGENTS_REVISION"
"""The variable that says with which files a unit's process has started."""

_ASK_SECONDS = 30
_MOST_LOOKS, _LOOK_PAUSE_SECONDS = 20, 0.1
_TELLING = re.compile(r"error|fail|refus|denied|critical|warning|traceback|in use|no space", re.IGNORECASE)
_LOG_LINES, _LINE_BYTES = 5, 300
_MOST_RESTARTS = 5
_FIELDS = (
    *("LoadState", "ActiveState", "SubState", "Result", "ExecMainCode", "ExecMainStatus", "MainPID", "NRestarts"),
    *(
        "UnitFileState",
        "NeedDaemonReload",
        "Job",
        "ActiveEnterTimestamp",
        "InvocationID",
        "ExecMainExitTimestampMonotonic",
    ),
)
_SIGNALLED = ("2", "3")
_WHY = {
    "oom-kill": "out of memory",
    "watchdog": "it gave no sign of life in time",
    "timeout": "it took too long",
    "start-limit-hit": "it was started too often",
}


@dataclass(frozen=True)
class UnitState:
    """What systemd knows of a unit."""

    name: str
    values: dict[str, str]
    revision: str = ""
    """With which files its process has started; empty where there is none."""

    @property
    def is_there(self) -> bool:
        """Whether systemd knows it."""
        return self.values.get("LoadState") not in (None, "", "not-found")

    @property
    def active(self) -> str:
        """How it is: active, activating, deactivating, inactive or failed."""
        return self.values.get("ActiveState", "")

    @property
    def pid(self) -> int:
        """Its process; 0 where there is none."""
        number = self.values.get("MainPID", "")
        return int(number) if number.isdecimal() else 0

    @property
    def is_running(self) -> bool:
        """Whether its process is there; one that says by itself when it is ready is still activating."""
        return self.pid > 0 and self.active in ("active", "activating", "reloading")

    @property
    def restarts(self) -> int:
        """How often systemd has started it again."""
        number = self.values.get("NRestarts", "")
        return int(number) if number.isdecimal() else 0

    @property
    def is_over(self) -> bool:
        """Whether it does not come up by itself, or ends again and again."""
        # What systemd was told and has not done yet may be its start.
        if self.values.get("Job", "0") not in ("", "0"):
            return False
        return self.active in ("failed", "inactive") or (not self.is_running and self.restarts >= _MOST_RESTARTS)

    @property
    def since(self) -> str:
        """When it came up, as systemd says it."""
        return self.values.get("ActiveEnterTimestamp", "")

    @property
    def run(self) -> str:
        """A word that tells one run of it, and its end, from any other."""
        return f"{self.values.get('InvocationID', '')}/{self.values.get('ExecMainExitTimestampMonotonic', '')}"


def state_of(machine: Machine, name: str) -> UnitState:
    """Return what systemd knows of a unit."""
    shown = machine.run("systemctl", "show", "--property", ",".join(_FIELDS), f"{name}.service", seconds=_ASK_SECONDS)
    pairs = (line.partition("=") for line in shown.out.splitlines())
    state = UnitState(name, {key: value for key, _, value in pairs})
    return UnitState(name, state.values, environment_of(machine, state.pid).get(REVISION, ""))


def environment_of(machine: Machine, pid: int) -> dict[str, str]:
    """Return the variables that a process has started with; none where it has ended."""
    content = None
    for _ in range(_MOST_LOOKS if pid else 0):
        try:
            content = machine.read(f"/proc/{pid}/environ")
            break
        except ProcessLookupError:
            break
        except PermissionError:
            # On its way from systemd's own program to ours, it is shown to nobody for a moment.
            machine.sleep(_LOOK_PAUSE_SECONDS)
    pairs = (it.partition("=") for it in (content or b"").decode(errors="surrogateescape").split("\0"))
    return {name: value for name, equals, value in pairs if equals}


def unit_fault(state: UnitState) -> str:
    """Return why a unit is not up, or nothing."""
    match state.active:
        case "active" | "activating" | "deactivating" | "reloading" if state.restarts < _MOST_RESTARTS:
            return ""
        case "active":
            return ""
        case "failed":
            what = "has failed"
        case "inactive":
            what = "has ended"
        case _:
            what = f"ends again and again ({state.restarts} restarts)"
    return f"unit {state.name} {what}{_why(state)}"


def unit_remedy(work: Work, state: UnitState) -> str:
    """Return what to do about a unit that is not up."""
    if state.values.get("Result") == "oom-kill":
        return work.more_memory
    name = state.name
    return f"look at `journalctl -u {name} -n 50` in the container, then start it with `systemctl restart {name}`"


def _why(state: UnitState) -> str:
    result, status = state.values.get("Result", ""), state.values.get("ExecMainStatus", "0")
    if result in _WHY:
        return f": {_WHY[result]}"
    if state.values.get("ExecMainCode") in _SIGNALLED:
        return f": killed (signal {status})"
    return f": exit code {status}" if status not in ("", "0") else ""


def log_of(machine: Machine, name: str, secrets: Secrets) -> list[str]:
    """Return the last lines of a unit's journal that say what went wrong."""
    command = ("journalctl", "-u", f"{name}.service", "-n", "200", "--no-pager", "-o", "cat")
    said = machine.run(*command, seconds=_ASK_SECONDS, joined=True).out.split("\n")
    telling = [line for line in said if _TELLING.search(line)]
    return [shortened(secrets.redacted(line), _LINE_BYTES) for line in telling[-_LOG_LINES:]]


def units_of(work: Work) -> list[str]:
    """Return the names of the units that were put in place for this agent."""
    return work.machine.text(f"{work.project}/{UNITS}").split()


def unlink_units(work: Work, names: Iterable[str]) -> None:
    """Remove the files of units that do not run any more."""
    for name in names:
        work.machine.remove(f"{UNIT_FILES}/{name}.service")
        work.machine.remove(f"{UNIT_FILES}/{name}.service.d")
    work.machine.run("systemctl", "daemon-reload", seconds=_ASK_SECONDS)
