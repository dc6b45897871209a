"""A run that changes the container: one at a time, step by step, and one sentence if it fails."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import sys
from collections.abc import Callable, Iterator

from pve_agents.guest.checks import own_checks_of
from pve_agents.guest.containers import want_containers
from pve_agents.guest.directories import check_workspaces, want_directories
from pve_agents.guest.engine import want_docker
from pve_agents.guest.files import deliver_files
from pve_agents.guest.health import prove_all, wait_for_all
from pve_agents.guest.images import want_images
from pve_agents.guest.machine import Machine
from pve_agents.guest.plan import Plan
from pve_agents.guest.progress import FailureError, fail
from pve_agents.guest.secrets import Secrets, check_secrets
from pve_agents.guest.smoke import smoke_test
from pve_agents.guest.unexpected import unexpected
from pve_agents.guest.work import Work
from pve_agents.secret_values import secrets_variable

__all__ = ["alone", "check_only", "deploy"]

_LOCK_SECONDS, _LOOK_SECONDS = 1700, 0.2
_FULL_MEBIBYTES = 16


def deploy(work: Work) -> None:
    """Have the agent running as planned, and answering."""
    step = work.progress.step
    step("secrets", lambda: _check_secrets(work), changes=False)
    step("docker engine", lambda: want_docker(work), changes=True)
    step("docker smoke test", lambda: smoke_test(work), changes=True)
    step("workspaces", lambda: want_directories(work), changes=True)
    step("files", lambda: deliver_files(work), changes=True)
    step("image", lambda: want_images(work), changes=True)
    step("containers", lambda: want_containers(work), changes=True)
    step("health", lambda: wait_for_all(work), changes=False)
    step("first answer", lambda: prove_all(work), changes=False)


def _check_secrets(work: Work) -> None:
    agent = work.plan.agent
    check_secrets(
        work.compose,
        work.secrets,
        file=work.plan.secrets_file,
        variable=secrets_variable(agent),
        give=f"pipenv run agents secrets {agent}",
    )


def check_only(machine: Machine, plan: Plan, secrets: Secrets) -> int:
    """Check an agent that Compose does not run: its workspaces, and what its kind can tell; return the exit status."""
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
            do(work)
    except FailureError as error:
        # What it tells of others may hold what they were told.
        sentence, lines = work.secrets.redacted(error.sentence), tuple(map(work.secrets.redacted, error.lines))
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets one sentence
        sentence, lines = _sentence(work, error), ()
    else:
        return 0
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
