"""scripts/host/host-step: transports, messages, and where secrets go."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import pathlib
import re
import runpy
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from tests.scripts.helpers import Operator, Run, bash, checks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.scripts.fake_node import Node

CANARY = "sk-canary-2f6d"
TOKEN = "audit@pve!reader=canary-token-77"

USAGE = """\
usage: host-step host-directories|container-config|payload|bootstrap [--check | --destroy]
       host-step verify [--no-chat]
"""
STEPS = ["host-directories", "container-config", "payload", "bootstrap"]


# --- ssh and local


@pytest.mark.parametrize("transport", ["ssh", "local"])
def test_all_steps_twice(operator: Operator, node: Node, transport: str) -> None:
    if transport == "local" and os.geteuid() != 0:
        pytest.skip("local is for root")
    variables = {"PVE_TRANSPORT": transport, "LITELLM_API_KEY": CANARY}
    for number, step in enumerate(STEPS, 1):
        run = operator.run(step, **variables)
        assert run.returncode == 0, run.stdout + run.stderr
        assert run.stdout.startswith(f"[hermes {number}/4] {step.replace('-', ' ')} …\n")
        assert run.stdout.splitlines()[-1].startswith(f"[hermes {number}/4] {step.replace('-', ' ')} … ok ")
    disk = operator.spec["mounts"][0]["volume"]
    container = node.load()["containers"]["118"]["current"]
    assert container["mp0"] == f"{disk},mp=/data,backup=0,replicate=0"
    assert container["features"] == "keyctl=1,nesting=1"
    assert (node.guest / "opt/hermes-data/.env").read_text() == f"LITELLM_API_KEY={CANARY}\n"
    node.forget()
    for step in STEPS:
        assert operator.run(step, **variables).returncode == 0
        assert operator.run(step, "--check", **variables).returncode == 0
    assert node.changes() == []


def test_ssh_is_asked_for_exactly_this(operator: Operator) -> None:
    operator.run("host-directories")
    options = operator.logged("ssh-arguments").splitlines()
    control = operator.home / f"pve-agents-{os.getuid()}"
    assert options == [
        *("-o", "BatchMode=yes"),
        *("-o", "ConnectTimeout=10"),
        *("-o", "ServerAliveInterval=15"),
        *("-o", "ControlMaster=auto"),
        *("-o", f"ControlPath={control}/%C"),
        *("-o", "ControlPersist=60"),
        *("--", "root@10.1.10.10", "bash", "-s"),
    ]
    assert stat.S_IMODE(control.stat().st_mode) == 0o700


def test_check_tells_drift(operator: Operator, node: Node) -> None:
    run = operator.run("host-directories", "--check")
    assert run.returncode == 1
    assert "… would change (created, owner 110000:110000)" in run.stdout
    assert run.stdout.splitlines()[-1].startswith("[hermes 1/4] host directories … would change ")
    assert node.changes() == []


def test_a_spec_in_a_file(operator: Operator, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(operator.spec))
    variables = operator.environment(HOST_STEP_SPEC_FILE=str(file))
    del variables["HOST_STEP_SPEC"]
    run = subprocess.run(operator.command("host-directories"), env=variables, check=False, capture_output=True)
    assert run.returncode == 0


@pytest.mark.parametrize("step", STEPS)
def test_nothing_to_do_needs_no_host(operator: Operator, step: str) -> None:
    operator.spec = {key: operator.spec[key] for key in ("agent", "vmid", "node", "hostname")}
    run = operator.run(step)
    assert (run.returncode, run.stderr) == (0, "")
    assert f"[hermes] {step.replace('-', ' ')} … nothing to do" in run.stdout
    assert operator.logged("ssh-arguments") == ""


# --- what goes wrong


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PVE_SSH": ""}, "PVE_SSH is not set: name the node's root login, for example PVE_SSH=root@10.1.10.10"),
        ({"PVE_SSH": "-oProxyCommand=id"}, "PVE_SSH is no login such as root@10.1.10.10"),
        ({"PVE_SSH": "root@h ; id"}, "PVE_SSH is no login such as root@10.1.10.10"),
        ({"PVE_TRANSPORT": "telnet"}, "PVE_TRANSPORT must be one of ssh, local, paste"),
        ({"PVE_TRANSPORT": "paste"}, "PVE_TRANSPORT=paste needs PROXMOX_VE_ENDPOINT and PVE_READ_TOKEN"),
        ({"HOST_STEP_SPEC": "{"}, "HOST_STEP_SPEC is not JSON"),
        ({"HOST_STEP_SPEC": "[]"}, "spec must be a JSON object"),
        ({"HOST_STEP_SPEC": "{}"}, "spec.agent is missing"),
    ],
)
def test_wrong_settings(operator: Operator, variables: dict[str, str], message: str) -> None:
    run = operator.run("container-config", **variables)
    assert run.returncode == 2
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert operator.logged("ssh-arguments") == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agent": "Hermes;id"}, "spec.agent must be a name of lower-case letters, digits and hyphens"),
        ({"vmid": "118"}, "spec.vmid must be a whole number"),
        ({"vmid": True}, "spec.vmid must be a whole number"),
        ({"node": "pve1\nreboot"}, "spec.node holds a control character or a line break"),
        ({"hostname": 7}, "spec.hostname must be a text"),
        ({"mounts": {"a": 1}}, "spec.mounts must be a list"),
        (
            {"mounts": [{"key": "mp0", "volume": "/a\x00", "path": "/d"}]},
            "spec.mounts[0].volume holds a control character",
        ),
        ({"mounts": [{"key": "mp0", "volume": "/a\u2028", "path": "/d"}]}, "spec.mounts[0].volume holds a control"),
        ({"mounts": [{"key": "mp0", "volume": "/a"}]}, "spec.mounts[0].path is missing"),
        ({"features": {"keyctl": 1}}, "spec.features.keyctl must be a text"),
        ({"features": {"key\nctl": "1"}}, "spec.features holds a control character"),
        ({"secrets": {"names": ["A B"], "path": "/x", "uid": 0, "gid": 0}}, "must be names of environment variables"),
        ({"payload": {"directory": "/opt/x", "archive": "missing", "sha256": ""}}, "cannot read the payload missing"),
    ],
)
def test_a_wrong_spec(operator: Operator, change: dict[str, Any], message: str) -> None:
    operator.spec.update(change)
    step = "payload" if {"secrets", "payload"} & set(change) else "container-config"
    run = operator.run(step)
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert operator.logged("ssh-arguments") == ""


def test_an_exchanged_payload(operator: Operator, node: Node) -> None:
    (node.directory / "payload.tar.gz").write_bytes(b"something else")
    run = operator.run("payload")
    assert run.returncode == 2
    assert "is not the planned one (SHA-256 differs): synthesize again" in run.stderr


def test_wrong_arguments(operator: Operator) -> None:
    for arguments in (
        *([], ["reboot"], ["payload", "payload"], ["payload", "--check", "--destroy"]),
        *(["verify", "--check"], ["verify", "--no-chat", "--no-chat"], ["--no-chat", "verify"], ["payload", "verify"]),
    ):
        run = operator.run(*arguments)
        assert run.returncode == 2
        assert run.stderr == USAGE


def test_no_ssh(operator: Operator) -> None:
    (operator.home / "ssh-down").touch()
    run = operator.run("host-directories")
    assert run.returncode == 4
    assert "ssh to root@10.1.10.10 failed: try `ssh root@10.1.10.10 true`, or another PVE_TRANSPORT" in run.stderr
    run = operator.run("host-directories", PATH="/nonexistent")
    assert run.returncode == 4
    assert "cannot run ssh: No such file or directory" in run.stderr


def test_a_refusal_on_the_host(operator: Operator, node: Node) -> None:
    run = operator.run("container-config")
    assert run.returncode == 3
    assert "does not exist: run the step `host-directories` first" in run.stderr
    assert run.stdout.splitlines()[-1].startswith("[hermes 2/4] container config … FAILED ")
    assert node.changes() == []


def test_local_needs_root(operator: Operator, node: Node, tmp_path: pathlib.Path) -> None:
    script = (node.directory / "scripts" / "host-step").read_text().replace("os.geteuid() != 0", "1000 != 0")
    copy = tmp_path / "host-step"
    copy.write_text(script)
    variables = operator.environment(PVE_TRANSPORT="local")
    run = subprocess.run(
        [sys.executable, str(copy), "bootstrap"], env=variables, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "works only as root on the node: run it there with sudo, or use ssh" in run.stderr


# --- hostile values

HOSTILE = [
    "it's",
    'a"b',
    "$(touch HERE)",
    "`touch HERE`",
    "a;touch HERE",
    "a&&touch HERE",
    "a|touch HERE",
    "${IFS}",
    "a b",
    "-rf",
    "*",
    "~",
    "END_OF_BASE64",
    "grün-木",
    "a\\nb",
    "!!",
]


@pytest.mark.parametrize("transport", ["ssh", "local"])
@pytest.mark.parametrize("name", HOSTILE)
def test_strange_names_arrive_as_they_are(operator: Operator, node: Node, transport: str, name: str) -> None:
    if transport == "local" and os.geteuid() != 0:
        pytest.skip("local is for root")
    name = name.replace("HERE", str(node.directory).replace("/", "\\057"))
    disk = str(node.directory / "disks" / name)
    operator.spec["directories"][0]["path"] = disk
    operator.spec["mounts"][0]["volume"] = disk
    for step in STEPS[:2]:
        run = operator.run(step, PVE_TRANSPORT=transport)
        assert run.returncode == 0, run.stdout + run.stderr
    assert [path.name for path in (node.directory / "disks").iterdir()] == [name]
    assert node.load()["containers"]["118"]["current"]["mp0"] == f"{disk},mp=/data,backup=0,replicate=0"


@pytest.mark.parametrize("field", ["key", "volume", "path"])
@pytest.mark.parametrize("value", ["$(touch TRAP)", "`touch TRAP`", "'; touch TRAP; '", "x" * 4096, "\u009b2J"])
def test_hostile_values_are_never_run(operator: Operator, node: Node, field: str, value: str) -> None:
    trap = node.directory / "trap"
    operator.spec["mounts"][0][field] = value.replace("TRAP", str(trap))
    run = operator.run("container-config")
    assert run.returncode in (2, 3)
    assert not trap.exists()
    assert node.changes() == []


# --- secrets


def everything_but(directory: pathlib.Path, *allowed: pathlib.Path) -> Iterator[tuple[pathlib.Path, bytes]]:
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink() and path not in allowed:
            yield path, path.read_bytes()


@pytest.mark.parametrize("source", ["environment", "file"])
def test_secrets_reach_one_file_and_nothing_else(
    operator: Operator, node: Node, tmp_path: pathlib.Path, source: str
) -> None:
    env_file = tmp_path / "hermes.env"
    env_file.touch(0o600)
    env_file.write_text(f"# mine\nexport LITELLM_API_KEY='{CANARY}'\nOTHER={CANARY}\n\n")
    variables = {
        "PROXMOX_VE_API_TOKEN": f"root@pam!x={CANARY}",
        "PVE_READ_TOKEN": CANARY,
        "TF_VAR_password": CANARY,
        "SLACK_BOT_TOKEN": CANARY,
        "SSH_AUTH_SOCK": "/run/agent",
    }
    variables |= {"LITELLM_API_KEY": CANARY} if source == "environment" else {"HERMES_ENV_FILE": str(env_file)}
    output = ""
    for step in STEPS:
        run = operator.run(step, **variables)
        assert run.returncode == 0, run.stderr
        output += run.stdout + run.stderr
    target = node.guest / "opt/hermes-data/.env"
    assert target.read_text() == f"LITELLM_API_KEY={CANARY}\n"
    assert CANARY not in output
    assert "SSH_AUTH_SOCK=/run/agent" in operator.logged("ssh-environment")
    for path, content in everything_but(tmp_path, target, env_file):
        assert CANARY.encode() not in content, path
        assert base64.b64encode(target.read_bytes()) not in content, path
        assert b"PROXMOX_VE" not in content or path.name in ("host-step", "on-host"), path


@pytest.mark.parametrize(
    "content",
    [
        f"LITELLM_API_KEY= {CANARY}",
        f"LITELLM_API_KEY={CANARY}  \t",
        f"LITELLM_API_KEY = {CANARY}",
        f"LITELLM_API_KEY= '{CANARY}' ",
        f"\ufeffLITELLM_API_KEY={CANARY}\n",
        f"# mine\r\nexport\tLITELLM_API_KEY={CANARY}\r\n\r\n",
        f'\ufeff  LITELLM_API_KEY="{CANARY}"\r\n',
    ],
    ids=["blank-before", "blanks-after", "blanks-around", "quoted", "bom", "crlf", "all"],
)
def test_a_secret_arrives_without_what_an_editor_leaves_around_it(
    operator: Operator, node: Node, tmp_path: pathlib.Path, content: str
) -> None:
    file = tmp_path / "hermes.env"
    file.touch(0o600)
    file.write_bytes(content.encode())
    run = operator.run("payload", HERMES_ENV_FILE=str(file))
    assert run.returncode == 0, run.stderr
    assert (node.guest / "opt/hermes-data/.env").read_text() == f"LITELLM_API_KEY={CANARY}\n"


BLANK = "begins or ends with a blank: write it without"


@pytest.mark.parametrize("source", ["environment", "file"])
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (f" {CANARY}", BLANK),
        (f"{CANARY} ", BLANK),
        (f"{CANARY}\u00a0", "holds U+00A0, which cannot be seen and came along with a copy: write it without"),
        (f"\u200b{CANARY}", "holds U+200B, which cannot be seen"),
        (f"{CANARY}\u2060x", "holds U+2060, which cannot be seen"),
        (f"\ufeff{CANARY}", "holds U+FEFF, which cannot be seen"),
        (f"{CANARY}\u3164", "holds U+3164, which cannot be seen"),
        (f"{CANARY}\ufe0f", "holds U+FE0F, which cannot be seen"),
        (f"{CANARY}\u2028", "holds a control character or a line break"),
    ],
)
def test_a_secret_holds_nothing_that_cannot_be_seen(
    operator: Operator, tmp_path: pathlib.Path, value: str, fault: str, source: str
) -> None:
    file = tmp_path / "hermes.env"
    file.touch(0o600)
    file.write_text(f"LITELLM_API_KEY='{value}'\n", encoding="utf-8")
    given = {"LITELLM_API_KEY": value} if source == "environment" else {"HERMES_ENV_FILE": str(file)}
    run = operator.run("payload", **given)
    assert run.returncode == 2
    assert f"the secret LITELLM_API_KEY {fault}" in run.stderr
    assert CANARY not in run.stderr + run.stdout
    assert operator.logged("ssh-arguments") == ""


@pytest.mark.parametrize("name", ["\u200bLITELLM_API_KEY", "LITELLM_API_KEY\u00a0"])
def test_the_name_of_a_secret_holds_nothing_that_cannot_be_seen(
    operator: Operator, tmp_path: pathlib.Path, name: str
) -> None:
    file = tmp_path / "hermes.env"
    file.touch(0o600)
    file.write_text(f"# mine\n{name}={CANARY}\n", encoding="utf-8")
    run = operator.run("payload", HERMES_ENV_FILE=str(file))
    assert run.returncode == 2
    assert re.search(r"line 2: the name holds U\+(200B|00A0), which cannot be seen: write the line anew", run.stderr)
    assert CANARY not in run.stderr + run.stdout


@pytest.mark.parametrize("kind", ["pipe", "device", "endless"])
def test_the_file_of_secrets_is_a_regular_one(operator: Operator, tmp_path: pathlib.Path, kind: str) -> None:
    file = tmp_path / "hermes.env"
    if kind == "pipe":
        os.mkfifo(file, 0o600)
    elif kind == "device":
        file = pathlib.Path("/dev/zero")
    else:
        file.touch(0o600)
        os.truncate(file, 2**40)
    run = operator.run("payload", HERMES_ENV_FILE=str(file))
    assert run.returncode == 2
    said = "is longer than a file of secrets can be" if kind == "endless" else "is no regular file"
    assert f"HERMES_ENV_FILE {file} {said}" in run.stderr


def test_missing_secrets_are_loud_and_harmless(operator: Operator, node: Node) -> None:
    operator.spec["secrets"]["names"].append("TELEGRAM_BOT_TOKEN")
    run = operator.run("payload", LITELLM_API_KEY=CANARY)
    assert run.returncode == 0
    assert (
        "[hermes] secrets … MISSING: TELEGRAM_BOT_TOKEN. /opt/hermes-data/.env in the container stays as it is."
        in run.stdout
    )
    assert "run: pipenv run secrets hermes\n" in run.stdout
    assert not (node.guest / "opt/hermes-data").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("LITELLM_API_KEY=a${HOME}", "the secret LITELLM_API_KEY holds '${', which Hermes would replace"),
        ("LITELLM_API_KEY=a\x07canary", "the secret LITELLM_API_KEY holds a control character"),
        ("canary", "line 1: not NAME=VALUE"),
        ("LITELLM API=canary", "line 1: not NAME=VALUE"),
        ("LITELLM_API_KEY='canary' # mine", "line 1: write the value alone or in plain quotes"),
        ("LITELLM_API_KEY=canary # mine", "line 1: write the value alone or in plain quotes"),
    ],
)
def test_secrets_that_cannot_be(operator: Operator, tmp_path: pathlib.Path, line: str, message: str) -> None:
    file = tmp_path / "hermes.env"
    file.touch(0o600)
    file.write_text(line)
    run = operator.run("payload", HERMES_ENV_FILE=str(file))
    assert run.returncode == 2
    assert message in run.stderr
    assert "canary" not in run.stderr + run.stdout


PLACEHOLDERS = [
    *("REPLACE_ME", "replace-this", "sk-replaceme", "changeme", "change_this", "CHANGE-ME-please", "<token>", "xxxx"),
    *(
        "sk-xxxxxxxx",
        "sk-…",
        "0123456789...",
        "your-key",
        "sk-your-key-here",
        "YOUR_API_KEY",
        "your_telegram_bot_token",
    ),
    *("placeholder", "Example", "todo", "secret", "password", "null", " REPLACE_ME ", " <token> "),
    *("dummy", "NONE", "***", "change-me-change-me", "YOUR_API_KEY_HERE"),
]
REAL = [
    *("sk-1", "5ec2e75ec2e75ec2e75ec2e75ec2e75e", "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "xapp-1-A0-1-abc"),
    *("hunter2", "my secret garden", "exxxon", "yourself", "tokenring", "<3", '{"a": "<b>"}', "keep.your.hat"),
    # They only begin or end as one does, or stand where a server needs no key.
    *(
        "exampleKey7",
        "dummy-lm-api-key",
        "todo-list-7",
        "replace-this-5ec2e75e",
        "your-key-5ec2e75e",
        "<b>5ec2",
        "xxx5ec2e",
    ),
    *("changeme5ec2e75e", "EMPTY", "not-needed", "no-key-required", "none-of-your-business"),
]


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_a_placeholder_is_no_secret(operator: Operator, value: str) -> None:
    run = operator.run("payload", LITELLM_API_KEY=value)
    assert run.returncode == 2
    assert run.stderr == (
        "[hermes 3/4] payload … FAILED: the secret LITELLM_API_KEY is a placeholder: write its real value, or none "
        "until you have it; where no key is needed, take its name out of the settings\n"
    )
    assert value.strip() not in run.stdout


@pytest.mark.parametrize("value", REAL)
def test_what_only_looks_a_little_like_a_placeholder_is_a_secret(operator: Operator, value: str) -> None:
    assert operator.run("payload", LITELLM_API_KEY=value).returncode == 0


@pytest.mark.parametrize(("length", "status"), [(15, 2), (16, 0)])
def test_a_secret_has_a_minimum_length(operator: Operator, length: int, status: int) -> None:
    operator.spec["secrets"]["minimum_lengths"] = {"LITELLM_API_KEY": 16, "API_SERVER_KEY": 99}
    run = operator.run("payload", LITELLM_API_KEY="k" * length)
    assert run.returncode == status
    if status:
        assert run.stderr == (
            "[hermes 3/4] payload … FAILED: the secret LITELLM_API_KEY has fewer than 16 characters: make a longer "
            "one, for example with `openssl rand -hex 32`\n"
        )
        assert "k" * length not in run.stdout


@pytest.mark.parametrize("lengths", [[16], {"LITELLM_API_KEY": "16"}, {"LITELLM_API_KEY": -1}])
def test_a_wrong_minimum_length(operator: Operator, lengths: object) -> None:
    operator.spec["secrets"]["minimum_lengths"] = lengths
    run = operator.run("payload", LITELLM_API_KEY=CANARY)
    assert run.returncode == 2
    assert "spec.secrets.minimum_lengths" in run.stderr
    assert CANARY not in run.stderr


@pytest.mark.parametrize(("value", "status"), [("canary\\'s", 2), ("canary\\", 2), ("can\\ary", 0)])
def test_a_secret_that_compose_cannot_read_stops_here_and_not_in_the_container(
    operator: Operator, value: str, status: int
) -> None:
    assert operator.run("payload", LITELLM_API_KEY=value).returncode == 0
    operator.spec["secrets"]["of_compose"] = ["LITELLM_API_KEY"]
    run = operator.run("payload", LITELLM_API_KEY=value)
    assert run.returncode == status
    if status:
        assert run.stderr == (
            "[hermes 3/4] payload … FAILED: the secret LITELLM_API_KEY has a backslash before a quote or at its end, "
            "which Compose cannot read from a file: choose another value\n"
        )


def test_a_list_of_placeholders_that_cannot_be_read(operator: Operator) -> None:
    operator.spec["secrets"]["placeholder"] = "("
    run = operator.run("payload", LITELLM_API_KEY=CANARY)
    assert run.returncode == 2
    assert "spec.secrets.placeholder is no regular expression" in run.stderr


@pytest.mark.parametrize("step", STEPS)
def test_a_wrong_secret_stops_a_deploy_before_its_first_change(operator: Operator, step: str) -> None:
    run = operator.run(step, LITELLM_API_KEY="REPLACE_ME")
    assert run.returncode == 2
    assert "the secret LITELLM_API_KEY is a placeholder" in run.stderr
    assert operator.logged("ssh-arguments") == ""


@pytest.mark.parametrize("step", STEPS)
def test_a_wrong_secret_stops_no_destroy(operator: Operator, step: str) -> None:
    assert operator.run(step, "--destroy", LITELLM_API_KEY="REPLACE_ME").returncode == 0


def test_a_wrong_secret_stops_no_look_at_what_it_does_not_concern(operator: Operator) -> None:
    assert operator.run("host-directories", "--check", LITELLM_API_KEY="REPLACE_ME").returncode == 1


def test_an_agent_without_secrets_needs_no_file_of_them(operator: Operator) -> None:
    operator.spec["secrets"]["names"] = []
    assert operator.run("host-directories", HERMES_ENV_FILE="/nowhere").returncode == 0


def test_a_secret_file_for_all_to_read(operator: Operator, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "hermes.env"
    file.touch()
    file.chmod(0o640)
    run = operator.run("payload", HERMES_ENV_FILE=str(file))
    assert run.returncode == 2
    assert f"HERMES_ENV_FILE {file} can be read by others (mode 0640): run `chmod 600 {file}`" in run.stderr
    run = operator.run("payload", HERMES_ENV_FILE=str(tmp_path / "none"))
    assert run.returncode == 2
    assert f"cannot read HERMES_ENV_FILE {tmp_path / 'none'}: No such file or directory" in run.stderr


@pytest.mark.parametrize(
    ("value", "line"),
    [("plain-1.2/3+=", "plain-1.2/3+="), ('pa$$w#rd"x', "'pa$$w#rd\"x'"), ("it's", "'it\\'s'"), ("a\\b", "'a\\\\b'")],
)
def test_how_a_secret_is_written(operator: Operator, node: Node, value: str, line: str) -> None:
    assert operator.run("payload", LITELLM_API_KEY=value).returncode == 0
    assert (node.guest / "opt/hermes-data/.env").read_text() == f"LITELLM_API_KEY={line}\n"


# --- destroy


def prepared(operator: Operator) -> None:
    for step in STEPS[:2]:
        assert operator.run(step).returncode == 0
    operator.node.forget()


def test_destroy_removes_no_data(operator: Operator) -> None:
    run = operator.run("payload", "--destroy")
    assert run.returncode == 0
    assert "nothing to remove: data stays where it is" in run.stdout
    assert operator.logged("ssh-arguments") == ""


def test_destroy_stops_the_agent_before_its_mounts_leave(operator: Operator) -> None:
    for step in STEPS:
        assert operator.run(step).returncode == 0
    next(operator.node.guest.rglob("bootstrap")).write_text('#!/bin/sh\necho "asked to: $*"\n')
    run = operator.run("bootstrap", "--destroy")
    assert "asked to: --stop" in run.stdout
    assert "stop … changed (hermes runs no more; its data stays)" in run.stdout


def test_destroy_goes_on_when_the_agent_does_not_stop(operator: Operator) -> None:
    for step in STEPS:
        assert operator.run(step).returncode == 0
    next(operator.node.guest.rglob("bootstrap")).write_text("#!/bin/sh\nexit 7\n")
    run = operator.run("bootstrap", "--destroy")
    assert run.returncode == 0
    assert "--stop` ended with status 7: what runs in container 118 is left to you" in run.stdout


def test_destroy_finds_nothing_to_stop_before_the_first_delivery(operator: Operator) -> None:
    run = operator.run("bootstrap", "--destroy")
    assert run.returncode == 0
    assert "stop … ok (nothing of hermes runs in container 118)" in run.stdout


def test_a_replaced_bootstrap_stops_nothing(operator: Operator) -> None:
    spec = json.dumps(operator.spec)
    run = operator.run("bootstrap", "--destroy", HOST_STEP_REPLACED="yes", HOST_STEP_NEXT_SPEC=spec)
    assert run.returncode == 0
    assert "bootstrap … nothing to remove: data stays where it is" in run.stdout


def test_a_relative_file_of_secrets_is_found_from_where_terraform_runs_the_step(
    operator: Operator, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(operator)
    stack = tmp_path / "project" / "cdktf.out" / "stacks" / "hermes-root"
    stack.mkdir(parents=True)
    file = tmp_path / "project" / "hermes.env"
    file.write_text("LITELLM_API_KEY=sk-1\nAPI_SERVER_KEY=0123456789abcdef\n")
    file.chmod(0o600)
    monkeypatch.chdir(stack)
    run = operator.run("payload", HERMES_ENV_FILE="hermes.env")
    assert (run.returncode, run.stderr) == (0, "")


# Terraform destroys the steps from the last to the first, and runs nothing for one that failed when it was created.
@pytest.mark.parametrize("step", ["container-config", "host-directories"])
def test_destroy_detaches_and_reboots_once(operator: Operator, node: Node, step: str) -> None:
    prepared(operator)
    assert operator.run(step, "--destroy").returncode == 0
    assert node.changes() == ["pct set 118 --delete mp0", "pct reboot 118 --timeout 180"]
    node.forget()
    assert operator.run("container-config", "--destroy").returncode == 0
    assert node.changes() == []
    assert (node.directory / "disks" / "hermes").is_dir()


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({}, []),
        ({"features": {}}, []),
        ({"mounts": []}, ["pct set 118 --delete mp0"]),
        ({"mounts": [], "vmid": 119}, ["pct set 118 --delete mp0", "pct reboot 118 --timeout 180"]),
    ],
)
def test_replacement(operator: Operator, node: Node, change: dict[str, Any], changes: list[str]) -> None:
    prepared(operator)
    after = json.dumps({**operator.spec, **change})
    run = operator.run("container-config", "--destroy", HOST_STEP_REPLACED="yes", HOST_STEP_NEXT_SPEC=after)
    assert run.returncode == 0, run.stderr
    assert node.changes() == changes


def test_replacement_to_another_path_reboots_once(operator: Operator, node: Node) -> None:
    prepared(operator)
    old = json.dumps(operator.spec)
    other = node.directory / "disks" / "other"
    operator.spec["directories"][0]["path"] = operator.spec["mounts"][0]["volume"] = str(other)
    new = json.dumps(operator.spec)
    replaced = {"HOST_STEP_SPEC": old, "HOST_STEP_REPLACED": "yes", "HOST_STEP_NEXT_SPEC": new}
    assert operator.run("container-config", "--destroy", **replaced).returncode == 0
    for step in STEPS[:2]:
        assert operator.run(step).returncode == 0
    changes = [change for change in node.changes() if change.startswith("pct")]
    assert changes == [
        "pct set 118 --delete mp0",
        f"pct set 118 --mp0 {other},mp=/data,backup=0,replicate=0",
        "pct reboot 118 --timeout 180",
    ]


def test_replacement_without_a_next_spec(operator: Operator) -> None:
    run = operator.run("container-config", "--destroy", HOST_STEP_REPLACED="yes")
    assert run.returncode == 2
    assert "HOST_STEP_REPLACED=yes needs HOST_STEP_NEXT_SPEC" in run.stderr


# --- paste


class Api(http.server.ThreadingHTTPServer):
    """The read-only half of the API, over the fake node."""

    node: Node
    auditor = True
    # What is answered instead, by a part of the path: status, body, and further headers.
    instead: dict[str, tuple[int, bytes, dict[str, str]]]
    asked: list[str]
    reason: str | None = None


class Handler(http.server.BaseHTTPRequestHandler):
    server: Api

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        path = url.path.removeprefix("/api2/json/")
        state = self.server.node.load()
        data: object
        self.server.asked.append(path)
        for part, (status, body, headers) in self.server.instead.items():
            if part in path:
                self.send_response(status, self.server.reason)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                return
        if self.headers["Authorization"] != f"PVEAPIToken={TOKEN}":
            self.send_error(401, "authentication failure")
            return
        if path == "access/permissions":
            data = {query["path"][0]: {"Sys.Audit": 1} if self.server.auditor else {}}
        elif path == "nodes/pve1/tasks":
            data = [{"upid": f"UPID:{index}", "status": "OK"} for index, _ in enumerate(state.get("pushes", []))]
        elif path == "nodes/pve1/lxc/118/status/current":
            data = {"status": "running" if state["containers"]["118"]["running"] else "stopped"}
        elif path == "nodes/pve1/lxc/118/config":
            container = state["containers"]["118"]
            values = dict(container["current"])
            if "current" not in query:
                values.update(container["pending"])
                values = {key: value for key, value in values.items() if key not in container["delete"]}
            data = values
        else:
            self.send_error(500, "Configuration file 'nodes/pve1/lxc/119.conf' does not exist")
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": data}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(node: Node) -> Iterator[Api]:
    server = Api(("127.0.0.1", 0), Handler)
    server.node, server.instead, server.asked = node, {}, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def paste_variables(api: Api, **more: str) -> dict[str, str]:
    return {
        "PVE_TRANSPORT": "paste",
        "PROXMOX_VE_ENDPOINT": f"http://127.0.0.1:{api.server_port}/",
        "PVE_READ_TOKEN": TOKEN,
        "PVE_PASTE_DEADLINE_SECONDS": "60",
        **more,
    }


@contextlib.contextmanager
def started(operator: Operator, *arguments: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        operator.command(*arguments),
        env=operator.environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def shown_script(child: subprocess.Popen[str]) -> str:
    """What stands between the markers, as somebody would select it."""
    assert child.stdout
    lines: list[str] = []
    for line in child.stdout:
        if line.startswith("# ---- end"):
            break
        if lines or line.startswith("# ---- begin"):
            lines.append(line)
    return "".join(lines)


def human_pastes(operator: Operator) -> Callable[[str], Run]:
    def paste(text: str) -> Run:
        (operator.node.bin / "bash").unlink(missing_ok=True)
        (operator.node.bin / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
        return bash(operator.node, text)

    return paste


def test_one_paste_does_a_whole_deploy(operator: Operator, node: Node, api: Api) -> None:
    variables = paste_variables(api, LITELLM_API_KEY=CANARY)
    with started(operator, "host-directories", **variables) as child:
        text = shown_script(child)
        assert "\t" not in text
        assert max(len(line.encode()) for line in text.splitlines()) < 4096
        assert CANARY not in text
        assert TOKEN not in text
        pasted = human_pastes(operator)(text)
        assert pasted.returncode == 0, pasted.stdout + pasted.stderr
        assert child.stdout
        rest = child.stdout.read()
        assert child.wait(30) == 0, rest
    assert node.load()["containers"]["118"]["current"]["features"] == "keyctl=1,nesting=1"
    assert (node.guest / "opt/pve-agents/hermes/bootstrap").exists()
    for step in STEPS[1:]:
        run = operator.run(step, **variables)
        assert run.returncode == 0, run.stdout + run.stderr
        assert "was part of the script that you pasted for this deployment: nothing to paste" in run.stdout
    assert operator.run("container-config", "--check", **variables).returncode == 0
    # A deploy of another day asks again.
    note = operator.home / f"pve-agents-{os.getuid()}" / f"pasted-{os.getpgrp()}"
    os.utime(note, (0, 0))
    again = operator.run("bootstrap", **{**variables, "PVE_PASTE_DEADLINE_SECONDS": "1"})
    assert again.returncode == 4
    assert "# ---- begin hermes: paste from here" in again.stdout


def test_paste_says_how_to_give_secrets(operator: Operator, api: Api) -> None:
    run = operator.run("payload", **paste_variables(api, LITELLM_API_KEY=CANARY, PVE_PASTE_DEADLINE_SECONDS="1"))
    assert "write LITELLM_API_KEY as NAME=VALUE lines to a 0600 file" in run.stdout
    assert (
        "`pct exec 118 -- mkdir -p /opt/hermes-data && pct push 118 hermes.env /opt/hermes-data/.env --user 10000 --group 10000 --perms 0600`"
        in run.stdout
    )
    assert CANARY not in run.stdout + run.stderr


def test_paste_gives_up_with_what_is_missing(operator: Operator, api: Api) -> None:
    run = operator.run("container-config", **paste_variables(api, PVE_PASTE_DEADLINE_SECONDS="1"))
    assert run.returncode == 4
    disk = operator.spec["mounts"][0]["volume"]
    assert (
        f"after 1 s the effect is not there: mp0 is not {disk},mp=/data,backup=0,replicate=0; "
        "feature keyctl is not 1; the script has not come to its end." in run.stderr
    )


def only_config(operator: Operator) -> None:
    for section in ("directories", "payload", "bootstrap", "secrets"):
        del operator.spec[section]


def test_paste_looks_before_it_asks(operator: Operator, api: Api) -> None:
    prepared(operator)
    only_config(operator)
    run = operator.run("container-config", **paste_variables(api))
    assert run.returncode == 0
    assert "the API shows everything as wanted: nothing to paste" in run.stdout
    assert "begin hermes" not in run.stdout


def test_paste_of_the_config_alone_needs_no_task_list(operator: Operator, api: Api) -> None:
    api.auditor = False
    run = operator.run("host-directories", **paste_variables(api))
    assert run.returncode == 2
    assert "give it the role PVEAuditor (Sys.Audit) on /nodes/pve1" in run.stderr
    (operator.node.directory / "disks" / "hermes").mkdir()
    only_config(operator)
    with started(operator, "container-config", **paste_variables(api)) as child:
        assert human_pastes(operator)(shown_script(child)).returncode == 0
        assert child.wait(30) == 0


def test_paste_sees_what_still_waits_for_a_reboot(operator: Operator, node: Node, api: Api) -> None:
    only_config(operator)
    operator.spec["mounts"] = []
    state = node.load()
    state["containers"]["118"]["pending"] = {"features": "keyctl=1,nesting=1"}
    node.save(state)
    run = operator.run("container-config", "--check", **paste_variables(api))
    assert run.returncode == 1
    assert "[hermes] would change: features waits for a reboot" in run.stdout


@pytest.mark.parametrize("waiting", [{"pending": {"nameserver": "10.0.0.53"}}, {"delete": ["nameserver"]}])
def test_paste_sees_what_a_lost_reboot_has_left(
    operator: Operator, node: Node, api: Api, waiting: dict[str, Any]
) -> None:
    only_config(operator)
    (operator.node.directory / "disks" / "hermes").mkdir()
    operator.run("container-config")
    state = node.load()
    state["containers"]["118"]["current"]["nameserver"] = "10.0.0.1"
    state["containers"]["118"].update(waiting)
    node.save(state)
    run = operator.run("container-config", "--check", **paste_variables(api))
    assert run.returncode == 1
    assert "[hermes] nameserver … waits for a start (run `pct reboot 118 --timeout 180` on pve1)" in run.stdout
    # It holds up no step, and is pasted for by none.
    assert operator.run("container-config", **paste_variables(api)).returncode == 0


def test_paste_of_a_destroy(operator: Operator, node: Node, api: Api) -> None:
    prepared(operator)
    with started(operator, "container-config", "--destroy", **paste_variables(api)) as child:
        assert human_pastes(operator)(shown_script(child)).returncode == 0
        assert child.wait(30) == 0
    assert node.changes() == ["pct set 118 --delete mp0", "pct reboot 118 --timeout 180"]
    operator.spec["vmid"] = 119
    assert operator.run("container-config", "--destroy", **paste_variables(api)).returncode == 0


def test_paste_says_what_it_cannot_check(operator: Operator, api: Api) -> None:
    run = operator.run("payload", "--check", **paste_variables(api))
    assert run.returncode == 0
    assert "payload … not checked: the API does not show it, another PVE_TRANSPORT would" in run.stdout


@pytest.mark.parametrize(
    ("change", "message", "status"),
    [
        ({"PVE_READ_TOKEN": "nonsense"}, "PVE_READ_TOKEN must look like user@realm!name=secret", 2),
        (
            {"PVE_READ_TOKEN": f"PVEAPIToken={TOKEN}"},
            "PVE_READ_TOKEN begins with PVEAPIToken: write user@realm!name=secret alone",
            2,
        ),
        ({"PVE_READ_TOKEN": "a@pve!b=c"}, "the API answers 401 authentication failure to GET", 4),
        ({"PROXMOX_VE_ENDPOINT": "http://10.1.10.10:8006"}, "PROXMOX_VE_ENDPOINT must begin with https://", 2),
        ({"PROXMOX_VE_ENDPOINT": "https://127.0.0.1:1"}, "the API at https://127.0.0.1:1 does not answer", 4),
        ({"PVE_PASTE_DEADLINE_SECONDS": "soon"}, "PVE_PASTE_DEADLINE_SECONDS must be a number of seconds", 2),
    ],
)
def test_paste_with_wrong_settings(
    operator: Operator, api: Api, change: dict[str, str], message: str, status: int
) -> None:
    run = operator.run("container-config", **{**paste_variables(api), **change})
    assert run.returncode == status
    assert message in run.stderr
    assert "canary-token" not in run.stderr + run.stdout


FOREIGN = "as Proxmox VE does: does PROXMOX_VE_ENDPOINT name the API (port 8006)?"
NO_ANSWERS = [
    *(b"", b"<html>", b"\xff", b"[", b"[]", b"0", b"null", b'"data"', b"{}", b'{"data": null}', b'{"data": 1}'),
    *(b'{"data": "x"}', b'{"data": [1]}', b"[" * 100_000),
]


@pytest.mark.parametrize(
    ("part", "body"),
    [
        *((part, body) for part in ("/config", "permissions", "/tasks") for body in NO_ANSWERS),
        ("/config", b'{"data": {"mp0": {}}}'),
        ("permissions", b'{"data": {"/nodes/pve1": 1}}'),
    ],
)
def test_an_answer_that_is_not_proxmox_ends_in_a_sentence(operator: Operator, api: Api, part: str, body: bytes) -> None:
    api.instead[part] = (200, body, {})
    step = ["container-config", "--check"] if part == "/config" else ["host-directories"]
    run = operator.run(*step, **paste_variables(api))
    assert (run.returncode, run.stderr.count("\n")) == (4, 1)
    assert FOREIGN in run.stderr


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_carries_the_read_token_away(operator: Operator, api: Api, status: int) -> None:
    elsewhere = f"http://127.0.0.1:{api.server_port}/api2/json/elsewhere"
    api.reason = "does not exist"
    api.instead["/config"] = (status, b"", {"Location": elsewhere})
    run = operator.run("verify", **paste_variables(api))
    assert (run.returncode, run.stdout) == (4, "")
    assert "sends us somewhere else, where the token does not go: PROXMOX_VE_ENDPOINT must name the API" in run.stderr
    assert "elsewhere" not in api.asked


def test_an_answer_that_breaks_off_ends_in_a_sentence(operator: Operator, api: Api) -> None:
    api.instead["/config"] = (200, b'{"data": {}}', {"Content-Length": "1000"})
    run = operator.run("container-config", "--check", **paste_variables(api))
    assert (run.returncode, run.stderr.count("\n")) == (4, 1)
    assert "broke off in the middle of its answer" in run.stderr


def test_what_the_api_says_moves_no_terminal(operator: Operator, api: Api) -> None:
    api.reason = "\x1b[2J" + "x" * 1000
    api.instead["/config"] = (500, b"", {})
    run = operator.run("container-config", "--check", **paste_variables(api))
    assert run.returncode == 4
    assert "the API answers 500 [2Jxxx" in run.stderr
    assert "\x1b" not in run.stderr
    assert len(run.stderr) < 400


@pytest.mark.parametrize("where", ["at once", "in the middle"])
def test_one_ctrl_c_ends_the_wait_for_an_api_that_hangs(operator: Operator, where: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        variables = {"PVE_TRANSPORT": "paste", "PVE_READ_TOKEN": TOKEN, "PROXMOX_VE_ENDPOINT": endpoint}
        with started(operator, "container-config", "--check", **variables) as child:
            connection, _ = silent.accept()
            with connection:
                if where == "in the middle":
                    connection.recv(65536)
                    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"data": ')
                child.send_signal(signal.SIGINT)
                said, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    assert said.splitlines()[1:] == ["[hermes 2/4] container config … FAILED: interrupted; it can be run again"]


def test_an_answer_has_a_limit_of_time_for_all_of_it(node: Node) -> None:
    """A byte now and then keeps each single read alive."""
    host_step = runpy.run_path(str(node.directory / "scripts" / "host-step"))
    with pytest.raises(TimeoutError):
        host_step["within"](0.05, lambda: threading.Event().wait() and b"")
    assert host_step["within"](5, lambda: b"in time") == b"in time"
    assert host_step["API_SECONDS"] == 20


@pytest.mark.parametrize("name", ["$(touch HERE)", "it's", "`touch HERE`", "a;touch HERE", "grün", "END_OF_PASTE"])
def test_paste_of_strange_names(operator: Operator, node: Node, api: Api, name: str) -> None:
    name = name.replace("HERE", "trap")
    disk = node.directory / "disks" / name
    disk.mkdir()
    only_config(operator)
    operator.spec["mounts"][0]["volume"] = str(disk)
    with started(operator, "container-config", **paste_variables(api)) as child:
        assert human_pastes(operator)(shown_script(child)).returncode == 0
        assert child.wait(30) == 0
    assert node.load()["containers"]["118"]["current"]["mp0"].startswith(f"{disk},")


# --- verify, with paste

UNSEEN = "PVE_TRANSPORT=paste shows no more than the API does; ssh or local would look"


def test_paste_verifies_what_the_api_shows(operator: Operator, api: Api) -> None:
    prepared(operator)
    run = operator.run("verify", **paste_variables(api))
    assert (run.returncode, run.stderr) == (0, "")
    assert checks(run.stdout) == [
        ("container", "ok", "running on pve1", ""),
        ("config", "ok", "mp0, features", ""),
        ("host directories", "skipped", UNSEEN, ""),
        ("payload", "skipped", UNSEEN, ""),
        ("guest checks", "skipped", UNSEEN, ""),
        ("workspace /data", "skipped", UNSEEN, ""),
    ]


def test_paste_looks_at_a_container_with_raw_lines_of_lxc(operator: Operator, node: Node, api: Api) -> None:
    prepared(operator)
    state = node.load()
    state["containers"]["118"]["current"]["lxc"] = [["lxc.idmap", "u 0 100000 65536"]]
    node.save(state)
    assert operator.run("verify", **paste_variables(api)).returncode == 0


def test_paste_verifies_each_difference(operator: Operator, node: Node, api: Api) -> None:
    disk = operator.spec["mounts"][0]["volume"]
    state = node.load()
    state["containers"]["118"]["running"] = False
    node.save(state)
    run = operator.run("verify", **paste_variables(api))
    assert run.returncode == 1
    assert checks(run.stdout)[:3] == [
        ("container", "failed", "container 118 is stopped", "run `pct start 118` on pve1"),
        ("config", "failed", f"mp0 is not {disk},mp=/data,backup=0,replicate=0", "run `pipenv run mend hermes`"),
        ("config", "failed", "feature keyctl is not 1", "run `pipenv run mend hermes`"),
    ]


def test_paste_verifies_what_waits_for_a_start(operator: Operator, node: Node, api: Api) -> None:
    prepared(operator)
    state = node.load()
    state["containers"]["118"]["pending"] = {"nameserver": "10.0.0.53"}
    node.save(state)
    run = operator.run("verify", **paste_variables(api))
    assert run.returncode == 1
    expected = ("config", "failed", "nameserver waits for a start", "run `pct reboot 118 --timeout 180` on pve1")
    assert checks(run.stdout)[1] == expected

    # One that is off cannot be rebooted, and needs no more than its start.
    state["containers"]["118"]["running"] = False
    node.save(state)
    found = checks(operator.run("verify", **paste_variables(api)).stdout)
    assert [name for name, status, *_ in found if status == "failed"] == ["container"]
    assert operator.run("container-config", "--check", **paste_variables(api)).returncode == 0


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"hostname": "plex\x1b[2J\t"}, "container 118 is called plex[2J, not hermes: it is somebody else's"),
        ({"unprivileged": "0"}, "container 118 is privileged: its root would be the host's root"),
        ({}, "there is no container 119 on node pve1"),
    ],
)
def test_paste_verifies_no_container_of_somebody_else(
    operator: Operator, node: Node, api: Api, values: dict[str, str], detail: str
) -> None:
    state = node.load()
    state["containers"]["118"]["current"].update(values)
    node.save(state)
    operator.spec["vmid"] = 118 if values else 119
    run = operator.run("verify", **paste_variables(api))
    assert run.returncode == 1
    found = checks(run.stdout)
    assert found[0] == ("container", "failed", detail, "see what `pipenv run cdktf diff hermes` says")
    assert found[1] == ("config", "skipped", f"container {operator.spec['vmid']} is not as declared", "")
    assert {status for _, status, *_ in found[2:]} == {"skipped"}


def test_paste_without_an_answer_verifies_nothing(operator: Operator) -> None:
    variables = {"PVE_TRANSPORT": "paste", "PVE_READ_TOKEN": TOKEN, "PROXMOX_VE_ENDPOINT": "https://127.0.0.1:1"}
    run = operator.run("verify", **variables)
    assert (run.returncode, run.stdout) == (4, "")
    assert run.stderr.startswith("[hermes] verify … FAILED: the API at https://127.0.0.1:1 does not answer")
    assert "canary-token" not in run.stderr
