"""Another service beside Hermes."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from pve_agents.agents.docker import DURATION, REFERENCE, in_seconds, is_moving
from pve_agents.agents.hermes.compose_words import sidecar_problems
from pve_agents.agents.hermes.docker import (
    FEW_VOLUMES,
    Argument,
    Service,
    Variables,
    plain_volumes,
)
from pve_agents.agents.hermes.names import EnvName
from pve_agents.compose_words import variable_problem
from pve_agents.model import OpenModel, ReadOnly, distinct, listed
from pve_agents.problems import ProblemsError, checked
from pve_agents.stopping import MOST_SECONDS
from pve_agents.types import Text, is_credential_name, shown

__all__ = ["Sidecar"]

_Volumes = Annotated[tuple[str, ...], AfterValidator(distinct), BeforeValidator(plain_volumes), FEW_VOLUMES]


def _stop_duration(value: str) -> str:
    if in_seconds(value) > MOST_SECONDS:
        raise ValueError(
            f"{shown(value)} is longer than a reboot of the container waits; write at most {MOST_SECONDS}s"
        )
    return value


_StopDuration = Annotated[str, Text("a duration", DURATION, "one such as 30s or 1m30s", 16, _stop_duration)]
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
            REFERENCE,
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
        return is_moving(self.image)

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
            "this is a secret by its name; list the name under the sidecar's secrets, and put the value into the agent's secrets file"
        )
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not text; write it in quotes")  # noqa: TRY004 - pydantic's way
    if sentence := variable_problem(value):
        raise ValueError(f"{sentence}; a secret belongs under the sidecar's secrets, by its name")
    yield name, value
