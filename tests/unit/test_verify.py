"""scripts/verify: its table, its JSON, its exit status, and what it makes of a verification that did not end."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.in_process import run_script

PROJECT = Path(__file__).parents[2]
SCRIPT = PROJECT / "scripts" / "verify"
AGENTS: dict[str, Any] = {"hermes": {}, "librarian": {"vmid": 119}}

# In the place of ssh: notes the script and the environment that it got, and answers what the test wants for the agent.
SSH = """#!/usr/bin/env python3
import os, pathlib, re, sys, time
directory = pathlib.Path("DIRECTORY")
text = sys.stdin.buffer.read().decode()
agent = re.findall(r"^begin ([a-z]+) .* check$", text, re.MULTILINE)[-1]
(directory / f"script-{agent}").write_bytes(text.encode())
(directory / "environment").write_text(repr(dict(os.environ)) + repr(sys.argv))
answer = (directory / f"answer-{agent}").read_bytes()
status, _, said = answer.partition(b"\\n")
sys.stdout.buffer.write(said)
sys.stdout.flush()
if status == b"sleep":
    (directory / "sleeping").touch()
    time.sleep(60)
sys.exit(int(status))
"""

CONTAINER = "check\tcontainer\tok\t320\trunning on gihyeon\t"
MODEL = "check\tmodel endpoint\tfailed\t1449\thttp://10.1.10.22:4000/v1 answers 401\tgive another LITELLM_API_KEY"
CHAT = "check\tchat\tskipped\t0\tnot asked for\t"
WORKSPACE = "check\tworkspace /data\tok\t61\tshows in /mnt/pve/hdd/hermes as 110000:110000\t"
ALL = (CONTAINER, MODEL, CHAT, WORKSPACE)

TABLE = """\
✓ container          running on gihyeon                                  0.3s
✗ model endpoint     http://10.1.10.22:4000/v1 answers 401               1.4s
    give another LITELLM_API_KEY
- chat               not asked for                                       0.0s
✓ workspace /data    shows in /mnt/pve/hdd/hermes as 110000:110000       0.1s
hermes: 4 checks, 1 failed, 1 skipped
"""

Run = subprocess.CompletedProcess[str]


class Verify:
    """The script with settings of its own, and a stand-in for the node."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings = directory / "homelab.yaml"
        self.settings.write_text(yaml.safe_dump({"agents": AGENTS}))
        ssh = directory / "bin" / "ssh"
        ssh.parent.mkdir()
        ssh.write_text(SSH.replace("DIRECTORY", str(directory)))
        ssh.chmod(0o755)
        foreign = ("HOMELAB_", "PVE_", "PROXMOX_", "HOST_STEP_", "HERMES_", "NO_COLOR", "PYTHONIOENCODING", "LC_")
        outside = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.env = {
            **outside,
            "PATH": f"{ssh.parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "HOMELAB_FILE": str(self.settings),
            "PVE_SSH": "root@node",
            "XDG_RUNTIME_DIR": str(directory),
        }
        for agent in AGENTS:
            self.answers(CONTAINER, agent=agent)

    def answers(
        self, *lines: str, status: int | str | None = None, end: str | None = None, agent: str = "hermes"
    ) -> None:
        """Let the node say these lines."""
        count = sum(line.startswith("check\t") for line in lines)
        if status is None:
            status = int(any("\tfailed\t" in line for line in lines))
        said = [str(status), *lines, f"checked\t{count}" if end is None else end]
        (self.directory / f"answer-{agent}").write_text("".join(f"{line}\n" for line in said), newline="")

    def __call__(self, *arguments: str, **variables: str) -> Run:
        return run_script(SCRIPT, *arguments, env={**self.env, **variables})

    def script(self, agent: str = "hermes") -> str:
        """What came to the node, without on-host's own text."""
        return (self.directory / f"script-{agent}").read_text().rpartition("steps() {\n")[2]


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    return Verify(tmp_path)


# --- the table


def test_the_table(verify: Verify) -> None:
    verify.answers(*ALL)
    done = verify("hermes")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == TABLE


def test_nothing_failed_is_status_0_though_something_was_skipped(verify: Verify) -> None:
    verify.answers(CONTAINER, CHAT)
    done = verify("hermes")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "hermes: 2 checks, 0 failed, 1 skipped"


