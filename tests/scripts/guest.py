"""A container with a payload and stand-ins for its system, without a node around it."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pve_agents.agents.hermes.docker import Image
from pve_agents.secret_values import INVISIBLE, PLACEHOLDER
from tests.virtual_node.host import VirtualHost

SCRIPTS = Path(__file__).parents[2] / "scripts" / "guest"
GUEST_FILES = ("bootstrap", "common", "copies", "daemon_settings.py", "probe.py", "stop-gateway", "verify")
VMID = "118"
IMAGE = Image().reference
DAEMON_SETTINGS = '{"shutdown-timeout": 135}\n'
# Values that no output, no argument and no log may show. A quote and a backslash make the delivery quote them.
LITELLM_KEY = "sk-canary-litellm"
API_KEY = "canary-api-0123456789"
AUTH_JSON = '{"token": "canary-it\'s a \\\\ thing"}'
SECRETS = {"LITELLM_API_KEY": LITELLM_KEY, "API_SERVER_KEY": API_KEY}
ENVIRONMENT = "API_SERVER_ENABLED=true\nAPI_SERVER_PORT=8642\n"

PATIENCE = "readonly network_seconds=60 daemon_seconds=30 retry_seconds=5 progress_seconds=10\n"

Value = str | Iterable[str]


def assignments(values: dict[str, Value]) -> str:
    """Bash's, every word quoted."""
    lines = []
    for name, value in values.items():
        quoted = shlex.quote(value) if isinstance(value, str) else f"({shlex.join(value)})"
        lines.append(f"{name}={quoted}\n")
    return "".join(lines)


def dotenv(values: dict[str, str]) -> str:
    """As the delivery writes it: quoted where there is need."""
    lines = []
    for name, value in values.items():
        plain = all(character.isalnum() or character in "_./:@%+=,-" for character in value)
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        lines.append(f"{name}={value if plain else chr(39) + escaped + chr(39)}\n")
    return "".join(lines)


