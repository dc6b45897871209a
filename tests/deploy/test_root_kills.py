"""Sudden death: whatever command of root's dies, before or after its effect, the next apply ends where all end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.deploy.project import HDD, HERMES_ROOT, Project
from tests.virtual_node.node import VirtualNode

pytestmark = [pytest.mark.long, pytest.mark.terraform]

OTHER = "/mnt/pve/hdd/other"
PAYLOAD, SECRETS = "/opt/pve-agents/hermes", "/etc/pve-agents"
FIRST = {"mp0": {"host_path": HDD, "guest_path": "/data"}}
SECOND = {"mp0": {"host_path": OTHER, "guest_path": "/other"}}

# What a first deploy changes; and as which change of an apply each comes round when the one before has died there:
# a step goes on where it was, but a payload is unpacked from the start, and so are secrets written.
DEPLOY = {
    f"mkdir -m 0750 -- {HDD}": 1,
    f"chown 110000:110000 {HDD}": 1,
    f"pct set 118 --mp0 {HDD},mp=/data,replicate=0 --features keyctl=1,nesting=1 --digest …": 1,
    "pct reboot 118 --timeout 180": 1,
    f"guest-rm -rf {PAYLOAD}.new {PAYLOAD}.new.tar.gz": 1,
    "guest-mkdir -p /opt/pve-agents": 2,
    f"guest-mkdir {PAYLOAD}.new": 3,
    f"guest-tar -xzf {PAYLOAD}.new.tar.gz -C {PAYLOAD}.new --no-same-owner": 4,
    f"guest-rm -f {PAYLOAD}.new.tar.gz": 5,
    f"guest-mv -T {PAYLOAD}.new {PAYLOAD}": 6,
    f"guest-rm -rf {PAYLOAD}.parts {PAYLOAD}.previous": 0,  # the payload is there before it
    f"guest-mkdir -p -m 0700 {SECRETS}": 1,
    f"guest-chown -h 0:0 {SECRETS}": 2,
    f"guest-rm -f {SECRETS}/hermes.env.new": 3,
    f"guest-chown 0:0 {SECRETS}/hermes.env.new": 4,
    f"guest-mv -T {SECRETS}/hermes.env.new {SECRETS}/hermes.env": 5,
}
# The same where a mount goes elsewhere, which the payload tells the agent.
MOVE = {
    "pct set 118 --delete mp0 --digest …": 1,
    f"mkdir -m 0750 -- {OTHER}": 1,
    f"chown 110000:110000 {OTHER}": 1,
    f"pct set 118 --mp0 {OTHER},mp=/other,replicate=0 --digest …": 1,
    "pct reboot 118 --timeout 180": 1,
    f"guest-mv -T {PAYLOAD} {PAYLOAD}.previous": 7,
    f"guest-mv -T {PAYLOAD}.new {PAYLOAD}": 6,
    f"guest-rm -rf {PAYLOAD}.parts {PAYLOAD}.previous": 9,
}


class Deploys:
    """An agent's root stack on a container, and what it leaves."""

    def __init__(self, project: Project, mounts: dict[str, Any]) -> None:
        project.create_container()
        self.project, self.node = project, project.node
        self.want(mounts)

    def want(self, mounts: dict[str, Any]) -> None:
        # What the bootstrap of Hermes does when it dies has tests of its own.
        self.project.configure(mounts=mounts, hermes=None, secrets=["LITELLM_API_KEY"])
        self.project.synthesize()

    def apply(self) -> None:
        self.project.apply(stack=HERMES_ROOT)

    def die_everywhere(self, changes: dict[str, int]) -> None:
        """Apply again and again: each time the next command dies, right after its effect; the first before it, too."""
        first = next(iter(changes))
        for command, number in changes.items():
            # Death before the effect of another is death after that of the one before: nothing happened in between.
            both: tuple[Literal["before", "after"], ...] = ("before", "after")
            for when in () if not number else both if command == first else both[1:]:
                self.node.kill_host_command_at(number, when)
                died = self.project.apply(stack=HERMES_ROOT, ok=False)
                assert "ssh to root@127.0.0.1 failed" in died.errors[0]
                assert self.node.host_changes[-1] == command

    def picture(self) -> dict[str, Any]:
        """All that a deploy leaves on host, API and in the container."""
        guest, host = self.node.guest(118), self.node.host.load()
        return {
            "config": {key: value for key, value in self.node.container_config(118).items() if key != "net0"},
            "running": self.node.api("GET", "/nodes/gihyeon/lxc/118/config", current=1).get("mp0"),
            "owners": host["owners"],
            "modes": host["modes"],
            "guest": {
                str(path.relative_to(guest)): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
                for path in guest.rglob("*")
            },
            "addresses": self.project.addresses(HERMES_ROOT),
        }


@pytest.fixture
def undisturbed(tmp_path: Path) -> Iterator[Deploys]:
    """An agent of the same settings whose applies nothing befalls."""
    with VirtualNode(tmp_path / "undisturbed-node", serves_providers=True) as node:
        deploys = Deploys(Project(tmp_path / "undisturbed", node), FIRST)
        deploys.apply()
        yield deploys


def test_a_deploy_that_died_at_each_of_its_commands_ends_like_any_other(project: Project, undisturbed: Deploys) -> None:
    assert undisturbed.node.host_changes == list(DEPLOY)
    deploys = Deploys(project, FIRST)

    deploys.die_everywhere(DEPLOY)
    deploys.apply()

    assert deploys.picture() == undisturbed.picture()


def test_a_moved_mount_that_died_at_each_of_its_commands_ends_like_any_other(
    project: Project, undisturbed: Deploys
) -> None:
    deploys = Deploys(project, FIRST)
    deploys.apply()
    for agent in (undisturbed, deploys):
        agent.node.forget_host_changes()
        agent.want(SECOND)
    undisturbed.apply()
    assert set(MOVE) <= set(undisturbed.node.host_changes)

    deploys.die_everywhere(MOVE)
    deploys.apply()

    assert deploys.picture() == undisturbed.picture()
