"""What goes: the mounts and devices of a step that is destroyed or replaced, and the agent that ran on them."""

from __future__ import annotations

from dataclasses import replace

from pve_agents.host.commands import Command, Guard, Plan, refused
from pve_agents.host.facts import Facts
from pve_agents.host.plan_container import carries_tag, guards, reboot, unchangeable
from pve_agents.host.plan_guest import in_guest
from pve_agents.host.properties import source_of
from pve_agents.host.wanted import Leaving, Wanted

__all__ = ["plan_leaving", "plan_stop"]


def _is_ours(wanted: Wanted, facts: Facts) -> str:
    """Why nothing is taken from the container; empty if it carries our tag. Its name may have changed since."""
    container = facts.containers.get(wanted.vmid)
    if facts.node != wanted.node:
        return f"this is node {facts.node}, not {wanted.node}"
    if container is None:
        return f"there is no container {wanted.vmid} any more"
    if not carries_tag(wanted, container):
        return f"container {wanted.vmid} does not carry the tag {wanted.tag}: it is left alone"
    return ""


def _guards(wanted: Wanted, facts: Facts) -> tuple[Guard, ...]:
    hostname = facts.containers[wanted.vmid].configured.get("hostname", "")
    return guards(wanted)[:1] if hostname != wanted.hostname else guards(wanted)


def plan_leaving(wanted: Wanted, facts: Facts, leaving: Leaving, *, is_replaced: bool, step: str) -> Plan:
    """Take away what a step had attached; in a replacement, what is not wanted any more.

    Args:
        wanted: What the settings say now.
        facts: What is there.
        leaving: What the step had attached: the state says so, and only what it names and the container still holds goes.
        is_replaced: Whether the step comes back, and restarts the container once for all that waits.
        step: The step that goes.
    """
    if leaving.vmid != wanted.vmid:
        note = (
            f"what the agent had in container {leaving.vmid} stays there, since the settings name {wanted.vmid} now: "
            f"look at it with `pct config {leaving.vmid}`"
        )
        return Plan(notes=(note,))
    if why := _is_ours(wanted, facts):
        return Plan(notes=(why,))
    container = facts.containers[wanted.vmid]
    stays = {(it.key, it.source) for it in wanted.attached} if is_replaced else set()
    keys, notes = [], []
    for key, source in leaving.held.items():
        has = container.configured.get(key, "")
        if not has or (key, source) in stays:
            continue
        if source_of(has) == source:
            keys.append(key)
        else:
            notes.append(f"{key} is left alone: it does not hold {source} any more")
    commands: tuple[Command, ...] = ()
    if keys:
        if problems := tuple(unchangeable(container, keys)):
            return refused(*problems)
        words = ("pct", "set", str(wanted.vmid), "--delete", ",".join(sorted(keys)), "--digest", facts.digest)
        commands = (Command(step, words, "these leave; the files on the node stay"),)
        notes.append(
            f"{', '.join(sorted(keys))} of container {wanted.vmid} will be detached; the files on the node stay"
        )
    plan = Plan(commands, notes=tuple(notes), guards=_guards(wanted, facts))
    waiting = tuple(sorted({*container.waiting(), *(key for key in keys if key in container.running)}))
    if is_replaced:
        return plan
    return plan + reboot(wanted, facts, waiting, step)


def plan_stop(wanted: Wanted, facts: Facts) -> Plan:
    """Stop the agent before its mounts leave: one that goes on without them would write elsewhere, or fail in a loop."""
    if wanted.bootstrap is None:
        return Plan()
    if why := _is_ours(wanted, facts):
        return Plan(notes=(why,))
    if facts.state != "running" or facts.guest is None or "bootstrap" not in facts.guest.executables:
        return Plan(notes=(f"nothing of {wanted.agent} runs in container {wanted.vmid}",))
    words, seconds = (wanted.bootstrap.command, "--stop"), wanted.bootstrap.stop_seconds
    stop = in_guest(wanted, words, "its mounts are about to leave; its data stays", seconds=seconds)
    # Whoever wants to be rid of it must not be held up by it.
    return Plan((replace(stop, may_fail=True, always=True),), guards=_guards(wanted, facts))
