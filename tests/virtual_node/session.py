"""A login on the virtual node's host: a shell whose commands are forks of one process.

To start Python and import its modules takes longer than what most commands do, and a script runs a hundred of them. So a
login's shell runs below a server, which leads the session; the stand-ins hand themselves to it. A command lives in the
session and in the process group of its caller, so that sudden death takes along what it would really take.

A stand-in is a text for bash, which starts in a tenth of the time of Python, and says no more than who it is: where it
runs, with which environment and on which files, the server reads from /proc.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import re
import select
import selectors
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Program:
    """What a command ends as: another program."""

    words: list[str]
    environment: Mapping[str, str]
    directory: Path
    name: str
    """What says so if it cannot be started."""

    def start(self, group: int) -> int:
        """Start it with the standard files of this process, and return its process."""
        os.chdir(self.directory)
        # That is where it is looked for.
        os.environ["PATH"] = self.environment["PATH"]
        # Python ignores them.
        signals = (signal.SIGPIPE, signal.SIGXFSZ)
        return os.posix_spawnp(self.words[0], self.words, self.environment, setpgroup=group, setsigdef=signals)

    def run(self) -> int:
        """Run it to its end, and return its status."""
        try:
            return status_of(os.waitpid(self.start(os.getpgrp()), 0)[1])
        except OSError as error:
            return self.not_started(error)

    def not_started(self, error: OSError) -> int:
        print(f"{self.name}: {error.strerror}", file=sys.stderr, flush=True)
        return NOT_FOUND


# Runs the command that its arguments name, and returns its status, or what it becomes.
Command = Callable[[Sequence[str]], int | Program]
# What its caller sees of a command that a signal ended, given the negative status.
Killed = Callable[[Sequence[str], int], int]
# Is it over before anybody else has to be served?
IsShort = Callable[[Sequence[str]], bool]

# Where a stand-in has its standard files, in their order.
STANDARD_FILES = (0, 4, 2)
STAND_IN = """\
#!{bash} -p
# {mark}
words=({words} "$@")
read -r _ _ _ _ _ session _ </proc/$$/stat
port={port}
[[ ! -e {sessions}/$session ]] || read -r port <{sessions}/"$session"
if [[ $port ]] && {{ exec 3<>"/dev/tcp/127.0.0.1/$port"; }} 2>/dev/null; then
  # A redirection of printf's alone would still be there when the server looks.
  exec 4>&1 >&3
  printf '%s\\0' "${{#words[@]}}" $$ "${{words[@]}}"
  # A server that was killed took the whole session along, and so this process.
  read -r -u 3 status || kill -KILL $$
  # A negative one is the signal that ended the command.
  ((status >= 0)) || kill "$status" $$
  ((status == {elsewhere})) || exit "$status"
  exec >&4 3>&- 4>&-
fi
{otherwise}
"""
MARK = "A stand-in: its command runs in a process that has imported everything already."
NOT_FOUND = 127
# What a pipe holds in any case while nobody reads it.
PIPE_BYTES = select.PIPE_BUF
# What the server answers where it cannot have the standard files; no command ends like that.
ELSEWHERE = 1000


def write_stand_in(
    path: Path, words: Sequence[str], *, otherwise: str, sessions: Path | None = None, port: str = ""
) -> None:
    """Write a command that is run by its session's server, or else by the one that listens at `port`.

    Args:
        path: Where.
        words: What the server is asked for, before the command's own arguments.
        otherwise: What it does where no server can run it.
        sessions: Where each session's server says its port.
        port: Of a server for those outside of a session, such as ssh.
    """
    text = STAND_IN.format(
        bash=shutil.which("bash"),
        mark=MARK,
        words=shlex.join(words),
        sessions=shlex.quote(str(sessions or os.devnull)),
        port=port,
        elsewhere=ELSEWHERE,
        otherwise=otherwise,
    )
    path.write_text(text)
    path.chmod(0o755)


def is_stand_in(path: Path) -> bool:
    """Whether a command is one."""
    return MARK in path.read_text(errors="replace")


@dataclass
class Job:
    """A command that runs: its process, seen by a file that becomes readable at its end, and the stand-in's link."""

    pid: int
    ended: int
    link: socket.socket
    words: Sequence[str]
    is_program: bool = False
    """Whether it is what a command has become."""


