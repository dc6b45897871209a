"""Runs a script of the project in the test's process: what it imports takes longer than what it does."""

from __future__ import annotations

import contextlib
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock


def run_script(
    script: Path, *arguments: str, env: Mapping[str, str], cwd: Path = Path("/")
) -> subprocess.CompletedProcess[str]:
    """Run it with this environment and no other; what its children print is caught, too."""
    code = 0
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        mock.patch.dict(os.environ, env, clear=True),
        mock.patch.object(sys, "argv", [str(script), *arguments]),
        mock.patch.object(sys, "path", list(sys.path)),
        contextlib.chdir(cwd),
    ):
        with _instead(1, "stdout", out.fileno()), _instead(2, "stderr", err.fileno()):
            try:
                runpy.run_path(str(script), run_name="__main__")
            except SystemExit as end:
                if isinstance(end.code, str):
                    print(end.code, file=sys.stderr)
                code = end.code if isinstance(end.code, int) else int(bool(end.code))
        printed = [_text(file.fileno()) for file in (out, err)]
    return subprocess.CompletedProcess([str(script), *arguments], code, *printed)


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
