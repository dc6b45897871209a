"""What a container's system has beside files: Docker, packages, services. No daemon, only what the scripts may rely on.

Docker's rules are the real one's as far as the scripts meet them: a daemon that may not run, images by id and by
reference, a pull that names its layers, containers with states, and Compose, which reads the very compose file that was
rendered, replaces its variables from `.env`, and recreates a container when the hash of its service or the id of its
image is another one. What is recorded as a change is what changes something, and any change can be fatal.

All of it lies in the JSON state of the machine, below `systems/<vmid>`. A test may put `trouble` in there: what a
command says before it fails; and `answers`: what probe.py says inside a container.

Standard library only, but for YAML: the commands are started many times.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from tests.scripts import compose_reader, fake_systemd
from tests.scripts.fake_systemd import Units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, Protocol

    class Machine(Protocol):
        """The container whose command is running."""

        state: dict[str, Any]

        def change(self, arguments: list[str]) -> None:
            """To be called right before an effect; reads the state anew."""
            ...

        def finish(self) -> int:
            """Keep the state after an effect."""
            ...

        def real(self, path: str) -> Path:
            """Where a path of the container really is."""
            ...

        def provide(self, name: str) -> None:
            """Put a command on PATH."""
            ...

        def keep(self) -> None:
            """Keep the state without a change that counts."""
            ...

        def be(self, user: str, command: str, arguments: list[str]) -> int:
            """Run another command, as a user."""
            ...


SYSTEM_COMMANDS = ("apt-get", "dpkg", "ldd", "systemctl", "journalctl", "python3", *fake_systemd.COMMANDS)
"""What a container has from the start; the rest comes with packages."""

PACKAGES = {
    "docker-ce": ("dockerd",),
    "docker-ce-cli": ("docker",),
    "containerd.io": (),
    "docker-buildx-plugin": (),
    "docker-compose-plugin": (),
    "docker.io": ("docker", "dockerd"),
    "docker-cli": ("docker",),
    "docker-compose": (),
    "ca-certificates": (),
    "iptables": (),
    "curl": ("curl",),
    "gpg": ("gpg",),
    "python3": ("python3",),
    **fake_systemd.PACKAGES,
}
"""The packages of Debian and of Docker's repository, each with its commands."""

FROM_DOCKER = {"docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin", "docker-compose-plugin"}
COMPOSE_PLUGIN = "/usr/libexec/docker/cli-plugins/docker-compose"
DOCKER_KEY = "9DC858229FC7DD38854AE2D88D81803C0EBFCD88"
NO_DAEMON = (
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"  # its own words
)
NEVER_RAN = {"StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"}
STARTED = "2026-01-01T00:00:00.123456789Z"


def new_system(version: str = "12") -> dict[str, Any]:
    """A Debian without Docker."""
    return {
        "debian": version,
        "packages": [],
        "active": False,
        "enabled": False,
        "engine": "28.3.2",
        "compose": "2.38.2",
        "runc": "1.2.6",
        "mirrors": [],
        "shutdown_timeout": 15,
        "unit_files": {},
        "serial": 0,
        "images": {},
        "containers": {},
        # Reference: id. Whatever else is asked for is there too, unless the registry is closed.
        "registry": {},
        "registry_closed": False,
        # Newer versions of Compose have env_file in `config --hash` too.
        "hash_has_env_file": False,
        "trouble": {},
        "answers": {},
    }


def furnish(guest: Path, version: str = "12") -> None:
    """Put in place the few files of a minimal Debian that the scripts look at."""
    names = {"12": "bookworm", "13": "trixie"}
    files = {
        "etc/os-release": f'ID=debian\nVERSION_ID="{version}"\nVERSION_CODENAME={names[version]}\n',
        "proc/net/route": "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t0101A8C0\t0003\n",
        "bin/true": "true",
        "lib64/ld-linux-x86-64.so.2": "ld",
        "lib/x86_64-linux-gnu/libc.so.6": "libc",
    }
    for name, text in files.items():
        (guest / name).parent.mkdir(parents=True, exist_ok=True)
        (guest / name).write_text(text)
    (guest / "etc/systemd/system").mkdir(parents=True, exist_ok=True)


