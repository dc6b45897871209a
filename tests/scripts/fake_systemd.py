"""What a container's system has for software without Docker: units, users, a virtual environment. Only what is relied on.

A unit starts with the variables of its files as they are then, and has a process whose files below /proc say so. A test may put
`trouble` into the state of the machine: `unit NAME` keeps a unit from starting, `pip` a release from being made.

Standard library only: the commands are started many times.
"""

from __future__ import annotations

import itertools
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from tests.scripts.fake_docker import System

COMMANDS = ("dpkg-query", "groupadd", "useradd", "nsenter", "git", "npm")
UNIT_FILES = "/etc/systemd/system"
PACKAGES = {
    **dict.fromkeys(
        ("build-essential", "chromium", "ffmpeg", "nodejs", "pandoc", "procps", "python3-dev", "python3-venv"), ()
    ),
    **dict.fromkeys(("ripgrep", "xz-utils", "npm"), ()),
    "git": ("git",),
}
SWITCH = re.compile(r"pve-agents-switch-[a-z0-9-]+\.service")


class Units:
    """systemd of one container."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.machine = system.machine

    @property
    def units(self) -> dict[str, Any]:
        units: dict[str, Any] = self.system.it.setdefault("units", {})
        return units

    def systemctl(self, arguments: list[str]) -> int:
        verb, *names = [
            word for word in arguments if not word.startswith("-") and word != "ActiveState" and "," not in word
        ]
        if verb == "show":
            return self.show(arguments, names)
        if verb == "reset-failed":
            return 0
        self.machine.change(arguments)
        if verb == "daemon-reload":
            self.load()
        elif verb == "restart" and names == ["systemd-journald"]:
            pass
        else:
            for name in names:
                self.act(verb, name, now="--now" in arguments)
        return self.machine.finish()

    def load(self) -> None:
        """Read the files of all units anew."""
        found = self.machine.real(UNIT_FILES).glob("pve-*.service")
        texts = {file.name: self.text(file.name) for file in found}
        for name in [name for name in self.units if name not in texts]:
            del self.units[name]
        for name, text in texts.items():
            new = {"active": "inactive", "enabled": False, "pid": 0, "run": 0, "restarts": 0}
            self.units.setdefault(name, new)["loaded"] = text

    def text(self, name: str) -> str:
        folder = self.machine.real(f"{UNIT_FILES}/{name}.d")
        files = [self.machine.real(f"{UNIT_FILES}/{name}"), *sorted(folder.glob("*.conf"))]
        return "\n".join(file.read_text() for file in files if file.exists())

    def act(self, verb: str, name: str, *, now: bool) -> None:
        if name in ("docker", "docker.socket"):
            self.system.it.update(**({"enabled": False, "active": False} if verb == "disable" else {}))
            return
        if name not in self.units:
            print(f"Unit {name} could not be found.", file=sys.stderr)
            sys.exit(5)
        unit = self.units[name]
        if verb in ("enable", "disable"):
            unit["enabled"] = verb == "enable"
        if verb in ("stop", "restart") or (verb == "disable" and now):
            self.stop(unit)
        if verb in ("start", "restart") or (verb == "enable" and now):
            self.start(name, unit)

    def stop(self, unit: dict[str, Any]) -> None:
        unit.update(active="inactive", pid=0, ended=unit["run"])

    def start(self, name: str, unit: dict[str, Any]) -> None:
        if unit["active"] == "active":
            return
        unit["run"] += 1
        release = self.machine.real("/opt/hermes-agent/current").resolve().name
        trouble = self.system.it["trouble"]
        if trouble.get(f"unit {name}") or trouble.get(f"release {release}"):
            unit.update(active="failed", pid=0)
            return
        self.system.it["serial"] += 1
        pid = 4000 + self.system.it["serial"]
        unit.update(active="active", pid=pid, release=release)
        place = self.machine.real(f"/proc/{pid}")
        place.mkdir(parents=True, exist_ok=True)
        variables = re.findall(r'^Environment="?([^"\n]*)"?$', unit["loaded"], re.MULTILINE)
        (place / "environ").write_text("\0".join([*variables, ""]))
        (place / "status").write_text("Uid:\t10000\t10000\nCapEff:\t0000\nCapBnd:\t0000\nNoNewPrivs:\t1\nSeccomp:\t2\n")

    def boot(self) -> None:
        """Start what is enabled, as after a power cut."""
        for name, unit in self.units.items():
            self.stop(unit)
            if unit["enabled"] and not SWITCH.fullmatch(name):
                self.start(name, unit)

    def show(self, arguments: list[str], names: list[str]) -> int:
        wanted = arguments[arguments.index("--property") + 1].split(",")
        unit = self.units.get(names[-1], {})
        values = {
            "LoadState": "loaded" if unit else "not-found",
            "ActiveState": unit.get("active", "inactive"),
            "SubState": "running" if unit.get("active") == "active" else "dead",
            "Result": "exit-code" if unit.get("active") == "failed" else "success",
            "ExecMainCode": "1",
            "ExecMainStatus": "1" if unit.get("active") == "failed" else "0",
            "MainPID": str(unit.get("pid", 0)),
            "NRestarts": str(unit.get("restarts", 0)),
            "UnitFileState": "enabled" if unit.get("enabled") else "disabled",
            "NeedDaemonReload": "yes" if unit and unit["loaded"] != self.text(names[-1]) else "no",
            "Job": "0",
            "ActiveEnterTimestamp": "Thu 2026-01-01 00:00:00 UTC",
            "InvocationID": str(unit.get("run", "")),
            "ExecMainExitTimestampMonotonic": str(unit.get("ended", "")),
        }
        print("\n".join(f"{name}={values[name]}" for name in wanted))
        return 0

    # what a release is made with --------------------------------------------------------------------------------------

    def dpkg_query(self, arguments: list[str]) -> int:
        names = [word for word in arguments if not word.startswith("-")]
        for name in names:
            if name in self.system.it["packages"]:
                print(f"installed {name}")
        return 0

    def add_user(self, name: str, arguments: list[str]) -> int:
        self.machine.change(arguments)
        options = dict(itertools.pairwise(arguments))
        file, line = ("group", f"{arguments[-1]}:x:{options['--gid']}:")
        if name == "useradd":
            file, line = (
                "passwd",
                f"{arguments[-1]}:x:{options['--uid']}:{options['--gid']}::{options['--home-dir']}:/bin/bash",
            )
        place = self.machine.real(f"/etc/{file}")
        place.write_text((place.read_text() if place.exists() else "") + f"{line}\n")
        return self.machine.finish()

    def python3(self, arguments: list[str]) -> int:
        match arguments:
            case ["-m", "venv", directory]:
                self.machine.change(arguments)
                place = self.machine.real(directory) / "bin"
                place.mkdir(parents=True, exist_ok=True)
                (place / "python").write_text("the virtual environment's\n")
                return self.machine.finish()
        print(f"python3: not known here: {arguments}", file=sys.stderr)
        return 2

    def in_release(self, program: str, arguments: list[str]) -> int:
        """A program of a virtual environment."""
        self.machine.change([program, *arguments])
        if arguments[:3] == ["-m", "pip", "install"]:
            self.system.trouble("pip")
            (self.machine.real(program).parent / "hermes").write_text(f"{arguments[-1]}\n")
        return self.machine.finish()

    def nsenter(self, arguments: list[str]) -> int:
        """`nsenter --target PID --mount -- setpriv --reuid=U --regid=G … -- env -i NAME=VALUE… COMMAND…`."""
        pid = arguments[arguments.index("--target") + 1]
        if pid not in [str(it["pid"]) for it in self.units.values()]:
            print(f"nsenter: cannot open /proc/{pid}/ns/mnt: No such file or directory", file=sys.stderr)
            return 1
        words = arguments[arguments.index("-i") + 1 :]
        command = words[next(at for at, it in enumerate(words) if not re.match(r"[A-Z_]+=", it)) :]
        match command:
            case ["python3", "-I", "-", what, *rest]:
                if "def main(" not in sys.stdin.read():
                    print("python3: this is not the probe", file=sys.stderr)
                    return 1
                return self.system.probe(what, rest)
            case ["touch" | "rm" as name, *rest]:
                user = ":".join(re.findall(r"--re[ug]id=(\d+)", " ".join(arguments)))
                return self.machine.be(user, name, rest)
        print(f"nsenter: not known here: {command}", file=sys.stderr)
        return 1