def test_plain_ascii_where_nothing_else_can_be_shown(verify: Verify) -> None:
    verify.answers(*ALL, "check\tdocker\tok\t1\tone … two\t")
    environment = {**verify.env, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, str(SCRIPT), "hermes"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.isascii()
    lines = done.stdout.splitlines()
    assert lines[0] == "+ container          running on gihyeon                                  0.3s"
    assert lines[1].startswith("x model endpoint ")
    assert lines[3].startswith("- chat ")
    assert "one ? two" in lines[5]
    assert done.returncode == 1


def test_colour_is_for_terminals(verify: Verify) -> None:
    verify.answers(*ALL)
    lines = on_a_terminal(verify, {}).splitlines()
    assert lines[0].startswith("\x1b[32m✓\x1b[0m container          running on gihyeon  ")
    assert lines[1].startswith("\x1b[31m✗\x1b[0m model endpoint ")
    assert lines[3].startswith("\x1b[33m-\x1b[0m chat ")
    assert "\x1b" not in on_a_terminal(verify, {"NO_COLOR": "1"})


def on_a_terminal(verify: Verify, variables: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    command = [sys.executable, str(SCRIPT), "hermes"]
    subprocess.run(command, env={**verify.env, **variables}, stdout=theirs, check=False)
    os.close(theirs)
    output = b""
    try:
        while part := os.read(ours, 4096):
            output += part
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    return output.decode()


def test_several_agents(verify: Verify) -> None:
    verify.answers(*ALL)
    done = verify()
    assert done.returncode == 1
    assert done.stdout == TABLE + (
        "✓ container          running on gihyeon                                  0.3s\nlibrarian: 1 check, 0 failed\n"
    )


def test_what_the_container_says_besides_is_shown(verify: Verify) -> None:
    verify.answers(CONTAINER, "[hermes] one moment")
    done = verify("hermes")
    assert (done.returncode, done.stdout.splitlines()[1]) == (0, "[hermes] one moment")


def test_nothing_on_the_way_reaches_the_terminal(verify: Verify) -> None:
    # on-host lets none of this through; whoever is not sure of that sees it here.
    control = "\x1b[2J\x07\u009b\u202e\u2066\r\x00"
    verify.answers(f"check\tcontainer{control}\tfailed\t1\tx{control}\ty{control}", f"{control}words{control}")
    for done in (verify("hermes"), verify("--json", "hermes")):
        assert all(character.isprintable() for line in done.stdout.split("\n") for character in line)
        assert all(character.isprintable() for line in done.stderr.split("\n") for character in line)
    assert json.loads(done.stdout)["agents"]["hermes"]["checks"][0]["detail"] == "x[2J"
    assert verify("hermes").stdout.splitlines()[1:3] == ["    y[2J", "[2Jwords[2J"]


def test_a_carriage_return_begins_no_line(verify: Verify) -> None:
    verify.answers("[hermes] x\rcheck\tchat\tok\t1\tforged\t", CONTAINER)
    assert [check["name"] for check in document(verify)["checks"]] == ["container"]


# --- cron


def test_quiet_prints_only_what_failed(verify: Verify) -> None:
    verify.answers(*ALL, "[hermes] one moment")
    done = verify("--quiet")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == "".join(TABLE.splitlines(keepends=True)[i] for i in (1, 2, 5))


def test_quiet_prints_nothing_when_all_is_well(verify: Verify) -> None:
    verify.answers(CONTAINER, CHAT, "[hermes] one moment")
    done = verify("--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_says_all_when_the_verification_did_not_end(verify: Verify) -> None:
    verify.answers(CONTAINER, "[hermes] no space left on device", status=3)
    done = verify("--quiet", "hermes")
    assert done.returncode == 4
    assert done.stderr == "[hermes] no space left on device\n"


# --- JSON


def document(verify: Verify) -> Any:
    done = verify("--json", "hermes")
    return json.loads(done.stdout)["agents"]["hermes"]


def test_json(verify: Verify) -> None:
    verify.answers(*ALL, "[hermes] one moment")
    done = verify("--json")
    assert (done.returncode, done.stderr) == (1, "[hermes] one moment\n")
    container = {"name": "container", "status": "ok", "seconds": 0.32, "detail": "running on gihyeon", "remedy": ""}
    assert json.loads(done.stdout) == {
        "agents": {
            "hermes": {
                "ok": False,
                "checks": [
                    container,
                    {
                        "name": "model endpoint",
                        "status": "failed",
                        "seconds": 1.449,
                        "detail": "http://10.1.10.22:4000/v1 answers 401",
                        "remedy": "give another LITELLM_API_KEY",
                    },
                    {"name": "chat", "status": "skipped", "seconds": 0.0, "detail": "not asked for", "remedy": ""},
                    {
                        "name": "workspace /data",
                        "status": "ok",
                        "seconds": 0.061,
                        "detail": "shows in /mnt/pve/hdd/hermes as 110000:110000",
                        "remedy": "",
                    },
                ],
            },
            "librarian": {"ok": True, "checks": [container]},
        }
    }


def test_json_and_quiet_exclude_each_other(verify: Verify) -> None:
    done = verify("--json", "--quiet")
    assert (done.returncode, done.stdout) == (2, "")
    assert "not allowed with argument" in done.stderr


# --- a verification that did not come to its end

NO_END = "it did not come to its end: what is not listed here was not checked"


@pytest.mark.parametrize(
    ("status", "end", "detail", "exit_status"),
    [
        (3, "checked\t1", NO_END, 4),
        (1, "", NO_END, 4),
        (0, "", NO_END, 4),
        (0, "checked\t2", NO_END, 4),
        (0, "checked\t0", NO_END, 4),
        (0, "[hermes] checked\t1", NO_END, 4),
        (139, "", NO_END, 4),
        (255, "", "the node was not reached", 4),
    ],
)
def test_an_absent_check_is_not_a_passed_one(
    verify: Verify, status: int, end: str, detail: str, exit_status: int
) -> None:
    verify.answers(CONTAINER, status=status, end=end)
    done = verify("--json", "hermes")
    assert done.returncode == exit_status
    found = json.loads(done.stdout)["agents"]["hermes"]
    assert found["ok"] is False
    assert found["checks"][0]["status"] == "ok"
    assert found["checks"][1:] == [
        {
            "name": "verification",
            "status": "failed",
            "seconds": 0.0,
            "detail": detail,
            "remedy": "read the message on standard error",
        }
    ]


def test_a_node_that_says_nothing_at_all_is_not_well(verify: Verify) -> None:
    verify.answers(status=0, end="")
    done = verify("hermes")
    assert (done.returncode, done.stderr) == (4, "")
    assert done.stdout.splitlines()[-1] == "hermes: 1 check, 1 failed"


def test_a_check_that_failed_is_no_success_whatever_the_status(verify: Verify) -> None:
    verify.answers(MODEL, status=0)
    assert verify("hermes").returncode == 1


def test_a_failure_without_a_failed_check_is_no_success(verify: Verify) -> None:
    verify.answers(CONTAINER, status=1)
    assert verify("hermes").returncode == 1
    assert document(verify)["ok"] is False


def test_a_node_that_is_not_reached(verify: Verify) -> None:
    verify.answers(status=255, end="")
    done = verify("hermes")
    assert done.returncode == 4
    assert done.stderr == (
        "[hermes] verify … FAILED: ssh to root@node failed: try `ssh root@node true`, or another PVE_TRANSPORT\n"
    )
    assert done.stdout == (
        "✗ verification       the node was not reached                            0.0s\n"
        "    read the message on standard error\n"
        "hermes: 1 check, 1 failed\n"
    )


@pytest.mark.parametrize(
    ("hermes", "librarian", "worst"), [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 3, 4), (255, 1, 4), (3, 0, 4)]
)
def test_the_worst_status_is_the_answer_and_all_agents_are_verified(
    verify: Verify, hermes: int, librarian: int, worst: int
) -> None:
    verify.answers(CONTAINER, status=hermes)
    verify.answers(CONTAINER, status=librarian, agent="librarian")
    done = verify()
    assert done.returncode == worst
    assert "librarian: " in done.stdout


def test_an_interrupted_verification_leaves_no_traceback(verify: Verify) -> None:
    verify.answers(CONTAINER, status="sleep")
    child = subprocess.Popen(
        [sys.executable, str(SCRIPT), "hermes"],
        env=verify.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for _ in range(1200):
        if (verify.directory / "sleeping").exists():
            break
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGINT)
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "hermes: " not in output
    assert "[hermes] verify … FAILED: interrupted; it can be run again" in errors
    assert not re.search("^  File .*/(verify|host-step)", errors, re.MULTILINE)


# --- settings


def test_an_unknown_agent_is_one_sentence(verify: Verify) -> None:
    done = verify("hermes", "hremes")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no agent hremes; the settings have hermes, librarian.\n"
    assert not (verify.directory / "environment").exists()


def test_wrong_settings_are_said_as_everywhere(verify: Verify) -> None:
    verify.settings.write_text(yaml.safe_dump({"agents": {"hermes": {"vmid": 7}}}))
    done = verify("--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "agents.hermes.vmid: " in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_settings_of_the_transport(verify: Verify) -> None:
    done = verify("hermes", PVE_SSH="")
    assert done.returncode == 2
    assert done.stderr.startswith("[hermes] verify … FAILED: PVE_SSH is not set: ")
    assert done.stdout.splitlines()[0].split("  ")[0] == "✗ verification"
    assert "it did not begin: the settings are wrong" in done.stdout


# --- what goes to the node


def test_what_is_asked_of_the_node(verify: Verify) -> None:
    verify("hermes")
    calls = re.sub(r"[0-9a-f]{64}", "SHA256", verify.script())
    calls = re.sub(r"\b[0-9a-f]{16}\b", "TOKEN", calls)
    assert calls == (
        "begin hermes 118 gihyeon hermes check\n"
        "stop_within 180\n"
        "verify_container\n"
        "wanted() {\n"
        "want_mount mp0 /mnt/pve/hdd/hermes /data replicate=0\n"
        "want_mount mp1 /media/2tb/hermes /fast replicate=0\n"
        "want_feature keyctl 1\n"
        "container_config\n"
        "}\n"
        "verify_step config\n"
        "wanted() {\n"
        "want_directory /mnt/pve/hdd/hermes 110000 110000 0750\n"
        "want_directory /media/2tb/hermes 110000 110000 0750\n"
        "host_directories\n"
        "}\n"
        "verify_step 'host directories'\n"
        "wanted() {\n"
        "guest_payload /opt/pve-agents/hermes SHA256\n"
        "}\n"
        "verify_step payload\n"
        "verify_guest /opt/pve-agents/hermes 360\n"
        "want_workspace /data /mnt/pve/hdd/hermes 110000 110000\n"
        "want_workspace /fast /media/2tb/hermes 110000 110000\n"
        "verify_workspaces /opt/pve-agents/hermes TOKEN\n"
        "verified\n"
        "}\n"
        "steps </dev/null\n"
    )


def test_an_agent_without_mounts_has_no_workspaces(verify: Verify) -> None:
    verify("librarian")
    assert "workspace" not in verify.script("librarian")
    assert "host_directories" not in verify.script("librarian")
    assert "verify_guest /opt/pve-agents/librarian 240\n" in verify.script("librarian")


def test_the_turn_with_the_model_can_be_left_out(verify: Verify) -> None:
    verify("--no-chat", "hermes")
    assert "verify_guest /opt/pve-agents/hermes 360 --no-chat\n" in verify.script()


def test_no_secret_goes_to_the_node(verify: Verify) -> None:
    canary = "sk-canary-2f6d"
    names = ("LITELLM_API_KEY", "API_SERVER_KEY", "PROXMOX_VE_API_TOKEN", "PVE_READ_TOKEN", "HERMES_X", "TF_VAR_x")
    done = verify(**dict.fromkeys(names, canary))
    assert done.returncode == 0
    for path in verify.directory.rglob("*"):
        assert not path.is_file() or canary not in path.read_text(), path
    assert canary not in done.stdout + done.stderr


def test_a_file_of_secrets_is_not_even_opened(verify: Verify) -> None:
    assert verify("hermes", HERMES_ENV_FILE="/nowhere").returncode == 0


def test_nothing_is_left_of_a_run(verify: Verify, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    assert verify(TMPDIR=str(temporary)).returncode == 0
    assert list(temporary.iterdir()) == []


def test_it_is_one_of_the_projects_commands() -> None:
    pipfile = tomllib.loads((PROJECT / "Pipfile").read_text())
    assert pipfile["scripts"]["verify"] == "python scripts/verify"
    assert SCRIPT.stat().st_mode & 0o111 == 0o111
