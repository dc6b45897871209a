"""Whether what the services serve answers, asked as somebody in the container would."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException

from pve_agents.guest.checks import Answer, Check, OwnChecks

__all__ = ["Checks"]

_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class _Asked:
    """An address, and what it should answer."""

    url: str
    status: int
    contains: str
    seconds: int

    @property
    def name(self) -> str:
        """What it is called in a list of checks, where a name is made of words."""
        return " ".join(re.findall(r"[A-Za-z0-9_.-]+", self.url))

    def answer(self) -> Answer:
        """Ask it."""
        remedy = "look at `docker ps -a` and at the logs of its service in the container"
        try:
            status, text = _get(self.url, self.seconds)
        except TimeoutError:
            return Answer("waiting", f"{self.url} gave no answer within {self.seconds} seconds", remedy)
        except (OSError, HTTPException) as error:
            why = getattr(error, "reason", None) or error
            return Answer("waiting", f"{self.url} is not reached ({why})", remedy)
        if status != self.status:
            return Answer("waiting", f"{self.url} answers {status}, not {self.status}", remedy)
        if self.contains not in text:
            return Answer("waiting", f"{self.url} answers without {self.contains!r} in it", remedy)
        return Answer("ok", f"{self.url} answers {status}")


class _AsItIs(urllib.request.HTTPRedirectHandler):
    """Follows nobody: a redirect is an answer like any other."""

    def redirect_request(self, *_: object) -> None:
        return None


def _get(url: str, seconds: int) -> tuple[int, str]:
    # No proxy stands between a container and what runs in it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _AsItIs())
    try:
        with opener.open(url, timeout=seconds) as response:  # http and https alone, by the settings
            return response.status, response.read(_MOST_BYTES).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read(_MOST_BYTES).decode(errors="replace")
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise TimeoutError from None
        raise


class Checks(OwnChecks):
    """The addresses of the settings."""

    def ready(self) -> Answer:
        """Tell whether all of them answer."""
        return next((answer for it in self._asked() if not (answer := it.answer()).ok), Answer("ok", ""))

    def look(self, *, chat: bool) -> Iterator[Check]:
        """Yield a line for each."""
        del chat
        for it in self._asked():
            answer = it.answer()
            yield Check(it.name, "ok" if answer.ok else "failed", answer.detail, answer.remedy)

    def _asked(self) -> list[_Asked]:
        return [_Asked(**it) for it in self.arguments.get("http", [])]
