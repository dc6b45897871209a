"""Where passwords, keys and tokens may be while root's stack is deployed, and which credential each stack needs."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.project import CONTAINER, HDD, HERMES_ROOT, STEPS, Project
from tests.deploy.test_secrets import written
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = pytest.mark.terraform

ENV_FILE = "/etc/pve-agents/hermes.env"
MANAGED_ENV = "/var/lib/pve-agents/hermes/services/hermes/managed/.env"
NAMES = ["LITELLM_API_KEY", "API_SERVER_KEY", "TELEGRAM_BOT_TOKEN"]
GIVEN = {name: f"canary-of-the-file-{name.lower()}" for name in NAMES}
AROUND = {
    name: f"canary-of-the-environment-{name.lower()}"
    for name in (*NAMES, "OPENAI_API_KEY", "PROXMOX_VE_PASSWORD", "TF_VAR_password")
}


def env_file(project: Project, mode: int = 0o600) -> Path:
    path = project.directory / "hermes.env"
    path.write_text("".join(f"{name}={value}\n" for name, value in GIVEN.items()))
    path.chmod(mode)
    project.env["HERMES_ENV_FILE"] = str(path)
    return path


def note_environment_of_ssh(project: Project) -> Path:
    """Write down what ssh inherits: it may be configured to hand it on to the host."""
    folder, note = project.directory.parent / "ssh", project.directory.parent / "ssh-environment"
    folder.mkdir()
    ssh = shutil.which("ssh", path=project.env["PATH"])
    (folder / "ssh").write_text(f'#!/bin/sh\nenv >>"{note}"\nexec "{ssh}" "$@"\n')
    (folder / "ssh").chmod(0o755)
    project.env["PATH"] = f"{folder}:{project.env['PATH']}"
    return note


def credentials(project: Project, *prefixes: str) -> None:
    """Leave only these in the environment."""
    for name in list(project.env):
        if name.startswith(("PROXMOX_VE_", "PVE_")) and not name.startswith(prefixes):
            del project.env[name]


@dataclass(frozen=True)
class Deployed:
    """Both stacks, deployed by one command with all logs on, and a look whether all is still as wanted."""

    project: Project
    node: VirtualNode
    directory: Path
    """All that was written lies below it."""
    given: Path
    """The file with the secrets."""
    said: Mapping[str, str]
    """By each command that ran."""
    arguments: str
    """Of every program that ran."""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    directory = tmp_path_factory.mktemp("deployed")
    with VirtualNode(directory / "virtual-node", serves_providers=True) as node:
        project = Project(directory / "project", node)
        project.configure(secrets=NAMES)
        logs = project.directory / "logs"
        logs.mkdir()
        project.env |= AROUND | {
            "TF_LOG": "TRACE",
            "TF_LOG_PATH": str(logs / "terraform.log"),
            "CDKTF_LOG_LEVEL": "debug",
            "CDKTF_LOG_FILE_DIRECTORY": str(logs),
            "PVE_AGENTS_KEEP": "TF_REATTACH_PROVIDERS TF_LOG",
        }
        given = env_file(project)
        note_environment_of_ssh(project)
        arguments = project.record_arguments(
            Path(project.binary).name, "python3", "python", "node", "sh", "cdktf", "ssh"
        )
        options = ("--auto-approve", "--skip-provider-lock", "--output", str(project.out))

        deploy = project.run(ROOT / "scripts" / "cdktf", "deploy", "hermes", HERMES_ROOT, *options)
        where, file = f"-chdir={project.stack(HERMES_ROOT)}", project.directory / "plan"
        plan = project.run(project.binary, where, "plan", "-destroy", "-input=false", f"-out={file}")
        show = project.run(project.binary, where, "show", "-json", str(file))
        drift = project.steps("drift")

        said = {"deploy": deploy.raw, "plan": plan.raw, "show": show.raw, "drift": drift.raw}
        yield Deployed(project, node, directory, given, said, arguments.read_text())


@pytest.mark.cli
def test_one_command_deploys_both_stacks_one_after_the_other(deployed: Deployed) -> None:
    project, node = deployed.project, deployed.node
    assert (project.addresses() >= {CONTAINER}, project.addresses(HERMES_ROOT)) == (True, set(STEPS))
    token_stack_done, root_stack_began = project.state(), node.host.real(HDD)
    assert token_stack_done.stat().st_mtime_ns < root_stack_began.stat().st_mtime_ns
    assert node.container_config(118)["mp0"] == f"{HDD},mp=/data,replicate=0"


@pytest.mark.cli
def test_secrets_are_in_one_file_of_the_container_and_nowhere_else(deployed: Deployed) -> None:
    project, node = deployed.project, deployed.node
    # All of them for the bootstrap, and what is Hermes' own for Hermes.
    target, managed = (node.guest(118, path) for path in (ENV_FILE, MANAGED_ENV))
    assert target.read_text() == "".join(f"{name}={value}\n" for name, value in sorted(GIVEN.items()))

    files = written(deployed.directory)
    names = {Path(name).name for name in files}
    assert {"cdk.tf.json", "hermes.tar.gz", "terraform.hermes-root.tfstate", "plan", "terraform.log"} <= names
    assert {"arguments", "calls", "ssh-calls", "program.py", "ssh-environment"} <= names
    assert "container-config" in deployed.arguments
    places = files | {name: text.encode() for name, text in deployed.said.items()}
    for path in (deployed.given, target, managed):
        del places[str(path)]
    secrets = [value.encode() for value in (*GIVEN.values(), *AROUND.values())]
    secrets.append(project.node.env["PROXMOX_VE_API_TOKEN"].partition("=")[2].encode())
    secrets.append(base64.b64encode(target.read_bytes())[:60])
    assert [name for name, content in places.items() if any(secret in content for secret in secrets)] == []

    owners = project.run("ssh", "root@127.0.0.1", f"pct exec 118 -- stat -c '%u:%g %a' {ENV_FILE} {MANAGED_ENV}")
    assert owners.text == "0:0 600 10000:10000 600"


def test_a_file_of_secrets_that_others_can_read_is_refused(project: Project, virtual_node: VirtualNode) -> None:
    project.create_container()
    project.configure(mounts={}, secrets=NAMES)
    project.synthesize()
    given = env_file(project, 0o640)

    applied = project.apply(stack=HERMES_ROOT, ok=False)

    refusal = f"HERMES_ENV_FILE {given} can be read by others (mode 0640): run `chmod 600 {given}`"
    assert refusal in applied.errors[0]
    assert not virtual_node.guest(118, ENV_FILE).exists()


def test_missing_secrets_are_refused_before_the_first_command_and_once(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.create_container()
    project.configure(hermes=None, secrets=NAMES)
    project.synthesize()
    project.env.pop("API_SERVER_KEY")

    (error,) = project.apply(stack=HERMES_ROOT, ok=False).errors

    remedy = re.search(
        r"missing secrets: API_SERVER_KEY, TELEGRAM_BOT_TOKEN\. Write (\w+(?:, \w+)*) to (\S+) as NAME=VALUE lines, "
        r"`chmod 600 (\S+)`, and deploy with HERMES_ENV_FILE=(\S+)",
        error,
    )
    assert remedy
    assert error.count("missing secrets") == 1
    assert (virtual_node.host_changes, virtual_node.mutations, len(virtual_node.ssh_calls)) == ([], [], 1)
    assert not virtual_node.host.real(HDD).exists()

    # What the sentence says helps.
    names, *files = remedy.groups()
    assert files == ["hermes.env"] * 3
    given = project.directory / "hermes.env"
    given.write_text("".join(f"{name}={GIVEN[name]}\n" for name in names.split(", ")))
    given.chmod(0o600)
    project.env["HERMES_ENV_FILE"] = "hermes.env"
    project.apply(stack=HERMES_ROOT)
    assert GIVEN["TELEGRAM_BOT_TOKEN"] in virtual_node.guest(118, ENV_FILE).read_text()
    assert project.plan(stack=HERMES_ROOT).actions == {}


def test_a_secret_that_is_missing_later_takes_none_from_a_working_agent(
    project: Project, virtual_node: VirtualNode
) -> None:
    project.create_container()
    project.configure(mounts={}, hermes=None, secrets=NAMES)
    project.synthesize()
    given = env_file(project)
    project.apply(stack=HERMES_ROOT)
    before = virtual_node.guest(118, ENV_FILE).read_text()
    virtual_node.forget_host_changes()

    # Only what has changed is at hand.
    given.write_text("API_SERVER_KEY=another-of-the-file\n")
    said = project.steps("mend", "--only", "payload", "hermes").text
    assert "missing secrets: LITELLM_API_KEY, TELEGRAM_BOT_TOKEN. Write " in said
    assert "those that are there stay" in said
    assert virtual_node.guest(118, ENV_FILE).read_text() == before
    assert virtual_node.host_changes == []

    given.write_text("".join(f"{name}=another-{name}\n" for name in NAMES))
    assert f"the values of {', '.join(NAMES)}" in project.steps("plan", "hermes").text
    project.steps("mend", "--only", "payload", "hermes")
    assert "another-TELEGRAM_BOT_TOKEN" in virtual_node.guest(118, ENV_FILE).read_text()
    # The payload is not delivered again for it.
    assert not [change for change in virtual_node.host_changes if "/opt/" in change]
    assert project.plan(stack=HERMES_ROOT).actions == {}


def test_each_stack_deploys_with_its_own_credential_alone(project: Project, virtual_node: VirtualNode) -> None:
    everything = dict(project.env)
    project.synthesize()

    credentials(project, "PROXMOX_VE_")
    project.apply()
    assert virtual_node.ssh_calls == []

    project.env = dict(everything)
    credentials(project, "PVE_")
    virtual_node.mutations.clear()
    project.apply(stack=HERMES_ROOT)
    assert project.addresses(HERMES_ROOT) == set(STEPS)
    assert {path for _, path in virtual_node.mutations} == {
        "/nodes/gihyeon/lxc/118/config",
        "/nodes/gihyeon/lxc/118/status/reboot",
    }


def test_neither_stack_deploys_with_the_others_credential(project: Project, virtual_node: VirtualNode) -> None:
    everything = dict(project.env)
    project.synthesize()

    credentials(project, "PVE_", "PROXMOX_VE_ENDPOINT", "PROXMOX_VE_INSECURE")
    refused = project.apply(ok=False)
    assert "must provide either username and password, an API token, or a ticket" in refused.errors[0]
    assert virtual_node.pve.cts == []

    project.env = dict(everything)
    project.apply()
    credentials(project, "PROXMOX_VE_")
    refused = project.apply(stack=HERMES_ROOT, ok=False)
    assert (
        "PVE_SSH is not set: write the node's root login, such as PVE_SSH=root@10.1.10.10, to root.env"
        in refused.errors[0]
    )
    assert (virtual_node.host_changes, virtual_node.ssh_calls) == ([], [])
    assert CONTAINER in project.addresses()
