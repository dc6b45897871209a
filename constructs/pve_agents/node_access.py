"""Where the Proxmox VE API is and as whom it is asked, as the provider reads it from the environment.

What it takes is read here as it reads it (bpg/proxmox, proxmox/api/client.go and credentials.go).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["ROOT", "TOKEN", "About", "Access", "NodeError", "Ticket", "Where", "access", "port_of", "where"]

TOKEN = "PROXMOX_VE_API_TOKEN"  # noqa: S105 - a name
"""The variable with the token of the token stacks."""

ROOT = "root@pam"
"""The one user whom Proxmox VE gives a node's shell without another question."""

About = Literal["endpoint", "certificate", "token"]
"""What of the way to the node has to be put right."""

_FORM = "USER@REALM!TOKENID=SECRET"
# A stack's copy of the program has no pve_agents.environment to ask.
_ROOTS_FILE = "~/.config/pve-agents/root.env"
_TOKEN = re.compile(r"(?P<id>(?P<user>[^\s!=]+@[^\s!=@]+)!(?P<name>[^\s!=]+))=(?P<secret>[A-Za-z0-9-]+)")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_V = ssl.TLSVersion
_TLS = MappingProxyType(
    {"": _V.TLSv1_3, "1.3": _V.TLSv1_3, "1.2": _V.TLSv1_2, "1.1": _V.TLSv1_1, "1.0": _V.TLSv1},
)
_ROOTS = ("PVE_SSH", "PVE_TRANSPORT", "PVE_READ_TOKEN")


class NodeError(Exception):
    """Why the node could not be asked, in one sentence with a remedy.

    Attributes:
        about: What has to be put right.
    """

    def __init__(self, sentence: str, about: About = "endpoint") -> None:
        """Keep the sentence, and what it is about."""
        super().__init__(sentence)
        self.about = about


@dataclass(frozen=True)
class Where:
    """Where the API is."""

    address: str
    """Scheme, host and port."""
    verified: bool
    """Whether the node's certificate must be one that this machine trusts."""
    oldest_tls: ssl.TLSVersion


@dataclass(frozen=True)
class Access(Where):
    """Where the API is, and the token with which to ask."""

    user: str
    token_name: str
    secret: str = field(repr=False)
    # No SecretStr: each apply of a token stack would wait longer for pydantic than for the node.
    variable: str
    """The name of the variable with the token."""

    @property
    def token_id(self) -> str:
        """The token's full name, without its secret."""
        return f"{self.user}!{self.token_name}"


@dataclass(frozen=True)
class Ticket(Where):
    """Where the API is, and what a login there has given, for two hours."""

    user: str
    secret: str = field(repr=False)
    csrf: str = field(repr=False)
    """What each request that changes something has to name besides."""


def where(environment: Mapping[str, str], *, token: str = TOKEN) -> Where:
    """Read where the API is from the variables that the provider reads.

    Args:
        environment: The variables.
        token: The name of the one with the token, which says in whose file they belong.

    Raises:
        NodeError: One of them is missing, or can lead nowhere.
    """
    if not environment.get("PROXMOX_VE_ENDPOINT"):
        raise NodeError(f"PROXMOX_VE_ENDPOINT is not set{_how_to_set(environment, token, ['PROXMOX_VE_ENDPOINT'])}")
    insecure = environment.get("PROXMOX_VE_INSECURE", "")
    if insecure not in ("", "true", "1", "false", "0"):
        raise NodeError("PROXMOX_VE_INSECURE must be true or false: the provider takes anything else for false")
    oldest = environment.get("PROXMOX_VE_MIN_TLS", "").strip()
    if oldest not in _TLS:
        raise NodeError("PROXMOX_VE_MIN_TLS must be one of 1.0, 1.1, 1.2, 1.3")
    address = _address(environment["PROXMOX_VE_ENDPOINT"])
    return Where(address=address, verified=insecure not in ("true", "1"), oldest_tls=_TLS[oldest])


def access(environment: Mapping[str, str], *, token: str = TOKEN) -> Access:
    """Read the variables that the provider reads.

    Args:
        environment: The variables.
        token: The name of the one with the token.

    Raises:
        NodeError: One of them is missing, is the example's, or can lead nowhere.
    """
    missing = [name for name in ("PROXMOX_VE_ENDPOINT", token) if not environment.get(name)]
    if missing:
        are = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set"
        raise NodeError(
            f"{are}{_how_to_set(environment, token, missing)}", "token" if missing == [token] else "endpoint"
        )
    found = where(environment, token=token)
    parts = _token(token, environment[token])
    return Access(
        address=found.address,
        verified=found.verified,
        oldest_tls=found.oldest_tls,
        user=parts["user"],
        token_name=parts["name"],
        secret=parts["secret"],
        variable=token,
    )


def _how_to_set(environment: Mapping[str, str], token: str, missing: Sequence[str]) -> str:
    """What to do about a missing variable."""
    if token != TOKEN:
        return f": write {'it' if len(missing) == 1 else 'them'} to {_ROOTS_FILE} (docs/node.md)"
    if any(environment.get(name) for name in _ROOTS):
        return ", and this is root's environment: run it again without PIPENV_DOTENV_LOCATION"
    return (
        ": write them into .env (`install -m 600 .env.example .env` makes one), and put `pipenv run` in front, "
        "which reads it"
    )


def _address(value: str) -> str:
    """Scheme, host and port of the endpoint; the provider drops a path as well."""
    name = "PROXMOX_VE_ENDPOINT"
    scheme, separator, rest = value.rpartition("://")
    host = rest.strip().split("/", 1)[0]
    # Only what looks like an address is shown: it may be a secret in the wrong place.
    if not _HOST.fullmatch(host):
        raise NodeError(f"{name} must have the form https://HOST:8006")
    if value != value.strip():
        raise NodeError(f"{name} has blanks around it: write https://{host}")
    if scheme != "https" or not separator:
        raise NodeError(f"{name} does not begin with https://: write https://{host}{port_of(host)}")
    try:
        _ = urlsplit(f"https://{host}").port
    except ValueError:
        raise NodeError(f"{name} must have the form https://HOST:8006") from None
    return f"https://{host}"


def port_of(host: str) -> str:
    """The port that is missing from a host, as it would be written behind it."""
    return "" if re.search(r":\d+$", host) else ":8006"


def _token(name: str, value: str) -> re.Match[str]:
    """The parts of the token; no message shows any of it but its name."""
    if value != value.strip():
        raise NodeError(f"{name} has blanks around it: write {_FORM} and nothing else", "token")
    if value.lower().startswith("pveapitoken"):
        raise NodeError(
            f"{name} begins with PVEAPIToken, which the provider adds by itself: write {_FORM} alone", "token"
        )
    token = _TOKEN.fullmatch(value)
    if token is None or not (value.isascii() and value.isprintable()):
        raise NodeError(f"{name} is not in the form {_FORM}", "token")
    if not token["secret"].strip("0-"):
        raise NodeError(
            f"{name} is still the example's: write the one that `pveum user token add` printed into .env (docs/node.md)",
            "token",
        )
    return token
