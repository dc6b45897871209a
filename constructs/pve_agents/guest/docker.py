"""Docker, asked: what there is, and what of it is wrong. Nothing here changes anything but :meth:`Docker.compose`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pve_agents.guest.machine import Machine, Ran
from pve_agents.guest.secrets import Secrets, shortened

__all__ = ["Container", "Docker", "container_fault", "container_remedy", "memory_fault"]

_ASK_SECONDS, _COMPOSE_SECONDS = 60, 900
_JUST_NOW_SECONDS = 30
_KILLED = 137
# Docker knows no field `Id` of its own type, and fills in the JSON: there a key that is missing is an error, but for `index`.
_FIELDS = (
    *("{{.Id}}", "{{.Image}}", "{{.State.Status}}", "{{.State.ExitCode}}", "{{.State.OOMKilled}}", "{{.RestartCount}}"),
    *("{{.State.StartedAt}}", '{{with index .State "Health"}}{{.Status}}{{end}}'),
    '{{index .Config.Labels "com.docker.compose.config-hash"}}',
    *('{{index .Config.Labels "pve-agents.revision"}}', "{{.State.Pid}}", "{{.State.Error}}"),
)
_TELLING = re.compile(r"error|fail|refus|denied|critical|warning|traceback|in use|no space", re.IGNORECASE)
_LOG_LINES, _LINE_BYTES = 5, 300


@dataclass(frozen=True)
class Container:
    """What Docker knows of a container."""

    id: str
    image: str
    status: str
    exit_code: str
    out_of_memory: bool
    restarts: int
    started: str
    health: str
    """What its healthcheck says: starting, healthy or unhealthy; empty where it has none."""
    hash: str
    """Of the service that it was made from, as Compose says."""
    revision: str
    pid: str
    error: str

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self.status == "running"

    @property
    def since(self) -> datetime:
        """When it was started."""
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", self.started))


class Docker:
    """Docker and Compose, for one agent."""

    def __init__(self, machine: Machine, agent: str, project: str, stop_seconds: int) -> None:
        """Know whom to ask.

        Args:
            machine: The container that Docker runs in.
            agent: The agent, which the project of Compose is called by.
            project: The directory of its compose file.
            stop_seconds: How long a container may take to stop.
        """
        self._machine, self.agent, self.project = machine, agent, project
        self.stop_seconds = stop_seconds

    def ask(self, *words: str) -> Ran:
        """Ask for something that takes no time; a daemon that hangs does not hang the deploy."""
        return self._machine.run("docker", *words, seconds=_ASK_SECONDS)

    def compose(self, *words: str, joined: bool = True) -> Ran:
        """Have Compose do something with the delivered file.

        Args:
            words: What.
            joined: Whether both of its outputs are one. Where its answer is read, its warnings are none of it.
        """
        where = ("--project-name", self.agent, "--project-directory", self.project)
        file = f"{self.project}/docker-compose.yml"
        seconds = _COMPOSE_SECONDS + 4 * self.stop_seconds
        return self._machine.run("docker", "compose", *where, "--file", file, *words, seconds=seconds, joined=joined)

    def stop(self, services: Iterable[str]) -> Ran:
        """Stop services, with the time that they need."""
        return self.compose("stop", "--timeout", str(self.stop_seconds), *services)

    def version(self) -> str:
        """Return the daemon's version; empty if it does not answer."""
        return self._said("version", "--format", "{{.Server.Version}}")

    def compose_version(self) -> str:
        """Return Compose's version; empty if there is none."""
        return self._said("compose", "version", "--short")

    def image_id(self, reference: str) -> str:
        """Return the id of an image; empty if it is not here."""
        return self._said("image", "inspect", "--format", "{{.Id}}", reference)

    def base_of(self, image: str) -> str:
        """Return the id of the image that one of our own was built on."""
        return self._said("image", "inspect", "--format", '{{index .Config.Labels "pve-agents.base"}}', image)

    def digests_of(self, image: str) -> list[str]:
        """Return the digests by which a registry knows an image."""
        return self._said("image", "inspect", "--format", "{{range .RepoDigests}}{{.}} {{end}}", image).split()

    def container(self, name: str) -> Container | None:
        """Return what is known of a container, or none if it is not there."""
        ran = self.ask("container", "inspect", "--format", "|".join(_FIELDS), name)
        values = ran.out.split("|", len(_FIELDS) - 1)
        if not ran.ok or len(values) != len(_FIELDS):
            return None
        one, image, status, code, killed, restarts, *rest = values
        return Container(one, image, status, code, killed == "true", int(restarts), *rest)

    def of_container(self, form: str, name: str) -> str:
        """Return some of what is known of a container; empty if it is not there."""
        return self._said("container", "inspect", "--format", form, name)

    def project_containers(self) -> list[tuple[str, str, str]]:
        """Return id, service and name of all containers of this project."""
        ran = self.ask(
            *("container", "ls", "--all", "--no-trunc", "--filter", f"label=com.docker.compose.project={self.agent}"),
            *("--filter", "label=com.docker.compose.oneoff=False"),
            *("--format", '{{.ID}}|{{.Label "com.docker.compose.service"}}|{{.Names}}'),
        )
        rows = (line.split("|", 2) for line in ran.out.splitlines()) if ran.ok else ()
        return [(row[0], row[1], row[2]) for row in rows if len(row) == len(("id", "service", "name"))]

    def of_service(self, service: str) -> tuple[str, Container] | None:
        """Return the name of a service's container, which may be any, and what is known of it; none if there is none."""
        for identity, its, name in self.project_containers():
            if its == service and (container := self.container(identity)):
                return name, container
        return None

    def complaint(self, name: str) -> str:
        """Return what the last healthcheck of a container has said, if anything."""
        return self._said("container", "inspect", "--format", "{{range .State.Health.Log}}{{.Output}}{{end}}", name)

    def log(self, name: str, secrets: Secrets) -> list[str]:
        """Return the last lines of a container's log that say what went wrong."""
        ran = self._machine.run("docker", "logs", "--tail", "200", name, seconds=_ASK_SECONDS, joined=True)
        telling = [line for line in ran.out.split("\n") if _TELLING.search(line)]
        return [shortened(secrets.redacted(line), _LINE_BYTES) for line in telling[-_LOG_LINES:]]

    def _said(self, *words: str) -> str:
        ran = self.ask(*words)
        return ran.out if ran.ok else ""


