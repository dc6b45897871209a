"""Where Terraform keeps its state."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from pve_agents.model import Flag, Model
from pve_agents.types import Text, plain_url, shown

__all__ = ["BACKENDS", "Backend", "HttpBackend", "LocalBackend", "PgBackend", "S3Backend"]


class _Backend(Model):
    def for_stack(self, stack: str) -> Self:
        """Return a copy in which ``{stack}`` is the stack's name."""
        return self.model_copy(
            update={key: value.replace("{stack}", stack) for key, value in self if isinstance(value, str)}
        )


def _per_stack(value: str) -> str:
    if "{stack}" not in value:
        raise ValueError(
            f"{shown(value)} is the same for every stack, and their states would overwrite each other; "
            "write {stack} where the stack's name belongs"
        )
    return value


def _state_url(value: str) -> str:
    if "@" in urlsplit(value).netloc:
        raise ValueError(
            "the URL carries a user name or a password; write it without, and put them into the environment variables "
            "TF_HTTP_USERNAME and TF_HTTP_PASSWORD"
        )
    return _per_stack(plain_url(value))


_URL = r"https?://[\x21-\x7e]+"
_URL_WRITE = "one that starts with http:// or https://"
_StateUrl = Annotated[str, Text("an URL", _URL, _URL_WRITE, check=_state_url)]


class LocalBackend(_Backend):
    """Terraform's state in a file beside the app."""

    type: Literal["local"] = "local"
    """Kind of backend."""


class S3Backend(_Backend):
    """Terraform's state in S3 or a store that speaks its protocol.

    Credentials come from ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``.
    """

    carriers: ClassVar[Mapping[str, str]] = {
        "access_key": "AWS_ACCESS_KEY_ID",
        "access_key_id": "AWS_ACCESS_KEY_ID",
        "secret_key": "AWS_SECRET_ACCESS_KEY",
        "secret_access_key": "AWS_SECRET_ACCESS_KEY",
        "session_token": "AWS_SESSION_TOKEN",
        "token": "AWS_SESSION_TOKEN",
    }

    required: ClassVar[Mapping[str, str]] = {"bucket": "the name of the bucket"}

    type: Literal["s3"] = "s3"
    """Kind of backend."""

    bucket: Annotated[
        str,
        Text(
            "a bucket",
            r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
            "3 to 63 lower-case letters, digits, dots and hyphens",
            63,
        ),
    ]
    """Name of the bucket."""

    key: Annotated[
        str,
        Text(
            "a key",
            r"[A-Za-z0-9{][A-Za-z0-9{}!_.*'()/-]*",
            "letters, digits, slashes and hyphens, such as homelab/{stack}.tfstate",
            1024,
            _per_stack,
        ),
    ] = "{stack}.tfstate"
    """Path of the state in the bucket, with {stack} for the stack's name. Defaults to {stack}.tfstate."""

    region: Annotated[str, Text("a region", r"[A-Za-z0-9-]+", "letters, digits and hyphens", 64)] | None = None
    """Region of the bucket. Defaults to AWS_REGION's."""

    endpoint: Annotated[str, Text("an URL", _URL, _URL_WRITE, check=plain_url)] | None = None
    """URL of a store other than Amazon's. Defaults to Amazon's."""

    use_path_style: Flag = False
    """Whether the bucket is named in the path, as most stores other than Amazon's need. Defaults to false."""


class HttpBackend(_Backend):
    """Terraform's state behind a REST service.

    Credentials come from ``TF_HTTP_USERNAME`` and ``TF_HTTP_PASSWORD``.
    """

    carriers: ClassVar[Mapping[str, str]] = {"username": "TF_HTTP_USERNAME", "password": "TF_HTTP_PASSWORD"}

    required: ClassVar[Mapping[str, str]] = {"address": "the URL of the state, with {stack} for the stack's name"}

    type: Literal["http"] = "http"
    """Kind of backend."""

    address: _StateUrl
    """URL of the state, with {stack} for the stack's name."""

    lock_address: _StateUrl | None = None
    """URL that locks the state, with {stack} for the stack's name. Defaults to no locking."""

    unlock_address: _StateUrl | None = None
    """URL that unlocks the state, with {stack} for the stack's name; goes with lock_address. Defaults to none."""

    @model_validator(mode="after")
    def _locks_and_unlocks(self) -> Self:
        if (self.lock_address is None) != (self.unlock_address is None):
            raise ValueError("lock_address and unlock_address go together; write both or none")
        return self


class PgBackend(_Backend):
    """Terraform's state in PostgreSQL, which ``PG_CONN_STR`` names."""

    carriers: ClassVar[Mapping[str, str]] = dict.fromkeys(("conn_str", "username", "password"), "PG_CONN_STR")

    type: Literal["pg"] = "pg"
    """Kind of backend."""

    schema_name: Annotated[
        str,
        Text(
            "a schema",
            r"[A-Za-z_{][A-Za-z0-9_{}-]*",
            "letters, digits, underscores and hyphens, such as terraform_{stack}",
            63,
            _per_stack,
        ),
    ] = "{stack}"
    """Schema that holds the state, with {stack} for the stack's name. Defaults to {stack}."""


Backend = Annotated[LocalBackend | S3Backend | HttpBackend | PgBackend, Field(discriminator="type")]
"""Where Terraform keeps its state."""

BACKENDS: Mapping[str, type[Model]] = MappingProxyType(
    {"local": LocalBackend, "s3": S3Backend, "http": HttpBackend, "pg": PgBackend}
)
"""The models by the kind of backend."""
