"""Logins on the virtual node: how they end, and what becomes of them without whoever logged in."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from pve_agents.host.console import of_container
from pve_agents.node_access import access
from tests.deploy.project import Project
from tests.virtual_node.host import SSH_FAILED
from tests.virtual_node.node import VirtualNode

SSH = ("ssh", "root@127.0.0.1")
KNOWN = "root='' # of the file system\n"
KILLED = 128 + 9


def ran(node: VirtualNode, *command: str, script: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **node.env}
    return subprocess.run(command, env=environment, input=script, capture_output=True, text=True, check=False)


def eventually(path: Path) -> bool:
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return path.exists()


@pytest.mark.parametrize("length", [1, 100_000])
def test_a_script_of_any_length_arrives(virtual_node: VirtualNode, length: int) -> None:
    done = ran(virtual_node, *SSH, "bash", "-s", script=f"{KNOWN}: {'x' * length}\necho arrived; exit 3\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, "arrived\n", "")


def test_of_a_session_that_is_killed_ssh_says_that_it_broke_off_and_a_shell_which_signal(
    virtual_node: VirtualNode,
) -> None:
    for command, status in (
        ((*SSH, "bash", "-s"), SSH_FAILED),
        ((f"{virtual_node.host.local_bin}/bash", "-s"), KILLED),
    ):
        virtual_node.kill_host_command_at(1, "before")
        done = ran(virtual_node, *command, script=f"{KNOWN}mkdir -m 0755 -- /mnt/pve/hdd/new\necho on it goes\n")
        assert (done.returncode, done.stdout) == (status, "")
    assert not virtual_node.host.real("/mnt/pve/hdd/new").exists()


def test_without_its_ssh_a_session_goes_on(virtual_node: VirtualNode) -> None:
    script = f"{KNOWN}mkdir -m 0755 -- /mnt/pve/hdd/begun\ntimeout 0.3 cat /dev/zero >/dev/null\nmkdir -m 0755 -- /mnt/pve/hdd/ended\n"
    with subprocess.Popen(
        [*SSH, "bash", "-s"], env={**os.environ, **virtual_node.env}, stdin=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        process.stdin.write(script)
        process.stdin.close()
        assert eventually(virtual_node.host.real("/mnt/pve/hdd/begun"))
        process.kill()
    assert eventually(virtual_node.host.real("/mnt/pve/hdd/ended"))
    # The next one is served.
    assert ran(virtual_node, *SSH, "stat -c %u -- /mnt/pve/hdd/ended").stdout == "0\n"


def test_what_runs_in_a_container_ends_as_there(project: Project, virtual_node: VirtualNode) -> None:
    project.create_container()
    inside = "pct exec 118 --"
    assert ran(virtual_node, *SSH, f"{inside} sh -c 'exit 4'").returncode == 4
    assert ran(virtual_node, *SSH, f"{inside} sh -c 'kill -9 $$'").returncode == KILLED
    nowhere = ran(virtual_node, *SSH, f"{inside} nowhere")
    assert (nowhere.returncode, nowhere.stderr) == (127, "lxc-attach: 118: nowhere: No such file or directory\n")
    kept = ran(
        virtual_node, *SSH, f"{inside} sh -c 'echo $HOSTNAME'; pct exec 118 --keep-env 0 -- sh -c 'echo $HOSTNAME'"
    )
    assert kept.stdout == "gihyeon\n\n"


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_terminal_needs_nobody_who_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("VIRTUAL_NODE_DOOR")
    with VirtualNode(tmp_path / "virtual-node") as node:
        Project(tmp_path / "project", node).create_container(cmode="shell")
        node.grant("VM.Console", "/vms")
        shell = of_container(access(node.env), "gihyeon", 118)
        said: list[str] = []
        assert shell.act("echo $HOSTNAME; stat -c %u /etc/os-release; exit 3", said.append) == 3
    assert said == ["hermes", "0"]


@pytest.mark.parametrize(
    "path", ["/", "/a", "/a/b/none", "/to-a/b", "/to-a/../x", "/a/../../x", "/to-nowhere/x", "/out/x", "/a/./b"]
)
def test_where_a_path_leads_is_what_the_system_says(virtual_node: VirtualNode, path: str) -> None:
    root = virtual_node.host.root
    (root / "a" / "b").mkdir(parents=True)
    for name, target in {"to-a": "a", "to-nowhere": "nowhere", "out": "/tmp"}.items():  # noqa: S108 (nothing is written)
        (root / name).symlink_to(target)
    for place in (Path(f"{root}{path}"), Path(path)):
        assert virtual_node.host.resolved(place) == os.path.realpath(place)
