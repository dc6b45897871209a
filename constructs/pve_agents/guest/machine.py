"""The container as the program sees it: its programs, its files, its time.

All that the program does to the container it does here, so that a test can put another container in its place.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import selectors
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["NOT_FOUND", "TIMED_OUT", "CommandError", "Machine", "Ran", "Status"]

TIMED_OUT, NOT_FOUND = 124, 127
_WAIT_SECONDS = 5
_GRACE_SECONDS = 10
_MOVE_SECONDS = 3600


class CommandError(Exception):
    """A program that does not fail has failed."""


@dataclass(frozen=True)
class Ran:
    """A program that has ended."""

    status: int
    """Its exit status; 124 if it did not end in time."""

    out: str
    """What it said, without the newlines at the end."""

    errors: str = ""
    """What it said on standard error, where that was not joined to the rest."""

    @property
    def ok(self) -> bool:
        """Whether it did what it was asked for."""
        return self.status == 0

    @property
    def last_line(self) -> str:
        """What it said last."""
        return self.out.rpartition("\n")[2]


@dataclass(frozen=True)
class Status:
    """A file or directory itself, whatever it links to."""

    uid: int
    gid: int
    mode: int
    """The permissions alone."""
    changed_ns: int

    @property
    def owner(self) -> str:
        """Its owner, as ``chown`` writes it."""
        return f"{self.uid}:{self.gid}"


class Machine:
    """The container that this process runs in."""

    kept_open: tuple[int, ...]
    """Open files that every program gets along: a lock that holds until the last one has ended."""

    on_wait: Callable[[], object]
    """Called now and then while a program takes long."""

    def __init__(self) -> None:
        """Hold nothing open, and wait in silence."""
        self.kept_open = ()
        self.on_wait = lambda: None

    # programs -------------------------------------------------------------------------------------------------------

    def has(self, program: str) -> bool:
        """Tell whether there is a program of that name."""
        return shutil.which(program) is not None

    def run(
        self,
        *command: str,
        seconds: float,
        stdin: bytes = b"",
        joined: bool = False,
        user: tuple[int, int] | None = None,
    ) -> Ran:
        """Run a program to its end, or until its time is over.

        Args:
            command: The program and its arguments; no secret is one.
            seconds: How long it may take.
            stdin: What it reads.
            joined: Whether what it says on standard error belongs to the rest.
            user: Who runs it; root by default.
        """
        try:
            errors_to = subprocess.STDOUT if joined else subprocess.PIPE
            with _reading(stdin) as given, self._started(command, user, given, errors_to) as process:
                heard = self._heard(process, self.seconds() + seconds)
                out, errors = heard or _end(process)
                status = process.returncode if heard else TIMED_OUT
        except FileNotFoundError:
            return Ran(NOT_FOUND, f"{command[0]}: command not found")
        return Ran(status if status >= 0 else 128 - status, _text(out).rstrip("\n"), _text(errors).rstrip("\n"))

    def _heard(self, process: subprocess.Popen[bytes], until: float) -> tuple[bytes, bytes] | None:
        """Return both outputs of a program when it has ended; none if its time is over."""
        while (rest := until - self.seconds()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=min(_WAIT_SECONDS, rest))
            self.on_wait()
        return None

    def follow(self, *command: str, seconds: float, on_line: Callable[[str], None]) -> int:
        """Run a program and hand on what it says; an empty line when it has said nothing for a while.

        Args:
            command: The program and its arguments.
            seconds: How long it may take.
            on_line: Gets each line.

        Returns:
            Its exit status; 124 if it did not end in time.
        """
        until, rest = self.seconds() + seconds, b""
        started = self._started(command, None, subprocess.DEVNULL, subprocess.STDOUT)
        with started as process, selectors.DefaultSelector() as ready:
            if process.stdout is None:
                raise CommandError(command[0])
            ready.register(process.stdout, selectors.EVENT_READ)
            while True:
                if self.seconds() >= until:
                    process.stdout.close()
                    _end(process)
                    return TIMED_OUT
                if not ready.select(min(_WAIT_SECONDS, max(0.0, until - self.seconds()))):
                    on_line("")
                    continue
                if not (some := os.read(process.stdout.fileno(), 65536)):
                    break
                *lines, rest = (rest + some).split(b"\n")
                for line in lines:
                    on_line(_text(line))
            if rest:
                on_line(_text(rest))
            return process.wait()

    def _started(
        self, command: Sequence[str], user: tuple[int, int] | None, stdin: int | IO[bytes], errors: int
    ) -> subprocess.Popen[bytes]:
        uid, gid = user or (None, None)
        # In a group of its own, so that what it has started ends with it; in our session, so that it ends with us.
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            process_group=0,
            pass_fds=self.kept_open,
            user=uid,
            group=gid,
            extra_groups=None if user is None else (),
        )

    # time -----------------------------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """Return the time of a clock that nobody sets."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    # looking at files -------------------------------------------------------------------------------------------------

    def place(self, path: str) -> Path:
        """Return where a path of the container is."""
        return Path(path)

    def read(self, path: str) -> bytes | None:
        """Return what is in a file, or none where there is no file."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return self.place(path).read_bytes()
        return None

    def text(self, path: str) -> str:
        """Return the text of a file without the newlines at its end; empty where there is no file."""
        return _text(self.read(path) or b"").rstrip("\n")

    def is_file(self, path: str) -> bool:
        """Tell whether it is a file, or a link to one."""
        return self.place(path).is_file()

    def is_directory(self, path: str) -> bool:
        """Tell whether it is a directory, or a link to one."""
        return self.place(path).is_dir()

    def is_link(self, path: str) -> bool:
        """Tell whether it is a link."""
        return self.place(path).is_symlink()

    def exists(self, path: str) -> bool:
        """Tell whether anything is there, if only a link to nowhere."""
        return os.path.lexists(self.place(path))

    def status(self, path: str) -> Status | None:
        """Return whose it is, or none where nothing is there."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found = self.place(path).lstat()
            return Status(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), found.st_mtime_ns)
        return None

    def names(self, directory: str) -> list[str]:
        """Return what is in a directory, in order; nothing where there is none."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(os.listdir(self.place(directory)))  # noqa: PTH208
        return []

    def files_below(self, directory: str) -> list[str]:
        """Return the paths of all files below a directory, relative to it and in order."""
        top = self.place(directory)
        return sorted(str(it.relative_to(top)) for it in top.rglob("*") if it.is_file())

    def free_mebibytes(self, path: str) -> int:
        """Return how much room there is."""
        found = os.statvfs(self.place(path))
        return found.f_bavail * found.f_frsize // 2**20

    def permits(self, path: str, mode: int) -> bool:
        """Tell whether whoever asks may do it: ``os.R_OK`` or ``os.W_OK``."""
        return os.access(self.place(path), mode)

    # changing files ---------------------------------------------------------------------------------------------------

    def write(self, path: str, content: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
        """Put a file in place: whoever reads it has the old one or the new one, whole.

        Args:
            path: The file; a link there is replaced, and never followed.
            content: What is in it.
            mode: Its permissions.
            owner: Whose it is; whoever writes it by default.
        """
        beside = f"{path}.new"
        place = self.place(beside)
        place.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(place, flags, mode & 0o600), "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        if owner is not None:
            self.give(beside, owner)
        self.move(beside, path)

    def want_directory(self, path: str, mode: int = 0o755, *, above: int = 0o755) -> None:
        """Make a directory if it is not there, as :meth:`make_directory` does."""
        if not self.is_directory(path):
            self.make_directory(path, mode, above=above)

    def make_directory(self, path: str, mode: int = 0o755, *, above: int = 0o755) -> None:
        """Make a directory, and those above it that are missing.

        Args:
            path: The directory.
            mode: Its permissions.
            above: The permissions of those above it.
        """
        missing = [path]
        while not self.exists(parent := os.path.dirname(missing[-1])):  # noqa: PTH120
            missing.append(parent)
        for directory in reversed(missing[1:]):
            self.make(directory, above)
        self.make(path, mode)

    def make(self, path: str, mode: int) -> None:
        """Make one directory that is not there."""
        self.place(path).mkdir()
        self.place(path).chmod(mode)

    def give(self, path: str, owner: tuple[int, int]) -> None:
        """Give a file or directory to a user; a link itself."""
        os.chown(self.place(path), *owner, follow_symlinks=False)

    def move(self, path: str, target: str) -> None:
        """Give something another place on the same disk, or on another one; what is there is replaced."""
        try:
            self.place(path).replace(self.place(target))
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # With owners and modes, which shutil does not keep.
            if not self.run("mv", "-T", "--", path, target, seconds=_MOVE_SECONDS).ok:
                raise

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it; no link is followed, and nothing is no error."""
        place = self.place(path)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    # as the agent -----------------------------------------------------------------------------------------------------

    def as_user(self, user: tuple[int, int], do: Callable[..., Any], *arguments: object) -> Any:  # noqa: ANN401
        """Call a function in a process of that user's, who may lead root elsewhere by a link.

        Args:
            user: Its uid and gid.
            do: Gets this machine and the arguments; what it returns is plain data.
            arguments: What it needs.

        Raises:
            OSError: The user may not do it.
        """
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            status = 1
            try:
                os.close(reading)
                status = self._become(user, writing, do, arguments)
            finally:
                # Whatever happens, only one process goes on with the program.
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        if not said:
            raise OSError(errno.EIO, "the process of the agent's user ended early")
        value, number, text, path = json.loads(said)
        if number is not None:
            raise OSError(number, text, path)
        return value

    def _become(self, user: tuple[int, int], pipe: int, do: Callable[..., Any], arguments: tuple[object, ...]) -> int:
        answer: list[Any] = [None, None, "", ""]
        try:
            os.setgroups([])
            os.setresgid(user[1], user[1], user[1])
            os.setresuid(user[0], user[0], user[0])
            answer[0] = do(self, *arguments)
        except OSError as error:
            answer[1:] = [error.errno or errno.EIO, error.strerror or "", str(error.filename or "")]
        except BaseException:  # noqa: BLE001 - nothing of this process goes on
            return 1
        with os.fdopen(pipe, "w") as out:
            json.dump(answer, out)
        return 0


@contextlib.contextmanager
def _reading(content: bytes) -> Iterator[int | IO[bytes]]:
    """Give a program something to read, from a file: who waits for it has not to feed it meanwhile."""
    if not content:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        yield file


def _end(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """End a program that takes too long, with what it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired, ValueError):
            out, errors = process.communicate(timeout=_GRACE_SECONDS)
            return out or b"", errors or b""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
            break
    return b"", b""


def _text(said: bytes | None) -> str:
    return (said or b"").decode(errors="surrogateescape")
