"""The inside of the container, from outside: the payload, the secrets, and the bootstrap that makes both work."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pve_agents.host.commands import Command, Plan, refused
from pve_agents.host.facts import CLEAN, Facts, GuestFacts
from pve_agents.host.plan_container import guards
from pve_agents.host.wanted import Wanted
from pve_agents.secret_values import secrets_variable

__all__ = ["BOOTSTRAP", "INSIDE", "PAYLOAD", "Delivery", "deliver_part", "in_guest", "plan_guest", "script_in_guest"]

PAYLOAD, BOOTSTRAP = "payload", "bootstrap"
INSIDE = (PAYLOAD, BOOTSTRAP)
"""The steps that concern nothing but what is in the container."""

_DELIVERY_SECONDS = 300

# The old directory stays until the new one has its name. Killed between the two renames, the next look finds none, and
# the new one is put there. A third word names what has arrived of the archive before.
_UNPACK = """\
set -eu
umask 022
rm -rf "$1.new" "$1.new.tar.gz"
mkdir -p "$(dirname "$1")"
mkdir "$1.new"
if [ -n "${3-}" ]; then cat "$1.parts/$3"; else base64 -d; fi >"$1.new.tar.gz"
echo "$2  $1.new.tar.gz" | sha256sum -c --status || { echo "the archive did not arrive whole"; exit 1; }
tar -xzf "$1.new.tar.gz" -C "$1.new" --no-same-owner
rm -f "$1.new.tar.gz"
echo "$2" >"$1.new/.sha256"
sync -f "$1.new"
if [ -e "$1" ]; then
  rm -rf "$1.previous"
  mv -T "$1" "$1.previous"
fi
mv -T "$1.new" "$1"
rm -rf "$1.parts" "$1.previous"
"""
# Killed anywhere, there is a part more, or none.
_PART = """\
set -eu
umask 022
mkdir -p "$(dirname "$1")"
umask 077
file=$1.parts/$2
if [ "$3" = 0 ] && [ ! -e "$file" ]; then
  rm -rf "$1.parts"
  mkdir "$1.parts"
  : >"$file"
fi
[ -e "$file" ] && size=$(wc -c <"$file") || size=-1
[ "$size" -ge "$3" ] || { echo "refused: a text before this one is missing"; exit 1; }
[ "$size" -le "$3" ] || { echo "refused: this text has arrived already"; exit 1; }
{ cat "$file" && base64 -d; } >"$file.new"
mv -T "$file.new" "$file"
"""
# Its directory is root's alone, so that nobody can lead root elsewhere there.
_WRITE_SECRETS = """\
set -eu
umask 077
directory=$(dirname "$1")
mkdir -p -m 0700 "$directory"
chown -h 0:0 "$directory"
rm -f "$1.new"
base64 -d >"$1.new"
chown "$2:$3" "$1.new"
mv -T "$1.new" "$1"
"""
# What it was run for to its end is written down, so that nobody runs it again for the same.
_RUN = """\
"$1/bootstrap" || exit
printf '%s\\n' "$2" >"$1/.done"
"""


@dataclass(frozen=True)
class Delivery:
    """What this side has to give."""

    archive: bytes = b""
    """The packed payload."""
    secrets: bytes | None = None
    """The file of secrets; none: not all of them are at hand, and what is there stays."""
    missing: tuple[str, ...] = ()
    """The names of those that are not."""
    misspelt: Mapping[str, str] = field(default_factory=dict)
    """Names that were given instead, each with the missing one that it looks like."""
    run_again: bool = False
    """Whether the bootstrap runs whatever was seen: what has changed inside since it ran, it alone sees."""


def in_guest(wanted: Wanted, words: tuple[str, ...], reason: str, *, seconds: int) -> Command:
    """A command in the container, without anything of the node's environment."""
    way = () if wanted.by_console else ("pct", "exec", str(wanted.vmid), "--keep-env", "0", "--")
    argv = (*way, *CLEAN, *words)
    return Command(BOOTSTRAP, argv, reason, timeout_seconds=seconds, is_inside=wanted.by_console)


def script_in_guest(wanted: Wanted, script: str, words: tuple[str, ...], reason: str, *, seconds: int) -> Command:
    """The same, of a script with these words."""
    return in_guest(wanted, ("sh", "-c", script, "sh", *words), reason, seconds=seconds)


