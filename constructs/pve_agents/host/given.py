"""The secrets that the operator has given: in the environment of this process, or in a file of theirs alone."""

from __future__ import annotations

import re
import shlex
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from os import fstat
from pathlib import Path

from pve_agents.host.plan_guest import Delivery
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.wanted import Secrets
from pve_agents.secret_values import INVISIBLE, PLACEHOLDER, is_misread_by_compose, secrets_variable

__all__ = ["Given", "read_given", "secret_line"]

_PLACEHOLDER = re.compile(PLACEHOLDER)
_LONGEST_FILE = 1024 * 1024
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9_./:@%+=,-]*")


@dataclass(frozen=True)
class Given:
    """Those of the wanted secrets that are at hand."""

    values: Mapping[str, str]
    missing: tuple[str, ...]
    misspelt: Mapping[str, str] = field(default_factory=dict)
    """Names in the file that nobody asked for, each with the missing one that it looks like."""

    @property
    def file(self) -> bytes | None:
        """The file for the container, as python-dotenv, systemd and Compose read it alike.

        None if one of them is missing: a file with half of them would take the others away from a working agent.
        """
        if self.missing:
            return None
        return "".join(secret_line(name, value) for name, value in sorted(self.values.items())).encode()

    def with_payload(self, archive: bytes) -> Delivery:
        """Return what this side has to give, with the packed payload."""
        return Delivery(archive=archive, secrets=self.file, missing=self.missing, misspelt=self.misspelt)


def read_given(secrets: Secrets | None, environment: Mapping[str, str], *, agent: str) -> Given:
    """Read the secrets from the file that ``<AGENT>_ENV_FILE`` names, or else from the environment.

    Raises:
        WrongSettingsError: One of them cannot be right. Its value is in no message.
    """
    if secrets is None:
        return Given({}, ())
    variable = secrets_variable(agent)
    file = environment.get(variable)
    source = _read_file(Path(file), variable) if file else environment
    values = {name: source[name] for name in secrets.names if source.get(name)}
    for name, value in values.items():
        minimum_length, of_compose = secrets.minimum_lengths.get(name, 0), name in secrets.of_compose
        if problem := _problem(value, minimum_length, of_compose=of_compose) or _invisible(value):
            raise WrongSettingsError(f"the secret {name} {problem}")
    missing = tuple(name for name in secrets.names if name not in values)
    # The environment has names of everybody's.
    return Given(values, missing, _misspelt(missing, set(source) - set(secrets.names)) if file else {})


def _misspelt(missing: tuple[str, ...], others: set[str]) -> dict[str, str]:
    if not missing:
        return {}
    from difflib import get_close_matches  # noqa: PLC0415 - where all are there, no step waits for it

    alike = {name: get_close_matches(name, missing, n=1, cutoff=0.8) for name in sorted(others)}
    return {name: found[0] for name, found in alike.items() if found}


def _invisible(value: str) -> str:
    """What of a value nobody sees."""
    if value != value.strip(" "):
        return "begins or ends with a blank: write it without"
    for character in value:
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            return "holds a control character or a line break"
        if character in INVISIBLE or not character.isprintable():
            return f"holds U+{ord(character):04X}, which cannot be seen and came along with a copy: write it without"
    return ""


def _problem(value: str, minimum_length: int, *, of_compose: bool) -> str:
    """Why a value cannot be right, or would not arrive as it is."""
    if "${" in value:
        return "holds '${', in place of which its reader would have a variable's value"
    if _PLACEHOLDER.fullmatch(value.strip().lower()):
        return (
            "is a placeholder: write its real value, or none until you have it; where no key is needed, take its name out "
            "of the settings"
        )
    if len(value) < minimum_length:
        return f"has fewer than {minimum_length} characters: make a longer one, for example with `openssl rand -hex 32`"
    if of_compose and is_misread_by_compose(value):
        return (
            "has a backslash before a quote or at its end, which Compose cannot read from a file: choose another value"
        )
    return ""


def _read_file(path: Path, variable: str) -> Mapping[str, str]:
    path = path.expanduser()
    # Terraform runs this in cdktf.out/stacks/<stack>, and the operator thinks of the project's directory.
    of_project = Path("../../..", path)
    if not path.exists() and of_project.exists():
        path = of_project
    where = f"{variable} {path}"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise WrongSettingsError(f"{where} is no regular file: write the secrets into one, with mode 0600")
        # The open file is what is judged, so that it cannot be exchanged between the look and the reading.
        with path.open(encoding="utf-8-sig") as file:
            mode = stat.S_IMODE(fstat(file.fileno()).st_mode)
            if mode & 0o077:
                remedy = f"run `chmod 600 {shlex.quote(str(path))}`"
                raise WrongSettingsError(f"{where} can be read by others (mode {mode:04o}): {remedy}")
            text = file.read(_LONGEST_FILE + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise WrongSettingsError(f"cannot read {where}: {reason}") from None
    if len(text) > _LONGEST_FILE:
        raise WrongSettingsError(f"{where} is longer than a file of secrets can be: name another")
    try:
        from dotenv.parser import parse_stream  # noqa: PLC0415 - where there is a file to read
    except ModuleNotFoundError:
        raise WrongSettingsError(
            f"{where} cannot be read without the Python package python-dotenv: put `pipenv run` in front, or install it"
        ) from None
    bindings = list(parse_stream(StringIO(text)))
    for binding in bindings:
        # Empty lines before it are part of it.
        original = binding.original.string
        number = binding.original.line + original[: len(original) - len(original.lstrip())].count("\n")
        if binding.error or (binding.key and binding.value is None):
            raise WrongSettingsError(f"{where}, line {number}: not NAME=VALUE")
        if hidden := next((it for it in binding.key or "" if not it.isprintable()), None):
            why = f"the name holds U+{ord(hidden):04X}, which cannot be seen: write the line anew"
            raise WrongSettingsError(f"{where}, line {number}: {why}")
    return {binding.key: binding.value for binding in bindings if binding.key and binding.value is not None}


def secret_line(name: str, value: str) -> str:
    """Return a line of a secrets file, as python-dotenv, systemd and Compose read it alike."""
    if not _NEEDS_NO_QUOTES.fullmatch(value):
        value = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return f"{name}={value}\n"
