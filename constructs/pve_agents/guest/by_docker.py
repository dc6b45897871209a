"""Docker Compose as what runs an agent's services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pve_agents.guest.answers import Check
from pve_agents.guest.compose_files import deliver_files
from pve_agents.guest.compose_verify import look_at_compose
from pve_agents.guest.containers import want_containers
from pve_agents.guest.directories import want_directories
from pve_agents.guest.docker import container_fault, container_remedy, memory_fault
from pve_agents.guest.engine import want_docker
from pve_agents.guest.images import keep_two_images, want_images
from pve_agents.guest.machine import Ran
from pve_agents.guest.progress import fail
from pve_agents.guest.runtime import Facts, Holding, Runtime, Step
from pve_agents.guest.services import Workspace
from pve_agents.guest.sidecars import MOST_RESTARTS, wait_for_sidecar
from pve_agents.guest.smoke import smoke_test
from pve_agents.guest.work import ComposeWork

__all__ = ["ByDocker"]


class ByDocker(Runtime):
    """Docker Compose, for one agent."""

    side, version_word = "docker", "image"

    def __init__(self, work: ComposeWork) -> None:
        """Know what it runs."""
        self._work = work

    # deploy -----------------------------------------------------------------------------------------------------------

    def prepare(self) -> list[Step]:
        """Return the steps that disturb nobody."""
        work = self._work
        return [
            Step("docker engine", lambda: want_docker(work)),
            Step("docker smoke test", lambda: smoke_test(work)),
            Step("workspaces", lambda: want_directories(work)),
            Step("files", lambda: deliver_files(work)),
            Step("image", lambda: want_images(work)),
        ]

    def replace(self) -> Step:
        """Return the step after which the wanted containers run."""
        return Step("containers", lambda: want_containers(self._work))

    def replaced_version(self) -> str:
        """Return nothing: Compose replaces a container of its own by itself."""
        return ""

    def go_back_to(self, version: str) -> None:
        """Do nothing: nobody is told to come back."""

    def wait_for_others(self) -> None:
        """Wait until the services beside the agents are ready."""
        for sidecar in self._work.compose.sidecars:
            wait_for_sidecar(self._work, sidecar)

    def tidy(self) -> None:
        """Keep the current image and the one before it."""
        keep_two_images(self._work)

    # one service ------------------------------------------------------------------------------------------------------

    def facts(self, service: str) -> Facts:
        """Return how a service's container is."""
        what = f"container {service}"
        if (container := self._work.docker.container(service)) is None:
            return Facts(what, is_there=False)
        return Facts(
            what,
            is_running=container.is_running,
            is_over=container.status in ("exited", "dead") or container.restarts >= MOST_RESTARTS,
            detail=f"{what} is {container.status}",
            fault=container_fault(container, service, self._work.secrets),
            remedy=container_remedy(container, service, self._work.more_memory),
        )

    def memory_fault(self, service: str) -> str:
        """Return whether the kernel has ended processes of a running container, or nothing."""
        container = self._work.docker.container(service)
        return memory_fault(self._work.machine, container, service) if container else ""

    def log(self, service: str) -> list[str]:
        """Return the last lines of a container's log that say what went wrong."""
        return self._work.docker.log(service, self._work.secrets)

    def run_inside(self, service: str, *words: str, seconds: float, stdin: bytes, joined: bool) -> Ran:
        """Run a program in a service's container."""
        command = ("docker", "exec", "-i", "-u", self._work.compose.owner, service, *words)
        return self._work.machine.run(*command, seconds=seconds, stdin=stdin, joined=joined)

    def entrance(self, service: str) -> tuple[str, ...]:
        """Return how a person gets into a service's container."""
        container = self._work.docker.container(service)
        user = ("-u", self._work.compose.owner)
        return ("docker", "exec", "-it", *user, service) if container and container.is_running else ()

    def as_owner(self, workspace: Workspace, command: tuple[str, ...], seconds: float) -> Ran:
        """Run a program in the first agent's container; beside it where that does not run."""
        machine, services = self._work.machine, self._work.compose.services
        name = services[0].name if services else ""
        container = self._work.docker.container(name) if name and machine.has("docker") else None
        if container and container.is_running:
            command = ("docker", "exec", "-u", workspace.owner, name, *command)
            return machine.run(*command, seconds=seconds, joined=True)
        return machine.run(*command, seconds=seconds, joined=True, user=(workspace.uid, workspace.gid))

    def remedy_of_silence(self, service: str) -> str:
        """Return what to do about a container that does not answer from inside."""
        return f"docker restart {service}"

    def remedy_of_log(self, service: str) -> str:
        """Return where to look for what a container says."""
        return f"`docker logs --tail 50 {service}`"

    # the data ---------------------------------------------------------------------------------------------------------

    def holdings(self) -> list[Holding]:
        """Return each agent's data, and that of all others together, whose images go together."""
        compose = self._work.compose
        runs = (compose.image.run,) if compose.image else ()
        found = [Holding(it.name, it.data_directory, (it.name,), runs) for it in compose.services]
        names = tuple(it.name for it in compose.sidecars)
        images = tuple(dict.fromkeys(it.image for it in compose.sidecars))
        return found + [Holding(it.name, it.directory, names, images) for it in compose.data]

    def wanted_on(self, holding: Holding) -> str:
        """Return the ids of the images that are to run on it; empty if one is not here."""
        found = [self._work.docker.image_id(it) for it in holding.versions]
        return "+".join(dict.fromkeys(found)) if all(found) else ""

    def found_on(self, holding: Holding) -> str:
        """Return the ids and the names of the images of its containers."""
        form = "{{.Image}} {{.Config.Image}}"
        found = [self._work.docker.of_container(form, it) for it in self._containers(holding.services)]
        pairs = dict.fromkeys(it.partition(" ")[::2] for it in found)
        is_whole = pairs and len(found) == len(holding.services)
        return " ".join(map("+".join, zip(*pairs, strict=True))) if is_whole else ""

    def ended(self, holding: Holding) -> str:
        """Return when its containers have ended last."""
        form = "{{.State.FinishedAt}}"
        return "+".join(self._work.docker.of_container(form, it) for it in self._containers(holding.services))

    def stop_services(self, names: Iterable[str]) -> None:
        """Stop services, with the time that they need."""
        if not self._work.machine.is_file(f"{self._work.project}/docker-compose.yml"):
            return
        if not self._work.docker.stop(names).ok:
            fail("the containers do not stop, and data in use is not copied: look at `docker ps -a` in the container")

    def start_services(self, names: Iterable[str]) -> None:
        """Start their containers again."""
        for identity in self._containers(names):
            self._work.docker.ask("container", "start", identity)

    def _containers(self, names: Iterable[str]) -> list[str]:
        wanted = set(names)
        return [identity for identity, service, _ in self._work.docker.project_containers() if service in wanted]

    @property
    def version_setting(self) -> str:
        """What the setting is called that says which image runs."""
        return self._work.compose.settings.image_tag

    # verify -----------------------------------------------------------------------------------------------------------

    def look(self, *, chat: bool) -> Iterator[Check]:
        """Yield what is well and what is not."""
        return look_at_compose(self._work, chat=chat)

    def private_files(self) -> dict[str, str]:
        """Return the files that Compose reads secrets from."""
        work = self._work
        files = {f"{work.project}/.env": "0:0"} if work.compose.variables else {}
        return files | {f"{work.project}/sidecars/{it.name}.env": "0:0" for it in work.compose.sidecars}
