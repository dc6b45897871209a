"""The section ``compose`` of an agent: a compose file of the operator's, and what it is given.

https://docs.docker.com/reference/compose-file/
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, field_validator

from pve_agents.agents.compose.judge import problems
from pve_agents.agents.compose.places import Found, paths_beside
from pve_agents.agents.compose.render import Application, application, secrets_used
from pve_agents.agents.compose.stack import ComposeFile, LocalFile
from pve_agents.agents.compose.tree import Around, filled_tree
from pve_agents.agents.compose.volumes import below
from pve_agents.agents.docker import Docker, HttpUrl, in_seconds
from pve_agents.agents.kind import Container, Kind
from pve_agents.guest_places import place
from pve_agents.model import Flag, Model, ReadOnly, at_most, distinct, listed
from pve_agents.problems import Key, Problem, ProblemsError, checked
from pve_agents.stopping import MOST_SECONDS, Stopping
from pve_agents.types import EnvName, FileMode, GuestId, Number, Text, holds_token, is_credential_name, shown

__all__ = ["Compose", "Directory", "HttpCheck"]

_SUCH_AS = "./data or /srv/wiki"


def _directory(path: str) -> str:
    if path.startswith("/"):
        if "/./" in f"{path}/" or "/../" in f"{path}/":
            raise ValueError(f"{shown(path)} has a . or .. in it; write the plain path")
        return place(path.rstrip("/"), such_as="/srv/wiki")
    if (plain := below(path)) in {None, "."}:
        raise ValueError(f"{shown(path)} is no directory below the compose file; write one such as {_SUCH_AS}")
    return str(plain)


def _by_path(stated: object) -> object:
    return {"path": stated} if isinstance(stated, str) else stated


class Directory(Model):
    """A directory of the container that services keep data in; a text alone is its path."""

    required: ClassVar[Mapping[str, str]] = {"path": f"its path, such as {_SUCH_AS}"}

    path: Annotated[str, Text("a directory", r"[^:\x00-\x1f\x7f]+", f"its path, such as {_SUCH_AS}", 1024, _directory)]
    """Where it is; a relative one, as the compose file has it, is made in /srv/<agent>. Required."""

    uid: GuestId = 0
    """Owner in the container, where it is made anew. Defaults to 0."""

    gid: GuestId = 0
    """Group in the container, where it is made anew. Defaults to 0."""

    mode: FileMode = "0750"
    """Permissions, where it is made anew. Defaults to 0750."""


class HttpCheck(Model):
    """An address that answers when all is well."""

    required: ClassVar[Mapping[str, str]] = {"http": "an URL, such as http://127.0.0.1:3000/health"}

    http: HttpUrl
    """URL, as seen from the container, such as http://127.0.0.1:3000/health. Required."""

    status: Annotated[int, Number("a status of HTTP", 100, 599)] = 200
    """Status that it answers with. Defaults to 200."""

    contains: Annotated[str, Text("a text", r"[^\x00-\x1f\x7f]+", "one line of text", 256)] | None = None
    """Text that the answer has in it. Defaults to any."""

    seconds: Annotated[int, Number("a number of seconds", 1, 300)] = 10
    """Time for the answer in seconds. Defaults to 10."""


