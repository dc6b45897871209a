"""The containers: made, started and replaced by Compose, and only those that are not as wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pve_agents.guest.copies import copy_before_upgrade, finish_restore, remember_versions
from pve_agents.guest.progress import FailureError, fail
from pve_agents.guest.revisions import Hashes, read_hashes, record_of
from pve_agents.guest.sidecars import has_ended_well
from pve_agents.guest.smoke import no_containers
from pve_agents.guest.work import ComposeWork

__all__ = ["want_containers"]

# Compose makes the new container beside the old one, and gives it its name at the end.
_HALF_MADE = re.compile(r"[0-9a-f]{12}_.*")
# Compose waits by itself for what a service depends on.
_WAITED_FOR = re.compile(
    r"dependency failed to start: container (?P<container>\S+)|service \"(?P<service>[^\"]+)\" didn't complete successfully"
)
_NAME_IN_USE = re.compile(r'is already in use by container "?([0-9a-f]+)')


def want_containers(work: ComposeWork) -> None:
    """Have every container running as it is wanted, and no other one."""
    try:
        hashes = read_hashes(work)
    except FailureError as error:
        fail(f"Compose does not take {work.project}/docker-compose.yml: {error}")
    _remove_half_made(work)
    finish_restore(work)
    copy_before_upgrade(work)
    remember_versions(work)
    before = {service: identity for identity, service, _ in work.docker.project_containers()}
    is_wanted, stopped = _judge(work, hashes, before)
    if not is_wanted:
        _bring_up(work)
        after = {service: identity for identity, service, _ in work.docker.project_containers()}
        _tell(work, before, after, stopped)
        record = [f"{name} {hashes.wanted.get(name, '')} {after.get(name, '')}" for name in work.names]
        work.remember(record_of(work), "\n".join(record))
    _remove_leftovers(work)


def _judge(work: ComposeWork, hashes: Hashes, before: Mapping[str, str]) -> tuple[bool, set[str]]:
    """Tell whether every container is there as it is wanted, and no other one; and which do not run."""
    is_wanted, stopped = before.keys() == hashes.wanted.keys(), set()
    sidecars = {it.name: it for it in work.compose.sidecars}
    images = _images(work)
    for service, identity in before.items():
        container = work.docker.container(identity)
        if container is None:
            is_wanted = False
            continue
        ended_well = service in sidecars and has_ended_well(sidecars[service], container)
        if container.status not in ("running", "restarting") and not ended_well:
            is_wanted = False
            stopped.add(identity)
        elif not hashes.is_rendered(service, container) or container.image != images.get(service, container.image):
            is_wanted = False
    return is_wanted, stopped


def _images(work: ComposeWork) -> dict[str, str]:
    """Return the id of the image that each service is to run."""
    compose = work.compose
    found: dict[str, str] = {}
    for reference, names in (
        *([(compose.image.run, [it.name for it in compose.services])] if compose.image else []),
        *((it.image, [it.name]) for it in compose.sidecars),
    ):
        found |= dict.fromkeys(names, work.docker.image_id(reference))
    return found


def _tell(work: ComposeWork, before: Mapping[str, str], after: Mapping[str, str], stopped: set[str]) -> None:
    for name in work.names:
        if name not in before:
            work.progress.did(f"{name} created")
        elif before[name] != after.get(name):
            work.progress.did(f"{name} recreated")
        elif before[name] in stopped:
            work.progress.did(f"{name} started")
    for name in before:
        if name not in after:
            work.progress.did(f"{name} removed")


def _remove_half_made(work: ComposeWork) -> None:
    """Remove what Compose was killed over: it would start the new container under that other name."""
    for identity, _, name in work.docker.project_containers():
        if _HALF_MADE.fullmatch(name):
            _remove_container(work, identity, name)


def _remove_container(work: ComposeWork, identity: str, name: str) -> None:
    # Killed in the middle of a write, an agent may lose its memory.
    seconds = work.compose.stop_seconds
    stop = ("docker", "container", "stop", "-t", str(seconds), identity)
    if not work.machine.run(*stop, seconds=seconds + 60).ok:
        fail(f"the half-made container {name} does not stop")
    if not work.docker.ask("container", "rm", "--force", identity).ok:
        fail(f"the half-made container {name} cannot be removed")
    work.progress.did("half-made container removed")


def _bring_up(work: ComposeWork) -> None:
    options = (
        "--detach",
        "--remove-orphans",
        "--no-build",
        "--quiet-pull",
        "--timeout",
        str(work.compose.stop_seconds),
    )
    until = work.machine.seconds() + work.patience.name
    while not (ran := work.docker.compose("up", *options)).ok:
        found = _NAME_IN_USE.search(ran.out)
        if not found or _is_foreign(work, found[1]):
            _up_failed(work, ran.out)
        if work.machine.seconds() >= until:
            fail(
                "Docker keeps a name for a container of ours that it was making when it was interrupted: run `systemctl"
                " restart docker` in the container, and deploy again",
                work.last_line(ran.out),
            )
        work.progress.waiting("waiting for a container that Docker is still making")
        work.machine.sleep(1)


def _is_foreign(work: ComposeWork, identity: str) -> bool:
    """Tell whether a name is taken by somebody else's container; one of ours that has never run is removed.

    Docker goes on with what it was asked for when whoever has asked is gone: the name is taken at once, and the container
    shows later.
    """
    form = '{{index .Config.Labels "com.docker.compose.project"}}|{{.State.Status}}|{{.Name}}'
    if not (shown := work.docker.of_container(form, identity)):
        return False
    project, status, name = shown.split("|")
    if project == work.plan.agent and status == "created":
        _remove_container(work, identity, name.removeprefix("/"))
    return project != work.plan.agent


def _up_failed(work: ComposeWork, said: str) -> None:
    line = work.last_line(said)
    if "is already in use by container" in said:
        fail(
            "a container of the same name that does not belong to this deploy is in the way: look at it with `docker ps -a`"
            " in the container, and remove it with `docker stop -t 120 NAME` and `docker rm NAME`",
            line,
        )
    if found := _WAITED_FOR.search(said):
        name = found["container"] or found["service"]
        fail(
            f"{name} is not well, and others wait for it: look at `docker ps -a` and at its `docker logs` in the container",
            line,
            *(work.docker.log(name, work.secrets) if found["container"] else ()),
        )
    if "port is already allocated" in said or "address already in use" in said:
        fail("a port that a container publishes is in use: free it, or choose another one", line)
    if "no space left" in said:
        fail(work.more_room, line)
    if "error gathering device information" in said:
        fail(
            f"a device of {work.agent_setting}.devices is not in the container: it comes with the container's next start, so"
            " restart it, and deploy again",
            line,
        )
    if "ip_unprivileged_port_start" in said:
        no_containers(work, said)
    fail("the containers do not start: look at `docker ps -a` in the container", line)


def _remove_leftovers(work: ComposeWork) -> None:
    """Remove the files of services and sidecars that are gone; their data directories are left alone."""
    services = {it.name for it in work.compose.services}
    sidecars = {f"{it.name}.env" for it in work.compose.sidecars}
    for folder, names in (("services", services), ("sidecars", sidecars)):
        for name in work.machine.names(f"{work.project}/{folder}"):
            if name not in names:
                work.machine.remove(f"{work.project}/{folder}/{name}")
    # Whole folders of these are shown to a service.
    for name in work.machine.files_below(f"{work.project}/beside"):
        if f"beside/{name}" not in (*work.compose.files, *work.compose.programs):
            work.machine.remove(f"{work.project}/beside/{name}")
