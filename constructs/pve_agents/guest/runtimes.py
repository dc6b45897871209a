"""Which runtime a plan wants. A new one is another case here."""

from __future__ import annotations

from pve_agents.guest.by_docker import ByDocker
from pve_agents.guest.by_systemd import BySystemd
from pve_agents.guest.machine import Machine
from pve_agents.guest.plan import Plan
from pve_agents.guest.progress import Progress
from pve_agents.guest.work import ComposeWork, NativeWork, Patience, Work

__all__ = ["work_of"]

# The secrets come first; the replacement, the wait and the first answer last.
_AROUND = 4


def work_of(plan: Plan, machine: Machine, payload: str, patience: Patience) -> Work | None:
    """Return what all parts share in one run; none for an agent that nobody runs here.

    Args:
        plan: What the program is told.
        machine: The container.
        payload: The directory of the payload.
        patience: How long is waited for what should come by itself.
    """
    progress = Progress(plan.agent, 0, machine)
    work: Work
    if plan.compose is not None:
        work = compose = ComposeWork(plan, plan.compose, machine, progress, payload, patience)
        compose.runtime = ByDocker(compose)
    elif plan.native is not None:
        work = native = NativeWork(plan, plan.native, machine, progress, payload, patience)
        native.runtime = BySystemd(native)
    else:
        return None
    progress.steps = len(work.runtime.prepare()) + _AROUND
    work.read_secrets()
    return work
