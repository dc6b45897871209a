"""Where passwords, keys and tokens may be while root's stack is deployed, and which credential each stack needs."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from tests.deploy.project import CONTAINER, HERMES_ROOT, STEPS, Project
from tests.deploy.test_secrets import written
from tests.virtual_node.node import VirtualNode

pytestmark = pytest.mark.terraform

ENV_FILE = "/etc/pve-agents/hermes.env"
MANAGED_ENV = "/var/lib/pve-agents/hermes/services/hermes/managed/.env"
NAMES = ["LITELLM_API_KEY", "API_SERVER_KEY", "TELEGRAM_BOT_TOKEN"]
GIVEN = {name: f"canary-of-the-file-{name.lower()}" for name in NAMES}
AROUND = {
    name: f"canary-of-the-environment-{name.lower()}"
    for name in (*NAMES, "OPENAI_API_KEY", "PROXMOX_VE_API_TOKEN", "PROXMOX_VE_PASSWORD", "TF_VAR_password")
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


@pytest.mark.cli
def test_secrets_are_in_one_file_of_the_container_and_nowhere_else(
    project: Project, virtual_node: VirtualNode, tmp_path: Path
) -> None:
    project.create_container()
    project.configure(secrets=NAMES)
    given = env_file(project)
    logs = project.directory / "logs"
    logs.mkdir()
    project.env |= AROUND | {
        "TF_LOG": "TRACE",
        "TF_LOG_PATH": str(logs / "terraform.log"),
        "CDKTF_LOG_LEVEL": "debug",
        "CDKTF_LOG_FILE_DIRECTORY": str(logs),
    }
    environment = note_environment_of_ssh(project)
    arguments = project.record_arguments(Path(project.binary).name, "python3", "python", "node", "sh", "cdktf", "ssh")

    deployed = project.cdktf("deploy", HERMES_ROOT, "--auto-approve")
    where = f"-chdir={project.stack(HERMES_ROOT)}"
    plan = project.run(project.binary, where, "plan", "-destroy", "-input=false", f"-out={project.directory / 'plan'}")
    shown = project.run(project.binary, where, "show", "-json", str(project.directory / "plan"))
    checked = project.steps("--check")

    # All of them for the bootstrap, and what is Hermes' own for Hermes.
    target, managed = (virtual_node.guest(118, path) for path in (ENV_FILE, MANAGED_ENV))
    assert target.read_text() == "".join(f"{name}={value}\n" for name, value in sorted(GIVEN.items()))

    files = written(tmp_path)
    names = {Path(name).name for name in files}
    assert {"cdk.tf.json", "hermes.tar.gz", "terraform.hermes-root.tfstate", "plan", "terraform.log"} <= names
    assert {"arguments", "calls", "ssh-calls", "host-step", environment.name} <= names
    assert "container-config" in arguments.read_text()
    said = {"deploy": deployed.raw, "plan": plan.raw, "show": shown.raw, "check": checked.raw}
    places = files | {name: text.encode() for name, text in said.items()}
    for path in (given, target, managed):
        del places[str(path)]
    secrets = [value.encode() for value in (*GIVEN.values(), *AROUND.values())]
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


def test_missing_secrets_are_named_and_delivered_later(project: Project, virtual_node: VirtualNode) -> None:
    project.create_container()
    project.configure(mounts={}, hermes=None, secrets=NAMES)
    project.synthesize()
    project.env.pop("API_SERVER_KEY")

    said = project.apply(stack=HERMES_ROOT).said

    assert f"secrets … MISSING: API_SERVER_KEY, TELEGRAM_BOT_TOKEN. {ENV_FILE} in the container stays as it is." in said
    assert "When you have them, run: pipenv run secrets hermes\n" in said
    assert not virtual_node.guest(118, ENV_FILE).exists()

    env_file(project)
    virtual_node.forget_host_changes()
    assert (
        f"[hermes] {ENV_FILE} … changed (secrets, owner 0:0, mode 0600)"
        in project.steps("--only", "payload", "hermes").text
    )
    assert GIVEN["TELEGRAM_BOT_TOKEN"] in virtual_node.guest(118, ENV_FILE).read_text()
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
    assert "PVE_SSH is not set: name the node's root login, for example PVE_SSH=root@10.1.10.10" in refused.errors[0]
    assert (virtual_node.host_changes, virtual_node.ssh_calls) == ([], [])
    assert CONTAINER in project.addresses()
