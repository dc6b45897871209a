"""Hermes without Docker: its release in the container itself, and what systemd is told of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from pve_agents.agents.docker import HttpUrl
from pve_agents.agents.hermes.docker import RELEASE, VERSION, DebianPackage
from pve_agents.model import Model, distinct
from pve_agents.problems import Problem, ProblemsError
from pve_agents.types import GuestPath, Number, Text

__all__ = ["Package", "Runtime", "problems_of_runtime"]

_EXTRAS = ("messaging", "mcp")


class Package(Model):
    """The release of Hermes that is installed."""

    synonyms: ClassVar[Mapping[str, str]] = {"git": "tag", "ref": "tag", "branch": "tag"}

    tag: (
        Annotated[str, Text("a tag", r"v[0-9][0-9A-Za-z.]{0,40}", f"that of a release in git, such as {RELEASE}", 41)]
        | None
    ) = Field(
        default=None,
        description=(
            f"Tag of a release in git, installed by the installer of Hermes. Defaults to {RELEASE}, which is {VERSION}, "
            "where no version is stated."
        ),
    )

    version: (
        Annotated[
            str, Text("a version", r"[0-9]+(?:\.[0-9]+){1,3}(?:(?:a|b|rc|\.post)[0-9]+)?", "one such as 0.19.0", 30)
        ]
        | None
    ) = None
    """Version of the Python package instead, installed by pip. Defaults to none."""

    extras: Annotated[
        tuple[Annotated[str, Text("an extra", r"[a-z][a-z0-9-]*", "its name, such as mcp", 40)], ...],
        AfterValidator(distinct),
    ] = _EXTRAS
    """Extras of the Python package; without messaging there is no API server. Defaults to messaging and mcp."""

    index_url: HttpUrl | None = None
    """Index that pip asks. Defaults to pip's own."""

    find_links: GuestPath | None = None
    """Directory of the container with wheels, which pip takes instead of asking an index. Defaults to none."""

    @property
    def name(self) -> str:
        """What the release is called: what is installed anew when it is another one."""
        if not self.version:
            return self.tag or RELEASE
        return self.version if self.extras == _EXTRAS else f"{self.version}-{'-'.join(sorted(self.extras)) or 'bare'}"

    @model_validator(mode="after")
    def _one_of_them(self) -> "Package":
        if self.tag and self.version:
            raise ProblemsError([Problem(("version",), "tag is given too; keep one of them", self.version)])
        if not self.version:
            of_pip = [
                it
                for it in ("extras", "index_url", "find_links")
                if getattr(self, it) != type(self).model_fields[it].default
            ]
            raise_for = [Problem((it,), "this is pip's; write version too, or leave it out") for it in of_pip]
            if raise_for:
                raise ProblemsError(raise_for)
        elif self.version and "messaging" not in self.extras:
            reason = "without messaging Hermes has no API server, and nobody can tell whether it answers; write it too"
            raise ProblemsError([Problem(("extras",), reason)])
        if self.index_url and self.find_links:
            raise ProblemsError([Problem(("find_links",), "index_url is given too; keep one of them")])
        return self


class Runtime(Model):
    """What runs Hermes in the container."""

    runtime: Literal["docker", "native"] = "docker"
    """docker: its image; native: its release in the container itself, under systemd. Defaults to docker."""

    package: Package = Package()
    """Release of Hermes; with runtime native only."""

    packages: Annotated[tuple[DebianPackage, ...], AfterValidator(distinct)] = ()
    """Further Debian packages in the container; with runtime native only. Defaults to none."""

    python: Annotated[
        str, Text("a Python", r"python3(?:\.[0-9]{1,2})?", "the name of its program, such as python3.12", 12)
    ] = "python3"
    """Python that Hermes' package is installed for; with runtime native only. Defaults to python3."""

    restart_sec: Annotated[int, Number("a number of seconds", 1, 3600)] = 5
    """Pause in seconds before Hermes is started again; with runtime native only. Defaults to 5."""

    watchdog_seconds: Annotated[int, Number("a number of seconds", 30, 3600)] | None = 180
    """Silence in seconds after which systemd starts Hermes again; with runtime native only. Defaults to 180; null: never."""


_DOCKERS: Mapping[str, str] = MappingProxyType(
    {
        "image": "the image is Docker's; write package for the release, and packages for what it needs besides",
        "docker": "there is no Docker in the container then; leave it out",
        "network_mode": "Hermes is in the container's own network then; leave it out",
        "networks": "networks are Docker's, and Hermes is in the container's own; leave it out",
        "sidecars": "sidecars are containers of Docker's; give each an agent of its own, of the kind compose",
        "healthcheck": "it is Docker's, and systemd has watchdog_seconds; leave it out",
        "audio": "the bridge to the sound goes into Hermes' image; leave it out",
        "shm_size": "the shared memory is the container's own then; leave it out",
        "volumes": "Hermes sees the container's directories as they are then; write mounts of the agent",
    }
)
_NATIVES: Mapping[str, str] = MappingProxyType(
    {
        "package": "with runtime docker the release is the image; write image.tag, or runtime: native",
        "packages": "with runtime docker they go into the image; write image.apt_packages, or runtime: native",
        "python": "the image has its own Python; leave it out, or write runtime: native",
        "restart_sec": "Docker has its own pause between two starts; leave it out, or write runtime: native",
        "watchdog_seconds": "a watchdog is systemd's; leave it out, or write runtime: native",
    }
)
_NOT_WITH = {"native": _DOCKERS, "docker": _NATIVES}
"""What is stated in vain with each runtime, and why: the one place that knows."""


def problems_of_runtime(runtime: str, model: Model, config: Mapping[str, Any]) -> list[Problem]:
    """Say what has no effect with a runtime.

    Args:
        runtime: What runs Hermes.
        model: The section, or one of its profiles.
        config: Hermes' own configuration, as far as it is stated.
    """
    stated = [it for it in _NOT_WITH[runtime] if it in type(model).model_fields and _is_stated(model, it)]
    problems = [Problem((it,), f"this has no effect with runtime {runtime}: {_NOT_WITH[runtime][it]}") for it in stated]
    gateway = config.get("gateway")
    if runtime == "native" and isinstance(gateway, Mapping) and "systemd_watchdog_seconds" in gateway:
        key = ("settings", "gateway", "systemd_watchdog_seconds")
        problems.append(Problem(key, "this follows from watchdog_seconds; write that"))
    return problems


def _is_stated(model: Model, name: str) -> bool:
    """Tell whether a setting says something else than its default, which is the same with every runtime."""
    return bool(getattr(model, name) != type(model).model_fields[name].get_default(call_default_factory=True))
