"""Volumes that outlive the agents which use them: the pet container, with the API token alone."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.project import CONTAINER, Project
from tests.virtual_node.node import ROOT, VirtualNode
from tests.virtual_node.pve import NODE

pytestmark = [pytest.mark.long, pytest.mark.terraform]

PETS = "pet-storage"
PET_CONTAINER = "proxmox_virtual_environment_container.pet-storage"
PET_VOLUMES = "terraform_data.pet-storage_volumes"
HOME = "local-lvm:vm-999-disk-1"
STORAGE: dict[str, Any] = {"volumes": {"hermes-home": {"size_gib": 32}}}
MOUNT: dict[str, Any] = {"kind": "pet", "volume": "hermes-home", "guest_path": "/data"}


@pytest.fixture
def node(virtual_node: VirtualNode) -> VirtualNode:
    # What an agent needs to have a volume of another container's.
    virtual_node.grant("Datastore.Audit", "/storage/local-lvm")
    # Of the template's file.
    virtual_node.grant("Datastore.Allocate", "/storage/local")
    return virtual_node


@pytest.fixture
def pets(project: Project, node: VirtualNode) -> Project:
    """The pet container is there, and an agent has its volume."""
    project.storage = STORAGE
    project.configure(mounts={"mp0": MOUNT}, protect=False)
    project.begin(PETS, "hermes")
    node.mutations.clear()
    return project


def again(project: Project, storage: dict[str, Any] | None = STORAGE, **hermes: Any) -> None:
    project.storage = storage
    project.configure(**{"mounts": {"mp0": MOUNT}, "protect": False, **hermes})
    project.synthesize()


def mounts(node: VirtualNode, vmid: int) -> dict[str, str]:
    return {key: str(it) for key, it in node.container_config(vmid).items() if key.startswith(("mp", "unused"))}


def changes(node: VirtualNode) -> list[tuple[str, str]]:
    found = [(verb, path.removeprefix(f"/nodes/{NODE}/lxc")) for verb, path in node.mutations]
    node.mutations.clear()
    return found


def home(node: VirtualNode) -> Path:
    return node.pve.volume_content(HOME)


def test_the_addresses_in_the_stack_stay(pets: Project) -> None:
    assert pets.addresses(PETS) == {
        PET_CONTAINER,
        PET_VOLUMES,
        "terraform_data.pet-storage_token_check",
        "proxmox_download_file.debian12_template_gihyeon",
    }


def test_the_pet_container_is_small_never_runs_and_is_protected(pets: Project, node: VirtualNode) -> None:
    config = node.container_config(999)
    assert (config["cores"], config["memory"], config["rootfs"]) == (1, 256, "local-lvm:vm-999-disk-0,size=2G")
    assert (config["onboot"], config["protection"], config["unprivileged"]) == (0, 1, 1)
    assert (config["tags"], config["hostname"]) == ("ai;pve-agents-pet-storage;storage;terraform", "pet-storage")
    assert not [key for key in config if key.startswith("net")]
    assert node.api("GET", f"/nodes/{NODE}/lxc/999/status/current")["status"] == "stopped"
    assert mounts(node, 999) == {"mp0": f"{HOME},mp=/volumes/hermes-home,backup=1,size=32G"}
    assert mounts(node, 118) == {"mp0": f"{HOME},mp=/data,size=32G"}
    assert node.host_changes == []
    for stack in (PETS, "hermes"):
        assert pets.plan(stack=stack).actions == {}


def test_an_agent_is_recreated_five_times_and_its_volume_and_content_are_kept(pets: Project, node: VirtualNode) -> None:
    (home(node) / "memory").write_text("the first")
    for number in range(5):
        pets.terraform("destroy", "-auto-approve", f"-target={CONTAINER}")
        assert node.pve.ct(118) is None
        assert (home(node) / "memory").exists()
        pets.apply()
        assert mounts(node, 118) == {"mp0": f"{HOME},mp=/data,size=32G"}
        (home(node) / f"memory-{number}").touch()
        assert pets.plan().actions == {}
        assert pets.plan(stack=PETS).actions == {}
    assert len(list(home(node).iterdir())) == 6


def test_the_pet_container_is_destroyed_only_when_both_protections_are_off(pets: Project, node: VirtualNode) -> None:
    refused = pets.destroy(ok=False, stack=PETS)
    assert "Instance cannot be destroyed" in refused.errors[0]
    again(pets, {**STORAGE, "protect": False})
    refused = pets.destroy(ok=False, stack=PETS)
    assert "container 999 is protected (protection: 1), and a destroy would only stop it" in refused.said
    assert node.pve.ct(999) is not None
    assert home(node).is_dir()
    pets.destroy()
    assert home(node).is_dir()
    node.set_config(999, protection=0)
    pets.destroy(stack=PETS)
    assert not home(node).exists()


def test_what_takes_protection_off_by_hand_is_mended_by_the_next_change(pets: Project, node: VirtualNode) -> None:
    node.set_config(999, protection=0)
    again(pets, {"volumes": {**STORAGE["volumes"], "books": {"size_gib": 5}}})
    changes(node)
    pets.apply(stack=PETS)
    assert changes(node) == [("PUT", "/999/config"), ("PUT", "/999/config")]
    assert node.container_config(999)["protection"] == 1


def test_a_volume_that_comes_is_made_with_the_protection_off_for_a_moment(pets: Project, node: VirtualNode) -> None:
    again(pets, {"volumes": {**STORAGE["volumes"], "books": {"size_gib": 5, "backup": False}}})
    said = pets.apply(stack=PETS).said
    assert "Proxmox VE's protection is taken off, which refuses any change" in said
    assert mounts(node, 999)["mp1"] == "local-lvm:vm-999-disk-2,mp=/volumes/books,size=5G"
    assert node.container_config(999)["protection"] == 1
    assert pets.plan(stack=PETS).actions == {}


def test_a_volume_that_leaves_the_settings_stays(pets: Project, node: VirtualNode) -> None:
    (home(node) / "memory").touch()
    again(pets, {"volumes": {}}, mounts={})
    said = pets.apply(stack=PETS).said
    assert f"mp0 ({HOME}) stays where it is" in said
    assert (home(node) / "memory").exists()
    assert node.container_config(999)["protection"] == 1


def test_a_pets_volume_grows_while_nobody_who_runs_has_it_and_never_shrinks(pets: Project, node: VirtualNode) -> None:
    larger = {"volumes": {"hermes-home": {"size_gib": 40}}}
    again(pets, larger)
    refused = pets.apply(ok=False, stack=PETS)
    assert (
        f"{HOME} is attached to container 118 (hermes), which runs: stop it, so that its file system can grow from 32 GiB to "
        "40 GiB, and deploy again"
    ) in refused.said
    assert node.pve.disks[HOME].size == 32 * 2**30
    again(pets, larger, started=False)
    pets.apply()
    pets.apply(stack=PETS)
    assert node.pve.disks[HOME].file_system == 40 * 2**30
    again(pets, larger)
    pets.apply()
    assert pets.plan().actions == {}
    again(pets)
    refused = pets.apply(ok=False, stack=PETS)
    assert "has 40 GiB, and the settings want 32 GiB: a volume only grows; write size_gib: 40" in refused.said


@pytest.mark.usefixtures("pets")
def test_a_pets_volume_that_was_resized_under_a_running_agent_would_have_too_small_a_file_system(
    node: VirtualNode,
) -> None:
    """What the refusal is for."""
    node.api("PUT", f"/nodes/{NODE}/lxc/999/resize", disk="mp0", size="40G")
    assert (node.pve.disks[HOME].size, node.pve.disks[HOME].file_system) == (40 * 2**30, 32 * 2**30)


def test_a_volume_is_detached_when_the_agent_does_not_want_it_and_another_one_gets_it(
    pets: Project, node: VirtualNode
) -> None:
    (home(node) / "memory").touch()
    agents = {"hermes": {"mounts": {}, "protect": False}, "scribe": {"vmid": 120, "mounts": {"mp0": MOUNT}}}
    pets.configure(agents)
    pets.synthesize()
    # In the wrong order nothing is taken from anybody.
    refused = pets.apply(ok=False, stack="scribe")
    assert (
        f"the volume hermes-home ({HOME}) is attached to container 118 (hermes) already, and two containers would destroy its "
        "files: take it off there first"
    ) in refused.said
    assert mounts(node, 120) == {}
    changes(node)
    pets.apply()
    assert mounts(node, 118) == {}
    # The entry unusedN goes as well: of another container's volume, Proxmox VE deletes only that.
    assert changes(node) == [("PUT", "/118/config"), ("POST", "/118/status/reboot"), ("PUT", "/118/config")]
    pets.apply(stack="scribe")
    assert mounts(node, 120) == {"mp0": f"{HOME},mp=/data,size=32G"}
    assert (home(node) / "memory").exists()
    assert pets.plan().actions == {}
    assert pets.plan(stack="scribe").actions == {}


def test_while_a_node_is_off_nobody_knows_whether_a_container_there_has_the_volume(
    pets: Project, node: VirtualNode
) -> None:
    node.add_foreign_container(121, node="other")
    node.pve.set_node_offline("other")
    more = {**STORAGE["volumes"], "books": {"size_gib": 5}}
    again(pets, {"volumes": more})
    pets.apply(stack=PETS)
    changes(node)
    again(pets, {"volumes": {**more, "books": {"size_gib": 6}}})
    refused = pets.apply(ok=False, stack=PETS)
    assert (
        "container 121 on node other could not be asked (HTTP 595 No route to host), so nobody knows whether it has a volume of "
        "container 999: start node other if it is off, or remove it from the cluster, and run it again"
    ) in refused.said
    assert changes(node) == []
    node.pve.set_node_offline("other", offline=False)
    pets.apply(stack=PETS)
    assert sorted(mounts(node, 999)) == ["mp0", "mp1"]


def test_without_the_pet_container_the_agent_says_what_to_deploy_first(project: Project, node: VirtualNode) -> None:
    project.storage = STORAGE
    project.configure(mounts={"mp0": MOUNT})
    project.synthesize()
    failed = project.apply(ok=False)
    assert "the token sees no container 999 that owns the volume hermes-home: deploy pet-storage first" in failed.said
    project.apply(stack=PETS)
    project.apply()
    assert list(mounts(node, 118)) == ["mp0"]


def test_whose_privileges_are_missing_is_told_which(project: Project, virtual_node: VirtualNode) -> None:
    project.storage = STORAGE
    project.configure(mounts={"mp0": MOUNT})
    project.synthesize()
    project.apply(stack=PETS)
    failed = project.apply(ok=False)
    assert "lacks Datastore.Audit on /storage/local-lvm; to mend it, as root on the node:" in failed.said
    assert virtual_node.pve.ct(118) is None


def test_another_container_with_the_pets_vmid_is_not_touched(project: Project, node: VirtualNode) -> None:
    node.add_foreign_container(999)
    project.storage = STORAGE
    project.configure()
    project.synthesize()
    refused = project.plan(ok=False, stack=PETS)
    assert "VMID 999 is taken by the container someone-elses" in refused.errors[0]
    assert node.mutations == []


def test_no_state_is_believed_that_holds_another_guest(pets: Project) -> None:
    file = pets.state(PETS)
    state = json.loads(file.read_text())
    (container,) = (it for it in state["resources"] if it["type"] == "proxmox_virtual_environment_container")
    container["name"] = "other"
    file.write_text(json.dumps(state))
    refused = pets.agents("plan", "hermes", ok=False, main=True)
    assert "the state of stack pet-storage holds proxmox_virtual_environment_container" in refused.text.replace('"', "")


LARGER: dict[str, Any] = {"volumes": {"hermes-home": {"size_gib": 40}, "books": {"size_gib": 5}}}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_who_is_killed_at_any_request_goes_on_from_there(
    pets: Project, node: VirtualNode, number: int, when: str
) -> None:
    """The pet gets a volume and grows one: off with the protection, a volume, a size, on with the protection."""
    (home(node) / "memory").touch()
    again(pets, LARGER, started=False)
    pets.apply()
    node.pve.break_at, node.pve.break_when = number, when
    pets.apply(ok=False, stack=PETS)
    assert node.pve.break_at == 0
    pets.apply(stack=PETS)
    assert mounts(node, 999) == {
        "mp0": f"{HOME},mp=/volumes/hermes-home,backup=1,size=40G",
        "mp1": "local-lvm:vm-999-disk-2,mp=/volumes/books,backup=1,size=5G",
    }
    assert node.container_config(999)["protection"] == 1
    assert {volume for volume, disk in node.pve.disks.items() if disk.owner == 999} == {
        "local-lvm:vm-999-disk-0",
        HOME,
        "local-lvm:vm-999-disk-2",
    }
    assert (home(node) / "memory").exists()
    changes(node)
    assert pets.plan(stack=PETS).actions == {}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_who_is_killed_while_a_volume_is_given_back_goes_on_from_there(
    pets: Project, node: VirtualNode, number: int, when: str
) -> None:
    again(pets, mounts={"mp3": {"kind": "volume", "guest_path": "/fast", "size_gib": 4}})
    node.pve.break_at, node.pve.break_when = number, when
    pets.apply(ok=False)
    pets.apply()
    assert mounts(node, 118) == {"mp3": "local-lvm:vm-118-disk-1,mp=/fast,backup=1,size=4G"}
    assert node.api("GET", f"/nodes/{NODE}/lxc/118/config", current=1).keys() & {"mp0", "unused0"} == set()
    assert home(node).is_dir()


def test_two_at_once_make_one_volume(pets: Project, node: VirtualNode) -> None:
    """Somebody else changes the container between the look and the act: the hash of the configuration tells."""
    program = pets.stack(PETS)
    again(pets, LARGER, started=False)
    pets.apply()
    wanted = next(
        it["provisioner"][0]["local-exec"]["environment"]["ATTACH_VOLUMES_WANTED"]
        for name, it in pets.json(PETS)["resource"]["terraform_data"].items()
        if name.endswith("_volumes")
    )
    runs = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "attach-volumes")],
            cwd=program,
            env={**pets.env, "ATTACH_VOLUMES_WANTED": wanted},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(3)
    ]
    said = [run.communicate()[0] for run in runs]
    # Each ends well, or says that the others were at it.
    assert all(run.returncode in (0, 2) for run in runs), said
    assert any(run.returncode == 0 for run in runs), said
    pets.apply(stack=PETS)
    assert sorted(mounts(node, 999)) == ["mp0", "mp1"]
    assert len([volume for volume, disk in node.pve.disks.items() if disk.owner == 999]) == 3


def test_a_second_terraform_is_refused_while_the_first_one_works(pets: Project) -> None:
    lock = pets.directory / f".terraform.{PETS}.tfstate.lock.info"
    with pets.state(PETS).open("r+") as state:
        fcntl.lockf(state, fcntl.LOCK_EX)
        lock.write_text('{"ID": "1", "Who": "somebody"}')
        refused = pets.apply(ok=False, stack=PETS)
    assert "Error acquiring the state lock" in refused.errors[0]


def test_from_a_directory_of_the_node_to_a_volume(project: Project, node: VirtualNode) -> None:
    """As docs/storage.md has it: the same place, and what was there can be copied before."""
    bind = {"host_path": "/mnt/pve/hdd/hermes", "guest_path": "/data"}
    project.deploy_both(mounts={"mp0": bind}, protect=False)
    project.storage = STORAGE
    project.configure(mounts={"mp0": MOUNT}, protect=False)
    refused = project.agents("up", "--auto-approve", "--no-doctor", ok=False)
    assert 'mp0 is taken: it holds "/mnt/pve/hdd/hermes,mp=/data,replicate=0"' in refused.text
    assert "take that one off in the web interface" in refused.text
    node.set_config(118, delete="mp0")
    said = project.agents("up", "--auto-approve", "--no-doctor").text
    assert "mp0 only changes at a start" in said
    assert mounts(node, 118) == {"mp0": f"{HOME},mp=/data,size=32G"}
    assert node.api("GET", f"/nodes/{NODE}/lxc/118/config", current=1)["mp0"] == mounts(node, 118)["mp0"]
    # What root had attached under the key, root takes back no more; its directory stays.
    assert node.stat("/mnt/pve/hdd/hermes") == "110000:110000 750"
    assert "nothing to do" in project.agents("up", "--auto-approve", "--no-doctor").text