def fail(message: str, status: int = 1) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(status)


def unknown(arguments: list[str]) -> NoReturn:
    fail(f"docker: not known here: {arguments}")


def form_of(arguments: list[str]) -> str:
    return arguments[1] if arguments[:1] == ["--format"] else unknown(arguments)


def digest_of(value: object) -> str:
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class System:
    """One call of one of the commands."""

    def __init__(self, machine: Machine, vmid: str) -> None:
        self.machine = machine
        self.vmid = vmid

    @property
    def it(self) -> dict[str, Any]:
        """What is known of this container; read anew after every change."""
        system: dict[str, Any] = self.machine.state["systems"][self.vmid]
        return system

    def run(self, name: str, arguments: list[str]) -> int:
        commands = {
            "apt-get": self.apt_get,
            "dpkg": self.dpkg,
            "systemctl": self.systemctl,
            "journalctl": self.journalctl,
            "ldd": self.ldd,
            "curl": self.curl,
            "gpg": self.gpg,
            "docker": self.docker,
            "dpkg-query": Units(self).dpkg_query,
            "groupadd": lambda words: Units(self).add_user("groupadd", words),
            "useradd": lambda words: Units(self).add_user("useradd", words),
            "nsenter": Units(self).nsenter,
            "python3": Units(self).python3,
        }
        if name.startswith("/"):
            return Units(self).in_release(name, arguments)
        if name not in commands:
            fail(f"{name}: only a daemon of that name is here")
        return commands[name](arguments)

    def trouble(self, name: str) -> None:
        """Fail with what a test has planned; a list is one failure after the other."""
        said = self.it["trouble"].get(name)
        if isinstance(said, list):
            first, *rest = said
            if rest:
                self.it["trouble"][name] = rest
            else:
                del self.it["trouble"][name]
            self.machine.keep()
            said = first
        if said is not None:
            fail(said)

    # packages and services ----------------------------------------------------------------------------------------

    def apt_get(self, arguments: list[str]) -> int:
        settings = {at + 1 for at, word in enumerate(arguments) if word == "-o"}
        words = [word for at, word in enumerate(arguments) if not word.startswith("-") and at not in settings]
        self.machine.change(words)
        if words[0] == "update":
            self.trouble("apt-get update")
            return self.machine.finish()
        if self.it.get("dpkg_interrupted"):
            fail("E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.", 100)
        self.trouble("apt-get install")
        for package in words[1:]:
            missing = FROM_DOCKER if not self.machine.real("/etc/apt/sources.list.d/docker.list").exists() else set()
            if package not in PACKAGES or package in missing:
                fail(f"E: Unable to locate package {package}", 100)
            self._install(package)
        return self.machine.finish()

    def _install(self, package: str) -> None:
        self.it["packages"] = sorted({*self.it["packages"], package})
        for command in PACKAGES[package]:
            self.machine.provide(command)
        if package in ("docker-compose-plugin", "docker-compose"):
            plugin = self.machine.real(COMPOSE_PLUGIN)
            plugin.parent.mkdir(parents=True, exist_ok=True)
            plugin.write_text("#!/bin/sh\n")
            plugin.chmod(0o755)
        if package in ("docker-ce", "docker.io"):
            self.it.update(active=not self.it["trouble"].get("daemon"), enabled=True)

    def dpkg(self, arguments: list[str]) -> int:
        if arguments != ["--configure", "-a"]:
            fail(f"dpkg: not known here: {arguments}")
        self.machine.change(arguments)
        self.it["dpkg_interrupted"] = False
        return self.machine.finish()

    def systemctl(self, arguments: list[str]) -> int:  # noqa: PLR0911 - a case each
        match [word for word in arguments if not word.startswith("-")]:
            case ["is-enabled", "docker"]:
                return 0 if self.it["enabled"] else 1
            case ["reset-failed", "docker"]:
                return 0
            case ["enable", "docker"]:
                self.machine.change(arguments)
                self.it["enabled"] = True
                return self.machine.finish()
            case ["start", "docker"]:
                self.machine.change(arguments)
                self.trouble("daemon")
                self._load_daemon_settings()
                self.it["active"] = True
                return self.machine.finish()
            case ["show", *_, "docker"]:
                return self._unit_settings("show", arguments)
            case ["daemon-reload"]:
                self._unit_settings("daemon-reload", arguments)
                Units(self).load()
                self.machine.keep()
                return 0
            case ["reload", "docker"]:
                if not self.it["active"]:
                    fail("docker.service is not active, cannot reload.")
                self.machine.change(arguments)
                self._load_daemon_settings()
                return self.machine.finish()
        return Units(self).systemctl(arguments)

    def _unit_settings(self, what: str, arguments: list[str]) -> int:
        """Whether systemd knows the files of Docker's unit, and reading them again."""
        folder = "/etc/systemd/system/docker.service.d"
        if what == "show" and arguments == [
            "show",
            "--property",
            "NeedDaemonReload",
            "--property",
            "DropInPaths",
            "docker",
        ]:
            known = self.it["unit_files"]
            # What is new in there it only sees when it is told to look.
            changed = any(self._unit_files().get(name) != text for name, text in known.items())
            print(
                f"NeedDaemonReload={'yes' if changed else 'no'}\nDropInPaths={' '.join(f'{folder}/{it}' for it in known)}"
            )
            return 0
        self.machine.change(arguments)
        self.it["unit_files"] = self._unit_files()
        return self.machine.finish()

    def _unit_files(self) -> dict[str, str]:
        """What systemd would read for Docker's unit, beside the package's own file."""
        folder = self.machine.real("/etc/systemd/system/docker.service.d")
        return {file.name: file.read_text() for file in sorted(folder.glob("*.conf"))}

    def _load_daemon_settings(self) -> None:
        file = self.machine.real("/etc/docker/daemon.json")
        settings = json.loads(file.read_text()) if file.exists() else {}
        # Docker shows them with a slash at the end.
        self.it["mirrors"] = [f"{mirror.rstrip('/')}/" for mirror in settings.get("registry-mirrors", [])]
        # It shows that to nobody.
        self.it["shutdown_timeout"] = settings.get("shutdown-timeout", 15)

    def journalctl(self, _: list[str]) -> int:
        print(self.it.get("journal", "-- No entries --"))
        return 0

    def ldd(self, _: list[str]) -> int:
        print("\tlinux-vdso.so.1 (0x00007ffd)")
        print("\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f00)")
        print("\t/lib64/ld-linux-x86-64.so.2 (0x00007f01)")
        return 0

    def curl(self, arguments: list[str]) -> int:
        self.trouble("curl")
        target = self.machine.real(arguments[arguments.index("--output") + 1])
        self.machine.change(arguments)
        target.write_text(self.it.get("key", f"key {DOCKER_KEY}\n"))
        return self.machine.finish()

    def gpg(self, arguments: list[str]) -> int:
        for line in self.machine.real(arguments[-1]).read_text().splitlines():
            fingerprint = line.removeprefix("key ")
            print(f"pub:-:4096:1:{fingerprint[-16:]}:1487788586:::-:::scESCA::::::23::0:")
            print(f"fpr:::::::::{fingerprint}:")
            print("sub:-:4096:1:7EA0A9C3F273FCD8:1487788586::::::s::::::23:")
            print("fpr:::::::::D3306A018370199E527AE7997EA0A9C3F273FCD8:")
        return 0

    # docker -------------------------------------------------------------------------------------------------------

    def docker(self, arguments: list[str]) -> int:
        command, *rest = arguments
        if command == "compose":
            return self.compose(rest)
        if not self.it["active"]:
            fail(NO_DAEMON)
        commands = {
            "version": self._version,
            "info": self._info,
            "image": self._image_command,
            "container": self._container_command,
            "import": self._import,
            "run": self._run,
            "pull": self._pull,
            "build": self._build,
            "logs": self._logs,
            "exec": self._exec,
        }
        if command not in commands:
            unknown(arguments)
        return commands[command](rest)

    def _version(self, arguments: list[str]) -> int:
        components = [("Engine", "engine"), ("containerd", None), ("runc", "runc"), ("docker-init", None)]
        shown = [{"Name": name, "Version": self.it[key] if key else "1"} for name, key in components]
        print(formatted(form_of(arguments), {"Server": {"Version": self.it["engine"], "Components": shown}}))
        return 0

    def _info(self, arguments: list[str]) -> int:
        print(formatted(form_of(arguments), {"RegistryConfig": {"Mirrors": self.it["mirrors"]}}))
        return 0

    def _image_command(self, arguments: list[str]) -> int:
        match arguments:
            case ["inspect", "--format", form, reference]:
                print(formatted(form, self._image(reference)))
            case ["ls", "--all", "--no-trunc", "--format", form, "--filter", "label=pve-agents.base"]:
                self._list_images(form, "", "pve-agents.base")
            case ["ls", "--all", "--no-trunc", "--format", form, name]:
                self._list_images(form, name, "")
            case ["rm", *options, reference]:
                return self._remove_image(reference, force="--force" in options)
            case _:
                unknown(arguments)
        return 0

    def _container_command(self, arguments: list[str]) -> int:
        match arguments:
            case ["ls", *options]:
                self._list_containers(options)
            case ["inspect", "--format", form, *names]:
                for name in names:
                    print(formatted(form, self._container(name)))
            case ["rm", "--force", name]:
                self._remove(self._container(name)["Id"])
            case ["start", name]:
                self._start(self._container(name)["Id"])
            case ["stop", "-t", seconds, *names]:
                for name in names:
                    self._stop(self._container(name)["Id"], seconds)
            case ["update", "--restart", policy, name]:
                self.machine.change(["container", "update", policy, name])
                self._container(name)["HostConfig"] = {"RestartPolicy": {"Name": policy}}
                self.machine.finish()
            case ["rename", name, new]:
                self._rename(self._container(name)["Id"], new)
            case _:
                unknown(arguments)
        return 0

    def _logs(self, arguments: list[str]) -> int:
        print(self._container(arguments[-1]).get("Log", ""))
        return 0

    def _find_image(self, reference: str) -> dict[str, Any] | None:
        images: dict[str, Any] = self.it["images"]
        name, _, digest = reference.partition("@")
        # With a digest, the tag beside it says nothing.
        wanted = f"{name.rpartition(':')[0]}@{digest}" if digest else reference
        for image in images.values():
            if wanted in (image["Id"], *image["RepoTags"], *image["RepoDigests"]):
                return image  # type: ignore[no-any-return]
        return None

    def _image(self, reference: str) -> dict[str, Any]:
        return self._find_image(reference) or fail(f"Error response from daemon: No such image: {reference}")

    def _list_images(self, form: str, name: str, label: str) -> None:
        for image in self.it["images"].values():
            names = [tag.rpartition(":") for tag in image["RepoTags"]]
            names = names or [(digest.partition("@")[0], ":", "<none>") for digest in image["RepoDigests"]]
            for repository, _, tag in names or [("<none>", ":", "<none>")]:
                if repository == name or label in image["Config"]["Labels"]:
                    print(formatted(form, {"ID": image["Id"], "Repository": repository, "Tag": tag}))

    def _remove_image(self, reference: str, *, force: bool) -> int:
        image = self._image(reference)
        if reference == image["Id"] and len(image["RepoTags"]) > 1 and not force:
            fail(f"Error response from daemon: conflict: unable to delete {reference} (must be forced)")
        user = next((it for it in self.it["containers"].values() if it["Image"] == image["Id"]), None)
        if user and len(image["RepoTags"]) < 2:
            fail(f"Error response from daemon: conflict: unable to remove {reference}: container {user['Id']} uses it")
        self.machine.change(["image", "rm", reference])
        image = self._image(reference)
        left = [tag for tag in image["RepoTags"] if tag != reference]
        if left and reference != image["Id"]:
            image["RepoTags"] = left
        else:
            del self.it["images"][image["Id"]]
        print(f"Untagged: {reference}")
        return self.machine.finish()

    def _tag(self, reference: str, identity: str, labels: dict[str, str] | None = None) -> None:
        images = self.it["images"]
        name, _, digest = reference.partition("@")
        for image in images.values():
            image["RepoTags"] = [tag for tag in image["RepoTags"] if tag != name]
        fresh: dict[str, Any] = {"Id": identity, "RepoTags": [], "RepoDigests": [], "Config": {"Labels": labels or {}}}
        image = images.setdefault(identity, fresh)
        repository = name.rpartition(":")[0]
        if digest:
            image["RepoDigests"].append(f"{repository}@{digest}")
        else:
            image["RepoTags"].append(name)
            # What was built here has no digest of a registry's.
            image["RepoDigests"] += [] if labels else [f"{repository}@{identity}"]

    def _import(self, arguments: list[str]) -> int:
        import tarfile  # noqa: PLC0415

        # Read all of it first: whoever writes into the pipe may hold the lock until it is done.
        with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
            names = archive.getnames()
        self.trouble("import")
        if "bin/true" not in names:
            fail("Error response from daemon: no program in the archive")
        self.machine.change(["import", arguments[-1]])
        self._tag(arguments[-1], f"sha256:{digest_of(sorted(names))}")
        return self.machine.finish()

    def _run(self, arguments: list[str]) -> int:
        *options, reference, program = arguments
        if options not in (["--rm", "--network", "host"], ["--rm", "--network", "bridge"]):
            unknown(arguments)
        if not self._find_image(reference):
            fail(f"Unable to find image '{reference}' locally", 125)
        self.machine.change(["run", reference, program])
        self.trouble("run")
        return self.machine.finish()

    def _pull(self, arguments: list[str]) -> int:
        reference = arguments[-1]
        self.machine.change(["pull", reference])
        self.trouble("pull")
        name = reference.partition("@")[0]
        identity = self.it["registry"].get(reference)
        if identity is None:
            if self.it["registry_closed"]:
                fail(f"Error response from daemon: manifest for {name} not found: manifest unknown: manifest unknown")
            identity = f"sha256:{digest_of(reference)}"
        repository, _, tag = name.rpartition(":")
        print(f"{tag}: Pulling from {repository}")
        for layer in ("0a1b2c3d4e5f", "1a2b3c4d5e6f"):
            for what in ("Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"):
                print(f"{layer}: {what}")
        print(f"Digest: {identity}\nStatus: Downloaded newer image for {reference}\n{reference}")
        self._tag(reference, identity)
        return self.machine.finish()

    def _build(self, words: list[str]) -> int:
        tag, label = words[words.index("--tag") + 1], words[words.index("--label") + 1]
        dockerfile = (self.machine.real(words[-1]) / "Dockerfile").read_text()
        base = dockerfile.splitlines()[0].removeprefix("FROM ")
        self._image(base)
        self.machine.change(["build", tag])
        self.trouble("build")
        name, _, value = label.partition("=")
        self._tag(tag, f"sha256:{digest_of([dockerfile, self._image(base)['Id']])}", {name: value})
        return self.machine.finish()

    def _find_container(self, name: str) -> dict[str, Any] | None:
        for container in self.it["containers"].values():
            if name in (container["Id"], container["Name"].removeprefix("/")):
                return container  # type: ignore[no-any-return]
        return None

    def _container(self, name: str) -> dict[str, Any]:
        return self._find_container(name) or fail(f"Error response from daemon: No such container: {name}")

    def _list_containers(self, options: list[str]) -> None:
        filters = [options[at + 1].removeprefix("label=") for at, word in enumerate(options) if word == "--filter"]
        form = options[options.index("--format") + 1] if "--format" in options else "{{.ID}}"
        for container in self.it["containers"].values():
            labels = container["Config"]["Labels"]
            if all(labels.get(name) == value for name, _, value in (it.partition("=") for it in filters)):
                print(formatted(form, {"ID": container["Id"], "Labels": labels, "Names": container["Name"][1:]}))

    def _exec(self, arguments: list[str]) -> int:
        match arguments:
            case ["-i", "-u", "10000:10000", name, "python3", "-I", "-", what, *words]:
                program = sys.stdin.read()
                self._need_running(name)
                if "def main(" not in program:
                    fail("python3: this is not the probe")
                return self.probe(what, words)
            case ["-u", user, name, "touch" | "rm" as command, *words]:
                # Workspaces have the same paths in the agent's container.
                self._need_running(name)
                return self.machine.be(user, command, words)
        return unknown(arguments)

    def _need_running(self, name: str) -> None:
        container = self._container(name)
        if container["State"]["Status"] != "running":
            fail(f"Error response from daemon: container {container['Id']} is not running")

    def probe(self, what: str, words: list[str]) -> int:
        answers = self.it["answers"].get(what)
        if isinstance(answers, list):
            answer = answers[0]
            if len(answers) > 1:
                self.it["answers"][what] = answers[1:]
                self.machine.keep()
        else:
            answer = answers
        defaults = {
            "gateway": f"ok\tHermes 0.19.0, {', '.join(words[1:])} connected\t",
            "platform": "ok\tconnected\t",
            "models": f"ok\t{words[-1] if words else ''} at {words[0] if words else ''}/models\t",
            "dashboard": f"ok\tlistens on {words[0] if words else ''}\t",
            "chat": "ok\tanswered in 4 characters\t",
            "memory": "ok\tlimit 3.0 GiB\t",
            "log": "",
        }
        print(defaults[what] if answer is None else answer)
        return 0

    # compose ------------------------------------------------------------------------------------------------------

    def compose(self, arguments: list[str]) -> int:
        if not self.machine.real(COMPOSE_PLUGIN).exists():
            fail("docker: 'compose' is not a docker command.")
        if arguments[:1] == ["version"]:
            print(self.it["compose"])
            return 0
        options, words = {}, list(arguments)
        while words[0].startswith("--"):
            options[words[0]] = words[1]
            del words[:2]
        project = Project(
            options["--project-name"],
            self.machine.real(options["--project-directory"]),
            self.machine.real(options["--file"]),
            self.machine,
        )
        match words:
            case ["config", "--hash", "*"]:
                for name in sorted(project.services):
                    print(name, project.hash_of(name, with_env_file=self.it["hash_has_env_file"]))
            case ["config", "--images"]:
                for service in project.services.values():
                    print(service["image"])
            case ["up" | "stop" | "down" as what, *rest]:
                if not self.it["active"]:
                    fail(NO_DAEMON)
                return {"up": self._up, "stop": self._stop_services, "down": self._down}[what](project, rest)
            case _:
                unknown(words)
        return 0

    def _down(self, project: Project, words: list[str]) -> int:
        """What a person at the node types to take all containers away, or a deploy."""
        if words and words[:2] != ["--remove-orphans", "--timeout"]:
            unknown(words)
        for container in list(self.it["containers"].values()):
            if container["Config"]["Labels"].get("com.docker.compose.project") == project.name:
                self._remove(container["Id"], words[2] if words else "10")
        return 0

    def _stop_services(self, project: Project, words: list[str]) -> int:
        if words[0] != "--timeout":
            unknown(words)
        self.trouble("stop")
        for name in words[2:]:
            for container in self._mine(project, name):
                self._stop(container["Id"], words[1])
        return 0

    def _up(self, project: Project, words: list[str]) -> int:
        *options, seconds = words
        if options != ["--detach", "--remove-orphans", "--no-build", "--quiet-pull", "--timeout"]:
            unknown(words)
        self.trouble("up")
        mine = {"com.docker.compose.project": project.name}
        for container in list(self.it["containers"].values()):
            labels = container["Config"]["Labels"]
            ours = labels.get("com.docker.compose.project") == project.name
            if ours and labels["com.docker.compose.service"] not in project.services:
                self._remove(container["Id"], seconds)
        for name, service in project.services.items():
            labels = {
                **mine,
                "com.docker.compose.service": name,
                "com.docker.compose.oneoff": "False",
                "com.docker.compose.config-hash": project.hash_of(name, with_env_file=True),
                **service.get("labels", {}),
            }
            identity = self._image(service["image"])["Id"]
            shown = service.get("container_name", f"{project.name}-{name}-1")
            existing = next((it for it in self._mine(project, name)), None) or self._find_container(shown)
            if existing and existing["Config"]["Labels"].get("com.docker.compose.project") != project.name:
                shown = f'"{existing["Name"]}" is already in use by container "{existing["Id"]}"'
                fail(f"Error response from daemon: Conflict. The container name {shown}. You have to remove it.")
            if existing is None:
                project.check_binds(name)
                existing = self._create(shown, service, labels, identity)
            elif (existing["Config"]["Labels"], existing["Image"]) != (labels, identity):
                project.check_binds(name)
                # The new one has its name only when the old one is gone.
                old, existing = existing, self._create(f"{existing['Id'][:12]}_{shown}", service, labels, identity)
                self._remove(old["Id"], seconds)
                self._rename(existing["Id"], shown)
            if self._container(existing["Id"])["State"]["Status"] != "running":
                self._start(existing["Id"])
        return 0

    def _stop(self, identity: str, seconds: str) -> None:
        """With SIGTERM, and SIGKILL after so many seconds; one that does not run stays as it is."""
        container = self._container(identity)
        if container["State"]["Status"] not in ("running", "restarting"):
            return
        self.machine.change(["container", "stop", container["Name"], seconds])
        self.it["serial"] += 1
        finished = f"2026-01-02T00:00:00.{self.it['serial']:09}Z"
        self._container(identity)["State"].update(Status="exited", ExitCode=0, FinishedAt=finished)
        self.machine.finish()

    def _remove(self, identity: str, seconds: str = "") -> None:
        if seconds:
            self._stop(identity, seconds)
        name = self._container(identity)["Name"]
        self.machine.change(["container", "rm", name])
        del self.it["containers"][identity]
        self.machine.finish()
        print(f" Container {name[1:]}  Removed", file=sys.stderr)

    def _mine(self, project: Project, service: str) -> list[dict[str, Any]]:
        """Compose knows its containers by their labels, whatever their names are."""
        wanted = {"com.docker.compose.project": project.name, "com.docker.compose.service": service}
        found = self.it["containers"].values()
        return [it for it in found if wanted.items() <= it["Config"]["Labels"].items()]

    def _create(self, shown: str, service: dict[str, Any], labels: dict[str, str], image: str) -> dict[str, Any]:
        self.machine.change(["container", "create", shown])
        self.it["serial"] += 1
        identity = digest_of([shown, self.it["serial"]])
        container = {
            "Id": identity,
            "Name": f"/{shown}",
            "Image": image,
            "Config": {"Labels": labels, "Image": service["image"]},
            "State": {"Status": "created", "ExitCode": 0, "OOMKilled": False, "Error": "", **NEVER_RAN},
            "RestartCount": 0,
            "HostConfig": {"RestartPolicy": {"Name": service.get("restart", "no")}},
        }
        self.it["containers"][identity] = container
        self.machine.finish()
        return container

    def _rename(self, identity: str, name: str) -> None:
        self.machine.change(["container", "rename", name])
        self._container(identity)["Name"] = f"/{name}"
        self.machine.finish()

    def _start(self, identity: str) -> None:
        name = self._container(identity)["Name"]
        self.machine.change(["container", "start", name])
        self._container(identity)["State"].update(Status="running", StartedAt=STARTED)
        self.machine.finish()
        print(f" Container {name[1:]}  Started", file=sys.stderr)


