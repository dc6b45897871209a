"""A Proxmox VE node made of fake commands: just enough of `pct` and of root's file commands to hold scripts against.

`Node.create(directory)` fills a directory with commands for PATH. They keep what they know in `state.json`, write every
call to `calls` and every call that changed something to `changes`. One change can be made fatal: `kill_at` names it by
its number, and the whole process group dies right before or right after its effect.

Standard library only and no package imports: the commands run this very file. They are started many times, so that they
import little, and leave without tearing the interpreter down.
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
    from typing import Any, NoReturn

REAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOST_COMMANDS = ("pct", "mkdir", "rmdir", "chown", "chmod", "stat", "dpkg-query")
GUEST_COMMANDS = ("mv", "rm", "mkdir", "chown", "tar", "stat", "setpriv")
MOUNT_OPTIONS = {"acl", "backup", "idmap", "keepattrs", "mountoptions", "quota", "replicate", "ro", "shared", "size"}
DEVICE_OPTIONS = {"deny-write", "gid", "mode", "uid"}
FEATURES = {"force_rw_sys", "fuse", "keyctl", "mknod", "mount", "nesting"}


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


class Node(Records):
    """A directory that holds the node: bin/, guest/, guest-bin/, etc-pve/, state.json, calls, changes."""

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__(directory)
        self.guest = directory / "guest"
        self.bin = directory / "bin"

    @classmethod
    def create(cls, directory: pathlib.Path) -> Node:
        node = cls(directory)
        for name in ("bin", "guest-bin", "guest/opt", "guest/run", "disks", "etc-pve/ha", "scripts"):
            (directory / name).mkdir(parents=True)
        for folder, names in (("bin", HOST_COMMANDS), ("guest-bin", GUEST_COMMANDS)):
            for name in names:
                command = directory / folder / name
                # -I -S: no site packages, half the start-up time.
                prefix = "guest-" if folder == "guest-bin" else ""
                command.write_text(
                    f'#!/bin/sh\nexec "{sys.executable}" -I -S "{__file__}" "{directory}" {prefix}{name} "$@"\n'
                )
                command.chmod(0o755)
        # The scripts as they are, but for the one place that only a real node has.
        scripts = pathlib.Path(__file__).parents[2] / "scripts" / "host"
        for name in ("on-host", "host-step"):
            text = (scripts / name).read_text()
            if name == "on-host":
                before = text
                text = text.replace("readonly etc_pve=/etc/pve\n", f"readonly etc_pve='{directory}/etc-pve'\n")
                assert text != before
            (directory / "scripts" / name).write_text(text)
            (directory / "scripts" / name).chmod(0o755)
        node.save(
            {
                "node": "pve1",
                "version": "6.1.10",
                "owners": {},
                "disks": [str(directory / "disks")],
                "changes": 0,
                "containers": {
                    "118": {
                        "running": True,
                        "current": {
                            "arch": "amd64",
                            "description": "$(touch /tmp/never) `never`",
                            "features": "nesting=1",
                            "hostname": "hermes",
                            "net0": "name=eth0,bridge=vmbr0,ip=dhcp,type=veth",
                            "rootfs": "local-lvm:vm-118-disk-0,size=24G",
                            "unprivileged": "1",
                        },
                        "pending": {},
                        "delete": [],
                    }
                },
            }
        )
        return node

    def picture(self) -> dict[str, Any]:
        """All that a run can leave behind, for comparing two runs."""
        state = self.load()
        files = {}
        for root in (self.guest, self.directory / "disks"):
            for path in sorted(root.rglob("*")):
                content = path.read_text() if path.is_file() else ""
                files[str(path.relative_to(self.directory))] = [oct(stat.S_IMODE(path.stat().st_mode)), content]
        return {"containers": state["containers"], "owners": state["owners"], "files": files}


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

    def dpkg_query(self) -> int:
        print(self.state["version"], end="")
        return 0


class Fakes(Commands):
    """The commands."""

    def __init__(self, node: Node, name: str) -> None:
        super().__init__(node, name)
        self.node = node

    # --- files of the host, whose owners only the state knows

    def mkdir(self, arguments: list[str]) -> int:
        self.change(arguments)
        path = arguments[-1]
        pathlib.Path(path).mkdir()
        pathlib.Path(path).chmod(int(arguments[arguments.index("-m") + 1], 8))
        self.state["owners"][path] = "0:0"
        self.node.save(self.state)
        self.done()
        return 0

    def rmdir(self, arguments: list[str]) -> int:
        self.change(arguments)
        pathlib.Path(arguments[-1]).rmdir()
        self.done()
        return 0

    def chown(self, arguments: list[str]) -> int:
        if self.state.get("squashes_root"):
            fail(f"chown: changing ownership of '{arguments[-1]}': Operation not permitted")
        self.change(arguments)
        self.state["owners"][arguments[-1]] = arguments[-2]
        self.node.save(self.state)
        self.done()
        return 0

    def chmod(self, arguments: list[str]) -> int:
        self.change(arguments)
        pathlib.Path(arguments[-1]).chmod(int(arguments[-2], 8))
        self.done()
        return 0

    # --- pct

    def pct(self, arguments: list[str]) -> int:
        command, vmid, *rest = arguments
        container = self.state["containers"].get(vmid)
        if container is None:
            fail(f"Configuration file 'nodes/{self.state['node']}/lxc/{vmid}.conf' does not exist")
        commands = {
            "status": self.status,
            "config": self.config,
            "set": self.set,
            "reboot": self.reboot,
            "exec": self.execute,
            "push": self.push,
        }
        if command not in commands:
            fail(f"ERROR: unknown command 'pct {command}'")
        return commands[command](vmid, container, rest)

    def status(self, _: str, container: dict[str, Any], __: list[str]) -> int:
        print(f"status: {'running' if container['running'] else 'stopped'}")
        return 0

    def config(self, _: str, container: dict[str, Any], rest: list[str]) -> int:
        values = dict(container["current"])
        if "--current" not in rest:
            values.update(container["pending"])
            for key in container["delete"]:
                values.pop(key, None)
        for key in sorted(values):
            print(f"{key}: {values[key]}")
        return 0

    def set(self, vmid: str, container: dict[str, Any], rest: list[str]) -> int:
        values = {name.removeprefix("--"): value for name, value in zip(rest[::2], rest[1::2], strict=True)}
        leaving = [key for key in values.pop("delete", "").split(",") if key]
        self.check_set(vmid, container, values, leaving)
        self.change(["set", vmid, *rest])
        container = self.state["containers"][vmid]
        for key, value in values.items():
            container["pending"][key] = value
            container["delete"] = [other for other in container["delete"] if other != key]
        for key in leaving:
            container["pending"].pop(key, None)
            if key in container["current"] and key not in container["delete"]:
                container["delete"].append(key)
        for key, value in list(container["pending"].items()):
            plugged = re.match(r"(mp|dev)\d", key) and key not in container["current"]
            if plugged or container["current"].get(key) == value:
                container["current"][key] = value
                del container["pending"][key]
        if not container["running"]:
            apply_pending(container)
        self.node.save(self.state)
        self.done()
        return 0

    def check_set(self, vmid: str, container: dict[str, Any], values: dict[str, str], leaving: list[str]) -> None:
        current = container["current"]
        if current.get("lock"):
            fail(f"CT is locked ({current['lock']})")
        for key in [*values, *leaving]:
            if key.startswith("mp") and current.get("protection") == "1":
                fail(f"can't update CT {vmid} drive '{key}' - protection mode enabled")
        for key, value in values.items():
            check_value(key, value)
            source = value.split(",")[0]
            plugged = container["running"] and key.startswith("mp") and key not in current
            if plugged and (not pathlib.Path(source).is_dir() or self.state.get("hotplug_fails")):
                fail(f"400 Parameter verification failed.\n{key}: unable to hotplug {key}: {source}: not mounted")

    def reboot(self, vmid: str, container: dict[str, Any], rest: list[str]) -> int:
        if [re.sub(r"^[0-9]+$", "N", word) for word in rest] not in ([], ["--timeout", "N"]):
            fail(f"400 unable to parse option: {rest}")
        if not container["running"]:
            fail(f"VM {vmid} not running")
        self.change(["reboot", vmid, *rest])
        apply_pending(self.state["containers"][vmid])
        self.node.save(self.state)
        self.done()
        return 0

    def push(self, vmid: str, container: dict[str, Any], rest: list[str]) -> int:
        if not container["running"]:
            fail("can only push files to a running CT")
        self.change(["push", vmid, *rest])
        (self.node.guest / rest[1][1:]).write_bytes(pathlib.Path(rest[0]).read_bytes())
        self.state.setdefault("pushes", []).append(rest[1])
        self.node.save(self.state)
        self.done()
        return 0

    def execute(self, vmid: str, container: dict[str, Any], rest: list[str]) -> int:
        if not container["running"]:
            fail(f"container '{vmid}' not running!")
        if rest[:3] != ["--keep-env", "0", "--"] or rest[3:5] != ["env", "-i"]:
            fail("the host's environment would go into the container")
        if any(os.isatty(end) for end in range(3)):
            fail("lxc-attach would open a terminal in the container")
        guest = str(self.node.guest)
        # Where the container's root file system would be; PATH and shell scripts stay as they are.
        command = [f"{guest}{word}" if word.startswith("/") else word for word in rest[3:]]
        command = [
            f"PATH={self.node.directory}/guest-bin:{REAL_PATH}" if word.startswith("PATH=") else word
            for word in command
        ]
        return os.spawnv(os.P_WAIT, "/usr/bin/env", command)  # noqa: S606

    # --- commands inside the container

    def in_guest(self, command: str, arguments: list[str]) -> int:
        if command == "stat":
            return self.stat(arguments)
        if command == "setpriv":
            uid, gid = arguments[1], arguments[3]
            os.environ["FAKE_USER"] = f"{uid}:{gid}"
            os.execvp(arguments[5], arguments[5:])  # noqa: S606
        self.change(["guest", *arguments])
        if command == "chown":
            self.state["owners"][arguments[-1]] = arguments[-2]
        else:
            status = os.spawnv(os.P_WAIT, f"/usr/bin/{command}", [command, *arguments])  # noqa: S606
            if status != 0:
                return status
        if command == "mv":
            self.moved(arguments[-2], arguments[-1])
        self.node.save(self.state)
        self.done()
        return 0

    def moved(self, source: str, target: str) -> None:
        owner = self.state["owners"].pop(source, os.environ.get("FAKE_USER", "0:0"))
        self.state["owners"].pop(target, None)
        if owner != "0:0":
            self.state["owners"][target] = owner


def apply_pending(container: dict[str, Any]) -> None:
    container["current"].update(container["pending"])
    for key in container["delete"]:
        container["current"].pop(key, None)
    container["pending"], container["delete"] = {}, []


def check_value(key: str, value: str) -> None:
    known, parts = FEATURES, value.split(",")
    if re.fullmatch(r"mp\d+", key):
        known, parts = {*MOUNT_OPTIONS, "mp"}, parts[1:]
        if not any(part.startswith("mp=") for part in parts):
            fail("400 Parameter verification failed.\nmp: property is missing and it is not optional")
    elif re.fullmatch(r"dev\d+", key):
        known, parts = DEVICE_OPTIONS, parts[1:]
    elif key != "features":
        fail(f"Unknown option: {key}")
    for part in parts:
        if part.split("=")[0] not in known:
            fail(f"400 Parameter verification failed.\n{key}: {part}: property is not defined in schema")


def fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(25)


def leave(command: Callable[[], int]) -> NoReturn:
    """Run a command and end with its status at once: the interpreter's own end takes as long as most of them."""
    os._exit(outcome(command))


def outcome(command: Callable[[], int]) -> int:
    """Run a command, and return its status when all that it said is said."""
    try:
        status = command()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def main() -> int:
    if sys.argv[1] == "create":
        Node.create(pathlib.Path(sys.argv[2]))
        return 0
    directory, name, *arguments = sys.argv[1:]
    fakes = Fakes(Node(pathlib.Path(directory)), name)
    fakes.log("calls", arguments)
    if name.startswith("guest-"):
        return fakes.in_guest(name.removeprefix("guest-"), arguments)
    if name == "dpkg-query":
        return fakes.dpkg_query()
    commands = {
        "pct": fakes.pct,
        "mkdir": fakes.mkdir,
        "rmdir": fakes.rmdir,
        "chown": fakes.chown,
        "chmod": fakes.chmod,
        "stat": fakes.stat,
    }
    return commands[name](arguments)


if __name__ == "__main__":
    leave(main)
