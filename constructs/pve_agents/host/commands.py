"""What may run as root on the node, and how it is written down: plain lines of bash, each with its reason above it."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pve_agents.host.wanted import Wanted
from pve_agents.host.words import printable

__all__ = ["ALLOWED", "ALLOWED_INSIDE", "LINE", "Command", "Guard", "Plan", "Refusal", "refused", "render", "written"]

ALLOWED = frozenset(
    {("mkdir",), ("rmdir",), ("chown",), ("chmod",)}
    | {("pct", "set"), ("pct", "reboot"), ("pct", "exec"), ("pct", "push")}
)
"""The programs that a plan's command may be, with `pct` what it may be told to do. The list is complete; `push` is for a
text that is pasted, to leave a trace."""

ALLOWED_INSIDE = frozenset({("env", "-i")})
"""The same for the shell in a container that its console is: no more than what starts a command there with nothing else."""

# `run` says a command before it runs and its outcome after it; `within` runs one in a directory that is no link, where
# no name is looked up any more that somebody could turn elsewhere. No end of a command is a terminal, whose is a pasted
# text's: lxc-attach would open one in the container, which swallows the end of the input and echoes what is written to it.
# What a command says is indented, a piece of a line that does not end like a line: none can pose as one of ours. What a
# terminal would obey does not reach the one of a pasted text.
_HEAD = r"""set -euo pipefail
umask 022
export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin
refuse() { echo "refused: $1" >&2; exit 3; }
undo=() hint='' # of the next command, if it fails
within() (cd -P -- "$1" && [ "$PWD" = "$1" ] && "${@:2}")
set_off() {
  local line
  while IFS= read -r -n 3900 line || [ -n "$line" ]; do
    line=${line//$'\t'/ }
    line=${line//[$'\1'-$'\37\177']}
    printf '  %s\n' "${line//$'\302'[$'\200'-$'\237']/?}"
  done
}
run() {
  local word words=() began=$SECONDS status=0
  for word; do
    if [[ $word == *$'\n'* ]]; then
      word='(script)'
    elif [[ ! $word =~ ^[A-Za-z0-9_./:@%+=,-]+$ ]]; then
      word=${word@Q}
    fi
    words+=("$word")
  done
  if [ "$1" = within ]; then echo "$ (cd -P -- ${words[1]} && ${words[*]:2})"; else echo "$ ${words[*]}"; fi
  "$@" 2>&1 | set_off || status=$?
  if [ "$status" != 0 ]; then
    echo "… FAILED with status $status after $((SECONDS - began)) s"
    [ -z "$hint" ] || echo "$hint"
    "${undo[@]}" || true
    exit 3
  fi
  undo=() hint=''
  echo "… done in $((SECONDS - began)) s"
}
"""
LINE = 76
"""Characters of a line of Base64, as `encodebytes` makes them; a multiple of four."""


@dataclass(frozen=True)
class Command:
    """One thing that root does on the node."""

    step: str
    """The step that it belongs to."""
    argv: tuple[str, ...]
    reason: str
    within: str = ""
    """Directory of the node in which it runs; links on the way end it."""
    stdin: bytes | None = None
    shown_stdin: str = ""
    """What its standard input is, in words; the input itself may be secret."""
    timeout_seconds: int | None = None
    """After that much time it is killed. On the node's side: a container's own clock is not believed."""
    may_fail: bool = False
    """Whether what follows runs all the same."""
    hint: str = ""
    """What is said if it fails."""
    undo: tuple[str, ...] = ()
    """What runs if it fails, so that nothing is left half-done."""
    always: bool = False
    """Whether it runs whatever was seen, so that it is wanted after it ran, too."""
    unless_directory: bool = False
    """Whether it runs only if its last argument is no directory: for a text that nobody has looked for."""
    is_inside: bool = False
    """Whether its shell is one in the container."""

    def __post_init__(self) -> None:
        """Refuse what is not on the list."""
        allowed = ALLOWED_INSIDE if self.is_inside else ALLOWED
        for argv in filter(None, (self.argv or ("",), self.undo)):
            if argv[:1] not in allowed and argv[:2] not in allowed:
                raise ValueError(f"{shlex.join(argv[:2])} is not on the list of what may run as root")

    @property
    def words(self) -> tuple[str, ...]:
        """With what ends it in time."""
        limit = ("timeout", "-k", "30", str(self.timeout_seconds)) if self.timeout_seconds else ()
        return (*limit, *self.argv)

    @property
    def line(self) -> str:
        """As one would type it, without its input."""
        line = shlex.join(self.words)
        return f"(cd -P -- {shlex.quote(self.within)} && {line})" if self.within else line


@dataclass(frozen=True)
class Guard:
    """What must still hold when the commands run."""

    condition: str
    """For bash's `[[ … ]]`, quoted already."""
    otherwise: str
    """What is said."""


@dataclass(frozen=True)
class Refusal:
    """Why something is not done."""

    text: str
    step: str = ""
    """The only step that it keeps from being done; empty: nothing is done at all."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, or why it cannot be."""

    commands: tuple[Command, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    """What is said besides: of what is wanted that nothing of this can do, or that was left alone."""
    guards: tuple[Guard, ...] = ()
    left: tuple[str, ...] = ()
    """What is not as it should be and is somebody else's to do."""

    def __add__(self, other: Plan) -> Plan:
        """One after the other."""
        return Plan(
            commands=self.commands + other.commands,
            refusals=self.refusals + other.refusals,
            notes=self.notes + other.notes,
            guards=tuple(dict.fromkeys(self.guards + other.guards)),
            left=self.left + other.left,
        )

    def of(self, *steps: str) -> Plan:
        """What concerns these steps."""
        refusals = tuple(it for it in self.refusals if it.step in {"", *steps})
        return replace(self, commands=tuple(it for it in self.commands if it.step in steps), refusals=refusals)


def refused(*texts: str, step: str = "") -> Plan:
    """A plan that does nothing, for these reasons."""
    return Plan(refusals=tuple(Refusal(text, step) for text in texts))


def render(plan: Plan, wanted: Wanted) -> str:
    """Write a plan down for `bash -s` of root's on the node: as a function, so that nothing runs before all has arrived."""
    where = "in its own console" if wanted.by_console else f"on {wanted.node}"
    lines = [f"# As root {where}, for the agent {wanted.agent} in container {wanted.vmid}."]
    lines += [f"[[ {guard.condition} ]] || refuse {shlex.quote(guard.otherwise)}" for guard in plan.guards]
    for command in plan.commands:
        lines += ["", *(f"# {printable(line)}" for line in command.reason.splitlines()), _call(command)]
    return "\n".join([f"{_HEAD}act() {{", *lines, "}", "act </dev/null", ""])


def _call(command: Command) -> str:
    where = ("within", command.within) if command.within else ()
    line = shlex.join(["run", *where, *command.words])
    if command.stdin is not None:
        # Base64 has no underscore: no line of it can end the input. Short lines survive every terminal.
        line += f" <<'END_OF_INPUT'\n{base64.encodebytes(command.stdin).decode()}END_OF_INPUT"
    if command.unless_directory:
        line = f"[[ -d {shlex.quote(command.argv[-1])} ]] || {line}"
    if command.may_fail:
        line = f"({line}) || true"
    if command.hint:
        line = f"undo=({shlex.join(command.undo)}) hint={shlex.quote(command.hint)}\n{line}"
    return line


def written(commands: Sequence[Command]) -> list[str]:
    """The commands for a person to read: reason and line, inputs in words."""
    lines = []
    for command in commands:
        lines.append(f"# {printable(command.reason)}")
        text = command.line + (f"  < {command.shown_stdin}" if command.stdin is not None else "")
        # What runs in the container is a script.
        lines += map(printable, text.split("\n"))
    return lines
