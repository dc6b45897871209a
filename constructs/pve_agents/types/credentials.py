"""Names of secrets, and keys that may be known to all."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from pve_agents.types.words import looks_secret, shown

__all__ = ["EnvName", "SshPublicKey", "env_name", "not_reserved"]

_ENV_NAME = r"[A-Z][A-Z0-9_]*"
_LONGEST_ENV_NAME = 64
_ENV_REASONS = {
    r"PATH": "decides which programs run in the guest",
    r"HOME": "decides where programs keep their files in the guest",
    r"IFS|ENV|BASH_ENV": "changes what every shell in the guest does",
    r"LD_.*": "puts foreign code into every program of the guest",
    r"PYTHON.*": "changes the Python that the agent runs on",
    r"(PROXMOX_VE|PVE|TF|HOMELAB|HOST_STEP)_.*|PG_CONN_STR|[A-Z0-9_]+_ENV_FILE": "is for the operator, never for an agent",
}


def env_name(value: object) -> str:
    """Return the name of an environment variable that an agent may have.

    Raises:
        ValueError: It is none. The phrase never repeats what may be the secret itself.
    """
    # The value is never shown before it is known to be a name: it may be the secret itself.
    if isinstance(value, str) and "=" in value:
        raise ValueError(
            "this is more than a name; write the name alone, and put the value into the agent's secrets file"
        )
    if not isinstance(value, str) or len(value) > _LONGEST_ENV_NAME or not re.fullmatch(_ENV_NAME, value):
        raise ValueError(
            "this is not the name of an environment variable; write at most 64 upper-case letters, digits and "
            "underscores, such as MODEL_API_KEY, and never the secret itself"
        )
    if looks_secret(value) or re.fullmatch(r"(?=.*[0-9])[A-Z0-9]{16,}", value):
        raise ValueError(
            "this may be a secret; write the name of its variable, and put the secret into the agent's secrets file"
        )
    return not_reserved(value, _ENV_REASONS)


def not_reserved(name: str, reasons: Mapping[str, str]) -> str:
    """Return a name that nobody else has a use for.

    Args:
        name: What was written.
        reasons: Regular expressions for what is no name, each with the reason.

    Raises:
        ValueError: Somebody has. The phrase says which.
    """
    for pattern, reason in reasons.items():
        if re.fullmatch(pattern, name):
            raise ValueError(f"{shown(name)} {reason}; leave it out")
    return name


_PUBLIC_KEY_TYPES = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)


def _ssh_public_key(value: object) -> str:
    # The value is never shown: what does not parse may be half of a private key.
    text = value.strip() if isinstance(value, str) else ""
    if "PRIVATE KEY" in text or text.startswith("PuTTY-User-Key-File"):
        raise ValueError("this is a private key; write the public one, the line in the file that ends in .pub")
    kind, _, rest = text.partition(" ")
    blob = rest.split(" ", 1)[0]
    try:
        inside = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        inside = b""
    name = kind.encode(errors="replace")
    if (
        kind not in _PUBLIC_KEY_TYPES
        or not text.isprintable()
        or not inside.startswith(len(name).to_bytes(4, "big") + name)
    ):
        raise ValueError(
            "this is not an SSH public key; write one line from a .pub file, such as ssh-ed25519 AAAA... you@laptop"
        )
    return text


EnvName = Annotated[
    str,
    BeforeValidator(env_name),
    WithJsonSchema({"type": "string", "pattern": f"^(?:{_ENV_NAME})$", "maxLength": _LONGEST_ENV_NAME}),
]
"""Name of an environment variable that an agent may have."""


SshPublicKey = Annotated[str, BeforeValidator(_ssh_public_key)]
"""One line of an OpenSSH ``.pub`` file."""
