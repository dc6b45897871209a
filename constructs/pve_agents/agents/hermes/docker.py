"""Docker in the container: Hermes' image and limits, and the services beside it in the words of Compose.

https://hermes-agent.nousresearch.com/docs/user-guide/docker
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from pve_agents.agents.docker import DIGEST, MOVING_TAGS, REPOSITORY, TAG
from pve_agents.guest_places import place
from pve_agents.model import Model, ReadOnly, at_most, distinct
from pve_agents.problems import checked
from pve_agents.stopping import LEAST_SECONDS, MOST_SECONDS
from pve_agents.types import Number, Text, lies_in, shown

__all__ = [
    "DATA",
    "FEW_VOLUMES",
    "RELEASE",
    "RESERVED_TARGETS",
    "VERSION",
    "Argument",
    "Audio",
    "DebianPackage",
    "Healthcheck",
    "Image",
    "Limits",
    "Logging",
    "Seconds",
    "Service",
    "Size",
    "StopSeconds",
    "Variables",
    "Volumes",
    "in_bytes",
    "overlap",
    "plain_volumes",
]

DATA = "/opt/data"
"""The agent's data as its own container sees it."""

RESERVED_TARGETS = (
    *("/bin", "/dev", "/etc", "/init", "/lib", "/managed", "/opt/hermes", "/proc", "/run/service", "/sbin", "/sys"),
    DATA,
)
"""What the image of Hermes has in its container, where nothing else may be mounted."""

RELEASE, VERSION = "v2026.9.14", "0.21.3"
"""The release of Hermes that runs by default; CONTRIBUTING.md says how it is raised."""

_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}
_VOLUME_WRITE = "host:container or host:container:ro with absolute paths, such as /srv/books:/srv/books:ro"

# Values -----------------------------------------------------------------------------------------------------------


def in_bytes(size: str) -> int:
    """Return how much a size such as ``3g`` is."""
    return int(float(size[:-1]) * _UNITS[size[-1]])


def _memory(value: str) -> str:
    if in_bytes(value.lower()) < _UNITS["g"]:
        raise ValueError(f"{shown(value)} is less than Hermes needs; write at least 1g")
    return value.lower()


def overlap(path: str, directories: Iterable[str]) -> bool:
    """Tell whether a path is, holds or lies in one of the directories."""
    return path == "/" or any(lies_in(path, it) or lies_in(it, path) for it in directories)


def _volume(key: object, value: Any) -> Iterator[tuple[object, str]]:  # noqa: ANN401 - not checked yet
    source, target, mode = (*str(value).split(":"), "rw", "", "")[:3]
    if isinstance(value, str) and value.count(":") == 2 and mode not in {"ro", "rw"}:  # noqa: PLR2004 - host, container, mode
        raise ValueError(f"{shown(value)} ends in {shown(mode)}, which is no mode of a volume; write ro in its place")
    plain = r"/(?:[^/:\x00-\x1f\x7f]+(?:/[^/:\x00-\x1f\x7f]+)*)?"
    if (
        not isinstance(value, str)
        or len(value.split(":")) not in {2, 3}
        or mode not in {"ro", "rw"}
        or not (re.fullmatch(plain, source) and re.fullmatch(plain, target))
        or {".", ".."} & set(f"{source}/{target}".split("/"))
    ):
        raise ValueError(f"{shown(value)} is not a volume; write {_VOLUME_WRITE}")
    if target == "/":
        raise ValueError(f"{shown(value)} would hide the whole container; write a directory in it")
    place(source, read_only=mode == "ro")
    yield key, value


def _hermes_volume(key: object, value: Any) -> Iterator[tuple[object, str]]:  # noqa: ANN401 - not checked yet
    yield from _volume(key, value)
    source, target = value.split(":")[:2]
    if overlap(target, RESERVED_TARGETS):
        raise ValueError(f"{shown(target)} is Hermes' own in its container; write another place, such as {source}")


def plain_volumes(values: object) -> object:
    """Return directories of the LXC container, checked as any service may have them."""
    return [it for _, it in checked(values, _volume)] if isinstance(values, list | tuple) else values


def _hermes_volumes(values: object) -> object:
    return [it for _, it in checked(values, _hermes_volume)] if isinstance(values, list | tuple) else values


_SIZE_WRITE = 'a number with k, m or g behind it, such as "1g"'
_SIZE = r"[1-9][0-9]{0,9}(?:\.[0-9]{1,3})?[kmgKMG]"
Size = Annotated[str, Text("a size", _SIZE, _SIZE_WRITE, 16, str.lower)]
"""A size as Docker spells it, such as ``10m``."""

_MemorySize = Annotated[str, Text("a size", _SIZE, _SIZE_WRITE, 16, _memory)]
Argument = Annotated[str, Text("an argument", r"[^\x00-\x1f\x7f]+", "one line of text in quotes", 4096)]
"""A word of a command."""

Variables = Annotated[Mapping[str, str], ReadOnly()]
"""Variables with their values, which are no secrets."""

