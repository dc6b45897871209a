"""A text that is too long to be pasted at once, as several: the archive goes to the container in parts, then the rest.

Each part fits only behind what has arrived of this archive so far: pasted twice, or before its turn, it changes nothing and
leaves no trace that somebody waits for. What a paste that was given up has left goes with the next one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from pve_agents.host.commands import LINE, Command, Plan
from pve_agents.host.plan_guest import PAYLOAD, deliver_part
from pve_agents.host.wanted import Wanted

__all__ = ["in_parts"]


def in_parts(plan: Plan, wanted: Wanted, receipt: Command, length: Callable[[Plan], int], longest: int) -> list[Plan]:
    """The plan, or plans that do the same one after the other, each text of at most so many bytes and with this receipt."""
    whole = next((it for it in plan.commands if it.step == PAYLOAD and it.stdin), None)
    if whole is None or length(plan) <= longest:
        return [plan]
    archive, name = whole.stdin or b"", secrets.token_hex(8)

    def part(start: int, content: bytes) -> Plan:
        return Plan((deliver_part(wanted, name, start, content), receipt), guards=plan.guards)

    # Base64 makes four bytes of three, and of a line one more.
    lines = (longest - length(part(len(archive), b""))) // (LINE + 1)
    if lines < 1:
        return [plan]
    size = lines * LINE * 3 // 4
    parts = [part(start, archive[start : start + size]) for start in range(0, len(archive), size)]
    last = replace(whole, argv=(*whole.argv, name), stdin=None, shown_stdin="")
    return [*parts, replace(plan, commands=tuple(last if it is whole else it for it in plan.commands))]
