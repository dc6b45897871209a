"""Whether Docker and Compose in this container run what is declared."""

from __future__ import annotations

from collections.abc import Iterator

from pve_agents.guest.answers import Check
from pve_agents.guest.checks import checks_of
from pve_agents.guest.docker import container_fault, container_remedy, memory_fault
from pve_agents.guest.files import is_current
from pve_agents.guest.plan import Sidecar
from pve_agents.guest.progress import FailureError
from pve_agents.guest.revisions import Hashes, read_hashes
from pve_agents.guest.services import Service
from pve_agents.guest.sidecars import has_ended_well, sidecar_answer
from pve_agents.guest.work import ComposeWork

__all__ = ["look_at_compose"]

_NO_DOCKER = "Docker does not answer"


def look_at_compose(work: ComposeWork, *, chat: bool) -> Iterator[Check]:
    """Yield all checks of Docker and what it runs, Docker's own first."""
    docker, hashes = _check_docker(work)
    yield docker
    for service in work.compose.services:
        yield from _check_service(work, service, hashes, chat=chat)
    for sidecar in work.compose.sidecars:
        yield _check_sidecar(work, sidecar, hashes)


# engine -----------------------------------------------------------------------------------------------------------------


def _check_docker(work: ComposeWork) -> tuple[Check, Hashes | None]:
    """Return the check, and what Compose makes of its file; none where Docker does not answer."""
    if not work.machine.has("docker"):
        return Check("docker", "failed", "Docker is not installed", work.mend), None
    if not (engine := work.docker.version()):
        remedy = (
            "run `systemctl start docker` in the container, and look at `journalctl -u docker` where that does not help"
        )
        return Check("docker", "failed", "the Docker daemon does not answer", remedy), None
    try:
        hashes = read_hashes(work)
    except FailureError as error:
        detail = f"Docker {engine}, but Compose does not take the compose file: {error}"
        return Check("docker", "failed", detail, work.mend), Hashes()
    if not work.same(f"{work.payload}/docker-compose.yml", f"{work.project}/docker-compose.yml"):
        detail = "the containers are from another compose file than the delivered one"
        return Check("docker", "failed", detail, work.mend), hashes
    return Check("docker", "ok", f"Docker {engine}, Compose {work.docker.compose_version()}"), hashes


# services ---------------------------------------------------------------------------------------------------------------


def _check_service(work: ComposeWork, service: Service, hashes: Hashes | None, *, chat: bool) -> Iterator[Check]:
    def of(name: str) -> str:
        """Name a service where there are several."""
        return f"{name} {service.name}" if len(work.compose.services) > 1 else name

    kind = checks_of(work, service)
    if hashes is None:
        for name in ("image", "container", *kind.names()):
            yield Check(of(name), "skipped", _NO_DOCKER)
        return
    yield _check_image(work, service.name, of("image"))
    container, is_up = _check_container(work, service, of("container"), service.name, hashes)
    yield container
    if not is_up:
        for name in kind.names():
            yield Check(of(name), "skipped", f"container {service.name} is not running")
        return
    for check in kind.look(chat=chat):
        yield Check(of(check.name), check.status, check.detail, check.remedy)


def _check_image(work: ComposeWork, service: str, name: str) -> Check:
    image, again = work.compose.image, work.mend
    if image is None or (container := work.docker.container(service)) is None:
        return Check(name, "skipped", f"there is no container {service}")
    identity = work.docker.image_id(image.run)
    if not identity:
        return Check(name, "failed", f"the image {image.run} is not here", again)
    if container.image != identity:
        return Check(name, "failed", f"container {service} runs another image than {image.run}", again)
    if image.run != image.base and work.docker.base_of(image.run) != work.docker.image_id(image.base):
        return Check(name, "failed", f"{image.run} is not built from {image.base}", again)
    digest = image.base.partition("@")[2]
    if digest and f"{image.repository}@{digest}" not in work.docker.digests_of(image.base):
        return Check(name, "failed", f"the image here has not the pinned digest {digest}", again)
    return Check(name, "ok", image.run)


def _check_container(
    work: ComposeWork, service: Service | Sidecar, name: str, shown: str, hashes: Hashes
) -> tuple[Check, bool]:
    """Return the check, and whether the container is up."""
    if (container := work.docker.container(shown)) is None:
        return Check(name, "failed", f"there is no container {shown}", work.mend), False
    if isinstance(service, Sidecar) and has_ended_well(service, container):
        return Check(name, "ok", f"container {shown} has done its work"), False
    if fault := container_fault(container, shown, work.secrets):
        return Check(name, "failed", fault, container_remedy(container, shown, work.more_memory)), False
    problem = ""
    if not hashes.is_rendered(service.name, container):
        problem = f"container {shown} is not as the compose file wants it"
    elif isinstance(service, Service) and not is_current(work, service, container.revision):
        problem = f"container {shown} runs with older settings or secrets than the delivered ones"
    if problem:
        return Check(name, "failed", problem, work.mend), True
    if isinstance(service, Sidecar) and not (answer := sidecar_answer(work, service, shown, container)).ok:
        return Check(name, "failed", answer.detail, answer.remedy), True
    restarts = f"; restarted {container.restarts} times" if container.restarts else ""
    killed = f"; {fault}" if (fault := memory_fault(work.machine, container, shown)) else ""
    return Check(name, "ok", f"running since {container.since:%Y-%m-%d %H:%M} UTC{restarts}{killed}"), True


def _check_sidecar(work: ComposeWork, sidecar: Sidecar, hashes: Hashes | None) -> Check:
    name = f"container {sidecar.name}"
    if hashes is None:
        return Check(name, "skipped", _NO_DOCKER)
    # Its container may have any name: Compose knows it.
    found = work.docker.of_service(sidecar.name)
    shown = found[0] if found else f"{work.plan.agent}-{sidecar.name}"
    return _check_container(work, sidecar, name, shown, hashes)[0]
