"""Volumes in real containers: an application whose data outlives its container, made anew as `agents recreate` does it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.lab.cache import REPOSITORY, TAGS
from tests.lab.container import shown_by
from tests.lab.lab import Lab
from tests.lab.sandbox import GATEWAY
from tests.lab.services import REGISTRY_PORT
from tests.lab.test_application import COMPOSE, KEY

pytestmark = pytest.mark.lab

VMID = 121
STORE = shown_by("local-lvm:vm-999-disk-1")
PHASES = ("container destroyed", "container created", "volumes attached", "deployed into it", "verified")


class Keeper:
    """The agent `keeper`, whose application keeps a number on the pet's volume."""

    def __init__(self, lab: Lab) -> None:
        """Write its settings."""
        self.lab = lab
        self.container = lab.node.container(VMID)
        lab.project.env["APP_KEY"] = KEY
        lab.project.storage = {"volumes": {"store": {"size_gib": 1}}}
        compose = {
            "file": str(COMPOSE),
            "variables": {"IMAGE": REPOSITORY, "TAG": TAGS[0], "GREETING": "hello"},
            "secrets": ["APP_KEY"],
            "directories": ["./store"],
            "checks": [{"http": "http://127.0.0.1:8080/health", "contains": "well"}],
            "docker": {"source": "debian", "registry_mirrors": [f"http://{GATEWAY}:{REGISTRY_PORT}"]},
        }
        store = {
            "kind": "pet",
            "volume": "store",
            "guest_path": "/srv/keeper/store",
            "uid": 0,
            "gid": 0,
            "mode": "0750",
        }
        keeper = {
            "vmid": VMID,
            "protect": False,
            "network": {"address": "10.1.10.121/16", "gateway": GATEWAY},
            "dns": {"servers": [GATEWAY]},
            "mounts": {"mp0": store},
            "compose": compose,
        }
        lab.project.configure({"hermes": lab.settings(), "keeper": keeper})

    def run(self, *command: str, ok: bool = True) -> str:
        return self.lab.project.agents(*command, ok=ok).text

    def count(self) -> int:
        return int(
            self.container.run("wget", "-qO-", "--timeout=10", "http://127.0.0.1:8080/").stdout.rpartition(" ")[2]
        )


@pytest.fixture(scope="module")
def keeper(empty_lab: Lab) -> Iterator[Keeper]:
    lab = empty_lab
    for privilege, path in (("Datastore.Audit", "/storage/local-lvm"), ("Datastore.Allocate", "/storage/local")):
        lab.node.grant(privilege, path)
    keeper = Keeper(lab)
    keeper.run("up", "keeper", "--auto-approve", "--no-doctor")
    yield keeper
    keeper.run("down", "keeper", "--auto-approve")
    lab.node.set_config(999, protection=0)
    lab.project.storage = {**(lab.project.storage or {}), "protect": False}
    lab.project.configure({"hermes": lab.settings()})
    lab.project.synthesize()
    lab.project.destroy(stack="pet-storage")
    lab.project.storage = None
    lab.configure()


def test_a_volume_is_plugged_into_the_running_container_and_given_to_its_user(keeper: Keeper) -> None:
    mounted = keeper.container.run("findmnt", "-no", "FSTYPE,SIZE", "/srv/keeper/store").stdout.split()
    assert mounted[0] == "ext4"
    assert keeper.container.run("stat", "-c", "%u:%g %a", "/srv/keeper/store").stdout.strip() == "0:0 750"
    assert keeper.count() == 1
    assert (STORE / "count").read_text() == "1"


def test_a_container_that_is_made_anew_goes_on_from_where_it_was(keeper: Keeper) -> None:
    before = keeper.count()
    keeper.container.run("sh", "-c", "echo 'remember me' >/srv/keeper/store/probe; touch /root/gone; sync")
    said = keeper.run("recreate", "keeper", "--auto-approve")
    took = {name: re.search(rf"{name} +([\d.]+) s", said) for name in (*PHASES, "all together")}
    rows = [f"{name:<42} {float(found[1]):7.1f} s" for name, found in took.items() if found]
    assert len(rows) == len(took), said
    keeper.lab.tables["agents recreate, an application in Docker"] = "\n".join(rows)
    assert keeper.container.run("cat", "/srv/keeper/store/probe").stdout == "remember me\n"
    assert keeper.container.run("test", "-e", "/root/gone", check=False).returncode == 1
    assert keeper.count() == before + 1
    for stack in ("keeper", "keeper-root", "pet-storage"):
        assert keeper.lab.project.plan(stack=stack).actions == {}


def test_a_reboot_mounts_it_again(keeper: Keeper) -> None:
    before = keeper.count()
    keeper.lab.node.reboot(VMID)
    keeper.container.wait_until_booted()
    keeper.lab.wait_until("the application answers", lambda: keeper.count() > before, 120)


def test_down_leaves_the_volume_and_up_finds_it(keeper: Keeper) -> None:
    (STORE / "stays").touch()
    keeper.run("down", "keeper", "--auto-approve")
    assert (STORE / "stays").exists()
    keeper.run("up", "keeper", "--auto-approve", "--no-doctor")
    assert keeper.container.run("ls", "/srv/keeper/store/stays").stdout.strip() == "/srv/keeper/store/stays"
