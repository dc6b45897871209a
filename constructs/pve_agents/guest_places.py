"""Which places of an LXC container may be shown to what Docker runs in it.

One answer for every setting that names a place there. Who may write in the others is root in the LXC container: they hold
Docker's socket, what root runs or reads, or secrets.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from pve_agents.problems import Key, Problem
from pve_agents.types import is_system_state, lies_in, shown

__all__ = ["GIVES_DOCKER_AWAY", "is_withheld", "link_problems", "place"]

GIVES_DOCKER_AWAY = "gives Docker away, and who speaks to Docker is root in the LXC container; leave it out"

_OURS = ("/etc/pve-agents", "/opt/pve-agents", "/var/lib/pve-agents")
# Everything that a system has in its root, but for places of the operator's own: /home, /media, /mnt, /opt, /srv.
_SYSTEM = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/lost+found", "/proc", "/root", "/run"),
    *("/sbin", "/snap", "/sys", "/tmp", "/usr", "/var"),  # noqa: S108 - refused
    *("/opt/cni", "/opt/containerd"),
)
_STATE = frozenset({"cni", "containerd", "containers", "docker", "dockershim", "kubelet", "buildkit", "cloud", "snapd"})
# What many services want to see, and nobody can do anything with.
_HARMLESS = (
    "/etc/localtime",
    "/etc/ssl/certs",
    "/etc/timezone",
    "/usr/local/share/ca-certificates",
    "/usr/share/zoneinfo",
)


def is_withheld(path: str, *, read_only: bool = False) -> bool:
    """Tell whether a place is not to be shown.

    Args:
        path: An absolute path in the LXC container.
        read_only: Whether it is shown to be read only. Defaults to false.
    """
    if path == "/" or _is_socket_of_docker(path):
        return True
    if read_only and any(lies_in(path, harmless) for harmless in _HARMLESS):
        return False
    if path.startswith("/var/lib/") and not any(lies_in(path, it) for it in _OURS):
        # What a service of the operator's own keeps is not the system's.
        name = path.removeprefix("/var/lib/").partition("/")[0]
        return is_system_state(name) or name in _STATE
    return any(lies_in(path, it) or lies_in(it, path) for it in (*_OURS, *_SYSTEM))


def place(path: str, *, read_only: bool = False, such_as: str = "/srv/books") -> str:
    """Return a place that may be shown.

    Args:
        path: A plain absolute path in the LXC container.
        read_only: Whether it is shown to be read only. Defaults to false.
        such_as: A place for the message. Defaults to one for files.

    Raises:
        ValueError: It may not. The phrase says what to write instead.
    """
    if _is_socket_of_docker(path):
        raise ValueError(f"{shown(path)} {GIVES_DOCKER_AWAY}")
    if not is_withheld(path, read_only=read_only):
        return path
    if not read_only and not is_withheld(path, read_only=True):
        raise ValueError(f"{shown(path)} belongs to the system, and may be shown to be read only; write it with :ro")
    raise ValueError(
        f"{shown(path)} holds Docker's socket, this project's secrets or the system; "
        f"write another directory, such as {such_as}"
    )


def _is_socket_of_docker(path: str) -> bool:
    return bool(re.search(r"/(docker|containerd|buildkitd|podman|crio)\.sock$", path))


def link_problems(
    sources: Sequence[tuple[Key, str]], mounts: Mapping[str, bool], others: Mapping[str, bool]
) -> Iterator[Problem]:
    """Find what lies where an agent can put a link in its place, which Docker follows as root to any place.

    Args:
        sources: What is shown, each with the key that says so.
        mounts: The mounts of the LXC container, each with whether it can be written.
        others: What else is shown to a service, each with whether it can be written.
    """
    for key, source in sources:
        around = [it for it in {**others, **mounts} if lies_in(source, it) and (it != source or it in mounts)]
        nearest = max(around, key=len, default=source)
        if nearest != source and {**others, **mounts}[nearest]:
            sentence = (
                f"{shown(source)} lies in {shown(nearest)}, where an agent may put a link in its place, which Docker follows "
                f"to anywhere in the LXC container; write {nearest} itself, or a directory outside of it, such as "
                "/srv/books"
            )
            yield Problem(key, sentence, source)
