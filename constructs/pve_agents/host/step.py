"""One step on the node: look, plan, act, look again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from pve_agents.host.commands import Plan, render, written
from pve_agents.host.facts import Facts, LookError, look_at, read_facts
from pve_agents.host.shell import RootShell, UnreachedError
from pve_agents.host.wanted import Wanted

__all__ = [
    "AS_WANTED",
    "REFUSED",
    "UNREACHED",
    "WOULD_CHANGE",
    "WRONG_SETTINGS",
    "Judge",
    "Node",
    "Say",
    "act",
    "begin",
    "interrupted",
    "show",
    "summary",
]

AS_WANTED, WOULD_CHANGE, WRONG_SETTINGS, REFUSED, UNREACHED = range(5)

BOOT_PAUSES_SECONDS: tuple[float, ...] = (1, 2, 4)
"""How long is waited between looks at a container that has just been started."""

Judge = Callable[[Facts], Plan]
Say = Callable[[str], None]


@dataclass
class Node:
    """The node, through root's shell."""

    wanted: Wanted
    shell: RootShell
    say: Say
    doing: str = field(default="", init=False)
    """The command that was begun last."""
    seen: bytes = field(default=b"", init=False)
    """The answer of the last look."""
    hangs_seconds: ClassVar[float] = 5
    """After that much time, a container that gave no answer is no longer taken for one that has just been started."""

    def look(self, more_paths: tuple[str, ...] = (), *, seen: bytes = b"") -> Facts:
        """Look; again where a container has just been started and answers nothing yet.

        Args:
            more_paths: What to look at besides what is wanted.
            seen: The answer of a look that was just made; then nobody looks again.

        Raises:
            UnreachedError: The look did not come to its end.
        """
        for pause in (*BOOT_PAUSES_SECONDS, None):
            began = time.monotonic()
            facts = self.look_once(more_paths, seen)
            # Right after its start, a container lets nobody in for a moment. One that hangs has had its time already.
            is_booting = facts.state == "running" and facts.guest is not None and not facts.guest.is_whole
            if pause is None or not is_booting or time.monotonic() - began > self.hangs_seconds:
                break
            seen = b""
            time.sleep(pause)
        return facts

    def look_once(self, more_paths: tuple[str, ...], seen: bytes) -> Facts:
        """Look, and wait for nothing."""
        self.seen = seen or self.shell.look(look_at(self.wanted, more_paths))
        try:
            return read_facts(self.seen, self.wanted.vmid)
        except LookError as error:
            raise UnreachedError(f"{error}: it ended after {len(self.seen)} bytes") from None

    def enter(self, words: str) -> str:
        """The words that run others in the container, as `pct exec` does it."""
        return f"lxc-attach -n {self.wanted.vmid} --clear-env -- {words}"

    def obey(self, plan: Plan) -> int:
        """Let the commands run."""
        return self.shell.act(render(plan, self.wanted), self._hear)

    def _hear(self, line: str) -> None:
        if line.startswith("$ "):
            self.doing = line.removeprefix("$ ")
        self.say(line)


def act(node: Node, facts: Facts, judge: Judge, *steps: str) -> int:
    """Do what the judge finds necessary, and look again.

    Args:
        node: Where.
        facts: What the last look saw.
        judge: Says what is to be done; asked again afterwards, it must find nothing.
        steps: The only ones whose commands run.

    Returns:
        The exit status.
    """
    plan = judge(facts).of(*steps)
    if (status := begin(plan, node.say, "all is as wanted")) is not None:
        return status
    if node.obey(plan):
        node.say(f"stopped at: {node.doing}; run this again when its cause is gone: it goes on from there")
        node.look()
        return REFUSED
    left = judge(node.look()).of(*steps)
    if left.refusals:
        return refuse(left, node.say)
    remaining = [command for command in left.commands if not command.always]
    for command in remaining:
        node.say(f"is still not so after all that: {command.reason}")
    return REFUSED if remaining else AS_WANTED


def begin(plan: Plan, say: Say, nothing: str) -> int | None:
    """Say what there is to be said before the commands of a plan; the status where none of them is to run."""
    for note in (*plan.notes, *plan.left):
        say(note)
    if plan.refusals:
        return refuse(plan, say)
    if not plan.commands:
        say(nothing)
        return AS_WANTED
    return None


def show(plan: Plan, say: Say) -> int:
    """Say what would be done, and why."""
    for text in (*plan.notes, *plan.left, *written(plan.commands)):
        say(text)
    if plan.refusals:
        return refuse(plan, say)
    if not plan.commands:
        say("nothing would run as root")
    return WOULD_CHANGE if plan.commands or plan.left else AS_WANTED


def summary(plan: Plan) -> str:
    """A plan in one line."""
    if plan.refusals:
        return "cannot be made as wanted"
    count = len(plan.commands) + len(plan.left)
    return f"{count} would change" if count else "all is as wanted"


def interrupted(node: Node | None) -> str:
    """What is said after Ctrl-C."""
    half = f" while it ran `{node.doing}`" if node and node.doing else ", and nothing was changed from here"
    return f"interrupted{half}; run it again: it goes on from there"


def refuse(plan: Plan, say: Say) -> int:
    """Say why nothing is done."""
    for text in dict.fromkeys(refusal.text for refusal in plan.refusals):
        say(f"refused: {text}")
    return REFUSED
