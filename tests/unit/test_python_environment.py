"""`make setup` on a machine whose python3 is another one than the lock is for."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.virtual_node.node import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make setup starts, and nothing else of the project."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "python-environment", tmp_path / "scripts")
    return tmp_path


@pytest.mark.parametrize("version", ["3.9.2", "3.12.8", "3.13.1"])
def test_another_python_is_named_with_how_to_get_the_right_one(checkout: Path, version: str) -> None:
    python = checkout / "python3"
    python.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo Python {version} && exit\nexit 1\n')
    python.chmod(0o755)
    done = subprocess.run(
        [checkout / "scripts" / "python-environment"],
        env={**os.environ, "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"Python 3.11 is needed, and {python} is Python {version}: name one that you have with make PYTHON=/path/to/python3.11 …;"
        " Debian 12 has it as python3, elsewhere pyenv install 3.11 or uv python install 3.11 brings one\n"
    )
    assert sorted(it.name for it in checkout.iterdir()) == ["python3", "scripts"]
