"""A login on the virtual node's host: a shell whose commands are forks of one process.

To start Python and import its modules takes longer than what most commands do, and a script runs a hundred of them. So a
login's shell runs below a server, which leads the session; the stand-ins hand themselves to it (stand_in.py). A command
lives in the session and in the process group of its caller, so that sudden death takes along what it would really take.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.virtual_node.stand_in import ADDRESS

# Runs the command that its arguments name, and returns its status.
Command = Callable[[Sequence[str]], int]
# Is it over before anybody else has to be served?
IsShort = Callable[[Sequence[str]], bool]

STANDARD_FILES = 3


@dataclass
class Job:
    """A command that runs: its process, seen by a file that becomes readable at its end, and the stand-in's link."""

    pid: int
    ended: int
    link: socket.socket


def run(command: Command, is_short: IsShort, shell: Sequence[str], script: str | None, **options: Any) -> int:
    """Run a shell on a script, or on standard input; return its exit status, negative for the signal that ended it."""
    reading, writing = os.pipe() if script is not None else (0, None)
    server = os.fork()
    if not server:
        if writing is not None:
            os.close(writing)
        os.setsid()
        os._exit(_below_a_server(command, is_short, shell, stdin=reading, **options))
    if script is not None and writing is not None:
        os.close(reading)
        with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "w") as pipe:
            pipe.write(script)
    return os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])


def _below_a_server(command: Command, is_short: IsShort, shell: Sequence[str], *, stdin: int, **options: Any) -> int:
    def join(caller: int) -> None:
        os.setpgid(0, os.getpgid(caller))

    server = _Server(command, ADDRESS.format(os.getpid()), join, is_short)
    with subprocess.Popen(shell, stdin=stdin, **options) as process:
        if stdin:
            os.close(stdin)
        server.serve_until(os.pidfd_open(process.pid))
    if process.returncode < 0:
        os.kill(os.getpid(), -process.returncode)
    return process.returncode


def open_door(command: Command, address: str) -> None:
    """Serve commands from outside of any session, as sshd does, until standard input ends."""
    _Server(command, f"\0{address}", join=lambda _: os.setsid()).serve_until(os.dup(0))


class _Server:
    def __init__(
        self, command: Command, address: str, join: Callable[[int], None], is_short: IsShort = lambda _: False
    ) -> None:
        """Listen; `join` puts a command's process where it belongs, given its caller's."""
        self._command, self._join, self._is_short = command, join, is_short
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._listener)
        self._nothing = os.open(os.devnull, os.O_RDWR)
        # A fork that collects garbage copies all that it looks at.
        gc.disable()
        gc.freeze()

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
        head, files, _, _ = socket.recv_fds(link, 4, STANDARD_FILES)
        with link.makefile("rb") as stream:
            message = stream.read(int.from_bytes(head, "big"))
        caller, umask, count, directory, *rest = message.split(b"\0")
        words = [os.fsdecode(word) for word in rest[: int(count)]]
        is_short = self._is_short(words)
        pid = 0 if is_short else os.fork()
        if not pid:
            if not is_short:
                self._listener.close()
                self._join(int(caller))
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            os.chdir(directory)
            os.umask(int(umask))
            os.environ.clear()
            for variable in rest[int(count) :]:
                name, _, value = variable.partition(b"=")
                os.environb[name] = value
            if is_short:
                self._answer(link, self._command(words))
                for number in range(STANDARD_FILES):
                    os.dup2(self._nothing, number)
                return
            sys.stdin = open(0, closefd=False)  # noqa: SIM115 (the old one may be at its end)
            os._exit(self._command(words))
        for file in files:
            os.close(file)
        job = Job(pid, os.pidfd_open(pid), link)
        self._selector.register(job.ended, selectors.EVENT_READ, job)
        self._selector.register(link, selectors.EVENT_READ, job)

    def _answer(self, link: socket.socket, status: int) -> None:
        with contextlib.suppress(BrokenPipeError), link:
            link.send(str(status).encode())

    def _end(self, job: Job) -> None:
        """The command has ended; or the stand-in has, and with it goes the command."""
        ended, status = os.waitpid(job.pid, os.WNOHANG)
        if not ended:
            os.kill(job.pid, signal.SIGTERM)
            _, status = os.waitpid(job.pid, 0)
        self._selector.unregister(job.ended)
        self._selector.unregister(job.link)
        os.close(job.ended)
        self._answer(job.link, os.waitstatus_to_exitcode(status))
