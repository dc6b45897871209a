"""Where tokens, passwords and keys may be: in the environment, in the agent's secrets file, and nowhere else."""

from __future__ import annotations

import base64
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.project import CONTAINER, HDD, HERMES_ROOT, STEPS, Project
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


def written(directory: Path) -> dict[str, bytes]:
    """All files below a directory, and what is in those that are archives."""
    files: dict[str, bytes] = {}
    for path in directory.rglob("*"):
        if path.is_file() and ".terraform/providers" not in str(path):
            files[str(path)] = path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    files |= {f"{path}!{name}": archive.read(name) for name in archive.namelist()}
    return files


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

        # Where everybody may read and write what is made.
        before = os.umask(0)
        try:
            deploy = project.run(ROOT / "scripts" / "cdktf", "deploy", "hermes", HERMES_ROOT, *options)
        finally:
            os.umask(before)
        said = {"deploy": deploy.raw, "drift": project.agents("drift").raw}
        for stack, how in (("hermes", []), (HERMES_ROOT, ["-destroy"])):
            where, file = f"-chdir={project.stack(stack)}", project.directory / f"plan-{stack}"
            plan = project.run(project.binary, where, "plan", *how, "-input=false", f"-out={file}")
            show = project.run(project.binary, where, "show", "-json", str(file))
            said |= {f"plan {stack}": plan.raw, f"show {stack}": show.raw}
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
    assert {
        "cdk.tf.json",
        "hermes.tar.gz",
        "terraform.hermes-root.tfstate",
        "plan-hermes-root",
        "terraform.log",
    } <= names
    assert {"arguments", "calls", "ssh-calls", "program.py", "ssh-environment"} <= names
    assert "container-config" in deployed.arguments
    places = files | {name: text.encode() for name, text in deployed.said.items()}
    for path in (deployed.given, target, managed):
        del places[str(path)]
    secrets = [value.encode() for value in (*GIVEN.values(), *AROUND.values())]
    secrets.append(base64.b64encode(target.read_bytes())[:60])
    assert [name for name, content in places.items() if any(secret in content for secret in secrets)] == []

    owners = project.run("ssh", "root@127.0.0.1", f"pct exec 118 -- stat -c '%u:%g %a' {ENV_FILE} {MANAGED_ENV}")
    assert owners.text == "0:0 600 10000:10000 600"


@pytest.mark.cli
def test_the_token_is_written_nowhere(deployed: Deployed) -> None:
    """By what is ours and by Terraform; the real provider would write it into a log at this level (docs/security.md)."""
    secret = deployed.project.node.env["PROXMOX_VE_API_TOKEN"].partition("=")[2]

    # The node itself knows it.
    files = written(deployed.project.directory)
    names = {Path(name).name for name in files}
    assert {"cdk.tf.json", "check-token", "terraform.hermes.tfstate", "plan-hermes", "plan-hermes!tfstate"} <= names
    assert "terraform.log" in names
    assert "check-token" in deployed.arguments
    assert "apply" in deployed.arguments
    said = {**deployed.said, "argv": deployed.arguments}
    found = [name for name, content in files.items() if secret.encode() in content]
    assert found + [name for name, text in said.items() if secret in text] == []
    assert not (ROOT / "cdktf.log").exists()


@pytest.mark.cli
def test_what_a_deploy_writes_is_for_its_owner_alone_whatever_the_umask(deployed: Deployed) -> None:
    project = deployed.project
    made = (project.state(), project.out, project.stack(), *(project.directory / "logs").iterdir())
    below = [path for path in project.out.rglob("*") if path.is_dir() and not path.is_symlink()]
    assert len(made) >= 5
    assert [str(path) for path in (*made, *below) if path.stat().st_mode & 0o077] == []