def run(
    command: Command, is_short: IsShort, shell: Sequence[str], script: str | None, *, sessions: Path, **options: Any
) -> int:
    """Run a shell on a script, or on standard input; return its exit status, negative for the signal that ended it."""
    reading, writing = os.pipe() if script is not None else (0, None)
    if os.getsid(0) == os.getpid():
        # Behind a door, this process leads a session of its own.
        if writing is not None and script is not None:
            if len(script.encode()) <= PIPE_BYTES:
                _type(writing, script)
            else:
                threading.Thread(target=_type, args=(writing, script), daemon=True).start()
        return below_a_server(command, is_short, shell, stdin=reading, sessions=sessions, **options)
    server = os.fork()
    if not server:
        if writing is not None:
            os.close(writing)
        os.setsid()
        os._exit(below_a_server(command, is_short, shell, stdin=reading, sessions=sessions, **options))
    if script is not None and writing is not None:
        os.close(reading)
        _type(writing, script)
    return os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])


def _type(file: int, script: str) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(file, "w") as pipe:
        pipe.write(script)


def status_of(ended: int) -> int:
    """What a shell says of a program's end."""
    status = os.waitstatus_to_exitcode(ended)
    return status if status >= 0 else 128 - status


def below_a_server(
    command: Command, is_short: IsShort, shell: Sequence[str], *, stdin: int, sessions: Path, **options: Any
) -> int:
    """Run a shell in this process's session, and be its server."""
    server = _Server(command, socket.create_server(("127.0.0.1", 0)), join_group, is_short)
    with server.known(sessions / str(os.getpid())), subprocess.Popen(shell, stdin=stdin, **options) as process:
        if stdin:
            os.close(stdin)
        server.serve_until(os.pidfd_open(process.pid))
    if process.returncode < 0:
        os.kill(os.getpid(), -process.returncode)
    return process.returncode


def join_group(caller: int) -> None:
    """Whoever ends the caller's process group ends the command."""
    os.setpgid(0, os.getpgid(caller))


def join_nobody(_: int) -> None:
    """A command from outside lives in a session of its own, as from sshd."""
    os.setsid()


