"""Whether an agent is as declared and answers: what the node shows, what its container says, and what is written there."""

from __future__ import annotations

import re
import secrets
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from pve_agents.host.commands import Plan
from pve_agents.host.facts import CLEAN, Facts
from pve_agents.host.plan_container import plan_config, reboot_words, why_not_ours
from pve_agents.host.plan_directories import plan_directories
from pve_agents.host.step import Node
from pve_agents.host.wanted import Attached, Wanted
from pve_agents.host.words import printable, quoted

__all__ = ["UNSEEN", "Check", "verify"]

UNSEEN = "the API does not show it; another PVE_TRANSPORT would look"

_PROBE_SECONDS = 60
_MOST_LINES, _LONGEST_DETAIL, _LONGEST_NAME = 500, 500, 60
_TIMED_OUT, _SAID_TOO_MUCH, _KILLED = 124, 125, 137
# The container's own `timeout` ends what takes too long; where it does not, the node's does, this much later.
_PATIENCE_SECONDS = 20
_CHECK = re.compile(r"check\t([^\t]*)\t(ok|failed|skipped)\t([0-9]{1,7})\t([^\t]*)\t([^\t]*)")
_PROBE = re.compile(r"probe\t([^\t]*)\t(ok|failed)\t([0-9]{1,7})\t([^\t]*)")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(?: [A-Za-z0-9_.-]+)*")
# The host's own checks, which no container can make.
_OURS = re.compile(r"config|payload|host directories|guest checks|verification|workspace( .*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: str
    """ok, failed or skipped."""
    seconds: float
    detail: str
    remedy: str = ""


@dataclass
class _Report:
    """Hands out checks, each with the time since the one before."""

    on_check: Callable[[Check], None]
    last: float = field(default_factory=time.monotonic)
    failed: int = 0

    def __call__(self, name: str, status: str, detail: str, remedy: str = "", seconds: float | None = None) -> None:
        now = time.monotonic()
        took, self.last = now - self.last if seconds is None else seconds, now
        self.failed += status == "failed"
        self.on_check(Check(name, status, took, printable(detail), printable(remedy)))


class Place(Protocol):
    """Where an agent is, and as much as can be seen of it."""

    @property
    def wanted(self) -> Wanted:
        """What is declared."""
        ...

    def look(self) -> Facts:
        """Look once."""
        ...


def verify(place: Place, *, chat: bool, on_check: Callable[[Check], None], on_text: Callable[[str], None]) -> bool:
    """Make all checks, one after the other; one failure ends nothing.

    Args:
        place: Where the agent is.
        chat: Whether it shall have a turn with its model.
        on_check: Gets each check as it comes.
        on_text: Gets what else the container says.

    Returns:
        Whether none failed.

    Raises:
        UnreachedError: The node was not reached.
    """
    facts, report, wanted = place.look(), _Report(on_check), place.wanted
    foreign = why_not_ours(wanted, facts)
    outside = _container(place, facts, foreign, report)
    if foreign:
        report("config", "skipped", f"container {wanted.vmid} is not as declared")
    else:
        _planned("config", plan_config(wanted, facts), _declared(place), place, report)
    if not isinstance(place, Node):
        unseen = (
            "host directories",
            "payload",
            "guest checks",
            *(f"workspace {it.place}" for it, _ in wanted.workspaces),
        )
        for name in unseen:
            report(name, "skipped", UNSEEN)
        return report.failed == 0
    if wanted.directories:
        paths = ", ".join(directory.path for directory in wanted.directories)
        _planned("host directories", plan_directories(wanted, facts), paths, place, report)
    if wanted.payload:
        _payload(place, facts, outside, report)
        _guest_checks(place, facts, outside, report, chat=chat, on_text=on_text)
        _workspaces(place, outside or _why_not_asked(place, facts), report)
    return report.failed == 0


def _container(node: Place, facts: Facts, foreign: str, report: _Report) -> str:
    """Check the container; return why nobody can look into it, or nothing."""
    vmid = node.wanted.vmid
    if foreign:
        report("container", "failed", foreign, f"see what `pipenv run agents plan {node.wanted.agent}` says")
        return f"container {vmid} is not as declared"
    if facts.state != "running":
        why = f"container {vmid} is {facts.state or 'in no known state'}"
        report("container", "failed", why, _start(node))
        return why
    report("container", "ok", f"running on {facts.node}")
    return ""


def _declared(node: Place) -> str:
    keys = [it.key for it in node.wanted.attached] + [it.key for it in node.wanted.volumes]
    return ", ".join([*keys, *(["features"] if node.wanted.features else [])])


def _planned(name: str, plan: Plan, declared: str, node: Place, report: _Report) -> None:
    mend = f"run `pipenv run agents mend {node.wanted.agent}`"
    for refusal in plan.refusals:
        report(name, "failed", refusal.text)
    for command in plan.commands:
        report(name, "failed", f"would change: {command.reason}", mend)
    for text in plan.left:
        detail, _, remedy = text.partition(": ")
        report(name, "failed", detail, remedy)
    if not (plan.refusals or plan.commands or plan.left):
        report(name, "ok", "; ".join((declared, *plan.notes)))


def _how_to_deliver(node: Node) -> str:
    agent = node.wanted.agent
    return f"run `pipenv run agents up {agent}`"


def _payload(node: Node, facts: Facts, outside: str, report: _Report) -> None:
    payload = node.wanted.payload
    if outside or payload is None:
        report("payload", "skipped", outside)
    elif facts.guest is None or not facts.guest.is_whole:
        report("payload", "failed", f"container {node.wanted.vmid} gives no answer within 10 seconds", _reboot(node))
    elif facts.guest.payload != payload.sha256:
        was = facts.guest.payload[:12] or "none"
        report("payload", "failed", f"would change: payload {was} to {payload.sha256[:12]}", _how_to_deliver(node))
    else:
        report("payload", "ok", payload.directory)


def _start(place: Place) -> str:
    if place.wanted.by_console:
        return "start it in the web interface"
    return f"run `pct start {place.wanted.vmid}` on {place.wanted.node}"


def _reboot(node: Node) -> str:
    if node.wanted.by_console:
        return "reboot it in the web interface"
    return f"run `{shlex.join(reboot_words(node.wanted))}` on {node.wanted.node}"


# --- what the container says of itself


def _listen(node: Node, seconds: int, words: tuple[str, ...], on_line: Callable[[str], None]) -> int:
    """Run a command in the container and hand out what it says, so much and so long.

    Its exit status: 124 if it did not end in time, 125 if it said too much.
    """
    inside = (*CLEAN, "timeout", "-k", "10", str(seconds))
    attach = node.enter(shlex.join([*inside, *words]))
    limit = seconds + _PATIENCE_SECONDS
    text = (
        "export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin\n"
        f"timeout -k 5 {limit} {attach} </dev/null 2>&1 | timeout -k 5 {limit + 5} head -c 1000000\n"
        'exit "${PIPESTATUS[0]}"\n'
    )
    heard = 0

    def hear(line: str) -> None:
        nonlocal heard
        heard += 1
        if heard <= _MOST_LINES:
            on_line(line)

    status = node.shell.act(text, hear, tabs=True)
    return _SAID_TOO_MUCH if heard > _MOST_LINES else status


def _why_not_asked(node: Node, facts: Facts) -> str:
    """Why the container cannot be asked anything; empty if it can."""
    if node.wanted.payload is None or (facts.guest is not None and "verify" in facts.guest.executables):
        return ""
    return f"container {node.wanted.vmid} has no executable {node.wanted.payload.directory}/verify"


def _guest_checks(
    node: Node, facts: Facts, outside: str, report: _Report, *, chat: bool, on_text: Callable[[str], None]
) -> None:
    payload, name = node.wanted.payload, "guest checks"
    if payload is None or outside:
        report(name, "skipped", outside)
        return
    program = f"{payload.directory}/verify"
    if missing := _why_not_asked(node, facts):
        report(name, "failed", f"{missing}: its payload was not delivered", _how_to_deliver(node))
        return
    foreign: list[str] = []
    checks: list[str] = []

    def hear(line: str) -> None:
        if not line.startswith("check\t"):
            if line:
                on_text(f"[{node.wanted.agent}] {printable(line)}")
        elif found := _own_check(line):
            checks.append(found.name)
            report(found.name, found.status, found.detail, found.remedy, found.seconds)
        else:
            foreign.append(line)

    seconds, began = payload.checks_timeout_seconds, time.monotonic()
    status = _listen(node, seconds, (program, *([] if chat else ["--no-chat"])), hear)
    if why := _why_incomplete(status, seconds, time.monotonic() - began):
        report(
            name,
            "failed",
            f"{program} {why}: what it had still to check is unknown",
            f"look at container {node.wanted.vmid}: its load, its disk, what it said above; then verify again",
        )
    elif not checks:
        report(name, "failed", f"{program} checked nothing", _how_to_deliver(node))
    if foreign:
        report(
            name,
            "failed",
            f"container {node.wanted.vmid} says what is no check of a container: {quoted(foreign[0])}",
            f"{_how_to_deliver(node)}; if that does not help, somebody else is root in it",
        )


def _why_incomplete(status: int, seconds: int, took: float) -> str:
    """Why there may be checks that were not made; empty if all were."""
    # What kills earlier is short of memory.
    if status == _TIMED_OUT or (status == _KILLED and took >= seconds):
        return f"did not end within {seconds} seconds"
    if status == _SAID_TOO_MUCH:
        return f"said more than {_MOST_LINES} lines, and nobody listened any more"
    return f"ended early with status {status}" if status else ""


def _own_check(line: str) -> Check | None:
    """A line as a check that a container may make, or nothing."""
    found = _CHECK.fullmatch(line)
    if not found:
        return None
    name, status, milliseconds, detail, remedy = found.groups()
    if name.lower().split(" ")[0] == "container":
        # The container of the agent in our container.
        name = f"docker {name}"
    if _OURS.fullmatch(name) or not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        return None
    return Check(name, status, int(milliseconds) / 1000, detail[:_LONGEST_DETAIL], remedy[:_LONGEST_DETAIL])


# --- what is written there


def _workspaces(node: Node, outside: str, report: _Report) -> None:
    """Let the agent write a file at the guest path of each mount, and look for it below the host path.

    That root can write, or that a mount is in the config, proves neither that the agent can nor where it lands.
    """
    payload = node.wanted.payload
    if outside or payload is None or not node.wanted.workspaces:
        for mount, _ in node.wanted.workspaces:
            report(f"workspace {mount.place}", "skipped", outside)
        return
    program, token, said = f"{payload.directory}/verify", secrets.token_hex(8), dict[str, tuple[str, float, str]]()

    def hear(line: str) -> None:
        if found := _PROBE.fullmatch(line):
            place, status, milliseconds, detail = found.groups()
            said[place] = (status, int(milliseconds) / 1000, detail[:_LONGEST_DETAIL])

    probes = tuple(f"{mount.source}/.pve-agents-probe-{token}" for mount, _ in node.wanted.workspaces)
    try:
        status = _listen(node, _PROBE_SECONDS, (program, "workspace-write", token), hear)
        made = node.look(probes)
    finally:
        _listen(node, _PROBE_SECONDS, (program, "workspace-remove", token), lambda _: None)
    left = node.look(probes)
    for (mount, directory), probe in zip(node.wanted.workspaces, probes, strict=True):
        found = made.path(probe)
        owner = f"{found.uid}:{found.gid}" if found.kind.startswith("regular") else ""
        stays = probe if left.path(probe).kind else ""
        word, took, detail = said.get(mount.place, ("", 0.0, f"(status {status})"))
        probe_seen = _Probe(mount, f"{directory.uid}:{directory.gid}", word, detail, owner, stays)
        report(f"workspace {mount.place}", *_judge(node, probe_seen), took)


@dataclass(frozen=True)
class _Probe:
    """A file that the agent was to write in a workspace."""

    mount: Attached
    wanted: str
    """Whose it should be, as the node sees it."""
    word: str
    """What the container says: ok, failed, or nothing."""
    detail: str
    owner: str
    """Whose it is on the node; empty if it is not there."""
    stays: str
    """Its path, if it could not be removed."""


def _judge(node: Node, probe: _Probe) -> tuple[str, str, str]:
    """Status, detail and remedy."""
    vmid, host, wanted, owner, mount = node.wanted.vmid, node.wanted.node, probe.wanted, probe.owner, probe.mount
    mend = f"run `pipenv run agents mend {node.wanted.agent}`"
    deliver, again = _how_to_deliver(node), "a disk that was mounted after the container's start shows only then"
    no_word = f"container {vmid} made no probe there {probe.detail}: its payload may be an older one"
    refused = f"the agent cannot write there{': ' if probe.detail else ''}{probe.detail}"
    nowhere = f"what is written there does not show in {mount.source} on {host}: the mount is not in place"
    by_root = f"the container's root wrote it ({owner} on {host}), not the agent's user ({wanted}): it proves nothing"
    by_other = f"what is written there belongs to {owner} on {host}, not to the declared {wanted}"
    cases = (
        (not probe.word, no_word, deliver),
        (probe.word == "failed", refused, f"{mount.source} must belong to {wanted} on {host}: {mend}"),
        (not owner, nowhere, f"{_reboot(node)}: {again}"),
        (owner != wanted and owner.startswith("100000:"), by_root, deliver),
        (owner != wanted, by_other, f"correct uid, gid or idmap of the mount in the settings, then {mend}"),
        (bool(probe.stays), "its probe could not be removed", f"run `rm -- {shlex.quote(probe.stays)}` on {host}"),
    )
    found = next(((detail, remedy) for holds, detail, remedy in cases if holds), None)
    return ("failed", *found) if found else ("ok", f"shows in {mount.source} as {owner}", "")
