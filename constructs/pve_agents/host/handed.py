"""What one step of a deploy saw last, for the step after it: nobody needs to look twice at what nobody has touched."""

from __future__ import annotations

import hashlib

from pve_agents.host.facts import look_at
from pve_agents.host.shell import private_directory
from pve_agents.host.wanted import Wanted

__all__ = ["HandedOn"]


class HandedOn:
    """The answer of a look, in a file that only we can read, for the same questions in one deploy.

    What tells deploys apart may be unknown, which is empty; then nothing is handed on.
    """

    def __init__(self, deploy: str, wanted: Wanted) -> None:
        """Know whose it is."""
        self._is_on = bool(deploy)
        self._key = hashlib.sha256(f"{deploy}\0{wanted.node}\0{look_at(wanted)}".encode()).hexdigest().encode()
        self._file = private_directory() / f"look-{wanted.agent}"

    def take(self) -> bytes:
        """What the step before saw; nothing if it saw nothing, or asked for something else."""
        if not self._is_on or not self._file.exists():
            return b""
        key, _, answer = self._file.read_bytes().partition(b"\n")
        return answer if key == self._key else b""

    def give(self, answer: bytes) -> None:
        """Hand it on."""
        if self._is_on:
            self._file.unlink(missing_ok=True)
            self._file.write_bytes(self._key + b"\n" + answer)

    def forget(self) -> None:
        """Hand nothing on: nobody knows what is there now."""
        self._file.unlink(missing_ok=True)
