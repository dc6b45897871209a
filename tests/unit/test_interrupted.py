"""Ctrl-C while a command still imports what it needs: one line and status 130, as later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pve_agents.host_step import stage

PROJECT = Path(__file__).parents[2]
# Ctrl-C as that module is looked for.
PRESSED = """
import os, runpy, signal, sys
class Pressed:
    def find_spec(name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Pressed)
sys.argv = {argv!r}
runpy.run_path({path!r}, run_name="__main__")
"""


def pressed(path: Path, module: str, *arguments: str) -> tuple[int, str, str]:
    program = PRESSED.format(module=module, argv=[str(path), *arguments], path=str(path))
    environment = {"PATH": os.defpath, "HOMELAB_FILE": "/nowhere"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout, run.stderr


@pytest.mark.parametrize(
    ("script", "module", "said"),
    [
        ("cdktf", "pve_agents.node_api", "interrupted; nothing was started"),
        ("check-token", "click", "check-token: interrupted; it has changed nothing"),
        ("check-token", "pve_agents.privileges", "check-token: interrupted; it has changed nothing"),
    ],
)
def test_ctrl_c_during_the_imports_is_one_line_too(script: str, module: str, said: str) -> None:
    assert pressed(PROJECT / "scripts" / script, module, "hermes") == (130, "", f"{said}\n")


def test_so_is_it_in_a_step_that_terraform_starts(tmp_path: Path) -> None:
    stage(tmp_path / "host")
    said = "interrupted, and nothing was changed; run it again\n"
    assert pressed(tmp_path / "host", "pve_agents.host.given", "payload") == (130, "", said)


@pytest.mark.parametrize(
    ("module", "arguments", "said"),
    [
        ("click", [], "interrupted; nothing was started\n"),
        # While main.py writes the stacks already.
        ("pve_agents.operator.bring_up", ["up", "hermes"], "\ninterrupted; nothing was changed\n"),
    ],
)
def test_so_is_it_in_agents(tmp_path: Path, module: str, arguments: list[str], said: str) -> None:
    entry = PROJECT / "constructs" / "pve_agents" / "operator" / "entry.py"
    program = f"{PRESSED}main()".replace(
        'runpy.run_path({path!r}, run_name="__main__")', "from pve_agents.operator.entry import main"
    )
    argv = ["agents", "--output", str(tmp_path / "cdktf.out"), *arguments]
    code = program.format(module=module, argv=argv, path=str(entry))
    environment = {"PATH": os.defpath, "HOMELAB_FILE": "/nowhere", "PIPENV_DONT_LOAD_ENV": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (130, "", said)
