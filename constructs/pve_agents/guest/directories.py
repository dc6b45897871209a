"""The directories that the agent works in."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import PurePosixPath

from pve_agents.guest.machine import Machine
from pve_agents.guest.plan import Plan, Workspace
from pve_agents.guest.progress import fail
from pve_agents.guest.work import Work

__all__ = ["check_workspaces", "give_workspaces", "make_as_agent", "want_directories", "workspace_fault"]

_MODE = 0o750
_PLACE = 4


def give_workspaces(machine: Machine, plan: Plan) -> list[str]:
    """Give the volumes of the container to the users who work there; return the paths of those that were not theirs.

    Proxmox VE gives a new one to the container's root, who alone can pass it on: nobody is root on the node for it. Only the
    top directory is touched, and only where something is mounted: what is written to the root disk instead is lost with it.
    """
    given = []
    for it in plan.workspaces:
        if it.mode and not it.read_only and it.path in _mounted(machine):
            place, mode = machine.place(it.path), int(it.mode, 8)
            status = machine.status(it.path)
            if status is None or status.owner != it.owner:
                machine.give(it.path, (it.uid, it.gid))
                given.append(it.path)
            if stat.S_IMODE(place.stat().st_mode) != mode:
                place.chmod(mode)
                given.append(it.path)
    return list(dict.fromkeys(given))


def _mounted(machine: Machine) -> set[str]:
    """Where something is mounted in the container (proc(5), /proc/pid/mountinfo)."""
    lines = machine.text("/proc/self/mountinfo").splitlines()
    places = (words[_PLACE] for words in map(str.split, lines) if len(words) > _PLACE)
    return {re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), place) for place in places}


def workspace_fault(machine: Machine, workspace: Workspace) -> str:
    """Return what is wrong with a workspace, or nothing. That root can write there would prove nothing."""
    if workspace.mode and workspace.path not in _mounted(machine):
        return f"nothing is mounted at {workspace.path}: deploy the agent's token stack, which attaches its volume"
    mode, word = (os.R_OK, "read") if workspace.read_only else (os.W_OK, "write")
    if machine.as_user((workspace.uid, workspace.gid), _may, workspace.path, mode):
        return ""
    return (
        f"user {workspace.owner} cannot {word} in {workspace.path}: look at owner and mode of its directory on the host"
    )


def _may(machine: Machine, path: str, mode: int) -> bool:
    return machine.permits(path, mode)


def check_workspaces(machine: Machine, plan: Plan) -> int:
    """Check the workspaces of an agent that nobody runs here; return the exit status."""
    status = 0
    give_workspaces(machine, plan)
    for number, workspace in enumerate(plan.workspaces, start=1):
        fault = workspace_fault(machine, workspace)
        word = "FAILED" if fault else "ok"
        print(f"[{plan.agent} {number}/{len(plan.workspaces)}] workspace {workspace.path} … {word}", flush=True)
        if fault:
            status = 1
            print(f"  {fault}", file=sys.stderr, flush=True)
    return status


def want_directories(work: Work) -> None:
    """Have the workspaces usable, and the agent's own directories there."""
    for path in give_workspaces(work.machine, work.plan):
        work.progress.did(path)
    faults = [fault for it in work.plan.workspaces if (fault := workspace_fault(work.machine, it))]
    if faults:
        fail("; ".join(faults))
    for service in work.software.services:
        for directory in (service.data_directory, *service.directories):
            _want_directory(work, directory)
    for wanted in work.software.directories:
        if not work.machine.exists(wanted.path):
            _make(work, wanted.path, wanted.mode, (wanted.uid, wanted.gid))
            work.progress.did(wanted.path)


def _want_directory(work: Work, path: str) -> None:
    machine, user, name = work.machine, work.user, work.software.owner
    if machine.is_directory(path) and machine.as_user(user, _may, path, os.W_OK):
        return
    if machine.exists(path):
        fail(
            f"user {name} cannot write in {path}: give it to that user (`chown {name} {path}` in the container), or correct"
            " its owner on the host where it is mounted"
        )
    above = PurePosixPath(path).parent
    while not machine.exists(str(above)):
        above = above.parent
    status = machine.status(str(above))
    rules = status is not None and status.uid == work.software.uid
    if rules or machine.as_user(user, _may, str(above), os.W_OK):
        # Root could be led elsewhere by a link there.
        try:
            machine.as_user(user, make_as_agent, path)
        except OSError:
            fail(f"user {name} cannot make {path}")
    else:
        _make_for_agent(work, path)
    work.progress.did(path)


def make_as_agent(machine: Machine, path: str) -> None:
    """Make a directory, and those above it, as whoever calls."""
    machine.make_directory(path, _MODE)


def _make_for_agent(work: Work, path: str) -> None:
    """Make a directory where only root can."""
    _make(work, path, _MODE, work.user)


def _make(work: Work, path: str, mode: int, owner: tuple[int, int]) -> None:
    """Make a directory, and give it the name when it is its owner's."""
    beside = f"{path}.new"
    work.machine.remove(beside)
    work.machine.make_directory(beside, mode)
    work.machine.give(beside, owner)
    work.machine.move(beside, path)
