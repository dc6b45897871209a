"""Root's shell behind a terminal of Proxmox VE: the node's own, or a container's."""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from typing import IO

from pve_agents.host.facts import LONGEST_LOOK
from pve_agents.host.login import Login
from pve_agents.host.shell import LONGEST_ACT, LOOK_SECONDS, UnreachedError, line_of, private_directory
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.terminal import Terminal, TerminalError
from pve_agents.node_access import Access
from pve_agents.node_console import Console, ConsoleError

__all__ = ["ConsoleShell", "of_container", "of_node"]

_ATTEMPTS = 3
_WAITS_SECONDS, _PAUSE_SECONDS = 120.0, 1.0
_NOT_TO_THE_END = "what ran there may go on, or not: run it again, it looks first and goes on from there"


class ConsoleShell:
    """A shell that gets each text through a terminal of its own."""

    errors: IO[bytes] | None = None
    """A terminal has no other end for what a look says on standard error."""

    def __init__(self, enter: Callable[[], Console], name: str, *, address: str) -> None:
        """Know it; nobody is asked anything yet.

        Args:
            enter: Opens the terminal.
            name: What it is called in sentences.
            address: Of the API: the same name may be another terminal elsewhere.
        """
        self._enter, self._name = enter, name
        self._lock = private_directory() / f"console-{hashlib.sha256(f'{address} {name}'.encode()).hexdigest()[:16]}"

    def look(self, text: str) -> bytes:
        """Run a text that only looks, and return what it prints.

        Raises:
            UnreachedError: It did not end, or not in time.
        """
        lines: list[bytes] = []
        heard = 0

        def hear(line: bytes) -> None:
            nonlocal heard
            heard += len(line)
            if heard <= 2 * LONGEST_LOOK:
                lines.append(line)

        self._run(text, hear, plain=False, seconds=LOOK_SECONDS)
        try:
            return base64.b64decode(b"".join(lines), validate=True)[:LONGEST_LOOK]
        except binascii.Error:
            raise UnreachedError(
                f"{self._name} answers with what was never asked for: somebody else has it open, too. Leave it, and run it again"
            ) from None

    def act(self, text: str, on_line: Callable[[str], None], *, tabs: bool = False) -> int:
        """Run a text, hand out each line that it prints, and return its exit status.

        Args:
            text: What it is to do.
            on_line: Gets each line, as far as it can be printed.
            tabs: Whether lines keep their tabs.

        Raises:
            UnreachedError: It was not run, or not to its end.
        """
        heard = 0

        def hear(line: bytes) -> None:
            nonlocal heard
            heard += len(line) + 1
            if heard <= LONGEST_ACT:
                on_line(line_of(line, tabs=tabs))

        return self._run(text, hear, plain=True)

    def _run(self, text: str, on_line: Callable[[bytes], None], *, plain: bool, seconds: float | None = None) -> int:
        limits = {} if seconds is None else {"silence": seconds, "seconds": seconds}
        with self._alone():
            for attempt in range(1, _ATTEMPTS + 1):
                terminal: Terminal | None = None
                try:
                    with contextlib.closing(self._enter()) as console:
                        console.refresh()
                        terminal = Terminal(console, self._name)
                        return terminal.run(text.encode(), on_line, plain=plain, **limits)
                except TerminalError as error:
                    if not error.is_worth_another or attempt == _ATTEMPTS:
                        raise UnreachedError(str(error)) from None
                except ConsoleError as error:
                    if terminal is not None and terminal.is_begun:
                        raise UnreachedError(f"{self._name} broke off in the middle; {_NOT_TO_THE_END}") from None
                    if not error.is_over or attempt == _ATTEMPTS:
                        raise UnreachedError(str(error)) from None
                # Two who met there must not meet again.
                time.sleep(_PAUSE_SECONDS * attempt * (0.2 + secrets.randbelow(1000) / 1000))
        raise AssertionError  # pragma: no cover - each attempt returns, raises or is followed by another

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else of this machine has the terminal meanwhile; whoever has it is waited for."""
        with self._lock.open("w") as file:
            end = time.monotonic() + _WAITS_SECONDS
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end:
                        raise UnreachedError(
                            f"another command has had {self._name} for {_WAITS_SECONDS:g} seconds: run this again when that "
                            "has ended"
                        ) from None
                    time.sleep(0.2)
            yield


def of_container(who: Access, node: str, vmid: int) -> ConsoleShell:
    """The shell of root's in a container that its console is, with the mode ``shell``."""
    privilege = f"VM.Console on /vms/{vmid}"
    return ConsoleShell(
        lambda: Console(who, f"nodes/{node}/lxc/{vmid}", privilege=privilege),
        f"the console of container {vmid}",
        address=who.address,
    )


def of_node(login: Login, node: str) -> ConsoleShell:
    """The shell of root's on a node, as the web interface opens it."""

    def enter() -> Console:
        for is_last in (False, True):
            try:
                return Console(login.ticket(), f"nodes/{node}", privilege=f"Sys.Console on /nodes/{node}")
            except ConsoleError as error:
                # A password may have changed, or the node's keys.
                if not error.is_unknown or is_last:
                    raise
                login.forget()
        raise WrongSettingsError(login.address)  # pragma: no cover - the last one returns or raises

    return ConsoleShell(enter, f"the shell of node {node}", address=login.address)
