"""`agents recreate`: a container is made anew, and what outlives it is still there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.project import Project
from tests.virtual_node.node import VirtualNode

pytestmark = [
    pytest.mark.long,
    pytest.mark.terraform,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

HOME = "local-lvm:vm-999-disk-1"
STORAGE: dict[str, Any] = {"volumes": {"scribe-home": {"size_gib": 32}}}
PET: dict[str, Any] = {"kind": "pet", "volume": "scribe-home", "guest_path": "/data", "uid": 0, "gid": 0}
VOLUME: dict[str, Any] = {"kind": "volume", "guest_path": "/fast", "size_gib": 4}


@pytest.fixture
def node(virtual_node: VirtualNode) -> VirtualNode:
    virtual_node.grant("Datastore.Audit", "/storage/local-lvm")
    return virtual_node


def configure(project: Project, *mounts: dict[str, Any], **agent: Any) -> None:
    project.storage = STORAGE
    keyed = {f"mp{i}": it for i, it in enumerate(mounts)}
    project.configure({"scribe": {"vmid": 120, "protect": False, "mounts": keyed, **agent}})


@pytest.fixture
def up(project: Project, node: VirtualNode) -> Project:
    configure(project, PET)
    project.begin_with_agents("up", "--auto-approve", "--no-doctor")
    node.mutations.clear()
    return project


def home(node: VirtualNode) -> Path:
    return node.pve.volume_content(HOME)


@pytest.mark.usefixtures("node")
def test_up_makes_the_pet_container_first_and_has_nothing_to_do_the_second_time(project: Project) -> None:
    configure(project, PET)
    planned = project.agents("plan").text
    assert "pet-storage, with the API token: + terraform_data.pet-storage_token_check is created" in planned
    assert "mp0 at /data: the volume scribe-home of container 999" in planned
    said = project.agents("up", "--auto-approve", "--no-doctor").text
    assert said.index("pet-storage … deployed") < said.index("scribe … deployed") < said.index("scribe-root … deployed")
    assert "nothing to do" in project.agents("up", "--auto-approve", "--no-doctor").text


def test_a_mount_that_somebody_took_off_is_shown_and_put_back(up: Project, node: VirtualNode) -> None:
    (home(node) / "memory").touch()
    node.set_config(120, delete="mp0")
    assert "mp0 at /data is missing, a volume that the API token attaches" in up.agents("drift", ok=False).text
    assert f"the volume scribe-home ({HOME}) is attached at /data as mp0" in up.agents("plan").text
    up.agents("up", "--auto-approve", "--no-doctor")
    assert node.container_config(120)["mp0"] == f"{HOME},mp=/data,size=32G"
    assert "nothing to do" in up.agents("up", "--auto-approve", "--no-doctor").text


def test_what_lies_in_the_container_alone_is_named_and_nothing_is_done(up: Project, node: VirtualNode) -> None:
    refused = up.agents("recreate", "scribe", "--auto-approve", ok=False)
    assert refused.code == 3
    assert (
        "scribe would lose what lies in its container alone; nothing was done: what is in it, its root disk"
        in refused.text
    )
    configure(up, PET, VOLUME)
    refused = up.agents("recreate", "scribe", "--auto-approve", ok=False)
    assert "mp1, the volume at /fast, goes with all that is in it: the container owns it (gihyeon)" in refused.text
    assert "`agents recreate scribe --lose-rootfs`" in refused.text
    assert node.mutations == []


def test_a_volume_that_left_the_settings_is_named_when_it_leaves_and_before_it_would_go(
    project: Project, node: VirtualNode
) -> None:
    project.configure({"scribe": {"vmid": 120, "protect": False, "mounts": {"mp0": VOLUME}}})
    project.agents("up", "--auto-approve", "--no-doctor")
    # The last one, and there is no section storage.
    project.configure({"scribe": {"vmid": 120, "protect": False}})
    said = project.agents("up", "--auto-approve", "--no-doctor").text
    left = "mp0 (local-lvm:vm-120-disk-1)"
    assert f"{left} stays where it is: the settings do not want it any more" in said
    node.mutations.clear()
    gone = f"{left}, which the settings do not know, goes with all that is in it"
    assert gone in project.agents("recreate", "scribe", "--auto-approve", ok=False).text
    assert node.mutations == []
    assert gone in project.agents("down", "scribe", ok=False).text


def test_a_protected_agent_is_not_made_anew(up: Project, node: VirtualNode) -> None:
    configure(up, PET, protect=True)
    refused = up.agents("recreate", "scribe", "--auto-approve", "--lose-rootfs", ok=False)
    assert refused.code == 3
    assert "agents.scribe.protect is true: write protect: false into homelab.yaml, and run this again" in refused.text
    assert node.mutations == []


def test_it_asks_before_it_acts(up: Project, node: VirtualNode) -> None:
    refused = up.agents("recreate", "scribe", "--lose-rootfs", ok=False)
    assert "there is no terminal to answer on: write --auto-approve" in refused.text
    assert node.mutations == []


def test_the_container_is_made_anew_five_times_and_a_probe_is_found_each_time(up: Project, node: VirtualNode) -> None:
    for number in range(5):
        (home(node) / f"probe-{number}").write_text("remember me")
        said = up.agents("recreate", "scribe", "--auto-approve", "--lose-rootfs").text
        phases = re.findall(r"\[(\d)/5\] ([a-z ]+) … done \d+ s", said)
        assert phases == [
            ("1", "container destroyed"),
            ("2", "container created"),
            ("3", "volumes attached"),
            ("4", "deployed into it"),
            ("5", "verified"),
        ]
        assert re.search(r"container destroyed +\d+\.\d s .* all together +\d+\.\d s", said)
        assert "mp0, the volume scribe-home at /data, stays with all that is in it: container 999 owns it" in said
        assert node.container_config(120)["mp0"] == f"{HOME},mp=/data,size=32G"
        assert up.plan(stack="scribe").actions == {}
        assert up.plan(stack="pet-storage").actions == {}
        assert up.plan(stack="scribe-root").actions == {}
    assert len(list(home(node).glob("probe-*"))) == 5
    assert "nothing to do" in up.agents("up", "--auto-approve", "--no-doctor").text


@pytest.mark.parametrize("where", ["destroyed", "created"])
def test_one_that_was_ended_in_the_middle_goes_on_from_there(up: Project, node: VirtualNode, where: str) -> None:
    (home(node) / "probe").touch()
    if where == "destroyed":
        up.terraform("destroy", "-auto-approve", "-target=proxmox_virtual_environment_container.scribe", stack="scribe")
    else:
        node.pve.break_at, node.pve.break_when = 1, "before"
        up.agents("recreate", "scribe", "--auto-approve", "--lose-rootfs", ok=False)
        assert node.pve.break_at == 0
    said = up.agents("recreate", "scribe", "--auto-approve", "--lose-rootfs").text
    assert ("it is not there" in said) is (where == "destroyed")
    assert node.container_config(120)["mp0"] == f"{HOME},mp=/data,size=32G"
    assert (home(node) / "probe").exists()
    assert "nothing to do" in up.agents("up", "--auto-approve", "--no-doctor").text


def test_down_says_what_becomes_of_each_mount(up: Project, node: VirtualNode) -> None:
    configure(up, PET, VOLUME)
    up.agents("up", "--auto-approve", "--no-doctor")
    said = up.agents("down", "scribe", "--auto-approve").text
    assert "mp0, the volume scribe-home at /data, stays with all that is in it: container 999 owns it (gihyeon)" in said
    assert "mp1, the volume at /fast, goes with all that is in it: the container owns it (gihyeon)" in said
    assert home(node).is_dir()
    assert {volume for volume in node.pve.disks if "-120-" in volume} == set()
