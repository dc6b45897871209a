"""What a container of Proxmox VE makes of a profile, and what does not fit into it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pve_agents.agents.hermes.docker import in_bytes
from pve_agents.agents.hermes.documents import HOME_DOCUMENTS
from pve_agents.agents.hermes.profile import Profile
from pve_agents.agents.kind import Container
from pve_agents.problems import Problem
from pve_agents.types import lies_in, shown

__all__ = ["misfits", "placed"]

# What the default limits need.
_ROOMY_MIB = 4096
_ROOMY_CORES = 2

_P = TypeVar("_P", bound=Profile)


def placed(profile: _P, stated: Mapping[str, Any], container: Container, workspace: str) -> _P:
    """Return a profile with the defaults that follow from the container.

    Args:
        profile: The profile.
        stated: What is stated of its settings, with what it inherits.
        container: The container.
        workspace: Its working directory, unless it has another one.
    """
    update: dict[str, Any] = {}
    if (
        profile.config_file is None
        and profile.settings.terminal.cwd is None
        and stated.get("terminal", {}).get("backend", "local") == "local"
    ):
        terminal = profile.settings.terminal.model_copy(update={"cwd": workspace})
        update["settings"] = profile.settings.model_copy(update={"terminal": terminal})
    unfit = {
        "memory": container.memory_mib < _ROOMY_MIB and "memory" not in profile.limits.model_fields_set,
        "cpus": container.cores < _ROOMY_CORES and "cpus" not in profile.limits.model_fields_set,
    }
    if any(unfit.values()):
        update["limits"] = profile.limits.model_copy(update={name: None for name, does in unfit.items() if does})
    return profile.model_copy(update=update)


def misfits(profile: Profile, container: Container, writable: Sequence[str]) -> Iterator[Problem]:
    """Find what of a profile does not fit into the container.

    Args:
        profile: The profile, with nothing left to inherit.
        container: The container.
        writable: Directories that Hermes may write.
    """
    limits = profile.limits
    if limits.memory and in_bytes(limits.memory) > container.memory_mib * 2**20:
        yield Problem(
            ("limits", "memory"),
            f"{limits.memory} is more than the container's {container.memory_mib} MiB; write less, or null for no limit",
            limits.memory,
        )
    if limits.cpus and limits.cpus > container.cores:
        yield Problem(
            ("limits", "cpus"),
            f"{limits.cpus:g} is more than the container's {container.cores} cores; write less, or null for no limit",
            limits.cpus,
        )
    for i, volume in enumerate(profile.volumes):
        target = volume.split(":")[1]
        if target in container.mounts:
            yield Problem(("volumes", i), f"{shown(target)} is a mount of the agent; write another place", volume)
    terminal = profile.config["terminal"]
    if terminal.get("backend", "local") == "local":
        yield from _cwd_problems(profile, str(profile.workspace), writable)
    elif lost := [name for name in profile.documents if name not in HOME_DOCUMENTS]:
        yield Problem(
            ("documents", lost[0]),
            f"this belongs into the working directory, and terminal.backend: {terminal['backend']} has it elsewhere; "
            "leave it out",
        )


def _cwd_problems(profile: Profile, cwd: str, writable: Sequence[str]) -> Iterator[Problem]:
    plain = re.fullmatch(r"/[^\x00-\x1f\x7f:]+", cwd) and not {"", ".", ".."} & set(cwd[1:].split("/"))
    if not plain:
        reason = "is not a plain absolute path"
    elif not any(lies_in(cwd, it) for it in writable):
        reason = f"is not in a directory that Hermes may write, which are {', '.join(writable)}"
    else:
        return
    yield Problem(
        (*profile.config_place, "terminal", "cwd"),
        f"{shown(cwd)} {reason}; write one such as {writable[-1]}/workspace",
        cwd,
    )