class Project:
    """A compose file with its variables replaced."""

    def __init__(self, name: str, directory: Path, file: Path, machine: Machine) -> None:
        self.name = name
        self.machine = machine
        variables = env_lines((directory / ".env").read_text()) if (directory / ".env").exists() else {}
        text = file.read_text()
        # JSON is YAML, and read in a tenth of the time.
        content = json.loads(text) if text.startswith("{") else compose_reader.read(text)
        try:
            services = compose_reader.checked(content["services"])
            self.services: dict[str, dict[str, Any]] = compose_reader.interpolated(services, variables)
        except (compose_reader.NotTextError, compose_reader.VariableError) as error:
            fail(str(error))

    def hash_of(self, name: str, *, with_env_file: bool) -> str:
        service = dict(self.services[name])
        if with_env_file and "env_file" in service:
            environment = dict(service.get("environment", {}))
            for path in service.pop("env_file"):
                file = self.machine.real(path)
                if not file.exists():
                    fail(f"env file {path} not found: stat {path}: no such file or directory")
                environment.update(env_lines(file.read_text()))
            service["environment"] = environment
        return digest_of(service)

    def check_binds(self, name: str) -> None:
        for volume in self.services[name].get("volumes", []):
            made_by_docker = not isinstance(volume, dict) or volume.get("bind", {}).get("create_host_path", True)
            if not made_by_docker and not self.machine.real(volume["source"]).exists():
                fail(
                    'Error response from daemon: invalid mount config for type "bind": '
                    f"bind source path does not exist: {volume['source']}"
                )


