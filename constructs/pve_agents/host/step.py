"""One step on the node: look, plan, act, look again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pve_agents.host.commands import Plan, render, written
from pve_agents.host.facts import Facts, LookError, look_at, read_facts
from pve_agents.host.shell import Shell, UnreachedError
from pve_agents.host.wanted import Wanted

__all__ = ["AS_WANTED", "REFUSED", "UNREACHED", "WOULD_CHANGE", "WRONG_SETTINGS", "Node", "act", "show"]

AS_WANTED, WOULD_CHANGE, WRONG_SETTINGS, REFUSED, UNREACHED = range(5)

Judge = Callable[[Facts], Plan]
Say = Callable[[str], None]


@dataclass
class Node:
    """The node, through root's shell."""

    wanted: Wanted
    shell: Shell
    say: Say
    doing: str = field(default="", init=False)
    """The command that was begun last."""

    def look(self, more_paths: tuple[str, ...] = ()) -> Facts:
        """Look once.

        Raises:
            UnreachedError: The look did not come to its end.
        """
        output = self.shell.look(look_at(self.wanted, more_paths))
        try:
            return read_facts(output, self.wanted.vmid)
        except LookError as error:
            raise UnreachedError(f"{error}; what there was of an answer: {len(output)} bytes") from None

    def obey(self, plan: Plan) -> int:
        """Let the commands run."""
        return self.shell.act(render(plan, self.wanted), self._hear)

    def _hear(self, line: str) -> None:
        if line.startswith("$ "):
            self.doing = line.removeprefix("$ ")
        self.say(line)


def act(node: Node, facts: Facts, judge: Judge) -> tuple[int, Facts]:
    """Do what the judge finds necessary, and look again.

    Args:
        node: Where.
        facts: What the last look saw.
        judge: Says what is to be done; asked again afterwards, it must find nothing.

    Returns:
        The exit status, and what the last look saw.
    """
    plan = judge(facts)
    for note in plan.notes:
        node.say(note)
    if plan.refusals:
        return _refuse(node, plan), facts
    if not plan.commands:
        return AS_WANTED, facts
    status = node.obey(plan)
    if status:
        node.say(f"stopped at: {node.doing}; run this again when its cause is gone: it goes on from there")
        return REFUSED, node.look()
    facts = node.look()
    left = judge(facts)
    if left.refusals:
        return _refuse(node, left), facts
    for command in left.commands:
        node.say(f"is still not so after all that: {command.reason}")
    return (REFUSED if left.commands else AS_WANTED), facts


def show(node: Node, plan: Plan) -> int:
    """Say what would be done, and why."""
    for note in plan.notes:
        node.say(note)
    for line in written(plan.commands):
        node.say(line)
    if plan.refusals:
        return _refuse(node, plan)
    return WOULD_CHANGE if plan.commands else AS_WANTED


def _refuse(node: Node, plan: Plan) -> int:
    for text in dict.fromkeys(refusal.text for refusal in plan.refusals):
        node.say(f"refused: {text}")
    return REFUSED
