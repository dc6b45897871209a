"""What is in a volume is not lost unasked, whatever was changed in the settings or in the web interface before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.project import Project
from tests.virtual_node.node import VirtualNode
from tests.virtual_node.pve import NODE

pytestmark = [
    pytest.mark.long,
    pytest.mark.terraform,
    pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning"),
]

PET: dict[str, Any] = {"kind": "pet", "volume": "scribe-home", "guest_path": "/data", "uid": 0, "gid": 0}
VOLUME: dict[str, Any] = {"kind": "volume", "guest_path": "/fast", "size_gib": 4}
OWN = "local-lvm:vm-120-disk-1"
STORAGE: dict[str, Any] = {"volumes": {"scribe-home": {"size_gib": 32}}}
UP = ("up", "--auto-approve", "--no-doctor")


@pytest.fixture
def node(virtual_node: VirtualNode) -> VirtualNode:
    virtual_node.grant("Datastore.Audit", "/storage/local-lvm")
    return virtual_node


def configure(project: Project, *mounts: dict[str, Any], **agent: Any) -> None:
    keyed = {f"mp{number}": it for number, it in enumerate(mounts)}
    project.configure({"scribe": {"vmid": 120, "protect": False, "mounts": keyed, **agent}})


def remembered(node: VirtualNode, volume: str = OWN) -> Path:
    probe = node.pve.volume_content(volume) / "memory"
    probe.write_text("x")
    return probe


def reboot(node: VirtualNode, vmid: int = 120) -> None:
    node.api("POST", f"/nodes/{NODE}/lxc/{vmid}/status/reboot")


def a_pet_is_taken_off(project: Project, node: VirtualNode) -> None:
    project.storage = STORAGE
    configure(project, PET)
    project.agents(*UP)
    node.set_config(120, delete="mp0")
    reboot(node)


def test_a_volume_that_was_detached_in_the_web_interface_stays_where_the_settings_want_it(
    project: Project, node: VirtualNode
) -> None:
    configure(project, VOLUME)
    project.agents(*UP)
    probe = remembered(node)
    # While it runs, that waits for the next start.
    node.set_config(120, delete="mp0")
    assert f"mp0 ({OWN}), which was to be detached at the next start, stays" in project.agents(*UP).text
    reboot(node)
    assert str(node.container_config(120)["mp0"]).startswith(f"{OWN},mp=/fast")
    assert "unused0" not in node.container_config(120)
    assert probe.read_text() == "x"
    assert "nothing to do" in project.agents(*UP).text


def test_one_that_was_detached_and_is_gone_from_the_settings_is_named_until_it_is_gone(
    project: Project, node: VirtualNode
) -> None:
    configure(project, VOLUME)
    project.agents(*UP)
    probe = remembered(node)
    configure(project)
    project.agents(*UP)
    node.set_config(120, delete="mp0")
    gone = f"mp0 ({OWN}), which the settings do not know, goes with all that is in it"
    assert gone in project.agents("recreate", "scribe", "--auto-approve", ok=False).text
    reboot(node)
    gone = f"unused0 ({OWN}), which the settings do not know, goes with all that is in it"
    assert gone in project.agents("recreate", "scribe", "--auto-approve", ok=False).text
    assert gone in project.agents("down", "scribe", ok=False).text
    assert probe.read_text() == "x"
    # Another one in its place is not made unasked, and what is said to be done is accepted.
    configure(project, {**VOLUME, "guest_path": "/other"})
    refused = project.agents(*UP, ok=False)
    assert f"unused0 of container 120 is the volume {OWN}, which somebody has detached" in refused.text
    assert f"if it was at /other, attach it again (`pct set 120 --mp0 {OWN},mp=/other`)" in refused.text
    node.set_config(120, mp1=f"{OWN},mp=/fast")
    assert "stays where it is" in project.agents(*UP).text
    assert probe.read_text() == "x"


def test_what_goes_is_what_the_state_has_and_not_what_the_settings_call_so(project: Project, node: VirtualNode) -> None:
    configure(project, VOLUME)
    project.agents(*UP)
    configure(project, vmid=130)
    refused = project.agents(*UP, ok=False)
    sentence = (
        "container 120 of scribe would be destroyed or made anew, with all that is on its root disk and in "
        f"mp0 ({OWN}): nothing was done"
    )
    assert (refused.code, sentence in refused.text) == (3, True)
    planned = project.agents("plan").text
    assert f"with container 120 go mp0 ({OWN})" in planned
    refused = project.agents("recreate", "scribe", "--auto-approve", "--lose-rootfs", ok=False)
    assert (
        "the container of scribe is 120 on gihyeon, and the settings want 130 on gihyeon: set vmid and node back"
        in (refused.text)
    )
    said = project.agents("down", "scribe", ok=False).text
    assert f"mp0 ({OWN}), which the settings do not know, goes with all that is in it" in said
    assert OWN in node.pve.disks
    # What it says is accepted.
    assert "scribe runs in container 130" in project.agents(*UP, "--allow-replace", "scribe").text
    assert OWN not in node.pve.disks


def test_the_pet_container_is_never_replaced(project: Project, node: VirtualNode) -> None:
    project.storage = {**STORAGE, "protect": False}
    configure(project, PET)
    project.agents(*UP)
    remembered(node, "local-lvm:vm-999-disk-1")
    node.set_config(999, protection=0)
    project.storage = {**STORAGE, "protect": False, "vmid": 998}
    configure(project, PET)
    node.mutations.clear()
    refused = project.agents(*UP, "--allow-replace", "scribe", ok=False)
    assert refused.code == 3
    assert "pet-storage: container 998 of pet-storage would be destroyed or made anew" in refused.text
    assert project.agents("plan", ok=False).code == 3
    refused = project.agents("recreate", "scribe", "--auto-approve", "--lose-rootfs", ok=False)
    assert refused.code == 3
    assert node.mutations == []


def test_nothing_is_destroyed_that_could_not_be_made_again(project: Project, node: VirtualNode) -> None:
    project.storage = STORAGE
    configure(project, PET)
    project.agents(*UP)
    node.mutations.clear()
    recreate = ("recreate", "scribe", "--auto-approve", "--lose-rootfs")
    configure(project, PET, adopt=True)
    assert (
        "agents.scribe.adopt is true, and a new container is not one to take over"
        in project.agents(*recreate, ok=False).text
    )
    project.storage = {"volumes": {**STORAGE["volumes"], "second": {"size_gib": 4}}}
    configure(project, PET, {**PET, "volume": "second", "guest_path": "/second"})
    refused = project.agents(*recreate, ok=False)
    assert (refused.code, "is to change first: run `agents up scribe`" in refused.text) == (3, True)
    assert node.mutations == []
    project.agents(*UP)
    project.agents(*recreate)


def test_a_container_that_the_state_does_not_know_is_said_to_be_there(project: Project, node: VirtualNode) -> None:
    project.storage = STORAGE
    configure(project, PET)
    project.agents(*UP)
    project.state("scribe").unlink()
    node.mutations.clear()
    sentence = "container 120 of scribe is there, and the state of scribe does not know it: `agents adopt scribe` takes it over"
    for command in (("recreate", "scribe", "--auto-approve", "--lose-rootfs"), ("down", "scribe", "--auto-approve")):
        refused = project.agents(*command, ok=False)
        assert (refused.code, sentence in refused.text) == (3, True)
    assert node.mutations == []
    project.agents("adopt", "scribe", "--auto-approve")
    project.agents("down", "scribe", "--auto-approve")
    assert not any(it.vmid == 120 for it in node.pve.cts)


def test_a_container_that_proxmox_ve_protects_is_left_running(project: Project, node: VirtualNode) -> None:
    configure(project)
    project.agents(*UP)
    node.set_config(120, protection=1)
    node.mutations.clear()
    before = node.host_changes
    refused = project.agents("down", "scribe", "--auto-approve", ok=False)
    assert (refused.code, "run `pct set 120 --protection 0` on gihyeon, and this again" in refused.text) == (3, True)
    assert (node.mutations, node.host_changes) == ([], before)
    node.set_config(120, protection=0)
    project.agents("down", "scribe", "--auto-approve")


def test_a_pet_that_somebody_took_off_comes_back_whatever_else_changes(project: Project, node: VirtualNode) -> None:
    a_pet_is_taken_off(project, node)
    # The pet container's stack has something to do at the same time.
    node.api("DELETE", f"/nodes/{NODE}/storage/local/content/local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst")
    project.agents(*UP)
    assert str(node.container_config(120)["mp0"]).startswith("local-lvm:vm-999-disk-1,mp=/data")
    assert "nothing to do" in project.agents(*UP).text


def test_a_pet_that_somebody_took_off_comes_back_with_another_address(project: Project, node: VirtualNode) -> None:
    a_pet_is_taken_off(project, node)
    # Terraform has something to do, and it is not the volume.
    state = json.loads(project.state("scribe").read_text())
    state["outputs"]["scribe_ipv4"]["value"] = "10.1.10.77"
    project.state("scribe").write_text(json.dumps({**state, "serial": state["serial"] + 1}))
    project.agents(*UP)
    assert str(node.container_config(120)["mp0"]).startswith("local-lvm:vm-999-disk-1,mp=/data")
    assert "nothing to do" in project.agents(*UP).text


def test_what_is_gone_already_is_not_missed(project: Project, node: VirtualNode) -> None:
    configure(project, VOLUME)
    project.agents(*UP)
    assert project.agents("recreate", "scribe", "--auto-approve", ok=False).code == 3
    project.destroy(stack="scribe-root")
    project.terraform(
        "destroy", "-auto-approve", "-target=proxmox_virtual_environment_container.scribe", stack="scribe"
    )
    assert not any(it.vmid == 120 for it in node.pve.cts)
    # As if the first one had been killed here.
    project.agents("recreate", "scribe", "--auto-approve")
    assert "nothing to do" in project.agents(*UP).text


def test_a_volume_that_was_detached_in_the_pet_container_is_named(project: Project, node: VirtualNode) -> None:
    project.storage = STORAGE
    configure(project, PET)
    project.agents(*UP)
    node.set_config(999, protection=0)
    node.set_config(999, delete="mp0")
    refused = project.agents(*UP, ok=False)
    assert refused.code == 3
    assert "unused0 of container 999 is the volume local-lvm:vm-999-disk-1, which somebody has detached" in refused.text
    # What it says to do is accepted.
    node.set_config(999, mp0="local-lvm:vm-999-disk-1,mp=/volumes/scribe-home")
    project.agents(*UP)
    assert node.container_config(999)["protection"] == 1
    assert "nothing to do" in project.agents(*UP).text
