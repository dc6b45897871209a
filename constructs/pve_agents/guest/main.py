"""The program that runs as root in a container: what its arguments are.

    bootstrap                       has the agent running as planned, and answering
    bootstrap --stop                stops the agent; its data stays
    bootstrap --enter NAME COMMAND...  runs a command where a service runs, as its user
    bootstrap --switch              is a job of systemd's, which a deploy starts (switch.py)
    bootstrap --restore [NAME]      puts back a copy of the data, the newest by itself (copies.py)
    verify [--no-chat]              looks whether it is as planned, one line for each check, tab-separated:
                                    check NAME ok|failed|skipped MILLISECONDS DETAIL REMEDY
    verify workspace-write TOKEN    makes a file in each workspace as its owner, where the agent runs as the agent sees it,
                                    one line each: probe PATH ok|failed MILLISECONDS DETAIL
    verify workspace-remove TOKEN   removes them

It looks before it acts: what is as wanted stays untouched, and a second run changes nothing. Killed at any point, the next
run goes on from there. No line holds a secret. Exit status: 0 it is well, or was looked at to the end; 1 it is not, and one
sentence says what, where, and what to do; 2 the arguments are not known.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from pve_agents.guest.copies import restore
from pve_agents.guest.deploy import alone, check_only, deploy, enter, stop, switch
from pve_agents.guest.machine import Machine
from pve_agents.guest.plan import Plan, PlanError
from pve_agents.guest.report import probe_workspaces, report
from pve_agents.guest.runtimes import work_of
from pve_agents.guest.secrets import Secrets, read_secrets
from pve_agents.guest.unexpected import unexpected
from pve_agents.guest.work import Patience, Work

__all__ = ["main"]

_USAGE = {
    "bootstrap": "usage: bootstrap [--stop | --restore [NAME] | --enter NAME COMMAND...]",
    "verify": "usage: verify [--no-chat] | workspace-write TOKEN | workspace-remove TOKEN",
}
_TOKEN = re.compile(r"[0-9a-f]{16}")


def main(
    arguments: Sequence[str], payload: str, machine: Machine | None = None, patience: Patience | None = None
) -> int:
    """Do what the arguments say; return the exit status.

    Args:
        arguments: ``bootstrap`` or ``verify``, and what follows it.
        payload: The directory of the payload.
        machine: The container; by default the one that this runs in.
        patience: How long is waited for what should come by itself.
    """
    machine = machine or Machine()
    os.umask(0o022)
    # What programs say is judged, so they have to speak one language.
    os.environ.update(LC_ALL="C", DEBIAN_FRONTEND="noninteractive", HOME=os.environ.get("HOME", "/root"))
    try:
        plan = Plan.from_json(machine.text(f"{payload}/plan.json"))
    except PlanError as error:
        print(f"  {payload}/plan.json cannot be read: {error}; deploy again", file=sys.stderr)
        return 1
    work = work_of(plan, machine, payload, patience or Patience())
    secrets = work.secrets if work else read_secrets(machine, plan.secrets_file)
    name, *words = arguments or ["bootstrap"]
    run = _verify if name == "verify" else _bootstrap
    status = run(words, plan, machine, work, secrets)
    if status is None:
        print(_USAGE.get(name, _USAGE["bootstrap"]), file=sys.stderr)
        return 2
    return status


def _bootstrap(words: list[str], plan: Plan, machine: Machine, work: Work | None, secrets: Secrets) -> int | None:
    """Return the exit status; none if that is not known here."""
    match words:
        case []:
            return check_only(machine, plan, secrets) if work is None else alone(work, deploy)
        case ["--stop"]:
            # Nobody knows what runs in there.
            return 0 if work is None else alone(work, stop)
        case ["--enter", service, *command] if command and work is not None:
            return enter(work, service, command)
        case ["--switch"] if work is not None:
            return switch(work)
        case ["--restore", *rest] if len(rest) <= 1 and work is not None:
            return alone(work, lambda it: restore(it, *rest))
    return None


def _verify(words: list[str], plan: Plan, machine: Machine, work: Work | None, secrets: Secrets) -> int | None:
    """Return the exit status; none if that is not known here."""
    try:
        match words:
            case [] | ["--no-chat"]:
                return report(machine, plan, work, secrets, chat=not words)
            case ["workspace-write" | "workspace-remove" as what, token] if _TOKEN.fullmatch(token):
                return probe_workspaces(machine, plan, work, secrets, token, remove=what == "workspace-remove")
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one sentence
        print(f"  {secrets.redacted(unexpected(error))}", file=sys.stderr)
        return 1
    return None
