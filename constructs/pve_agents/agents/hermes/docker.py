"""Docker in the container: Hermes' image and limits, and the services beside it in the words of Compose.

https://hermes-agent.nousresearch.com/docs/user-guide/docker
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from pve_agents.agents.hermes.compose_words import sidecar_problems, variable_problem
from pve_agents.agents.hermes.config import HttpUrl
from pve_agents.agents.hermes.names import EnvName
from pve_agents.guest_places import place
from pve_agents.model import Model, OpenModel, ReadOnly, at_most, distinct, listed
from pve_agents.problems import ProblemsError, checked
from pve_agents.stopping import LEAST_SECONDS, MOST_SECONDS
from pve_agents.types import Number, Text, is_credential_name, lies_in, shown

__all__ = [
    "DATA",
    "RELEASE",
    "RESERVED_TARGETS",
    "VERSION",
    "Argument",
    "Audio",
    "Docker",
    "Healthcheck",
    "Image",
    "Limits",
    "Logging",
    "Service",
    "Sidecar",
    "Size",
    "StopSeconds",
    "Variables",
    "Volumes",
    "in_bytes",
    "in_seconds",
    "overlap",
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

_MOVING = frozenset({"beta", "canary", "dev", "develop", "edge", "latest", "main", "master", "nightly", "stable"})
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


def _volumes(values: object) -> object:
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

_FEW = at_most(256, "volumes")
_Volumes = Annotated[tuple[str, ...], AfterValidator(distinct), BeforeValidator(_volumes), _FEW]
Volumes = Annotated[tuple[str, ...], AfterValidator(distinct), BeforeValidator(_hermes_volumes), _FEW]
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

_DURATION = r"(?=[0-9])(?:([0-9]{1,2})h)?(?:([0-9]{1,4})m)?(?:([0-9]{1,5})s)?"


def in_seconds(duration: str) -> int:
    """Return how long a duration such as ``1m30s`` is."""
    found = re.fullmatch(_DURATION, duration)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return hours * 3600 + minutes * 60 + seconds


def _stop_duration(value: str) -> str:
    if in_seconds(value) > MOST_SECONDS:
        raise ValueError(
            f"{shown(value)} is longer than a reboot of the container waits; write at most {MOST_SECONDS}s"
        )
    return value


_StopDuration = Annotated[str, Text("a duration", _DURATION, "one such as 30s or 1m30s", 16, _stop_duration)]
_ImageName = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_Repository = rf"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{{1,5}})?/)?{_ImageName}(?:/{_ImageName})*"
_Tag = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_Digest = r"sha256:[0-9a-f]{64}"
_Package = Annotated[
    str, Text("a Debian package", r"[a-z0-9][a-z0-9+.-]+", "its name, such as libasound2-plugins", 100)
]


class Image(Model):
    """The image of Hermes."""

    repository: Annotated[
        str, Text("an image", _Repository, "its name without a tag, such as nousresearch/hermes-agent", 255)
    ] = "nousresearch/hermes-agent"
    """Its name without a tag. Defaults to nousresearch/hermes-agent."""

    tag: Annotated[
        str, Text("a tag", _Tag, f"letters, digits, dots, hyphens and underscores, such as {RELEASE}", 128)
    ] = Field(
        default=RELEASE,
        description=f"Its tag; latest, main and stable change by themselves. Defaults to {RELEASE}, which is {VERSION}.",
    )

    digest: Annotated[str, Text("a digest", _Digest, "sha256: and 64 hexadecimal digits", 71)] | None = None
    """Digest that pins the very bytes, as sha256:<64 digits>. Defaults to none."""

    apt_packages: Annotated[tuple[_Package, ...], AfterValidator(distinct)] = ()
    """Debian packages to add, in an image that is built in the container. Defaults to none."""

    @property
    def reference(self) -> str:
        """How Docker calls it."""
        return f"{self.repository}:{self.tag}" + (f"@{self.digest}" if self.digest else "")

    @property
    def is_moving(self) -> bool:
        """Whether the tag means another image from time to time."""
        return self.tag in _MOVING


class Docker(Model):
    """Docker in the container."""

    source: Literal["docker", "debian"] = "docker"
    """Where it is installed from: Docker's own packages or Debian's. Defaults to docker."""

    registry_mirrors: Annotated[tuple[HttpUrl, ...], AfterValidator(distinct)] = ()
    """URLs of mirrors of Docker Hub. Defaults to none."""


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


_LABELS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "array", "items": {"type": "string"}},
    ]
}


def _labels(values: object) -> object:
    if isinstance(values, Mapping):
        return dict(checked(values, _label))
    if isinstance(values, list | tuple):
        return dict(it for _, it in checked(values, lambda i, text: [(i, _label_of_text(text))]))
    return values


def _label(name: Any, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - not checked yet
    if not isinstance(name, str) or not name:
        raise ValueError("a label has a name; write one such as com.example.role")
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text; write it in quotes")  # noqa: TRY004 - pydantic's way
    yield name, value


def _label_of_text(text: object) -> tuple[str, str]:
    name, _, value = text.partition("=") if isinstance(text, str) else ("", "", "")
    if not name:
        raise ValueError(f"{shown(text)} is not a label; write one such as com.example.role=cache")
    return name, value


_PORT = r"(?:[0-9]{1,5}(?:-[0-9]{1,5})?)"


class Sidecar(OpenModel):
    """Another service beside Hermes, in the words of Compose; what is not named here is passed on to it."""

    required: ClassVar[Mapping[str, str]] = {"image": "the image with its tag, such as redis:8.2"}

    image: Annotated[
        str,
        Text(
            "an image with a tag",
            rf"{_Repository}(?::{_Tag}(?:@{_Digest})?|@{_Digest})",
            "its name with a tag or digest, such as redis:8.2",
            512,
        ),
    ]
    """Image with its tag, digest or both."""

    command: tuple[Argument, ...] | None = None
    """Command, as a list. Defaults to the image's."""

    environment: Variables = Field(default={}, validate_default=True)
    """Environment variables that are no secrets, as a mapping. Defaults to none."""

    volumes: _Volumes = ()
    """Directories of the container, as host:container or host:container:ro. Defaults to none."""

    devices: Annotated[
        tuple[
            Annotated[
                str,
                Text(
                    "a device",
                    r"/dev(?:/[A-Za-z0-9._+-]+)+(?::/dev(?:/[A-Za-z0-9._+-]+)+)?(?::[rwm]{1,3})?",
                    "one such as /dev/dri/renderD128",
                    255,
                ),
            ],
            ...,
        ],
        AfterValidator(distinct),
    ] = ()
    """Those of the agent's devices that it gets. Defaults to none."""

    networks: tuple[Service, ...] = ()
    """Names of networks; with network_mode bridge only. Defaults to Compose's."""

    ports: tuple[
        Annotated[
            str,
            Text(
                "a port",
                rf"(?:[0-9.]+:)?{_PORT}:{_PORT}(?:/(?:tcp|udp))?",
                'one in quotes such as "127.0.0.1:8080:80"',
                64,
            ),
        ],
        ...,
    ] = ()
    """Ports that show outside; with network_mode bridge only. Defaults to none."""

    depends_on: tuple[Service, ...] = ()
    """Names of services that start before. Defaults to none."""

    restart: Literal["unless-stopped", "always", "on-failure", "no"] | None = None
    """What becomes of it when it ends. Defaults to Hermes' own."""

    healthcheck: Mapping[str, Any] | None = None
    """How Docker sees whether it is up. Defaults to the image's."""

    labels: Annotated[Mapping[str, str], ReadOnly(), WithJsonSchema(_LABELS_SCHEMA), BeforeValidator(_labels)] = Field(
        default={}
    )
    """Labels of its container, as a mapping or a list of NAME=VALUE. Defaults to none."""

    stop_grace_period: _StopDuration = "30s"
    """Time to stop before it is killed, at most 240s. Defaults to 30s."""

    secrets: Annotated[tuple[EnvName, ...], BeforeValidator(listed), AfterValidator(distinct)] = ()
    """Names of the secrets that it gets as variables. Defaults to none."""

    @property
    def compose(self) -> dict[str, Any]:
        """What is stated of it, as Compose wants it; without the secrets, which are delivered as a file."""
        stated = self.model_dump(mode="json", exclude_unset=True, exclude={"secrets"})
        return {key: value for key, value in stated.items() if value is not None}

    @property
    def is_moving(self) -> bool:
        """Whether its tag means another image from time to time, and no digest pins it."""
        # What stands behind the last colon is then the digest.
        return self.image.rpartition(":")[2] in _MOVING

    @field_validator("environment", mode="before")
    @classmethod
    def _environment_is_no_secret(cls, values: object) -> object:
        return dict(checked(values, _sidecar_variable)) if isinstance(values, Mapping) else values

    @model_validator(mode="before")
    @classmethod
    def _within_bounds(cls, values: object) -> object:
        if isinstance(values, Mapping):
            refused = [*sidecar_problems(values)]
            if refused:
                raise ProblemsError(refused)
        return values


def _sidecar_variable(name: Any, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - not checked yet
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("this is not the name of an environment variable; write letters, digits and underscores")
    if is_credential_name(name):
        raise ValueError(
            "this is a secret by its name; list the name under the sidecar's secrets, and put the value into hermes.env"
        )
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text; write it in quotes")  # noqa: TRY004 - pydantic's way
    if sentence := variable_problem(value):
        raise ValueError(f"{sentence}; a secret belongs under the sidecar's secrets, by its name")
    yield name, value
