"""Runs a command of the project in the test's process: what it imports takes longer than what it does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from unittest import mock

from pve_agents.operator.entry import main


def run_script(
    script: Path, *arguments: str, env: Mapping[str, str], cwd: Path = Path("/")
) -> subprocess.CompletedProcess[str]:
    """Run a script with this environment and no other; what its children print is caught, too."""
    return _run(str(script), lambda: runpy.run_path(str(script), run_name="__main__"), arguments, env, cwd)


def run_agents(*arguments: str, env: Mapping[str, str], cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
    """Run `agents ARGUMENTS` likewise. It reads no .env: a developer may have one."""
    return _run("agents", main, arguments, {"PIPENV_DONT_LOAD_ENV": "1", **env}, cwd)


def _run(
    name: str, call: Callable[[], object], arguments: tuple[str, ...], env: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    code, umask = 0, os.umask(0o022)
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        mock.patch.dict(os.environ, env, clear=True),
        mock.patch.object(sys, "argv", [name, *arguments]),
        mock.patch.object(sys, "path", list(sys.path)),
        contextlib.chdir(cwd),
    ):
        for file in (out, err):
            # Another process that opens it once more goes on where it ends (tests/virtual_node/session.py).
            fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
        with _instead(1, "stdout", out.fileno()), _instead(2, "stderr", err.fileno()):
            try:
                call()
            except SystemExit as end:
                if isinstance(end.code, str):
                    print(end.code, file=sys.stderr)
                code = end.code if isinstance(end.code, int) else int(bool(end.code))
        os.umask(umask)
        printed = [_text(file.fileno()) for file in (out, err)]
    return subprocess.CompletedProcess([name, *arguments], code, *printed)


@contextlib.contextmanager
def _instead(descriptor: int, name: str, target: int) -> Iterator[None]:
    kept = os.dup(descriptor)
    os.dup2(target, descriptor)
    try:
        with open(descriptor, "w", encoding="utf-8", closefd=False) as stream, mock.patch.object(sys, name, stream):
            yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


def _text(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()
