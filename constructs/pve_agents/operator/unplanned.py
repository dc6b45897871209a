"""Why stacks cannot be planned, with the exit status that says what kind of reason it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pve_agents.node_access import NodeError, access
from pve_agents.operator.stack import Planned, Stack
from pve_agents.operator.stopped import FAILED, REFUSED, UNREACHED, Stopped
from pve_agents.operator.words import explained, is_refusal
from pve_agents.privileges import accepted

__all__ = ["need_plans"]

_ENDPOINT = "PROXMOX_VE_ENDPOINT"
_SECONDS = 5.0


def need_plans(planned: Iterable[tuple[Stack, Planned]]) -> None:
    """Go on only where all of them could be planned.

    Raises:
        Stopped: One could not. It is refused where the stack itself says no, and not reached where the API is not.
    """
    failed = [(stack, found) for stack, found in planned if found.is_refused]
    if not failed:
        return
    lines = [line for stack, found in failed for line in explained(stack.name, found.diagnostics)]
    if any(is_refusal(found.diagnostics) for _, found in failed):
        raise Stopped(*lines, status=REFUSED)
    for stack, _ in failed:
        if sentence := _why_unreached(stack.environment):
            raise Stopped(f"{stack.name}: {sentence}", status=UNREACHED)
    raise Stopped(*lines, status=FAILED)


def _why_unreached(variables: Mapping[str, str]) -> str:
    """Why the API is not reached; empty where it is, or is not asked. The provider says it after ten tries, in Go's words."""
    if _ENDPOINT not in variables:
        return ""
    try:
        accepted(access(variables), seconds=_SECONDS)
    except NodeError as error:
        return str(error) if error.about == "endpoint" else ""
    return ""
