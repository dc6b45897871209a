"""Whether Docker can run a container in this container at all."""

from __future__ import annotations

import io
import re
import tarfile
from typing import NoReturn

from pve_agents.guest.progress import fail
from pve_agents.guest.work import STATE, ComposeWork

__all__ = ["no_containers", "smoke_test"]

_STAMP = f"{STATE}/smoke-test"
_IMAGE, _PROGRAM = "pve-agents/smoke-test:latest", "bin/true"


def smoke_test(work: ComposeWork) -> None:
    """Run a container, unless Docker, containerd and runc are what they were when one ran last."""
    form = "{{range .Server.Components}}{{.Name}} {{.Version}} {{end}}"
    versions = f"{work.docker.ask('version', '--format', form).out}network {work.compose.network}"
    if work.machine.text(_STAMP) == versions:
        return
    imported = work.machine.run("docker", "import", "-", _IMAGE, seconds=60, stdin=_packed_program(work), joined=True)
    if not imported.ok:
        fail(f"Docker cannot import an image: {work.last_line(imported.out)}")
    network = ("--network", work.compose.network)
    ran = work.machine.run("docker", "run", "--rm", *network, _IMAGE, f"/{_PROGRAM}", seconds=120, joined=True)
    if not ran.ok:
        no_containers(work, ran.out)
    work.docker.ask("image", "rm", "--force", _IMAGE)
    work.remember(_STAMP, versions)
    work.progress.did("a container runs")


def _packed_program(work: ComposeWork) -> bytes:
    """Return this container's own ``true`` with the libraries that it wants: nothing has to be fetched."""
    libraries = re.findall(r"(?:^|\s)/(\S+)", work.machine.run("ldd", f"/{_PROGRAM}", seconds=60).out)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as archive:
        for name in (_PROGRAM, *libraries):
            archive.add(work.machine.place(f"/{name}"), arcname=name, recursive=False)
    return packed.getvalue()


def no_containers(work: ComposeWork, said: str) -> NoReturn:
    """Say why Docker cannot run a container."""
    line = work.last_line(said)
    if re.search(r"ip_unprivileged_port_start.*permission denied", said, re.DOTALL):
        fail(
            "Docker cannot run containers: this node's lxc-pve is too old for this Docker (runc 1.3.3 and newer). On the node,"
            " upgrade lxc-pve to 6.0.5-2 or newer, then restart the container; or set"
            f" {work.compose.settings.network} to host",
            line,
        )
    if "keyctl" in said or "session keyring" in said:
        fail(
            f"Docker cannot run containers without keyctl: set {work.agent_setting}.keyctl to true, and deploy"
            f" {work.plan.agent}-root",
            line,
        )
    if "no space left" in said.lower():
        fail(work.more_room, line)
    fail("Docker cannot run containers: look at the features of the container (nesting, keyctl)", line)
