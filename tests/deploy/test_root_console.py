"""The root stack through the node's own console: the same commands as over ssh, with a login and no ssh at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from unittest import mock

import pytest

from pve_agents.host.shell import private_directory
from tests.deploy.project import HDD, HERMES_ROOT, STEPS, Project
from tests.virtual_node.node import VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.terraform]

CANARY = "sk-canary-77e1c0ffee77e1c0ffee"


@pytest.fixture
def password(project: Project, tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{project.node._password}\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def console(project: Project, tmp_path: Path, password: Path) -> Project:
    """The root stack, for somebody with root's password and no ssh."""
    project.create_container()
    project.configure(
        mounts={"mp0": {"host_path": HDD, "guest_path": "/data"}}, hermes=None, secrets=["LITELLM_API_KEY"]
    )
    project.synthesize()
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    ssh = str(project.node.host.ssh_bin)
    project.env |= {
        "PVE_TRANSPORT": "console",
        "PVE_ROOT_PASSWORD_FILE": str(password),
        "XDG_RUNTIME_DIR": str(runtime),
        "LITELLM_API_KEY": CANARY,
        # No ssh is there, nor anything else of the node's.
        "PATH": os.pathsep.join(it for it in project.env["PATH"].split(os.pathsep) if it != ssh),
    }
    for name in ("PVE_SSH", "PROXMOX_VE_API_TOKEN", "PVE_READ_TOKEN"):
        del project.env[name]
    return project


def test_all_steps_go_through_the_nodes_console_and_a_second_run_changes_nothing(
    console: Project, virtual_node: VirtualNode
) -> None:
    console.apply(stack=HERMES_ROOT)

    assert console.addresses(HERMES_ROOT) == set(STEPS)
    assert virtual_node.container_config(118)["mp0"] == f"{HDD},mp=/data,replicate=0"
    assert virtual_node.stat(HDD) == "110000:110000 750"
    assert CANARY in virtual_node.guest(118, "/etc/pve-agents/hermes.env").read_text()
    assert virtual_node.ssh_calls == []
    assert virtual_node.host_changes[:2] == [f"mkdir -m 0750 -- {HDD}", f"chown 110000:110000 {HDD}"]
    virtual_node.forget_host_changes()

    assert console.plan(stack=HERMES_ROOT).actions == {}
    assert console.agents("drift", "hermes").code == 0
    assert virtual_node.host_changes == []


def test_it_does_exactly_what_ssh_does(console: Project, virtual_node: VirtualNode) -> None:
    console.apply(stack=HERMES_ROOT)
    by_console = virtual_node.host_changes
    console.destroy(stack=HERMES_ROOT)
    virtual_node.api("POST", "/nodes/gihyeon/lxc/118/status/stop")
    virtual_node.api("DELETE", "/nodes/gihyeon/lxc/118")
    virtual_node.host.real(HDD).rmdir()
    console.create_container()
    virtual_node.forget_host_changes()
    path = os.pathsep.join([str(virtual_node.host.ssh_bin), console.env["PATH"]])
    console.env |= {"PVE_TRANSPORT": "ssh", "PVE_SSH": "root@127.0.0.1", "PATH": path}

    console.apply(stack=HERMES_ROOT)

    assert virtual_node.host_changes == by_console
    assert virtual_node.ssh_calls != []


def test_a_secret_is_in_nothing_that_the_terminal_shows_nor_that_is_said(
    console: Project, virtual_node: VirtualNode
) -> None:
    said = console.apply(stack=HERMES_ROOT).raw
    password = virtual_node._password
    for text in (said, bytes(virtual_node.pve.consoles.shown).decode(), console.state(HERMES_ROOT).read_text()):
        assert CANARY not in text
        assert password not in text
    # It is in the secrets' own line, as Base64 of Base64, and nobody can tell where that begins.
    assert CANARY.encode() not in bytes(virtual_node.pve.consoles.typed)


def test_the_login_is_kept_for_its_owner_alone_and_is_used_again(console: Project, virtual_node: VirtualNode) -> None:
    console.apply(stack=HERMES_ROOT)
    with mock.patch.dict(os.environ, XDG_RUNTIME_DIR=console.env["XDG_RUNTIME_DIR"]):
        (kept,) = private_directory().glob("login-*")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert virtual_node._password not in kept.read_text()
    del console.env["PVE_ROOT_PASSWORD_FILE"]

    assert console.agents("drift", "hermes").code == 0

    # Proxmox VE may have forgotten it: the password is asked for again.
    kept.write_text(kept.read_text().replace('"secret": "', '"secret": "x'))
    refused = console.agents("drift", "hermes", ok=False)
    assert "there is no terminal: Password of root@pam. To go without, write it to a file" in refused.text


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        ("wrong", "does not accept the password of root@pam: correct it in "),
        ("", " is empty: write the password of root@pam into it"),
        (None, "cannot read PVE_ROOT_PASSWORD_FILE "),
    ],
)
def test_a_password_that_cannot_be_right_is_one_sentence(
    console: Project, virtual_node: VirtualNode, password: Path, write: str | None, sentence: str
) -> None:
    if write is None:
        password.unlink()
    else:
        password.write_text(write)

    applied = console.apply(stack=HERMES_ROOT, ok=False)

    assert sentence in applied.errors[0]
    assert len(applied.errors) == 1
    assert virtual_node.host_changes == []


def test_a_password_that_others_can_read_is_not_taken(console: Project, password: Path) -> None:
    password.chmod(0o644)
    applied = console.apply(stack=HERMES_ROOT, ok=False)
    assert f"is to be a file that nobody else can read: run `chmod 600 {password}`" in applied.errors[0]


def test_a_second_factor_is_asked_for_and_nobody_is_there_to_answer(
    console: Project, virtual_node: VirtualNode
) -> None:
    virtual_node.pve.tfa = True
    applied = console.apply(stack=HERMES_ROOT, ok=False)
    assert "there is no terminal: Code of root@pam. To go without, run `pipenv run agents doctor`" in applied.errors[0]


@pytest.mark.parametrize("after", [2, 4])
def test_a_connection_that_breaks_off_is_one_sentence_and_the_next_run_goes_on(
    console: Project, virtual_node: VirtualNode, after: int
) -> None:
    virtual_node.pve.consoles.faults.drop_after = after
    applied = console.apply(stack=HERMES_ROOT, ok=False)
    assert "closed in the middle: run it again" in applied.errors[0] or "broke off in the middle;" in applied.errors[0]
    virtual_node.pve.consoles.faults.drop_after = None

    console.apply(stack=HERMES_ROOT)

    assert CANARY in virtual_node.guest(118, "/etc/pve-agents/hermes.env").read_text()