def deliver_part(wanted: Wanted, name: str, start: int, content: bytes) -> Command:
    """A part of an archive that this name tells from all others, to be put behind what has arrived of it."""
    directory = wanted.payload.directory if wanted.payload else ""
    reason = f"{len(content)} bytes of the packed payload, from byte {start} on"
    words = (directory, name, str(start))
    return _deliver(wanted, _PART, words, reason, content=content, shown="a part of the payload")


def _deliver(
    wanted: Wanted, script: str, words: tuple[str, ...], reason: str, *, content: bytes, shown: str
) -> Command:
    """A script that gets something on its standard input, with what that is in words."""
    command = script_in_guest(wanted, script, words, reason, seconds=_DELIVERY_SECONDS)
    return replace(command, step=PAYLOAD, stdin=content, shown_stdin=shown)


def plan_guest(wanted: Wanted, facts: Facts, delivery: Delivery) -> Plan:
    """Deliver payload and secrets, and run the bootstrap for what has changed."""
    payload, secrets = wanted.payload, wanted.secrets
    if payload is None:
        return Plan()
    if delivery.missing and (facts.guest is None or facts.guest.secrets is None):
        return refused(_how_to_give(wanted, delivery))
    if problem := _why_not_inside(wanted, facts):
        return refused(problem, step=PAYLOAD) + refused(problem, step=BOOTSTRAP)
    guest = facts.guest or GuestFacts()
    commands = []
    if guest.payload != payload.sha256:
        reason = f"the payload there is {guest.payload[:12] or 'none'}, and is to be {payload.sha256[:12]}"
        shown = f"the packed payload, SHA-256 {payload.sha256}"
        words = (payload.directory, payload.sha256)
        commands.append(_deliver(wanted, _UNPACK, words, reason, content=delivery.archive, shown=shown))
    secrets_sha256 = guest.secrets[2] if guest.secrets else "none"
    if secrets and delivery.secrets is not None:
        secrets_sha256 = hashlib.sha256(delivery.secrets).hexdigest()
        if guest.secrets != (f"{secrets.uid}:{secrets.gid}", "600", secrets_sha256):
            reason = f"the secrets in {secrets.path} are not these, or not for their owner alone"
            shown = f"the values of {', '.join(secrets.names)}"
            place = (secrets.path, str(secrets.uid), str(secrets.gid))
            commands.append(_deliver(wanted, _WRITE_SECRETS, place, reason, content=delivery.secrets, shown=shown))
    done = f"{payload.sha256} {secrets_sha256}"
    is_due = bool(commands) or guest.done != done
    if wanted.bootstrap and (is_due or delivery.run_again):
        reason = "the container is to be what its payload and its secrets say"
        seconds = wanted.bootstrap.timeout_seconds
        run = script_in_guest(wanted, _RUN, (payload.directory, done), reason, seconds=seconds)
        commands.append(replace(run, always=not is_due))
    notes = (f"{_how_to_give(wanted, delivery)}; those that are there stay",) if delivery.missing else ()
    return Plan(tuple(commands), notes=notes, guards=guards(wanted))


def _how_to_give(wanted: Wanted, delivery: Delivery) -> str:
    # Where there is a file, nothing but it is read.
    file, names = f"{wanted.agent}.env", delivery.missing
    meant = "".join(f" {name} is there: did you mean {it}?" for name, it in delivery.misspelt.items())
    what = "them" if set(names) == set(wanted.secret_names) else ", ".join(wanted.secret_names)
    return (
        f"missing secrets: {', '.join(names)}.{meant} Write {what} to {file} as NAME=VALUE lines, `chmod 600 {file}`, and deploy "
        f"with {secrets_variable(wanted.agent)}={file}"
    )


def _why_not_inside(wanted: Wanted, facts: Facts) -> str:
    vmid, node = wanted.vmid, wanted.node
    if facts.state != "running":
        start = f"run `pct start {vmid}` on {node}, then this again"
        if wanted.by_console:
            start = "start it in the web interface, then run this again"
        return f"container {vmid} is {facts.state or 'not there'}: {start}"
    if facts.guest and facts.guest.is_whole:
        return ""
    if wanted.by_console:
        return (
            f"the console of container {vmid} gives no answer: look at it in the web interface, and reboot it if that "
            "hangs, too"
        )
    return (
        f"container {vmid} gives no answer within 10 seconds: try `pct exec {vmid} -- true` on {node}, and "
        f"`pct reboot {vmid} --timeout {wanted.stop_seconds}` if that hangs, too"
    )
