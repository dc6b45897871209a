"""The files of the payload, put where the agents read them, and the revision that says whether one has to start anew."""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

from pve_agents.guest.machine import Machine
from pve_agents.guest.progress import fail
from pve_agents.guest.services import Document, Seed, Service
from pve_agents.guest.work import Work

__all__ = [
    "changed",
    "deliver_others",
    "deliver_service",
    "digest",
    "is_current",
    "managed",
    "put",
    "put_secrets",
    "revision",
]

_PRIVATE, _DOCUMENT, _DOCUMENT_DIRECTORY, _PROGRAM = 0o600, 0o640, 0o750, 0o755
_REVISION_LENGTH = 16


def managed(work: Work, service: Service) -> str:
    """Return the directory that a service is shown, read-only."""
    return f"{work.project}/services/{service.name}/managed"


def revision(work: Work, service: Service) -> str:
    """Return a word that changes with all that a service reads only when it starts; empty if a file is missing.

    A secret goes in by the time of its file, never by its value.
    """
    files = [f"{work.payload}/{it}" for it in work.software.programs]
    files += [f"{managed(work, service)}/{it}" for it in service.files]
    files += [f"{work.payload}/services/{service.name}/managed/env"]
    contents = [work.machine.read(it) for it in files]
    time = changed(work, f"{managed(work, service)}/.env")
    if not time or None in contents:
        return ""
    return digest(*(it or b"" for it in contents), time)


def changed(work: Work, path: str) -> bytes:
    """Return when a file was written last, as a line; empty where there is none."""
    status = work.machine.status(path)
    if status is None:
        return b""
    seconds, rest = divmod(status.changed_ns, 10**9)
    return f"{seconds}.{rest:09}\n".encode()


def digest(*parts: bytes) -> str:
    """Return a short word for what is in all of these."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:_REVISION_LENGTH]


def is_current(work: Work, service: Service, started_with: str) -> bool:
    """Tell whether a service has started with the managed files that are there, and they are the delivered ones.

    Args:
        work: The run.
        service: The service.
        started_with: The revision that it has started with.
    """
    source = f"{work.payload}/services/{service.name}/managed"
    files = all(work.same(f"{source}/{it}", f"{managed(work, service)}/{it}") for it in service.files)
    return files and bool(started_with) and started_with == revision(work, service)


def deliver_service(work: Work, service: Service) -> None:
    """Put every file of one agent's in place that is not as it should be."""
    _deliver_managed(work, service)
    _deliver_documents(work, service)
    for seed in service.seeds:
        _deliver_seed(work, seed)
    for path in service.empty:
        _deliver_empty(work, path)


def deliver_others(work: Work) -> None:
    """Put in place what is delivered beside the agents' own files."""
    for name in work.software.files:
        work.machine.want_directory(f"{work.project}/{name}".rpartition("/")[0])
        put(work, f"{work.payload}/{name}", f"{work.project}/{name}")
    for name in work.software.programs:
        work.machine.want_directory(f"{work.project}/{name}".rpartition("/")[0])
        put(work, f"{work.payload}/{name}", f"{work.project}/{name}", mode=_PROGRAM)


def put(work: Work, source: str, target: str, mode: int = 0o644) -> None:
    """Put a file in place, if it is not as it should be."""
    content, status = work.machine.read(source), work.machine.status(target)
    if content is None or (
        content == work.machine.read(target) and status is not None and status.mode & mode & 0o111 == mode & 0o111
    ):
        return
    work.machine.write(target, content, mode)
    _did(work, target)


def _did(work: Work, path: str) -> None:
    work.progress.did(path.removeprefix(f"{work.project}/"))


# secrets ----------------------------------------------------------------------------------------------------------------


def _deliver_managed(work: Work, service: Service) -> None:
    directory = managed(work, service)
    work.machine.want_directory(directory)
    source = f"{work.payload}/services/{service.name}/managed"
    for name in service.files:
        put(work, f"{source}/{name}", f"{directory}/{name}")
    lines = [text] if (text := work.machine.text(f"{source}/env")) else []
    lines += [f"{it.name}={work.secrets.texts[it.source]}" for it in service.secrets]
    put_secrets(work, f"{directory}/.env", lines, work.user)


