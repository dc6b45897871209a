"""Nothing that `make` runs touches the user's home; conftest.py holds it for what the tests run themselves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.virtual_node.node import ROOT

# A recipe, with the environment that the Makefile gives to its own: pip, npm, and what the demo starts.
PROBE = """
probe:
	@npm config get cache
	@.venv/bin/python -m pip cache dir
	@python -m tests.virtual_node -- scripts/cdktf list --output {where}/cdktf.out
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.mark.cli
def test_what_make_runs_leaves_the_home_empty(home: Path, tmp_path: Path) -> None:
    # Not what conftest.py gives to the tests: the Makefile has to bring all of it.
    brought = ("JSII_", "NODE_", "CDKTF_", "XDG_", "npm_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(brought)}
    environment |= {"HOME": str(home), "CI": "1", "HOMELAB_FILE": "homelab.example.yaml"}
    command = ["make", "--silent", f"--eval={PROBE.format(where=tmp_path)}", "probe"]

    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    npm, pip, *rest = done.stdout.splitlines()
    assert Path(npm).is_relative_to(ROOT / "build")
    assert Path(pip).is_relative_to(ROOT / "build")
    # Its columns are as wide as a terminal, whatever they cut.
    assert f"hermes{tmp_path}/cdktf.out/stacks/hermes" in "".join("".join(rest).split())
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []


def test_what_make_runs_keeps_nothing_that_nobody_will_find_again() -> None:
    """Each start of jsii has its modules at paths of its own: of each, Node would keep 389 files, 3 MB, for nothing."""
    environment = {name: value for name, value in os.environ.items() if name != "NODE_COMPILE_CACHE"}
    command = ["make", "--silent", "--eval=probe:\n\t@env", "probe"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "JSII_RUNTIME_PACKAGE_CACHE_ROOT=" in done.stdout
    assert "NODE_COMPILE_CACHE=" not in done.stdout


@pytest.mark.parametrize("has_toolchains", [False, True])
def test_rustups_shim_makes_no_home_and_finds_the_one_that_is_there(
    home: Path, tmp_path: Path, *, has_toolchains: bool
) -> None:
    """Pip asks for rustc's version, and may have to build something with it."""
    if has_toolchains:
        (home / ".rustup").mkdir()
    pipenv = tmp_path / "bin" / "pipenv"
    pipenv.parent.mkdir()
    # What fails is shown.
    pipenv.write_text('#!/bin/sh\necho "rustup: [$RUSTUP_HOME]"\nexit 1\n')
    pipenv.chmod(0o755)
    environment = {**os.environ, "HOME": str(home), "PATH": f"{pipenv.parent}:{os.environ['PATH']}"}
    environment.pop("RUSTUP_HOME", None)

    script = ROOT / "scripts" / "python-environment"
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)

    assert done.stderr == f"rustup: [{'' if has_toolchains else ROOT / 'build/cache/rustup'}]\n"
