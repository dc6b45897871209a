"""agents plan, drift and mend: what plan and drift say, what mend does, for which agents, and what the exit status says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import yaml

from pve_agents import load_settings
from pve_agents.host.facts import Container
from pve_agents.operator.wants import wanted_of
from pve_agents.root_spec import STEPS
from tests.in_process import run_agents
from tests.unit.host.model import Node
from tests.unit.host.ssh import Root, Ssh, node_for, serving

PROJECT = Path(__file__).parents[2]
AGENTS = {"hermes": {}, "librarian": {"vmid": 119}}
KEY = "sk-of-the-agent-0123"
SECRETS = {"LITELLM_API_KEY": KEY, "API_SERVER_KEY": KEY}
Run = subprocess.CompletedProcess[str]


class Steps:
    """The commands with settings of their own, and new containers on nodes in memory."""

    def __init__(self, directory: Path, ssh: Ssh) -> None:
        self.ssh, self.root = ssh, ssh.root
        self.settings = directory / "homelab.yaml"
        self.settings.write_text(yaml.safe_dump({"agents": AGENTS}))
        self.env = dict(ssh.variables(HOMELAB_FILE=str(self.settings), **SECRETS))
        with mock.patch.dict(os.environ, {"HOMELAB_FILE": str(self.settings)}):
            agents = load_settings(PROJECT).agents
        for agent in agents.values():
            wanted = wanted_of(agent)
            self.root.nodes[wanted.vmid] = node_for(wanted)

    @property
    def node(self) -> Node:
        """That of hermes."""
        return self.root.nodes[118]

    def __call__(self, *arguments: str, **variables: str) -> Run:
        # Terraform's half of a plan is not the subject here.
        root = ("--root",) * ("plan" in arguments)
        return run_agents(*arguments, *root, env={**self.env, **variables})

    def ran(self) -> list[str]:
        """What has run as root since it was last asked, in short."""
        lines = [re.sub(r" --digest \w+|^timeout -k 30 \d+ ", "", line) for line in self.root.commands]
        self.root.commands.clear()
        return [re.sub(r"(?s)--keep-env .*sh -c '.*' sh", "…", line) for line in lines]


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Steps]:
    with serving(tmp_path / "operator", Root()) as ssh:
        yield Steps(tmp_path, ssh)


HDD, FAST = "/mnt/pve/hdd/hermes", "/media/2tb/hermes"
DIRECTORIES = [f"mkdir -m 0750 -- {path}\n(cd -P -- {path} && chown 110000:110000 .)" for path in (HDD, FAST)]
FIRST = [
    *"\n".join(DIRECTORIES).splitlines(),
    f"pct set 118 --mp0 {HDD},mp=/data,replicate=0 --mp1 {FAST},mp=/fast,replicate=0 --features keyctl=1,nesting=1",
    "pct reboot 118 --timeout 180",
]


def short(lines: list[str]) -> list[str]:
    """Without hashes, as they are as long as they are."""
    return [re.sub(r"[0-9a-f]{64}", "SHA256", line) for line in lines]


# --- mend


def test_mend_does_all_steps_of_all_agents_in_order_and_a_second_time_nothing(steps: Steps) -> None:
    assert steps("mend").returncode == 0
    assert short(steps.ran()) == [
        *FIRST,
        "pct exec 118 … /opt/pve-agents/hermes SHA256",
        "pct exec 118 … /etc/pve-agents/hermes.env 0 0",
        "pct exec 118 … /opt/pve-agents/hermes 'SHA256 SHA256'",
        "pct set 119 --features keyctl=1,nesting=1",
        "pct reboot 119 --timeout 180",
        "pct exec 119 … /opt/pve-agents/librarian SHA256",
        "pct exec 119 … /etc/pve-agents/librarian.env 0 0",
        "pct exec 119 … /opt/pve-agents/librarian 'SHA256 SHA256'",
    ]
    again = steps("mend")
    assert again.returncode == 0
    # But for the bootstrap: what is amiss inside, it alone sees.
    names = {"hermes": 118, "librarian": 119}
    assert short(steps.ran()) == [
        f"pct exec {vmid} … /opt/pve-agents/{name} 'SHA256 SHA256'" for name, vmid in names.items()
    ]
    assert again.stdout.count("all is as wanted") == 3 * len(AGENTS)


def test_one_step_of_one_agent(steps: Steps) -> None:
    assert steps("mend", "--only", "host-directories", "hermes").returncode == 0
    assert steps.ran() == FIRST[:4]
    assert steps("mend", "hermes", "--only", "container-config", "--only", "payload").returncode == 0
    assert [line.split()[1] for line in steps.ran()] == ["set", "reboot", "exec", "exec"]


def test_each_command_is_said_with_its_outcome(steps: Steps) -> None:
    said = steps("mend", "--only", "host-directories", "hermes").stdout.splitlines()
    assert said[:2] == [f"[hermes] $ mkdir -m 0750 -- {HDD}", "[hermes] … done in 0 s"]


def test_after_a_command_that_fails_no_later_one_runs(steps: Steps) -> None:
    steps.root.fails_at = "pct set 118"
    done = steps("mend", "hermes")
    assert done.returncode == 3
    assert "[hermes] stopped at: pct set 118 " in done.stdout
    assert len(steps.ran()) == 5
    steps.root.fails_at = ""
    assert steps("mend", "hermes").returncode == 0
    assert steps.ran()[0] == FIRST[4]


def test_what_the_last_step_refuses_keeps_the_first_from_beginning(steps: Steps) -> None:
    done = steps("mend", "hermes", API_SERVER_KEY="")
    assert done.returncode == 3
    assert "refused: missing secrets: API_SERVER_KEY. " in done.stdout
    assert steps.ran() == []


def test_a_misspelt_secret_is_refused_with_the_one_that_is_meant(steps: Steps, tmp_path: Path) -> None:
    file = tmp_path / "hermes.env"
    file.write_text(f"LITELM_API_KEY={KEY}\nAPI_SERVER_KEY={KEY}\n")
    file.chmod(0o600)
    done = steps("mend", "hermes", HERMES_ENV_FILE=str(file))
    assert done.returncode == 3
    said = "missing secrets: LITELLM_API_KEY. LITELM_API_KEY is there: did you mean LITELLM_API_KEY? Write "
    assert said in done.stdout
    assert steps.ran() == []
    file.write_text(file.read_text().replace("LITELM", "LITELLM"))
    assert steps("mend", "hermes", HERMES_ENV_FILE=str(file)).returncode == 0


def test_an_interrupted_mend_says_where_it_was(steps: Steps) -> None:
    def interrupt() -> None:
        if any(line.startswith("pct set 118") for line in steps.root.commands):
            os.kill(os.getpid(), signal.SIGINT)

    steps.root.before_each = interrupt
    done = steps("mend")
    assert done.returncode == 130
    assert re.fullmatch(
        r"\[hermes\] interrupted while it ran `pct reboot 118 --timeout 180`; run it again: it goes on from there\n",
        done.stderr,
    )
    assert "librarian" not in done.stdout


# --- plan and drift


def test_a_plan_shows_what_the_next_deploy_would_run_and_runs_nothing(steps: Steps) -> None:
    done = steps("plan", "hermes")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.removeprefix("[hermes] ") for line in done.stdout.splitlines()]
    assert lines[:2] == [f"# {HDD} is not there", f"mkdir -m 0750 -- {HDD}"]
    planned = short([re.sub(r" --digest \w+", "", line) for line in lines if not line.startswith("#")])
    assert planned[:6] == FIRST
    inputs = [line.partition("  < ")[2] for line in planned if "  < " in line]
    assert inputs == ["the packed payload, SHA-256 SHA256", "the values of LITELLM_API_KEY, API_SERVER_KEY"]
    assert steps.ran() == []
    # It is what then runs, each below its reason; a script has several lines.
    reasons = [line for line in lines if line.startswith("# ")]
    steps("mend", "hermes")
    assert len(steps.ran()) == len(reasons)


def test_where_nothing_would_run_a_plan_says_so(steps: Steps) -> None:
    steps("mend")
    assert steps("plan").stdout == "[hermes] nothing would run as root\n[librarian] nothing would run as root\n"


def test_a_plan_shows_no_secret_and_carries_none(steps: Steps) -> None:
    said = "".join(run.stdout + run.stderr for run in (steps("plan"), steps("drift"), steps("mend")))
    assert KEY not in said
    assert KEY not in steps.ssh.noted("arguments") + steps.ssh.noted("environment")
    assert KEY.encode() in steps.node.secrets


def test_drift_is_status_1_until_it_is_mended(steps: Steps) -> None:
    done = steps("drift", "hermes")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "[hermes] 9 would change"
    steps("mend")
    done = steps("drift")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1::2] == ["[hermes] all is as wanted", "[librarian] all is as wanted"]
    steps.ran()
    steps.node.paths[HDD] = replace(steps.node.paths[HDD], mode=0o700)
    done = steps("drift")
    assert done.returncode == 1
    assert done.stdout.splitlines()[:3] == [
        f"[hermes] # {HDD} is to have the mode 0750, not 0700",
        f"[hermes] (cd -P -- {HDD} && chmod 0750 .)",
        "[hermes] 1 would change",
    ]
    assert steps.ran() == []
    assert steps("drift", "--only", "container-config").returncode == 0


def test_what_somebody_else_has_waiting_for_a_start_is_drift_that_nobody_mends(steps: Steps) -> None:
    steps("mend")
    steps.ran()
    steps.node.containers[118] = replace(steps.node.containers[118], pending={"nameserver": "10.0.0.53"})
    done = steps("drift", "hermes")
    assert done.returncode == 1
    assert (
        done.stdout.splitlines()[0]
        == "[hermes] nameserver waits for a start: run `pct reboot 118 --timeout 180` on gihyeon"
    )
    assert done.stdout.splitlines()[-1] == "[hermes] 1 would change"
    mended = steps("mend", "hermes")
    assert mended.returncode == 0
    assert "[hermes] nameserver waits for a start: run `pct reboot 118 --timeout 180` on gihyeon" in mended.stdout
    assert not any("reboot" in line for line in steps.ran())


@pytest.mark.parametrize("verb", ["plan", "drift", "mend"])
def test_what_is_refused_is_said_by_all_of_them(steps: Steps, verb: str) -> None:
    running = {**steps.node.containers[118].running, "hostname": "plex"}
    steps.node.containers[118] = Container(118, running)
    done = steps(verb, "hermes")
    assert done.returncode == 3
    assert '[hermes] refused: container 118 is called "plex", not hermes: it is somebody else\'s' in done.stdout
    if verb == "drift":
        assert done.stdout.splitlines()[-1] == "[hermes] cannot be made as wanted"


def test_missing_secrets_that_the_container_has_are_no_drift(steps: Steps) -> None:
    steps("mend")
    done = steps("drift", "hermes", LITELLM_API_KEY="", API_SERVER_KEY="")
    assert done.returncode == 0
    assert "missing secrets: LITELLM_API_KEY, API_SERVER_KEY. " in done.stdout


def test_another_secret_is_drift(steps: Steps) -> None:
    steps("mend")
    done = steps("drift", "hermes", API_SERVER_KEY="another-of-16-letters")
    assert done.returncode == 1
    assert "the secrets in /etc/pve-agents/hermes.env are not these" in done.stdout


def test_a_look_is_enough_for_a_plan(steps: Steps) -> None:
    steps("plan", "hermes")
    steps("drift", "hermes")
    assert steps.root.looks() == len(steps.root.texts) == 2


# --- exit status, settings


@pytest.mark.parametrize(
    ("hermes", "librarian", "worst"),
    [
        ("well", "well", 0),
        ("drift", "well", 1),
        ("drift", "refused", 3),
        ("refused", "drift", 3),
        ("broken", "refused", 4),
    ],
)
def test_the_worst_status_is_the_answer_and_all_agents_are_looked_at(
    steps: Steps, hermes: str, librarian: str, worst: int
) -> None:
    steps("mend")
    for vmid, what in ((118, hermes), (119, librarian)):
        running = dict(steps.root.nodes[vmid].containers[vmid].running)
        if what == "drift":
            running["features"] = "nesting=1"
        elif what == "refused":
            running["tags"] = "ai"
        elif what == "broken":
            steps.root.broken.add(vmid)
        steps.root.nodes[vmid].containers[vmid] = Container(vmid, running)
    done = steps("drift")
    assert done.returncode == worst
    assert "[librarian] " in done.stdout


def test_a_node_that_is_not_reached(steps: Steps) -> None:
    steps.ssh.down()
    done = steps("plan", "hermes")
    assert (done.returncode, done.stdout) == (4, "")
    failed = "ssh to root@10.1.10.10 failed: try `ssh root@10.1.10.10 true`, or another PVE_TRANSPORT"
    assert done.stderr == f"[hermes] {failed}\n"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PVE_SSH": ""}, "[hermes] PVE_SSH is not set: "),
        ({"PVE_TRANSPORT": "telnet"}, "[hermes] PVE_TRANSPORT is 'telnet'; write one of ssh, local, paste"),
        ({"LITELLM_API_KEY": "REPLACE_ME"}, "[hermes] the secret LITELLM_API_KEY is a placeholder: "),
        ({"API_SERVER_KEY": "short"}, "[hermes] the secret API_SERVER_KEY has fewer than 16 characters: "),
        ({"HERMES_ENV_FILE": "/nowhere"}, "[hermes] cannot read HERMES_ENV_FILE /nowhere: "),
    ],
)
def test_wrong_settings_of_the_operator_reach_no_node(steps: Steps, variables: dict[str, str], message: str) -> None:
    done = steps("mend", "hermes", **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1
    assert steps.ssh.noted("arguments") == ""


def test_an_unknown_agent_is_one_sentence(steps: Steps) -> None:
    done = steps("plan", "hermes", "hremes")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no agent hremes; the settings have hermes, librarian.\n"
    assert steps.ssh.noted("arguments") == ""


def test_wrong_settings_are_said_as_everywhere(steps: Steps) -> None:
    steps.settings.write_text(yaml.safe_dump({"agents": {"hermes": {"vmid": 7}}}))
    done = steps("mend")
    assert (done.returncode, done.stdout) == (2, "")
    assert "agents.hermes.vmid: " in done.stderr
    assert "Traceback" not in done.stderr
    assert steps.ssh.noted("arguments") == ""


@pytest.mark.parametrize("arguments", [["mend", "--only", "reboot"], ["mend", "--only"]])
def test_what_is_no_step_is_refused_with_those_that_are(steps: Steps, arguments: list[str]) -> None:
    done = steps(*arguments)
    assert done.returncode == 2
    assert all(step in done.stderr for step in STEPS) or "requires an argument" in done.stderr


@pytest.mark.parametrize("arguments", [["reboot"], ["hermes"], ["--check"]])
def test_what_is_no_command_is_refused(steps: Steps, arguments: list[str]) -> None:
    assert steps(*arguments).returncode == 2
    assert steps.ssh.noted("arguments") == ""


def test_help_names_the_commands(steps: Steps) -> None:
    for flag in ("-h", "--help"):
        said = steps(flag)
        assert said.returncode == 0
        assert all(command in said.stdout for command in ("plan", "drift", "mend"))


def test_nothing_is_left_of_a_run(steps: Steps, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    assert steps("mend", TMPDIR=str(temporary)).returncode == 0
    assert list(temporary.iterdir()) == []


def test_what_is_wanted_is_in_no_argument(steps: Steps) -> None:
    assert steps("mend", "hermes").returncode == 0
    assert json.dumps(KEY)[1:-1] not in steps.ssh.noted("arguments")
    assert "/opt/pve-agents" not in steps.ssh.noted("arguments")