def put_secrets(work: Work, path: str, lines: list[str], owner: tuple[int, int]) -> None:
    """Write lines where only their owner reads them."""
    content = "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
    status = work.machine.status(path)
    is_private = status is not None and (status.uid, status.gid, status.mode) == (*owner, _PRIVATE)
    if is_private and work.machine.read(path) == content:
        return
    work.machine.write(path, content, _PRIVATE, owner if owner != (0, 0) else None)
    _did(work, path)


# what is the agent's own ------------------------------------------------------------------------------------------------


def _deliver_documents(work: Work, service: Service) -> None:
    """Write a document again only when its declared text has changed.

    What the agent has made of it meanwhile is kept beside it.
    """
    delivered = f"{work.project}/services/{service.name}/delivered"
    for document in service.documents:
        source = f"{work.payload}/services/{service.name}/documents/{document.name}"
        before = f"{delivered}/{document.name}"
        if not work.same(source, before):
            _deliver_document(work, document, work.machine.read(source) or b"", work.machine.read(before))
            work.machine.want_directory(before.rpartition("/")[0])
            work.machine.write(before, work.machine.read(source) or b"")
    # What is no longer declared is the agent's alone.
    for name in work.machine.files_below(delivered):
        if name not in {it.name for it in service.documents}:
            work.machine.remove(f"{delivered}/{name}")


def _deliver_document(work: Work, document: Document, content: bytes, before: bytes | None) -> None:
    try:
        if work.machine.as_user(work.user, same_bytes, document.target, content):
            return
        work.machine.as_user(work.user, write_document, document.target, content, before)
    except OSError:
        fail(
            f"user {work.software.owner} cannot write {document.target}: look at who owns that place, and whether its disk is full"
        )
    work.progress.did(document.name.partition("/")[2])


def same_bytes(machine: Machine, path: str, content: bytes) -> bool:
    """Tell, as the agent, whether a file of its own holds this."""
    return machine.is_file(path) and machine.read(path) == content


def write_document(machine: Machine, path: str, content: bytes, before: bytes | None) -> None:
    """Write, as the agent, a document of its own; keep what it has changed."""
    directory = str(PurePosixPath(path).parent)
    machine.want_directory(directory, _DOCUMENT_DIRECTORY, above=_DOCUMENT_DIRECTORY)
    if machine.exists(path) and (machine.is_directory(path) or before is None or machine.read(path) != before):
        machine.move(path, f"{path}.previous")
    machine.write(path, content, _DOCUMENT)


def _deliver_seed(work: Work, seed: Seed) -> None:
    content = seed_content(work, seed)
    try:
        if not work.machine.as_user(work.user, write_seed, seed.target, content, seed.overwrite):
            return
    except OSError:
        fail(f"user {work.software.owner} cannot write {seed.target}: look at who owns that place")
    work.progress.did(seed.target.rpartition("/")[2])


def seed_content(work: Work, seed: Seed) -> bytes:
    """Return what a file that is made from a secret holds."""
    return f"{work.secrets.values[seed.source]}\n".encode(errors="surrogateescape")


def write_seed(machine: Machine, path: str, content: bytes, overwrite: bool) -> bool:  # noqa: FBT001 - by as_user
    """Write, as the agent, a file of its own; tell whether there was need."""
    # A link to nowhere is no file yet.
    if machine.place(path).exists() and (not overwrite or machine.read(path) == content):
        return False
    machine.write(path, content, _PRIVATE)
    return True


def _deliver_empty(work: Work, path: str) -> None:
    try:
        if not work.machine.as_user(work.user, write_empty, path):
            return
    except OSError:
        fail(f"user {work.software.owner} cannot write {path}: look at who owns that place")
    work.progress.did(path.rpartition("/")[2])


def write_empty(machine: Machine, path: str) -> bool:
    """Make, as the agent, a file of its own where there is none; tell whether there was need."""
    if machine.place(path).exists():
        return False
    machine.write(path, b"", _DOCUMENT)
    return True