FEW_VOLUMES = at_most(256, "volumes")
Volumes = Annotated[tuple[str, ...], AfterValidator(distinct), BeforeValidator(_hermes_volumes), FEW_VOLUMES]
"""Directories of the LXC container in Hermes' own."""

Service = Annotated[str, Text("a service or network", r"[a-z][a-z0-9_-]*", "its name, such as browser", 64)]
"""What Compose calls a service or a network."""


def _sound(path: str) -> str:
    if {".", ".."} & set(path.split("/")):
        raise ValueError(f"{shown(path)} has a . or .. in it; write the plain path, such as {_SOUND}")
    return place(path, such_as=_SOUND)


_SOUND = "/mnt/pulse"
_Path = Annotated[
    str,
    Text(
        "a path",
        r"(?:/[^/:\x00-\x1f\x7f]+)+",
        f"an absolute one without a slash at its end, such as {_SOUND}",
        1024,
        _sound,
    ),
]
Seconds = Annotated[int, Number("a number of seconds", 1, 86_400)]
StopSeconds = Annotated[int, Number("a number of seconds for a stop", LEAST_SECONDS, MOST_SECONDS)]
"""A time to stop that a reboot of the LXC container leaves room for."""

DebianPackage = Annotated[
    str, Text("a Debian package", r"[a-z0-9][a-z0-9+.-]+", "its name, such as libasound2-plugins", 100)
]
"""The name of a Debian package."""


class Image(Model):
    """The image of Hermes."""

    repository: Annotated[
        str, Text("an image", REPOSITORY, "its name without a tag, such as nousresearch/hermes-agent", 255)
    ] = "nousresearch/hermes-agent"
    """Its name without a tag. Defaults to nousresearch/hermes-agent."""

    tag: Annotated[
        str, Text("a tag", TAG, f"letters, digits, dots, hyphens and underscores, such as {RELEASE}", 128)
    ] = Field(
        default=RELEASE,
        description=f"Its tag; latest, main and stable change by themselves. Defaults to {RELEASE}, which is {VERSION}.",
    )

    digest: Annotated[str, Text("a digest", DIGEST, "sha256: and 64 hexadecimal digits", 71)] | None = None
    """Digest that pins the very bytes, as sha256:<64 digits>. Defaults to none."""

    apt_packages: Annotated[tuple[DebianPackage, ...], AfterValidator(distinct)] = ()
    """Debian packages to add, in an image that is built in the container. Defaults to none."""

    @property
    def reference(self) -> str:
        """How Docker calls it."""
        return f"{self.repository}:{self.tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def is_moving(self) -> bool:
        """Whether the tag means another image from time to time."""
        return self.tag in MOVING_TAGS


class Limits(Model):
    """What one profile may use of the container."""

    memory: _MemorySize | None = "3g"
    """Memory, at least 1g. Defaults to 3g, or none where the container has less than 4 GiB."""

    cpus: Annotated[float, Number("a number of CPUs", 0, 128, whole=False)] | None = 2.0
    """CPU time in cores' worth. Defaults to 2, or none where the container has a single core."""

    pids: Annotated[int, Number("a number of processes", 64, 4_194_304)] | None = None
    """Number of processes. Defaults to none."""

    @field_validator("cpus")
    @classmethod
    def _something(cls, cpus: float | None) -> float | None:
        if cpus == 0:
            raise ValueError("0 is no CPU time at all; write more, or null for no limit")
        return cpus


class Healthcheck(Model):
    """How Docker sees whether Hermes is up."""

    interval_seconds: Seconds = 30
    """Pause between two checks in seconds. Defaults to 30."""

    timeout_seconds: Seconds = 5
    """Time for one check in seconds. Defaults to 5."""

    retries: Annotated[int, Number("a number of checks", 1, 100)] = 3
    """Failed checks in a row that make it unhealthy. Defaults to 3."""

    start_period_seconds: Seconds = 120
    """Time to start in seconds; a platform that cannot be reached takes 30 of them. Defaults to 120."""


class Logging(Model):
    """What Docker keeps of the output."""

    max_size: Size = "10m"
    """Size of a file. Defaults to 10m."""

    max_file: Annotated[int, Number("a number of files", 1, 1000)] = 3
    """Number of files. Defaults to 3."""


class Audio(Model):
    """Bridge to the sound of a desktop."""

    required: ClassVar[Mapping[str, str]] = {
        "pulse_cookie": "where PulseAudio's cookie is in the container, such as /mnt/pulse/cookie"
    }

    pulse_socket: _Path = "/mnt/pulse"
    """Directory of PulseAudio's socket in the container, from a mount. Defaults to /mnt/pulse."""

    pulse_cookie: _Path
    """PulseAudio's cookie, a file in the container."""

    @field_validator("pulse_socket")
    @classmethod
    def _hides_nothing_of_hermes(cls, path: str) -> str:
        # It shows at the same path in Hermes' own container.
        if overlap(path, RESERVED_TARGETS):
            raise ValueError(f"{shown(path)} is Hermes' own in its container; write another place, such as {_SOUND}")
        return path
