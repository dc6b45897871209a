"""A node in memory that obeys a plan's commands as Proxmox VE would."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

from pve_agents.host.commands import Command
from pve_agents.host.facts import Container, Facts, GuestFacts, PathFact
from pve_agents.host.plan_guest import Delivery
from pve_agents.host.properties import same
from pve_agents.host.wanted import Attached, Bootstrap, Directory, Payload, Secrets, Wanted

DISK = "/mnt/pve/hdd"
TAG = "pve-agents-hermes"
ARCHIVE = b"the packed payload"
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()
SECRETS = b"LITELLM_API_KEY=sk-canary\n"
DIRECTORY = "/opt/pve-agents/hermes"
DELIVERY = Delivery(archive=ARCHIVE, secrets=SECRETS)
ROOT = PathFact("directory", 0, 0, 0o755)
MOUNTED = PathFact("directory", 0, 0, 0o755, DISK)
OURS = {"hostname": "hermes", "tags": f"ai;{TAG}", "unprivileged": "1", "features": "nesting=1"}

WANTED = Wanted(
    agent="hermes",
    vmid=118,
    node="gihyeon",
    hostname="hermes",
    tag=TAG,
    stop_seconds=180,
    directories=(Directory(f"{DISK}/hermes", 110000, 110000, 0o750),),
    mounts=(Attached("mp0", f"{DISK}/hermes", "/data", {"replicate": "0"}),),
    features={"keyctl": "1"},
    payload=Payload(DIRECTORY, "payload.tar.gz", SHA256, 240),
    secrets=Secrets(("LITELLM_API_KEY",), {}, "/etc/pve-agents/hermes.env", 0, 0),
    bootstrap=Bootstrap(f"{DIRECTORY}/bootstrap", 1800, 200),
)

"""What is wanted."""
SPEC: dict[str, Any] = {
    "agent": "hermes",
    "vmid": 118,
    "node": "gihyeon",
    "hostname": "hermes",
    "tag": "pve-agents-hermes",
    "stop_seconds": 180,
    "directories": [{"path": "/mnt/pve/hdd/hermes", "uid": 110000, "gid": 110000, "mode": "0750"}],
    "mounts": [{"key": "mp0", "volume": "/mnt/pve/hdd/hermes", "path": "/data", "options": {"replicate": "0"}}],
    "devices": [],
    "features": {"keyctl": "1"},
    "payload": {
        "directory": "/opt/pve-agents/hermes",
        "archive": "payload.tar.gz",
        "sha256": SHA256,
        "checks_timeout_seconds": 240,
    },
    "secrets": {
        "names": ["LITELLM_API_KEY"],
        "minimum_lengths": {},
        "path": "/etc/pve-agents/hermes.env",
        "uid": 0,
        "gid": 0,
        "of_compose": [],
    },
    "bootstrap": {"command": "/opt/pve-agents/hermes/bootstrap", "timeout_seconds": 1800, "stop_seconds": 200},
}
"""The same, as a stack says it."""


class RefusedError(Exception):
    """Proxmox VE, or a guard of the text, does not do it."""


@dataclass
class Node:
    """What is there."""

    name: str = "gihyeon"
    vmid: int = 118
    """Of our container."""
    version: str = "6.1.10"
    paths: dict[str, PathFact] = field(
        default_factory=lambda: {"/": ROOT, "/mnt": ROOT, "/mnt/pve": ROOT, DISK: MOUNTED}
    )
    containers: dict[int, Container] = field(default_factory=lambda: {118: Container(118, OURS)})
    elsewhere: tuple[str, ...] = ()
    ha: frozenset[int] = frozenset()
    state: str = "running"
    guest: GuestFacts = field(default_factory=lambda: GuestFacts(is_whole=True))
    secrets: bytes = b""
    """What its file of secrets holds."""
    parts: dict[str, bytes] = field(default_factory=dict)
    """What has arrived of an archive that comes in parts."""

    def facts(self) -> Facts:
        """One look at it."""
        return Facts(
            node=self.name,
            pve_container=self.version,
            containers=dict(self.containers),
            elsewhere=self.elsewhere,
            digest=self.digest(),
            state=self.state,
            ha=self.ha,
            paths=dict(self.paths),
            guest=self.guest if self.state == "running" else None,
        )

    def digest(self) -> str:
        """Of our container's configuration."""
        return hashlib.sha256(repr(self.containers.get(self.vmid)).encode()).hexdigest()

    def obey(self, command: Command) -> None:
        """Do one command."""
        match command.argv:
            case ("mkdir", "-m", mode, "--", path):
                if self._kind(path) or not self._kind(path.rpartition("/")[0]):
                    raise RefusedError(path)
                self.paths[path] = PathFact(
                    "directory", 0, 0, int(mode, 8), self.paths[path.rpartition("/")[0]].mounted_at
                )
            case ("chown", owner, "."):
                uid, gid = map(int, owner.split(":"))
                self.paths[command.within] = replace(self.paths[command.within], uid=uid, gid=gid)
            case ("chmod", mode, "."):
                self.paths[command.within] = replace(self.paths[command.within], mode=int(mode, 8))
            case ("pct", verb, vmid, *words) if vmid == str(self.vmid):
                self._obey_pct(verb, words, command)
            case _:
                raise AssertionError(command.argv)

    def _obey_pct(self, verb: str, words: list[str], command: Command) -> None:
        match (verb, *words):
            case ("set", *options, "--digest", digest):
                if digest != self.digest():
                    raise RefusedError("digest")
                self._set(dict(zip(options[::2], options[1::2], strict=True)))
            case ("reboot", "--timeout", "180"):
                container = self.containers[self.vmid]
                self.containers[self.vmid] = Container(self.vmid, dict(container.configured))
            case ("exec", *_, "--stop") | ("push", "/dev/null", _):
                pass
            case ("exec", *words):
                at = words.index("-c")
                self._obey_inside(words[at + 1], words[at + 3 :], command.stdin or b"")
            case _:
                raise AssertionError(command.argv)

    def _obey_inside(self, script: str, words: list[str], given: bytes) -> None:
        match words:
            case [_, done] if "/bootstrap" in script:
                self.guest = replace(self.guest, done=done)
            case [_, sha256, *names] if "tar -xzf" in script:
                archive = self.parts.get(names[0], b"") if names else given
                if hashlib.sha256(archive).hexdigest() != sha256:
                    raise RefusedError("the archive did not arrive whole")
                executables = frozenset({"bootstrap", "verify"})
                self.guest = replace(self.guest, payload=sha256, done="", executables=executables)
                self.parts.clear()
            case [_, name, start] if ".parts/" in script:
                if start == "0" and name not in self.parts:
                    self.parts = {name: b""}
                if len(self.parts.get(name, b"")) != int(start):
                    raise RefusedError("not its turn")
                self.parts[name] += given
            case [path, uid, gid]:
                assert path.startswith("/etc/pve-agents/")
                self.secrets = given
                self.guest = replace(self.guest, secrets=(f"{uid}:{gid}", "600", hashlib.sha256(given).hexdigest()))
            case _:
                raise AssertionError(words)

    def _kind(self, path: str) -> str:
        return self.paths.get(path, PathFact("")).kind

    def _set(self, options: dict[str, str]) -> None:
        container = self.containers[self.vmid]
        running, pending = dict(container.running), dict(container.pending)
        changes: dict[str, str | None] = {
            key.removeprefix("--"): value for key, value in options.items() if key != "--delete"
        }
        changes |= dict.fromkeys(filter(None, options.get("--delete", "").split(",")))
        for key, value in changes.items():
            is_plugged = key.startswith(("mp", "dev")) and key not in running and value is not None
            if self.state == "running" and not is_plugged and not same(running.get(key, ""), value or ""):
                pending[key] = value
            else:
                pending.pop(key, None)
                if value is None:
                    running.pop(key, None)
                else:
                    running[key] = value
        self.containers[self.vmid] = Container(self.vmid, running, pending)