@contextlib.contextmanager
def behind_a_door(program: str, *options: str) -> Iterator[str]:
    """Run a Python program that calls `open_door`, given the number of its socket; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.fileno()
        command = [sys.executable, "-P", *options, "-c", f"number = {number}; {program}"]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, pass_fds=[number]) as process:
            yield str(listener.getsockname()[1])
            # It ends with its standard input.
            process.communicate()


def open_door(
    command: Command, number: int, join: Callable[[int], None] = join_nobody, killed: Killed = lambda _, status: status
) -> None:
    """Serve commands from outside of any session until standard input ends."""
    _Server(command, socket.socket(fileno=number), join, killed=killed).serve_until(os.dup(0))


class _Server:
    def __init__(
        self,
        command: Command,
        listener: socket.socket,
        join: Callable[[int], None],
        is_short: IsShort = lambda _: False,
        killed: Killed = lambda _, status: status,
    ) -> None:
        """Listen; `join` puts a command's process where it belongs, given its caller's."""
        self._command, self._join, self._is_short, self._killed = command, join, is_short, killed
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._listener)
        self._nothing = os.open(os.devnull, os.O_RDWR)
        # A fork that collects garbage copies all that it looks at.
        gc.disable()
        gc.freeze()

    @contextlib.contextmanager
    def known(self, file: Path) -> Iterator[None]:
        """Let the port be known."""
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{self._listener.getsockname()[1]}\n")
        try:
            yield
        finally:
            file.unlink()

    def serve_until(self, end: int) -> None:
        """Serve until a file becomes readable."""
        self._selector.register(end, selectors.EVENT_READ, end)
        while True:
            for key, _ in self._selector.select():
                if key.data == end:
                    return
                self._serve(key.data)

    def _serve(self, what: socket.socket | Job) -> None:
        if isinstance(what, socket.socket):
            self._start(what.accept()[0])
        elif what.link.fileno() >= 0:
            self._end(what)

    def _start(self, link: socket.socket) -> None:
        caller, words = _asked(link)
        files: list[int] = []
        try:
            files.extend(_file(caller, number) for number in STANDARD_FILES)
        except OSError:
            for file in files:
                os.close(file)
            return self._answer(link, ELSEWHERE)
        is_short = self._is_short(words)
        pid = 0 if is_short else os.fork()
        if not pid:
            if not is_short:
                self._listener.close()
                self._join(caller)
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            _be_where(caller)
            if is_short:
                self._run_here(link, caller, words)
                for number in range(len(STANDARD_FILES)):
                    os.dup2(self._nothing, number)
                return None
            sys.stdin = open(0, closefd=False)  # noqa: SIM115 (the old one may be at its end)
            found = self._command(words)
            os._exit(found if isinstance(found, int) else found.run())
        for file in files:
            os.close(file)
        return self._watch(Job(pid, os.pidfd_open(pid), link, words))

    def _run_here(self, link: socket.socket, caller: int, words: Sequence[str]) -> None:
        found = self._command(words)
        if not isinstance(found, int):
            try:
                pid = found.start(os.getpgid(caller))
            except OSError as error:
                found = found.not_started(error)
            else:
                return self._watch(Job(pid, os.pidfd_open(pid), link, words, is_program=True))
        return self._answer(link, found)

    def _watch(self, job: Job) -> None:
        self._selector.register(job.ended, selectors.EVENT_READ, job)
        self._selector.register(job.link, selectors.EVENT_READ, job)

    def _answer(self, link: socket.socket, status: int) -> None:
        with contextlib.suppress(ConnectionError), link:
            link.send(b"%d\n" % status)

    def _end(self, job: Job) -> None:
        """The command has ended; or the stand-in has, and with it goes the command."""
        self._selector.unregister(job.ended)
        self._selector.unregister(job.link)
        os.close(job.ended)
        ended, found = os.waitpid(job.pid, os.WNOHANG)
        if not ended and self._join is join_nobody:
            # A session goes on, as on a real host.
            return job.link.close()
        if not ended:
            os.kill(job.pid, signal.SIGTERM)
            _, found = os.waitpid(job.pid, 0)
        status = status_of(found) if job.is_program else os.waitstatus_to_exitcode(found)
        return self._answer(job.link, status if status >= 0 else self._killed(job.words, status))


def _asked(link: socket.socket) -> tuple[int, list[str]]:
    """Who asks, and for which command."""
    message, count = b"", -1
    while message.count(b"\0") < count + 2:
        message += link.recv(1 << 16) or b"\0" * (count + 3)
        count = int(message.partition(b"\0")[0])
    _, caller, *words = message.split(b"\0")[:-1]
    return int(caller), [os.fsdecode(word) for word in words]


def _file(process: int, number: int) -> int:
    """A standard file of a process, opened once more; OSError where that would be another one."""
    path = f"/proc/{process}/fd/{number}"
    found = os.stat(path)  # noqa: PTH116 (a path would take as long as the rest)
    if number and stat.S_ISREG(found.st_mode) and not _position(process, number)[1] & os.O_APPEND:
        # Its callers go on where it ends, which only the same opened file knows.
        raise OSError(errno.ESPIPE, "not opened for appending", path)
    try:
        # Neither waits for the other side of a pipe.
        file = os.open(path, os.O_NONBLOCK | (os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY))
    except OSError as error:
        if error.errno != errno.ENXIO or not stat.S_ISFIFO(found.st_mode):
            raise
        # Nobody reads it any more.
        reading, file = os.pipe()
        os.close(reading)
    os.set_blocking(file, True)
    if not number and stat.S_ISREG(found.st_mode):
        os.lseek(file, _position(process, number)[0], os.SEEK_SET)
    return file


def _position(process: int, number: int) -> tuple[int, int]:
    """Where a process is in a file, and with which flags it has opened it."""
    with open(f"/proc/{process}/fdinfo/{number}", encoding="ascii") as info:  # noqa: PTH123
        values = dict(line.split(":", 1) for line in info)
    return int(values["pos"]), int(values["flags"], 8)


def _be_where(process: int) -> None:
    """Take over the directory, the umask and the environment of a process."""
    with open(f"/proc/{process}/status", encoding="utf-8", errors="replace") as status:  # noqa: PTH123
        umask = re.search(r"^Umask:\t(\d+)", status.read(), re.MULTILINE)
    with open(f"/proc/{process}/environ", "rb") as environ:  # noqa: PTH123
        variables = environ.read().split(b"\0")
    os.chdir(f"/proc/{process}/cwd")
    os.umask(int(umask[1], 8) if umask else 0o022)
    os.environ.clear()
    for variable in variables:
        name, equals, value = variable.partition(b"=")
        if equals:
            os.environb[name] = value
