"""The files that Compose and its services read, and what tells it which containers have to start anew."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pve_agents.guest.files import changed, deliver_others, deliver_service, digest, put_secrets, revision
from pve_agents.guest.plan import Sidecar
from pve_agents.guest.work import ComposeWork

__all__ = ["deliver_files", "lines_for_compose"]


def deliver_files(work: ComposeWork) -> None:
    """Put every file in place that is not as it should be."""
    for directory in ("image", "sidecars"):
        work.machine.want_directory(f"{work.project}/{directory}")
    revisions = []
    for service in work.compose.services:
        deliver_service(work, service)
        revisions.append(f"{_variable(service.name)}={revision(work, service)}")
    for sidecar in work.compose.sidecars:
        _deliver_sidecar(work, sidecar)
        revisions.append(f"{_variable(sidecar.name)}={_sidecar_revision(work, sidecar)}")
    deliver_others(work)
    # Compose reads this by itself: a label with the revision has it recreate exactly the containers that it concerns.
    if work.compose.variables:
        secrets = lines_for_compose({it: work.secrets.values[it] for it in work.compose.variables})
        put_secrets(work, f"{work.project}/.env", [*revisions, *secrets], (0, 0))
    elif work.machine.text(f"{work.project}/.env") != (text := "\n".join(revisions)):
        work.remember(f"{work.project}/.env", text)
        work.progress.did(".env")
    if work.progress.changes:
        work.sync(work.project)


def _variable(name: str) -> str:
    return f"REVISION_{re.sub(r'[^A-Z0-9_]', '_', name.upper())}"


def _sidecar_revision(work: ComposeWork, sidecar: Sidecar) -> str:
    time = changed(work, f"{work.project}/sidecars/{sidecar.name}.env")
    return digest(time) if time else ""


def _deliver_sidecar(work: ComposeWork, sidecar: Sidecar) -> None:
    file = f"{work.project}/sidecars/{sidecar.name}.env"
    if sidecar.secrets:
        put_secrets(work, file, lines_for_compose({it: work.secrets.values[it] for it in sidecar.secrets}), (0, 0))
    elif work.machine.exists(file):
        work.machine.remove(file)


def lines_for_compose(values: Mapping[str, str]) -> list[str]:
    """Return lines for a file that Compose reads in its own way: only a quote is escaped in single quotes."""
    return ["{}='{}'".format(name, value.replace("'", "\\'")) for name, value in values.items()]
