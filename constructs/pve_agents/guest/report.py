"""What the host's half reads: a line for each check, and for each file that the agent could write."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

from pve_agents.guest.answers import Check
from pve_agents.guest.checks import own_checks_of
from pve_agents.guest.directories import workspace_fault
from pve_agents.guest.machine import Machine, Ran
from pve_agents.guest.plan import Plan, Workspace
from pve_agents.guest.secrets import Secrets
from pve_agents.guest.verify import check_all, check_disk, check_secrets
from pve_agents.guest.work import Work

__all__ = ["probe_workspaces", "report"]

_PROBE_SECONDS = 20


class _Clock:
    """Milliseconds from line to line."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._last = machine, machine.seconds()

    def took(self) -> int:
        before, self._last = self._last, self._machine.seconds()
        return int((self._last - before) * 1000)


def report(machine: Machine, plan: Plan, work: Work | None, secrets: Secrets, *, chat: bool) -> int:
    """Print all checks, each as soon as it is made; return the exit status.

    Args:
        machine: The container.
        plan: What it should be like.
        work: The run; none where nobody runs here what is there.
        secrets: What no line may hold.
        chat: Whether a check may cost money.
    """
    clock = _Clock(machine)
    checks = check_all(work, chat=chat) if work else _check_from_outside(machine, plan, chat=chat)
    for check in itertools.chain(_check_volumes(machine, plan), checks):
        print("check", *_fields(check, clock, secrets), sep="\t", flush=True)
    return 0


def _check_volumes(machine: Machine, plan: Plan) -> Iterator[Check]:
    """Check that the volumes are there, and are their users' to work in: nobody sees them on the node."""
    volumes = [it for it in plan.workspaces if it.mode]
    faults = [fault for it in volumes if (fault := workspace_fault(machine, it))]
    if faults:
        yield Check("volumes", "failed", "; ".join(faults), "deploy again: `pipenv run agents up` and the agent's name")
    elif volumes:
        yield Check("volumes", "ok", ", ".join(f"{it.path} is open to user {it.owner}" for it in volumes))


def _check_from_outside(machine: Machine, plan: Plan, *, chat: bool) -> Iterator[Check]:
    yield check_disk(machine, plan)
    if plan.checks is not None:
        yield from own_checks_of(machine, plan.checks).look(chat=chat)
    yield check_secrets(machine, {})


def _fields(check: Check, clock: _Clock, secrets: Secrets) -> tuple[str, ...]:
    # What may still become well is not well now.
    status = check.status if check.status in ("ok", "failed", "skipped") else "failed"
    return (check.name, status, str(clock.took()), secrets.redacted(check.detail), secrets.redacted(check.remedy))


def probe_workspaces(
    machine: Machine, plan: Plan, work: Work | None, secrets: Secrets, token: str, *, remove: bool
) -> int:
    """Make or remove a file in each workspace, as its owner; return the exit status.

    Args:
        machine: The container.
        plan: What its workspaces are.
        work: The run; none where nobody runs here what is there.
        secrets: What no line may hold.
        token: What makes the files' name one of a kind.
        remove: Whether they go.
    """
    clock = _Clock(machine)
    for workspace in plan.workspaces:
        if workspace.read_only:
            continue
        file = f"{workspace.path}/.pve-agents-probe-{token}"
        command = ("rm", "-f", "--", file) if remove else ("touch", "--", file)
        ran = _as_owner(machine, workspace, work, command)
        if not remove:
            status = "ok" if ran.ok else "failed"
            print("probe", workspace.path, status, clock.took(), secrets.redacted(ran.last_line), sep="\t", flush=True)
        elif not ran.ok:
            print(f"could not remove {file}", file=sys.stderr)
    return 0


def _as_owner(machine: Machine, workspace: Workspace, work: Work | None, command: tuple[str, ...]) -> Ran:
    if work:
        return work.runtime.as_owner(workspace, command, _PROBE_SECONDS)
    user = (workspace.uid, workspace.gid)
    return machine.run(*command, seconds=_PROBE_SECONDS, joined=True, user=user)
