"""Root's login at the Proxmox VE API: a password, a second factor where one is wanted, and a ticket for two hours.

The ticket is kept where the steps of a deploy find it, in a file of ours alone: nobody types a password five times, and a code
is good for once.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pve_agents.host.shell import UnreachedError, private_directory
from pve_agents.host.spec import WrongSettingsError
from pve_agents.node_access import ROOT, NodeError, Ticket, Where, where
from pve_agents.node_api import explained
from pve_agents.node_session import session_of

__all__ = ["PASSWORD_FILE", "Login"]

PASSWORD_FILE = "PVE_ROOT_PASSWORD_FILE"  # noqa: S105 - a name
"""The variable that names the file with root's password; without it, the password is asked for."""

_SECONDS = 20.0
# Proxmox VE's own are good for two hours (pve-access-control); a step that has just begun may need it for long.
_LIFETIME_SECONDS = 100 * 60
_LONGEST = 4096
_READ_TOKEN = "PVE_READ_TOKEN"  # noqa: S105 - root's variables, and not the token's, are missing


class Login:
    """Who root is at the API of these variables."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read where the API is; nobody is asked anything yet.

        Raises:
            WrongSettingsError: The variables lead nowhere.
        """
        try:
            self._where = where(environment, token=_READ_TOKEN)
        except NodeError as error:
            raise WrongSettingsError(f"PVE_TRANSPORT=console: {error}") from None
        self._password_file = environment.get(PASSWORD_FILE, "")
        name = hashlib.sha256(self._where.address.encode()).hexdigest()[:16]
        self._kept = private_directory() / f"login-{name}"

    @property
    def address(self) -> str:
        """The API's."""
        return self._where.address

    def ticket(self) -> Ticket:
        """Return the ticket of an earlier login, or log in.

        Raises:
            WrongSettingsError: The password is not right, or cannot be asked for.
            UnreachedError: The API does not answer.
        """
        return self._earlier() or self._new()

    def forget(self) -> None:
        """Log in anew the next time."""
        self._kept.unlink(missing_ok=True)

    def _earlier(self) -> Ticket | None:
        try:
            kept = json.loads(self._kept.read_text(encoding="utf-8"))
            is_good = kept["address"] == self._where.address
            is_good &= time.time() < float(kept["until"]) <= time.time() + _LIFETIME_SECONDS
            found = self._made(str(kept["secret"]), str(kept["csrf"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return found if is_good else None

    def _new(self) -> Ticket:
        answer = self._post({"username": ROOT, "password": self._password()}, self._wrong_password())
        if answer.get("NeedTFA"):
            challenge = str(answer["ticket"])
            code = self._code(challenge)
            answer = self._post(
                {"username": ROOT, "password": f"totp:{code}", "tfa-challenge": challenge},
                f"{self._where.address} does not accept the code of {ROOT}: run it again with the next one",
            )
        ticket = self._made(str(answer["ticket"]), str(answer["CSRFPreventionToken"]))
        kept = {
            "address": ticket.address,
            "secret": ticket.secret,
            "csrf": ticket.csrf,
            "until": time.time() + _LIFETIME_SECONDS,
        }
        self.forget()
        with os.fdopen(os.open(self._kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(kept, file)
        return ticket

    def _made(self, secret: str, csrf: str) -> Ticket:
        found: Where = self._where
        return Ticket(found.address, found.verified, found.oldest_tls, user=ROOT, secret=secret, csrf=csrf)

    def _post(self, data: Mapping[str, str], refused: str) -> dict[str, Any]:
        import requests  # noqa: PLC0415 - slow to import

        address = f"{self._where.address}/api2/json/access/ticket"
        try:
            # Not through proxmoxer, which would write the password into a log that somebody has switched on.
            answer = session_of(self._where, _SECONDS).request("POST", address, data=data, allow_redirects=False)
        except requests.RequestException as error:
            raise UnreachedError(explained(self._where, error, _SECONDS)) from None
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise WrongSettingsError(refused)
        with contextlib.suppress(LookupError, TypeError, ValueError, AttributeError):
            found: dict[str, Any] = answer.json()["data"]
            if {"ticket", "CSRFPreventionToken"} <= found.keys():
                return found
        raise UnreachedError(
            f"{self._where.address} does not answer a login as Proxmox VE does: does PROXMOX_VE_ENDPOINT name the API "
            "(port 8006)?"
        )

    def _wrong_password(self) -> str:
        return f"{self._where.address} does not accept the password of {ROOT}: " + (
            f"correct it in {self._password_file}" if self._password_file else "run it again, and type it again"
        )

    def _password(self) -> str:
        if not self._password_file:
            return self._asked(
                f"Password of {ROOT} at {self._where.address}: ",
                f"write it to a file, `chmod 600` that, and name it in {PASSWORD_FILE}",
            )
        path = Path(self._password_file).expanduser()
        try:
            with path.open(encoding="utf-8") as file:
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode) or mode & 0o077:
                    raise WrongSettingsError(
                        f"{PASSWORD_FILE} {path} is to be a file that nobody else can read: run `chmod 600 {path}`"
                    )
                password = file.read(_LONGEST).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise WrongSettingsError(f"cannot read {PASSWORD_FILE} {path}: {reason}") from None
        if not password:
            raise WrongSettingsError(f"{PASSWORD_FILE} {path} is empty: write the password of {ROOT} into it")
        return password

    def _code(self, challenge: str) -> str:
        if not _takes_codes(challenge):
            raise WrongSettingsError(
                f"{ROOT} has a second factor, and none that shows codes (TOTP): add one (Datacenter, Permissions, Two "
                "Factor), or use another PVE_TRANSPORT"
            )
        return self._asked(
            f"Code of {ROOT} (TOTP): ",
            "run `pipenv run agents doctor` in a terminal first: its login is good for 100 minutes",
        ).replace(" ", "")

    def _asked(self, question: str, otherwise: str) -> str:
        try:
            with open("/dev/tty", "rb"):  # noqa: PTH123 - a terminal, and no file
                pass
        except OSError:
            what = question.partition(" at ")[0].partition(" (")[0].rstrip(": ")
            raise WrongSettingsError(
                f"PVE_TRANSPORT=console has to ask for this, and there is no terminal: {what}. To go without, {otherwise}"
            ) from None
        answer = getpass.getpass(question)
        if not answer:
            raise WrongSettingsError("nothing was typed, and nothing was done: run it again")
        return answer


def _takes_codes(challenge: str) -> bool:
    """Whether the second factor is one that shows codes; where that cannot be read, one may try."""
    _, found, rest = challenge.partition("!tfa!")
    try:
        kinds = json.loads(unquote(rest.partition(":")[0]))
    except ValueError:
        return True
    return bool(not found or not isinstance(kinds, dict) or kinds.get("totp"))
