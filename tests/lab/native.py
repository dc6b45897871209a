"""An agent without Docker in the lab: its settings, its units, and the wheels that it is installed from."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import shutil
import sqlite3
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from pve_agents.agents.hermes.settings import Hermes
from pve_agents.agents.hermes.units import packages_of
from tests.lab.cache import HERMES_VERSION, TAGS
from tests.lab.container import Container
from tests.lab.lab import ALLOWED_USER, ANSWER_SECONDS, Lab, Phases, Verified
from tests.lab.sandbox import GATEWAY, NODE, ROOT, LabError
from tests.lab.services import REGISTRY_PORT

NAME, VMID, UNIT = "native", 121, "pve-agent-native"
DATA, FAST, HOME, WHEELS = (
    Path("/mnt/pve/hdd/native"),
    Path("/media/2tb/native"),
    Path("/mnt/pve/hdd/native-home"),
    Path("/mnt/pve/hdd/wheels"),
)
NEXT_VERSION, BROKEN_VERSION = "0.19.1", "0.20.0"
"""Versions that differ from the real one in a file: one that works, and one whose gateway ends at once."""

_STEP = re.compile(r"\[native \d+/\d+\] (?P<name>[a-z ]+) … ok(?: \([^)]*\))? (?P<seconds>[\d.]+)s")
_BROKEN = "import sys\nif 'gateway' in sys.argv: sys.exit('this release is broken')\n"


class NativeAgent:
    """The agent `native`."""

    def __init__(self, lab: Lab) -> None:
        """Know the lab, and put the wheels where the container sees them."""
        self.lab = lab
        self.token = lab.services.other_telegram.token
        lab.project.env["NATIVE_TELEGRAM_BOT_TOKEN"] = self.token
        self.phases = Phases()
        shutil.copytree(lab.services.cached.wheels, WHEELS, dirs_exist_ok=True)
        wheel = next(WHEELS.glob("hermes_agent-*.whl"))
        other_version(wheel, NEXT_VERSION, {})
        other_version(wheel, BROKEN_VERSION, {"hermes_cli/main.py": _BROKEN})

    @property
    def container(self) -> Container:
        """The real container."""
        return self.lab.node.container(VMID)

    # The operator ---------------------------------------------------------------------------------------------------

    def settings(self, **changed: Any) -> dict[str, Any]:
        """What homelab.yaml has to say of it."""
        own = {"uid": 10000, "gid": 10000, "mode": "0750"}
        hermes: dict[str, Any] = {
            "runtime": "native",
            "package": {"version": HERMES_VERSION, "find_links": "/wheels"},
            "answer_seconds": ANSWER_SECONDS,
            "secrets": {"TELEGRAM_BOT_TOKEN": "NATIVE_TELEGRAM_BOT_TOKEN"},
            "platforms": {
                "telegram": {
                    "allowed_users": [ALLOWED_USER],
                    "home_channel": str(ALLOWED_USER),
                    "base_url": self.lab.services.other_telegram.base_url,
                }
            },
        }
        if changed.get("runtime") == "docker":
            del hermes["package"]
            hermes |= {
                "image": {"tag": TAGS[0]},
                "docker": {"source": "debian", "registry_mirrors": [f"http://{GATEWAY}:{REGISTRY_PORT}"]},
            }
        return {
            "vmid": VMID,
            "protect": False,
            "network": {"address": "10.1.10.121/16", "gateway": GATEWAY},
            "dns": {"servers": [GATEWAY]},
            "memory": {"dedicated_mib": 4096},
            "cpu": {"cores": 2},
            "keyctl": True,
            "mounts": {
                "mp0": {"host_path": str(DATA), "guest_path": "/data", **own},
                "mp1": {"host_path": str(FAST), "guest_path": "/fast", **own},
                # As Hermes 0.19 makes it at each start.
                "mp2": {"host_path": str(HOME), "guest_path": "/opt/hermes-data", **own, "mode": "0700"},
                "mp3": {"host_path": str(WHEELS), "guest_path": "/wheels", "mode": "0755", "read_only": True},
            },
            "hermes": {**hermes, **changed},
        }

    def configure(self, **changed: Any) -> None:
        """Write homelab.yaml, with the other agent as it is."""
        self.lab.project.configure({"hermes": self.lab.settings(), NAME: self.settings(**changed)})
        self.lab.project.synthesize()

    def apply(self, *, ok: bool | None = True, **changed: Any) -> str:
        """Deploy these settings as root, and return what the steps said."""
        self.configure(**changed)
        return self.lab.project.apply(stack=f"{NAME}-root", ok=ok).said

    def mend(self, *, ok: bool | None = True) -> str:
        """Run the bootstrap alone, and return what it said."""
        return self.lab.project.agents("mend", "--only", "bootstrap", NAME, ok=ok).raw

    def bootstrap(self) -> str:
        """Run the delivered bootstrap, and return what it said, well or not."""
        ran = self.container.run("sh", "-c", f"/opt/pve-agents/{NAME}/bootstrap 2>&1", check=False)
        return ran.stdout

    def deliver(self, **changed: Any) -> None:
        """Deliver these settings without running the bootstrap."""
        self.configure(**changed)
        for step in ("host-directories", "container-config", "payload"):
            self.lab.project.agents("mend", "--only", step, NAME)

    def verify(self) -> Verified:
        """What `pipenv run agents verify native` finds."""
        ran = self.lab.project.agents("verify", NAME, "--json", ok=None)
        found = re.search(r"^\{.*^\}", ran.raw, re.MULTILINE | re.DOTALL)
        if not found:
            raise LabError(f"verify printed no JSON: {ran.raw}")
        checks = json.loads(found[0])["agents"][NAME]["checks"]
        return Verified(ran.code, {check["name"]: check for check in checks})

    def lose_power(self) -> None:
        """Let the power fail, and come back."""
        node = self.lab.node
        # The other one holds the same disks, which come back only when nobody does.
        node.api("POST", f"/nodes/{NODE}/lxc/118/status/stop")
        node.lose_power(VMID)
        node.start(118)
        node.start(VMID)

    # What it is made of ----------------------------------------------------------------------------------------------

    def inside(self, *command: str, service: str = NAME, check: bool = True) -> str:
        """Run a command where the agent runs, as the agent's user."""
        enter = (f"/opt/pve-agents/{NAME}/bootstrap", "--enter", service)
        return self.container.run(*enter, *command, check=check).stdout

    def property(self, name: str, unit: str = UNIT) -> str:
        """One thing that systemd knows of a unit."""
        return self.container.run("systemctl", "show", "--value", "--property", name, unit).stdout.strip()

    def identity(self, unit: str = UNIT) -> str:
        """Which run of the unit it is."""
        return self.property("InvocationID", unit)

    def conversations(self) -> str:
        """All that was said to the agent and by it, as it remembers it; nobody may be using it."""
        with tempfile.TemporaryDirectory() as directory:
            for file in HOME.glob("state.db*"):
                shutil.copy(file, directory)
            with contextlib.closing(sqlite3.connect(Path(directory, "state.db"))) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                rows = database.execute("SELECT coalesce(content, '') FROM messages ORDER BY id")
                return "\n".join(str(row[0]) for row in rows)

    def chat(self, text: str, port: int = 8642, key: str = "") -> str:
        """What it answers through its API server."""
        body = {"model": "hermes-agent", "messages": [{"role": "user", "content": text}]}
        command = (
            *("curl", "-sS", "-m", "60", "-H", "@-", "-H", "Content-Type: application/json", "-d", json.dumps(body)),
            f"http://127.0.0.1:{port}/v1/chat/completions",
        )
        header = f"Authorization: Bearer {key or self.lab.api_key}\n"
        said = json.loads(self.container.run(*command, stdin=None, input=header).stdout)
        choice = said["choices"][0]
        if choice["finish_reason"] != "stop":
            raise LabError(f"the turn did not complete: {said}")
        return str(choice["message"]["content"])

    def answers(self) -> bool:
        """Whether it answers a chat now."""
        with contextlib.suppress(LabError, ValueError, KeyError):
            return self.chat("ping") == "pong"
        return False

    def wait_until_it_answers(self, seconds: float = 120) -> None:
        """Return once it answers a chat."""
        self.lab.wait_until("it answers", self.answers, seconds)

    def runs(self) -> set[str]:
        """By what it runs now."""
        found = set()
        if self.property("ActiveState") in ("active", "activating", "deactivating"):
            found.add("native")
        names = self.container.run("docker", "ps", "--format", "{{.Names}}", check=False).stdout.split()
        return found | ({"docker"} if NAME in names else set())

    def first_deploy(self) -> str:
        """Deploy from nothing, remember how long what took, and return what the steps said."""
        self.configure()
        began = time.monotonic()
        self.lab.project.apply(stack=NAME)
        self.phases.create = self.lab.node.pve.made_within[VMID]
        took = time.monotonic() - began
        self.container.wait_until_booted()
        self._download()
        began = time.monotonic()
        said = self.lab.project.apply(stack=f"{NAME}-root", ok=None).said
        self.phases.first = took + time.monotonic() - began
        self.phases.steps = {found["name"]: float(found["seconds"]) for found in _STEP.finditer(said)}
        return said

    def _download(self) -> None:
        """Have the packages where apt looks first, as Docker's are in the guest's image."""
        settings = self.settings()["hermes"]
        names = packages_of(Hermes.model_validate(settings))
        apt = ("apt-get", "--quiet=2", "--yes")
        self.container.run(*apt, "update", check=False)
        self.container.run(*apt, "install", "--download-only", "--no-install-recommends", *names, check=False)

    def second_deploy(self) -> None:
        """Deploy what is deployed, and remember how long it took."""
        began = time.monotonic()
        options = ("--auto-approve", "--skip-provider-lock", "--output", str(self.lab.project.out))
        self.lab.project.run(ROOT / "scripts" / "cdktf", "deploy", NAME, f"{NAME}-root", *options)
        self.phases.second = time.monotonic() - began

    def table(self) -> str:
        """How long what took, without Docker and with it."""
        steps, docker = self.phases.steps, self.lab.phases
        rows = [
            ("create the container", self.phases.create, docker.create),
            ("packages, or Docker", steps.get("packages", 0), _of(docker, "docker engine", "docker smoke test")),
            ("release, or image", steps.get("release", 0), _of(docker, "image")),
            (
                "units or containers, until ready",
                _of(self.phases, "units", "health"),
                _of(docker, "containers", "health"),
            ),
            ("first answer", steps.get("first answer", 0), _of(docker, "first answer")),
            ("first deploy as a whole", self.phases.first, docker.first),
            ("second deploy", self.phases.second, docker.second),
        ]
        lines = [f"{name:<42} {mine:7.1f} s {theirs:7.1f} s" for name, mine, theirs in rows]
        return "\n".join([f"{'':<42} {'native':>9} {'docker':>9}", *lines])

    def exposure(self, unit: str) -> float:
        """What `systemd-analyze security` thinks of a unit: 0 is best, 10 worst."""
        shown = self.container.run("systemd-analyze", "security", "--no-pager", unit, check=False).stdout
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", shown)
        if not found:
            raise LabError(f"systemd-analyze says: {shown}")
        return float(found[1])

    def beside_each_other(self) -> str:
        """How much memory and disk this agent and the one with Docker use."""
        lines = []
        for name, container in (("native", self.container), ("docker", self.lab.container)):
            rows = [line.split(maxsplit=1) for line in container.run("ps", "-eo", "rss=,args=").stdout.splitlines()]
            gateway = sum(int(rss) for rss, args in rows if "hermes gateway run" in args) // 1024
            disk = container.run("df", "--output=used", "-BM", "/").stdout.split()[-1]
            lines.append(
                f"{name}: all processes {sum(int(row[0]) for row in rows) // 1024} MiB, of which the gateway {gateway}; disk {disk}"
            )
        return "\n".join(lines)

    def last_words(self) -> str:
        """What systemd knows and the journal says of it."""
        status = self.container.run("systemctl", "status", UNIT, "--no-pager", check=False).stdout
        return status + self.container.run("journalctl", "-u", UNIT, "-n", "60", "--no-pager", check=False).stdout


def _of(phases: Phases, *names: str) -> float:
    return sum(phases.steps.get(it, 0) for it in names)


def other_version(wheel: Path, version: str, files: dict[str, str]) -> None:
    """Make a wheel of another version beside one, with some of its files replaced; the real ones stay below another name."""
    old = wheel.name.split("-")[1]
    rows, target = [], wheel.with_name(wheel.name.replace(old, version))
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for entry in source.infolist():
            name = entry.filename.replace(f"hermes_agent-{old}", f"hermes_agent-{version}")
            content = source.read(entry)
            if name.endswith("/RECORD"):
                record = name
                continue
            if name.endswith("/METADATA"):
                content = content.replace(f"Version: {old}".encode(), f"Version: {version}".encode(), 1)
            if name in files:
                # Its first line may be about the future.
                head, _, rest = content.partition(b"from __future__ import annotations\n")
                future = b"from __future__ import annotations\n" if rest else b""
                content = head + future + files[name].encode() + rest if rest else files[name].encode() + content
            made.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(content)}")
        made.writestr(record, "\n".join([*rows, f"{record},,", ""]))
