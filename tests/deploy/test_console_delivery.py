"""delivery: console: the token's stack alone deploys an agent, through the container's own console; nobody is root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.project import CONTAINER, Project
from tests.virtual_node.node import ROOT, VirtualNode

pytestmark = [
    pytest.mark.long,
    pytest.mark.terraform,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

CANARY = "sk-canary-5ec2e7c0ffee5ec2e7c0ffee"
PLAIN: dict[str, Any] = {"delivery": "console", "mounts": {}, "hermes": None, "secrets": ["LITELLM_API_KEY"]}
INSIDE = {"null_resource.hermes_payload", "null_resource.hermes_bootstrap"}


@pytest.fixture
def console(project: Project, tmp_path: Path) -> Project:
    """Settings without root, for somebody with a token that has VM.Console, and with nothing else."""
    without_root(project, tmp_path)
    project.configure(**PLAIN)
    return project


def without_root(project: Project, tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    host = project.node.host
    others = {str(host.ssh_bin), str(host.local_bin), str(host.bin)}
    project.env |= {
        "XDG_RUNTIME_DIR": str(runtime),
        "HOME": str(tmp_path),
        "LITELLM_API_KEY": CANARY,
        "PATH": os.pathsep.join(it for it in project.env["PATH"].split(os.pathsep) if it not in others),
    }
    for name in ("PVE_SSH", "PVE_TRANSPORT", "PVE_READ_TOKEN"):
        del project.env[name]
    project.node.grant("VM.Console", "/vms")


def test_the_whole_life_of_an_agent_needs_a_token_alone(console: Project, virtual_node: VirtualNode) -> None:
    console.begin("hermes")

    assert not (console.out / "stacks" / "hermes-root").exists()
    assert console.addresses() >= {CONTAINER, *INSIDE}
    assert CANARY in virtual_node.guest(118, "/etc/pve-agents/hermes.env").read_text()
    assert virtual_node.stat_of_guest(118, "/etc/pve-agents/hermes.env") == "100000:100000 600"
    assert virtual_node.container_config(118)["cmode"] == "shell"
    assert virtual_node.ssh_calls == []
    assert not any(it.startswith(("pct ", "mkdir", "chown")) for it in virtual_node.host_changes)
    virtual_node.forget_host_changes()
    virtual_node.mutations.clear()

    assert console.plan().actions == {}
    assert console.agents("drift", "hermes").code == 0
    assert console.agents("verify", "hermes", "--no-chat").code == 0
    assert (virtual_node.host_changes, virtual_node.mutations) == ([], [])

    console.configure(**PLAIN, protect=False)
    console.agents("down", "hermes", "--auto-approve")
    assert CONTAINER not in console.addresses()


def test_agents_up_has_one_stack_says_what_it_does_and_does_nothing_the_second_time(
    console: Project, virtual_node: VirtualNode
) -> None:
    lines = console.agents("up", "hermes", "--auto-approve", "--no-doctor", "--no-verify").raw.splitlines()
    shown = lines[: lines.index("hermes …")]
    assert f"  + {CONTAINER} is created" in shown
    assert "hermes, as root in container 118, through its console:" in shown
    assert any(line.startswith("    $ timeout -k 30 300 env -i PATH=") for line in shown)
    assert not any("pct" in line for line in lines)
    assert lines.count("hermes-root …") == 0
    virtual_node.forget_host_changes()
    virtual_node.mutations.clear()

    again = console.agents("up", "hermes", "--auto-approve", "--no-doctor")

    assert "nothing to do" in again.text
    assert (virtual_node.host_changes, virtual_node.mutations, virtual_node.ssh_calls) == ([], [], [])


def test_a_new_container_gets_everything_again(console: Project, virtual_node: VirtualNode) -> None:
    console.configure(**PLAIN, protect=False)
    console.synthesize()
    console.apply()

    console.apply(f"-replace={CONTAINER}")

    assert CANARY in virtual_node.guest(118, "/etc/pve-agents/hermes.env").read_text()
    assert console.plan().actions == {}


def test_what_somebody_changed_inside_is_seen_and_mended(console: Project, virtual_node: VirtualNode) -> None:
    console.begin("hermes")
    virtual_node.guest(118, "/etc/pve-agents/hermes.env").unlink()

    drift = console.agents("drift", "hermes", ok=False)
    assert "the secrets in /etc/pve-agents/hermes.env are not these" in drift.text
    console.agents("mend", "hermes")
    assert CANARY in virtual_node.guest(118, "/etc/pve-agents/hermes.env").read_text()
    assert console.agents("drift", "hermes").code == 0

    console.env["LITELLM_API_KEY"] = CANARY[::-1]
    console.agents("secrets", "hermes")
    assert CANARY[::-1] in virtual_node.guest(118, "/etc/pve-agents/hermes.env").read_text()


def test_a_secret_is_in_nothing_but_its_file(console: Project, virtual_node: VirtualNode) -> None:
    said = console.begin("hermes").raw
    shown = bytes(virtual_node.pve.consoles.shown).decode("utf-8", "replace")
    assert "ready" in shown
    for text in (said, shown, console.state().read_text(), *(it.read_text() for it in console.out.rglob("*.json"))):
        assert CANARY not in text
    # Neither in an argument of a command there.
    assert CANARY not in "\n".join(" ".join(it) for it in virtual_node.host.lines("calls"))


def test_without_vm_console_the_first_step_says_what_is_missing(console: Project, virtual_node: VirtualNode) -> None:
    virtual_node.revoke("VM.Console")
    console.synthesize()

    applied = console.apply(ok=False)

    assert "lacks VM.Console on /vms/118" in applied.raw
    assert "pveum role modify AgentContainer --append 1 --privs" in applied.raw
    assert virtual_node.mutations == []


def test_a_container_that_root_has_had_changes_over(console: Project, virtual_node: VirtualNode) -> None:
    """Its console becomes a shell of root's, in place, with one reboot; its disk stays."""
    console.configure(**{**PLAIN, "delivery": "root", "keyctl": False})
    console.synthesize()
    console.apply()
    assert "cmode" not in virtual_node.container_config(118) or virtual_node.container_config(118)["cmode"] == "tty"

    console.configure(**PLAIN)
    console.synthesize()
    assert console.plan().actions[CONTAINER] == "update"
    console.apply()

    assert virtual_node.container_config(118)["cmode"] == "shell"
    assert virtual_node.reboots(118) == 1
    assert console.plan().actions == {}


