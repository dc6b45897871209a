"""Whether the agent in this container is as declared and answers. Nothing here changes anything but a probe's file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pve_agents.guest.checks import Check, checks_of, own_checks_of
from pve_agents.guest.docker import container_fault, container_remedy, memory_fault
from pve_agents.guest.files import managed, revision
from pve_agents.guest.machine import Machine
from pve_agents.guest.plan import Plan, Service, Sidecar
from pve_agents.guest.progress import FailureError
from pve_agents.guest.revisions import Hashes, read_hashes
from pve_agents.guest.sidecars import has_ended_well, sidecar_answer
from pve_agents.guest.work import Work

__all__ = ["check_all", "check_disk", "check_secrets"]

_NO_DOCKER = "Docker does not answer"
_KIB, _LEAST_KIB, _LITTLE_KIB = 1024, 64 * 1024, 2 * 1024 * 1024
_FULL_PERCENT, _FULL_INODES_PERCENT = 95, 98
_OPEN_TO_OTHERS = 0o077


def check_all(work: Work, *, chat: bool) -> Iterator[Check]:
    """Yield all checks, one after the other; one failure ends nothing."""
    docker, hashes = _check_docker(work)
    yield docker
    yield check_disk(work.machine, work.plan)
    for service in work.compose.services:
        yield from _check_service(work, service, hashes, chat=chat)
    for sidecar in work.compose.sidecars:
        yield _check_sidecar(work, sidecar, hashes)
    if work.plan.checks is not None:
        yield from own_checks_of(work.machine, work.plan.checks).look(chat=chat)
    yield check_secrets(work.machine, _private_files(work))


def _deploy_again(work: Work) -> str:
    return f"run `pipenv run agents mend {work.plan.agent}`"


# engine -----------------------------------------------------------------------------------------------------------------


def _check_docker(work: Work) -> tuple[Check, Hashes | None]:
    """Return the check, and what Compose makes of its file; none where Docker does not answer."""
    if not work.machine.has("docker"):
        return Check("docker", "failed", "Docker is not installed", _deploy_again(work)), None
    if not (engine := work.docker.version()):
        remedy = (
            "run `systemctl start docker` in the container, and look at `journalctl -u docker` where that does not help"
        )
        return Check("docker", "failed", "the Docker daemon does not answer", remedy), None
    try:
        hashes = read_hashes(work)
    except FailureError as error:
        detail = f"Docker {engine}, but Compose does not take the compose file: {error}"
        return Check("docker", "failed", detail, _deploy_again(work)), Hashes()
    if not work.same(f"{work.payload}/docker-compose.yml", f"{work.project}/docker-compose.yml"):
        detail = "the containers are from another compose file than the delivered one"
        return Check("docker", "failed", detail, _deploy_again(work)), hashes
    return Check("docker", "ok", f"Docker {engine}, Compose {work.docker.compose_version()}"), hashes


# disk -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Disk:
    """A line of ``df``."""

    place: str
    free: int
    """In KiB."""
    used: str
    inodes: str

    @property
    def fault(self) -> str:
        """What is wrong, or nothing. A large disk may be nearly full and still have room for months."""
        percent, inodes = self.used.removesuffix("%"), self.inodes.removesuffix("%")
        is_nearly_full = percent.isdecimal() and int(percent) >= _FULL_PERCENT
        if self.free < _LEAST_KIB or (self.free < _LITTLE_KIB and is_nearly_full):
            return f"{self.place} has {_amount(self.free)} left"
        if inodes.isdecimal() and int(inodes) >= _FULL_INODES_PERCENT:
            return f"{self.place} has no room for more files ({self.inodes} of its inodes are used)"
        return ""


def check_disk(machine: Machine, plan: Plan) -> Check:
    """Check whether the places that are written in have room."""
    places = ["/", *(it.path for it in plan.workspaces if not it.read_only)]
    if plan.compose:
        places += [it.data_directory for it in plan.compose.services]
        places += [it.path for it in plan.compose.directories if machine.is_directory(it.path)]
    if machine.is_directory("/var/lib/docker"):
        places.append("/var/lib/docker")
    disks = _disks(machine, places)
    full = [(it.place, it.fault) for it in disks if it.fault]
    if not full:
        shown = (f"{it.place} {it.used} used, {_amount(it.free)} free" for it in disks)
        return Check("disk", "ok", ", ".join(shown))
    remedy = f"make room on the disk of {full[0][0]} on the host"
    if any(place == "/" for place, _ in full):
        remedy = (
            f"make room (`docker image prune -a` removes unused images), or raise agents.{plan.agent}.disk.size_gib"
        )
    return Check("disk", "failed", ", ".join(fault for _, fault in full), remedy)


def _disks(machine: Machine, places: list[str]) -> list[_Disk]:
    ran = machine.run("df", "--output=target,avail,pcent,ipcent", "--", *places, seconds=60)
    found: dict[str, _Disk] = {}
    for line in ran.out.splitlines()[1:]:
        target, free, used, inodes = line.rsplit(maxsplit=3)
        found.setdefault(target, _Disk(target, int(free), used, inodes))
    return list(found.values())


def _amount(kib: int) -> str:
    return f"{kib // _KIB} MiB" if kib < _KIB * _KIB else f"{kib // _KIB // _KIB} GiB"


# services ---------------------------------------------------------------------------------------------------------------


def _check_service(work: Work, service: Service, hashes: Hashes | None, *, chat: bool) -> Iterator[Check]:
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


def _check_image(work: Work, service: str, name: str) -> Check:
    image, again = work.compose.image, _deploy_again(work)
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
    work: Work, service: Service | Sidecar, name: str, shown: str, hashes: Hashes
) -> tuple[Check, bool]:
    """Return the check, and whether the container is up."""
    if (container := work.docker.container(shown)) is None:
        return Check(name, "failed", f"there is no container {shown}", _deploy_again(work)), False
    if isinstance(service, Sidecar) and has_ended_well(service, container):
        return Check(name, "ok", f"container {shown} has done its work"), False
    if fault := container_fault(container, shown, work.secrets):
        return Check(name, "failed", fault, container_remedy(container, shown, work.more_memory)), False
    problem = ""
    if not hashes.is_rendered(service.name, container):
        problem = f"container {shown} is not as the compose file wants it"
    elif isinstance(service, Service) and not _is_current(work, service, container.revision):
        problem = f"container {shown} runs with older settings or secrets than the delivered ones"
    if problem:
        return Check(name, "failed", problem, _deploy_again(work)), True
    if isinstance(service, Sidecar) and not (answer := sidecar_answer(work, service, shown, container)).ok:
        return Check(name, "failed", answer.detail, answer.remedy), True
    restarts = f"; restarted {container.restarts} times" if container.restarts else ""
    killed = f"; {fault}" if (fault := memory_fault(work.machine, container, shown)) else ""
    return Check(name, "ok", f"running since {container.since:%Y-%m-%d %H:%M} UTC{restarts}{killed}"), True


def _is_current(work: Work, service: Service, label: str) -> bool:
    """Tell whether a container has started with the managed files that are there, and they are the delivered ones."""
    source = f"{work.payload}/services/{service.name}/managed"
    files = all(work.same(f"{source}/{it}", f"{managed(work, service)}/{it}") for it in service.files)
    return files and bool(label) and label == revision(work, service)


def _check_sidecar(work: Work, sidecar: Sidecar, hashes: Hashes | None) -> Check:
    name = f"container {sidecar.name}"
    if hashes is None:
        return Check(name, "skipped", _NO_DOCKER)
    # Its container may have any name: Compose knows it.
    found = work.docker.of_service(sidecar.name)
    shown = found[0] if found else f"{work.plan.agent}-{sidecar.name}"
    return _check_container(work, sidecar, name, shown, hashes)[0]


# secrets ----------------------------------------------------------------------------------------------------------------


def _private_files(work: Work) -> dict[str, str]:
    """Return whose each file with secrets must be."""
    files = {}
    for service in work.compose.services:
        for path in (f"{managed(work, service)}/.env", *service.private):
            files[path] = work.compose.owner
    files |= {f"{work.project}/.env": "0:0"} if work.compose.variables else {}
    return files | {f"{work.project}/sidecars/{it.name}.env": "0:0" for it in work.compose.sidecars}


def check_secrets(machine: Machine, owners: dict[str, str]) -> Check:
    """Check whether nobody else can read the files with secrets.

    Args:
        machine: The container.
        owners: Files, and whose they must be; those that were delivered are known.
    """
    folder = "/etc/pve-agents"
    delivered = {f"{folder}/{it}": "0:0" for it in machine.names(folder) if it.endswith(".env")}
    faults, remedies, count = [], [], 0
    for path, owner in (delivered | owners).items():
        if (status := machine.status(path)) is None:
            continue
        count += 1
        if status.mode & _OPEN_TO_OTHERS:
            faults.append(f"{path} has mode {status.mode:o}")
            remedies.append(f"chmod 600 {path}")
        elif status.owner != owner:
            faults.append(f"{path} belongs to {status.owner}")
            remedies.append(f"chown {owner} {path}")
    if faults:
        remedy = f"run `{'; '.join(remedies)}` in the container"
        return Check("secrets", "failed", f"secrets that others can read: {', '.join(faults)}", remedy)
    return Check("secrets", "ok", f"{count} files, each for its owner alone" if count else "there are none")