def _variable(name: Any, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - not checked yet
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("this is not the name of a variable; write letters, digits and underscores")
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text; write it in quotes")  # noqa: TRY004 - pydantic's way
    if is_credential_name(name) or holds_token(value):
        raise ValueError(
            "this seems to be a secret; write its name under secrets, and put it into the agent's secrets file"
        )
    yield name, value


class Compose(Kind):
    """Any application that has a Compose file."""

    synonyms: ClassVar[Mapping[str, str]] = {
        "compose_file": "file",
        "env": "variables",
        "environment": "variables",
        "healthchecks": "checks",
        "volumes": "directories",
    }

    file: ComposeFile = Field(default="compose.yaml", validate_default=True)
    """The compose file on this machine, relative to homelab.yaml. Defaults to compose.yaml."""

    variables: Annotated[Mapping[str, str], ReadOnly()] = Field(default={}, validate_default=True)
    """Values of the file's variables that are no secrets. Defaults to none; an .env beside the file is not read."""

    secrets: Annotated[tuple[EnvName, ...], BeforeValidator(listed), AfterValidator(distinct)] = ()
    """Names of the file's variables that are secrets. Defaults to none."""

    profiles: Annotated[tuple[str, ...], AfterValidator(distinct)] = ()
    """Profiles of the file that are on. Defaults to none."""

    directories: Annotated[tuple[Annotated[Directory, BeforeValidator(_by_path)], ...], at_most(64, "directories")] = ()
    """Directories of the container that services keep data in, besides the agent's mounts. Defaults to none."""

    checks: Annotated[tuple[HttpCheck, ...], at_most(32, "checks")] = ()
    """Addresses that answer when all is well. Defaults to none: then healthchecks of the file alone tell."""

    docker: Docker = Docker()
    """Docker and where it comes from."""

    start_seconds: Annotated[int, Number("a number of seconds", 1, 900)] = 180
    """Time in seconds until all services are well. Defaults to 180."""

    copy_data_before_upgrade: Flag = True
    """Whether directories and volumes are copied before another image runs, to go back to. Defaults to true."""

    _application: Application | None = PrivateAttr(None)

    @property
    def application(self) -> Application:
        """What runs, as it fits into the container.

        Raises:
            ValueError: It was not fitted into one.
        """
        if self._application is None:
            raise ValueError("it was not fitted into a container")
        return self._application

    @property
    def stopping(self) -> Stopping:
        """How long each layer around the services waits for their end."""
        first, *others = [it.stop_seconds for it in self._application.services] if self._application else [10]
        return Stopping(agent=first, others=tuple(others))

    @property
    def answers_seconds(self) -> int:
        """Time in seconds that the answers to all checks may take."""
        return sum(it.seconds for it in self.checks)

    def secret_names(self, agent_name: str) -> tuple[str, ...]:  # noqa: ARG002 - the same for all
        """Return the names of all secrets that are to be delivered."""
        return self.secrets

    def places(self, agent_name: str) -> dict[str, Directory]:
        """Return the declared directories, by where they are in the agent's container."""
        return {self._place(it.path, agent_name): it for it in self.directories}

    def _place(self, path: str, agent_name: str) -> str:
        return path if path.startswith("/") else f"/srv/{agent_name}/{path}"

    @field_validator("variables", mode="before")
    @classmethod
    def _variables_are_no_secrets(cls, values: object) -> object:
        return dict(checked(values, _variable)) if isinstance(values, Mapping) else values

    @field_validator("directories")
    @classmethod
    def _each_directory_once(cls, directories: tuple[Directory, ...]) -> tuple[Directory, ...]:
        distinct(tuple(it.path for it in directories))
        return directories

    def fitted(self, container: Container) -> Self:
        """Return a copy with what its file becomes in the container.

        Raises:
            ProblemsError: The file cannot be used there.
        """
        around = Around(
            agent=container.name,
            mounts=container.mounts,
            devices=container.devices.keys(),
            directories={it.path: self._place(it.path, container.name) for it in self.directories},
            variables=self.variables,
            secrets=self.secrets,
            profiles=self.profiles,
        )
        tree, wrong = filled_tree(self.file.tree, around)
        beside: Found = {} if wrong and not tree else self._beside(paths_beside(tree, around))
        wrong = wrong or problems(tree, around, beside) or [*self._own_problems(tree, beside)]
        if wrong:
            raise ProblemsError(it.below(self.file.place) for it in wrong)
        fitted = self.model_copy()
        fitted._application = application(tree, around, beside)  # noqa: SLF001 - our own
        return fitted

    def _beside(self, paths: Iterator[str]) -> dict[str, Mapping[str, LocalFile] | str | None]:
        found: dict[str, Mapping[str, LocalFile] | str | None] = {}
        for path in paths:
            if path not in found:
                try:
                    found[path] = self.file.beside(path) if path != "." else None
                except ValueError as error:
                    found[path] = str(error)
        return found

    def _own_problems(self, tree: Mapping[str, Any], beside: Found) -> Iterator[Problem]:
        used = secrets_used(tree, self.secrets, beside)
        if unused := [it for it in self.secrets if it not in used]:
            sentence = f"no service gets {', '.join(unused)}; write ${{{unused[0]}}} where it belongs, or leave it out of secrets"
            yield Problem(("services",), sentence)
        for name, service in tree["services"].items():
            grace = service.get("stop_grace_period") if isinstance(service, Mapping) else None
            if grace is not None and not 0 < in_seconds(str(grace)) <= MOST_SECONDS:
                sentence = (
                    f"{shown(grace)} is no time that a reboot of the container waits; write at most {MOST_SECONDS}s"
                )
                yield Problem(("services", name, "stop_grace_period"), sentence)

    def warnings(self, container: Container) -> Iterator[tuple[Key, str]]:  # noqa: ARG002 - of the file alone
        """Find what may be meant, and yet is worth a second look."""
        for it in self.application.services:
            key = (*self.file.place, "services", it.name)
            if it.image in self.application.moving:
                sentence = f"{it.image} means another image from time to time; write a release, or a digest"
                yield (*key, "image"), sentence
            if it.tells:
                sentence = (
                    f"the command has {', '.join(it.tells)} in it, which every process in the container can see; "
                    "write it under environment where the service reads it there"
                )
                yield (*key, "command"), sentence
            if it.stays_down:
                sentence = "nobody starts it after a reboot; write unless-stopped, unless it ends by itself"
                yield (*key, "restart"), sentence
