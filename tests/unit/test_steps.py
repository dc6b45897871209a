"""scripts/steps: which steps of which agents it runs, with what, and what its exit status says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from stacks.root_spec import STEPS
from tests.in_process import run_script

SCRIPT = Path(__file__).parents[2] / "scripts" / "steps"
AGENTS = {"hermes": {}, "librarian": {"vmid": 119}}

# In the place of ssh: notes for which container a step comes, and answers what the test wants.
SSH = """#!/usr/bin/env python3
import os, pathlib, re, sys
text = sys.stdin.read()
begin = re.findall(r"^begin ([a-z]+ \\d+) \\S+ \\S+ ([a-z]+)$", text, re.MULTILINE)[-1]
steps = {
    "host_directories": "host-directories", "container_config": "container-config",
    "guest_payload": "payload", "guest_run": "bootstrap",
}
called = [step for call, step in steps.items() if re.search(rf"^{call}( .*)?$", text.partition("steps() {\\n")[2], re.M)]
with pathlib.Path(os.environ["RECORD"]).open("a") as record:
    print(*begin, *called, file=record)
sys.exit(int(os.environ.get(f"EXIT_{begin[0].split()[0].upper()}", "0")))
"""


class Steps:
    """The script with settings of its own, and a stand-in for the node."""

    def __init__(self, directory: Path) -> None:
        self.settings, self.record = directory / "homelab.yaml", directory / "record"
        self.settings.write_text(yaml.safe_dump({"agents": AGENTS}))
        ssh = directory / "bin" / "ssh"
        ssh.parent.mkdir()
        ssh.write_text(SSH)
        ssh.chmod(0o755)
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("HOMELAB_", "PVE_"))}
        self.env = {
            **outside,
            "PATH": f"{ssh.parent}:{os.environ['PATH']}",
            "HOMELAB_FILE": str(self.settings),
            "PVE_SSH": "root@node",
            "RECORD": str(self.record),
            "XDG_RUNTIME_DIR": str(directory),
        }

    def __call__(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_script(SCRIPT, *arguments, env={**self.env, **variables})

    def ran(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []


@pytest.fixture
def steps(tmp_path: Path) -> Steps:
    return Steps(tmp_path)


def test_all_steps_of_all_agents_in_order(steps: Steps) -> None:
    assert steps().returncode == 0
    # The librarian has no directories.
    hermes = [f"hermes 118 apply {step}" for step in STEPS]
    assert steps.ran() == [*hermes, *(f"librarian 119 apply {step}" for step in list(STEPS)[1:])]


def test_one_step_of_one_agent_only_looking(steps: Steps) -> None:
    assert steps("--check", "--only", "payload", "librarian").returncode == 0
    assert steps.ran() == ["librarian 119 check payload"]


@pytest.mark.parametrize(("hermes", "librarian", "worst"), [(0, 0, 0), (1, 0, 1), (1, 3, 3), (255, 1, 4)])
def test_the_worst_status_is_the_answer(steps: Steps, hermes: int, librarian: int, worst: int) -> None:
    variables = {"EXIT_HERMES": str(hermes), "EXIT_LIBRARIAN": str(librarian)}
    assert steps("--check", "--only", "payload", **variables).returncode == worst
    assert len(steps.ran()) == 2


def test_an_unknown_agent_is_one_sentence(steps: Steps) -> None:
    done = steps("hermes", "hremes")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no agent hremes; the settings have hermes, librarian.\n"
    assert steps.ran() == []


def test_wrong_settings_are_said_as_everywhere(steps: Steps) -> None:
    steps.settings.write_text(yaml.safe_dump({"agents": {"hermes": {"vmid": 7}}}))
    done = steps()
    assert (done.returncode, done.stdout) == (2, "")
    assert "agents.hermes.vmid: " in done.stderr
    assert "Traceback" not in done.stderr
    assert steps.ran() == []


def test_what_is_no_step_is_refused_with_those_that_are(steps: Steps) -> None:
    done = steps("--only", "reboot")
    assert done.returncode == 2
    assert all(step in done.stderr for step in STEPS)


def test_nothing_is_left_of_a_run(steps: Steps, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    assert steps(TMPDIR=str(temporary)).returncode == 0
    assert list(temporary.iterdir()) == []


def test_what_is_wanted_is_in_no_argument(steps: Steps, tmp_path: Path) -> None:
    arguments = tmp_path / "arguments"
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >>'{arguments}'\ncat >/dev/null\n")
    secret = "sk-of-the-agent-0123"
    assert steps("--only", "payload", "hermes", LITELLM_API_KEY=secret, API_SERVER_KEY=secret).returncode == 0
    assert json.dumps(secret)[1:-1] not in arguments.read_text()
    assert "/opt/pve-agents" not in arguments.read_text()
