"""A node that nobody reaches as root but through its web console: what is to be pasted there, and whether it took effect.

A token that may only read sees the container's configuration. Directories, payload and bootstrap it does not see: they are
in the text whatever is there, guarded by what the text itself looks at.

A text that is too long to be pasted at once comes as several: the archive goes to the container in parts, then the rest. Each
part fits only behind what has arrived of this archive so far: pasted twice, or before its turn, it changes nothing and leaves
no trace that somebody waits for. What a paste that was given up has left goes with the next one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from pve_agents.host.api_look import asked, seen_by_api
from pve_agents.host.commands import LINE, Command, Guard, Plan, refused, render
from pve_agents.host.facts import Facts, GuestFacts
from pve_agents.host.plan_container import plan_config, why_not_ours
from pve_agents.host.plan_directories import STEP as DIRECTORIES
from pve_agents.host.plan_directories import above
from pve_agents.host.plan_guest import BOOTSTRAP, PAYLOAD, Delivery, deliver_part, plan_guest
from pve_agents.host.shell import UnreachedError, private_directory
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.step import AS_WANTED, Judge, Say, begin
from pve_agents.host.wanted import Wanted
from pve_agents.node_api import Node as Api
from pve_agents.node_api import NodeError, access

__all__ = ["Paste", "in_parts", "plan_paste"]

LONGEST_PASTE = 131_072 - 64
"""Bytes of a text that is pasted: 131,072 of one frame, above which the web console closes its connection, without what the
console and its terminal write around a paste."""

_RECEIPT = "/run/pve-agents.receipt"
_READ_TOKEN = "PVE_READ_TOKEN"  # noqa: S105 - a name
_BEGIN, _END = "# ---- begin {}: paste from here", "# ---- end: up to here, then Enter"


def plan_paste(wanted: Wanted, facts: Facts, delivery: Delivery) -> Plan:
    """All that a deploy does, where the look sees no more than the configuration of the container."""
    if problem := why_not_ours(wanted, facts):
        return refused(problem)
    seen = replace(facts, guest=GuestFacts(is_whole=True))
    inside = plan_guest(wanted, seen, Delivery(archive=delivery.archive))
    plan = _directories(wanted) + plan_config(wanted, facts) + inside
    if not plan.commands:
        return plan
    return plan + Plan((_receipt(wanted),))


def _receipt(wanted: Wanted) -> Command:
    """The trace that a text leaves: a task that a token with Sys.Audit on the node can see."""
    words = ("pct", "push", str(wanted.vmid), "/dev/null", _RECEIPT)
    return Command(BOOTSTRAP, words, "this task tells whoever waits that all of it came to its end")


def _directories(wanted: Wanted) -> Plan:
    commands, parents = [], dict.fromkeys(parent for it in wanted.directories for parent in above(it.path))
    for it in wanted.directories:
        mode = f"{it.mode:04o}"
        reason = f"{it.path} is to be there, for {it.uid}:{it.gid}"
        commands += [
            Command(DIRECTORIES, ("mkdir", "-m", mode, "--", it.path), reason, unless_directory=True),
            Command(DIRECTORIES, ("chown", f"{it.uid}:{it.gid}", "."), reason, within=it.path),
            Command(DIRECTORIES, ("chmod", mode, "."), f"{it.path} is to have the mode {mode}", within=it.path),
        ]
    return Plan(tuple(commands), guards=tuple(_only_roots(parent) for parent in reversed(parents) if parent != "/"))


def _only_roots(path: str) -> Guard:
    """Nobody but root may rename what lies in a directory."""
    # One question, so that its answers belong together: a directory and no link, root's, and either sticky, or writable
    # for nobody else.
    return Guard(
        f"$(stat -c '%u:%g %A' -- {shlex.quote(path)}) == 0:@(* d????-??-?|* d????????[tT]|0 d???????-?)",
        f"{path} is not there, a symbolic link, or others than root may rename things in it",
    )


def in_parts(plan: Plan, wanted: Wanted) -> list[Plan]:
    """The plan, or plans that do the same one after the other, each of them a text that can be pasted."""

    def length(plan: Plan) -> int:
        return len(_text(plan, wanted).encode())

    whole = next((it for it in plan.commands if it.step == PAYLOAD and it.stdin), None)
    if whole is None or length(plan) <= LONGEST_PASTE:
        return [plan]
    archive, name = whole.stdin or b"", secrets.token_hex(8)

    def part(start: int, content: bytes) -> Plan:
        return Plan((deliver_part(wanted, name, start, content), _receipt(wanted)), guards=plan.guards)

    # Base64 makes four bytes of three, and of a line one more.
    lines = (LONGEST_PASTE - length(part(len(archive), b""))) // (LINE + 1)
    if lines < 1:
        return [plan]
    size = lines * LINE * 3 // 4
    parts = [part(start, archive[start : start + size]) for start in range(0, len(archive), size)]
    last = replace(whole, argv=(*whole.argv, name), stdin=None, shown_stdin="")
    return [*parts, replace(plan, commands=tuple(last if it is whole else it for it in plan.commands))]


@dataclass
class Paste:
    """The node, through a token that may only read and a person with the web console."""

    wanted: Wanted
    say: Say
    environment: Mapping[str, str]

    def __post_init__(self) -> None:
        """Read where the API is, and refuse what leads nowhere."""
        try:
            self._access = access(self.environment, token=_READ_TOKEN)
        except NodeError as error:
            raise WrongSettingsError(f"PVE_TRANSPORT=paste: {error}") from None
        self._api = Api(self._access)

    def look(self) -> Facts:
        """What the API shows.

        Raises:
            UnreachedError: It does not answer.
        """
        return seen_by_api(self._access, self._api, self.wanted)

    def act(self, plan: Plan, deploy: str, is_there: Judge | None = None) -> int:
        """Show the text of a plan, if there is anything in it, and wait until it has taken effect.

        Args:
            plan: What is to be pasted.
            deploy: What is the same for all steps of one deploy: a text that was pasted for it is not asked for again.
            is_there: Says of what the API shows what is still to be done. Defaults to what the container is to have.

        Returns:
            The exit status.

        Raises:
            UnreachedError: There was no effect in time.
        """
        status = begin(plan, self.say, "the API shows everything as wanted: nothing to paste")
        if status is not None:
            return status
        note = private_directory() / f"pasted-{self.wanted.agent}"
        key = hashlib.sha256(f"{deploy}\0{self.wanted}".encode()).hexdigest()
        if deploy and note.exists() and note.read_text() == key:
            self.say("was part of the text that you pasted for this deploy: nothing to paste")
            return AS_WANTED
        texts = [_text(it, self.wanted) for it in in_parts(plan, self.wanted)]
        if (length := len(texts[-1].encode())) > LONGEST_PASTE:
            raise WrongSettingsError(
                f"the text to paste has {length} bytes, and the web console closes its connection above "
                f"{LONGEST_PASTE}: use another PVE_TRANSPORT"
            )
        for line in how_to_give_secrets(self.wanted):
            self.say(line)
        judge = is_there or (lambda facts: plan_config(self.wanted, facts))
        leaves_receipt, count = _receipt(self.wanted) in plan.commands, len(texts)
        for number, text in enumerate(texts, 1):
            before = self._receipts() if leaves_receipt else None
            seconds = self._deadline()
            self._show(text, *((f"-{number}", f", text {number} of {count}") if count > 1 else ("", "")))
            self._wait(seconds, before, judge if number == count else None)
        note.write_text(key)
        return AS_WANTED

    def _wait(self, seconds: int, before: set[str] | None, is_there: Judge | None) -> None:
        """Wait until a text has taken effect, and has left a receipt that was not there before."""
        self.say(f"waiting up to {seconds} s for its effect")
        end = time.monotonic() + seconds
        while still := tuple(self._missing(before, is_there)):
            if time.monotonic() >= end:
                raise UnreachedError(
                    f"after {seconds} s the effect is not there: {'; '.join(still)}. Look at what the text printed; this "
                    "can be run again at any time"
                )
            time.sleep(min(2, seconds / 10))

    def _missing(self, before: set[str] | None, is_there: Judge | None) -> Iterator[str]:
        # What a part has done is seen nowhere but by its receipt.
        plan = is_there(self.look()) if is_there else Plan()
        yield from (refusal.text for refusal in plan.refusals)
        yield from (command.reason for command in plan.commands)
        if before is not None and not self._receipts() - before:
            yield "the text has not come to its end"

    def _receipts(self) -> set[str]:
        node = self.wanted.node
        path = f"/nodes/{node}"
        if "Sys.Audit" not in asked(self._access, lambda: self._api.privileges(path)):
            raise WrongSettingsError(
                f"{_READ_TOKEN} may not see tasks: give it the role PVEAuditor (Sys.Audit) on {path}"
            )
        return asked(self._access, lambda: self._api.ended_well(node, str(self.wanted.vmid), "push_file"))

    def say_how_to_stop(self) -> None:
        """Say how the agent is stopped before its mounts leave."""
        if self.wanted.bootstrap:
            self.say("the agent runs on without its mounts: to stop it, run this on the node")
            self.say(f"  pct exec {self.wanted.vmid} -- {shlex.quote(self.wanted.bootstrap.command)} --stop")

    def _deadline(self) -> int:
        text = self.environment.get("PVE_PASTE_DEADLINE_SECONDS", "")
        if not text:
            return 900 + (self.wanted.bootstrap.timeout_seconds if self.wanted.bootstrap else 0)
        if not re.fullmatch(r"[1-9][0-9]{0,4}", text):
            raise WrongSettingsError("PVE_PASTE_DEADLINE_SECONDS must be a number of seconds")
        return int(text)

    def _show(self, text: str, suffix: str, name: str) -> None:
        file = private_directory() / f"paste-{self.wanted.agent}{suffix}"
        file.write_text(text, encoding="utf-8")
        self.say(f"open the shell of node {self.wanted.node} in the web interface (as root@pam) and paste this:")
        self.say(f"{_BEGIN.format(self.wanted.agent + name)}\n{text}{_END}")
        self.say(f"Terraform puts its own words before each line: without them it is in the file {file}")


def _text(plan: Plan, wanted: Wanted) -> str:
    # In a bash of its own: `set -e` and `exit` must not end the shell that it is pasted into.
    return f"bash -s <<'END_OF_PASTE'\n{render(plan, wanted)}END_OF_PASTE\n"


def how_to_give_secrets(wanted: Wanted) -> Iterator[str]:
    """Say how secrets get there, which are in no text that is pasted."""
    if wanted.secrets is None or not wanted.secrets.names:
        return
    file = wanted.secrets
    push = f"pct exec {wanted.vmid} -- mkdir -p {shlex.quote(above(file.path)[0])} && "
    push += f"pct push {wanted.vmid} {wanted.agent}.env {shlex.quote(file.path)} --user {file.uid} --group {file.gid}"
    yield f"secrets … not in the text: write {', '.join(file.names)} as NAME=VALUE lines to a 0600 file {wanted.agent}.env on"
    yield f"  the node and run `{push} --perms 0600` there, before the text or again after it"