class Guest:
    """One container."""

    def __init__(self, directory: Path) -> None:
        """Make it, with its two workspaces, secrets and a payload for one Hermes."""
        directory.mkdir(parents=True, exist_ok=True)
        self.host = VirtualHost(directory)
        self.host.create(node="pve1", url="", certificate="")
        with self.host.changing() as state:
            self.host.make_guest(VMID, state)
        self.root = self.host.guest(VMID)
        self.payload = self.root / "opt/pve-agents/hermes"
        self.project = self.root / "var/lib/pve-agents/hermes"
        for path in ("/data", "/fast"):
            self.make_directory(path, "110000:110000")
        self.plan: dict[str, Value] = {
            "agent": "hermes",
            "docker_source": "docker",
            "registry_mirrors": [],
            "image": IMAGE,
            "run_image": IMAGE,
            "repository": "nousresearch/hermes-agent",
            "pull": "missing",
            "network": "host",
            "services": ["hermes"],
            "sidecars": [],
            "stop_seconds": "120",
            "copies_wanted": "yes",
            "health_seconds": "180",
            "answer_seconds": "60",
            "placeholder": PLACEHOLDER,
            "invisible": list(INVISIBLE),
        }
        self.services: dict[str, dict[str, Value]] = {"hermes": service_plan()}
        self.configs = {"hermes": "model: {default: hermes}\n"}
        self.sidecars: dict[str, dict[str, Any]] = {}
        self.documents: dict[str, str] = {}
        self.files: dict[str, str] = {}
        # Nobody waits for what a test knows not to come.
        self.patches = {PATIENCE: "readonly network_seconds=0 daemon_seconds=0 retry_seconds=0 progress_seconds=10\n"}
        self.deliver()
        self.give_secrets()

    @classmethod
    def like(cls, other: Guest, directory: Path) -> Guest:
        """Make another one that is as far as the first."""
        guest = cls(directory)
        shutil.copytree(other.root, guest.root, symlinks=True, dirs_exist_ok=True)
        theirs = other.host.load()
        with guest.host.changing() as state:
            state.update(systems=theirs["systems"], owners=theirs["owners"], modes=theirs["modes"])
        for command in (other.host.directory / "guest-bin" / VMID).iterdir():
            guest.host.add_guest_command(VMID, command.name)
        return guest

    # what is delivered --------------------------------------------------------------------------------------------

    def deliver(self) -> None:
        """Replace the payload."""
        shutil.rmtree(self.payload, ignore_errors=True)
        files = {name: (SCRIPTS / name).read_text() for name in GUEST_FILES}
        files["workspaces"] = "write 10000:10000 /data\nwrite 10000:10000 /fast\n"
        files["plan"] = assignments(
            {**self.plan, "services": list(self.services), "sidecars": list(self.sidecars)},
        )
        files["daemon.json"] = DAEMON_SETTINGS
        files["docker.service.conf"] = "[Service]\nTimeoutStopSec=150\n"
        files["docker-compose.yml"] = json.dumps({"services": self.compose()}, indent=1)
        for name, plan in self.services.items():
            files[f"services/{name}/plan"] = assignments(plan)
            files[f"services/{name}/managed/config.yaml"] = self.configs.get(name, "model: {}\n")
            files[f"services/{name}/managed/env"] = ENVIRONMENT
        for name, sidecar in self.sidecars.items():
            files[f"sidecars/{name}/plan"] = assignments({"secrets": sidecar.get("secrets", [])})
        for name, text in self.documents.items():
            files[f"services/hermes/documents/{name}"] = text
        for name, text in {**files, **self.files}.items():
            path = self.payload / name
            path.parent.mkdir(parents=True, exist_ok=True)
            for line, other in self.patches.items():
                assert name != "bootstrap" or line in text, line
                text = text.replace(line, other)  # noqa: PLW2901
            path.write_text(text)
            path.chmod(0o755 if name in ("bootstrap", "verify") else 0o644)

    def compose(self) -> dict[str, Any]:
        services: dict[str, Any] = {}
        for name, plan in self.services.items():
            upper = name.upper().replace("-", "_")
            services[name] = {
                "image": self.plan["run_image"],
                "container_name": name,
                "labels": {"pve-agents.revision": f"${{REVISION_{upper}}}"},
                "volumes": [
                    bind(str(plan["data_directory"]), "/opt/data"),
                    bind(f"/var/lib/pve-agents/hermes/services/{name}/managed", "/managed"),
                ],
            }
        for name, sidecar in self.sidecars.items():
            services[name] = {
                "image": sidecar["image"],
                "container_name": f"hermes-{name}",
                "labels": {"pve-agents.revision": f"${{REVISION_{name.upper()}}}"},
            }
            if sidecar.get("secrets"):
                services[name]["env_file"] = [f"/var/lib/pve-agents/hermes/sidecars/{name}.env"]
        return services

    def give_secrets(self, **values: str) -> None:
        """Deliver secrets as the step does; an empty one takes a secret away."""
        file = self.root / "etc/pve-agents/hermes.env"
        file.parent.mkdir(mode=0o700, exist_ok=True)
        given = {name: value for name, value in {**SECRETS, **values}.items() if value}
        file.unlink(missing_ok=True)
        file.touch(mode=0o600)
        file.write_text(dotenv(given))

    # what happens -------------------------------------------------------------------------------------------------

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the payload as root in the container."""
        name, *arguments = command or ("bootstrap",)
        environment = {"PATH": self.host.guest_path(VMID), "HOME": "/root", "LANG": "C.UTF-8", **variables}
        return subprocess.run(
            [str(self.payload / name), *arguments],
            env=environment,
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
            timeout=120,
        )

    @property
    def changes(self) -> list[str]:
        return [change.removeprefix("guest-") for change in self.host.changes()]

    @property
    def calls(self) -> str:
        file = self.host.directory / "calls"
        return file.read_text() if file.exists() else ""

    def forget(self) -> None:
        self.host.forget()
        with self.host.changing() as state:
            state["changes"] = 0

    def kill_at(self, number: int | None, when: str = "after") -> None:
        """Have the change of that number end everything."""
        with self.host.changing() as state:
            state.update(kill_at=number, kill_when=when, changes=0)

    # what is there ------------------------------------------------------------------------------------------------

    @property
    def system(self) -> dict[str, Any]:
        system: dict[str, Any] = self.host.load()["systems"][VMID]
        return system

    def set(self, **values: Any) -> None:
        """Change what the system is like."""
        with self.host.changing() as state:
            state["systems"][VMID].update(values)

    def container(self, name: str = "hermes") -> dict[str, Any]:
        return next(it for it in self.system["containers"].values() if it["Name"] == f"/{name}")

    def set_container(self, name: str = "hermes", *, restarts: int = 0, **values: Any) -> None:
        with self.host.changing() as state:
            for container in state["systems"][VMID]["containers"].values():
                if container["Name"] == f"/{name}":
                    container["State"].update(values)
                    container["RestartCount"] = restarts

    def install(self, *names: str, version: str = "12") -> None:
        """Be a container with Docker in it already."""
        for name in names:
            self.host.add_guest_command(VMID, name)
        self.set(active=True, enabled=True, debian=version)

    def stub(self, name: str, *lines: str) -> None:
        """Put a command of few words in the place of a real one."""
        place = self.host.directory / "guest-bin" / VMID / name
        place.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        place.chmod(0o755)

    def make_directory(self, path: str, owner: str, mode: int = 0o750) -> None:
        place = self.root / path[1:]
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(mode)
        with self.host.changing() as state:
            state["owners"][str(place.relative_to(self.host.node))] = owner

    def read(self, path: str) -> str:
        return (self.root / path[1:]).read_text()

    def write(self, path: str, text: str) -> None:
        place = self.root / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def owner(self, path: str) -> str:
        """Owner and mode of a file, as the container sees them."""
        place = self.root / path[1:]
        owner = self.host.load()["owners"].get(str(place.relative_to(self.host.node)), "100000:100000")
        uid, gid = (int(number) - 100000 for number in owner.split(":"))
        return f"{uid}:{gid} {stat.S_IMODE(place.stat().st_mode):o}"

    def picture(self) -> dict[str, Any]:
        """All that a run leaves behind, without what no two runs have in common: times, and what they are in."""
        files = {}
        no_matter = ("opt/pve-agents/", "run/", "var/lib/pve-agents/apt.log")
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if path.is_file() and not name.startswith(no_matter):
                text = path.read_text()
                if name.endswith(("hermes/.env", "hermes/containers")):
                    text = " ".join(re.split("[ =]", line)[0] for line in text.splitlines())
                files[name] = [self.owner(f"/{name}"), hashlib.sha256(text.encode()).hexdigest()]
        system = self.system
        containers = {it["Name"]: [it["Image"], it["State"]["Status"]] for it in system["containers"].values()}
        return {
            "files": files,
            "containers": containers,
            "images": {it["Id"]: it["RepoTags"] for it in system["images"].values()},
            "packages": sorted(system["packages"]),
            "docker": [system["active"], system["enabled"], system["mirrors"]],
        }


def service_plan(**values: Value) -> dict[str, Value]:
    return {
        "data_directory": "/opt/hermes-data",
        "directories": ["/data/workspace", "/fast/workspace"],
        "workspace": "/data/workspace",
        "api_url": "http://127.0.0.1:8642",
        "dashboard_url": "",
        "platforms": ["api_server"],
        "secrets": ["LITELLM_API_KEY=LITELLM_API_KEY", "API_SERVER_KEY=API_SERVER_KEY"],
        "provider": "litellm",
        "base_url": "http://10.1.10.22:4000/v1",
        "key_name": "LITELLM_API_KEY",
        "model": "hermes",
        "auth_secret": "",
        "auth_overwrite": "no",
        **values,
    }


def bind(source: str, target: str) -> dict[str, Any]:
    return {"type": "bind", "source": source, "target": target, "bind": {"create_host_path": False}}
