"""What root's stack makes of the agent's secrets file, and which credential each stack needs."""

from __future__ import annotations

import re

import pytest

from tests.deploy.project import CONTAINER, HDD, HERMES_ROOT, STEPS, Project
from tests.deploy.test_secrets import ENV_FILE, GIVEN, NAMES, env_file
from tests.virtual_node.node import VirtualNode

pytestmark = pytest.mark.terraform


def credentials(project: Project, *prefixes: str) -> None:
    """Leave only these in the environment."""
    for name in list(project.env):
        if name.startswith(("PROXMOX_VE_", "PVE_")) and not name.startswith(prefixes):
            del project.env[name]


def test_a_file_of_secrets_that_others_can_read_is_refused(project: Project, virtual_node: VirtualNode) -> None:
    project.create_container()
    project.configure(mounts={}, secrets=NAMES)
    project.synthesize()
    given = env_file(project, 0o640)

    applied = project.apply(stack=HERMES_ROOT, ok=False)

    refusal = f"HERMES_ENV_FILE {given} can be read by others (mode 0640): run `chmod 600 {given}`"
    assert refusal in applied.errors[0]
    assert not virtual_node.guest(118, ENV_FILE).exists()


@pytest.mark.long
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


@pytest.mark.long
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
    said = project.agents("mend", "--only", "payload", "hermes").text
    assert "missing secrets: LITELLM_API_KEY, TELEGRAM_BOT_TOKEN. Write " in said
    assert "those that are there stay" in said
    assert virtual_node.guest(118, ENV_FILE).read_text() == before
    assert virtual_node.host_changes == []

    given.write_text("".join(f"{name}=another-{name}\n" for name in NAMES))
    assert f"the values of {', '.join(NAMES)}" in project.agents("plan", "--root", "hermes").text
    project.agents("mend", "--only", "payload", "hermes")
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
        "PVE_SSH is not set: write the node's root login, such as PVE_SSH=root@10.1.10.10, to ~/.config/pve-agents/root.env"
        in refused.errors[0]
    )
    assert (virtual_node.host_changes, virtual_node.ssh_calls) == ([], [])
    assert CONTAINER in project.addresses()
