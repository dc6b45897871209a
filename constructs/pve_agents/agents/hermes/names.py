"""Names of variables that Hermes, and what runs beside it, may have."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator

from pve_agents import types
from pve_agents.types.credentials import not_reserved

__all__ = ["EnvName", "env_name"]

_REASONS: Mapping[str, str] = MappingProxyType(
    {
        r"HERMES_HOME": "decides where Hermes keeps its memory, and this project sets it",
        r"HERMES_MANAGED.*": "decides where Hermes finds what is declared here, and this project sets it",
        r"HERMES_WRITE_SAFE_ROOT": "decides where Hermes may write, and this project sets it",
        r"OPENAI_BASE_URL": "is ignored by Hermes, which then sends the key to a third party",
        r"CUSTOM_BASE_URL": "makes Hermes pass over the endpoint that is declared here",
    }
)


def env_name(value: object) -> str:
    """Return the name of an environment variable that Hermes may have.

    Raises:
        ValueError: It is none. The phrase never repeats what may be the secret itself.
    """
    return _not_ours(types.env_name(value))


def _not_ours(name: str) -> str:
    return not_reserved(name, _REASONS)


EnvName = Annotated[types.EnvName, AfterValidator(_not_ours)]
"""Name of an environment variable that Hermes may have."""
