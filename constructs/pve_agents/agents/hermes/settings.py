"""The section ``hermes`` of an agent: Hermes Agent, in Docker or without it, with the names of its Docker guide and NixOS module.

https://hermes-agent.nousresearch.com/docs/user-guide/docker
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations, product
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, field_validator

from pve_agents.agents.docker import Docker, in_seconds
from pve_agents.agents.hermes.clashes import clashes, network_problems
from pve_agents.agents.hermes.config import Settings
from pve_agents.agents.hermes.docker import (
    DATA,
    RELEASE,
    Audio,
    Healthcheck,
    Image,
    Logging,
    Seconds,
    Service,
    StopSeconds,
)
from pve_agents.agents.hermes.fitting import misfits, placed
from pve_agents.agents.hermes.gateways import Endpoints, asked, filled, model_problems, stated_twice
from pve_agents.agents.hermes.literal import found_secrets, plain
from pve_agents.agents.hermes.names import env_name
from pve_agents.agents.hermes.native import Runtime, problems_of_runtime
from pve_agents.agents.hermes.neighbours import Holder, neighbour_problems
from pve_agents.agents.hermes.profile import DATA_DIRECTORY, Auth, Profile
from pve_agents.agents.hermes.room import container_warnings, place_warnings, room_warnings
from pve_agents.agents.hermes.second_looks import second_looks
from pve_agents.agents.hermes.shown_places import link_misfits, mount_problems
from pve_agents.agents.hermes.sidecar import Sidecar
from pve_agents.agents.hermes.trees import tree_problems
from pve_agents.agents.kind import Ask, Container, Kind, Neighbour
from pve_agents.compose_words import network_problems as compose_network_problems
from pve_agents.model import Flag, ReadOnly, at_most, merged
from pve_agents.problems import Key, Problem, ProblemsError, below, dotted
from pve_agents.stopping import DEFAULT_SECONDS, Stopping
from pve_agents.types import Text, lies_in, shown

__all__ = ["DATA", "Auth", "Hermes", "Profile"]

_ProfileName = Annotated[
    str,
    Text("the name of a profile", r"[a-z][a-z0-9]{0,19}", "lower-case letters and digits, such as work", 20),
]
_SidecarName = Annotated[
    str,
    Text(
        "the name of a sidecar",
        r"[a-z][a-z0-9-]{0,28}[a-z0-9]",
        "2 to 30 lower-case letters, digits and hyphens, such as browser",
        30,
    ),
]


class Hermes(Profile, Runtime, Kind):
    """Hermes Agent, in the agent's container. What is a profile's belongs to the main one."""

    synonyms: ClassVar[Mapping[str, str]] = {
        **Profile.synonyms,
        "networking": "network_mode",
        "ports": "api_server.port",
        "services": "sidecars",
    }

    image: Image = Image()
    """Image of Hermes."""

    docker: Docker = Docker()
    """Docker and where it comes from."""

    network_mode: Literal["host", "bridge"] = "host"
    """Network: the container's own, or one of Docker's with ports let through. Defaults to host."""

    restart: Literal["unless-stopped", "always", "on-failure", "no"] = "unless-stopped"
    """What becomes of Hermes when it ends. Defaults to unless-stopped."""

    stop_grace_seconds: StopSeconds = DEFAULT_SECONDS
    """Time in seconds to stop before it is killed, 30 to 240; its own budget is up to 90. Defaults to 120."""

    copy_data_before_upgrade: Flag = True
    """Whether the data is copied before another image runs, to go back to; two copies stay. Defaults to true."""

    healthcheck: Healthcheck = Healthcheck()
    """When Docker takes Hermes for unhealthy."""

    answer_seconds: Seconds = 120
    """Time in seconds that the model may take for the one answer that a deploy and verify ask for. Defaults to 120."""

    logging: Logging = Logging()
    """How much of the output Docker keeps."""

    audio: Audio | None = None
    """Bridge to the sound of a desktop. Defaults to no sound."""

    networks: Mapping[Service, Any] = Field(default={})
    """Networks in the words of Compose; with network_mode bridge only. Defaults to Compose's own."""

    sidecars: Annotated[Mapping[_SidecarName, Sidecar], at_most(64, "sidecars"), ReadOnly()] = Field(
        default={}, validate_default=True
    )
    """Services beside Hermes, by name. Defaults to none."""

    profiles: Annotated[Mapping[_ProfileName, Profile], at_most(32, "profiles"), ReadOnly()] = Field(
        default={}, validate_default=True
    )
    """Further profiles by name, whose settings start from those here. Defaults to none."""

    @property
    def needs_keyctl(self) -> bool:
        """Whether what runs it wants the kernel's keyring: Docker does."""
        return self.runtime == "docker"

    @property
    def answers_seconds(self) -> int:
        """Time in seconds that the answers of all profiles may take, one after the other."""
        return self.answer_seconds * (1 + len(self.profiles))

    @property
    def stopping(self) -> Stopping:
        """How long each layer around it waits for its end."""
        return Stopping(
            agent=self.stop_grace_seconds,
            others=tuple(in_seconds(sidecar.stop_grace_period) for sidecar in self.sidecars.values()),
        )

    @property
    def image_packages(self) -> tuple[str, ...]:
        """Debian packages that the image needs besides."""
        audio = ("libasound2-plugins",) if self.audio else ()
        return tuple(dict.fromkeys([*self.image.apt_packages, *audio]))

    def services(self, agent_name: str) -> dict[str, Profile]:
        """Return what runs by the name of its service, the main profile first, with nothing left to inherit."""
        return {
            agent_name: self,
            **{f"{agent_name}-{name}": self._complete(name) for name in self.profiles},
        }

    def secret_names(self, agent_name: str) -> tuple[str, ...]:
        """Return the names of all secrets that are to be delivered."""
        profiles = self.services(agent_name).values()
        return tuple(
            dict.fromkeys(
                [
                    *(name for profile in profiles for name in profile.secret_map.values()),
                    *(profile.auth.secret for profile in profiles if profile.auth),
                    *(name for sidecar in self.sidecars.values() for name in sidecar.secrets),
                ]
            )
        )

    def variable_name(self, name: str) -> str:
        """Return the name of a variable that Hermes may have.

        Raises:
            ValueError: It may not. The phrase says why.
        """
        return env_name(name)

    @classmethod
    def neighbour_problems(cls, neighbours: Sequence[tuple[Neighbour, Self]]) -> Iterator[str]:
        """Say what two agents that run Hermes cannot both have."""
        holders = [hermes._holders(agent) for agent, hermes in neighbours]  # noqa: SLF001 - our own
        for mine, theirs in combinations(holders, 2):
            for one, another in product(mine, theirs):
                yield from neighbour_problems(one, another)

    def _holders(self, agent: Neighbour) -> list[Holder]:
        holders = []
        for place, profile in self._by_place():
            tokens = {name: profile.secret_map[name] for name in profile.logins}
            holders.append(Holder(agent, dotted((agent.name, "hermes", *place)), profile.data_directory, tokens))
        return holders

    def asks(self) -> Sequence[Ask]:
        """Return whose endpoints its profiles want to ask; what a profile inherits stands where it is stated."""
        own = [ask for key, profile in self._by_place() for ask in asked(key, profile)]
        there = {(*key, "settings", "providers", name) for key, it in self._profiles for name in it.settings.providers}
        return [ask._replace(key=ask.key if ask.key[:-1] in there else ask.key[2:]) for ask in own]

    def answered(self, endpoints: Endpoints) -> Self:
        """Return a copy in which the agents are known that it asks.

        Raises:
            ProblemsError: One has not the model that is wanted.
        """
        problems = [it for key, profile in self._profiles for it in stated_twice(key, profile.settings, endpoints)]
        main = filled(self.settings, endpoints)
        profiles = {
            name: it.model_copy(update={"settings": filled(it.settings, endpoints, main)})
            for name, it in self.profiles.items()
        }
        answered = self.model_copy(update={"settings": main, "profiles": MappingProxyType(profiles)})
        said: set[str] = set()
        for key, profile in answered._by_place():  # noqa: SLF001 - our own
            found = [it for it in model_problems(key, profile, endpoints) if it.sentence not in said]
            problems, said = [*problems, *found], said | {it.sentence for it in found}
        if problems:
            raise ProblemsError(problems)
        return answered

    def container_warnings(self, container: Container) -> Iterator[tuple[Key, str]]:
        """Find what the container may lack for it."""
        yield from container_warnings(container, has_image=self.runtime == "docker")

    def warnings(self, container: Container | None = None) -> Iterator[tuple[Key, str]]:
        """Find what may be meant, and yet is worth a second look.

        Args:
            container: The container that it runs in. Defaults to none: what fits into it is not looked at.

        Yields:
            The place of each, and a sentence without its full stop.
        """
        if container:
            yield from room_warnings([it.limits.memory for _, it in self._profiles], self.audio, container)
            for key, profile in self._profiles:
                yield from (
                    (((*key, *it)), sentence) for it, sentence in place_warnings(profile.data_directory, container)
                )
        if self.runtime == "native" and not self.package.version:
            sentence = (
                f"{self.package.name} is installed by the installer of Hermes, from git and the Internet, which our tests do not "
                "reach; if it fails, write package.version: 0.19.0, or runtime: docker"
            )
            yield ("package", "tag"), sentence
        if self.image.is_moving and not self.image.digest:
            sentence = (
                f"{self.image.tag} means another image from time to time, and nothing says which one runs; "
                f"write a release such as {RELEASE}, or a digest"
            )
            yield ("image", "tag"), sentence
        for name, sidecar in self.sidecars.items():
            if sidecar.is_moving:
                sentence = f"{sidecar.image} means another image from time to time; write a release, or a digest"
                yield ("sidecars", name, "image"), sentence
        for place, profile in self._by_place():
            for key, sentence in second_looks(profile):
                yield (*place, *key), sentence

    def fitted(self, container: Container) -> Self:
        """Return a copy with the defaults that follow from the container.

        Args:
            container: The container.

        Raises:
            ProblemsError: Something does not fit into it.
        """
        writable = [path for path, can_write in container.mounts.items() if can_write]
        workspace = f"{writable[0] if writable else DATA}/workspace"
        own = f"{workspace}-{{}}" if writable else workspace
        profiles = {
            name: placed(it, self._stated(it), container, own.format(name)) for name, it in self.profiles.items()
        }
        fitted = placed(self, self.settings.stated, container, workspace).model_copy(
            update={"profiles": MappingProxyType(profiles)}
        )
        problems = [*fitted._misfits(container, [DATA, *writable])]  # noqa: SLF001 - our own
        if problems:
            raise ProblemsError(problems)
        return fitted

    def _stated(self, profile: Profile) -> dict[str, Any]:
        """Return what is stated of a profile's settings, with what it inherits."""
        return merged(self.settings.stated, profile.settings.stated)

    def _complete(self, name: str) -> Profile:
        """Return a profile with nothing left to inherit, worked out once."""
        if name not in self._completed:
            profile = self.profiles[name]
            prefix = f"{name.upper()}_"
            update: dict[str, Any] = {
                "secrets": {it: prefix + it for it in profile.own_secret_names} | dict(profile.secrets)
            }
            if profile.config_file is None:
                update["settings"] = Settings.model_validate(self._stated(profile))
            self._completed[name] = profile.model_copy(update=update)
        return self._completed[name]

    @cached_property
    def _completed(self) -> dict[str, Profile]:
        return {}

    @property
    def _profiles(self) -> list[tuple[Key, Profile]]:
        """Return the profiles as they are stated, each with the keys on the way to it."""
        return [((), self), *((("profiles", name), it) for name, it in self.profiles.items())]

    def _by_place(self) -> Iterator[tuple[Key, Profile]]:
        """Yield each profile, complete, with the keys on the way to it."""
        yield (), self
        for name in self.profiles:
            yield ("profiles", name), self._complete(name)

    @field_validator("profiles")
    @classmethod
    def _profiles_keep_their_things_apart(cls, profiles: Mapping[str, Profile]) -> Mapping[str, Profile]:
        apart = {}
        for name, profile in profiles.items():
            update: dict[str, Any] = {}
            if "data_directory" not in profile.model_fields_set:
                update["data_directory"] = f"{DATA_DIRECTORY}-{name}"
            if profile.auth and "secret" not in profile.auth.model_fields_set:
                its_own = f"{name.upper()}_{profile.auth.secret}"
                update["auth"] = profile.auth.model_copy(update={"secret": its_own})
            apart[name] = profile.model_copy(update=update)
        return MappingProxyType(apart)

    @classmethod
    def _secrets_in(cls, values: Mapping[str, Any]) -> Iterator[Problem]:
        yield from super()._secrets_in(values)
        for area in ("sidecars", "networks"):
            yield from found_secrets(area, plain(values.get(area)))

    def _problems(self) -> list[Problem]:
        problems = super()._problems()
        of_main = tree_problems(self.settings.tree) if self.config_file is None else []
        problems += below(("settings",), of_main)
        said = {(it.key, it.sentence) for it in of_main}
        for name, profile in self.profiles.items():
            if profile.config_file is None:
                # What it inherits is said once, where it stands.
                found = [it for it in self._inherited_problems(name) if (it.key, it.sentence) not in said]
                problems += below(("profiles", name, "settings"), found)
        for name, network in self.networks.items():
            problems += below(("networks", name), compose_network_problems(network))
        network = network_problems(self.network_mode, self.networks, self.sidecars, self._profiles)
        for key, profile in self._profiles:
            problems += below(key, problems_of_runtime(self.runtime, profile, profile.settings.stated))
        return [*problems, *network, *clashes(self._profiles)]

    def _inherited_problems(self, name: str) -> list[Problem]:
        try:
            return tree_problems(self._complete(name).settings.tree)
        except ValidationError as error:
            return Problem.all_of(error)

    def _misfits(self, container: Container, writable: Sequence[str]) -> Iterator[Problem]:
        """Find what does not fit into the container."""
        yield from mount_problems([*container.mounts])
        yield from link_misfits(self._profiles, self.sidecars, self.audio, container)
        services = self.services(container.name)
        for name, sidecar in self.sidecars.items():
            if name in services or f"{container.name}-{name}" in services:
                yield Problem(("sidecars", name), "a profile's service has this name; write another one")
            if unknown := [it for it in sidecar.depends_on if it not in {*services, *self.sidecars}]:
                known = ", ".join([*services, *self.sidecars])
                yield Problem(
                    ("sidecars", name, "depends_on"), f"{', '.join(unknown)} is no service here; they are {known}"
                )
            for i, device in enumerate(sidecar.devices):
                if (path := device.partition(":")[0]) not in container.devices:
                    yield Problem(
                        ("sidecars", name, "devices", i),
                        f"{shown(path)} is no device of the agent; write it under agents.{container.name}.devices too",
                        device,
                    )
        for (key, _), profile in zip(self._by_place(), services.values(), strict=True):
            yield from below(key, misfits(profile, container, writable))
            inside = [path for path in container.mounts if lies_in(profile.data_directory, path)]
            if inside and self.profiles:
                yield Problem(
                    (*key, "data_directory"),
                    f"{shown(profile.data_directory)} lies in the mount {shown(inside[0])}, which every profile has; "
                    "write a directory outside the mounts",
                    profile.data_directory,
                )


Profile.not_here = dict.fromkeys(Hermes.model_fields, "all profiles share this; write it beside profiles")
