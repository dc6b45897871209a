"""A run that changes the container: one at a time, step by step, and one sentence if it fails."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import subprocess
import sys
from collections.abc import Callable, Iterator

from pve_agents.guest.checks import own_checks_of
from pve_agents.guest.directories import check_workspaces
from pve_agents.guest.health import prove_all, wait_for_all
from pve_agents.guest.machine import Machine
from pve_agents.guest.plan import Plan
from pve_agents.guest.progress import FailureError, fail
from pve_agents.guest.runtime import Step
from pve_agents.guest.secrets import Secrets, check_secrets
from pve_agents.guest.sides import SIDES
from pve_agents.guest.switch import carry_out, settle, want_replaced
from pve_agents.guest.unexpected import unexpected
from pve_agents.guest.work import Work
from pve_agents.secret_values import secrets_variable

__all__ = ["alone", "check_only", "deploy", "enter", "stop", "switch"]

_LOCK_SECONDS, _LOOK_SECONDS = 1700, 0.2
_FULL_MEBIBYTES = 16


def deploy(work: Work) -> None:
    """Have the agent running as planned, and answering."""
    for step in [Step("secrets", lambda: _check_secrets(work), changes=False), *work.runtime.prepare()]:
        work.progress.step(step)
    want_replaced(work, replacing_steps(work))


def stop(work: Work) -> None:
    """Stop the agent, before its mounts are taken away, whatever runs it. Its data and what it is installed from stay."""
    work.progress.begin("stop")
    for side in SIDES.values():
        if (it := side(work)).is_there:
            it.stop()
    work.progress.say_of_agent("stopped")


def enter(work: Work, service: str, command: list[str]) -> int:
    """Run a command of a person's where a service runs; return its exit status."""
    names = [it.name for it in work.software.services]
    if service not in names:
        print(f"  there is no service {service}: write one of {' '.join(names)}", file=sys.stderr)
        return 2
    entrance = work.runtime.entrance(service)
    if not entrance:
        print(f"  {work.runtime.facts(service).what} does not run: look at it with `verify`", file=sys.stderr)
        return 1
    return subprocess.run([*entrance, *command], check=False).returncode


def switch(work: Work) -> int:
    """Be the job that ends what a deploy has begun (``switch.py``); return the exit status."""
    try:
        work.machine.on_wait = work.progress.still
        carry_out(work, replacing_steps(work))
    except FailureError as error:
        if not error.is_said:
            print(f"  {work.secrets.redacted(error.sentence)}", flush=True)
        return 1
    return 0


def replacing_steps(work: Work) -> list[Step]:
    """Return the steps in which the wanted takes the place of what runs, and has to answer."""
    return [
        work.runtime.replace(),
        Step("health", lambda: wait_for_all(work), changes=False),
        Step("first answer", lambda: prove_all(work), changes=False),
    ]


def _check_secrets(work: Work) -> None:
    agent = work.plan.agent
    check_secrets(
        work.software,
        work.secrets,
        file=work.plan.secrets_file,
        variable=secrets_variable(agent),
        give=f"pipenv run agents secrets {agent}",
    )


def check_only(machine: Machine, plan: Plan, secrets: Secrets) -> int:
    """Check an agent that nobody runs here: its workspaces, and what its kind can tell; return the exit status."""
    status = check_workspaces(machine, plan)
    if plan.checks is None:
        return status
    try:
        answer = own_checks_of(machine, plan.checks).prove()
        fault = "" if answer.ok else f"{answer.detail}. What to do: {answer.remedy}"
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one sentence
        fault = unexpected(error)
    print(f"[{plan.agent}] first answer … {'FAILED' if fault else 'ok'}", flush=True)
    if fault:
        status = 1
        print(f"  {secrets.redacted(fault)}", file=sys.stderr, flush=True)
    return status


def alone(work: Work, do: Callable[[Work], object]) -> int:
    """Do something while nobody else does; return the exit status.

    Args:
        work: The run.
        do: What to do with it.
    """
    try:
        with _lock(work):
            work.machine.on_wait = work.progress.still
            # Others may have been delivered during the wait.
            work.read_secrets()
            settle(work)
            do(work)
    except FailureError as error:
        # What it tells of others may hold what they were told.
        sentence, lines = work.secrets.redacted(error.sentence), tuple(map(work.secrets.redacted, error.lines))
        is_said = error.is_said
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one sentence
        sentence, lines, is_said = _sentence(work, error), (), False
    else:
        return 0
    if not is_said:
        work.progress.failed()
    print(f"  {sentence}", *(f"    {line}" for line in lines), sep="\n", file=sys.stderr, flush=True)
    return 1


@contextlib.contextmanager
def _lock(work: Work) -> Iterator[None]:
    """Wait for another one: two at once would undo each other."""
    machine = work.machine
    with machine.place(f"/run/pve-agents-{work.plan.agent}.lock").open("w") as lock:
        # What this program has started holds it as well, and may outlive it.
        machine.kept_open = (lock.fileno(),)
        if not _is_free(lock.fileno()):
            work.progress.say_of_agent("another bootstrap is at work here: waiting for it")
            until = machine.seconds() + _LOCK_SECONDS
            while not _is_free(lock.fileno()):
                if machine.seconds() >= until:
                    fail(
                        "another bootstrap has been at work in the container for half an hour: look at it with `ps ax`"
                    )
                machine.sleep(_LOOK_SECONDS)
        yield


def _is_free(lock: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _sentence(work: Work, error: Exception) -> str:
    is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if is_full or work.machine.free_mebibytes("/var/lib") < _FULL_MEBIBYTES:
        return work.more_room
    return work.secrets.redacted(unexpected(error))