def container_fault(container: Container, name: str, secrets: Secrets) -> str:
    """Return why a container is not up, or nothing."""
    match container.status:
        case "running":
            # A container that ends at once is running most of the times that one looks.
            age = datetime.now(UTC) - container.since
            if container.restarts == 0 or age.total_seconds() >= _JUST_NOW_SECONDS:
                return ""
            what = f"was restarted {container.restarts} times, just now again"
        case "restarting":
            what = f"ends again and again ({container.restarts} restarts)"
        case "created":
            what = "was made and could not be started"
        case "exited" | "dead":
            what = "has ended"
        case other:
            return f"container {name} is {other}"
    if container.out_of_memory:
        why = ": out of memory"
    elif container.is_running:
        why = ""
    elif container.exit_code == str(_KILLED):
        why = f": killed (exit code {_KILLED})"
    else:
        error = f", {secrets.redacted(container.error)}" if container.error else ""
        why = f": exit code {container.exit_code}{error}"
    return f"container {name} {what}{why}"


def container_remedy(container: Container, name: str, more_memory: str) -> str:
    """Return what to do about a container that is not up."""
    if container.out_of_memory:
        return more_memory
    if container.exit_code == str(_KILLED):
        return f"start it with `docker start {name}` in the container; if it is killed again, {more_memory}"
    return f"look at `docker logs --tail 50 {name}` in the container, then start it with `docker start {name}`"


def memory_fault(machine: Machine, container: Container, name: str) -> str:
    """Return whether the kernel has ended processes of a running container, or nothing.

    What answers in there may not be its first process: the container stays when it is ended.
    """
    killed = 0
    if re.fullmatch(r"[1-9][0-9]*", container.pid):
        for line in machine.text(f"/proc/{container.pid}/cgroup").splitlines():
            killed = _killed(machine, line, container.id) or killed
    if not killed:
        return ""
    return f"the kernel has ended {killed} of its processes for want of memory since container {name} started"


def _killed(machine: Machine, line: str, container: str) -> int:
    """Read the names of version 2 of control groups, and of version 1.

    Where they are mounted may differ from what a process of another namespace is told.
    """
    hierarchy, _, rest = line.partition(":")
    controllers, _, group = rest.partition(":")
    for path in (group, f"/docker/{container}", f"/system.slice/docker-{container}.scope"):
        if line.startswith("0::"):
            file = f"/sys/fs/cgroup{path}/memory.events"
        elif hierarchy and controllers == "memory":
            file = f"/sys/fs/cgroup/memory{path}/memory.oom_control"
        else:
            return 0
        if machine.is_file(file):
            rows = (row.split() for row in machine.text(file).splitlines())
            return sum(int(row[1]) for row in rows if row[:1] == ["oom_kill"])
    return 0