def test_the_example_is_deployed_verified_and_destroyed_with_a_token_and_nothing_else(
    project: Project, virtual_node: VirtualNode, tmp_path: Path
) -> None:
    without_root(project, tmp_path)
    virtual_node.grant("Datastore.Audit", "/storage/local-lvm")
    project.settings.write_text((ROOT / "examples" / "hermes-no-root.yaml").read_text())
    secrets = tmp_path / "hermes.env"
    names = ("API_SERVER_KEY", "LITELLM_API_KEY", "TELEGRAM_BOT_TOKEN")
    secrets.write_text("".join(f"{name}={project.env.pop(name, '')}\n" for name in names))
    secrets.chmod(0o600)
    project.env["HERMES_ENV_FILE"] = str(secrets)

    up = project.agents("up", "--auto-approve", "--no-doctor").text

    assert "hermes runs in container 118 on gihyeon" in up
    assert project.agents("verify").code == 0
    assert project.agents("drift").code == 0
    assert "nothing to do" in project.agents("up", "--auto-approve", "--no-doctor").text
    # Another container around the same volumes, with what the agent has written there.
    project.env["HOMELAB_AGENTS__HERMES__PROTECT"] = "false"
    volume = str(virtual_node.container_config(118)["mp1"]).partition(",")[0]
    diary = virtual_node.pve.volume_content(volume) / "workspace" / "diary"
    diary.write_text("before\n")
    recreated = project.agents("recreate", "hermes", "--auto-approve").text
    assert "hermes runs in container 118 on gihyeon" in recreated
    assert str(virtual_node.container_config(118)["mp1"]).partition(",")[0] == volume
    assert diary.read_text() == "before\n"
    assert "nothing to do" in project.agents("up", "--auto-approve", "--no-doctor").text
    project.agents("down", "hermes", "--auto-approve")
    assert CONTAINER not in project.addresses()
    # What root would have done, nobody did.
    assert virtual_node.ssh_calls == []
    assert not [it for it in virtual_node.host.lines("calls") if it[0] in ("pct", "lxc-attach", "lxc-info", "chown")]
    assert virtual_node.pve.consoles.frames > 0


def test_a_container_that_is_stopped_is_started_where_somebody_without_root_can(
    console: Project, virtual_node: VirtualNode
) -> None:
    console.create_container(cmode="shell", unprivileged=1)
    virtual_node.api("POST", "/nodes/gihyeon/lxc/118/status/stop")

    mended = console.agents("mend", "hermes", ok=False)
    verified = console.agents("verify", "hermes", ok=False)

    assert "refused: container 118 is stopped: start it in the web interface, then run this again" in mended.text
    assert "start it in the web interface" in verified.text
    assert "pct" not in mended.text + verified.text


# What a first delivery changes in the container; and as which change of a run each comes round when the one before has died
# there: a payload is unpacked from the start, and so are secrets written.
NEW = "/opt/pve-agents/hermes.new"
CHANGES = {
    f"guest-rm -rf {NEW} {NEW}.tar.gz": 1,
    "guest-mkdir -p /opt/pve-agents": 2,
    f"guest-mkdir {NEW}": 3,
    f"guest-tar -xzf {NEW}.tar.gz -C {NEW} --no-same-owner": 4,
    f"guest-rm -f {NEW}.tar.gz": 5,
    f"guest-mv -T {NEW} /opt/pve-agents/hermes": 6,
    "guest-mkdir -p -m 0700 /etc/pve-agents": 1,
    "guest-chown -h 0:0 /etc/pve-agents": 2,
    "guest-rm -f /etc/pve-agents/hermes.env.new": 3,
    "guest-chown 0:0 /etc/pve-agents/hermes.env.new": 4,
    "guest-mv -T /etc/pve-agents/hermes.env.new /etc/pve-agents/hermes.env": 5,
}


def test_whatever_command_dies_the_next_run_ends_where_all_end(console: Project, virtual_node: VirtualNode) -> None:
    console.create_container(cmode="shell", unprivileged=1)
    for command, number in CHANGES.items():
        virtual_node.kill_host_command_at(number, "after")
        died = console.agents("mend", "hermes", ok=False)
        assert virtual_node.host_changes[-1] == command
        assert "run it again" in died.text or "run this again" in died.text

    console.agents("mend", "hermes")

    assert CANARY in virtual_node.guest(118, "/etc/pve-agents/hermes.env").read_text()
    assert not virtual_node.guest(118, NEW).exists()
    assert console.agents("drift", "hermes").code == 0