def env_lines(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def formatted(form: str, thing: dict[str, Any]) -> str:
    """Fill in the few words of Docker's templates that the scripts use."""

    def ranged(found: re.Match[str]) -> str:
        return "".join(expanded(found[2], item) for item in look_up(found[1], thing))

    def kept(found: re.Match[str]) -> str:
        above, _, key = found[1].rpartition(".")
        # Where Docker fills in the JSON, since its own type has no field of that name, a missing key is an error.
        if "{{.Id}}" in form and key not in look_up(above, thing):
            fail(
                f'template parsing error: template: :1:2: executing "" at <{found[1]}>: map has no entry for key "{key}"'
            )
        return found[2] if look_up(found[1], thing) else ""

    def held(found: re.Match[str]) -> str:
        value = look_up(found[1], thing).get(found[2])
        return expanded(found[3], value) if value else ""

    form = re.sub(r'\{\{with index (\.[\w.]+) "(\w+)"\}\}(.*?)\{\{end\}\}', held, form)
    form = re.sub(r"\{\{if (\.[\w.]+)\}\}(.*?)\{\{end\}\}", kept, form)
    return expanded(re.sub(r"\{\{range (\.[\w.]+)\}\}(.*?)\{\{end\}\}", ranged, form), thing)


def expanded(text: str, thing: Any) -> str:
    def replaced(found: re.Match[str]) -> str:
        word = found[1].strip()
        if label := re.fullmatch(r'index (\.[\w.]+) "([^"]+)"', word):
            value = (look_up(label[1], thing) or {}).get(label[2], "")
        elif label := re.fullmatch(r'\.Label "([^"]+)"', word):
            value = thing["Labels"].get(label[1], "")
        elif re.fullmatch(r"\.[\w.]*", word):
            value = look_up(word, thing)
        else:
            fail(f"template parsing error: {text}")
        return str(value).lower() if isinstance(value, bool) else str(value)

    return re.sub(r"\{\{([^}]*)\}\}", replaced, text)


def look_up(path: str, thing: Any) -> Any:
    for part in path.split("."):
        if part:
            thing = thing.get(part, "") if isinstance(thing, dict) else ""
    return thing
