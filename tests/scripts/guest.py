"""A container with a payload and stand-ins for its system, without a node around it."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self, cast

from pve_agents.agents.hermes.docker import Image as HermesImage
from pve_agents.guest import plan as planned
from pve_agents.guest.machine import Machine
from pve_agents.guest.progress import Progress
from pve_agents.payload import program_files
from tests.virtual_node.host import VirtualHost
from tests.virtual_node.inside import run_program

PACKAGE = Path(__file__).parents[2] / "constructs" / "pve_agents"
HERMES = PACKAGE / "agents" / "hermes" / "guest"
LAUNCHER = (PACKAGE / "guest" / "launcher.sh").read_text()
VMID = "118"
IMAGE = HermesImage().reference
# Values that no output, no argument and no log may show. A quote and a backslash make the delivery quote them.
LITELLM_KEY = "sk-canary-litellm"
API_KEY = "canary-api-0123456789"
AUTH_JSON = '{"token": "canary-it\'s a \\\\ thing"}'
SECRETS = {"LITELLM_API_KEY": LITELLM_KEY, "API_SERVER_KEY": API_KEY}
ENVIRONMENT = "API_SERVER_ENABLED=true\nAPI_SERVER_PORT=8642\n"

Value = str | Iterable[str]


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
        }
        self.workspaces = [planned.Workspace("/data", 10000, 10000), planned.Workspace("/fast", 10000, 10000)]
        self.services: dict[str, dict[str, Value]] = {"hermes": service_plan()}
        self.configs = {"hermes": "model: {default: hermes}\n"}
        self.sidecars: dict[str, dict[str, Any]] = {}
        self.documents: dict[str, str] = {}
        self.files: dict[str, str] = {}
        self.progress_seconds = 10
        self.has_app = True
        self.free_mebibytes: int | None = None
        self.deliver()
        self.give_secrets()

    @classmethod
    def like(cls, other: Guest, directory: Path) -> Self:
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
        """Replace the payload; the program in it is the one that these tests have imported."""
        shutil.rmtree(self.payload, ignore_errors=True)
        files = {"bootstrap": LAUNCHER, "verify": LAUNCHER, "plan.json": self.to_plan().to_json()}
        files["docker-compose.yml"] = json.dumps({"services": self.compose()}, indent=1)
        files["stop-gateway"] = (HERMES / "stop-gateway").read_text()
        for name in self.services:
            files[f"services/{name}/managed/config.yaml"] = self.configs.get(name, "model: {}\n")
            files[f"services/{name}/managed/env"] = ENVIRONMENT
        for name, text in self.documents.items():
            files[f"services/hermes/documents/{name}"] = text
        for name, text in {**files, **self.files}.items():
            path = self.payload / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name in ("bootstrap", "verify") else 0o644)

    def deliver_program(self) -> None:
        """Put the program itself there, for a Python of its own."""
        main = {"program/__main__.py": (PACKAGE / "guest/__main__.py").read_text()}
        secret_values = (PACKAGE / "secret_values.py").read_text()
        files = {
            name: file.text
            for folder in (PACKAGE / "guest", HERMES)
            for name, file in program_files(folder, str(folder.relative_to(PACKAGE))).items()
        }
        for name, text in {**main, **files, "program/pve_agents/secret_values.py": secret_values}.items():
            (self.payload / name).parent.mkdir(parents=True, exist_ok=True)
            (self.payload / name).write_text(text)

    def to_plan(self) -> planned.Plan:
        """What the payload tells the program."""
        return planned.Plan("hermes", tuple(self.workspaces), self._app() if self.has_app else None)

    def _app(self) -> planned.Compose:
        it = cast("dict[str, str]", self.plan)
        mirrors = list(self.plan["registry_mirrors"])
        section = "agents.hermes.hermes"
        return planned.Compose(
            title="Hermes",
            checks="pve_agents.agents.hermes.guest.checks",
            uid=10000,
            gid=10000,
            engine=planned.Engine(
                it["docker_source"],
                {**({"registry-mirrors": mirrors} if mirrors else {}), "shutdown-timeout": 135},
                150,
            ),
            image=planned.Image(it["image"], it["run_image"], it["repository"], it["pull"] == "always", 5),
            network=it["network"],
            services=tuple(self._service(name, plan) for name, plan in self.services.items()),
            settings=planned.SettingNames(
                docker_source=f"{section}.docker.source",
                registry_mirrors=f"{section}.docker.registry_mirrors",
                network=f"{section}.network_mode",
                image_tag=f"{section}.image.tag",
                image_repository=f"{section}.image.repository",
                image_packages=f"{section}.image.apt_packages",
                memory=f"{section}.limits.memory",
                copies=f"{section}.copy_data_before_upgrade",
            ),
            sidecars=tuple(
                planned.Sidecar(name, car["image"], tuple(car.get("secrets", ())))
                for name, car in self.sidecars.items()
            ),
            files=("docker-compose.yml", *(["image/Dockerfile"] if "image/Dockerfile" in self.files else [])),
            programs=("stop-gateway",),
            stop_seconds=int(it["stop_seconds"]),
            health_seconds=int(it["health_seconds"]),
            copies=it["copies_wanted"] == "yes",
        )

    def _service(self, name: str, plan: dict[str, Value]) -> planned.Service:
        it = cast("dict[str, str]", plan)
        data, folders = it["data_directory"], {"home": it["data_directory"], "workspace": it["workspace"]}
        documents = [it.partition("/") for it in self.documents] if name == "hermes" else []
        pairs = [secret.split("=") for secret in plan["secrets"]]
        auth = it["auth_secret"]
        names = ("api_url", "dashboard_url", "platforms", "provider", "base_url", "key_name", "model")
        return planned.Service(
            name=name,
            data_directory=data,
            directories=tuple(plan["directories"]),
            files=("config.yaml",),
            secrets=tuple(
                planned.Secret(variable, source, 16, "Hermes then opens no API server")
                if variable == "API_SERVER_KEY"
                else planned.Secret(variable, source)
                for variable, source in pairs
            ),
            documents=tuple(
                planned.Document(f"{kind}/{path}", f"{folders[kind]}/{path}") for kind, _, path in documents
            ),
            seeds=(planned.Seed(auth, f"{data}/auth.json", it["auth_overwrite"] == "yes"),) if auth else (),
            private=(f"{data}/.env", f"{data}/auth.json"),
            checks={**{key: plan[key] for key in names}, "answer_seconds": int(str(self.plan["answer_seconds"]))},
        )

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
        """Run the program as root in the container, in a process of its own that sudden death takes along."""
        name, *arguments = command or ("bootstrap",)
        said = [os.memfd_create(it) for it in ("stdout", "stderr")]
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            os._exit(self._run_here([name, *arguments], said, variables))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out, errors = (self._said(it) for it in said)
        return subprocess.CompletedProcess([name, *arguments], status, out, errors)

    def _run_here(self, words: list[str], said: list[int], variables: dict[str, str]) -> int:
        gc.freeze()
        os.setsid()
        os.environ.clear()
        os.environ.update({"PATH": self.host.guest_path(VMID), "HOME": "/root", "LANG": "C.UTF-8", **variables})
        os.chdir(self.root)
        sys.stdout, sys.stderr = (os.fdopen(it, "w", encoding="utf-8", errors="surrogateescape") for it in said)
        os.dup2(said[1], 2)
        Progress.every_seconds = self.progress_seconds
        if (free := self.free_mebibytes) is not None:
            Machine.free_mebibytes = lambda *_: free  # type: ignore[method-assign]
        status = 1
        try:
            status = run_program(self.host, VMID, [str(self.payload / "program"), *words])
        except BaseException as error:  # noqa: BLE001 - as Python itself would end
            import traceback  # noqa: PLC0415

            traceback.print_exception(error)
        sys.stdout.flush()
        sys.stderr.flush()
        return status

    def _said(self, descriptor: int) -> str:
        with os.fdopen(descriptor, "rb") as file:
            file.seek(0)
            return file.read().decode(errors="surrogateescape")

    def launch(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the launcher of the payload as root in the container."""
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
