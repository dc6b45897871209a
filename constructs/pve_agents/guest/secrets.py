"""The secrets that were delivered to the container: reading them, judging them, and keeping them out of what is said."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from pve_agents.guest.machine import Machine
from pve_agents.guest.plan import Secret, Software
from pve_agents.guest.progress import fail
from pve_agents.secret_values import INVISIBLE, PLACEHOLDER, is_misread_by_compose

__all__ = ["Secrets", "check_secrets", "read_secrets", "shortened"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLANKS = " \t"
_SHORTEST_REDACTED = 4


@dataclass(frozen=True)
class Secrets:
    """All of them, by their names."""

    texts: dict[str, str] = field(default_factory=dict, repr=False)
    """What is in the file after ``NAME=``, quotes included."""

    values: dict[str, str] = field(default_factory=dict, repr=False)

    def redacted(self, text: str) -> str:
        """Return a text without the values of secrets and without characters that a terminal obeys."""
        for value in sorted(self.values.values(), key=len, reverse=True):
            if len(value) >= _SHORTEST_REDACTED:
                text = text.replace(value, "***")
        return "".join(" " if unicodedata.category(it) == "Cc" else it for it in text)


def read_secrets(machine: Machine, path: str) -> Secrets:
    """Read the file of secrets: lines of ``NAME=VALUE``, where a value may stand in single quotes.

    What an editor of another system leaves in a file that was put there by hand is no part of a value.

    Args:
        machine: The container.
        path: The file; a link is none.
    """
    found = Secrets()
    if machine.is_link(path) or (content := machine.read(path)) is None:
        return found
    for line in content.decode(errors="surrogateescape").removeprefix("\ufeff").split("\n"):
        name, equals, text = line.removesuffix("\r").partition("=")
        if equals and _NAME.fullmatch(name):
            found.texts[name] = text = text.strip(_BLANKS)
            found.values[name] = _unquoted(text)
    return found


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "'":
        # A backslash escapes a quote or itself.
        return re.sub(r"\\([\\'])", r"\1", text[1:-1])
    return text


def shortened(text: str, size: int) -> str:
    """Return at most so many bytes of a text, and no part of a character that is longer than one."""
    content = text.encode(errors="surrogateescape")
    return text if len(content) <= size else f"{content[:size].decode(errors='ignore')} …"


# judging ----------------------------------------------------------------------------------------------------------------


def check_secrets(software: Software, secrets: Secrets, *, file: str, variable: str, give: str) -> None:
    """Fail where a secret is missing, or cannot be right.

    Args:
        software: Who needs which.
        secrets: Those that are there.
        file: Where they are, for the message.
        variable: What names the file that they come from, for the message.
        give: The command that delivers them, for the message.
    """
    missing, doubtful = [], []
    for secret, of_compose in software.secrets():
        value = secrets.values.get(secret.source, "")
        if not value:
            missing.append(secret.source)
        elif re.fullmatch(PLACEHOLDER, value.lower()):
            doubtful.append(secret.source)
        elif problem := _problem(secret, value, file, of_compose=of_compose):
            fail(f"{problem}, and deliver it with `{give}`")
    where = f"as NAME=VALUE lines to the 0600 file that {variable} names on your machine, and run `{give}`"
    if missing:
        fail(f"secrets missing in {file}: {_joined(missing)}. Write them {where}")
    if doubtful:
        fail(f"these secrets in {file} are placeholders: {_joined(doubtful)}. Write the real ones {where}")


def _problem(secret: Secret, value: str, file: str, *, of_compose: bool) -> str:
    if _holds_invisible(value):
        return (
            f"the secret {secret.source} in {file} has a blank at an end, or a character that cannot be seen, and a service"
            " refuses it although it looks right: copy it anew"
        )
    if len(value) < secret.least_length:
        return (
            f"the secret {secret.source} in {file} has fewer than {secret.least_length} characters,"
            f" and {secret.consequence}: make one with `openssl rand -hex 32`"
        )
    if of_compose and is_misread_by_compose(value):
        return (
            f"the secret {secret.source} has a backslash before a quote or at its end, which Compose cannot read from a"
            " file: choose another value"
        )
    return ""


def _holds_invisible(value: str) -> bool:
    """Tell also what no look at the file shows."""
    controls = any(character < " " or character == "\x7f" for character in value)
    return value != value.strip(_BLANKS) or controls or any(character in value for character in INVISIBLE)


def _joined(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))
