"""Whether what the services serve answers, asked as somebody in the container would."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pve_agents.guest.asking import NoAnswerError, TooLateError, ask
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
            status, content = ask(self.url, seconds=self.seconds, most_bytes=_MOST_BYTES)
        except TooLateError:
            return Answer("waiting", f"{self.url} gave no answer within {self.seconds} seconds", remedy)
        except NoAnswerError as error:
            return Answer("waiting", f"{self.url} is not reached ({error})", remedy)
        if status != self.status:
            return Answer("waiting", f"{self.url} answers {status}, not {self.status}", remedy)
        if self.contains not in content.decode(errors="replace"):
            return Answer("waiting", f"{self.url} answers without {self.contains!r} in it", remedy)
        return Answer("ok", f"{self.url} answers {status}")


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
