"""What the fake commands of a node have in common: what they remember, how they are killed, and a look at files.

Every call is written to `calls` and every one that changes something to `changes`. One change can be made fatal: `kill_at`
names it by its number, and the whole process group dies right before or right after its effect.

Standard library only: the commands are started many times.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import stat
import sys

# Type checkers know the name; to import it would take longer than what most commands do.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, TypeVar

    Status = TypeVar("Status")

HOST_COMMANDS = (
    "pct",
    "mkdir",
    "rmdir",
    "chown",
    "chmod",
    "stat",
    "dpkg-query",
    "lxc-info",
    "lxc-attach",
    "pveum",
    "pvesh",
)
GUEST_COMMANDS = ("mv", "rm", "mkdir", "chown", "tar", "stat", "setpriv")


class Records:
    """What a node's commands remember in a directory: state.json, calls, changes."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory

    def load(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.directory / "state.json").read_text())
        return state

    def save(self, state: dict[str, Any]) -> None:
        beside = self.directory / "state.json.new"
        beside.write_text(json.dumps(state))
        beside.replace(self.directory / "state.json")

    def lines(self, name: str) -> list[list[str]]:
        path = self.directory / name
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def changes(self) -> list[str]:
        return [" ".join(change) for change in self.lines("changes")]

    def forget(self) -> None:
        for name in ("calls", "changes"):
            (self.directory / name).unlink(missing_ok=True)


class Commands:
    """What all commands have in common: records, sudden death, and a look at files."""

    def __init__(self, records: Records, name: str) -> None:
        self.records = records
        self.name = name
        self.state = records.load()

    def log(self, file: str, arguments: list[str]) -> None:
        with (self.records.directory / file).open("a") as log:
            log.write(json.dumps([self.name, *arguments]) + "\n")

    def change(self, arguments: list[str]) -> None:
        """To be called right before an effect."""
        self.state = self.records.load()
        self.state["changes"] += 1
        self.records.save(self.state)
        self.log("changes", arguments)
        self.die_if("before")

    def done(self) -> None:
        self.die_if("after")

    def die_if(self, when: str) -> None:
        if self.state.get("kill_at") == self.state["changes"] and self.state.get("kill_when") == when:
            os.killpg(os.getpgrp(), signal.SIGKILL)

    def owner(self, path: str) -> str:
        owner: str = self.state["owners"].get(path, "0:0")
        return owner

    def mode(self, path: str) -> int:
        return stat.S_IMODE(os.lstat(path).st_mode)

    def place(self, path: str) -> pathlib.Path:
        return pathlib.Path(path)

    def stat(self, arguments: list[str]) -> int:
        _, form, *paths = (word for word in arguments if word != "--")
        for path in paths:
            mount = next((disk for disk in self.state["disks"] if f"{path}/".startswith(f"{disk}/")), "/")
            uid, gid = self.owner(path).split(":")
            seconds, nanoseconds = divmod(self.place(path).stat().st_mtime_ns, 10**9)
            values = {"%u": uid, "%g": gid, "%a": f"{self.mode(path):o}", "%m": mount, "%n": path}
            values["%.9Y"] = f"{seconds}.{nanoseconds:09}"
            print(re.sub(r"%[ugamn]|%\.9Y", lambda match: values[match[0]], form))  # noqa: B023
        return 0

    def dpkg_query(self, package: str = "") -> int:
        print(self.state["lxc"] if package == "lxc-pve" else self.state["version"], end="")
        return 0


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(25)


def outcome(command: Callable[[], Status]) -> Status | int:
    """Run a command, and return its status when all that it said is said."""
    try:
        status: Status | int = command()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    return status
