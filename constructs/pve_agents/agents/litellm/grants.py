"""Virtual keys: made on a running gateway, and put into the secrets file of the agent that is to show one there.

No value of a key is in any message, argument or return value that is shown.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import requests
from pydantic import SecretStr

__all__ = ["Gateway", "Grant", "GrantError", "put_secret", "secret_in", "with_secret"]

_SECONDS = 60
_KEY = re.compile(r"sk-[A-Za-z0-9_-]{10,}")
_OTHERS = 0o077
_UNAUTHORIZED, _FORBIDDEN = 401, 403


class GrantError(Exception):
    """There is no key; the message says why, and what to do."""


@dataclass(frozen=True)
class Grant:
    """What a key may do."""

    agent: str
    """Who shows it."""

    models: Sequence[str]
    budget: float
    """In dollars."""

    renewed: str = ""
    """After which time it may spend the budget again, such as 30d; empty: never."""

    def body(self, now: datetime) -> dict[str, Any]:
        """Return what LiteLLM is asked for."""
        renewed = {"budget_duration": self.renewed} if self.renewed else {}
        return {
            # A name may be there once only, and the key before this one may still be in use.
            "key_alias": f"{self.agent} {now:%Y-%m-%d %H:%M:%S}",
            "models": list(self.models),
            "max_budget": self.budget,
            **renewed,
        }


class Gateway:
    """A running LiteLLM, asked with its master key."""

    def __init__(self, agent: str, url: str, master_key: SecretStr) -> None:
        """Know whom to ask.

        Args:
            agent: Its name, for messages.
            url: Where it is, without a slash at its end.
            master_key: The key that may do everything.
        """
        self._agent, self._url, self._master_key = agent, url, master_key

    def make(self, grant: Grant) -> SecretStr:
        """Make a virtual key.

        Raises:
            GrantError: It was not made.
        """
        made = self._ask("/key/generate", grant.body(datetime.now(UTC))).get("key")
        if not isinstance(made, str) or not _KEY.fullmatch(made):
            raise GrantError(
                f"the gateway {self._agent} made something that is no key; look at its release in image.tag"
            )
        return SecretStr(made)

    def end(self, key: SecretStr) -> None:
        """End a virtual key.

        Raises:
            GrantError: It was not ended.
        """
        self._ask("/key/delete", {"keys": [key.get_secret_value()]})

    def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        with requests.Session() as session:
            # Neither a proxy nor a .netrc has anything to say to a machine at home.
            session.trust_env = False
            session.headers["Authorization"] = f"Bearer {self._master_key.get_secret_value()}"
            try:
                response = session.post(f"{self._url}{path}", json=body, timeout=_SECONDS, allow_redirects=False)
            except requests.Timeout:
                raise GrantError(
                    f"the gateway {self._agent} at {self._url} gave no answer within {_SECONDS} seconds"
                ) from None
            except requests.RequestException as error:
                raise GrantError(
                    f"the gateway {self._agent} is not reached at {self._url} ({type(error).__name__}): is it deployed, "
                    "and does this machine reach it?"
                ) from None
        said = _read_json(response)
        if response.ok and isinstance(said, dict):
            return said
        raise GrantError(self._why(response.status_code, said))

    def _why(self, status: int, said: object) -> str:
        error = said.get("error") if isinstance(said, dict) else None
        text = str(error.get("message") if isinstance(error, dict) else error or said)
        for secret in (self._master_key.get_secret_value(), *_KEY.findall(text)):
            text = text.replace(secret, "***")
        if "No connected db" in text or "database" in text.lower():
            return (
                f"the gateway {self._agent} has no database, which virtual keys need: write agents.{self._agent}.litellm.database, "
                "and deploy"
            )
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            return f"the gateway {self._agent} refuses the master key: deliver its secrets with `pipenv run agents secrets {self._agent}`"
        return f"the gateway {self._agent} made no key (HTTP {status}: {text[:300]})"


def _read_json(response: requests.Response) -> object:
    try:
        return response.json() if response.content else {}
    except ValueError:
        return response.text


# The secrets file -----------------------------------------------------------------------------------------------------


def with_secret(text: str, name: str, value: str) -> str:
    """Return the text of a secrets file in which a name has a value, and all else is as it was."""
    from dotenv.parser import parse_stream  # noqa: PLC0415 - for who grants something

    parts, is_there = [], False
    for binding in parse_stream(StringIO(text)):
        original = binding.original.string
        if binding.key != name:
            parts.append(original)
        elif not is_there:
            blank = original[: len(original) - len(original.lstrip())]
            parts.append(f"{blank}{name}={value}\n")
            is_there = True
    before = "".join(parts)
    end = "" if is_there else f"{'' if before.endswith(chr(10)) or not before else chr(10)}{name}={value}\n"
    return before + end


def secret_in(file: Path, name: str) -> SecretStr | None:
    """Return the value that a name has in a secrets file; none where it has none.

    Raises:
        GrantError: The file cannot be read, or is readable by others.
    """
    from dotenv import dotenv_values  # noqa: PLC0415 - for who grants something

    value = dotenv_values(stream=StringIO(_read(file)), interpolate=False).get(name)
    return SecretStr(value) if value else None


def put_secret(file: Path, name: str, value: SecretStr) -> None:
    """Write one secret into a secrets file of its owner's alone; whoever reads it has the old one or the new one, whole.

    Raises:
        GrantError: It cannot be written.
    """
    text = with_secret(_read(file), name, value.get_secret_value())
    # What a link leads to is meant, and stays a file of the same place.
    file = file.resolve()
    try:
        handle, new = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            Path(new).replace(file)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(new).unlink()
    except OSError as error:
        raise GrantError(
            f"{file} cannot be written ({error.strerror}): look at the permissions of its directory"
        ) from None


def _read(file: Path) -> str:
    """Return what is in a secrets file; nothing where there is none yet."""
    try:
        with file.open(encoding="utf-8") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise GrantError(f"{file} is no regular file: name one")
            if (mode := stat.S_IMODE(status.st_mode)) & _OTHERS:
                raise GrantError(
                    f"{file} can be read by others (mode {mode:04o}): run `chmod 600 {shlex.quote(str(file))}`"
                )
            return opened.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise GrantError(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None
