"""Docker in the container, for every kind that has its software run by it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from pve_agents.model import Model, distinct
from pve_agents.types import Text, plain_url

__all__ = [
    "DIGEST",
    "DURATION",
    "LOGGING",
    "MOVING_TAGS",
    "REFERENCE",
    "REPOSITORY",
    "TAG",
    "Docker",
    "HttpUrl",
    "in_seconds",
    "is_moving",
]

MOVING_TAGS = frozenset(
    {"beta", "canary", "dev", "develop", "edge", "latest", "main", "master", "nightly", "release", "stable"}
)
_Name = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
REPOSITORY = rf"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{{1,5}})?/)?{_Name}(?:/{_Name})*"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
DIGEST = r"sha256:[0-9a-f]{64}"
REFERENCE = rf"{REPOSITORY}(?::{TAG}(?:@{DIGEST})?|@{DIGEST})"
"""An image with its tag, digest or both."""

DURATION = r"(?=[0-9])(?:([0-9]{1,2})h)?(?:([0-9]{1,4})m)?(?:([0-9]{1,5})s)?"
"""A time as Compose spells it, such as ``1m30s``."""

LOGGING: Mapping[str, Any] = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
"""How much of a service's output is kept: Docker by itself keeps all, until the disk is full."""

HttpUrl = Annotated[
    str, Text("an URL", r"https?://[\x21-\x7e]+", "one that starts with http:// or https://", check=plain_url)
]
"""An http or https URL without credentials."""


def is_moving(reference: str) -> bool:
    """Tell whether an image's tag means another one from time to time, and no digest pins it."""
    # What stands behind the last colon is then the digest; without one in its last part it has no tag, which is latest.
    last = reference.rpartition("/")[2]
    return ":" not in last or set(last.rpartition(":")[2].split("-")) <= MOVING_TAGS


def in_seconds(duration: str) -> int:
    """Return how long a duration such as ``1m30s`` is."""
    found = re.fullmatch(DURATION, duration)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    return hours * 3600 + minutes * 60 + seconds


class Docker(Model):
    """Docker in the container."""

    source: Literal["docker", "debian"] = "docker"
    """Where it is installed from: Docker's own packages or Debian's. Defaults to docker."""

    registry_mirrors: Annotated[tuple[HttpUrl, ...], AfterValidator(distinct)] = ()
    """URLs of mirrors of Docker Hub. Defaults to none."""
