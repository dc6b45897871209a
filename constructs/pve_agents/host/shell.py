"""Root's shell on the node, as a command: how a text gets there, what comes back, and how much of it is listened to."""

from __future__ import annotations

import contextlib
import os
import re
import select
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from pve_agents.host.facts import LONGEST_LOOK
from pve_agents.host.spec import WrongSettingsError
from pve_agents.host.wanted import Wanted
from pve_agents.host.words import printable

__all__ = [
    "LONGEST_ACT",
    "LOOK_SECONDS",
    "RootShell",
    "Shell",
    "UnreachedError",
    "line_of",
    "local",
    "private_directory",
    "ssh",
]

SSH_FAILED = 255
LOOK_SECONDS = 60
LONGEST_ACT = 16 * 1024 * 1024
"""Bytes that anybody listens to."""
_LONGEST_LINE = 4000

# What no child may inherit: ssh may be configured to send variables along, and a secret is for the container alone.
_PRIVATE = re.compile(
    r"^(PROXMOX_VE|PVE|HOST_STEP|TF|HERMES)_|_ENV_FILE$|TOKEN|SECRET|PASSWO?R?D|API_?KEY|_KEY$|CREDENTIAL"
)


class UnreachedError(Exception):
    """The node was not reached, or did not answer to the end."""


class RootShell(Protocol):
    """A shell of root's, wherever it is."""

    errors: IO[bytes] | None
    """What gets what a look says on standard error, where that comes apart from the rest."""

    def look(self, text: str) -> bytes:
        """Run a text that only looks, and return what it prints."""
        ...

    def act(self, text: str, on_line: Callable[[str], None], *, tabs: bool = False) -> int:
        """Run a text, hand out each line that it prints, and return its exit status."""
        ...


def line_of(line: bytes, *, tabs: bool) -> str:
    """A line of what a text prints, as far as it can be printed; with its tabs, if they matter."""
    words = line.decode("utf-8", "replace").rstrip("\n").split("\t")
    return ("\t" if tabs else " ").join(map(printable, words))


class Shell:
    """A command that is a root shell on the node, and reads what it is to do on its standard input."""

    def __init__(self, argv: Sequence[str], *, secret_names: Sequence[str] = (), failed: str = "") -> None:
        """Know the command.

        Args:
            argv: The command.
            secret_names: Variables that it does not get, besides all whose names sound like a credential.
            failed: What is said when ssh itself fails.
        """
        self._argv, self._failed = list(argv), failed
        self.errors: IO[bytes] | None = None
        """What gets what a look says on standard error. Defaults to this process's own."""
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name not in secret_names and not _PRIVATE.search(name.upper())
        }

    def look(self, text: str) -> bytes:
        """Run a text that only looks, and return what it prints.

        Raises:
            UnreachedError: It did not end, or not in time.
        """
        with self._running(text, self.errors) as child:
            output = _read(child)
            child.kill()
        if child.returncode == SSH_FAILED and not output:
            raise UnreachedError(self._failed)
        return output

    def act(self, text: str, on_line: Callable[[str], None], *, tabs: bool = False) -> int:
        """Run a text, hand out each line that it prints, and return its exit status.

        Args:
            text: What it is to do.
            on_line: Gets each line, as far as it can be printed.
            tabs: Whether lines keep their tabs.

        Raises:
            UnreachedError: The node was not reached.
        """
        heard = 0
        with self._running(text, subprocess.STDOUT) as child:
            stream = child.stdout
            while stream and (line := stream.readline(_LONGEST_LINE)):
                heard += len(line)
                if heard <= LONGEST_ACT:
                    on_line(line_of(line, tabs=tabs))
        if child.returncode == SSH_FAILED and self._failed:
            raise UnreachedError(self._failed)
        return child.returncode

    @contextlib.contextmanager
    def _running(self, text: str, stderr: int | IO[bytes] | None) -> Iterator[subprocess.Popen[bytes]]:
        """Start it, and give it its text meanwhile; where nobody listens any more, it is ended."""
        pipe = subprocess.PIPE
        try:
            child = subprocess.Popen(self._argv, stdin=pipe, stdout=pipe, stderr=stderr, env=self._environment)
        except OSError as error:
            raise UnreachedError(f"cannot run {self._argv[0]}: {error.strerror}") from None
        with child:
            writer = threading.Thread(target=_write, args=(child, text), daemon=True)
            writer.start()
            try:
                yield child
            except BaseException:
                child.terminate()
                raise
            finally:
                # It writes to what is closed next.
                writer.join()


def _read(child: subprocess.Popen[bytes]) -> bytes:
    """What it prints, so much and so long: what it has started may hold the pipe open after it is dead."""
    output, end = b"", time.monotonic() + LOOK_SECONDS
    descriptor = child.stdout.fileno() if child.stdout else -1
    while len(output) < LONGEST_LOOK and select.select([descriptor], [], [], max(0, end - time.monotonic()))[0]:
        part = os.read(descriptor, LONGEST_LOOK - len(output))
        if not part:
            break
        output += part
    return output


def _write(child: subprocess.Popen[bytes], text: str) -> None:
    # It may have ended, or closed its input.
    with contextlib.suppress(BrokenPipeError), child.stdin or contextlib.nullcontext() as stream:
        if stream:
            stream.write(text.encode())


def ssh(wanted: Wanted, environment: Mapping[str, str]) -> Shell:
    """The shell that ssh opens at the login that PVE_SSH names.

    Raises:
        WrongSettingsError: It names none.
    """
    host = environment.get("PVE_SSH", "")
    if not host:
        raise WrongSettingsError(
            "PVE_SSH is not set: write the node's root login, such as PVE_SSH=root@10.1.10.10, to "
            "~/.config/pve-agents/root.env (docs/node.md)"
        )
    if not re.fullmatch(r"[A-Za-z0-9_\[][A-Za-z0-9_.@:%\[\]/-]*", host):
        raise WrongSettingsError("PVE_SSH is no login; write one such as root@10.1.10.10")
    # StrictHostKeyChecking stays as ~/.ssh/config has it; BatchMode turns its default, `ask`, into a refusal.
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "10",
        "ServerAliveInterval": "15",
        "ControlMaster": "auto",
        "ControlPath": f"{private_directory()}/%C",
        "ControlPersist": "60",
    }
    flags = [argument for name, value in options.items() for argument in ("-o", f"{name}={value}")]
    failed = f"ssh to {host} failed: try `ssh {host} true`, or another PVE_TRANSPORT"
    return Shell(["ssh", *flags, "--", host, "bash", "-s"], secret_names=wanted.secret_names, failed=failed)


def local(wanted: Wanted, _: Mapping[str, str]) -> Shell:
    """A shell of this machine, which is the node.

    Raises:
        WrongSettingsError: Whoever runs this is not root.
    """
    if os.geteuid() != 0:
        raise WrongSettingsError(
            "PVE_TRANSPORT=local works only as root on the node: run it there with sudo, or use ssh"
        )
    return Shell(["bash", "-s"], secret_names=wanted.secret_names)


def private_directory() -> Path:
    """A directory of ours alone, the same for all steps, so that they share one connection.

    Raises:
        WrongSettingsError: Somebody else has it.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime if os.path.isdir(runtime) else tempfile.gettempdir())  # noqa: PTH112 - of others' it is no error
    directory = base / f"pve-agents-{os.getuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        found = directory.lstat()
    except OSError as error:
        raise WrongSettingsError(
            f"cannot make {directory}: {error.strerror}; set XDG_RUNTIME_DIR to a directory of yours"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise WrongSettingsError(f"{directory} is not a directory of yours alone: remove it")
    return directory
